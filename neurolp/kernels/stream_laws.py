"""Laws of residuals: scales from past residuals, and shapes, of all means of a value together.

A predicted mean has one residual a step, e = (x - mean) / sqrt(1 + q) with q the doubt of the mean.
``SCALES`` predictors of its variance (four moving averages, and a node that mixes seven more) and
three shapes (normal; a ladder of scales; a free mixture) are SCALES * SHAPES normalised densities.
A scale and a mean are a pair, number k M + m; all loops run over pairs, in vector registers.
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.exponential import exponential

# Rates at which variances follow squared residuals, and those that the node mixes: the fastest is
# the last squared residual, the slowest nearly a mean, so that GARCH(1, 1) is among the mixtures.
RATES = np.array([0.003, 0.02, 0.08, 0.25])
NODE_RATES = np.array([0.002, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0])
SCALES, SHAPES = len(RATES) + 1, 3
NORMAL, LADDER, FREE = 0, 1, 2
# Scales of the ladder: far below one for values that repeat, above for heavy tails.
RUNGS = 2.0 ** np.array([-14, -12, -10, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4])
N_RUNGS, N_FREE = len(RUNGS), 8
# Scales of the tail that all predictions share, in standard deviations, and log-weights, which make
# the density fall like the fourth power of the distance and keep the variance.
_TAIL_OCTAVES = np.array([6, 10, 14, 20, 28, 40, 60, 90, 140, 220, 340, 500])
_TAIL = -(_TAIL_OCTAVES - 6) * np.log(8.0)
LOG_TAIL = _TAIL - np.log(np.exp(_TAIL).sum())
TAIL_SCALES = 2.0**_TAIL_OCTAVES
TAIL_SHARE = 1e-5

CLIP = 10.0  # of residuals from which scales learn, in present scales
_FLOOR = 2e-6  # share of the weights of a shape that is the same for all its components
_LADDER_ROWS, _LADDER_RATE = 20.0, 0.003
_FREE_ROWS, _FREE_RATE, _FREE_VARIANCE = 100.0, 0.001, 1e-3
_SCALE_ROWS = 4.0
_NODE_STEP, _NODE_CLIP = 0.05, 3.0
_TINY = 1e-290
_HALF_LOG_2PI = 0.9189385332046727


@ordered_kernel
def gaussian(x: float) -> float:
    """exp(-x^2 / 2), zero beyond 37."""
    a = -0.5 * x * x
    out: float = exponential(max(a, -700.0))
    return out if a > -700.0 else 0.0


@ordered_kernel
def below(x: float, e: float) -> float:
    """Normal distribution function, given e = exp(-x^2 / 2), to 1e-15.

    Source: J. F. Hart et al., "Computer Approximations" (1968), algorithm 5666.
    """
    a = min(abs(x), 40.0)
    p = 0.0352624965998911 * a + 0.700383064443688
    p = (p * a + 6.37396220353165) * a + 33.912866078383
    p = (p * a + 112.079291497871) * a + 221.213596169931
    p = p * a + 220.206867912376
    q = 0.0883883476483184 * a + 1.75566716318264
    q = (q * a + 16.064177579207) * a + 86.7807322029461
    q = (q * a + 296.564248779674) * a + 637.333633378831
    q = (q * a + 793.826512519948) * a + 440.413735824752
    tail = e * p / q
    return 1.0 - tail if x > 0.0 else tail


@ordered_kernel
def free_components(moments: Array, out: Array) -> None:
    """Weights, means and standard deviations (3, N_FREE, P) of the free mixtures, from moments.

    The weights of a mixture sum to 1, and none is zero.
    """
    for c in range(N_FREE):
        w, first, second = moments[0, c], moments[1, c], moments[2, c]
        for p in range(w.shape[0]):
            inverse = 1.0 / max(w[p], 1e-12)
            mean = first[p] * inverse
            out[0, c, p] = (1.0 - _FLOOR) * w[p] + _FLOOR / N_FREE
            out[1, c, p] = mean
            out[2, c, p] = sqrt(max(second[p] * inverse - mean * mean, _FREE_VARIANCE))


@ordered_kernel
def rung_weight(weight: float) -> float:
    """Weight of a rung of the ladder, never zero; the weights sum to 1."""
    return (1.0 - _FLOOR) * weight + _FLOOR / N_RUNGS


@ordered_kernel
def normal_law(z: Array, density: Array, cdf: Array) -> None:
    """Densities, up to 1 / sqrt(2 pi), and distribution functions (P,) of residuals ``z``."""
    for p in range(z.shape[0]):
        e = gaussian(z[p])
        density[p] = e
        cdf[p] = below(z[p], e)


@ordered_kernel
def ladder_law(z: Array, weights: Array, density: Array, cdf: Array, part: Array) -> None:
    """As :func:`normal_law`, for ladders with ``weights`` (rungs, P); ``part`` is their parts."""
    for p in range(z.shape[0]):
        density[p] = cdf[p] = 0.0
    for r in range(N_RUNGS):
        inverse = 1.0 / RUNGS[r]
        for p in range(z.shape[0]):
            x, w = z[p] * inverse, rung_weight(weights[r, p])
            e = gaussian(x)
            part[r, p] = w * inverse * e
            density[p] += part[r, p]
            cdf[p] += w * below(x, e)


@ordered_kernel
def free_law(z: Array, components: Array, density: Array, cdf: Array, part: Array) -> None:
    """As :func:`normal_law`, for free mixtures; ``part`` (N_FREE, P) is their components' parts."""
    for p in range(z.shape[0]):
        density[p] = cdf[p] = 0.0
    for c in range(N_FREE):
        for p in range(z.shape[0]):
            w, inverse = components[0, c, p], 1.0 / components[2, c, p]
            x = (z[p] - components[1, c, p]) * inverse
            e = gaussian(x)
            part[c, p] = w * inverse * e
            density[p] += part[c, p]
            cdf[p] += w * below(x, e)


@ordered_kernel
def learn_ladder(n: float, awake: Array, weights: Array, density: Array, part: Array) -> None:
    """Online expectation-maximisation of the ladders' weights; what is far is of the widest."""
    rate = max(1.0 / (n + _LADDER_ROWS), _LADDER_RATE)
    last = N_RUNGS - 1
    for r in range(last + 1):
        least = _TINY if r == last else 0.0
        for p in range(density.shape[0]):
            share = (part[r, p] + least) / (density[p] + _TINY)
            weights[r, p] += rate * awake[p] * (share - weights[r, p])


@ordered_kernel
def learn_free(
    n: float, awake: Array, z: Array, moments: Array, density: Array, part: Array
) -> None:
    """Online expectation-maximisation of the free mixtures; what is far is of the last."""
    rate = max(2.0 / (n + _FREE_ROWS), _FREE_RATE)
    for c in range(N_FREE):
        least = _TINY if c == N_FREE - 1 else 0.0
        for p in range(density.shape[0]):
            share = (part[c, p] + least) / (density[p] + _TINY)
            near, step = min(max(z[p], -3.0 * CLIP), 3.0 * CLIP), rate * awake[p]
            moments[0, c, p] += step * (share - moments[0, c, p])
            moments[1, c, p] += step * (share * near - moments[1, c, p])
            moments[2, c, p] += step * (share * near * near - moments[2, c, p])


@ordered_kernel
def node_variances(averages: Array, blend: Array, least: float, most: float, out: Array) -> None:
    """Variances (M,) that the volatility nodes predict: sum_r blend_r averages_r."""
    for m in range(out.shape[0]):
        out[m] = 0.0
    for r in range(averages.shape[0]):
        for m in range(out.shape[0]):
            out[m] += blend[r, m] * averages[r, m]
    for m in range(out.shape[0]):
        out[m] = min(max(out[m], least), most)


@ordered_kernel
def learn_nodes(residual: Array, awake: Array, scale: Array, averages: Array, blend: Array) -> None:
    """Multiplicative step of the volatility nodes on the surprise of the squared residuals.

    With v = sum_r a_r m_r the slope of -log N(e; 0, v) in log a_r is (1 - e^2 / v) a_r m_r / (2 v).
    """
    for r in range(averages.shape[0]):
        for m in range(residual.shape[0]):
            square = min(residual[m] * residual[m] / scale[m], CLIP * CLIP)
            slope = max(0.5 * (1.0 - square), -_NODE_CLIP)
            step = -_NODE_STEP * awake[m] * slope * blend[r, m] * averages[r, m] / scale[m]
            moved = blend[r, m] * exponential(min(max(step, -10.0), 10.0))
            blend[r, m] = min(max(moved, 1e-13), 2e4)


@ordered_kernel
def follow_scales(
    n: float, least: float, most: float, residual: Array, awake: Array, scale: Array,
    averages: Array,
) -> None:  # fmt: skip
    """Move the variances (SCALES, M) and the averages of the nodes towards squared residuals."""
    node = scale[RATES.shape[0]]
    for r in range(averages.shape[0]):
        rate = max(1.0 / (n + _SCALE_ROWS), NODE_RATES[r])
        for m in range(residual.shape[0]):
            near = min(residual[m] * residual[m], CLIP * CLIP * node[m])
            moved = averages[r, m] + rate * awake[m] * (near - averages[r, m])
            averages[r, m] = min(max(moved, least), most)
    for k in range(RATES.shape[0]):
        rate = max(1.0 / (n + _SCALE_ROWS), RATES[k])
        for m in range(residual.shape[0]):
            near = min(residual[m] * residual[m], CLIP * CLIP * scale[k, m])
            moved = scale[k, m] + rate * awake[m] * (near - scale[k, m])
            scale[k, m] = min(max(moved, least), most)


@ordered_kernel
def tail_log_density(z: float) -> float:
    """Log-density of the shared tail, of a residual in standard deviations."""
    top = -np.inf
    for k in range(TAIL_SCALES.shape[0]):
        x = z / TAIL_SCALES[k]
        top = max(top, LOG_TAIL[k] - log(TAIL_SCALES[k]) - 0.5 * x * x)
    total = 0.0
    for k in range(TAIL_SCALES.shape[0]):
        x = z / TAIL_SCALES[k]
        total += exp(LOG_TAIL[k] - log(TAIL_SCALES[k]) - 0.5 * x * x - top)
    return top + log(total) - _HALF_LOG_2PI
