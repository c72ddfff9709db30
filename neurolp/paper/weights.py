"""Weights that all times of a form share: their checks, and the arrays that a file holds."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array, NamedArrays
from neurolp.errors import NetworkError


def check_evolution(weights: Array, duration: float, n_steps: int) -> None:
    """Raise :class:`NetworkError` unless weights and times describe an evolution of a form."""
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise NetworkError(
            f"argument `weights` must have shape (n, n), but has shape {weights.shape}"
        )
    if np.diagonal(weights).any():
        node = int(np.flatnonzero(np.diagonal(weights))[0])
        raise NetworkError(
            f"argument `weights` must be zero on the diagonal, but node {node} has a self-edge"
        )
    if not np.all(np.isfinite(weights)):
        raise NetworkError("argument `weights` must be finite, but is not")
    if not (duration > 0 and np.isfinite(duration)):
        raise NetworkError(f"argument `duration` must be positive, but is {duration}")
    if n_steps < 1:
        raise NetworkError(f"argument `n_steps` must be >= 1, but is {n_steps}")


def weight_arrays(weights: Array) -> NamedArrays:
    """Weights (target, source) that all times share, with the coordinates of nodes and edges."""
    out, nodes = NamedArrays(), np.arange(len(weights))
    out.add_coordinate("node", nodes, "1", "node, in the order of the columns of the data")
    out.add_coordinate("target", nodes, "1", "node an edge enters")
    out.add_coordinate("source", nodes, "1", "node an edge leaves")
    what = "w of every edge, at all times"
    out.add("coupling", ("target", "source"), weights, "1/time", what)
    return out
