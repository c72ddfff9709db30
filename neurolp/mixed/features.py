"""Cells of earlier columns as the binned features of boosted trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array


@dataclass(frozen=True)
class FeatureLayout:
    """Which features stand for which columns, in an ``order`` of the columns.

    A column of two cells and an ordered one are one feature, whose code is the cell and the number
    of cells where it is missing. A nominal column of more cells is one feature of codes 0 and 1 per
    cell, all 0 where it is missing.

    ``first`` (n_columns + 1,): columns order[0] .. order[k - 1] have the features below first[k].
    """

    order: Array
    n_cells: Array
    ordered: Array
    first: Array
    offset: Array
    missing: Array

    @classmethod
    def of(cls, order: Array, n_cells: Array, ordered: Array) -> FeatureLayout:
        """Layout for columns with ``n_cells`` and ``ordered`` (n_columns,), numbered as given."""
        first, widths, missing = [0], [], []
        for j in order:
            k = int(n_cells[j])
            if k < 2:
                pass
            elif k == 2 or ordered[j]:
                widths.append(k + 1)
                missing.append(k)
            else:
                widths += [2] * k
                missing += [-1] * k
            first.append(len(widths))
        offset = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        return cls(
            np.asarray(order),
            np.asarray(n_cells),
            np.asarray(ordered),
            np.array(first, dtype=np.int64),
            offset,
            np.array(missing, dtype=np.int64),
        )

    @property
    def n_features(self) -> int:
        """Number of features of all columns."""
        return len(self.missing)

    def codes(self, cells: Array) -> Array:
        """Codes (n_rows, n_features) of ``cells`` (n_rows, n_columns), -1 where missing."""
        out = np.zeros((len(cells), self.n_features), dtype=np.uint16)
        for position, j in enumerate(self.order):
            a, b, k = self.first[position], self.first[position + 1], self.n_cells[j]
            if b - a == 1:
                out[:, a] = np.where(cells[:, j] < 0, k, cells[:, j])
            elif b > a:
                out[:, a:b] = cells[:, j, None] == np.arange(k)
        return out
