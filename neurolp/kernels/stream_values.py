"""Prediction of values: a linear mean, and residuals of any shape by a triangular map."""

from __future__ import annotations

from math import erfc, exp, log, sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import vector_kernel
from neurolp.kernels.stream_cells import below_mixture_cell, mixture_cell
from neurolp.kernels.stream_passes import fill
from neurolp.kernels.stream_state import Readout, Senses

OUTLIER = 30.0  # standardised residual, beyond which errors are learned as if they were there
SHAPE_PRIOR = 200.0  # steps that the initial shape of residuals counts for

_LOG_2PI = 1.8378770664093453
_ROOT_2PI = 2.5066282746310002
_SQRT_HALF = 0.7071067811865476
_TINY, _LEAST_MASS = 1e-300, 1e-280


@vector_kernel
def observe_values(
    x: Array, s: int, senses: Senses, readout: Readout, learn: bool, doubt: float,
    o: Array, error: Array, pit: Array, room: Array, mean: Array, log_density: Array, place: float,
) -> float:  # fmt: skip
    """Surprise of the values of one sensor, update of residuals, and the readout's error.

    ``o`` and ``error`` are in scaled units, ``x`` in raw ones. ``mean`` and ``log_density`` take
    the location of each value given those before it, and its log-density, in raw units; of values
    on a grid the mean density in their cell, and ``pit`` at the share ``place`` of it.

    x = mean + L e sqrt(1 + doubt), L the factor of the residuals' covariance, and each e_i has the
    density sum_j w_j N(m_j, s_j^2): one monotone map after another, the Jacobian triangular.
    """
    first, d = senses.output[s], senses.size[s]
    if np.isnan(x[0]):
        fill(pit, np.nan)
        fill(error, 0.0)
        return np.nan
    factor, shape = readout.factor, readout.shape
    spread = sqrt(1.0 + doubt)
    surprise: float = d * (log(spread) + 0.5 * _LOG_2PI)
    for i in range(d):
        a = first + i
        error[i] = (x[i] - senses.location[a]) / senses.scale[a] - o[i]
    for i in range(d):
        a = first + i
        e = error[i] / spread
        for j in range(i):
            e -= factor[a, first + j] * pit[j]
        e /= factor[a, a]
        pit[i] = e
        mean[i] = x[i] - senses.scale[a] * spread * factor[a, a] * e
        half = 0.5 * senses.cell[a] / (senses.scale[a] * spread * factor[a, a])
        opened = x[i] <= senses.least[a]
        inside = mixture_cell(shape[a], e, half, opened) if half > 0.0 else 0.0
        # Far away a mass would be 0 in floating point: there it is the density times the width.
        found = log(inside) if inside > _LEAST_MASS else _log_density(e, shape[a])
        found -= log(factor[a, a] * senses.scale[a])
        log_density[i] = found - log(spread) - 0.5 * _LOG_2PI
        surprise -= found
    # An outlier is learned as if it were nearer: it may be 1e9 times as far as all others.
    largest = 0.0
    for i in range(d):
        largest = max(largest, abs(pit[i]))
    near = min(1.0, OUTLIER / max(largest, _TINY))
    for i in range(d):
        a = first + i
        e, below = pit[i], 0.0
        half = 0.5 * senses.cell[a] / (senses.scale[a] * spread * factor[a, a])
        if half > 0.0:
            opened = x[i] <= senses.least[a]
            below = below_mixture_cell(shape[a], e, half, opened)
            mass = mixture_cell(shape[a], e, half, opened) * 2.0 * half / _ROOT_2PI
            below += place * mass
        else:
            for j in range(shape.shape[1]):
                u = (e - shape[a, j, 1]) / shape[a, j, 2]
                below += 0.5 * shape[a, j, 0] * erfc(-u * _SQRT_HALF)
        pit[i] = below
        error[i] *= near
        if learn:
            _learn_shape(near * e, shape[a], readout.moments[a], senses.seen[s])
    if learn:
        block = factor[first : first + d, first : first + d]
        _learn_factor(error, spread, block, senses.seen[s], room)
    return surprise


@vector_kernel
def _log_density(e: float, shape: Array) -> float:
    """Log sum_j w_j / s_j exp(-((e - m_j) / s_j)^2 / 2), exact however far e lies."""
    top = -np.inf
    for j in range(shape.shape[0]):
        u = (e - shape[j, 1]) / shape[j, 2]
        top = max(top, -0.5 * u * u)
    total = 0.0
    for j in range(shape.shape[0]):
        u = (e - shape[j, 1]) / shape[j, 2]
        total += shape[j, 0] / shape[j, 2] * exp(-0.5 * u * u - top)
    return top + log(max(total, _TINY))


@vector_kernel
def _learn_shape(e: float, shape: Array, moments: Array, seen: int) -> None:
    """Online expectation-maximisation of the residuals' mixture; its first part stays N(0, 1).

    The component nearest to e has weight exp(0): responsibilities sum to 1 however far e lies.
    """
    n = shape.shape[0]
    top = -np.inf
    for j in range(n):
        u = (e - shape[j, 1]) / shape[j, 2]
        top = max(top, -0.5 * u * u)
    total = 0.0
    for j in range(n):
        u = (e - shape[j, 1]) / shape[j, 2]
        total += shape[j, 0] / shape[j, 2] * exp(-0.5 * u * u - top)
    rate = 2.0 / (seen + 2.0 * SHAPE_PRIOR)
    for j in range(n):
        u = (e - shape[j, 1]) / shape[j, 2]
        share = shape[j, 0] / shape[j, 2] * exp(-0.5 * u * u - top) / total
        moments[j, 0] += rate * (share - moments[j, 0])
        moments[j, 1] += rate * (share * e - moments[j, 1])
        moments[j, 2] += rate * (share * e * e - moments[j, 2])
        shape[j, 0] = moments[j, 0]
        if j > 0:
            m = moments[j, 1] / max(moments[j, 0], _TINY)
            shape[j, 1] = m
            shape[j, 2] = sqrt(max(moments[j, 2] / max(moments[j, 0], _TINY) - m * m, 1e-6))


@vector_kernel
def _learn_factor(residual: Array, spread: float, factor: Array, seen: int, r: Array) -> None:
    """L L' <- (1 - rate) L L' + rate r r', by rotations (Gill, Golub, Murray and Saunders, 1974).

    ``r`` (d,) is scratch. The rate 2 / (n + 4) forgets the first errors, of a brain that knew
    nothing, sooner than a mean.
    """
    d = factor.shape[0]
    rate = 2.0 / (seen + 4.0)
    keep, push = sqrt(1.0 - rate), sqrt(rate) / spread
    for i in range(d):
        r[i] = residual[i] * push
    for i in range(d):
        a = keep * factor[i, i]
        b = max(sqrt(a * a + r[i] * r[i]), 1e-9)
        c, t = b / a, r[i] / a
        factor[i, i] = b
        for k in range(i + 1, d):
            w = keep * factor[k, i]
            factor[k, i] = (w + t * r[k]) / c
            r[k] = c * r[k] - t * factor[k, i]


@vector_kernel
def write_prediction(
    senses: Senses, readout: Readout, s: int, doubt: float, o: Array, mean: Array, std: Array
) -> None:
    """Means and standard deviations of the values of sensor ``s`` by the readout, in their units.

    All three arrays have the values of the sensor only.
    """
    shape, factor, first = readout.shape, readout.factor, senses.output[s]
    wide = sqrt(1.0 + doubt)
    for i in range(senses.size[s]):
        a, centre, variance = first + i, 0.0, 0.0
        for b in range(first, a + 1):
            m1, m2 = 0.0, 0.0
            for j in range(shape.shape[1]):
                w, m, d = shape[b, j, 0], shape[b, j, 1], shape[b, j, 2]
                m1 += w * m
                m2 += w * (m * m + d * d)
            centre += factor[a, b] * m1
            variance += factor[a, b] ** 2 * (m2 - m1 * m1)
        mean[i] = senses.location[a] + senses.scale[a] * (o[i] + wide * centre)
        std[i] = senses.scale[a] * wide * sqrt(variance)
