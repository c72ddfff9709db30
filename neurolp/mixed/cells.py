"""Cells: every column cut into few outcomes, and the fixed law of the values inside each.

    log p(x_j | ...) = log P(cell of x_j | ...) + log p(x_j | its cell)

The second term is a density for continuous columns (nats per unit) and a mass for all others, and
is normalised in each cell: sums over all values, those that were never seen among them, are 1. A
nominal value that was not seen has the probability ``unseen`` and no cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.mixed.column_cells import ColumnCells, ConstantCells, NominalCells
from neurolp.mixed.continuous_cells import ContinuousCells
from neurolp.mixed.ordinal_cells import OrdinalCells

__all__ = ["ColumnCells", "cells_of"]


def cells_of(columns: Sequence[Column], values: Array) -> tuple[ColumnCells, ...]:
    """Cells of all columns from training codes (n_rows, n_columns)."""
    kinds: dict[str, Any] = {
        "continuous": ContinuousCells.of,
        "ordinal": OrdinalCells.of,
        "nominal": NominalCells.of,
        "constant": lambda column, values: ConstantCells(),
    }
    return tuple(kinds[column.kind](column, v) for column, v in zip(columns, values.T, strict=True))
