"""Cells of ordinal columns: successive values on a grid, or levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.mixed.column_cells import ColumnCells
from neurolp.mixed.cuts import cut, number_of_cells

_STEPS = 60  # of expectation-maximisation


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
        first = cut(seen, counts, number_of_cells(n))
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
