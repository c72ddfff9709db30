"""Axes of columns: values of every kind as places on a line, with a cell for those that have mass.

A map that is monotone on the line (``neurolp.differentiation.triangular``) then gives a value with
a cell the probability of that cell, and others their density. While a map is learned, values with a
cell are spread over it uniformly (dequantisation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from neurolp.arrays import Array

_ROUNDING = 1e-6  # of a step


class Axis(Protocol):
    """Places of the values (n,) of one column."""

    def cells(self, values: Array) -> tuple[Array, Array, Array]:
        """Place, and lower and upper end of the cell, (n,) each; ends are NaN for densities."""

    def spread(self, values: Array, rng: np.random.Generator) -> Array:
        """Places (n,) that are uniform in the cells."""

    def values(self, place: Array) -> Array:
        """The values (n,) that have their place there, or a cell around it."""

    @property
    def seen(self) -> tuple[float, float]:
        """Ends of the cells that were seen, where others are possible; else infinities."""


@final
@dataclass(frozen=True)
class LineAxis:
    """Continuous values, some of which are ``atoms`` (sorted): there the line has gaps.

    All that lies above an atom is moved up by its gap, which is the cell of the atom.
    """

    atoms: Array
    gaps: Array

    @classmethod
    def of(cls, atoms: Array, values: Array) -> LineAxis:
        """Gaps as wide as the standard deviation of the other values times the atom's share."""
        atoms = np.sort(np.asarray(atoms, dtype=np.float64))
        rest = values[~np.isin(values, atoms)]
        spread = float(rest.std()) if len(rest) > 1 else 0.0
        share = np.array([np.mean(values == atom) for atom in atoms])
        return cls(atoms, np.maximum(share, 1e-3) * (spread or 1.0))

    def cells(self, values: Array) -> tuple[Array, Array, Array]:
        """The values moved up; for an atom the middle of its gap, and the gap."""
        below = np.searchsorted(self.atoms, values, side="left")
        place = values + self._moved[below]
        ends = np.full(len(values), np.nan), np.full(len(values), np.nan)
        if len(self.atoms):
            k = np.minimum(below, len(self.atoms) - 1)
            atom = self.atoms[k] == values
            ends[0][atom] = place[atom]
            ends[1][atom] = place[atom] + self.gaps[k[atom]]
            place = np.where(atom, place + 0.5 * self.gaps[k], place)
        return place, *ends

    def spread(self, values: Array, rng: np.random.Generator) -> Array:
        """Uniform in the gaps."""
        place, lower, upper = self.cells(values)
        if not len(self.atoms):
            return place
        atom = ~np.isnan(lower)
        place[atom] = rng.uniform(lower[atom], upper[atom])
        return place

    def values(self, place: Array) -> Array:
        """Moved back; atoms in the gaps."""
        if not len(self.atoms):
            return place
        start = self.atoms + self._moved[:-1]
        k = np.searchsorted(start, place, side="right")
        out = place - self._moved[k]
        last = np.maximum(k - 1, 0)
        inside = (k > 0) & (place <= start[last] + self.gaps[last])
        return np.where(inside, self.atoms[last], out)

    @property
    def seen(self) -> tuple[float, float]:
        """All of the line."""
        return -np.inf, np.inf

    @property
    def _moved(self) -> Array:
        return np.concatenate([[0.0], np.cumsum(self.gaps)])


@final
@dataclass(frozen=True)
class GridAxis:
    """Values ``levels[0] + i step``, whose cells have the width ``step``; or, if 0, the ``levels``.

    Cells of levels end half-way between them. Where the axis is ``closed``, as it is without a
    step, there are no values beyond the levels, and the outermost cells go on to infinity.
    """

    levels: Array
    step: float
    closed: bool

    def cells(self, values: Array) -> tuple[Array, Array, Array]:
        """The values, and the ends of their cells."""
        k = self.number(values)
        lower, upper = self._ends(k)
        if self.closed:
            lower = np.where(k <= 0, -np.inf, lower)
            upper = np.where(k >= self._top, np.inf, upper)
        return self.level(k), lower, upper

    def spread(self, values: Array, rng: np.random.Generator) -> Array:
        """Uniform in the cells; those at the ends are as wide as they are inwards."""
        return np.asarray(rng.uniform(*self._ends(self.number(values))))

    def values(self, place: Array) -> Array:
        """The nearest."""
        if self.step:
            k = np.rint((place - self.levels[0]) / self.step)
            return self.level(np.clip(k, 0, self._top) if self.closed else k)
        between = 0.5 * (self.levels[1:] + self.levels[:-1])
        return np.asarray(self.levels[np.searchsorted(between, place, side="left")])

    @property
    def seen(self) -> tuple[float, float]:
        """Ends of the first and of the last level's cell, unless there is nothing beyond."""
        if self.closed or not self.step:
            return -np.inf, np.inf
        (low, _), (_, high) = (self._ends(np.array([k])) for k in (0, self._top))
        return float(low[0]), float(high[0])

    def number(self, values: Array) -> Array:
        """Numbers 0, 1, ... of values, counted from the least level."""
        if self.step:
            return np.asarray(np.rint((values - self.levels[0]) / self.step))
        return np.minimum(np.searchsorted(self.levels, values), self._top)

    def level(self, k: Array) -> Array:
        """Values of numbers."""
        if self.step:
            return np.asarray(self.levels[0] + k * self.step)
        return np.asarray(self.levels[np.asarray(k, dtype=np.intp)])

    def floor(self, values: Array) -> Array:
        """The greatest possible value up to each; -inf where all are greater."""
        if not self.step:
            k = np.searchsorted(self.levels, values, side="right") - 1
            return np.where(k < 0, -np.inf, self.levels[np.maximum(k, 0)])
        k = np.floor((values - self.levels[0]) / self.step + _ROUNDING)
        if self.closed:
            k = np.where(k < 0, -np.inf, np.minimum(k, self._top))
        return self.level(k)

    @property
    def _top(self) -> int:
        if self.step:
            return int(np.rint((self.levels[-1] - self.levels[0]) / self.step))
        return len(self.levels) - 1

    def _ends(self, k: Array) -> tuple[Array, Array]:
        if self.step:
            half = 0.5 * self.step
            # Neighbours have one number for the end that they share.
            return self.levels[0] + (2 * k - 1) * half, self.levels[0] + (2 * k + 1) * half
        if len(self.levels) == 1:
            return self.levels[k] - 0.5, self.levels[k] + 0.5
        between = 0.5 * (self.levels[1:] + self.levels[:-1])
        first, last = 2 * self.levels[0] - between[0], 2 * self.levels[-1] - between[-1]
        ends = np.concatenate([[first], between, [last]])
        return ends[k], ends[k + 1]
