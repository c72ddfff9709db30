"""Columns of a table as the inputs of a regression: numbers as they are, categories as 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column

_MOST_CATEGORIES = 64  # with an input of their own
_LARGEST = 1e150  # so that squares are finite
_FEWEST_ROWS = 3  # of a category with an input of its own


@dataclass(frozen=True)
class ColumnInputs:
    """The inputs that the codes of one column become; without ``values`` the codes themselves.

    ``values`` (n_categories,) are those of categories. Where there are no indicators they are the
    input: of ordered categories and of two. Else they are the number of the indicator, an input
    which is 1 for its category and 0 for others; rare categories share the last. With ``gaps`` a
    further input is 1 where the value is missing. NaN stands for what is not known: holes without
    such an input, and categories that were not seen, which rare ones with an indicator include.
    """

    values: Array
    n_indicators: int = 0
    rare: bool = False
    gaps: bool = False

    @classmethod
    def of(cls, column: Column, codes: Array) -> ColumnInputs:
        """Inputs of a column with training codes (n,)."""
        n = len(column.categories)
        if column.kind == "ordinal" and n:
            return cls(np.arange(float(n)))
        if column.kind != "nominal":
            return cls(np.empty(0))
        if n <= 2:
            labels = any(isinstance(category, str) for category in column.categories)
            return cls(np.array(range(n) if labels else column.categories, dtype=np.float64))
        known = codes[~np.isnan(codes)].astype(np.int64)
        counts = np.bincount(known, minlength=n)[:n]
        ranked = np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]
        frequent = np.sort(ranked[counts[ranked] >= _FEWEST_ROWS])
        values = np.full(n, float(len(frequent)))
        values[frequent] = np.arange(len(frequent))
        rare = bool(counts.sum() > counts[frequent].sum())
        return cls(values, len(frequent) + rare, rare, bool(np.any(np.isnan(codes))))

    def __call__(self, codes: Array) -> Array:
        """Inputs (n, n_inputs) of codes (n,)."""
        if not len(self.values):
            return np.clip(codes, -_LARGEST, _LARGEST)[:, None]
        known = codes < len(self.values)  # NaN is not
        values = self.values[np.where(known, codes, 0).astype(np.int64)]
        if not self.n_indicators:
            return np.where(known, values, np.nan)[:, None]
        missing = np.isnan(codes)
        values = np.where(known, values, self.n_indicators - 1 if self.rare else np.nan)
        values = np.where(missing, -1.0 if self.gaps else np.nan, values)
        one = values[:, None] == np.arange(self.n_indicators)
        unknown = np.isnan(values) | (values >= self.n_indicators)
        out = np.where(unknown[:, None], np.nan, one)
        return np.column_stack([out, missing]) if self.gaps else out


@dataclass(frozen=True)
class TableInputs:
    """The inputs that the codes of a table become, column after column.

    Numbers, dates and the positions of ordered categories stay as they are, so that the inputs of a
    table of numbers are the table; see :class:`ColumnInputs` for categories. Inputs may be NaN:
    perceptrons take the mean, with a mark where there were holes in training; trees have a side for
    it at every split.

    Examples
    --------
    >>> import pandas as pd
    >>> from neurolp.data.columns import Columns
    >>> frame = pd.DataFrame({"n": [3.5, None, 4.1], "who": ["eve", "bob", "eve"]})
    >>> columns, codes = Columns.read(frame)
    >>> TableInputs.of(columns, codes)(codes).tolist()
    [[3.5, 0.0], [nan, 1.0], [4.1, 0.0]]
    """

    parts: tuple[ColumnInputs, ...]

    @classmethod
    def of(cls, columns: Sequence[Column], codes: Array) -> TableInputs:
        """Inputs for ``columns`` with training codes (n, n_columns)."""
        pairs = zip(columns, codes.T, strict=True)
        return cls(tuple(ColumnInputs.of(column, values) for column, values in pairs))

    def __call__(self, codes: Array) -> Array:
        """Inputs (n, n_inputs) of codes (n, n_columns)."""
        pairs = zip(self.parts, codes.T, strict=True)
        return np.hstack([part(values) for part, values in pairs])


def is_binary_number(column: Column) -> bool:
    """Whether a column was inferred to be nominal because its numbers are zeros and ones."""
    return column.kind == "nominal" and column.family == "number" and {*column.categories} == {0, 1}
