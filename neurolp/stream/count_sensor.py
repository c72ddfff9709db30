"""Sensor of counts: integers from 0 on, of any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurolp.arrays import Array
from neurolp.stream.grid_prediction import GridPrediction
from neurolp.stream.prediction import CodePrediction, Prediction, ValuePrediction

_LARGEST = 2.0**53  # whole numbers up to here are exact in float64


@dataclass(frozen=True)
class CountSensor:
    """An integer 0, 1, 2, .. at every step; NaN is missing.

    It is predicted as a value is, and has the mass of its cell:
    P(n) = F(n + 1/2) - F(n - 1/2), P(0) = F(1/2), which add to 1. The surprise is -log P(n).

    Parameters
    ----------
    name : str
        Name of the sensor, and of its column.
    """

    name: str = "count"

    n_columns: ClassVar[int] = 1
    n_symbols: ClassVar[int] = 0
    units: ClassVar[None] = None
    grid: ClassVar[tuple[float, float]] = (1.0, 0.0)
    wanted: ClassVar[str] = "an integer 0 .. 2^53 or NaN"

    def valid(self, columns: Array) -> Array:
        """Whether each entry is a count, or missing."""
        with np.errstate(invalid="ignore"):
            count = (columns >= 0) & (columns <= _LARGEST) & (columns == np.floor(columns))
        return np.asarray(np.isnan(columns) | count)

    def encode(self, columns: Array) -> tuple[Array, Array]:
        """The columns themselves, factor 1."""
        return columns, np.zeros(len(columns))

    def express(self, prediction: CodePrediction) -> Prediction:
        """Masses of the counts."""
        if isinstance(prediction, ValuePrediction):
            return GridPrediction(prediction, *self.grid)
        return prediction
