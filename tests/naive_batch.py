"""Readable oracle of what many streams learn together in one step, in NumPy, no tricks."""

import numpy as np


def rank_one_updates(A, P, Z, targets):
    """Recursive least squares, one row after another: A (K, M), P (M, M), Z (B, M), targets (B, K).

    Targets that are NaN are not learned. Returns A and P.
    """
    A, P = A.copy(), P.copy()
    for z, y in zip(Z, targets, strict=True):
        if np.isnan(y).all():
            continue
        k, q = P @ z, z @ P @ z
        for i in np.flatnonzero(~np.isnan(y)):
            A[i] += (y[i] - A[i] @ z) * k / (1 + q)
        P -= np.outer(k, k) / (1 + q)
    return A, P


def mean_step(brains, rows):
    """Mean change of recurrent weights, input weights and thresholds over brains that learn alone.

    Each brain sees its row; all have the same weights before.
    """
    changes = {name: [] for name in ("recurrent", "afferent", "bias")}
    for brain, row in zip(brains, rows, strict=True):
        alone = brain.copy()
        alone.run(row[None])
        for name, values in changes.items():
            values.append(_weights(alone, name) - _weights(brain, name))
    return {name: np.mean(values, axis=0) for name, values in changes.items()}


def _weights(brain, name):
    if name == "bias":
        return brain._state.memory.bias.copy()
    weights = brain.weights[name]
    return weights if isinstance(weights, np.ndarray) else weights.toarray()
