"""Problems in one dimension whose true density is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from neurolp.arrays import Array

Function = Callable[[Array], Array]

_LOG_SD = 0.75
_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Problem:
    """A density on the line.

    ``sample(n, rng)`` draws (n,) values; ``log_density(x)`` is exact, in nats, -inf outside the
    support; between ``low`` and ``high`` lies all probability but less than 1e-9.
    """

    sample: Callable[[int, np.random.Generator], Array]
    log_density: Function
    low: float
    high: float

    def kl(self, log_density: Function, n_points: int = 8001) -> float:
        """KL(truth || estimate) in nats, by the midpoint rule on ``n_points`` equal intervals."""
        width = (self.high - self.low) / n_points
        x = self.low + width * (np.arange(n_points) + 0.5)
        truth = self.log_density(x)
        mass = width * np.exp(truth)
        inside = mass > 0
        return float(mass[inside] @ (truth - log_density(x))[inside])


def _normals(weights: list[float], means: list[float], sds: list[float]) -> Problem:
    w, m, s = np.array(weights), np.array(means), np.array(sds)

    def sample(n: int, rng: np.random.Generator) -> Array:
        k = rng.choice(len(w), n, p=w)
        return np.asarray(m[k] + s[k] * rng.standard_normal(n))

    def log_density(x: Array) -> Array:
        z = (np.asarray(x)[..., None] - m) / s
        terms = np.log(w / s) - _HALF_LOG_2PI - 0.5 * z * z
        return np.asarray(special.logsumexp(terms, axis=-1))

    return Problem(sample, log_density, float((m - 6.5 * s).min()), float((m + 6.5 * s).max()))


def _uniform_log_density(x: Array) -> Array:
    return np.where((np.asarray(x) >= 0) & (np.asarray(x) <= 1), 0.0, -np.inf)


def _gamma_log_density(x: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(x) > 0, np.log(x) - x, -np.inf)


def _lognormal_log_density(x: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(x)
        density = -log - np.log(_LOG_SD) - _HALF_LOG_2PI - 0.5 * (log / _LOG_SD) ** 2
        return np.where(np.asarray(x) > 0, density, -np.inf)


PROBLEMS: dict[str, Problem] = {
    "trimodal": _normals([0.45, 0.45, 0.1], [-1.2, 1.2, 0.0], [0.6, 0.6, 0.25]),
    "claw": _normals([0.5] + 5 * [0.1], [0, -1, -0.5, 0, 0.5, 1], [1] + 5 * [0.1]),
    "uniform": Problem(lambda n, rng: rng.random(n), _uniform_log_density, 0.0, 1.0),
    "gamma": Problem(lambda n, rng: rng.gamma(2.0, size=n), _gamma_log_density, 0.0, 25.0),
    "lognormal": Problem(
        lambda n, rng: rng.lognormal(0.0, _LOG_SD, n), _lognormal_log_density, 0.0, 90.0
    ),
}
