"""Cells of one column: what all kinds of columns have, and those of constant and nominal ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column

_MOST_CATEGORIES = 64  # with a cell of their own


class ColumnCells(ABC):
    """The cells of one column, numbered from 0."""

    @property
    @abstractmethod
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    def ordered(self) -> bool:
        """Whether the numbers of the cells are in the order of their values."""
        return True

    @property
    def widths(self) -> Array | None:
        """Weights (n_cells,) that neighbours of like density have, None where there are none."""
        return None

    @abstractmethod
    def cell(self, values: Array) -> Array:
        """Cells of codes (n,): integers, -1 where a value is missing or has no cell."""

    @abstractmethod
    def log_inner(self, values: Array) -> Array:
        """Log p(value | its cell), nats, (n,); 0 where missing, -inf where impossible."""

    @abstractmethod
    def draw(self, cells: Array, rng: np.random.Generator) -> Array:
        """One code from each of the ``cells`` (n,)."""


@final
@dataclass(frozen=True)
class ConstantCells(ColumnCells):
    """One value, code 0, of probability 1."""

    @property
    def n_cells(self) -> int:
        """One."""
        return 1

    def cell(self, values: Array) -> Array:
        """Cell 0, or -1 where missing."""
        return np.where(np.isnan(values), -1, 0)

    def log_inner(self, values: Array) -> Array:
        """0 for the value, -inf for others."""
        return np.where(np.isnan(values) | (values == 0), 0.0, -np.inf)

    def draw(self, cells: Array, rng: np.random.Generator) -> Array:
        """The value."""
        return np.zeros(len(cells))


@final
@dataclass(frozen=True)
class NominalCells(ColumnCells):
    """A cell for each frequent category, the last one for all others where there are too many.

    ``place`` (n_categories,) is the cell of each category, ``share`` its share of the cell.
    """

    place: Array
    share: Array
    unseen: float

    @classmethod
    def of(cls, column: Column, values: Array) -> NominalCells:
        """Cells for a nominal column with training codes (n,)."""
        n = len(column.categories)
        known = values[~np.isnan(values)].astype(np.int64)
        counts = np.bincount(known[known < n], minlength=n).astype(np.float64)
        place, share = np.arange(n), np.ones(n)
        if n > _MOST_CATEGORIES:
            rare = np.argsort(-counts, kind="stable")[_MOST_CATEGORIES - 1 :]
            place = np.full(n, _MOST_CATEGORIES - 1)
            frequent = np.setdiff1d(np.arange(n), rare)
            place[frequent] = np.arange(len(frequent))
            weight = counts[rare] + (counts[rare] == 0) * 0.5
            share[rare] = weight / weight.sum()
        return cls(place, share, column.unseen)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.place.max()) + 1

    @property
    def ordered(self) -> bool:
        """Categories have no order."""
        return False

    def cell(self, values: Array) -> Array:
        """Cells, -1 for what was not seen."""
        known = values < len(self.place)  # NaN is not
        return np.where(known, self.place[np.where(known, values, 0).astype(np.int64)], -1)

    def log_inner(self, values: Array) -> Array:
        """Log of the share of a category; of ``unseen`` for those not seen."""
        known = values < len(self.place)
        share = self.share[np.where(known, values, 0).astype(np.int64)] * (1.0 - self.unseen)
        with np.errstate(divide="ignore"):
            out = np.log(np.where(known, share, self.unseen))
        return np.where(np.isnan(values), 0.0, out)

    def draw(self, cells: Array, rng: np.random.Generator) -> Array:
        """A category of the cell; never one that was not seen."""
        out = np.empty(len(cells))
        uniform = rng.random(len(cells))
        for c in np.unique(cells):
            members = np.flatnonzero(self.place == c)
            mine = cells == c
            up_to = np.cumsum(self.share[members])
            out[mine] = members[np.searchsorted(up_to, uniform[mine] * up_to[-1], side="right")]
        return out
