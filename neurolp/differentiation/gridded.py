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
_LEAST, _ROUNDING = 1e-300, 2.0**-53  # levels whose quantiles are finite
_MOST_CELLS = 128  # on either side of the median, in a mean over an open grid


@dataclass(frozen=True)
class Gridded:
    """Distributions of values that have cells on an ``axis``, from those of places on it.

    Of the probability that a place lies beyond the values seen, below or above, the ``shares`` stay
    there; the rest is that of the least and of the greatest value seen. So counts are hardly ever
    negative.
    """

    places: Places
    axis: GridAxis
    shares: tuple[float, float] = (1.0, 1.0)

    def log_prob(self, target: Array) -> Array:
        """Log of the mass of the values ``target`` (n,), (n,)."""
        _, lower, upper = self.axis.cells(target)
        (low, high), (below, above) = self.axis.seen, self.shares
        out = self.places.log_cell(lower, upper)
        out += np.where(upper <= low, np.log(below), np.where(lower >= high, np.log(above), 0.0))
        endless = np.full(len(out), np.inf)
        if below < 1.0:
            rest = np.log1p(-below) + self.places.log_cell(-endless, np.full(len(out), low))
            out = np.where(lower == low, np.logaddexp(out, rest), out)
        if above < 1.0:
            rest = np.log1p(-above) + self.places.log_cell(np.full(len(out), high), endless)
            out = np.where(upper == high, np.logaddexp(out, rest), out)
        return out

    def cdf(self, target: Array) -> Array:
        """Probability of values up to ``target`` (n,), (n,)."""
        end, (low, high), (below, above) = self._end(target), self.axis.seen, self.shares
        y = self.places.cdf(end)
        return np.where(end <= low, below * y, np.where(end >= high, 1.0 - above * (1.0 - y), y))

    def quantile(self, level: Array) -> Array:
        """The least value whose CDF is at least ``level`` (n,) in [0, 1].

        -inf and inf at 0 and 1 where there is no least and no greatest value.
        """
        left, right = self.beyond(len(level))
        below, above = self.shares
        lower, upper = level <= below * left, 1.0 - level <= above * right
        place = np.where(lower, level / below, np.where(upper, 1.0 - (1.0 - level) / above, level))
        value = self.axis.values(self.places.quantile(np.clip(place, 0.0, 1.0)))
        inside = np.clip(value, *self.axis.levels[[0, -1]])
        return np.where(lower | upper, value, inside)

    def mean(self) -> Array:
        """Expectation of the value, (n,): the sum of all values times their masses.

        Of an open grid 128 cells on either side of the median are summed; beyond, where the
        distribution of the place is smooth, its mean is taken. A probability of 1e-10 at the ends
        is left out.
        """
        n = len(self.places.mean())
        low, middle, high = (
            self.axis.number(self.quantile(np.full(n, level)))
            for level in (_BEYOND, 0.5, 1.0 - _BEYOND)
        )
        out = np.zeros(n)
        if not self.axis.closed:
            middle = np.clip(middle, 0.0, self.axis.number(self.axis.levels[-1]))
            low = np.minimum(np.maximum(low, middle - _MOST_CELLS), middle)
            high = np.maximum(np.minimum(high, middle + _MOST_CELLS), middle)
            out += self._mean_beyond(low, high)
        k, rows = low, np.arange(n)
        while len(rows):
            value = self.axis.level(k[rows])
            out[rows] += value * np.exp(self.select(rows).log_prob(value))
            k = k + 1
            rows = rows[k[rows] <= high[rows]]
        return out

    def draw(self, uniform: Array) -> Array:
        """One value for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1)."""
        place = self.places.draw(uniform)
        low, high = self.axis.seen
        out = self.axis.values(place)
        for beyond in (place < low, place > high):
            rows = np.flatnonzero(beyond)
            if len(rows):
                out[rows] = self.select(rows)._drawn_again(place[rows])
        return out

    def select(self, rows: Array) -> Gridded:
        """Those of some ``rows``."""
        return Gridded(self.places.select(rows), self.axis, self.shares)

    def merge(self, size: int) -> Gridded:
        """The average of each ``size`` successive rows."""
        return Gridded(self.places.merge(size), self.axis, self.shares)

    def beyond(self, n: int) -> tuple[Array, Array]:
        """Probabilities of places below and above the values seen, (n,) each."""
        low, high = (np.full(n, end) for end in self.axis.seen)
        return self.places.cdf(low), 1.0 - self.places.cdf(high)

    def _end(self, target: Array) -> Array:
        """Upper ends of the cells of the greatest values up to each target."""
        values = self.axis.floor(target)
        finite = np.isfinite(values)
        _, _, upper = self.axis.cells(np.where(finite, values, self.axis.levels[0]))
        return np.where(finite, upper, values)

    def _mean_beyond(self, first: Array, last: Array) -> Array:
        """The part in the mean of all but the values numbered ``first`` to ``last`` (n,), (n,).

        At least one of these is a value seen.
        """
        low, high = (np.full(len(first), end) for end in self.axis.seen)
        endless = np.full(len(first), np.inf)
        _, lower, _ = self.axis.cells(self.axis.level(first))
        _, _, upper = self.axis.cells(self.axis.level(last))
        a, b = np.minimum(lower, low), np.maximum(upper, high)
        out = self.shares[0] * self._sum(-endless, a) + self.shares[1] * self._sum(b, endless)
        left, right = self.beyond(len(first))
        inner = self._sum(np.minimum(low, lower), lower)
        inner += (1.0 - self.shares[0]) * left * self.axis.levels[0]
        out += np.where(low < lower, inner, 0.0)
        inner = self._sum(upper, np.maximum(high, upper))
        inner += (1.0 - self.shares[1]) * right * self.axis.levels[-1]
        return np.asarray(out + np.where(high > upper, inner, 0.0))

    def _sum(self, lower: Array, upper: Array) -> Array:
        """Sum of values times differences of the places' y, between two ends (n,) of cells, (n,).

        By Euler and Maclaurin, where p is smooth: int t p dt - s^2 / 12 (p(upper) - p(lower)).
        """
        ends = [np.where(np.isfinite(t), t, 0.0) for t in (lower, upper)]
        p, q = (np.exp(self.places.log_prob(t)) for t in ends)
        slope = np.where(np.isfinite(upper), q, 0.0) - np.where(np.isfinite(lower), p, 0.0)
        return self.places.partial_mean(lower, upper) - self.axis.step**2 / 12.0 * slope

    def _drawn_again(self, place: Array) -> Array:
        """Values in the place of draws that lie all below or all above the values seen, (n,).

        y there is uniform: the part that stays is stretched to all of it.
        """
        y = self.places.cdf(place)
        left, right = self.beyond(len(place))
        below, above = self.shares
        upper = place > self.axis.seen[1]
        whole = np.maximum(np.where(upper, right, left), _LEAST)
        rank = np.where(upper, 1.0 - y, y) / whole  # 0 at infinity, 1 at the end
        share = np.where(upper, above, below)
        level = np.where(upper, 1.0 - rank / share * whole, rank / share * whole)
        far = self.axis.values(self.places.quantile(np.clip(level, _LEAST, 1.0 - _ROUNDING)))
        near = np.where(upper, self.axis.levels[-1], self.axis.levels[0])
        return np.where(rank < share, far, near)
