"""Base densities rho of a node's potential, which the evolution is to end with."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import special

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError
from neurolp.registry import Registry

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)  # a Python float keeps float32 arrays float32


class BaseDensity(ABC):
    """A log-concave density rho of one potential u, and what the local rule needs of it.

    ``energy`` is E(u) = -log rho(u) in nats, ``psi`` is E'(u) and ``curvature`` is E''(u);
    ``activity`` is the distribution function a = F(u) in (0, 1) and ``potential`` its inverse.
    All are elementwise. ``std`` is the standard deviation of rho.
    """

    name: str = "own"
    std: float

    @abstractmethod
    def energy(self, u: Array) -> Array:
        """E(u) = -log rho(u), nats."""

    @abstractmethod
    def psi(self, u: Array) -> Array:
        """E'(u)."""

    @abstractmethod
    def curvature(self, u: Array) -> Array:
        """E''(u) >= 0."""

    @abstractmethod
    def activity(self, u: Array) -> Array:
        """F(u), the probability below u, in (0, 1)."""

    @abstractmethod
    def potential(self, a: Array) -> Array:
        """F^-1(a), the potential whose activity is a."""

    @abstractmethod
    def log_activity(self, u: Array) -> Array:
        """Log F(u), exact far in the lower tail, where F(u) underflows."""

    @abstractmethod
    def potential_of_log(self, log_a: Array) -> Array:
        """The potential whose log-activity is ``log_a`` < 0, the inverse of ``log_activity``."""

    def log_prob(self, potential: Array) -> Array:
        """Log-density of independent nodes (n_nodes, n_trajectories), nats, (n_trajectories,)."""
        return np.asarray(-self.energy(potential).sum(axis=0, dtype=np.float64))

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Draw independent potentials."""
        return self.potential(rng.uniform(np.finfo(np.float64).tiny, 1.0, shape))


@final
@dataclass(frozen=True)
class Normal(BaseDensity):
    """E(u) = u^2 / 2 + log(2 pi) / 2, psi(u) = u."""

    name = "normal"
    std = 1.0

    def energy(self, u: Array) -> Array:
        """E(u) = u^2 / 2 + log(2 pi) / 2, nats."""
        with np.errstate(over="ignore"):  # beyond all numbers the density is 0
            return np.asarray(0.5 * u * u + _HALF_LOG_2PI)

    def psi(self, u: Array) -> Array:
        """E'(u) = u."""
        return u

    def curvature(self, u: Array) -> Array:
        """E''(u) = 1."""
        return np.ones_like(u)

    activity = staticmethod(special.ndtr)
    potential = staticmethod(special.ndtri)
    log_activity = staticmethod(special.log_ndtr)
    potential_of_log = staticmethod(special.ndtri_exp)


@final
@dataclass(frozen=True)
class Logistic(BaseDensity):
    """E(u) = u + 2 log(1 + exp(-u)), psi(u) = 2 a - 1 = tanh(u / 2)."""

    name = "logistic"
    std = float(np.pi / np.sqrt(3))

    def energy(self, u: Array) -> Array:
        """E(u) = |u| + 2 log(1 + exp(-|u|)), nats; written so that no tail overflows."""
        size = np.abs(u)
        return np.asarray(size + 2 * np.log1p(np.exp(-size)))

    def psi(self, u: Array) -> Array:
        """E'(u) = tanh(u / 2)."""
        return np.asarray(np.tanh(0.5 * u))

    def curvature(self, u: Array) -> Array:
        """E''(u) = (1 - tanh(u / 2)^2) / 2."""
        return np.asarray(0.5 * (1 - np.tanh(0.5 * u) ** 2))

    activity = staticmethod(special.expit)
    potential = staticmethod(special.logit)

    def log_activity(self, u: Array) -> Array:
        """-log(1 + exp(-u))."""
        return np.asarray(-np.logaddexp(0.0, -u))

    def potential_of_log(self, log_a: Array) -> Array:
        """Log a - log(1 - a)."""
        return np.asarray(log_a - np.log(-np.expm1(log_a)))


BASES = Registry(
    "base",
    {"normal": Normal, "logistic": Logistic},
    ("energy", "psi", "curvature", "activity", "potential", "log_activity", "potential_of_log"),
)


def base_density(base: str | BaseDensity) -> BaseDensity:
    """Return the base density of a name, or of a description in a file; an object as it is.

    Raises
    ------
    ConfigurationError
        If there is no such density.
    """
    if isinstance(base, BaseDensity):
        return base
    part = BASES.restore(json.loads(base)) if base.startswith("{") else BASES.resolve(base)
    if not isinstance(part, BaseDensity):
        raise ConfigurationError(f"argument `base` must be a BaseDensity, but is {part!r}")
    return part


def describe_base(base: str | BaseDensity) -> str:
    """A base density as a text, the inverse of :func:`base_density`."""
    return base if isinstance(base, str) else json.dumps(BASES.describe(base))
