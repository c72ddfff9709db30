"""Well-known densities to stand beside: a Gaussian and a Gaussian mixture."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from neurolp.brain.parallel import single_threaded_blas
from neurolp.principle import gaussian_log_prob

Array = npt.NDArray[Any]

_COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 30)
_RIDGES = (1e-3, 1e-2, 1e-1)  # added to the variances of standardised columns


@dataclass(frozen=True)
class Baseline:
    """A fitted comparison: its name and mean test log-density in nats, units of the data."""

    name: str
    test_log_prob: float


def gaussian(train: Array, test: Array) -> Baseline | None:
    """Maximum-likelihood Gaussian; None where the training covariance is singular."""
    mean, scale = train.mean(axis=0), train.std(axis=0)
    z = (train - mean) / scale
    try:
        log_prob = gaussian_log_prob((test - mean) / scale, z.mean(axis=0), z.T @ z / len(z))
    except np.linalg.LinAlgError:
        return None
    return Baseline("Gaussian", float(log_prob.mean() - np.log(scale).sum()))


def gaussian_mixture(train: Array, validation: Array, test: Array, seed: int) -> Baseline:
    """scikit-learn's mixture; covariance type, components and ridge chosen on validation data.

    The search walks up in the number of components and leaves a branch after two steps without
    a better validation log-likelihood, so that it stays economical on large tables.
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
