"""Distributions of values on a grid: a distribution on the line, differenced between their cells.

P(k) = y(upper end of k's cell) - y(lower end),    sum_k P(k) = y(inf) - y(-inf) = 1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array
from neurolp.differentiation.averages import Places
from neurolp.differentiation.axes import GridAxis

_BEYOND = 1e-10  # of the probability, on either side, is left out of means
_MOST_CELLS = 128  # on either side of the median, in a mean over an open grid


@dataclass(frozen=True)
class Gridded:
    """Distributions of values that have cells on an ``axis``, from those of places on it."""

    places: Places
    axis: GridAxis

    def log_prob(self, target: Array) -> Array:
        """Log of the mass of the values ``target`` (n,), (n,)."""
        _, lower, upper = self.axis.cells(target)
        return self.places.log_cell(lower, upper)

    def cdf(self, target: Array) -> Array:
        """Probability of values up to ``target`` (n,), (n,)."""
        return self.places.cdf(self._end(self.axis.floor(target)))

    def quantile(self, level: Array) -> Array:
        """The least value whose CDF is at least ``level`` (n,) in [0, 1].

        -inf and inf at 0 and 1 where there is no least and no greatest value.
        """
        return self.axis.values(self.places.quantile(level))

    def mean(self) -> Array:
        """Expectation of the value, (n,): the sum of all values times their masses.

        Of an open grid 128 cells on either side of the median are summed; beyond, where the
        distribution of the place is smooth, its mean is taken. A probability of 1e-10 at the ends
        is left out.
        """
        mean = self.places.mean()
        low, middle, high = (
            self.axis.number(self.quantile(np.full(len(mean), level)))
            for level in (_BEYOND, 0.5, 1.0 - _BEYOND)
        )
        out = np.zeros(len(mean))
        if not self.axis.closed:
            low = np.maximum(low, middle - _MOST_CELLS)
            high = np.minimum(high, middle + _MOST_CELLS)
            _, lower, _ = self.axis.cells(self.axis.level(low))
            _, _, upper = self.axis.cells(self.axis.level(high))
            out += mean - self.places.partial_mean(lower, upper)
        k, rows = low, np.arange(len(low))
        while len(rows):
            value = self.axis.level(k[rows])
            out[rows] += value * np.exp(self.select(rows).log_prob(value))
            k = k + 1
            rows = rows[k[rows] <= high[rows]]
        return out

    def draw(self, uniform: Array) -> Array:
        """One value for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1)."""
        return self.axis.values(self.places.draw(uniform))

    def select(self, rows: Array) -> Gridded:
        """Those of some ``rows``."""
        return Gridded(self.places.select(rows), self.axis)

    def merge(self, size: int) -> Gridded:
        """The average of each ``size`` successive rows."""
        return Gridded(self.places.merge(size), self.axis)

    def _end(self, values: Array) -> Array:
        """Upper ends of the cells of ``values``; -inf of -inf."""
        finite = np.isfinite(values)
        _, _, upper = self.axis.cells(np.where(finite, values, self.axis.levels[0]))
        return np.where(finite, upper, values)
