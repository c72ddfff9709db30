"""A warning for models of continuous columns that are given values with a probability mass."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.data.columns import Columns
from neurolp.errors import DataWarning


def warn_of_discrete_values(
    rows: Array, model: str, name: str = "X", label: Callable[[Any], str] = str, *, stacklevel: int
) -> None:
    """Warn, in one line that names the column, where finite rows (n, n_columns) are not continuous.

    Values on a grid, few values and atoms have a mass. A density can be made as high there as one
    likes, and scores of it mean little. Constants are left to those who refuse them. ``stacklevel``
    is that of :func:`warnings.warn`, counted from the caller of this function.
    """
    found = [(j, what) for j, column in enumerate(Columns.infer(rows)) if (what := _what(column))]
    if not found:
        return
    j, what = found[0]
    others = len(found) - 1
    also = f" (and {others} other{'s are' if others > 1 else ' is'} discrete)" if others else ""
    warnings.warn(
        f"argument `{name}`: column {label(j)} {what}{also}, but {model} learns the density of "
        "continuous columns, which means little there; BrainDensity takes columns of any kind, and "
        "uniform noise of the width of a step makes values on a grid continuous",
        DataWarning,
        stacklevel=stacklevel + 1,
    )


def _what(column: Column) -> str:
    """In which way a column is not continuous; empty where it is, or constant."""
    if column.kind == "constant":
        return ""
    if column.kind == "continuous":
        return f"has {column.describe()}" if column.atoms else ""
    return f"is {column.kind} with {column.describe()}"
