"""Experts for values: many means, scales and shapes, averaged by their own surprise.

Each value has M predicted means: the running mean, the last value, filters of its level, least
squares on its past of several lengths, the same phase of past seasons, and the readout of the
hidden nodes. Each mean has SCALES predictors of the variance of its residuals and SHAPES shapes:
M * SCALES * SHAPES normalised densities, and one more, the readout's own. The prediction is

    p = (1 - t) sum_e w_e p_e + t p_tail,        w_e <- (1 - a) w_e p_e / sum_e w_e p_e + a / E

with a fixed share a (M. Herbster and M. K. Warmuth, "Tracking the best expert", Machine Learning
32, 1998), and a tail that no weight can lose. Experts that cannot predict yet keep their weight.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_cells import (
    below_cell,
    cell_density,
    free_cells,
    ladder_cells,
    normal_cells,
)
from neurolp.kernels.stream_laws import (
    FREE,
    LADDER,
    LOG_TAIL,
    N_FREE,
    N_RUNGS,
    NORMAL,
    RUNGS,
    SCALES,
    SHAPES,
    TAIL_SCALES,
    TAIL_SHARE,
    below,
    follow_scales,
    free_components,
    free_law,
    gaussian,
    ladder_law,
    learn_free,
    learn_ladder,
    learn_nodes,
    node_variances,
    normal_law,
    rung_weight,
    tail_log_density,
)
from neurolp.kernels.stream_means import FIRST_VALUES, add_same_step, bounded, predict_means
from neurolp.kernels.stream_passes import total_of
from neurolp.kernels.stream_state import Experts, ExpertScratch

_SHARE, _FIRST_SHARE = 2e-4, 0.01  # for all experts alike, at last and at first
_LEAST = 1e-24  # variance, as a share of that of the first values
_NORMALISER = 0.3989422804014327
_TINY = 1e-300


@ordered_kernel
def predict_value(
    experts: Experts, v: int, readout: float, doubt: float, scratch: ExpertScratch
) -> None:
    """Means of all experts of a value, and the expected value.

    ``readout`` and ``doubt`` are the mean that the readout predicts and its variance, NaN while it
    predicts nothing. It sleeps where it predicts what is far beyond all values so far.
    """
    experts.known[v] = False
    if experts.seen[v] < FIRST_VALUES:
        experts.now[v] = experts.expected[v] = readout
        return
    predict_means(experts, v, scratch)
    n_means = experts.mean.shape[1]
    last = n_means - 1
    possible = readout == bounded(experts, v, readout) and doubt < inf  # and it is a number
    experts.awake[v, last] = 1.0 if possible else 0.0
    if possible:
        experts.mean[v, last], experts.doubt[v, last] = readout, doubt
    least = _LEAST * experts.unit[v, 1] ** 2
    most = _greatest_variance(experts, v)
    node = experts.scale[v, SCALES - 1]
    node_variances(experts.average[v], experts.blend[v], least, most, node)
    _share_prediction(experts, v)
    share, mean, reference = experts.share[v], experts.mean[v], experts.mean[v, 1]
    product = scratch.product
    for law in range(SHAPES):
        for k in range(SCALES):
            start, scale = (law * SCALES + k) * n_means, experts.scale[v, k]
            for m in range(n_means):
                w, x = share[start + m], mean[m] - reference
                product[0, start + m] = w * x
                product[1, start + m] = w * (x * x + scale[m] * (1.0 + experts.doubt[v, m]))
    w, x = share[share.shape[0] - 1], mean[last] - reference
    product[0, share.shape[0] - 1] = w * x
    own = experts.scale[v, 0, last] * (1.0 + experts.doubt[v, last])
    product[1, share.shape[0] - 1] = w * (x * x + own)
    first, second = total_of(product[0]), total_of(product[1])
    experts.expected[v] = reference + first
    experts.spread[v] = sqrt(max(second - first * first, least))
    experts.now[v] = experts.expected[v]


@ordered_kernel
def _greatest_variance(experts: Experts, v: int) -> float:
    """No residual is larger than the range of the values so far."""
    width: float = max(experts.unit[v, 1], experts.bounds[v, 1] - experts.bounds[v, 0])
    return width * width


@ordered_kernel
def _share_prediction(experts: Experts, v: int) -> None:
    """Shares of the experts in the prediction: their weights, but none of those that sleep."""
    weight, share = experts.weight[v], experts.share[v]
    n_means = experts.mean.shape[1]
    n = weight.shape[0]
    for start in range(0, n - 1, n_means):
        for m in range(n_means):
            share[start + m] = experts.awake[v, m] * weight[start + m]
    share[n - 1] = experts.awake[v, n_means - 1] * weight[n - 1]
    total = total_of(share)
    for e in range(n):
        share[e] /= total


@ordered_kernel
def meet_value(
    experts: Experts, v: int, x: float, shift: float, cdf: float, cell: float, opened: bool,
    place: float, scratch: ExpertScratch,
) -> float:  # fmt: skip
    """P(value <= x), and the densities of all experts, for :func:`learn_value`.

    The means are corrected by the values before in the same sensor, which are known now: that of
    the readout by ``shift``. ``cdf`` is what its own law says. Both are NaN while it predicts
    nothing. A value on a grid has a ``cell`` of this width, ``opened`` below for the least one:
    densities are means in it, and the probability is taken at the share ``place`` of it.
    """
    experts.now[v], experts.known[v] = x, True
    if experts.seen[v] < FIRST_VALUES:
        return cdf
    add_same_step(experts, v)
    n_means = experts.mean.shape[1]
    last = n_means - 1
    if experts.awake[v, last]:
        experts.mean[v, last] += shift
    for m in range(n_means):
        scratch.residual[m] = (x - experts.mean[v, m]) / sqrt(1.0 + experts.doubt[v, m])
    for k in range(SCALES):
        scale = experts.scale[v, k]
        for m in range(n_means):
            p, inverse = k * n_means + m, 1.0 / sqrt(scale[m])
            scratch.z[p] = scratch.residual[m] * inverse
            scratch.inverse[p] = inverse / sqrt(1.0 + experts.doubt[v, m])
            scratch.awake[p] = experts.awake[v, m]
    free_components(experts.moments[v], scratch.components)
    density, cumulated = scratch.density, scratch.cdf
    if cell > 0.0:
        half = scratch.product[1, : scratch.z.shape[0]]
        for p in range(half.shape[0]):
            half[p] = 0.5 * cell * scratch.inverse[p]
        normal_cells(scratch.z, half, opened, place, density[NORMAL], cumulated[NORMAL])
        ladder_cells(
            scratch.z, half, opened, place, experts.ladder[v], density[LADDER], cumulated[LADDER],
            scratch.ladder_part,
        )  # fmt: skip
        free_cells(
            scratch.z, half, opened, place, scratch.components, density[FREE], cumulated[FREE],
            scratch.free_part,
        )  # fmt: skip
    else:
        normal_law(scratch.z, density[NORMAL], cumulated[NORMAL])
        ladder_law(
            scratch.z, experts.ladder[v], density[LADDER], cumulated[LADDER], scratch.ladder_part
        )
        free_law(scratch.z, scratch.components, density[FREE], cumulated[FREE], scratch.free_part)
    share, n_pairs = experts.share[v], SCALES * n_means
    own, lower = share[SHAPES * n_pairs], scratch.product[0]
    lower[SHAPES * n_pairs] = own * cdf if own > 0.0 else 0.0
    for law in range(SHAPES):
        for p in range(n_pairs):
            lower[law * n_pairs + p] = share[law * n_pairs + p] * cumulated[law, p]
    z, tail = (x - experts.expected[v]) / experts.spread[v], 0.0
    for r in range(TAIL_SCALES.shape[0]):
        y, h = z / TAIL_SCALES[r], 0.5 * cell / (experts.spread[v] * TAIL_SCALES[r])
        lowest = below(y, gaussian(y))
        if cell > 0.0:
            mass = cell_density(y, h, opened) * _NORMALISER * 2.0 * h
            lowest = below_cell(y, h, opened) + place * mass
        tail += exp(LOG_TAIL[r]) * lowest
    out: float = (1.0 - TAIL_SHARE) * total_of(lower) + TAIL_SHARE * tail
    return out


@ordered_kernel
def learn_value(
    experts: Experts, v: int, x: float, own: float, cell: float, opened: bool, learn: bool,
    scratch: ExpertScratch,
) -> float:  # fmt: skip
    """Log-density of a value after :func:`meet_value`, and update of weights, laws and scales.

    ``own`` is the log-density of the readout with its own law, NaN while it predicts nothing.
    """
    if experts.seen[v] < FIRST_VALUES:
        return own
    n_means = experts.mean.shape[1]
    last, n_pairs = n_means - 1, SCALES * n_means
    density, n = scratch.density, float(experts.seen[v] - FIRST_VALUES)
    own_density = exp(max(own, -700.0)) if experts.awake[v, last] else 0.0
    share = experts.share[v]
    product = scratch.product[0]
    product[SHAPES * n_pairs] = share[SHAPES * n_pairs] * own_density
    for law in range(SHAPES):
        for p in range(n_pairs):
            found = density[law, p] * scratch.inverse[p] * _NORMALISER
            product[law * n_pairs + p] = share[law * n_pairs + p] * found
    mixture = total_of(product)
    spread = experts.spread[v]
    z = (x - experts.expected[v]) / spread
    if cell > 0.0:
        tail = 0.0
        for r in range(TAIL_SCALES.shape[0]):
            h = 0.5 * cell / (spread * TAIL_SCALES[r])
            found = cell_density(z / TAIL_SCALES[r], h, opened) / TAIL_SCALES[r]
            tail += exp(LOG_TAIL[r]) * found * _NORMALISER
        tail = log(max(tail, _TINY)) - log(spread) + log(TAIL_SHARE)
    else:
        tail = tail_log_density(z) - log(spread) + log(TAIL_SHARE)
    out = tail
    believed = 0.0  # what the tail explains says nothing of the experts
    if mixture > 0.0:
        a = log(1.0 - TAIL_SHARE) + log(mixture)
        high = max(a, tail)
        out = high + log(exp(a - high) + exp(tail - high))
        believed = exp(a - out)
    if learn:
        learn_ladder(n, scratch.awake, experts.ladder[v], density[LADDER], scratch.ladder_part)
        learn_free(
            n, scratch.awake, scratch.z, experts.moments[v], density[FREE], scratch.free_part
        )
        learn_nodes(
            scratch.residual, experts.awake[v], experts.scale[v, SCALES - 1],
            experts.average[v], experts.blend[v],
        )  # fmt: skip
        if mixture > 0.0:
            _learn_weights(experts, v, own_density, mixture, believed, scratch)
    least, most = _LEAST * experts.unit[v, 1] ** 2, _greatest_variance(experts, v)
    follow_scales(
        n, least, most, scratch.residual, experts.awake[v], experts.scale[v], experts.average[v]
    )
    return out


@ordered_kernel
def _learn_weights(
    experts: Experts, v: int, own: float, mixture: float, believed: float, scratch: ExpertScratch
) -> None:
    """Weights by the surprise of each expert, with a fixed share of what is awake for all.

    ``own`` is the density of the readout's own law, ``mixture`` that of all experts, ``believed``
    the probability that the value is of them and not of the tail.
    """
    weight, density, now = experts.weight[v], scratch.density, scratch.product[0]
    n_pairs, last = density.shape[1], experts.mean.shape[1] - 1
    for law in range(SHAPES):
        for p in range(n_pairs):
            now[law * n_pairs + p] = scratch.awake[p] * weight[law * n_pairs + p]
    now[SHAPES * n_pairs] = experts.awake[v, last] * weight[SHAPES * n_pairs]
    fixed = max(_SHARE, min(_FIRST_SHARE, 1.0 / (experts.seen[v] - FIRST_VALUES + 1.0)))
    share = fixed * total_of(now) / weight.shape[0]
    for law in range(SHAPES):
        for p in range(n_pairs):
            w = weight[law * n_pairs + p]
            ratio = density[law, p] * scratch.inverse[p] * _NORMALISER / mixture
            moved = (1.0 - fixed) * w * (1.0 + believed * (ratio - 1.0)) + share
            weight[law * n_pairs + p] = w + scratch.awake[p] * (moved - w)
    if experts.awake[v, last]:
        w = weight[SHAPES * n_pairs] * (1.0 + believed * (own / mixture - 1.0))
        weight[SHAPES * n_pairs] = (1.0 - fixed) * w + share
    everything = total_of(weight)
    for e in range(weight.shape[0]):
        weight[e] /= everything


@ordered_kernel
def write_components(experts: Experts, v: int, scratch: ExpertScratch, out: Array) -> float:
    """Mean's number, weight, offset and scale of all components (C, 4), zero of those that sleep.

    Returns the weight of the readout with its own law. All weights add to 1 - TAIL_SHARE.
    """
    share, n_means, all_ = experts.share[v], experts.mean.shape[1], 1.0 - TAIL_SHARE
    n_pairs = SCALES * n_means
    free_components(experts.moments[v], scratch.components)
    c = 0
    for p in range(n_pairs):
        m = p % n_means
        scale = sqrt(experts.scale[v, p // n_means, m] * (1.0 + experts.doubt[v, m]))
        out[c, 0], out[c, 1], out[c, 3] = m, all_ * share[p], scale
        c += 1
        for r in range(N_RUNGS):
            w = rung_weight(experts.ladder[v, r, p])
            out[c, 0], out[c, 1] = m, all_ * share[n_pairs + p] * w
            out[c, 3] = scale * RUNGS[r]
            c += 1
        for k in range(N_FREE):
            w, mean = scratch.components[0, k, p], scratch.components[1, k, p]
            out[c, 0], out[c, 1] = m, all_ * share[2 * n_pairs + p] * w
            out[c, 2], out[c, 3] = scale * mean, scale * scratch.components[2, k, p]
            c += 1
    own: float = all_ * share[SHAPES * n_pairs]
    return own
