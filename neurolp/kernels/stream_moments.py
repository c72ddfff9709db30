"""Means and variances of what the experts of a sensor predict together."""

from __future__ import annotations

from math import exp, sqrt

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_laws import (
    LOG_TAIL,
    N_FREE,
    N_RUNGS,
    RUNGS,
    SCALES,
    TAIL_SCALES,
    TAIL_SHARE,
    free_components,
    rung_weight,
)
from neurolp.kernels.stream_means import IN_SENSOR, REGRESSIONS, SIMPLE
from neurolp.kernels.stream_state import Experts, ExpertScratch, Readout, Senses


@ordered_kernel
def write_moments(
    experts: Experts, senses: Senses, readout: Readout, s: int, wide: float, mean: Array,
    std: Array, scratch: ExpertScratch,
) -> None:  # fmt: skip
    """Means (d,) and standard deviations (d,) of the values of a sensor, one after another.

    Each value is linear in those before it, by mean: its moments follow from theirs. ``wide`` is
    the factor that the readout's doubt makes its own law wider by.
    """
    first, v, d = senses.output[s], experts.value[s], senses.size[s]
    covariance, slope, product = scratch.covariance, scratch.slope, scratch.shared
    last = experts.mean.shape[1] - 1
    for i in range(d):
        w, a = v + i, first + i
        mass = square = 0.0
        for j in range(i):
            product[j] = 0.0
        centre = experts.expected[w]
        free_components(experts.moments[w], scratch.components)
        for m in range(last + 1):
            weight, offset, second = _law_moments(experts, w, m, scratch.components)
            if m == last:
                own = experts.share[w, experts.share.shape[1] - 1]
                o, q = _own_moments(senses, readout, a, wide)
                weight, offset, second = weight + own, offset + own * o, second + own * q
            _slopes(experts, senses, readout, s, i, m, slope)
            here = experts.mean[w, m] - centre
            for j in range(i):
                at = experts.mean[v + j, m] if m == last else experts.expected[v + j]
                here += slope[j] * (mean[j] - at)
            mass += weight * here + offset
            square += weight * here * here + 2.0 * here * offset + second
            for j in range(i):
                product[j] += weight * slope[j]
                for k in range(i):
                    square += weight * slope[j] * slope[k] * covariance[j, k]
        tail = 0.0
        for k in range(TAIL_SCALES.shape[0]):
            tail += exp(LOG_TAIL[k]) * TAIL_SCALES[k] ** 2
        tail *= experts.spread[w] ** 2
        mean[i] = centre + (1.0 - TAIL_SHARE) * mass
        square = (1.0 - TAIL_SHARE) * square + TAIL_SHARE * tail
        covariance[i, i] = square - (mean[i] - centre) ** 2
        std[i] = sqrt(covariance[i, i])
        for j in range(i):
            shared = 0.0
            for k in range(i):
                shared += product[k] * (1.0 - TAIL_SHARE) * covariance[k, j]
            covariance[i, j] = covariance[j, i] = shared


@ordered_kernel
def _law_moments(experts: Experts, v: int, m: int, components: Array) -> tuple[float, float, float]:
    """Weight of a mean, and weighted first and second moments of its residuals."""
    weight = first = second = 0.0
    n_means = experts.mean.shape[1]
    n_pairs = SCALES * n_means
    for k in range(SCALES):
        variance, p = experts.scale[v, k, m] * (1.0 + experts.doubt[v, m]), k * n_means + m
        normal, ladder, free = (
            experts.share[v, p], experts.share[v, n_pairs + p], experts.share[v, 2 * n_pairs + p]
        )  # fmt: skip
        weight += normal + ladder + free
        second += normal * variance
        for r in range(N_RUNGS):
            second += ladder * rung_weight(experts.ladder[v, r, p]) * variance * RUNGS[r] ** 2
        for c in range(N_FREE):
            w, mean, std = components[0, c, p], components[1, c, p], components[2, c, p]
            first += free * w * sqrt(variance) * mean
            second += free * w * variance * (mean * mean + std * std)
    return weight, first, second


@ordered_kernel
def _own_moments(senses: Senses, readout: Readout, a: int, wide: float) -> tuple[float, float]:
    """First and second moment of a residual by the readout's own law, in raw units."""
    scale = senses.scale[a] * readout.factor[a, a] * wide
    first = second = 0.0
    for j in range(readout.shape.shape[1]):
        w, m, s = readout.shape[a, j, 0], readout.shape[a, j, 1], readout.shape[a, j, 2]
        first += w * m
        second += w * (m * m + s * s)
    return scale * first, scale * scale * second


@ordered_kernel
def _slopes(
    experts: Experts, senses: Senses, readout: Readout, s: int, i: int, m: int, out: Array
) -> None:
    """Slopes (i,) of a mean in the values before in the same sensor, in raw units."""
    first, v, last = senses.output[s], experts.value[s], experts.mean.shape[1] - 1
    for j in range(i):
        out[j] = 0.0
    if m == last:
        # b' L = l for the rows l = L_i before the diagonal: from the last to the first.
        for j in range(i - 1, -1, -1):
            total = readout.factor[first + i, first + j]
            for k in range(j + 1, i):
                total -= out[k] * readout.factor[first + k, first + j]
            out[j] = total / readout.factor[first + j, first + j]
        for j in range(i):
            out[j] *= senses.scale[first + i] / senses.scale[first + j]
        return
    n_sizes = experts.size.shape[0]
    r = (m - SIMPLE + 1) // n_sizes - 1
    if m < SIMPLE or r >= REGRESSIONS or m != SIMPLE + (r + 1) * n_sizes - 1:
        return
    for o in range(experts.other.shape[1]):
        if experts.same_step[v + i, o] == IN_SENSOR:
            out[experts.other[v + i, o] - v] = experts.slope[v + i, r, o]
