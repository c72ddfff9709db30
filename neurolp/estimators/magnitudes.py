"""Refusal of columns whose numbers are too large, or differ by too little, for sums of squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.errors import DataError

_LARGEST, _SMALLEST = 1e150, 1e-150  # their squares are normal numbers


def check_magnitudes(
    columns: Sequence[Column], codes: Array, name: str, label: Callable[[Any], str]
) -> None:
    """Raise :class:`DataError` for columns without a variance that is a positive normal number.

    ``codes`` (n, n_columns) may be NaN; nominal, ordered and constant columns are left out.
    """
    for j, column in enumerate(columns):
        if column.kind not in ("continuous", "ordinal") or column.categories:
            continue
        known = codes[~np.isnan(codes[:, j]), j]
        largest = float(np.max(np.abs(known), initial=0.0))
        if largest > _LARGEST:
            raise DataError(
                f"argument `{name}` must have a finite variance, but column {label(j)} has values "
                f"up to {largest:g}"
            )
        if len(known) and 0 < (spread := float(np.ptp(known))) < _SMALLEST:
            raise DataError(
                f"argument `{name}` must have a variance that is not rounded to 0, but the values "
                f"of column {label(j)} differ by {spread:g} at most; multiply them by a number"
            )
