"""Marginal maps: each column is equalised, which removes steps and spikes of its density.

A sensory cell whose response follows the distribution function of its stimulus uses all responses
equally often (Laughlin, Z. Naturforsch. 36c, 1981). Where the density of a column has steps or
spikes, as counts, rounded and bounded measurements have, smooth node maps would need many slices
to follow them; a marginal map removes them at once. With H the distribution function of Student's t
with two degrees of freedom, whose heavy tails keep outliers apart, the bin from x_k to x_k+1 is
mapped to activities linearly in H,

    a' = c_k + p_k (H(u) - H(x_k)) / w_k,   w_k = H(x_k+1) - H(x_k),   u' = F^-1(a'),
    log du'/du = log p_k - log w_k + log H'(u) + E(u'),

with masses p_k > 0 that sum to 1 and c_k their partial sums: normalisation by differentiation in
one variable, exact and invertible. Everything is computed with logarithms, on the side where H or F
is small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity
from neurolp.brain.heads.mixture import fit_mixture
from neurolp.brain.workers import Workers
from neurolp.errors import NetworkError

Function = Callable[[Array], Array]

# Of learning: mixtures that a tree must beat, and by how much; least share of a row for a bin.
_COMPONENTS = (3, 8)
_PRIOR_ROWS = 0.1
_STANDARD_ERRORS = 2.0
_LEAST_SHARE = 1e-3
_ROWS_FOR_THREADS = 1 << 15  # with fewer, threads wait for the interpreter more than they compute


@dataclass(frozen=True)
class MarginalMap:
    """The map of one node: ``edges`` (K - 1,) between its K bins, in potential; ``masses`` (K,).

    Raises
    ------
    NetworkError
        If the edges do not increase, or the masses are not positive or do not sum to 1.
    """

    base: BaseDensity
    edges: Array
    masses: Array

    def __post_init__(self) -> None:
        if self.masses.shape != (len(self.edges) + 1,) or not np.all(np.diff(self.edges) > 0):
            raise NetworkError("marginal map edges must increase, and be one fewer than the masses")
        if not np.all(self.masses > 0) or not abs(self.masses.sum() - 1) < 1e-9:
            raise NetworkError("marginal map masses must be positive and sum to 1")

    def forward(self, u: Array) -> tuple[Array, Array]:
        """U -> (u', log du'/du), each of the shape of ``u`` (n,)."""
        if not len(self.edges):
            return u.copy(), np.zeros_like(u)
        k = np.searchsorted(self.edges, u, side="right")
        out = _move(u, k, self._inner, self._outer)
        slope = self._outer.log_width[k] - self._inner.log_width[k]
        return out, slope - 1.5 * np.log(2 + u * u) + self.base.energy(out)

    def inverse(self, out: Array) -> Array:
        """U' -> u."""
        if not len(self.edges):
            return out.copy()
        k = np.searchsorted(self._outer.ends[1:-1], out, side="right")
        return _move(out, k, self._outer, self._inner)

    @cached_property
    def _inner(self) -> _Bins:
        """The bins in u."""
        ends = np.concatenate([[-np.inf], self.edges, [np.inf]])
        log_width = log_interval(student_log_cdf, ends[:-1], ends[1:])
        lower, upper = student_log_cdf(ends[:-1]), student_log_cdf(-ends[1:])
        return _Bins(ends, log_width, lower, upper, student_log_cdf, student_quantile)

    @cached_property
    def _outer(self) -> _Bins:
        """The bins in u'."""
        with np.errstate(divide="ignore"):
            lower = np.log(np.append(0.0, np.cumsum(self.masses)[:-1]))
            upper = np.log(np.append(np.cumsum(self.masses[::-1])[::-1][1:], 0.0))
        quantile = self.base.potential_of_log
        edges = _from_sides(quantile, lower[1:], upper[:-1])
        ends = np.concatenate([[-np.inf], edges, [np.inf]])
        return _Bins(ends, np.log(self.masses), lower, upper, self.base.log_activity, quantile)


@dataclass(frozen=True)
class _Bins:
    """K bins from a_k to b_k (``ends``, K + 1) of a symmetric distribution function F.

    log(F(b) - F(a)), log F(a), log(1 - F(b)), (K,) each, and the functions log F and its inverse.
    """

    ends: Array
    log_width: Array
    log_lower: Array
    log_upper: Array
    log_cdf: Function
    quantile: Function


def _move(u: Array, k: Array, source: _Bins, target: _Bins) -> Array:
    """From bin k of the source to the same fraction of bin k of the target."""
    scale = target.log_width[k] - source.log_width[k]
    below = log_interval(source.log_cdf, source.ends[k], u) + scale
    above = log_interval(source.log_cdf, u, source.ends[k + 1]) + scale
    return _from_sides(
        target.quantile,
        np.logaddexp(target.log_lower[k], below),
        np.logaddexp(target.log_upper[k], above),
    )


def _from_sides(quantile: Function, log_below: Array, log_above: Array) -> Array:
    """The place with so much probability below and above it, from the smaller of the two."""
    inner = quantile(np.minimum(np.minimum(log_below, log_above), np.log(0.5)))
    return np.where(log_below <= log_above, inner, -inner)


def student_log_cdf(x: Array) -> Array:
    """Log H(x) = -log(s (s - x)), s = sqrt(2 + x^2): Student's t, two degrees of freedom."""
    s = np.sqrt(2 + np.square(x))
    with np.errstate(invalid="ignore"):
        inner = np.where(x < 0, s * (s - x), 2 / (1 + x / s))
    return np.asarray(np.where(np.isposinf(x), 0.0, -np.log(inner)))


def student_quantile(log_p: Array) -> Array:
    """H^-1(p) = (2 p - 1) / sqrt(2 p (1 - p))."""
    p = np.exp(log_p)
    with np.errstate(over="ignore"):
        root = np.exp(-0.5 * log_p)  # also where p itself is no number
    return np.asarray((2 * p - 1) * root / np.sqrt(-2 * np.expm1(log_p)))


@dataclass(frozen=True)
class MarginalTransform:
    """The marginal maps of all nodes; a marginal map of one bin is the identity."""

    nodes: tuple[MarginalMap, ...]

    def forward(self, potential: Array) -> tuple[Array, Array]:
        """U (n_nodes, n) -> u' and the log-determinant (n,) in nats."""
        out, log_det = np.empty(potential.shape), np.zeros(potential.shape[1])
        for i, marginal_map in enumerate(self.nodes):
            out[i], change = marginal_map.forward(potential[i].astype(np.float64))
            log_det += change
        return out, log_det

    def inverse(self, potential: Array) -> Array:
        """U' (n_nodes, n) -> u."""
        pairs = zip(self.nodes, potential, strict=True)
        return np.array([marginal_map.inverse(u.astype(np.float64)) for marginal_map, u in pairs])


def log_interval(log_cdf: Function, low: Any, high: Any) -> Array:
    """log(F(high) - F(low)) of a symmetric F, computed on the side where F is small."""
    with np.errstate(invalid="ignore", divide="ignore"):
        flip = np.add(low, high) > 0
        a, b = np.where(flip, np.negative(high), low), np.where(flip, np.negative(low), high)
        log_a, log_b = log_cdf(a), log_cdf(b)
        return np.asarray(log_b + np.log(-np.expm1(np.minimum(log_a - log_b, 0.0))))


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

    few = train.shape[1] < _ROWS_FOR_THREADS
    with Workers(1 if few else n_threads) as workers:
        marginal_maps = workers.map(learn, list(zip(train, validation, strict=True)))
    some = any(len(marginal_map.masses) > 1 for marginal_map in marginal_maps)
    return MarginalTransform(tuple(marginal_maps)) if some else None


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
