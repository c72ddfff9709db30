"""Learning marginal maps: a density tree per column, kept where validation data improve."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity
from neurolp.brain.heads.mixture import fit_mixture
from neurolp.brain.marginal import MarginalMap, MarginalTransform, log_interval, student_log_cdf
from neurolp.brain.workers import Workers

_COMPONENTS = (3, 8)
_PRIOR_ROWS = 0.1
_STANDARD_ERRORS = 2.0
_LEAST_SHARE = 1e-3


def learn_marginal_transform(
    base: BaseDensity, train: Array, validation: Array, n_threads: int | None = None
) -> MarginalTransform | None:
    """Learn marginal maps on potentials (n_nodes, n_trajectories); None where no node wants one.

    A node gets its density tree only if, on validation data, that describes its column better
    than smooth mixtures of Gaussians do, by two standard errors of the paired difference: the tree
    is for steps and spikes, not for clusters.
    """

    def learn(column: tuple[Array, Array]) -> MarginalMap:
        u, v = column
        marginal_map = grow_marginal_map(base, u)
        if len(marginal_map.masses) > 1:
            out, slope = marginal_map.forward(v)
            gain = slope - base.energy(out) - _smooth_log_prob(base, u, v)
            error = gain.std() / np.sqrt(len(gain))
            if len(gain) < 2 or gain.mean() <= _STANDARD_ERRORS * error:
                return MarginalMap(base, np.empty(0), np.ones(1))
        return marginal_map

    with Workers(n_threads) as workers:
        marginal_maps = workers.map(learn, list(zip(train, validation, strict=True)))
    learned = MarginalTransform(tuple(marginal_maps))
    return None if learned.are_identity else learned


def grow_marginal_map(base: BaseDensity, u: Array) -> MarginalMap:
    """Grow a density tree on one column of potentials (n,).

    A bin of m of the n rows and width w (of H, see ``brain.marginal``) is cut in two where the gain
    of log-likelihood, sum of m_i log(m_i w / (m w_i)) over the two halves, is largest, as long as
    that is more than log n (one cut has two parameters: its place and its mass). Cuts lie half-way
    to the neighbours of a row. The bins share one row more, spread as H is, but none gets less than
    a thousandth of it: the bins of a lighter one could not be told apart after the map.
    """
    u = np.sort(u.astype(np.float64))
    n = len(u)
    half = 0.5 * np.diff(u)
    half = np.minimum(np.append(half, np.inf), np.append(np.inf, half))
    place = np.stack([u - half, u + half], axis=1).ravel()
    count = np.stack([np.arange(n), np.arange(1, n + 1)], axis=1).ravel()
    usable = np.isfinite(place) & (np.repeat(half, 2) > 8 * np.spacing(np.abs(np.repeat(u, 2))))
    place, count = place[usable], count[usable]

    edges: list[float] = []
    bins = [(-np.inf, 0, np.inf, n)]
    while bins:
        low, first, high, last = bins.pop()
        a, b = np.searchsorted(place, low, side="right"), np.searchsorted(place, high, side="left")
        if a >= b:
            continue
        x, m = place[a:b], last - first
        left = count[a:b] - first
        whole = log_interval(student_log_cdf, low, high)
        gain = _gain(left, m, log_interval(student_log_cdf, low, x) - whole)
        gain += _gain(m - left, m, log_interval(student_log_cdf, x, high) - whole)
        k = int(np.argmax(gain))
        if gain[k] > np.log(n):
            edges.append(float(x[k]))
            bins += [(low, first, float(x[k]), first + int(left[k]))]
            bins += [(float(x[k]), first + int(left[k]), high, last)]
    edge = np.sort(np.array(edges))
    ends = np.concatenate([[-np.inf], edge, [np.inf]])
    held = np.diff(np.searchsorted(u, ends))
    shared = np.exp(log_interval(student_log_cdf, ends[:-1], ends[1:]))
    masses = held + np.maximum(shared, _LEAST_SHARE)
    return MarginalMap(base, edge, masses / masses.sum())


def _gain(part: Array, whole: int, log_width: Array) -> Array:
    """m_i log(m_i w / (m w_i)) with ``log_width`` = log(w_i / w); no gain where a width is lost."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(part == 0, 0.0, part * (np.log(part / whole) - log_width))
    return np.where(np.isfinite(log_width) & np.isfinite(gain), gain, -np.inf)


def _smooth_log_prob(base: BaseDensity, u: Array, v: Array) -> Array:
    """Log-density of ``v`` under the better of two mixtures of Gaussians fitted to ``u``."""
    fits = [
        fit_mixture(u[None], k, _PRIOR_ROWS, 0, scale=base.std).log_prob(v[None])
        for k in _COMPONENTS
        if k <= len(u) / 3
    ]
    return max(fits, key=np.mean, default=-base.energy(v))
