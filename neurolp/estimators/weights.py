"""How often rows count, and an order of rows that is not the one they were given in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.errors import DataError

_MOST_REPEATS = 100  # of a row, on average


def training_rows(read: Callable[..., Array], X: Any, sample_weight: Any, seed: int) -> Array:
    """Codes (n, n_columns) of the rows that are learned from, in an order of their own.

    ``read(X, "X", reset=True)`` are those of a table. Rows of weight 0 leave no trace: what the
    columns are is read from all others, each as often as it counts.
    """
    codes = read(X, "X", reset=True)
    if sample_weight is not None:
        rows = repeated(codes, sample_weight, seed)
        codes = read(taken(X, rows), "X", reset=True)
    return codes[shuffled(codes, seed)]


def training_pairs(
    read: Callable[[Any, Any], tuple[Array, Array]], X: Any, y: Any, sample_weight: Any, seed: int
) -> tuple[Array, Array]:
    """Rows (n, n_columns), targets (n, ...), which ``read(X, y)`` reads, as :func:`training_rows`.

    Raises
    ------
    DataError
        As :func:`repeated`.
    """
    rows, targets = read(X, y)
    if sample_weight is not None:
        index = repeated(_beside(rows, targets), sample_weight, seed)
        rows, targets = read(taken(X, index), taken(y, index))
    order = shuffled(_beside(rows, targets), seed)
    return rows[order], targets[order]


def _beside(rows: Array, targets: Array) -> Array:
    """Rows with their targets, or with positions of labels, (n, n_columns + n_targets)."""
    if targets.dtype.kind not in "fiub":
        targets = np.unique(targets, return_inverse=True)[1]
    return np.column_stack([rows, targets.astype(np.float64)])


def shuffled(codes: Array, seed: int) -> Array:
    """A random order of rows (n, n_columns) that depends on the rows and the seed alone, (n,).

    Rows that come in another order come out in the same: what a fit finds cannot depend on it.
    """
    order = _sorted(codes)
    return order[generator(seed, "order of rows").permutation(len(order))]


def repeated(codes: Array, sample_weight: Any, seed: int) -> Array:
    """Positions of rows (n, n_columns), each as often as its weight says, (sum of weights,).

    A row of weight w stands there floor(w) or ceil(w) times, w on average: fractions are rounded by
    systematic sampling of the rows in the order of their values.

    Raises
    ------
    DataError
        If there is not one number for each row, a number is negative or not finite, or their sum is
        less than 1 or more than 100 n.
    """
    n = len(codes)
    weight = _checked(sample_weight, n)
    order = _sorted(codes)
    whole = np.floor(weight[order])
    ends = np.cumsum(weight[order] - whole) + generator(seed, "fractional weights").random()
    counts = whole + np.diff(np.floor(ends), prepend=0.0)
    return np.repeat(order, counts.astype(np.intp))


def taken(values: Any, rows: Array) -> Any:
    """The rows of a table, or of targets, at these positions, in the same kind of container."""
    return _safe_indexing(values if hasattr(values, "__getitem__") else np.asarray(values), rows)


def _sorted(codes: Array) -> Array:
    """The order of rows by their bytes: equal rows are neighbours."""
    rows = np.where(np.isnan(codes), np.nan, codes + 0.0)  # one NaN, and one zero
    keys = np.ascontiguousarray(rows, dtype=np.float64).view(f"V{8 * rows.shape[1]}")
    return np.argsort(keys.ravel(), kind="stable")


def _checked(sample_weight: Any, n: int) -> Array:
    """Weights (n,) that are finite and not negative."""
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"argument `sample_weight` must have numbers, but is {sample_weight!r:.60}"
        ) from None
    if weight.ndim == 0:
        weight = np.full(n, float(weight))
    if weight.shape != (n,):
        raise DataError(
            f"argument `sample_weight` must have shape ({n},), one number for each row, "
            f"but has shape {weight.shape}"
        )
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(bad):
        raise DataError(
            f"argument `sample_weight` must be finite and not negative, but is "
            f"{weight[bad[0]]:g} at row {bad[0]}"
        )
    total = float(weight.sum())
    if not total:
        raise DataError("argument `sample_weight` must have a positive number, but all are zero")
    if total < 1 or total > _MOST_REPEATS * n:
        raise DataError(
            f"argument `sample_weight` must have a sum from 1 to {_MOST_REPEATS * n} for {n} rows, "
            f"since it says how often each counts, but has {total:g}; "
            "sample_weight / sample_weight.mean() keeps the number of rows"
        )
    return weight
