"""Averages of distributions of one variable, and mixtures seen through a monotone map.

    y(t) = sum_r w_r y_r(t),    p(t) = dy/dt = sum_r w_r p_r(t)

An average of normalised densities is normalised; so is a density p_z(z) after a change of the
variable, p(t) = p_z(z(t)) dz/dt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.differentiation.mixture_unit import Mixtures, log_cell
from neurolp.differentiation.solving import solve_increasing

_LARGEST = float(np.finfo(np.float64).max)


class Distributions(Protocol):
    """One distribution of a real number for each of n rows."""

    def log_prob(self, target: Array) -> Array:
        """Log p(t) in nats at ``target`` (n,), shape (n,)."""

    def cdf(self, target: Array) -> Array:
        """y(t) at ``target`` (n,), shape (n,)."""

    def quantile(self, level: Array) -> Array:
        """The t with y(t) = ``level`` (n,) in [0, 1]; -inf and inf at 0 and 1."""

    def mean(self) -> Array:
        """Expectation of t, shape (n,)."""

    def draw(self, uniform: Array) -> Array:
        """One draw of t for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1)."""

    def select(self, rows: Array) -> Self:
        """Those of some ``rows``: numbers or a mask."""

    def merge(self, size: int) -> Self:
        """The average of each ``size`` successive rows: n / size distributions."""


class Places(Distributions, Protocol):
    """Distributions with a density on the line, whose parts between two ends are known."""

    def log_cell(self, lower: Array, upper: Array) -> Array:
        """Log(y(``upper``) - y(``lower``)) in nats, (n,) each; infinite ends are allowed."""

    def partial_mean(self, lower: Array, upper: Array) -> Array:
        """Integral of t p(t) from ``lower`` to ``upper``, (n,) each; infinite ends are allowed."""


@dataclass(frozen=True)
class Warp:
    """An increasing map of the real line: z(t) = (c arcsinh((t - a) / c) - mean) / deviation.

    Linear within ``bend`` c of the ``centre`` a, logarithmic far from it; c = inf is a straight
    line. It has no ends, so that no t is impossible.
    """

    centre: float = 0.0
    bend: float = np.inf
    mean: float = 0.0
    deviation: float = 1.0

    def standardised(self, target: Array) -> Warp:
        """The same map with z of mean 0 and variance 1 at ``target`` (n,)."""
        bare = Warp(self.centre, self.bend)(target)
        return Warp(self.centre, self.bend, float(bare.mean()), float(bare.std()))

    def __call__(self, target: Array) -> Array:
        """Z at ``target``, infinite where it is too far for a number."""
        with np.errstate(over="ignore"):
            z = target - self.centre
            if np.isfinite(self.bend):
                z = self.bend * np.arcsinh(z / self.bend)
            return np.asarray((z - self.mean) / self.deviation)

    def log_slope(self, target: Array) -> Array:
        """Log dz/dt at ``target``."""
        with np.errstate(over="ignore"):
            u = (target - self.centre) / self.bend
        return np.asarray(-np.log(np.hypot(1.0, u)) - np.log(self.deviation))

    def inverse(self, z: Array) -> Array:
        """The t with z(t) = ``z``."""
        t = self.mean + self.deviation * z
        if np.isfinite(self.bend):
            with np.errstate(over="ignore"):
                t = self.bend * np.sinh(t / self.bend)
        return np.asarray(self.centre + t)

    def expectation(self, centres: Array, widths: Array) -> Array:
        """E[t] where z has the normal distributions N(``centres``, ``widths``^2).

        E sinh(m + s x) = sinh(m) exp(s^2 / 2) for a standard normal x.
        """
        m, s = self.mean + self.deviation * centres, self.deviation * widths
        if np.isfinite(self.bend):
            with np.errstate(over="ignore"):
                m = self.bend * np.sinh(m / self.bend) * np.exp(0.5 * (s / self.bend) ** 2)
        return np.asarray(self.centre + m)


@dataclass(frozen=True)
class WarpedMixtures:
    """Mixtures of normal components of z = ``warp``(t), as distributions of t."""

    mixtures: Mixtures
    warp: Warp

    def log_prob(self, target: Array) -> Array:
        """Log p(t) in nats at ``target`` (n,), shape (n,)."""
        return self.mixtures.log_prob(self.warp(target)) + self.warp.log_slope(target)

    def log_cell(self, lower: Array, upper: Array) -> Array:
        """Log(y(``upper``) - y(``lower``)) in nats, (n,) each; infinite ends are allowed."""
        return self.mixtures.log_cell(self.warp(lower), self.warp(upper))

    def cdf(self, target: Array) -> Array:
        """y(t) at ``target`` (n,), shape (n,)."""
        return self.mixtures.cdf(self.warp(target))

    def quantile(self, level: Array) -> Array:
        """The t with y(t) = ``level`` (n,) in [0, 1]; -inf and inf at 0 and 1."""
        return self.warp.inverse(self.mixtures.quantile(level))

    def mean(self) -> Array:
        """Expectation of t, shape (n,)."""
        each = self.warp.expectation(self.mixtures.centres, self.mixtures.widths)
        return np.asarray(np.sum(np.exp(self.mixtures.log_weights) * each, axis=1))

    def partial_mean(self, lower: Array, upper: Array) -> Array:
        """Integral of t p(t) from ``lower`` to ``upper``, (n,) each; infinite ends are allowed."""
        mixtures, warp = self.mixtures, self.warp
        low, high = warp(lower), warp(upper)
        inside = np.exp(mixtures.log_cell(low, high))
        if not np.isfinite(warp.bend):
            straight = warp.deviation * mixtures.partial_mean(low, high)
            return np.asarray((warp.centre + warp.mean) * inside + straight)
        # exp(s x) times a normal density is one around s, times exp(s^2 / 2).
        m = (warp.mean + warp.deviation * mixtures.centres) / warp.bend
        s = warp.deviation * mixtures.widths / warp.bend
        low, high = ((z[:, None] - mixtures.centres) / mixtures.widths for z in (low, high))
        up = np.exp(m + 0.5 * s * s + log_cell("normal", low - s, high - s))
        down = np.exp(-m + 0.5 * s * s + log_cell("normal", low + s, high + s))
        bent = np.einsum("nk,nk->n", np.exp(mixtures.log_weights), up - down)
        return np.asarray(warp.centre * inside + 0.5 * warp.bend * bent)

    def draw(self, uniform: Array) -> Array:
        """One draw of t for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1)."""
        return self.warp.inverse(self.mixtures.draw(uniform))

    def select(self, rows: Array) -> WarpedMixtures:
        """Those of some ``rows``."""
        return WarpedMixtures(self.mixtures.select(rows), self.warp)

    def merge(self, size: int) -> WarpedMixtures:
        """The average of each ``size`` successive rows."""
        return WarpedMixtures(self.mixtures.merge(size), self.warp)


@dataclass(frozen=True)
class Average:
    """The average of ``parts`` for each row, with ``weights`` of sum 1 that all rows share."""

    parts: tuple[Places, ...]
    weights: tuple[float, ...]

    def log_prob(self, target: Array) -> Array:
        """Log p(t) in nats at ``target`` (n,), shape (n,)."""
        each = np.stack([part.log_prob(target) for part in self.parts])
        return np.asarray(logsumexp(each, axis=0, b=np.array(self.weights)[:, None]))

    def log_cell(self, lower: Array, upper: Array) -> Array:
        """Log(y(``upper``) - y(``lower``)) in nats, (n,) each; infinite ends are allowed."""
        each = np.stack([part.log_cell(lower, upper) for part in self.parts])
        return np.asarray(logsumexp(each, axis=0, b=np.array(self.weights)[:, None]))

    def cdf(self, target: Array) -> Array:
        """y(t) at ``target`` (n,), shape (n,)."""
        each = np.stack([part.cdf(target) for part in self.parts])
        y = np.array(self.weights) @ each / sum(self.weights)
        return np.asarray(np.clip(y, 0.0, 1.0))

    def quantile(self, level: Array) -> Array:
        """The t with y(t) = ``level`` (n,) in [0, 1]; -inf and inf at 0 and 1.

        It lies between the lowest and the highest of the parts' own quantiles.
        """
        out = np.where(level <= 0.0, -np.inf, np.inf)
        inside = np.flatnonzero((level > 0.0) & (level < 1.0))
        part, q = self.select(inside), level[inside]
        each = np.stack([p.quantile(q) for p in part.parts])
        low, high = (np.clip(v, -_LARGEST, _LARGEST) for v in (each.min(axis=0), each.max(axis=0)))

        def miss(t: Array, rows: Array) -> tuple[Array, Array]:
            some = part.select(rows)
            return some.cdf(t) - q[rows], np.exp(some.log_prob(t))

        resolution = 1e-15 * np.maximum(abs(low), abs(high))
        out[inside] = solve_increasing(miss, 0.5 * low + 0.5 * high, low, high, resolution)
        return out

    def mean(self) -> Array:
        """Expectation of t, shape (n,)."""
        each = np.stack([part.mean() for part in self.parts])
        return np.asarray(np.array(self.weights) @ each)

    def partial_mean(self, lower: Array, upper: Array) -> Array:
        """Integral of t p(t) from ``lower`` to ``upper``, (n,) each; infinite ends are allowed."""
        each = np.stack([part.partial_mean(lower, upper) for part in self.parts])
        return np.asarray(np.array(self.weights) @ each)

    def draw(self, uniform: Array) -> Array:
        """One draw of t for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1).

        The first chooses a part; what is left of it and the second are for the part.
        """
        up_to = np.cumsum(self.weights)
        share = uniform[:, 0] * up_to[-1]
        chosen = np.sum(share[:, None] > up_to[:-1], axis=1)
        out = np.empty(len(uniform))
        for r, part in enumerate(self.parts):
            mine = np.flatnonzero(chosen == r)
            rest = (share[mine] - (up_to[r] - self.weights[r])) / self.weights[r]
            again = np.column_stack([np.clip(rest, 0.0, 1.0), uniform[mine, 1]])
            out[mine] = part.select(mine).draw(again)
        return out

    def select(self, rows: Array) -> Average:
        """Those of some ``rows``."""
        return Average(tuple(part.select(rows) for part in self.parts), self.weights)

    def merge(self, size: int) -> Average:
        """The average of each ``size`` successive rows."""
        return Average(tuple(part.merge(size) for part in self.parts), self.weights)
