"""Sensors, settings and rows for tests of StreamBrain."""

import numpy as np
from scipy import sparse

from neurolp import CategoricalSensor, ContinuousSensor

SYMBOLS = CategoricalSensor(3)

VALUE = ContinuousSensor(location=0.5, scale=2.0)

VECTOR = ContinuousSensor(3, "vector", location=[0.0, 1.0, 2.0], scale=[1.0, 2.0, 0.5])

SMALL = {
    "n_hidden": 12,
    "n_lags": 4,
    "fan_in": 2,
    "recurrent_rate": 0.3,
    "max_order": 2,
    "n_contexts": 1024,
}


def rows_of(sensors, n_steps, seed=0, missing=0.1):
    """A stream in which everything depends on everything that was."""
    rng = np.random.default_rng(seed)
    columns, memory = [], np.zeros(n_steps)
    for t in range(1, n_steps):
        memory[t] = 0.8 * memory[t - 1] + rng.standard_normal()
    for sensor in sensors:
        if sensor.n_symbols:
            part = np.digitize(np.roll(memory, 1), [-1, 1])[:, None].astype(float)
            part %= sensor.n_symbols
        else:
            noise = rng.standard_normal((n_steps, sensor.n_values))
            part = np.roll(memory, 1)[:, None] + 0.3 * noise @ rng.standard_normal(
                (sensor.n_values, sensor.n_values)
            )
        part[rng.random(n_steps) < missing] = np.nan
        columns.append(part)
    return np.hstack(columns)


SENSORS = {
    "symbols": (SYMBOLS,),
    "value": (VALUE,),
    "vector": (VECTOR,),
    "all": (VALUE, SYMBOLS, VECTOR, CategoricalSensor(2, "other")),
}


def edges(share=0.3, n=12):
    matrix = np.random.default_rng(3).random((n, n)) < share
    np.fill_diagonal(matrix, False)
    return sparse.csr_array(matrix)
