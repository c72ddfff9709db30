"""Spikes that a run recorded, as the table of units of an NWB file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.simulation.stream_contents import stored_sensors
from neurolp.storage.classes import class_path
from neurolp.storage.reader import Trajectory
from neurolp.stream.spike_sensor import SpikeSensor

_ROWS = 2**16  # that are read at once


def units(file: Trajectory, step_seconds: float) -> Any:
    """A unit for each spike sensor, with spikes in recorded rows; None if there is no spike.

    A count k of a step becomes k times in the step, evenly spread. Steps that were recorded, and
    not missing, are the observed intervals of a unit.
    """
    from pynwb.misc import Units

    found = []
    for name, column in _spike_columns(file):
        steps, counts = _recorded(file, column)
        if counts.sum():
            found.append((name, steps, counts))
    if not found:
        return None
    what = "spikes in the rows that were recorded; known to within a step"
    table = Units(name="units", description=what, resolution=step_seconds)
    table.add_column(name="sensor", description="name of the sensor of spikes")
    for name, steps, counts in found:
        table.add_unit(
            sensor=name,
            spike_times=step_seconds * spike_steps(steps, counts),
            obs_intervals=step_seconds * _intervals(steps),
        )
    return table


def spike_steps(steps: Array, counts: Array) -> Array:
    """Times of spikes, in steps: ``counts`` in each of ``steps``, evenly spread."""
    counts = counts.astype(np.int64)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    within = np.arange(counts.sum()) - first
    return np.asarray(np.repeat(steps, counts) + (within + 0.5) / np.repeat(counts, counts))


def _spike_columns(file: Trajectory) -> list[tuple[str, int]]:
    """Name and column of each sensor of spikes whose rows were recorded."""
    if "observed" not in file or "sensors" not in file.brain:
        return []
    classes = [described["class"] for described in json.loads(file.brain["sensors"])]
    places = zip(classes, stored_sensors(file), strict=True)
    return [(s.name, s.columns.start) for of, s in places if of == class_path(SpikeSensor)]


def _recorded(file: Trajectory, column: int) -> tuple[Array, Array]:
    """Steps whose row was recorded and not missing, and the number of spikes in each."""
    observed, at = file.stored("observed"), file.read("predicted_step")
    parts = [
        observed[start : start + _ROWS, column] for start in range(0, observed.shape[0], _ROWS)
    ]
    counts = np.concatenate([np.zeros(0), *parts])
    there = np.isfinite(counts)
    return at[there], counts[there]


def _intervals(steps: Array) -> Array:
    """Begin and end (n, 2) of each run of consecutive steps."""
    breaks = np.flatnonzero(np.diff(steps) != 1)
    first = steps[np.concatenate([[0], breaks + 1])]
    last = steps[np.concatenate([breaks, [len(steps) - 1]])]
    return np.stack([first, last + 1], axis=1).astype(np.float64)
