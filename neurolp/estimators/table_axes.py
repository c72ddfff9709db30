"""Columns of a table as nodes of a triangular map: their axes, and indicators of categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.differentiation.axes import Axis, GridAxis, LineAxis

_MOST_NODES = 16  # of one nominal column: its frequent categories, others are none of them
_ROWS, _MOST_COPIES = 4000, 4


def axis_of(column: Column, train: Array) -> Axis | None:
    """The axis of a column with training codes (n,); none for nominal and constant columns."""
    if column.kind == "continuous":
        return LineAxis.of(np.array(column.atoms), train)
    if column.kind == "ordinal":
        closed = bool(column.categories) or not column.step
        levels = column.levels
        if not closed:  # as far as the training rows go: what lies beyond is learned from others
            levels = np.array([train.min(), train.max()])
        return GridAxis(levels, column.step, closed)
    return None


def has_cells(axis: Axis | None) -> bool:
    """Whether some of the values of an axis have a mass."""
    return isinstance(axis, GridAxis) or (isinstance(axis, LineAxis) and len(axis.atoms) > 0)


def frequent_categories(column: Column, train: Array) -> Array:
    """Codes of the categories that have a node; of two categories, one has."""
    if column.kind != "nominal":
        return np.empty(0)
    counts = np.bincount(train.astype(np.intp), minlength=len(column.categories))
    counts = counts[: len(column.categories)]
    most = 1 if len(counts) == 2 and not column.unseen else _MOST_NODES
    order = np.argsort(-counts, kind="stable")[:most]
    return np.sort(order[counts[order] > 0]).astype(np.float64)


def n_copies(train: Array, axes: Sequence[Axis | None]) -> int:
    """How often values with a mass are spread over their cells anew."""
    if not any(isinstance(axis, GridAxis) for axis in axes):
        return 1
    return int(np.clip(round(_ROWS / len(train)), 1, _MOST_COPIES))


def spread(codes: Array, axes: Sequence[Axis | None], rng: np.random.Generator) -> Array:
    """Places of all values, (n, n_columns), uniform in the cells of those that have one."""
    out = np.zeros(codes.shape)
    for j, axis in enumerate(axes):
        if axis is not None:
            out[:, j] = axis.spread(codes[:, j], rng)
    return out
