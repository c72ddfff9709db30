"""A density of one variable as the derivative of a monotone network: CDF, quantiles, entropy.

    y(x) = sum_k w_k S((T_k(x) - m_k) / s_k),    w_k > 0,  sum_k w_k = 1,    Phi(x) = dy/dx,

S the normal distribution function. Units share a few transforms T, each increasing from -inf
to +inf over its support, so y runs from exactly 0 to exactly 1 whatever the parameters are, and Phi
integrates to 1 identically. A convex combination of such networks is such a network: averages stay
exact.

Source: arXiv:2311.13341, normalisation by differentiation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from scipy import special

from neurolp.arrays import Array
from neurolp.differentiation.solving import solve_increasing
from neurolp.kernels.units import unit_log_density

_HALF_LOG_2PI = 0.9189385332046727
_BLOCK = 1 << 20  # elements of a (rows, units) table
_RESOLUTION = 1e-17  # of a quantile, in standard deviations of the data
_NODES = 12  # Gauss-Legendre nodes between two breakpoints
_BREAKS = np.array([-9.0, -7, -5.5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5.5, 7, 9])  # in widths


# --- transforms of a support to the whole line ---------------------------------------------------


class Transform(ABC):
    """Increasing T from (``low``, ``high``) onto the line."""

    low: float
    high: float

    @abstractmethod
    def _inside(self, x: Array) -> tuple[Array, Array]:
        """T(x) and log dT/dx of points inside the support."""

    @abstractmethod
    def inverse(self, u: Array) -> Array:
        """T^-1(u)."""

    @final
    def apply(self, x: Array) -> tuple[Array, Array]:
        """T(x) and log dT/dx, (n,) each; outside +-inf and -inf, so the density there is 0."""
        inside = (x > self.low) & (x < self.high)
        u = np.where(x >= self.high, np.inf, -np.inf)
        log_slope = np.full(x.shape, -np.inf)
        u[inside], log_slope[inside] = self._inside(x[inside])
        return u, log_slope


@final
@dataclass(frozen=True)
class Identity(Transform):
    """T(x) = x."""

    low = -np.inf
    high = np.inf

    def _inside(self, x: Array) -> tuple[Array, Array]:
        return x, np.zeros_like(x)

    def inverse(self, u: Array) -> Array:
        """Return u."""
        return u


@final
@dataclass(frozen=True)
class Arcsinh(Transform):
    """T(x) = arcsinh((x - centre) / scale): normal units get tails heavier than any power."""

    centre: float
    scale: float
    low = -np.inf
    high = np.inf

    def _inside(self, x: Array) -> tuple[Array, Array]:
        z = (x - self.centre) / self.scale
        return np.arcsinh(z), -np.log(np.hypot(1.0, z)) - np.log(self.scale)

    def inverse(self, u: Array) -> Array:
        """Centre + scale sinh(u)."""
        with np.errstate(over="ignore"):
            return np.asarray(self.centre + self.scale * np.sinh(u))


@dataclass(frozen=True)
class _OneSided(Transform):
    """Supports with one finite end, the other one infinite."""

    low: float = -np.inf
    high: float = np.inf

    @property
    def _sign(self) -> float:
        """1 where the end is the lower one, -1 where it is the upper one."""
        return 1.0 if np.isfinite(self.low) else -1.0

    @property
    def _end(self) -> float:
        return self.low if np.isfinite(self.low) else self.high


@final
@dataclass(frozen=True)
class Log(_OneSided):
    """T(x) = log(x - low), or -log(high - x): the density vanishes or diverges at the end."""

    def _inside(self, x: Array) -> tuple[Array, Array]:
        log = np.log(self._sign * (x - self._end))
        return self._sign * log, -log

    def inverse(self, u: Array) -> Array:
        """Low + exp(u), or high - exp(-u)."""
        with np.errstate(over="ignore"):
            return np.asarray(self._end + self._sign * np.exp(self._sign * u))


@final
@dataclass(frozen=True)
class Exponential(_OneSided):
    """T(x) = S^-1(1 - exp(-(x - low) / scale)), S the normal distribution function, or its mirror.

    A standard normal unit is an exponential density that starts at ``low`` (ends at ``high``).
    """

    scale: float = 1.0

    def _inside(self, x: Array) -> tuple[Array, Array]:
        distance = self._sign * (x - self._end) / self.scale
        u = -special.ndtri_exp(-np.maximum(distance, 1e-300))
        return self._sign * u, 0.5 * u * u + _HALF_LOG_2PI - distance - np.log(self.scale)

    def inverse(self, u: Array) -> Array:
        """Low - scale log S(-u), or high + scale log S(u)."""
        distance = -self.scale * special.log_ndtr(-self._sign * u)
        return np.asarray(self._end + self._sign * distance)


@final
@dataclass(frozen=True)
class Probit(Transform):
    """T(x) = S^-1((x - low) / (high - low)): a standard normal unit is the uniform density."""

    low: float
    high: float

    def _inside(self, x: Array) -> tuple[Array, Array]:
        width = self.high - self.low
        below, above = (x - self.low) / width, (self.high - x) / width
        u = np.where(below < above, 1.0, -1.0) * special.ndtri(np.minimum(below, above))
        return u, 0.5 * u * u + _HALF_LOG_2PI - np.log(width)

    def inverse(self, u: Array) -> Array:
        """Low + (high - low) S(u), from the nearer end."""
        width = self.high - self.low
        lower, upper = self.low + width * special.ndtr(u), self.high - width * special.ndtr(-u)
        return np.asarray(np.where(u < 0, lower, upper))


# --- networks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Units:
    """K units that share the transform T; log-weights, locations and widths (K,) in T(x)."""

    transform: Transform
    log_weights: Array
    locations: Array
    widths: Array

    @property
    def weight(self) -> float:
        """Sum of the weights of the units."""
        return float(np.exp(self.log_weights).sum())

    def log_density(self, u: Array) -> Array:
        """Log of sum_k w_k S'((u - m_k) / s_k) / s_k, (n,), where the transform is u."""
        out = np.empty(len(u))
        unit_log_density(u, self.log_weights, self.locations, self.widths, out)
        return out

    def cdf(self, u: Array) -> Array:
        """sum_k w_k S((u - m_k) / s_k), (n,)."""
        weights, out = np.exp(self.log_weights), np.empty(len(u))
        rows = max(_BLOCK // len(weights), 1)
        for i in range(0, len(u), rows):
            z = (u[i : i + rows, None] - self.locations) / self.widths
            out[i : i + rows] = special.ndtr(z) @ weights
        return out


@dataclass(frozen=True)
class MonotoneNetwork:
    """Groups of units whose weights sum to 1 all together."""

    groups: tuple[Units, ...]

    @property
    def low(self) -> float:
        """Lower end of the support, below which y is 0."""
        return min(group.transform.low for group in self.groups)

    @property
    def high(self) -> float:
        """Upper end of the support, above which y is 1."""
        return max(group.transform.high for group in self.groups)

    @property
    def ends(self) -> Array:
        """All finite ends of transforms, increasing: where the density may jump."""
        ends = {end for g in self.groups for end in (g.transform.low, g.transform.high)}
        return np.array(sorted(end for end in ends if np.isfinite(end)))

    def log_density(self, x: Array) -> Array:
        """Log Phi(x) in nats, x (n,); -inf outside the support."""
        out = np.full(len(x), -np.inf)
        for group in self.groups:
            u, log_slope = group.transform.apply(x)
            out = np.logaddexp(out, group.log_density(u) + log_slope)
        return out

    def cdf(self, x: Array) -> Array:
        """y(x), x (n,)."""
        out = np.zeros(len(x))
        for group in self.groups:
            out += group.cdf(group.transform.apply(x)[0])
        out = np.minimum(out, 1.0)
        out[x >= self.high] = 1.0
        return out

    def quantile(self, q: Array) -> Array:
        """The x with y(x) = q, q (n,) in [0, 1], to rounding error."""
        x, y = self._table
        out = np.where(q >= 1, self.high, self.low)
        inner = np.flatnonzero((q > 0) & (q < 1))
        q = q[inner]
        k = np.searchsorted(y, q, side="right")
        low, high = x[np.clip(k - 1, 0, len(x) - 1)], x[np.clip(k, 0, len(x) - 1)]
        beyond = (k == 0) | (k == len(x))
        if beyond.any():
            low[beyond], high[beyond] = self._bracket(q[beyond])

        def miss(x: Array, rows: Array) -> tuple[Array, Array]:
            return self.cdf(x) - q[rows], np.exp(self.log_density(x))

        out[inner] = solve_increasing(miss, 0.5 * low + 0.5 * high, low, high, _RESOLUTION)
        return out

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw ``n`` values: a unit by its weight, then a normal number through its transform."""
        weights = np.concatenate([np.exp(group.log_weights) for group in self.groups])
        drawn = rng.choice(len(weights), n, p=weights / weights.sum())
        normal = rng.standard_normal(n)
        out, start = np.empty(n), 0
        for group in self.groups:
            mine = (drawn >= start) & (drawn < start + len(group.locations))
            k = drawn[mine] - start
            out[mine] = group.transform.inverse(group.locations[k] + group.widths[k] * normal[mine])
            start += len(group.locations)
        return out

    def entropy(self) -> float:
        """-integral of Phi log Phi, nats: Gauss-Legendre quadrature group by group.

        Each group is integrated in its own transform, where it is smooth, piece by piece between
        locations set by the widths of the units and the ends of the other groups.
        """
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        total = 0.0
        for group in self.groups:
            breaks = (group.locations[:, None] + group.widths[:, None] * _BREAKS).ravel()
            ends = group.transform.apply(self.ends)[0]
            breaks = np.append(breaks, ends[np.isfinite(ends)])
            breaks = np.unique(breaks)
            half = 0.5 * np.diff(breaks)
            u = (breaks[:-1, None] + half[:, None] * (1 + nodes)).ravel()
            mass = (half[:, None] * weights).ravel() * np.exp(group.log_density(u))
            heavy = mass > 1e-30  # far in the tails a transform may round to its end
            log_density = self.log_density(group.transform.inverse(u[heavy]))
            finite = np.isfinite(log_density)
            total -= float(mass[heavy][finite] @ log_density[finite])
        return total

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        """Increasing points and y there, where a search for a quantile begins."""
        points = [self.ends]
        normal = special.ndtri((np.arange(25) + 0.5) / 25)
        for group in self.groups:
            u = (group.locations[:, None] + group.widths[:, None] * normal).ravel()
            points.append(group.transform.inverse(u))
        x = np.unique(np.concatenate(points))
        x = x[np.isfinite(x)]
        return x, np.maximum.accumulate(self.cdf(x))

    def _bracket(self, q: Array) -> tuple[Array, Array]:
        """Lowest and highest quantile of any unit: that of the network lies between them."""
        z = special.ndtri(q)
        low, high = np.full(len(q), np.inf), np.full(len(q), -np.inf)
        for group in self.groups:
            u = group.locations[:, None] + group.widths[:, None] * z
            low = np.minimum(low, group.transform.inverse(u.min(axis=0)))
            high = np.maximum(high, group.transform.inverse(u.max(axis=0)))
        most = np.finfo(np.float64).max / 4
        spare = 1e-9 * (1 + np.abs(low) + np.abs(high)) * np.isfinite(low + high)
        return np.clip(low - spare, -most, most), np.clip(high + spare, -most, most)


def combine(parts: list[tuple[float, Units]]) -> MonotoneNetwork:
    """Return the convex combination of networks of one group each, transforms in common merged."""
    total = sum(weight for weight, _ in parts)
    merged: dict[Transform, list[tuple[Array, Array, Array]]] = {}
    for weight, units in parts:
        log_weights = units.log_weights + np.log(weight / total)
        merged.setdefault(units.transform, []).append((log_weights, units.locations, units.widths))
    groups = []
    for transform, pieces in merged.items():
        log_w, m, s = (np.concatenate([piece[i] for piece in pieces]) for i in range(3))
        heavy = log_w > np.log(1e-9)
        if heavy.any():
            groups.append((transform, log_w[heavy], m[heavy], s[heavy]))
    norm = np.log(sum(float(np.exp(g[1]).sum()) for g in groups))
    return MonotoneNetwork(tuple(Units(t, w - norm, m, s) for t, w, m, s in groups))
