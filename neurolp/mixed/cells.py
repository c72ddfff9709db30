"""Cells: every column cut into few outcomes, and the fixed law of the values inside each.

    log p(x_j | ...) = log P(cell of x_j | ...) + log p(x_j | its cell)

The second term is a density for continuous columns (nats per unit) and a mass for all others, and
is normalised in each cell: sums over all values, those that were never seen among them, are 1. A
nominal value that was not seen has the probability ``unseen`` and no cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.mixed.column_cells import ColumnCells, ConstantCells, NominalCells
from neurolp.mixed.continuous_cells import ContinuousCells
from neurolp.mixed.ordinal_cells import OrdinalCells

__all__ = ["ColumnCells", "cells_of"]


def cells_of(
    columns: Sequence[Column], values: Array, validation: Array | None = None
) -> tuple[ColumnCells, ...]:
    """Cells of all columns from training codes (n_rows, n_columns).

    Inside its cells a column is even, or smooth (``mixed.reference``) where that describes its
    ``validation`` codes better.
    """
    checks = np.full((1, len(columns)), np.nan) if validation is None else validation
    each = zip(columns, values.T, checks.T, strict=True)
    return tuple(_cells(column, own, check[~np.isnan(check)]) for column, own, check in each)


def _cells(column: Column, values: Array, check: Array) -> ColumnCells:
    if column.kind == "constant":
        return ConstantCells()
    if column.kind == "nominal":
        return NominalCells.of(column, values)
    kind = ContinuousCells if column.kind == "continuous" else OrdinalCells
    even = kind.of(column, values)
    smooth = even.smoothed(column, values) if len(check) else None
    if smooth is None:
        return even
    possible = np.isfinite(even.log_inner(check))
    gain = smooth.log_inner(check[possible]) - even.log_inner(check[possible])
    return smooth if gain.sum() > 0 else even
