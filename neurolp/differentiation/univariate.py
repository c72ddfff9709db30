"""The monotone network of one variable: distribution function, density, quantiles, entropy.

    y(x) = sum_k w_k S((T_k(x) - m_k) / s_k),    w_k > 0,  sum_k w_k = 1,    Phi(x) = dy/dx,

S the normal distribution function. Units share a few stretches T (see
``neurolp.differentiation.stretch``), each increasing from -inf to +inf over its support, so y runs
from exactly 0 to exactly 1 whatever the parameters are, and Phi integrates to 1 identically. A
convex combination of such networks is such a network: averages stay exact.

Source: arXiv:2311.13341, normalisation by differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from neurolp.differentiation.stretch import Stretch
from neurolp.kernels.units import unit_log_density

Array = npt.NDArray[Any]

_BLOCK = 1 << 20  # elements of a (rows, units) table
_NODES = 12  # Gauss-Legendre nodes between two breakpoints
_BREAKS = np.array([-9.0, -7, -5.5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5.5, 7, 9])  # in widths


@dataclass(frozen=True)
class Units:
    """K units that share the stretch T; log-weights, places and widths (K,) in T(x)."""

    stretch: Stretch
    log_weights: Array
    places: Array
    widths: Array

    @property
    def weight(self) -> float:
        """Sum of the weights of the units."""
        return float(np.exp(self.log_weights).sum())

    def log_density(self, u: Array) -> Array:
        """Log of sum_k w_k S'((u - m_k) / s_k) / s_k, (n,), where the stretch is u."""
        out = np.empty(len(u))
        unit_log_density(u, self.log_weights, self.places, self.widths, out)
        return out

    def cdf(self, u: Array) -> Array:
        """sum_k w_k S((u - m_k) / s_k), (n,)."""
        weights, out = np.exp(self.log_weights), np.empty(len(u))
        rows = max(_BLOCK // len(weights), 1)
        for i in range(0, len(u), rows):
            z = (u[i : i + rows, None] - self.places) / self.widths
            out[i : i + rows] = special.ndtr(z) @ weights
        return out


@dataclass(frozen=True)
class MonotoneNetwork:
    """Groups of units whose weights sum to 1 all together."""

    groups: tuple[Units, ...]

    @property
    def low(self) -> float:
        """Where y begins to rise from 0."""
        return min(group.stretch.low for group in self.groups)

    @property
    def high(self) -> float:
        """Where y reaches 1."""
        return max(group.stretch.high for group in self.groups)

    @property
    def ends(self) -> Array:
        """All finite ends of stretches, increasing: where the density may jump."""
        ends = {end for g in self.groups for end in (g.stretch.low, g.stretch.high)}
        return np.array(sorted(end for end in ends if np.isfinite(end)))

    def log_density(self, x: Array) -> Array:
        """Log Phi(x) in nats, x (n,); -inf outside the support."""
        out = np.full(len(x), -np.inf)
        for group in self.groups:
            u, log_slope = group.stretch.apply(x)
            out = np.logaddexp(out, group.log_density(u) + log_slope)
        return out

    def cdf(self, x: Array) -> Array:
        """y(x), x (n,)."""
        out = np.zeros(len(x))
        for group in self.groups:
            out += group.cdf(group.stretch.apply(x)[0])
        out = np.minimum(out, 1.0)
        out[x >= self.high] = 1.0
        return out

    def quantile(self, q: Array) -> Array:
        """The x with y(x) = q, q (n,) in [0, 1], to rounding error.

        A bracket between two points of a table shrinks by Newton steps, and by halves where these
        leave it or are slow.
        """
        x, y = self._table
        out = np.where(q >= 1, self.high, self.low)
        inner = np.flatnonzero((q > 0) & (q < 1))
        q = q[inner]
        k = np.searchsorted(y, q, side="right")
        low, high = x[np.clip(k - 1, 0, len(x) - 1)], x[np.clip(k, 0, len(x) - 1)]
        beyond = (k == 0) | (k == len(x))
        if beyond.any():
            low[beyond], high[beyond] = self._bracket(q[beyond])
        at = 0.5 * (low + high)
        active = np.arange(len(q))
        for step in range(200):
            here, wanted = at[active], q[active]
            excess = self.cdf(here) - wanted
            above = excess > 0
            high[active] = np.where(above, here, high[active])
            low[active] = np.where(above, low[active], here)
            a, b = low[active], high[active]
            with np.errstate(all="ignore"):
                new = here - excess / np.exp(self.log_density(here))
            slow = (step % 4 == 3) | ~((new > a) & (new < b))
            new = np.where(slow, 0.5 * a + 0.5 * b, new)
            tight = b - a <= 2 * np.spacing(np.maximum(np.abs(a), np.abs(b)))
            done = (np.abs(excess) <= 4e-16 * wanted) | tight | (new == here)
            at[active] = np.where(done, here, new)
            active = active[~done]
            if not len(active):
                break
        out[inner] = at
        return out

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw ``n`` values: a unit by its weight, then a normal number through its stretch."""
        weights = np.concatenate([np.exp(group.log_weights) for group in self.groups])
        drawn = rng.choice(len(weights), n, p=weights / weights.sum())
        normal = rng.standard_normal(n)
        out, start = np.empty(n), 0
        for group in self.groups:
            mine = (drawn >= start) & (drawn < start + len(group.places))
            k = drawn[mine] - start
            out[mine] = group.stretch.inverse(group.places[k] + group.widths[k] * normal[mine])
            start += len(group.places)
        return out

    def entropy(self) -> float:
        """-integral of Phi log Phi, nats: Gauss-Legendre quadrature group by group.

        Each group is integrated in its own stretch, where it is smooth, piece by piece between
        places set by the widths of the units and the ends of the other groups.
        """
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        total = 0.0
        for group in self.groups:
            breaks = (group.places[:, None] + group.widths[:, None] * _BREAKS).ravel()
            ends = group.stretch.apply(self.ends)[0]
            breaks = np.append(breaks, ends[np.isfinite(ends)])
            breaks = np.unique(breaks)
            half = 0.5 * np.diff(breaks)
            u = (breaks[:-1, None] + half[:, None] * (1 + nodes)).ravel()
            mass = (half[:, None] * weights).ravel() * np.exp(group.log_density(u))
            heavy = mass > 1e-30  # far in the tails a stretch may round to its end
            log_density = self.log_density(group.stretch.inverse(u[heavy]))
            finite = np.isfinite(log_density)
            total -= float(mass[heavy][finite] @ log_density[finite])
        return total

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        """Increasing points and y there, where a search for a quantile begins."""
        points = [self.ends]
        normal = special.ndtri((np.arange(25) + 0.5) / 25)
        for group in self.groups:
            u = (group.places[:, None] + group.widths[:, None] * normal).ravel()
            points.append(group.stretch.inverse(u))
        x = np.unique(np.concatenate(points))
        x = x[np.isfinite(x)]
        return x, np.maximum.accumulate(self.cdf(x))

    def _bracket(self, q: Array) -> tuple[Array, Array]:
        """Lowest and highest quantile of any unit: that of the network lies between them."""
        z = special.ndtri(q)
        low, high = np.full(len(q), np.inf), np.full(len(q), -np.inf)
        for group in self.groups:
            u = group.places[:, None] + group.widths[:, None] * z
            low = np.minimum(low, group.stretch.inverse(u.min(axis=0)))
            high = np.maximum(high, group.stretch.inverse(u.max(axis=0)))
        most = np.finfo(np.float64).max / 4
        spare = 1e-9 * (1 + np.abs(low) + np.abs(high)) * np.isfinite(low + high)
        return np.clip(low - spare, -most, most), np.clip(high + spare, -most, most)


def combine(parts: list[tuple[float, Units]]) -> MonotoneNetwork:
    """Return the convex combination of networks of one group each, stretches in common merged."""
    total = sum(weight for weight, _ in parts)
    merged: dict[Stretch, list[tuple[Array, Array, Array]]] = {}
    for weight, units in parts:
        log_weights = units.log_weights + np.log(weight / total)
        merged.setdefault(units.stretch, []).append((log_weights, units.places, units.widths))
    groups = []
    for stretch, pieces in merged.items():
        log_w, m, s = (np.concatenate([piece[i] for piece in pieces]) for i in range(3))
        heavy = log_w > np.log(1e-9)
        if heavy.any():
            groups.append((stretch, log_w[heavy], m[heavy], s[heavy]))
    norm = np.log(sum(float(np.exp(g[1]).sum()) for g in groups))
    return MonotoneNetwork(tuple(Units(t, w - norm, m, s) for t, w, m, s in groups))
