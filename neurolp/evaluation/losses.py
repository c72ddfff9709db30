"""Losses as negative log-densities, with their normalisation.

    p(r) = exp(-l(r / s)) / Z,      -log p(r) = l(r / s) + log Z,      Z = s Z_l

of a residual r = target - prediction at scale s. Minimising the mean of a loss is maximising a
likelihood. Without log Z, scales cannot be fitted and losses cannot be compared. Four losses whose
Z is known:

    loss        l(z)                                            density             Z_l
    squared     z^2 / 2                                         normal              sqrt(2 pi)
    absolute    |z|                                             Laplace             2
    huber       z^2 / 2 up to |z| = k, k |z| - k^2 / 2 beyond   normal, exponential tails  Z_k
    quantile    z (q - [z < 0])                                 asymmetric Laplace  1 / (q (1 - q))

with Z_k = sqrt(2 pi) erf(k / sqrt 2) + (2 / k) exp(-k^2 / 2).

Source: T. Katayose, arXiv:2311.13341 (2023), section 2; theory in docs/differentiation.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import optimize

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError, DataError

LOSSES = ("squared", "absolute", "huber", "quantile")


@dataclass(frozen=True)
class LossDensity:
    """The density of a loss, exp(-l((x - location) / scale)) / Z.

    Parameters
    ----------
    name : {"squared", "absolute", "huber", "quantile"}
        The loss.
    location, scale : float
        Prediction and scale, in the units of the data.
    threshold : float
        k, where Huber's loss becomes linear, in scales.
    level : float
        q, which quantile the quantile (pinball) loss is for, between 0 and 1.

    Raises
    ------
    ConfigurationError
        If there is no such loss, or a parameter is out of range.

    Examples
    --------
    >>> squared = LossDensity("squared", scale=2.0)
    >>> from scipy.stats import norm
    >>> bool(np.isclose(squared.log_prob(3.0), norm(0, 2).logpdf(3.0)))
    True
    """

    name: str
    location: float = 0.0
    scale: float = 1.0
    threshold: float = 1.345
    level: float = 0.5

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ConfigurationError(
                f"argument `name` must be one of {LOSSES}, but is {self.name!r}"
            )
        for what in ("scale", "threshold"):
            if not 0 < (value := getattr(self, what)) < np.inf:
                raise ConfigurationError(f"argument `{what}` must be positive, but is {value}")
        if not 0 < self.level < 1:
            raise ConfigurationError(
                f"argument `level` must lie between 0 and 1, but is {self.level}"
            )
        if not np.isfinite(self.location):
            raise ConfigurationError(f"argument `location` must be finite, but is {self.location}")

    @property
    def log_normaliser(self) -> float:
        """Log of Z = s Z_l in nats, in closed form."""
        k, q = self.threshold, self.level
        z = {
            "squared": math.sqrt(2 * math.pi),
            "absolute": 2.0,
            "huber": math.sqrt(2 * math.pi) * math.erf(k / math.sqrt(2))
            + 2 / k * math.exp(-k * k / 2),
            "quantile": 1 / (q * (1 - q)),
        }[self.name]
        return math.log(z * self.scale)

    @property
    def kinks(self) -> tuple[float, ...]:
        """Points at which the density is not smooth, for quadrature."""
        if self.name == "huber":
            reach = self.threshold * self.scale
            return (self.location - reach, self.location + reach)
        return () if self.name == "squared" else (self.location,)

    def loss(self, x: npt.ArrayLike) -> Array:
        """Return l((x - location) / scale), of the shape of ``x``."""
        z = (np.asarray(x, dtype=np.float64) - self.location) / self.scale
        if self.name == "squared":
            return np.asarray(z * z / 2)
        if self.name == "absolute":
            return np.abs(z)
        if self.name == "huber":
            k, size = self.threshold, np.abs(z)
            return np.where(size <= k, z * z / 2, k * size - k * k / 2)
        return np.asarray(z * (self.level - (z < 0)))

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """Log-density in nats, -l - log Z, of the shape of ``x``."""
        return np.asarray(-self.loss(x) - self.log_normaliser)

    def prob(self, x: npt.ArrayLike) -> Array:
        """Density exp(-l) / Z, of the shape of ``x``."""
        return np.asarray(np.exp(self.log_prob(x)))

    def score(self, x: npt.ArrayLike) -> float:
        """Mean log-density in nats: minus the mean loss, minus log Z."""
        return float(self.log_prob(x).mean())

    def fit(self, x: npt.ArrayLike) -> Self:
        """Return the same loss at the location and scale of greatest likelihood for ``x`` (n,).

        Given the scale, the location is where the mean loss is least (mean, median, Huber's
        centre, q-quantile); given the location, the scale has the greatest
        likelihood. The first three losses have closed forms; for Huber's the two steps alternate.

        Raises
        ------
        DataError
            If ``x`` is not finite, or all values are the same.
        """
        values = np.ravel(np.asarray(x, dtype=np.float64))
        if not np.all(np.isfinite(values)) or np.ptp(values) == 0:
            raise DataError("argument `x` must be finite and vary, but does not")
        if self.name == "squared":
            return replace(self, location=float(values.mean()), scale=float(values.std()))
        if self.name != "huber":
            level = self.level if self.name == "quantile" else 0.5
            centre = float(np.quantile(values, level, method="inverted_cdf"))
            mean_loss = float(replace(self, location=centre, scale=1.0).loss(values).mean())
            return replace(self, location=centre, scale=mean_loss)
        # Convex in (location / scale, 1 / scale), so that there is one optimum.
        start = np.array([np.median(values), np.log(values.std())])
        found = optimize.minimize(
            lambda p: -replace(self, location=float(p[0]), scale=math.exp(p[1])).score(values),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-9 * values.std(), "fatol": 1e-13, "maxiter": 2000},
        )
        return replace(self, location=float(found.x[0]), scale=math.exp(found.x[1]))
