"""The learning principle: surprise -log Phi, what it falls to, and what it is worth. No models.

L(x) = -log Phi(x) is the self-information of the input in nats; its mean is never below the
entropy of the source,

    E_P[L] = H(P) + KL(P || Phi)  >=  H(P),

and equal to it only where Phi = P. That needs a Phi whose total is 1 (:func:`total_probability`);
whether it was right is seen in the probability integral transform, y = CDF(x), which is uniform
exactly when the CDF is that of the source (:func:`calibration_test`).

Source: T. Katayose, arXiv:2311.13341 (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import rel_entr, xlogy

from neurolp.errors import DataError
from neurolp.evaluation.quadrature import REAL_LINE, Estimate, Support, integrate

Array = npt.NDArray[Any]
Density = Callable[[Array], Array]

_SUM_TOLERANCE = 1e-8


def gaussian_log_prob(x: Array, mean: Array, covariance: Array) -> Array:
    """Log-density of a Gaussian in nats: x (n, d), mean (d,), covariance (d, d) -> (n,).

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance is not positive definite.
    """
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, (x - mean).T)
    constant = np.log(np.diagonal(factor)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
    return np.asarray(-0.5 * (z * z).sum(axis=0) - constant)


def bits_per_dim(mean_log_prob: float, steps: Array) -> float | None:
    """Bits per dimension of discrete data from the mean log-density of their dequantised values.

    With uniform noise of width s_i in column i, log P(k) >= E[log p(k + noise)] + sum_i log s_i, so

        bits = -(mean_log_prob + sum_i log s_i) / (d log 2)

    is an upper bound of the code length per value. None unless every column is discrete.
    """
    if not np.all(steps > 0):
        return None
    return float(-(mean_log_prob + np.log(steps).sum()) / (len(steps) * np.log(2)))


# --- discrete inputs ------------------------------------------------------------------------------


def surprise(probability: npt.ArrayLike) -> Array:
    """-log Phi in nats, of any shape; infinite where Phi = 0.

    Raises
    ------
    DataError
        If a value is negative or NaN.
    """
    phi = np.asarray(probability, dtype=np.float64)
    if not np.all(phi >= 0):
        raise DataError("argument `probability` must not be negative or NaN, but is")
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(phi))


def entropy(probability: npt.ArrayLike) -> float:
    """H(P) = -sum_k P_k log P_k in nats, with 0 log 0 = 0.

    Raises
    ------
    DataError
        If these are no probabilities, or their sum is not 1.

    Examples
    --------
    >>> round(entropy([0.5, 0.25, 0.25]) / float(np.log(2)), 12)  # bits
    1.5
    """
    p = _probabilities("probability", probability)
    return float(-xlogy(p, p).sum())


def cross_entropy(source: npt.ArrayLike, model: npt.ArrayLike) -> float:
    """E_P[-log Phi] = -sum_k P_k log Phi_k in nats: the mean surprise of ``model`` at ``source``.

    Infinite where the model calls impossible what happens.

    Raises
    ------
    DataError
        If these are no probabilities of the same symbols.
    """
    return entropy(source) + kl_divergence(source, model)


def kl_divergence(source: npt.ArrayLike, model: npt.ArrayLike) -> float:
    """KL(P || Phi) = sum_k P_k log(P_k / Phi_k) in nats: what ignorance of P costs.

    Raises
    ------
    DataError
        If these are no probabilities of the same symbols.
    """
    p, phi = _probabilities("source", source), _probabilities("model", model)
    if p.shape != phi.shape:
        raise DataError(
            f"argument `model` must have shape {p.shape} like `source`, but has shape {phi.shape}"
        )
    return float(rel_entr(p, phi).sum())


def _probabilities(name: str, values: npt.ArrayLike) -> Array:
    p = np.asarray(values, dtype=np.float64)
    if not np.all(p >= 0):
        raise DataError(f"argument `{name}` must not be negative or NaN, but is")
    if abs(p.sum() - 1) > _SUM_TOLERANCE:
        raise DataError(f"argument `{name}` must sum to 1, but sums to {p.sum():.9g}")
    return p


# --- densities of one variable --------------------------------------------------------------------


def total_probability(
    log_density: Density, support: Support = REAL_LINE, *, points: Sequence[float] | Array = ()
) -> Estimate:
    """Integral of exp(log_density) over ``support``: the normalisation audit, which should say 1.

    ``log_density`` takes an array (m,) and returns nats, -inf allowed; ``points`` tell where to
    look, e.g. quantiles of the data or where the density has steps (see
    :func:`neurolp.evaluation.quadrature.integrate`). Brains are audited by :func:`neurolp.audit`.

    Raises
    ------
    ConfigurationError, DataError
        If the support is empty, or the density is not finite somewhere.

    Examples
    --------
    >>> round(total_probability(lambda x: -x, (0, np.inf)).value, 12)
    1.0
    """
    return integrate(lambda x: np.exp(log_density(x)), support, points=points)


def entropy_by_quadrature(
    log_density: Density, support: Support = REAL_LINE, *, points: Sequence[float] | Array = ()
) -> Estimate:
    """Differential entropy, -integral of p log p, in nats; arguments of `total_probability`."""

    def integrand(x: Array) -> Array:
        log_p = log_density(x)
        return -np.exp(log_p) * np.where(np.isneginf(log_p), 0.0, log_p)

    return integrate(integrand, support, points=points)


def kl_by_quadrature(
    log_source: Density,
    log_model: Density,
    support: Support = REAL_LINE,
    *,
    points: Sequence[float] | Array = (),
) -> Estimate:
    """KL(p || q), the integral of p log(p / q), in nats; arguments of `total_probability`.

    Infinite, with infinite error, where the model calls impossible what happens.
    """
    impossible = False

    def integrand(x: Array) -> Array:
        nonlocal impossible
        terms = _kl_terms(log_source(x), log_model(x))
        impossible |= bool(np.isinf(terms).any())
        return np.where(np.isinf(terms), 0.0, terms)

    found = integrate(integrand, support, points=points)
    return Estimate(np.inf, np.inf) if impossible else found


def kl_on_grid(log_source: Array, log_model: Array, grid: Array) -> float:
    """KL(p || q) in nats from log-densities at the points of a grid (m,), by the trapezoid rule."""
    terms = _kl_terms(np.asarray(log_source), np.asarray(log_model))
    return float(np.trapezoid(terms, grid))


def _kl_terms(log_p: Array, log_q: Array) -> Array:
    """Return p log(p / q) with 0 log 0 = 0."""
    p = np.exp(log_p)
    nowhere = p == 0
    # np.where evaluates both sides, so what is not needed is made harmless first.
    difference = np.where(nowhere, 0.0, log_p) - np.where(nowhere, 0.0, log_q)
    return np.asarray(p * difference)


# --- samples of any dimension ---------------------------------------------------------------------


def entropy_monte_carlo(log_prob: Array) -> Estimate:
    """Entropy in nats from log-densities (n,) at samples of the density itself: mean of -log p."""
    return _mean(-np.asarray(log_prob, dtype=np.float64))


def kl_monte_carlo(log_source: Array, log_model: Array) -> Estimate:
    """KL(p || q) in nats from log-densities (n,) at samples of p: the mean of log p - log q."""
    p, q = (np.asarray(a, dtype=np.float64) for a in (log_source, log_model))
    return _mean(p - q)


def _mean(values: Array) -> Estimate:
    """Mean and standard error.

    Raises
    ------
    DataError
        If there are fewer than two values.
    """
    if values.ndim != 1 or len(values) < 2:
        raise DataError(f"wanted log-densities of shape (n,), n >= 2, but shape is {values.shape}")
    if not np.all(np.isfinite(values)):
        return Estimate(float(values.mean()), np.inf)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


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
    """Tests of n transforms against the uniform density; small p-values say "not calibrated"."""

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
    low, high = stats.binom(len(y), 1 / n_bins).ppf([0.025, 0.975])
    return PitHistogram(edges, counts, (float(low), float(high)))


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
    """How often a classifier is right when it says it is sure, in bins of equal width.

    ``confidence``, ``frequency`` (n_bins,): mean probability given to what was said, and how often
    it was right; NaN in empty bins. ``counts`` (n_bins,). ``error``: mean of |confidence -
    frequency| weighted by counts (expected calibration error).
    """

    confidence: Array
    frequency: Array
    counts: Array
    error: float


def reliability(probability: npt.ArrayLike, right: npt.ArrayLike, n_bins: int = 10) -> Reliability:
    """Compare probabilities in [0, 1] given to n statements with whether these were right.

    Raises
    ------
    DataError
        If a probability lies outside [0, 1], or there is none.
    """
    p, hit = _pit(probability), np.ravel(np.asarray(right, dtype=np.float64))
    at = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    counts = np.bincount(at, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(at, weights=p, minlength=n_bins) / counts
        frequency = np.bincount(at, weights=hit, minlength=n_bins) / counts
    gap = np.abs(confidence - frequency)[counts > 0]
    return Reliability(confidence, frequency, counts, float(gap @ counts[counts > 0] / len(p)))


def _pit(values: npt.ArrayLike) -> Array:
    y = np.ravel(np.asarray(values, dtype=np.float64))
    if len(y) == 0:
        raise DataError("argument `pit` must have values, but has none")
    outside = y[~((y >= 0) & (y <= 1))]
    if len(outside):
        raise DataError(f"argument `pit` must lie in [0, 1], but contains {outside[0]:g}")
    return y
