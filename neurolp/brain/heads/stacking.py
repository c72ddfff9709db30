"""Weights of an average of densities, from their log-densities of held-out rows (stacking)."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array


def stacking_weights(
    log_prob: Array,
    *,
    counts: Array | None = None,
    prior: Array | float = 0.0,
    start: Array | None = None,
    n_steps: int = 300,
) -> Array:
    """Weights (n_densities,) of the greatest held-out likelihood, of sum 1.

    argmax_w of sum_i n_i log sum_c w_c exp(log_prob_ci) + sum_c a_c log w_c, a concave function, by
    expectation-maximisation:

        w_c <- (sum_i n_i w_c p_ci / sum_c' w_c' p_c'i + a_c) / (sum_i n_i + sum_c a_c)

    ``log_prob`` (n_densities, n_rows) in nats; ``counts`` n_i (n_rows,), each 1 by default;
    ``prior`` a_c in rows, which keeps weights from vanishing; ``start`` (n_densities,), uniform by
    default. Source: P. Smyth and D. Wolpert, "Linearly combining density estimators via stacking",
    Machine Learning 36 (1999).
    """
    n_densities, n_rows = log_prob.shape
    counts = np.ones(n_rows) if counts is None else counts
    prior = np.broadcast_to(np.asarray(prior, dtype=np.float64), n_densities)
    weights = np.full(n_densities, 1.0 / n_densities) if start is None else start / start.sum()
    total = counts.sum() + prior.sum()
    ratio = np.exp(log_prob - log_prob.max(axis=0))
    for _ in range(n_steps):
        weights = (weights * (ratio @ (counts / (weights @ ratio))) + prior) / total
    return np.asarray(weights / weights.sum())
