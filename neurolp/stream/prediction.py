"""Predictive distributions of the next step: of symbols, of values, and of encoded columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import logsumexp, ndtr

from neurolp.arrays import Array
from neurolp.errors import DataError

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_BISECTIONS = 200
_N_SAMPLES = 10_000


class Prediction(Protocol):
    """Normalised distribution of the next observation of a sensor, given the past."""

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """Log-probability, or log-density, in nats."""

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Observations drawn, (n_samples,) or (n_samples, n_columns)."""


@dataclass(frozen=True)
class SymbolPrediction:
    """Distribution of the next symbol: ``probabilities`` (n_symbols,) sum to 1."""

    probabilities: Array

    @property
    def entropy(self) -> float:
        """Expected surprise, nats."""
        p = self.probabilities
        return float(-np.sum(p * np.log(np.where(p > 0, p, 1.0))))

    def log_prob(self, symbol: npt.ArrayLike) -> Array:
        """Log-probability of symbols, nats."""
        x = np.asarray(symbol)
        if np.any((x < 0) | (x >= len(self.probabilities)) | (x != np.floor(x))):
            raise DataError(
                f"argument `symbol` must hold symbols 0 .. {len(self.probabilities) - 1}, "
                f"but is {symbol!r}"
            )
        return np.asarray(np.log(self.probabilities[x.astype(np.intp)]))

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Symbols drawn, (n_samples,)."""
        cumulative = np.cumsum(self.probabilities)
        drawn = np.searchsorted(cumulative, rng.random(n_samples) * cumulative[-1], side="right")
        return np.asarray(np.minimum(drawn, len(cumulative) - 1))


@dataclass(frozen=True)
class ValuePrediction:
    """Density of the next d values of a sensor, normalised by differentiation.

    x = location + factor e, factor (d, d) lower triangular, and the e_i are independent with
    densities sum_j w_j N(m_j, s_j^2); ``shape`` (d, J, 3) holds w, m and s. Arguments and results
    have shape (d,) or (n, d); if d = 1, also () or (n,).
    """

    location: Array
    factor: Array
    shape: Array

    @property
    def mean(self) -> Array:
        """Expected values, (d,)."""
        w, m, _ = np.moveaxis(self.shape, -1, 0)
        return np.asarray(self.location + self.factor @ (w * m).sum(axis=1))

    @property
    def covariance(self) -> Array:
        """Covariance of the values, (d, d)."""
        w, m, s = np.moveaxis(self.shape, -1, 0)
        variance = (w * (m * m + s * s)).sum(axis=1) - (w * m).sum(axis=1) ** 2
        return np.asarray((self.factor * variance) @ self.factor.T)

    @property
    def std(self) -> Array:
        """Standard deviations of the values, (d,)."""
        return np.asarray(np.sqrt(np.diagonal(self.covariance)))

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """Log-density in nats, and the units of x."""
        rows, back = self._rows(x)
        w, m, s = np.moveaxis(self.shape, -1, 0)
        z = (self._residuals(rows)[..., None] - m) / s
        parts = logsumexp(np.log(w) - np.log(s) - 0.5 * z * z - _HALF_LOG_2PI, axis=-1)
        return np.asarray(back(parts.sum(axis=1) - np.log(np.diagonal(self.factor)).sum()))

    def pdf(self, x: npt.ArrayLike) -> Array:
        """Density, per unit of each value."""
        return np.asarray(np.exp(self.log_prob(x)))

    def cdf(self, x: npt.ArrayLike) -> Array:
        """Distribution function of each value, given those before it in the sensor."""
        rows, back = self._rows(x)
        w, m, s = np.moveaxis(self.shape, -1, 0)
        below = (w * ndtr((self._residuals(rows)[..., None] - m) / s)).sum(axis=-1)
        return np.asarray(back(below, keep=True))

    def quantile(self, probability: npt.ArrayLike) -> Array:
        """Inverse of :meth:`cdf`: values at probabilities in (0, 1)."""
        rows, back = self._rows(probability)
        if np.any((rows <= 0) | (rows >= 1)):
            raise DataError(
                f"argument `probability` must be in (0, 1), but holds {rows.min()} .. {rows.max()}"
            )
        values = self.location + self._inverse(rows) @ self.factor.T
        return np.asarray(back(values, keep=True))

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Values drawn, (n_samples, d)."""
        d, n_parts = self.shape.shape[:2]
        cumulative = self.shape[..., 0].cumsum(axis=1)
        u = rng.random((n_samples, d, 1)) * cumulative[:, -1:]
        part = np.minimum((u >= cumulative).sum(axis=-1), n_parts - 1)
        _, m, s = np.moveaxis(self.shape[np.arange(d), part], -1, 0)
        return np.asarray(
            self.location + (m + s * rng.standard_normal((n_samples, d))) @ self.factor.T
        )

    def _residuals(self, rows: Array) -> Array:
        return np.asarray(solve_triangular(self.factor, (rows - self.location).T, lower=True).T)

    def _inverse(self, probability: Array) -> Array:
        """Residuals at probabilities, by bisection: exact to rounding, whatever the shape."""
        w, m, s = np.moveaxis(self.shape, -1, 0)
        reach = 40 * s.max(axis=1)
        low = np.broadcast_to(m.min(axis=1) - reach, probability.shape).copy()
        high = np.broadcast_to(m.max(axis=1) + reach, probability.shape).copy()
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if np.all((middle == low) | (middle == high)):
                break
            below = (w * ndtr((middle[..., None] - m) / s)).sum(axis=-1) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))

    def _rows(self, x: npt.ArrayLike) -> tuple[Array, Any]:
        """Rows (n, d), and how a result of the rows gets the shape of the argument."""
        given = np.asarray(x, dtype=np.float64)
        d = len(self.location)
        rows = given.reshape(-1, 1) if d == 1 else np.atleast_2d(given)
        if rows.shape[1] != d or not np.isfinite(rows).all():
            raise DataError(
                f"values must be finite, {d} of them in a row, but have shape {given.shape}"
            )

        def back(out: Array, keep: bool = False) -> Array:
            wanted = given.shape if d == 1 or keep else given.shape[:-1]
            return np.asarray(out).reshape(wanted)

        return rows, back


CodePrediction = SymbolPrediction | ValuePrediction


class Encoder(Protocol):
    """The code of a sensor, in both directions."""

    @property
    def n_columns(self) -> int:
        """Number of columns."""

    def encode(self, columns: Array) -> tuple[Array, Array]:
        """Code and log_factor of (n, n_columns), see :class:`neurolp.stream.sensors.Sensor`."""

    def decode(self, code: Array, rng: np.random.Generator) -> Array:
        """Columns (n, n_columns) of a code; drawn if a code has several."""


@dataclass(frozen=True)
class EncodedPrediction:
    """Distribution of the columns of a sensor, from the distribution ``code`` of their code.

    log p(columns) = log p(code) + log_factor, exactly. Columns come as (n, n_columns) or
    (n_columns,); where there is one, also as numbers.
    """

    code: CodePrediction
    encoder: Encoder

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """Log-probability in nats, or log-density in nats and the units of the columns."""
        given = np.asarray(x, dtype=np.float64)
        code, log_factor = self.encoder.encode(given.reshape(-1, self.encoder.n_columns))
        out = self.code.log_prob(code).reshape(-1) + log_factor
        return out.reshape(given.shape if self.encoder.n_columns == 1 else given.shape[:-1])

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Observations drawn, (n_samples, n_columns)."""
        code = self.code.sample(n_samples, rng).reshape(n_samples, -1)
        return self.encoder.decode(code.astype(np.float64), rng)

    @property
    def probabilities(self) -> Array:
        """Probabilities of the symbols of the code, (n_symbols,)."""
        if not isinstance(self.code, SymbolPrediction):
            raise AttributeError("a prediction of values has no probabilities")
        return self.code.probabilities

    @property
    def mean(self) -> Array:
        """Mean of 10,000 samples, (n_columns,)."""
        return np.asarray(self._samples.mean(axis=0))

    @property
    def std(self) -> Array:
        """Standard deviation of 10,000 samples, (n_columns,)."""
        return np.asarray(self._samples.std(axis=0))

    def quantile(self, probability: npt.ArrayLike) -> Array:
        """Quantiles at probabilities in (0, 1), of one column with an increasing code."""
        if not isinstance(self.code, ValuePrediction):
            raise AttributeError("a prediction of symbols has no quantiles")
        code = self.code.quantile(probability)
        rng = np.random.default_rng(0)  # a code of values has nothing to draw
        return self.encoder.decode(code.reshape(-1, 1), rng).reshape(code.shape)

    @cached_property
    def _samples(self) -> Array:
        return self.sample(_N_SAMPLES, np.random.default_rng(0))
