"""Baseline densities: a Gaussian, a Gaussian mixture, a kernel density."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from neurolp.arrays import Array
from neurolp.brain.workers import single_threaded_blas

_MOST_KERNELS = 2000  # judged, when a bandwidth is chosen
_COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 30)
_RIDGES = (1e-3, 1e-2, 1e-1)  # added to the variances of standardised columns


@dataclass(frozen=True)
class Baseline:
    """Name of a fitted baseline, and its mean test log-density in nats, units of the data."""

    name: str
    test_log_prob: float


def gaussian(train: Array, test: Array) -> Baseline | None:
    """Maximum-likelihood Gaussian; None where the training covariance is singular."""
    mean, scale = train.mean(axis=0), train.std(axis=0)
    z = (train - mean) / scale
    try:
        fitted = multivariate_normal(z.mean(axis=0), z.T @ z / len(z))
    except np.linalg.LinAlgError:
        return None
    log_prob = fitted.logpdf((test - mean) / scale)
    return Baseline("Gaussian", float(log_prob.mean() - np.log(scale).sum()))


def gaussian_mixture(train: Array, validation: Array, test: Array, seed: int) -> Baseline:
    """scikit-learn's mixture; covariance type, components and ridge chosen on validation data.

    The number of components is increased until two steps have not improved the validation
    log-likelihood.
    """
    mean, scale = train.mean(axis=0), train.std(axis=0)
    train, validation, test = ((x - mean) / scale for x in (train, validation, test))
    best: tuple[float, str, Any] = (-np.inf, "", None)
    with single_threaded_blas(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for kind in ("full", "diag"):
            for ridge in _RIDGES:
                best_here, misses = -np.inf, 0
                for k in _COMPONENTS:
                    if k >= len(train):
                        break
                    model = GaussianMixture(
                        k, covariance_type=kind, reg_covar=ridge, random_state=seed, max_iter=200
                    ).fit(train)
                    score = float(model.score(validation))
                    if score > best[0]:
                        best = (score, f"Gaussian mixture ({k} {kind})", model)
                    misses = 0 if score > best_here else misses + 1
                    best_here = max(best_here, score)
                    if misses == 2:
                        break
    return Baseline(best[1], float(best[2].score(test) - np.log(scale).sum()))


def kernel_density(x: Array) -> Callable[[Array], Array]:
    """Gaussian kernels on the values ``x`` (n,): a function (m,) -> log-density in nats.

    The bandwidth has the greatest leave-one-out likelihood, of at most two thousand values.
    """
    spread = float(min(x.std(), np.subtract(*np.quantile(x, [0.75, 0.25])) / 1.349) or x.std())
    judged = np.arange(len(x))[:_MOST_KERNELS]
    square = (x[judged, None] - x[None, :]) ** 2
    square[judged, judged] = np.inf

    def log_density(square: Array, bandwidth: float, n: int) -> Array:
        kernels = logsumexp(-0.5 * square / bandwidth**2, axis=1)
        return np.asarray(kernels - np.log(n * bandwidth * np.sqrt(2 * np.pi)))

    bandwidths = spread * len(x) ** -0.2 * np.geomspace(0.1, 2, 25)
    scores = [log_density(square, h, len(x) - 1).mean() for h in bandwidths]
    best = float(bandwidths[int(np.argmax(scores))])

    def evaluate(points: Array) -> Array:
        blocks = np.array_split(points, max(len(points) * len(x) // 10**6, 1))  # bounds memory
        parts = [log_density((b[:, None] - x) ** 2, best, len(x)) for b in blocks]
        return np.concatenate(parts)

    return evaluate
