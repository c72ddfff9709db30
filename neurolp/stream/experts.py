"""Experts for values: their first state, and their work arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels.stream_laws import N_FREE, N_RUNGS, NODE_RATES, RUNGS, SCALES, SHAPES
from neurolp.kernels.stream_means import (
    BEFORE_SENSOR,
    FIRST_VALUES,
    IN_SENSOR,
    LEVEL_RATES,
    REGRESSIONS,
    SEASON_SIZES,
    SIMPLE,
    remember_value,
    wake,
)
from neurolp.kernels.stream_season import FEATURES, LONGEST, PAST
from neurolp.kernels.stream_state import Experts, ExpertScratch, empty
from neurolp.stream.sensors import Place

# What changes where nothing is learned.
MOVING = (
    "stored", "end", "past", "level", "scale", "average", "awake",
    "share", "bounds", "mean", "doubt", "slope", "expected", "now", "known", "spread",
)  # fmt: skip
LAGS = (1, 3, 10, 20)  # of the past of a value, in the ladder of regressions
_OTHERS, _SAME_STEP = 20, 10  # values of others that are features, at most
_TAILS_OF_FREE = 0.02  # first weight of a wide component of the free mixture


def draw_experts(where: Sequence[Place], n_lags: int, used: bool) -> Experts:
    """Experts for all values before the first step; none if they are not ``used``."""
    of_value = np.full(len(where), -1)
    n_values = 0
    for s, place in enumerate(where):
        if not place.symbols and used:
            of_value[s], n_values = n_values, n_values + place.n_outputs
    lags = [k for k in LAGS if k <= n_lags] or [n_lags] * (n_lags > 0)
    other, same_step = _others(where, n_values)
    n_features = 1 + max(lags, default=0) + other.shape[1]
    size = [1, *(1 + k for k in lags)] + ([n_features] if other.shape[1] else [])
    n_means = SIMPLE + REGRESSIONS * len(size) + 2 * len(SEASON_SIZES) + 1
    n_experts = n_means * SCALES * SHAPES + 1
    v, m = n_values, n_means
    awake = np.ones((v, m))
    awake[:, m - 1 - 2 * len(SEASON_SIZES) :] = 0.0
    return Experts(
        value=of_value,
        seen=np.zeros(v, np.int64),
        stored=np.zeros(v, np.int64),
        end=np.zeros(v, np.int64),
        past=np.zeros((v, 2 * PAST)),
        unit=np.tile([0.0, 1.0], (v, 1)),
        level=np.zeros((v, 1 + len(LEVEL_RATES))),
        other=other,
        same_step=same_step,
        size=np.array(size),
        factor=np.zeros((v, REGRESSIONS, n_features, n_features)),
        target=np.zeros((v, REGRESSIONS, n_features)),
        prior=np.zeros((v, 2, n_features)),
        period=np.zeros((v, 2), np.int64),
        compared=np.zeros(v, np.int64),
        due=np.zeros(v, np.int64),
        differences=np.zeros((v, 2, LONGEST + 1)),
        season_factor=np.zeros((v, 2, FEATURES, FEATURES)),
        season_target=np.zeros((v, 2, FEATURES)),
        season_prior=np.zeros((v, FEATURES)),
        scale=np.ones((v, SCALES, m)),
        average=np.ones((v, len(NODE_RATES), m)),
        blend=np.full((v, len(NODE_RATES), m), 1 / len(NODE_RATES)),
        ladder=np.tile(_first_ladder()[:, None], (v, 1, SCALES * m)),
        moments=np.tile(_first_moments().T[:, :, None], (v, 1, 1, SCALES * m)),
        weight=np.full((v, n_experts), 1.0 / n_experts),
        awake=awake,
        share=np.zeros((v, n_experts)),
        bounds=np.zeros((v, 2)),
        mean=np.zeros((v, m)),
        doubt=np.zeros((v, m)),
        slope=np.zeros((v, REGRESSIONS, other.shape[1])),
        expected=np.zeros(v),
        now=np.zeros(v),
        known=np.zeros(v, np.bool_),
        spread=np.ones(v),
    )


def scratch_of(experts: Experts, largest: int) -> ExpertScratch:
    """Work arrays for the kernels; ``largest`` is the most values of a sensor."""
    n_features = experts.target.shape[2]
    n = max(n_features, FEATURES)
    n_means = experts.mean.shape[1]
    n_pairs = SCALES * n_means
    return ExpertScratch(
        features=np.zeros((2, n_features)),
        season=np.zeros(FEATURES),
        u=np.zeros(n),
        nested=np.zeros((2, n)),
        coefficients=np.zeros(n_features),
        residual=empty(n_means),
        z=empty(n_pairs),
        inverse=empty(n_pairs),
        awake=empty(n_pairs),
        components=empty(3, N_FREE, n_pairs),
        ladder_part=empty(N_RUNGS, n_pairs),
        free_part=empty(N_FREE, n_pairs),
        density=empty(SHAPES, n_pairs),
        cdf=empty(SHAPES, n_pairs),
        product=empty(3, experts.weight.shape[1]),
        covariance=np.zeros((largest, largest)),
        slope=np.zeros(largest),
        shared=np.zeros(largest),
    )


def begin(experts: Experts, s: int, values: Array) -> None:
    """Let the experts of sensor ``s`` know its first values (n, d)."""
    for i, column in enumerate(values.T):
        v = experts.value[s] + i
        for x in column:
            remember_value(experts, v, float(x))
        experts.seen[v] = len(column)
        if len(column) == FIRST_VALUES:
            wake(experts, v)


def _others(where: Sequence[Place], n_values: int) -> tuple[Array, Array]:
    """Other values that help to predict each value, (V, O), and whether they are of the same step.

    Those before it in the row, nearest first; then the last values of the nearest others.
    """
    first = 0
    chosen: list[list[tuple[int, int]]] = []
    for place in where if n_values else ():
        if place.symbols:
            continue
        for i in range(place.n_outputs):
            v = first + i
            mine = [
                (w, IN_SENSOR if w >= first else BEFORE_SENSOR)
                for w in range(v - 1, max(v - _SAME_STEP, 0) - 1, -1)
            ]
            near = np.argsort(abs(np.arange(n_values) - v), kind="stable")[1:]
            chosen.append([*mine, *((int(w), 0) for w in near)][:_OTHERS])
        first += place.n_outputs
    n = max(map(len, chosen), default=0)
    other, same = np.full((n_values, n), -1), np.zeros((n_values, n), np.int64)
    for v, pairs in enumerate(chosen):
        for o, (w, now) in enumerate(pairs):
            other[v, o], same[v, o] = w, now
    return other, same


def _first_ladder() -> Array:
    octave = np.log2(RUNGS)
    weight = np.exp(-0.5 * octave**2) + 1e-3 * (octave != 0)
    return np.asarray(weight / weight.sum())


def _first_moments() -> Array:
    """Moments (N_FREE, 3) of a mixture that is nearly normal, one component of it wide."""
    n = N_FREE - 1
    mean = np.linspace(-1.6, 1.6, n)
    weight = np.exp(-0.5 * mean**2)
    weight /= weight.sum()
    variance = 1 - weight @ mean**2
    w = np.append((1 - _TAILS_OF_FREE) * weight, _TAILS_OF_FREE)
    m, v = np.append(mean, 0.0), np.append(np.full(n, variance), 2.5**2)
    return np.stack([w, w * m, w * (m * m + v)], axis=-1)
