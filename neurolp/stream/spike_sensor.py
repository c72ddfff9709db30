"""Sensor of spikes: how many there are in a bin of time."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import numpy as np

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError
from neurolp.stream.prediction import CodePrediction, Prediction, SymbolPrediction

_MOST = 1000  # spikes in a bin


@dataclass(frozen=True)
class SpikePrediction(SymbolPrediction):
    """Distribution of the number of spikes in the next bin: ``probabilities`` (most + 1,)."""

    @property
    def mean(self) -> float:
        """Expected number of spikes, the rate in spikes a bin."""
        return float(np.arange(len(self.probabilities)) @ self.probabilities)

    @property
    def std(self) -> float:
        """Standard deviation of the number of spikes."""
        away = np.arange(len(self.probabilities)) - self.mean
        return float(np.sqrt(away**2 @ self.probabilities))


@dataclass(frozen=True)
class SpikeSensor:
    """Number of spikes in a bin, 0 .. ``most``, at every step; NaN is missing.

    With ``most = 1`` a bin is a Bernoulli variable. Each number is a symbol with a probability of
    its own; counts that may be large are for :class:`neurolp.CountSensor`.

    Parameters
    ----------
    name : str
        Name of the sensor, and of its column.
    most : int
        Largest number of spikes in a bin, 1 .. 1000.
    """

    name: str = "spike"
    most: int = 1

    n_columns: ClassVar[int] = 1
    units: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        whole = isinstance(self.most, Integral) and not isinstance(self.most, bool)
        if not whole or not 1 <= self.most <= _MOST:
            raise ConfigurationError(
                f"argument `most` must be an integer in 1 .. {_MOST}, but is {self.most!r}"
            )

    @property
    def n_symbols(self) -> int:
        """Numbers of spikes that are possible."""
        return int(self.most) + 1

    @property
    def wanted(self) -> str:
        """What an entry must be."""
        return f"a number of spikes 0 .. {self.most} or NaN"

    def valid(self, columns: Array) -> Array:
        """Whether each entry is a possible number, or missing."""
        with np.errstate(invalid="ignore"):
            whole = (columns >= 0) & (columns <= self.most) & (columns == np.floor(columns))
        return np.asarray(np.isnan(columns) | whole)

    def encode(self, columns: Array) -> tuple[Array, Array]:
        """The columns themselves, factor 1."""
        return columns, np.zeros(len(columns))

    def express(self, prediction: CodePrediction) -> Prediction:
        """The prediction, which knows its mean."""
        if isinstance(prediction, SymbolPrediction):
            return SpikePrediction(prediction.probabilities)
        return prediction
