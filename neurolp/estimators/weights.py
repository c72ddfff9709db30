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
    """A random order of rows (n, n_columns) that depends on what is in them and the seed, (n,).

    Rows that come in another order come out in the same: what a fit finds cannot depend on it, nor
    on the numbering of columns and on their units. But the codes of nominal columns, which are
    numbered as they appear, are part of what is in a row.
    """
    keys = _mixed(_keys(codes) ^ np.uint64(generator(seed, "order of rows").integers(2**63)))
    return _sorted(codes, keys)


def repeated(codes: Array, sample_weight: Any, seed: int) -> Array:
    """Positions of rows (n, n_columns), each as often as its weight says, (sum of weights,).

    A row of weight w stands there floor(w) or ceil(w) times, w on average: fractions are rounded by
    systematic sampling of the rows in an order that only depends on what is in them.

    Raises
    ------
    DataError
        If there is not one number for each row, a number is negative or not finite, or their sum is
        less than 1 or more than 100 n.
    """
    n = len(codes)
    weight = _checked(sample_weight, n)
    order = _sorted(codes, _keys(codes))
    whole = np.floor(weight[order])
    ends = np.cumsum(weight[order] - whole) + generator(seed, "fractional weights").random()
    counts = whole + np.diff(np.floor(ends), prepend=0.0)
    # In the order of the rows, by which categories are numbered.
    return np.sort(np.repeat(order, counts.astype(np.intp)))


def taken(values: Any, rows: Array) -> Any:
    """The rows of a table, or of targets, at these positions, in the same kind of container."""
    return _safe_indexing(values if hasattr(values, "__getitem__") else np.asarray(values), rows)


def _keys(codes: Array) -> Array:
    """A number for each row (n,), equal for equal rows, of their ranks in all columns.

    Columns are told apart by what is in them, not by their numbers: first rows are hashed without
    telling columns apart, then columns by those of their rows, then rows again.
    """
    ranks = [np.unique(c, return_inverse=True)[1].astype(np.uint32) for c in codes.T]
    rows, keys = np.zeros((2, len(codes)), dtype=np.uint64)
    for rank in ranks:
        rows += _mixed(rank)
    rows = _mixed(rows)
    for rank in ranks:
        cells = _mixed(rank)
        keys += _mixed(cells ^ _mixed(_mixed(cells ^ rows).sum(keepdims=True)))
    return keys


def _mixed(x: Array) -> Array:
    """A hash of 64 bits of each number (SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    x = x.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _sorted(codes: Array, keys: Array) -> Array:
    """The order of rows by their keys, and by values where different rows have the same."""
    if len(np.unique(keys)) == len(keys):
        return np.argsort(keys)
    return np.lexsort([*codes.T[::-1], keys])


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
