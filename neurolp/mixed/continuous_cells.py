"""Cells of continuous columns: intervals, tails, and atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.mixed.column_cells import ColumnCells
from neurolp.mixed.cuts import cut, number_of_cells
from neurolp.mixed.reference import Reference

_FAR = 0.02  # share of a tail that falls off as a power of the distance


@final
@dataclass(frozen=True)
class ContinuousCells(ColumnCells):
    """Intervals [edge_c, edge_c+1), and atoms, which are cells of one value.

    ``edges`` (C - 1,) increase; the density is uniform between two edges; in the first and last
    cell it falls off exponentially with the mean distance ``reach`` from the edge, but for a small
    share that falls off as a power. With a ``reference`` the density in each interval is
    proportional to that. ``atom`` (C,) says which cells are atoms.
    """

    edges: Array
    atom: Array
    reach: tuple[float, float]
    reference: Reference | None = None

    @classmethod
    def of(cls, column: Column, values: Array) -> ContinuousCells:
        """Cells for a continuous column with training codes (n,)."""
        known = values[~np.isnan(values)]
        atoms = np.array(sorted(column.atoms))
        rest = np.sort(known[~np.isin(known, atoms)])
        distinct, counts = np.unique(rest, return_counts=True)
        edges = np.empty(0)
        if len(distinct) > 1:
            first = cut(np.arange(len(distinct)), counts, number_of_cells(len(rest)))[1:-1]
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

    def smoothed(self, column: Column, values: Array) -> ContinuousCells | None:
        """The same cells with a reference fitted to training codes (n,); None without values."""
        rest = values[~np.isnan(values) & ~np.isin(values, column.atoms)]
        return replace(self, reference=Reference.of(rest)) if len(rest) else None

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
        if self.reference is not None:
            known = np.where(np.isnan(values), self.reference.centre, values)
            log_mass = self.reference.log_mass(*self._ends)
            out = self.reference.log_density(known) - log_mass[cell]
            return np.where(np.isnan(values) | self.atom[cell], 0.0, out)
        if not len(self.edges):
            z = np.nan_to_num(values) / self.reach[0]
            out = -np.log(np.pi * self.reach[0]) - 2 * np.log(np.hypot(1.0, z))
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
        if self.reference is not None:
            low, high = (ends[cells] for ends in self._ends)
            smooth = ~self.atom[cells]
            out = low.copy()
            drawn = self.reference.draw(low[smooth], high[smooth], uniform[smooth])
            out[smooth] = np.maximum(drawn, low[smooth])
            return out
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

    @property
    def _ends(self) -> tuple[Array, Array]:
        """Lower and upper end of each cell."""
        return np.append(-np.inf, self.edges), np.append(self.edges, np.inf)


def _log_tail(distance: Array, reach: float) -> Array:
    """Log-density at a distance >= 0 from the edge of a tail, nats."""
    z = np.maximum(distance, 0.0) / reach
    exponential, power = np.log1p(-_FAR) - z, np.log(_FAR / 5.0) - 2.0 * np.log1p(z / 5.0)
    return np.asarray(np.logaddexp(exponential, power) - np.log(reach))
