"""Monotone transforms of a support to the whole line.

A transform T increases from -inf at the lower end of its support to +inf at the upper one, so that
a network of T(x) runs from exactly 0 to exactly 1 over the support; its density is that of T(x)
times dT/dx.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import special

from neurolp.arrays import Array

_HALF_LOG_2PI = 0.9189385332046727


class Transform(ABC):
    """T from (``low``, ``high``) onto the line."""

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
