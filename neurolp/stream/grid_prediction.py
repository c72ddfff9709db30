"""Predictive distribution of values on a grid: each has the mass of its cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtr

from neurolp.arrays import Array
from neurolp.errors import DataError
from neurolp.stream.prediction import ValuePrediction

_LEAST_MASS = 1e-290  # of a component; below it is density times width
_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_N_SAMPLES = 10_000
_ELEMENTS = 2**20


def grid_of(sensor: object) -> tuple[float, float] | None:
    """Distance and least value of the grid on which the values of a code lie, if they do.

    It is the attribute ``grid`` of a sensor. Its predictions are then masses of cells: the
    surprise of a value is -log(mass / distance).
    """
    grid: tuple[float, float] | None = getattr(sensor, "grid", None)
    return None if grid is None else (float(grid[0]), float(grid[1]))


@dataclass(frozen=True)
class GridPrediction:
    """Distribution of the next value on the grid least, least + cell, least + 2 cell, ..

        P(x) = F(x + cell / 2) - F(x - cell / 2),    P(least) = F(least + cell / 2)

    with the distribution function F of ``values``, of one value: the masses add to 1. A grid whose
    ``least`` is -inf has 0 among its values. Arguments and results have shape () or (n,).
    """

    values: ValuePrediction
    cell: float
    least: float

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """Log-probability of values on the grid, nats.

        Raises
        ------
        DataError
            If a value is not on the grid.
        """
        given = np.asarray(x, dtype=np.float64)
        rows = given.reshape(-1, 1)
        with np.errstate(invalid="ignore"):
            away = abs(rows - self._on_grid(rows))
        if not np.all(away <= 1e-9 * np.maximum(self.cell, abs(rows))):
            wrong = rows[~(away <= 1e-9 * np.maximum(self.cell, abs(rows)))][0]
            raise DataError(
                f"argument `x` must hold values on the grid {self.least:g} + k {self.cell:g}, "
                f"but holds {wrong:g}"
            )
        step = max(_ELEMENTS // self.values.component.shape[1], 1)
        parts = [self._log_mass(rows[a : a + step]) for a in range(0, len(rows), step)]
        return np.concatenate([np.zeros(0), *parts]).reshape(given.shape)

    def _log_mass(self, rows: Array) -> Array:
        """Log-masses (n,) of the cells of values (n, 1) on the grid."""
        m, w, o, s = self.values.components(0)
        centre = self.values.means[0][m] + o
        high = (rows + self.cell / 2 - centre) / s
        opened = rows <= self.least
        low = np.where(opened, -np.inf, (rows - self.cell / 2 - centre) / s)
        upper = low > 0
        low, high = np.where(upper, -high, low), np.where(upper, -low, high)
        mass = ndtr(high) - ndtr(low)
        z = (rows - centre) / s
        narrow = np.log(self.cell / s) - 0.5 * z * z - _HALF_LOG_2PI
        exact = (mass > _LEAST_MASS) & ((self.cell > 1e-6 * s) | opened)
        log_mass = np.where(exact, np.log(np.maximum(mass, _LEAST_MASS)), narrow)
        return np.asarray(logsumexp(log_mass, b=w, axis=1))

    def prob(self, x: npt.ArrayLike) -> Array:
        """Probability of values on the grid."""
        return np.asarray(np.exp(self.log_prob(x)))

    def cdf(self, x: npt.ArrayLike) -> Array:
        """P(value <= x), for any x."""
        given = np.asarray(x, dtype=np.float64)
        steps = np.floor((given - self._origin) / self.cell + 1e-9)
        out = self.values.cdf(self._origin + (steps + 0.5) * self.cell)
        return np.asarray(np.where(given < self.least, 0.0, out))

    def quantile(self, probability: npt.ArrayLike) -> Array:
        """Least values on the grid for which :meth:`cdf` reaches probabilities in (0, 1)."""
        return self._on_grid(self.values.quantile(probability))

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Values drawn, (n_samples, 1)."""
        return self._on_grid(self.values.sample(n_samples, rng))

    @property
    def mean(self) -> Array:
        """Mean of 10,000 samples, (1,)."""
        return np.asarray(self._samples.mean(axis=0))

    @property
    def std(self) -> Array:
        """Standard deviation of 10,000 samples, (1,)."""
        return np.asarray(self._samples.std(axis=0))

    @property
    def _origin(self) -> float:
        return self.least if np.isfinite(self.least) else 0.0

    @cached_property
    def _samples(self) -> Array:
        return self.sample(_N_SAMPLES, np.random.default_rng(0))

    def _on_grid(self, x: Array) -> Array:
        """The values in whose cells x lies, which are closed above."""
        steps = np.ceil((np.asarray(x) - self._origin) / self.cell - 0.5)
        return np.asarray(np.maximum(self._origin + steps * self.cell, self.least))
