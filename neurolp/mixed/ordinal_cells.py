"""Cells of ordinal columns: successive values on a grid, or levels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.mixed.column_cells import ColumnCells
from neurolp.mixed.cuts import cut, number_of_cells
from neurolp.mixed.reference import Reference

_STEPS = 60  # of expectation-maximisation


@final
@dataclass(frozen=True)
class OrdinalCells(ColumnCells):
    """Cells of successive values on a grid, or of levels where ``step`` is 0.

    Value number i is ``origin + i step``, or level i. Cell c has the numbers from ``first[c]`` up
    to ``first[c + 1] - 1``. In a cell a value has the share (1 - a) (its frequency) + a r, with r =
    1 / (numbers in the cell), or the share of a ``reference`` around it. The first and last cell go
    on beyond the values seen: with the probabilities ``low`` and ``high`` of the cell a value is
    t = 1, 2, .. beyond, of mass R / ((t + R - 1) (t + R)).
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
    reference: Reference | None = None

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
        frequency = counts / total[cell]
        blend = _blend(counts, total[cell], 1.0 / np.diff(first)[cell])
        new = _share_of_new(len(seen), n)
        few = min(new / 2, 1 / (n + 2)) if step and not column.categories else 0.0
        shares = [few / (few + total[c] / n) if few else 0.0 for c in (0, -1)]
        reach = max(1.0, float(np.sqrt(np.average((seen - np.average(seen, weights=counts)) ** 2,
                                                  weights=counts))))  # fmt: skip
        low, high = shares
        return cls(levels, step, first, seen, frequency, blend, low, high, reach)

    def smoothed(self, column: Column, values: Array) -> OrdinalCells | None:
        """The same cells with a reference fitted to training codes (n,); None without a grid."""
        known = values[~np.isnan(values)]
        if not self.step or not len(known) or np.all(np.diff(self.first) == 1):
            return None
        number = _numbers(known, self.levels, self.step)
        spread = np.random.default_rng(0).uniform(-0.5, 0.5, len(number))
        smooth = replace(self, reference=Reference.of(number + spread))
        seen, counts = np.unique(number, return_counts=True)
        inside = (seen >= self.first[0]) & (seen < self.first[-1])
        seen, counts = seen[inside], counts[inside]
        cell = np.searchsorted(self.first, seen, side="right") - 1
        total = np.bincount(cell, weights=counts, minlength=self.n_cells)
        return replace(smooth, blend=_blend(counts, total[cell], smooth._share(seen, cell)))

    def _share(self, number: Array, cell: Array) -> Array:
        """Share r of each number in its cell."""
        first, last = self.first[cell], self.first[cell + 1]
        if self.reference is None:
            return np.asarray(1.0 / (last - first))
        own = self.reference.log_mass(number - 0.5, number + 0.5, np.ones(len(number)))
        width = (last - first).astype(np.float64)
        return np.asarray(np.exp(own - self.reference.log_mass(first - 0.5, last - 0.5, width)))

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
        place = np.minimum(np.searchsorted(self.seen, k), len(self.seen) - 1)
        frequency = np.where(self.seen[place] == k, self.frequency[place], 0.0)
        inside = np.clip(k, low, high)
        share = self._share(inside, np.maximum(cell, 0))
        mass = (1 - self.blend) * frequency + self.blend * share
        mass = mass * np.where(cell == 0, 1 - self.low, 1.0)
        mass = mass * np.where(cell == self.n_cells - 1, 1 - self.high, 1.0)
        beyond = np.maximum(low - k, k - high)
        t = np.maximum(beyond, 1.0)
        far = self.reach / (t + self.reach - 1) / (t + self.reach)  # a product may overflow
        mass = np.where(beyond > 0, np.where(k < low, self.low, self.high) * far, mass)
        if self.n_cells == 1:  # both tails are in one cell
            between = (1 - self.low - self.high) / ((1 - self.low) * (1 - self.high))
            mass = np.where(beyond > 0, mass, mass * between)
        with np.errstate(divide="ignore"):
            out = np.where(usable, np.log(mass), -np.inf)
        return np.where(np.isnan(values), 0.0, out)

    def draw(self, cells: Array, rng: np.random.Generator) -> Array:
        """Values of the cells."""
        n = len(cells)
        kind, uniform, where = rng.random((3, n))
        first, width = self.first[cells], np.diff(self.first)[cells]
        number = first + np.floor(where * width)
        copied = kind >= self.blend
        if self.reference is not None:
            own = np.flatnonzero(~copied & (width > 1))
            low, high = first[own] - 0.5, (first + width)[own] - 0.5
            drawn = self.reference.draw(low, high, where[own])
            number[own] = np.clip(np.floor(drawn + 0.5), low + 0.5, high - 0.5)
        start = np.searchsorted(self.seen, self.first[:-1])
        up_to = np.concatenate([[0.0], np.cumsum(self.frequency)])
        total = np.diff(up_to[np.append(start, len(self.seen))])
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


def _blend(counts: Array, total: Array, share: Array) -> float:
    """The blend a of greatest likelihood when each value is left out once.

    ``counts`` (n,) of the values, ``total`` of their cells, and their shares r.
    """
    left_out = (counts - 1) / np.maximum(total - 1, 1)
    blend = 0.5
    for _ in range(_STEPS):
        mixed = blend * share
        both = mixed + (1 - blend) * left_out
        # A value that is alone, and where the share is too small for a number, has only the share.
        part = np.divide(mixed, both, out=np.ones_like(mixed), where=both > 0)
        blend = float(np.average(part, weights=counts))
    return max(blend, _share_of_new(len(counts), int(counts.sum())))


def _numbers(values: Array, levels: Array, step: float) -> Array:
    """Which value of the grid, or which level, each is; NaN where it is none of them."""
    if step:
        with np.errstate(over="ignore", invalid="ignore"):
            number = np.round((values - levels[0]) / step)
            scale = np.maximum(np.abs(values), abs(levels[0])) + step
            near = np.abs(levels[0] + number * step - values) <= 1e-9 * step + 1e-13 * scale
        return np.where(near, number, np.nan)
    place = np.minimum(np.searchsorted(levels, values), len(levels) - 1)
    return np.where(levels[place] == values, place.astype(np.float64), np.nan)


def _share_of_new(n_distinct: int, n: int) -> float:
    """A rough share of values not seen: that of Ewens' formula, at least of one row in a while."""
    return float(n_distinct / (n + n_distinct) / (1.0 + np.log1p(n / n_distinct)))
