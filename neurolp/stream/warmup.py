"""Before the units of values are known: a broad prediction from the values that came so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.stream.network import StreamState, input_feature
from neurolp.stream.prediction import ValuePrediction
from neurolp.stream.sensors import CategoricalSensor, ContinuousSensor, Sensor

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


def columns_without_units(state: StreamState, sensors: Sequence[Sensor]) -> list[int]:
    """First columns of the sensors whose location and scale are to be found."""
    return [
        int(column)
        for column, sensor in zip(state.senses.column, sensors, strict=True)
        if isinstance(sensor, ContinuousSensor) and sensor.location is None
    ]


def fix_units(state: StreamState, sensors: Sequence[Sensor], rows: Array) -> None:
    """Take location and scale of sensors that have none from ``rows``, and remember these.

    NaN are left out; a value that never changed has scale 1.
    """
    senses, memory = state.senses, state.memory
    n_outputs = len(senses.location)
    for s, sensor in enumerate(sensors):
        at = slice(int(senses.output[s]), int(senses.output[s]) + sensor.n_outputs)
        column = int(senses.column[s])
        values = rows[:, column : column + sensor.n_columns]
        if isinstance(sensor, CategoricalSensor):
            symbols = np.arange(sensor.n_symbols)
            values = np.where(np.isnan(values), 1 / sensor.n_symbols, values == symbols)
        elif sensor.location is None:
            location, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
            senses.location[at] = location
            senses.scale[at] = np.where(std > 1e-12 * np.abs(location), std, 1.0)
        heard = np.nan_to_num((values - senses.location[at]) / senses.scale[at])
        for delay in range(1, min(memory.n_delays, len(heard)) + 1):
            start = input_feature(delay, at.start, n_outputs)
            memory.features[start : start + sensor.n_outputs] = heard[-delay]
