"""Where the values of a column are cut into cells."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array

_FEWEST, _MOST = 8, 500  # cells of an ordered column
_ROWS_AT_FIRST = 100  # of 200 rows, 8 cells were best on rows held out
_ROWS_PER_CELL = 12  # fewer follow the rows, more hide how columns depend on one another


def number_of_cells(n_rows: int) -> int:
    """Number of cells for so many rows."""
    return int(np.clip(round((n_rows - _ROWS_AT_FIRST) / _ROWS_PER_CELL), _FEWEST, _MOST))


def cut(seen: Array, counts: Array, n_cells: int) -> Array:
    """First number of each cell when ``seen`` is cut into cells of about equal counts; and the end.

    Values that are more frequent than that have a cell of their own.
    """
    if len(seen) <= n_cells:
        return np.append(seen, seen[-1] + 1).astype(np.int64)
    first, left, waiting = [0], float(counts.sum()), n_cells
    here = 0.0
    for i, count in enumerate(counts):
        share = left / max(waiting, 1)
        if here and here + 0.5 * count > share:
            first.append(i)
            left -= here
            waiting -= 1
            here = 0.0
        here += float(count)
    return np.append(seen[first], seen[-1] + 1).astype(np.int64)
