"""Measures of densities: normalisation, entropy, divergence and calibration, in nats.

The surprise of an input x is -log Phi(x). Its mean is never below the entropy of the source P,

    E_P[-log Phi] = H(P) + KL(P || Phi)  >=  H(P),

and equal to it only where Phi = P. That needs a Phi whose total is 1 (:func:`total_probability`).
The probability integral transform y = CDF(x) is uniform exactly when the CDF is that of the source
(:func:`calibration_test`). For discrete probabilities there is ``scipy.stats.entropy``.

Source: T. Katayose, arXiv:2311.13341 (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.integrate import cubature

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError, DataError

Density = Callable[[Array], Array]
Support = tuple[float, float]

REAL_LINE: Support = (-np.inf, np.inf)

_TOLERANCE = 1e-13  # relative to the whole integral
_MOST_REGIONS = 3000


@dataclass(frozen=True)
class Estimate:
    """An integral and a bound of its error."""

    value: float
    error: float

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.6g} +- {self.error:.1e}"


def bits_per_dim(mean_log_prob: float, steps: Array) -> float | None:
    """Bits per dimension of discrete data from the mean log-density of their dequantised values.

    With uniform noise of width s_i in column i, log P(k) >= E[log p(k + noise)] + sum_i log s_i, so

        bits = -(mean_log_prob + sum_i log s_i) / (d log 2)

    is an upper bound of the code length per value. None unless every column is discrete.
    """
    if not np.all(steps > 0):
        return None
    return float(-(mean_log_prob + np.log(steps).sum()) / (len(steps) * np.log(2)))


# --- integrals of densities of one variable -------------------------------------------------------


def total_probability(
    log_density: Density, support: Support = REAL_LINE, *, points: Sequence[float] | Array = ()
) -> Estimate:
    """Integral of exp(log_density) over ``support``, which is 1 for a density.

    Parameters
    ----------
    log_density : callable
        Array (m,) -> nats (m,), -inf allowed.
    support : (a, b)
        Ends, which may be infinite.
    points : sequence of float
        Kinks, steps and peaks, or quantiles of the data. A peak that is narrow compared with its
        distance from all of them may be overlooked.

    Raises
    ------
    ConfigurationError
        If the support is empty.
    DataError
        If the density is not finite somewhere.

    Examples
    --------
    >>> round(total_probability(lambda x: -x, (0, np.inf)).value, 12)
    1.0
    """
    return _integral(lambda x: np.exp(log_density(x)), support, points)


def entropy_by_quadrature(
    log_density: Density, support: Support = REAL_LINE, *, points: Sequence[float] | Array = ()
) -> Estimate:
    """Differential entropy, -integral of p log p, in nats; arguments of `total_probability`."""

    def integrand(x: Array) -> Array:
        log_p = log_density(x)
        return -np.exp(log_p) * np.where(np.isneginf(log_p), 0.0, log_p)

    return _integral(integrand, support, points)


def kl_by_quadrature(
    log_source: Density,
    log_model: Density,
    support: Support = REAL_LINE,
    *,
    points: Sequence[float] | Array = (),
) -> Estimate:
    """KL(p || q), the integral of p log(p / q), in nats; arguments of `total_probability`.

    Infinite, with infinite error, where q is 0 and p is not.
    """
    impossible = False

    def integrand(x: Array) -> Array:
        nonlocal impossible
        log_p, log_q = log_source(x), log_model(x)
        p = np.exp(log_p)
        # np.where evaluates both sides, so what is not needed is made harmless first.
        terms = p * (np.where(p == 0, 0.0, log_p) - np.where(p == 0, 0.0, log_q))
        impossible |= bool(np.isinf(terms).any())
        return np.where(np.isinf(terms), 0.0, terms)

    found = _integral(integrand, support, points)
    return Estimate(np.inf, np.inf) if impossible else found


def _integral(function: Density, support: Support, points: Sequence[float] | Array) -> Estimate:
    """Integral of ``function``, (m,) -> (m,), by adaptive Gauss-Kronrod rules of 21 points."""
    low, high = (float(end) for end in support)
    if not low < high:
        raise ConfigurationError(f"argument `support` must be (a, b) with a < b, but is {support}")
    points = np.ravel(np.asarray(points, dtype=np.float64))
    if low == -np.inf and high < np.inf:  # SciPy 1.16 evaluates functions beyond the end there
        return _integral(lambda x: function(-x), (-high, np.inf), -points)

    def finite(x: Array) -> Array:
        values = np.asarray(function(x[:, 0]), dtype=np.float64)
        if not np.all(np.isfinite(values)):
            at = x[np.flatnonzero(~np.isfinite(values))[0], 0]
            raise DataError(f"the integrand must be finite, but is not at {at:g}")
        return values

    inside = [[p] for p in np.unique(points) if low < p < high]
    found = cubature(
        finite, [low], [high], rtol=_TOLERANCE, points=inside, max_subdivisions=_MOST_REGIONS
    )
    rounding = 4 * np.finfo(np.float64).eps * abs(float(found.estimate))
    return Estimate(float(found.estimate), float(found.error) + rounding)


# --- calibration ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PitHistogram:
    """Histogram of a probability integral transform: flat where the model is calibrated.

    ``edges`` (n_bins + 1,) of equal bins of [0, 1]; ``counts`` (n_bins,); ``band``: the counts that
    95 % of the bins of a calibrated model stay between (binomial).
    """

    edges: Array
    counts: Array
    band: tuple[float, float]

    @property
    def density(self) -> Array:
        """Counts as a density on [0, 1], which is 1 where calibrated."""
        return np.asarray(self.counts * len(self.counts) / self.counts.sum())


@dataclass(frozen=True)
class CalibrationTest:
    """Tests of n transforms against the uniform density; small p-values: not calibrated."""

    n: int
    chi_square: float
    chi_square_p: float
    kolmogorov_smirnov: float
    kolmogorov_smirnov_p: float


def pit_histogram(pit: npt.ArrayLike, n_bins: int = 20) -> PitHistogram:
    """Histogram of transforms y = CDF(x) in [0, 1], any shape, in ``n_bins`` equal bins.

    Raises
    ------
    DataError
        If a value lies outside [0, 1], or there is none.
    """
    y = _pit(pit)
    counts, edges = np.histogram(y, bins=n_bins, range=(0.0, 1.0))
    return PitHistogram(edges, counts, calibrated_counts(len(y), n_bins))


def calibrated_counts(n: int, n_bins: int) -> tuple[float, float]:
    """Bounds that 95 % of the bins of ``n`` calibrated transforms lie between (binomial)."""
    low, high = stats.binom(n, 1 / n_bins).ppf([0.025, 0.975])
    return float(low), float(high)


def calibration_test(pit: npt.ArrayLike, n_bins: int | None = None) -> CalibrationTest:
    """Test whether transforms y = CDF(x), any shape, are uniform on [0, 1].

    Pearson's chi-square over equal bins, which sees any shape, and Kolmogorov-Smirnov, which is
    sharper for shifts. Both take the values as independent and the model as fitted on other data.
    ``n_bins`` is as many as give ten values each by default, from 2 to 20.

    Raises
    ------
    DataError
        If a value lies outside [0, 1], or there are fewer than two.
    """
    y = _pit(pit)
    if len(y) < 2:
        raise DataError("argument `pit` must have at least 2 values, but has 1")
    bins = int(np.clip(len(y) // 10, 2, 20)) if n_bins is None else n_bins
    pearson = stats.chisquare(pit_histogram(y, bins).counts)
    smirnov = stats.kstest(y, "uniform")
    return CalibrationTest(
        len(y),
        float(pearson.statistic),
        float(pearson.pvalue),
        float(smirnov.statistic),
        float(smirnov.pvalue),
    )


@dataclass(frozen=True)
class Reliability:
    """Confidence of a classifier and frequency of correct labels, in bins of equal width.

    ``confidence``, ``frequency`` (n_bins,): mean probability that was given, and how often the
    statement was right; NaN in empty bins. ``counts`` (n_bins,). ``error``: mean of |confidence -
    frequency| weighted by counts (expected calibration error).
    """

    confidence: Array
    frequency: Array
    counts: Array
    error: float


def reliability(probability: npt.ArrayLike, right: npt.ArrayLike, n_bins: int = 10) -> Reliability:
    """Reliability of probabilities in [0, 1] of n statements, of which ``right`` (n,) are true.

    Raises
    ------
    DataError
        If a probability lies outside [0, 1], or there is none.
    """
    p, hit = _pit(probability), np.ravel(np.asarray(right, dtype=np.float64))
    binned = stats.binned_statistic(p, [p, hit], bins=n_bins, range=(0.0, 1.0))
    counts = np.histogram(p, bins=n_bins, range=(0.0, 1.0))[0]
    confidence, frequency = binned.statistic
    error = float(np.nansum(np.abs(confidence - frequency) * counts) / len(p))
    return Reliability(confidence, frequency, counts, error)


def _pit(values: npt.ArrayLike) -> Array:
    y = np.ravel(np.asarray(values, dtype=np.float64))
    if len(y) == 0:
        raise DataError("argument `pit` must have values, but has none")
    outside = y[~((y >= 0) & (y <= 1))]
    if len(outside):
        raise DataError(f"argument `pit` must lie in [0, 1], but contains {outside[0]:g}")
    return y
