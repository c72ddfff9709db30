"""Means that the experts of a value predict: levels, regressions on the past, seasons."""

from __future__ import annotations

from math import sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_laws import SCALES
from neurolp.kernels.stream_regression import (
    add_row,
    predict_nested,
    renew_prior,
    solve_coefficients,
)
from neurolp.kernels.stream_season import (
    FEATURES,
    FIRST_LOOK,
    LOOK_AGAIN,
    PAST,
    best_period,
    compare_with_past,
    season_features,
)
from neurolp.kernels.stream_state import Experts, ExpertScratch

FIRST_VALUES = 8  # of a sensor, from which units are taken; experts predict afterwards
LEVEL_RATES = np.array([0.03, 0.1, 0.3])
IN_SENSOR, BEFORE_SENSOR = 1, 2  # of which sensor another value of the same step is
SIMPLE = 2 + len(LEVEL_RATES)  # the running mean, the last value, and levels
# Of values, of values forgetting, of changes, of changes forgetting.
KEEP = np.array([1.0, 0.99, 1.0, 0.99])
REGRESSIONS = len(KEEP)
SEASON_SIZES = np.array([2, 3, 4, 7, 16])  # numbers of features of the two seasons' ladders

MOST_DOUBT = 1e12  # variance of a mean, in units of the noise

_RIDGE, _SEASON_RIDGE = 0.1, 0.01
_REPLAYED = 1600  # values from which the regression on a new period begins
_LEVERAGE, _HUBER = 10.0, 5.0  # rows beyond these count less in a regression
_LEAST_UNIT, _LARGEST_FEATURE = 1e-100, 1e60
_USUAL = 1  # the scale by which a residual is found to be large


@ordered_kernel
def remember_value(experts: Experts, v: int, x: float) -> None:
    """Append a value to the past."""
    past, end = experts.past[v], experts.end[v]
    if end == past.shape[0]:
        for k in range(PAST):
            past[k] = past[end - PAST + k]
        end = PAST
    past[end] = x
    experts.end[v] = end + 1
    first = experts.stored[v] == 0
    experts.bounds[v, 0] = x if first else min(x, experts.bounds[v, 0])
    experts.bounds[v, 1] = x if first else max(x, experts.bounds[v, 1])
    experts.stored[v] = min(experts.stored[v] + 1, PAST)


@ordered_kernel
def wake(experts: Experts, v: int) -> None:
    """Take units, first scales and prior precisions from the first values of the past."""
    n, end, past = FIRST_VALUES, experts.end[v], experts.past[v]
    total = squares = changes = 0.0
    for k in range(n):
        total += past[end - n + k]
    mean = total / n
    for k in range(n):
        squares += (past[end - n + k] - mean) ** 2
        if k > 0:
            changes += (past[end - n + k] - past[end - n + k - 1]) ** 2
    unit = sqrt(squares / n)
    if not unit > 1e-12 * abs(mean):
        unit = 0.01 * abs(mean) if mean != 0.0 else 1.0
    unit = max(unit, _LEAST_UNIT)
    step = max(sqrt(changes / (n - 1)), 1e-3 * unit)
    experts.unit[v, 0], experts.unit[v, 1] = mean, unit
    experts.level[v, 0] = mean
    for k in range(LEVEL_RATES.shape[0]):
        level = past[end - n]
        for j in range(1, n):
            level += max(LEVEL_RATES[k], 1.0 / (j + 1)) * (past[end - n + j] - level)
        experts.level[v, 1 + k] = level
    ratio = (step / unit) ** 2
    n_features = experts.prior.shape[2]
    n_lags = n_features - 1 - experts.other.shape[1]
    for j in range(n_features):
        lag = j if j <= n_lags else 5
        experts.prior[v, 0, j] = 1.0 if j == 0 else _RIDGE * lag
        experts.prior[v, 1, j] = 1.0 / _RIDGE if j == 0 else _RIDGE * lag * ratio
    for r in range(REGRESSIONS):
        for j in range(n_features):
            experts.factor[v, r, j, j] = sqrt(experts.prior[v, r // 2, j])
    for j in range(FEATURES):
        experts.season_prior[v, j] = 1.0 if j == 0 else _SEASON_RIDGE * ratio * max(j - 3, 1)
    for m in range(experts.mean.shape[1]):
        start = unit * unit if m == 0 else step * step
        for k in range(SCALES):
            experts.scale[v, k, m] = start
        for r in range(experts.average.shape[1]):
            experts.average[v, r, m] = start
    experts.due[v] = FIRST_LOOK - n


@ordered_kernel
def predict_means(experts: Experts, v: int, scratch: ExpertScratch) -> None:
    """Write the means and doubts of all experts of a value but the readout's."""
    past, end, unit = experts.past[v], experts.end[v], experts.unit[v, 1]
    location, last = experts.unit[v, 0], experts.past[v, experts.end[v] - 1]
    mean, doubt = experts.mean[v], experts.doubt[v]
    mean[0], doubt[0] = experts.level[v, 0], 1.0 / experts.seen[v]
    mean[1], doubt[1] = last, 0.0
    for k in range(LEVEL_RATES.shape[0]):
        mean[2 + k], doubt[2 + k] = experts.level[v, 1 + k], 0.0
    _features(experts, v, scratch.features)
    m, n_sizes = SIMPLE, experts.size.shape[0]
    n_lags = experts.prior.shape[2] - 1 - experts.other.shape[1]
    unknown = False
    for o in range(experts.other.shape[1]):
        unknown |= _unknown(experts, v, o)
    for r in range(REGRESSIONS):
        base = location if r < 2 else last
        predict_nested(
            experts.factor[v, r], experts.target[v, r], scratch.features[r // 2], scratch.u,
            scratch.nested[0], scratch.nested[1],
        )  # fmt: skip
        for k in range(n_sizes):
            mean[m] = base + unit * scratch.nested[0, experts.size[k] - 1]
            doubt[m] = scratch.nested[1, experts.size[k] - 1]
            m += 1
        if unknown:
            solve_coefficients(experts.factor[v, r], experts.target[v, r], scratch.coefficients)
            for o in range(experts.other.shape[1]):
                slope = 0.0
                if _unknown(experts, v, o):
                    scale = experts.unit[experts.other[v, o], 1]
                    slope = unit * scratch.coefficients[1 + n_lags + o] / scale
                experts.slope[v, r, o] = slope
            doubt[m - 1] += _doubt_of_missing(experts, v, r, m - 1)
    for kind in range(2):
        if experts.period[v, kind] > 0:
            period, n = experts.period[v, kind], experts.stored[v]
            season_features(past, end, n, period, unit, scratch.season)
            predict_nested(
                experts.season_factor[v, kind], experts.season_target[v, kind], scratch.season,
                scratch.u, scratch.nested[0], scratch.nested[1],
            )  # fmt: skip
            for k in range(SEASON_SIZES.shape[0]):
                mean[m + k] = last + unit * scratch.nested[0, SEASON_SIZES[k] - 1]
                doubt[m + k] = scratch.nested[1, SEASON_SIZES[k] - 1]
        m += SEASON_SIZES.shape[0]
    for k in range(m):
        mean[k] = bounded(experts, v, mean[k])
        doubt[k] = min(doubt[k], MOST_DOUBT)


@ordered_kernel
def bounded(experts: Experts, v: int, mean: float) -> float:
    """The mean, if it is not beyond the values so far by more than their range; else the limit."""
    low, high = experts.bounds[v, 0], experts.bounds[v, 1]
    out: float = min(max(mean, low - (high - low)), high + (high - low))
    return out


@ordered_kernel
def add_same_step(experts: Experts, v: int) -> None:
    """Correct the means of the regressions by other values of the sensor that are known now."""
    n_sizes = experts.size.shape[0]
    for r in range(REGRESSIONS):
        shift = 0.0
        for o in range(experts.other.shape[1]):
            if experts.same_step[v, o] == IN_SENSOR:
                w = experts.other[v, o]
                shift += experts.slope[v, r, o] * (experts.now[w] - experts.expected[w])
        experts.mean[v, SIMPLE + (r + 1) * n_sizes - 1] += shift


@ordered_kernel
def learn_means(experts: Experts, v: int, scratch: ExpertScratch) -> None:
    """Learn the regressions from the value of this step, which is not in the past yet."""
    if experts.seen[v] < FIRST_VALUES:
        return
    x, unit, location = experts.now[v], experts.unit[v, 1], experts.unit[v, 0]
    past, end = experts.past[v], experts.end[v]
    last, n = past[end - 1], experts.stored[v]
    _features(experts, v, scratch.features)
    n_sizes, n_features = experts.size.shape[0], experts.prior.shape[2]
    for r in range(REGRESSIONS):
        largest = SIMPLE + (r + 1) * n_sizes - 1
        weight = _row_weight(experts, v, largest, x)
        y = (x - (location if r < 2 else last)) / unit
        factor, target = experts.factor[v, r], experts.target[v, r]
        add_row(
            factor, target, scratch.features[r // 2], y, weight, KEEP[r], scratch.u[:n_features]
        )
        if KEEP[r] < 1.0:
            prior, k = experts.prior[v, r // 2], experts.seen[v] % n_features
            renew_prior(factor, target, prior, 1.0 - KEEP[r], k, scratch.u[:n_features])
    for kind in range(2):
        if experts.period[v, kind] > 0:
            season_features(past, end, n, experts.period[v, kind], unit, scratch.season)
            first = SIMPLE + REGRESSIONS * n_sizes + kind * SEASON_SIZES.shape[0]
            weight = _row_weight(experts, v, first + SEASON_SIZES.shape[0] - 1, x)
            add_row(
                experts.season_factor[v, kind], experts.season_target[v, kind], scratch.season,
                (x - last) / unit, weight, 1.0, scratch.u[:FEATURES],
            )  # fmt: skip


@ordered_kernel
def remember(experts: Experts, v: int, known: bool, learn: bool, scratch: ExpertScratch) -> None:
    """End a step: move levels, append the value, seek seasons; wake up after the first values.

    A missing value is remembered as it was expected.
    """
    x = experts.now[v]
    predicts = experts.seen[v] >= FIRST_VALUES
    if predicts and known:
        if learn:
            experts.level[v, 0] += (x - experts.level[v, 0]) / (experts.seen[v] + 1)
        for k in range(LEVEL_RATES.shape[0]):
            experts.level[v, 1 + k] += LEVEL_RATES[k] * (x - experts.level[v, 1 + k])
    if predicts or known:
        remember_value(experts, v, x)
    if learn and known:
        experts.seen[v] += 1
        if predicts:
            _seek_season(experts, v, scratch)
        elif experts.seen[v] == FIRST_VALUES:
            wake(experts, v)


@ordered_kernel
def _seek_season(experts: Experts, v: int, scratch: ExpertScratch) -> None:
    """Compare the last value with its past, and now and then choose the periods anew."""
    past, end, n = experts.past[v], experts.end[v], experts.stored[v]
    unit = experts.unit[v, 1]
    compare_with_past(past, end, n, unit, experts.differences[v])
    experts.compared[v] += 1
    if experts.compared[v] < experts.due[v]:
        return
    experts.due[v] = int(experts.due[v] * LOOK_AGAIN) + 1
    first = SIMPLE + REGRESSIONS * experts.size.shape[0]
    for kind in range(2):
        period = best_period(experts.differences[v, kind], experts.compared[v])
        if period == experts.period[v, kind] or period == 0:
            continue
        experts.period[v, kind] = period
        factor, target = experts.season_factor[v, kind], experts.season_target[v, kind]
        for i in range(FEATURES):
            target[i] = 0.0
            for j in range(FEATURES):
                factor[i, j] = 0.0
            factor[i, i] = sqrt(experts.season_prior[v, i])
        for back in range(min(n - period - 2, _REPLAYED), 0, -1):
            at = end - back
            season_features(past, at, n - back, period, unit, scratch.season)
            y = (past[at] - past[at - 1]) / unit
            add_row(factor, target, scratch.season, y, 1.0, 1.0, scratch.u[:FEATURES])
        for k in range(SEASON_SIZES.shape[0]):
            m = first + kind * SEASON_SIZES.shape[0] + k
            if not experts.awake[v, m]:  # its residuals are as those of the last value, so far
                experts.awake[v, m] = 1.0
                for j in range(SCALES):
                    experts.scale[v, j, m] = experts.scale[v, j, 1]
                for r in range(experts.average.shape[1]):
                    experts.average[v, r, m] = experts.average[v, r, 1]


@ordered_kernel
def _row_weight(experts: Experts, v: int, m: int, x: float) -> float:
    """Weight of a row in a regression: small for outliers, and for features far from all others."""
    doubt = experts.doubt[v, m]
    usual = sqrt(experts.scale[v, _USUAL, m] * (1.0 + doubt))
    near = min(1.0, _HUBER * usual / max(abs(x - experts.mean[v, m]), 1e-300))
    weight: float = near * min(1.0, _LEVERAGE / max(doubt, 1e-300))
    return weight


@ordered_kernel
def _unknown(experts: Experts, v: int, o: int) -> bool:
    """Whether another value of the same step is not known when ``v`` is predicted."""
    w = experts.other[v, o]
    return bool(experts.same_step[v, o] > 0 and not experts.known[w])


@ordered_kernel
def _doubt_of_missing(experts: Experts, v: int, r: int, m: int) -> float:
    """Variance of mean ``m`` from missing values of sensors before, in units of the noise.

    As if all of them erred together.
    """
    total = 0.0
    for o in range(experts.other.shape[1]):
        w = experts.other[v, o]
        if experts.same_step[v, o] == BEFORE_SENSOR and experts.seen[w] >= FIRST_VALUES:
            total += abs(experts.slope[v, r, o]) * experts.spread[w]
    out: float = total * total / experts.scale[v, _USUAL, m]
    return out


@ordered_kernel
def _features(experts: Experts, v: int, z: Array) -> None:
    """Features of values z[0] and of changes z[1], in units: a constant, lags, other values.

    ``experts.now`` has the other values of this step: as expected until they are observed.
    """
    past, end, n = experts.past[v], experts.end[v], experts.stored[v]
    location, unit = experts.unit[v, 0], experts.unit[v, 1]
    n_lags = z.shape[1] - 1 - experts.other.shape[1]
    z[0, 0] = z[1, 0] = 1.0
    for j in range(1, n_lags + 1):
        z[0, j] = _feature(past[end - j] - location, unit) if j <= n else 0.0
        z[1, j] = _feature(past[end - j] - past[end - j - 1], unit) if j + 1 <= n else 0.0
    for o in range(experts.other.shape[1]):
        j, w = 1 + n_lags + o, experts.other[v, o]
        z[0, j] = z[1, j] = 0.0
        if w < 0 or experts.seen[w] < FIRST_VALUES:
            continue
        theirs, at = experts.past[w], experts.end[w]
        x, before = theirs[at - 1], theirs[at - 2]
        if experts.same_step[v, o] > 0:
            x, before = experts.now[w], theirs[at - 1]
        z[0, j] = _feature(x - experts.unit[w, 0], experts.unit[w, 1])
        z[1, j] = _feature(x - before, experts.unit[w, 1])


@ordered_kernel
def _feature(x: float, unit: float) -> float:
    """A value in units, in a range whose squares are finite."""
    return min(max(x / unit, -_LARGEST_FEATURE), _LARGEST_FEATURE)
