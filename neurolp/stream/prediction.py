"""Predictive distributions of the next step: of symbols, of values, and of encoded columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.optimize import elementwise
from scipy.special import logsumexp, ndtr

from neurolp.arrays import Array
from neurolp.errors import DataError
from neurolp.stream.labels import Label, positions_of

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_BISECTIONS = 2000
_ELEMENTS = 2**20
_N_SAMPLES = 10_000


class Prediction(Protocol):
    """Normalised distribution of the next observation of a sensor, given the past."""

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """Log-probability, or log-density, in nats."""

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Observations drawn, (n_samples,) or (n_samples, n_columns)."""


@dataclass(frozen=True)
class SymbolPrediction:
    """Distribution of the next symbol: ``probabilities`` (n_symbols,) sum to 1.

    ``labels`` are what the symbols stand for; without, they are 0 .. n_symbols - 1.
    """

    probabilities: Array
    labels: tuple[Label, ...] = ()

    @property
    def entropy(self) -> float:
        """Expected surprise, nats."""
        p = self.probabilities
        return float(-np.sum(p * np.log(np.where(p > 0, p, 1.0))))

    def log_prob(self, symbol: npt.ArrayLike) -> Array:
        """Log-probability of symbols, nats."""
        x = np.asarray(symbol)
        if self.labels:
            cells = np.asarray(symbol, dtype=object)
            places = positions_of(self.labels, cells.ravel(), "argument `symbol` holds")
            x = places.reshape(cells.shape)
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
        drawn = np.minimum(drawn, len(cumulative) - 1)
        return np.array(self.labels)[drawn] if self.labels else np.asarray(drawn)


@dataclass(frozen=True)
class ValuePrediction:
    """Density of the next d values of a sensor: of each a mixture of normals, given those before.

        p(x) = prod_i sum_c w_ic N(x_i; mu_i,m(c)(x) + o_ic, s_ic^2),
        mu_im(x) = mean_im + sum_{j < i} slope_imj (x_j - reference_j)

    ``reference`` (d,), ``means`` (d, M), ``slope`` (d, M, d); ``component`` (d, C, 4) holds the
    number of the mean, the weight, the offset and the scale of each component. Arguments and
    results have shape (d,) or (n, d); if d = 1, also () or (n,).
    """

    reference: Array
    means: Array
    slope: Array
    component: Array

    @classmethod
    def of_chain(cls, location: Array, factor: Array, shape: Array) -> ValuePrediction:
        """The density of x = location + factor e, the e_i independent mixtures.

        ``factor`` (d, d) is lower triangular; ``shape`` (d, J, 3) holds weights, means, scales.
        """
        d = len(location)
        slope = np.zeros((d, 1, d))
        for i in range(1, d):
            before = solve_triangular(factor[:i, :i].T, factor[i, :i], lower=False)
            slope[i, 0, :i] = before
        component = np.zeros((d, shape.shape[1], 4))
        component[..., 1] = shape[..., 0]
        component[..., 2:] = shape[..., 1:] * np.diagonal(factor)[:, None, None]
        return cls(location, np.asarray(location)[:, None], slope, component)

    @property
    def mean(self) -> Array:
        """Expected values, (d,)."""
        return self._moments[0]

    @property
    def covariance(self) -> Array:
        """Covariance of the values, (d, d)."""
        return self._moments[1]

    @property
    def std(self) -> Array:
        """Standard deviations of the values, (d,)."""
        return np.asarray(np.sqrt(np.diagonal(self.covariance)))

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """Log-density in nats, and the units of x."""
        rows, back = self._rows(x)
        out = np.zeros(len(rows))
        for part in self._parts(rows):
            for i in range(len(self.reference)):
                m, w, o, s = self.components(i)
                z = (rows[part, i, None] - self._means(rows[part], i)[:, m] - o) / s
                out[part] += logsumexp(np.log(w) - np.log(s) - 0.5 * z * z - _HALF_LOG_2PI, axis=1)
        return np.asarray(back(out))

    def pdf(self, x: npt.ArrayLike) -> Array:
        """Density, per unit of each value."""
        return np.asarray(np.exp(self.log_prob(x)))

    def cdf(self, x: npt.ArrayLike) -> Array:
        """Distribution function of each value, given those before it in the sensor."""
        rows, back = self._rows(x)
        out = np.empty_like(rows)
        for part in self._parts(rows):
            for i in range(len(self.reference)):
                out[part, i] = self._below(rows[part], i, rows[part, i])
        return np.asarray(back(out, keep=True))

    def quantile(self, probability: npt.ArrayLike) -> Array:
        """Inverse of :meth:`cdf`: values at probabilities in (0, 1)."""
        rows, back = self._rows(probability)
        if np.any((rows <= 0) | (rows >= 1)):
            raise DataError(
                f"argument `probability` must be in (0, 1), but holds {rows.min()} .. {rows.max()}"
            )
        out = np.zeros_like(rows)
        for part in self._parts(rows):
            for i in range(len(self.reference)):
                out[part, i] = self._inverse(out[part], i, rows[part, i])
        return np.asarray(back(out, keep=True))

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Values drawn, (n_samples, d)."""
        d = len(self.reference)
        out = np.zeros((n_samples, d))
        for i in range(d):
            m, w, o, s = self.components(i)
            cumulative = np.cumsum(w)
            u = rng.random(n_samples) * cumulative[-1]
            c = np.minimum(np.searchsorted(cumulative, u, side="right"), len(w) - 1)
            means = np.take_along_axis(self._means(out, i), m[c][:, None], axis=1)[:, 0]
            out[:, i] = means + o[c] + s[c] * rng.standard_normal(n_samples)
        return out

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        """Mean and covariance, value by value: each is linear in those before."""
        d = len(self.reference)
        mean, covariance = np.zeros(d), np.zeros((d, d))
        for i in range(d):
            m, w, o, s = self.components(i)
            before, known = self.slope[i, :, :i], covariance[:i, :i]
            centre = self.means[i] + before @ (mean[:i] - self.reference[:i])
            each = centre[m] + o
            mean[i] = w @ each
            covariance[i, :i] = covariance[:i, i] = (w @ before[m]) @ known
            explained = np.einsum("mj,jk,mk->m", before, known, before)
            covariance[i, i] = w @ ((each - mean[i]) ** 2 + s * s + explained[m])
        return mean, covariance

    def components(self, i: int) -> tuple[Array, Array, Array, Array]:
        """Mean's number, weight, offset and scale of the components of a value."""
        m, w, o, s = self.component[i].T
        used = w > 0
        w = w[used]
        return m[used].astype(np.intp), w / w.sum(), o[used], s[used]

    def _means(self, rows: Array, i: int) -> Array:
        """Means (n, M) of value i, given the values before it in each row."""
        before = rows[:, :i] - self.reference[:i]
        return np.asarray(self.means[i] + before @ self.slope[i, :, :i].T)

    def _below(self, rows: Array, i: int, x: Array) -> Array:
        m, w, o, s = self.components(i)
        return np.asarray(ndtr((x[:, None] - self._means(rows, i)[:, m] - o) / s) @ w)

    def _inverse(self, rows: Array, i: int, probability: Array) -> Array:
        """Values at probabilities, to rounding, whatever the density."""

        def excess(x: Array, row: Array, p: Array) -> Array:
            return self._below(rows[row.astype(np.intp)], i, x) - p

        _, w, _, s = self.components(i)
        order = np.argsort(s)
        width = s[order][np.searchsorted(np.cumsum(w[order]), 0.5)]
        means = self._means(rows, i)
        centre = 0.5 * (means.min(axis=1) + means.max(axis=1))
        width = np.maximum(width, 16 * np.spacing(abs(centre)))
        arguments = np.arange(len(rows), dtype=np.float64), probability
        begun = elementwise.bracket_root(
            excess, centre - width, centre + width, args=arguments, maxiter=_BISECTIONS
        )
        found = elementwise.find_root(
            excess, begun.bracket, args=arguments, maxiter=_BISECTIONS,
            tolerances={"xatol": 0.0, "xrtol": 4e-16, "fatol": 0.0, "frtol": 0.0},
        )  # fmt: skip
        return np.asarray(found.x)

    def _parts(self, rows: Array) -> list[slice]:
        """Parts of the rows for which an array of all components is not large."""
        step = max(_ELEMENTS // self.component.shape[1], 1)
        return [slice(a, a + step) for a in range(0, len(rows), step)]

    def _rows(self, x: npt.ArrayLike) -> tuple[Array, Any]:
        """Rows (n, d), and how a result of the rows gets the shape of the argument."""
        given = np.asarray(x, dtype=np.float64)
        d = len(self.reference)
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


def central(prediction: Prediction) -> Array:
    """The expected values, or the most probable symbol: an observation (n_columns,).

    Of a code of symbols these are the columns of the most probable one.

    Raises
    ------
    DataError
        If a prediction of one's own has no ``mean``.
    """
    if isinstance(prediction, SymbolPrediction):
        best = [int(np.argmax(prediction.probabilities))]
        return np.array(prediction.labels)[best] if prediction.labels else np.array(best, float)
    if isinstance(prediction, EncodedPrediction) and isinstance(prediction.code, SymbolPrediction):
        code = central(prediction.code)[:, None]
        return np.ravel(prediction.encoder.decode(code, np.random.default_rng(0)))
    if not hasattr(prediction, "mean"):
        raise DataError(f"a {type(prediction).__name__} has no `mean`: a free run needs one")
    return np.ravel(prediction.mean)
