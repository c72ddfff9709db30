"""Cells: every column cut into few outcomes, and the fixed law of the values inside each.

    log p(x_j | ...) = log P(cell of x_j | ...) + log p(x_j | its cell)

The second term is a density for continuous columns (nats per unit) and a mass for all others, and
is normalised in each cell: sums over all values, those that were never seen among them, are 1. A
nominal value that was not seen has the probability ``unseen`` and no cell.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column

_MOST_CATEGORIES = 64  # with a cell of their own
_FEWEST_CELLS, _MOST_CELLS = 8, 250  # of an ordered column
_CELLS_PER_ROOT = 5.0  # cells per square root of the rows
_FAR = 0.02  # share of a tail that falls off as a power of the distance
_STEPS = 60


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


@final
@dataclass(frozen=True)
class OrdinalCells(ColumnCells):
    """Cells of successive values on a grid, or of levels where ``step`` is 0.

    Value number i is ``origin + i step``, or level i. Cell c has the numbers from ``first[c]`` up
    to ``first[c + 1] - 1``. In a cell a value has the share (1 - a) (its frequency) + a / (numbers
    in the cell). The first and last cell go on beyond the values seen: with the probabilities
    ``low`` and ``high`` of the cell a value is t = 1, 2, .. beyond, of mass R / ((t + R - 1) (t +
    R)).
    """

    levels: Array
    step: float
    first: Array
    seen: Array
    frequency: Array
    blend: float
    low: float
    high: float
    reach: float

    @classmethod
    def of(cls, column: Column, values: Array) -> OrdinalCells:
        """Cells for an ordinal column with training codes (n,)."""
        levels, step = column.levels, column.step
        known = values[~np.isnan(values)]
        number = _numbers(known, levels, step)
        top = round((levels[-1] - levels[0]) / step) if step else len(levels) - 1
        inside = (number >= 0) & (number <= top)
        seen, counts = np.unique(number[inside].astype(np.int64), return_counts=True)
        if not len(seen):
            seen, counts = np.array([0]), np.array([1])
        n = int(counts.sum())
        first = _cut(seen, counts, _n_cells(n))
        first[0], first[-1] = 0, top + 1
        cell = np.searchsorted(first, seen, side="right") - 1
        total = np.bincount(cell, weights=counts, minlength=len(first) - 1)
        width = np.diff(first)
        frequency = counts / total[cell]
        # The blend of greatest likelihood when each value is left out once.
        left_out = (counts - 1) / np.maximum(total[cell] - 1, 1)
        blend = 0.5
        uniform = 1.0 / width[cell]
        for _ in range(_STEPS):
            mixed = blend * uniform
            blend = float(np.average(mixed / (mixed + (1 - blend) * left_out), weights=counts))
        new = _share_of_new(len(seen), n)
        blend = max(blend, new)
        few = min(new / 2, 1 / (n + 2)) if step and not column.categories else 0.0
        shares = [few / (few + total[c] / n) if few else 0.0 for c in (0, -1)]
        reach = max(1.0, float(np.sqrt(np.average((seen - np.average(seen, weights=counts)) ** 2,
                                                  weights=counts))))  # fmt: skip
        low, high = shares
        return cls(levels, step, first, seen, frequency, blend, low, high, reach)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.first) - 1

    @property
    def widths(self) -> Array | None:
        """Numbers of values in the cells."""
        return np.diff(self.first).astype(np.float64)

    def cell(self, values: Array) -> Array:
        """Cells; values beyond those seen are in the first or last one."""
        number = np.nan_to_num(_numbers(values, self.levels, self.step), nan=0.0)
        cell = np.searchsorted(self.first, number, side="right") - 1
        return np.where(np.isnan(values), -1, np.clip(cell, 0, self.n_cells - 1))

    def log_inner(self, values: Array) -> Array:
        """Log of the mass of a value in its cell; -inf where it is not on the grid."""
        number = _numbers(values, self.levels, self.step)
        usable = np.isfinite(number)
        k = np.where(usable, number, 0.0)
        low, high = float(self.first[0]), float(self.first[-1] - 1)
        cell = self.cell(values)
        width = np.diff(self.first)[np.maximum(cell, 0)]
        place = np.minimum(np.searchsorted(self.seen, k), len(self.seen) - 1)
        frequency = np.where(self.seen[place] == k, self.frequency[place], 0.0)
        mass = (1 - self.blend) * frequency + self.blend / width
        mass = mass * np.where(cell == 0, 1 - self.low, 1.0)
        mass = mass * np.where(cell == self.n_cells - 1, 1 - self.high, 1.0)
        beyond = np.maximum(low - k, k - high)
        t = np.maximum(beyond, 1.0)
        far = self.reach / ((t + self.reach - 1) * (t + self.reach))
        mass = np.where(beyond > 0, np.where(k < low, self.low, self.high) * far, mass)
        if self.n_cells == 1:  # both tails are in one cell
            inside = (1 - self.low - self.high) / ((1 - self.low) * (1 - self.high))
            mass = np.where(beyond > 0, mass, mass * inside)
        with np.errstate(divide="ignore"):
            out = np.where(usable, np.log(mass), -np.inf)
        return np.where(np.isnan(values), 0.0, out)

    def draw(self, cells: Array, rng: np.random.Generator) -> Array:
        """Values of the cells."""
        n = len(cells)
        kind, uniform, where = rng.random((3, n))
        first, width = self.first[cells], np.diff(self.first)[cells]
        number = first + np.floor(where * width)
        start = np.searchsorted(self.seen, self.first[:-1])
        up_to = np.concatenate([[0.0], np.cumsum(self.frequency)])
        total = np.diff(up_to[np.append(start, len(self.seen))])
        copied = kind >= self.blend
        at = np.searchsorted(up_to[1:], up_to[start[cells]] + uniform * total[cells], side="right")
        number = np.where(copied, self.seen[np.minimum(at, len(self.seen) - 1)], number)
        # Beyond t values with probability R / (t + R).
        tail, far = rng.random((2, n))
        t = np.minimum(np.floor(self.reach / np.maximum(far, 1e-12) - self.reach) + 1, 2.0**52)
        below = (cells == 0) & (tail < self.low)
        above = (cells == self.n_cells - 1) & (tail >= 1 - self.high) & ~below
        number = np.where(below, self.first[0] - t, number)
        number = np.where(above, self.first[-1] - 1 + t, number)
        if self.step:
            return np.asarray(self.levels[0] + number * self.step)
        return np.asarray(self.levels[number.astype(np.int64)])


@final
@dataclass(frozen=True)
class ContinuousCells(ColumnCells):
    """Intervals [edge_c, edge_c+1), and atoms, which are cells of one value.

    ``edges`` (C - 1,) increase; the density is uniform between two edges; in the first and last
    cell it falls off exponentially with the mean distance ``reach`` from the edge, but for a small
    share that falls off as a power. ``atom`` (C,) says which cells are atoms.
    """

    edges: Array
    atom: Array
    reach: tuple[float, float]

    @classmethod
    def of(cls, column: Column, values: Array) -> ContinuousCells:
        """Cells for a continuous column with training codes (n,)."""
        known = values[~np.isnan(values)]
        atoms = np.array(sorted(column.atoms))
        rest = np.sort(known[~np.isin(known, atoms)])
        distinct, counts = np.unique(rest, return_counts=True)
        edges = np.empty(0)
        if len(distinct) > 1:
            first = _cut(np.arange(len(distinct)), counts, _n_cells(len(rest)))[1:-1]
            edges = 0.5 * (distinct[first - 1] + distinct[first])
            edges = edges[(edges > distinct[first - 1]) & (edges <= distinct[first])]
        edges = np.unique(np.concatenate([edges, atoms, np.nextafter(atoms, np.inf)]))
        lower = np.append(-np.inf, edges)
        upper = np.append(edges, np.inf)
        atom = np.isin(lower, atoms) & (np.nextafter(lower, np.inf) == upper)
        spread = float(rest.std()) if len(rest) > 1 else 1.0
        reach = [spread or 1.0] * 2
        if len(edges) and len(rest):
            below, above = edges[0] - rest[rest < edges[0]], rest[rest >= edges[-1]] - edges[-1]
            reach = [float(d.mean()) if len(d) and d.mean() > 0 else spread or 1.0
                     for d in (below, above)]  # fmt: skip
        return cls(edges, atom, (reach[0], reach[1]))

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.atom)

    @property
    def widths(self) -> Array | None:
        """Widths of the intervals; of tails the mean distance, of atoms the mean of all."""
        if len(self.edges) < 1:
            return None
        out = np.concatenate([self.reach[:1], np.diff(self.edges), self.reach[1:]])
        out[self.atom] = out[~self.atom].mean()
        return out

    def cell(self, values: Array) -> Array:
        """Cells, -1 where missing."""
        cell = np.searchsorted(self.edges, values, side="right")
        return np.where(np.isnan(values), -1, cell)

    def log_inner(self, values: Array) -> Array:
        """Log-density in the cell, nats per unit of the data; 0 at an atom."""
        cell = np.maximum(self.cell(values), 0)
        if not len(self.edges):
            z = np.nan_to_num(values) / self.reach[0]
            out = -np.log(np.pi * self.reach[0]) - np.log1p(z * z)
            return np.where(np.isnan(values), 0.0, out)
        width = np.diff(self.edges, prepend=np.nan, append=np.nan)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            out = np.where(self.atom[cell], 0.0, -np.log(width[cell]))
            below, above = self.edges[0] - values, values - self.edges[-1]
            last = cell == self.n_cells - 1
            out = np.where(cell == 0, _log_tail(below, self.reach[0]), out)
            out = np.where(last, _log_tail(above, self.reach[1]), out)
        return np.where(np.isnan(values), 0.0, out)

    def draw(self, cells: Array, rng: np.random.Generator) -> Array:
        """Values of the cells."""
        uniform, far, tail = rng.random((3, len(cells)))
        if not len(self.edges):
            return np.asarray(self.reach[0] * np.tan(np.pi * (uniform - 0.5)))
        lower, upper = np.append(self.edges[0], self.edges), np.append(self.edges, self.edges[-1])
        out = lower[cells] + uniform * (upper[cells] - lower[cells])
        out = np.where(self.atom[cells], lower[cells], out)
        distance = np.where(far < _FAR, 5.0 * uniform / np.maximum(1 - uniform, 1e-12),
                            -np.log(np.maximum(tail, 1e-300)))  # fmt: skip
        first, last = cells == 0, cells == self.n_cells - 1
        below = np.nextafter(self.edges[0], -np.inf) - distance * self.reach[0]
        out = np.where(first, below, out)
        return np.asarray(np.where(last, self.edges[-1] + distance * self.reach[1], out))


def cells_of(columns: Sequence[Column], values: Array) -> tuple[ColumnCells, ...]:
    """Cells of all columns from training codes (n_rows, n_columns)."""
    kinds: dict[str, Any] = {
        "continuous": ContinuousCells.of,
        "ordinal": OrdinalCells.of,
        "nominal": NominalCells.of,
        "constant": lambda column, values: ConstantCells(),
    }
    return tuple(kinds[column.kind](column, v) for column, v in zip(columns, values.T, strict=True))


def _n_cells(n_rows: int) -> int:
    return int(np.clip(round(_CELLS_PER_ROOT * np.sqrt(n_rows)), _FEWEST_CELLS, _MOST_CELLS))


def _cut(seen: Array, counts: Array, n_cells: int) -> Array:
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


def _numbers(values: Array, levels: Array, step: float) -> Array:
    """Which value of the grid, or which level, each is; NaN where it is none of them."""
    if step:
        number = np.round((values - levels[0]) / step)
        scale = np.maximum(np.abs(values), abs(levels[0])) + step
        near = np.abs(levels[0] + number * step - values) <= 1e-9 * step + 1e-13 * scale
        return np.where(near, number, np.nan)
    place = np.minimum(np.searchsorted(levels, values), len(levels) - 1)
    return np.where(levels[place] == values, place.astype(np.float64), np.nan)


def _share_of_new(n_distinct: int, n: int) -> float:
    """A rough share of values not seen: that of Ewens' formula, at least of one row in a while."""
    return float(n_distinct / (n + n_distinct) / (1.0 + np.log1p(n / n_distinct)))


def _log_tail(distance: Array, reach: float) -> Array:
    """Log-density at a distance >= 0 from the edge of a tail, nats."""
    z = np.maximum(distance, 0.0) / reach
    exponential, power = np.log1p(-_FAR) - z, np.log(_FAR / 5.0) - 2.0 * np.log1p(z / 5.0)
    return np.asarray(np.logaddexp(exponential, power) - np.log(reach))
