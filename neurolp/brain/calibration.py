"""Before the units of values are known: a broad prediction from the values that came so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.brain.stream_prediction import ValuePrediction

Array = npt.NDArray[Any]

# Normal nine times in ten, else a scale mixture of normals with tails like 1 / x^2 over twelve
# decades: the first values may come in any units.
_OCTAVES = np.arange(41)
_WEIGHTS = np.where(_OCTAVES == 0, 0.9, 0.1 * 2.0**-_OCTAVES / (1 - 2.0**-40))
_SHAPE = np.stack([_WEIGHTS, np.zeros(41), 2.0**_OCTAVES], axis=-1)


def first_prediction(values: Array) -> ValuePrediction:
    """Predict the next values of a sensor from those before, (n, d); NaN rows are missing.

    Each value for itself, around the mean with the standard deviation of those before, as if one
    value of 0 +- 1 had come before them.
    """
    seen = values[np.isfinite(values).all(axis=1)]
    n = 1 + len(seen)
    mean = seen.sum(axis=0) / n
    squares = 1 + (seen**2).sum(axis=0) - n * mean**2
    scale = np.sqrt((n + 1) / n * np.maximum(squares, np.finfo(np.float64).tiny) / n)
    d = values.shape[1]
    return ValuePrediction(mean, np.diag(scale), np.broadcast_to(_SHAPE, (d, *_SHAPE.shape)))


def units(values: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each column, NaN left out; a constant one has deviation 1."""
    location, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    return location, np.where(std > 1e-12 * np.abs(location), std, 1.0)
