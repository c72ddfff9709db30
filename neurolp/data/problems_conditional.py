"""A problem whose conditional density is known: two branches that cross, with unequal noise."""

from __future__ import annotations

import numpy as np
from scipy.special import log_expit

from neurolp.arrays import Array


def sample_bimodal(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw ``n`` conditions x (n, 1) and targets y (n,) of the bimodal problem.

    x is uniform on (-2, 2); with probability 1 / (1 + exp(-2 x)) y is sin 2x + 1, otherwise
    -sin 2x - 1, plus normal noise of standard deviation 0.1 + 0.2 |x|.
    """
    x = rng.uniform(-2.0, 2.0, n)
    upper = np.log(rng.random(n)) < log_expit(2.0 * x)
    branch = np.sin(2.0 * x) + 1.0
    noise = (0.1 + 0.2 * np.abs(x)) * rng.standard_normal(n)
    return x[:, None], np.where(upper, branch, -branch) + noise


def bimodal_log_density(X: Array, y: Array) -> Array:
    """Exact log p(y | x) in nats of the bimodal problem at x (n, 1) and y (n,), shape (n,)."""
    x = np.asarray(X, dtype=np.float64)[:, 0]
    sd = 0.1 + 0.2 * np.abs(x)
    branch = np.sin(2.0 * x) + 1.0
    upper = log_expit(2.0 * x) - 0.5 * ((y - branch) / sd) ** 2
    lower = log_expit(-2.0 * x) - 0.5 * ((y + branch) / sd) ** 2
    return np.asarray(np.logaddexp(upper, lower) - np.log(sd) - 0.5 * np.log(2.0 * np.pi))
