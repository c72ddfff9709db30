"""Groups of neighbouring cells, for models that need many rows in every cell.

    P(c) = P(groups of c) prod_j p(c_j | its group)

with the shares p(c_j | group) that the cells have of the training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array

_FEWEST, _MOST = 8, 64  # groups of an ordered column
_PER_ROOT = 0.5  # groups per square root of the rows
_PRIOR_ROWS = 0.5  # of every cell


@dataclass(frozen=True)
class CellGroups:
    """The ``group`` of each cell, column by column, and the log of its ``share`` of it, nats.

    The cells of column j are those from ``offset[j]`` on; groups have the order of their cells.
    """

    offset: Array
    group: Array
    log_share: Array

    @classmethod
    def of(cls, cells: Array, n_cells: Array, ordered: Array) -> CellGroups:
        """Groups of about as many training rows each; cells of columns without order stay alone."""
        most = int(np.clip(round(_PER_ROOT * np.sqrt(len(cells))), _FEWEST, _MOST))
        groups, shares = [], []
        for own, k, is_ordered in zip(cells.T, n_cells, ordered, strict=True):
            counts = np.bincount(own[own >= 0], minlength=k) + _PRIOR_ROWS
            group = np.arange(k)
            if is_ordered and k > most:
                middle = np.cumsum(counts) - 0.5 * counts
                group = np.unique((middle / counts.sum() * most).astype(np.int64),
                                  return_inverse=True)[1].reshape(-1)  # fmt: skip
            groups.append(group)
            shares.append(np.log(counts / np.bincount(group, weights=counts)[group]))
        offset = np.concatenate([[0], np.cumsum(n_cells)]).astype(np.int64)
        return cls(offset, np.concatenate(groups), np.concatenate(shares))

    @property
    def n_groups(self) -> Array:
        """Number of groups of each column, (n_columns,)."""
        return np.array([self.group[b - 1] + 1 for b in self.offset[1:]])

    def coarse(self, cells: Array) -> Array:
        """Groups of cells (n, n_columns); -1 stays."""
        return np.where(cells < 0, -1, self.group[np.maximum(cells, 0) + self.offset[:-1]])

    def log_inner(self, cells: Array) -> Array:
        """Sum of log p(c_j | its group) over the columns that are not missing, nats, (n,)."""
        each = self.log_share[np.maximum(cells, 0) + self.offset[:-1]]
        return np.asarray(np.where(cells < 0, 0.0, each).sum(axis=1))

    def draw(self, cells: Array, groups: Array, rng: np.random.Generator) -> Array:
        """``cells`` whose -1 are drawn from their ``groups``, (n, n_columns) both."""
        out = cells.copy()
        share = np.exp(self.log_share)
        for j, (a, b) in enumerate(_pairs(self.offset)):
            gap = np.flatnonzero(cells[:, j] < 0)
            begins = np.searchsorted(self.group[a:b], np.arange(self.group[b - 1] + 1))
            up_to = np.concatenate([[0.0], np.cumsum(share[a:b])])  # a group more, one more
            own = groups[gap, j]
            drawn = np.searchsorted(up_to[1:], own + rng.random(len(gap)), side="right")
            last = np.append(begins[1:], b - a) - 1
            out[gap, j] = np.clip(drawn, begins[own], last[own])
        return out


def _pairs(offset: Array) -> Sequence[tuple[int, int]]:
    return list(zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True))
