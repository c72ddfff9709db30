"""The learning principle: surprise -log Phi and its units. No models in here.

L(x) = -log Phi(x) is the self-information of the input in nats; its mean is never below the
entropy of the source, E[L] = H(P) + KL(P || Phi) >= H(P).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
