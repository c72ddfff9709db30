"""Between a brain for streams and a trajectory file: everything that its next step depends on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.brain.sensors import CategoricalSensor, ContinuousSensor, Sensor
from neurolp.brain.stream_network import StreamState
from neurolp.errors import FormatError
from neurolp.kernels.stream_state import Cells, Memory, Readout, Senses, empty
from neurolp.trajectory.format import Contents
from neurolp.trajectory.reader import Trajectory

Array = npt.NDArray[Any]

_GROUPS: dict[str, Any] = {"senses": Senses, "memory": Memory, "readout": Readout, "cells": Cells}
_PREFIX = "state"


def pack_stream(
    out: Contents, parameters: dict[str, Any], sensors: tuple[Sensor, ...], state: StreamState,
    first_rows: Array, n_steps: int, seed: int,
) -> None:  # fmt: skip
    """Add a brain to the contents of a file; ``parameters`` are plain values."""
    out.attributes["brain"] = {
        "model": "stream",
        "n_steps": n_steps,
        "seed": seed,
        "sensors": json.dumps([{"kind": type(s).__name__, **asdict(s)} for s in sensors]),
        "parameters": json.dumps(parameters),
    }
    for group in _GROUPS:
        for name, values in getattr(state, group)._asdict().items():
            if isinstance(values, np.ndarray):
                _add(out, f"{_PREFIX}_{group}_{name}", values)
    _add(out, f"{_PREFIX}_first_rows", first_rows)


def unpack_stream(
    file: Trajectory,
) -> tuple[tuple[Sensor, ...], dict[str, Any], StreamState, Array, int, int]:
    """Sensors, parameters, state, rows of an unfinished calibration, steps seen, and seed.

    Raises
    ------
    FormatError
        If there is none in the file.
    """
    if file.brain.get("model") != "stream":
        raise FormatError(f"{file.path}: holds no brain for streams")
    kinds = {kind.__name__: kind for kind in (CategoricalSensor, ContinuousSensor)}
    try:
        parameters = json.loads(file.brain["parameters"])
        sensors = tuple(kinds[s.pop("kind")](**s) for s in json.loads(file.brain["sensors"]))
        groups = {}
        for group, kind in _GROUPS.items():
            fields: dict[str, Any] = {
                name: _aligned(file[f"{_PREFIX}_{group}_{name}"].values)
                for name in kind._fields
                if name != "n_delays"
            }
            if kind is Memory:
                fields["n_delays"] = int(parameters["delays"])
            groups[group] = kind(**fields)
        first_rows = file[f"{_PREFIX}_first_rows"].values
        steps, seed = int(file.brain["n_steps"]), int(file.brain["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file.path}: the brain in it cannot be read: {error}") from error
    return sensors, parameters, StreamState(**groups), first_rows, steps, seed


def _add(out: Contents, name: str, values: Array) -> None:
    dims = []
    for axis, length in enumerate(values.shape):
        # One scale for each length: these arrays are for going on, not for looking at.
        dim = f"index_{length}" if length not in values.shape[:axis] else f"index_{length}_{axis}"
        out.add_coordinate(dim, np.arange(length), "1", "index")
        dims.append(dim)
    out.add(name, tuple(dims), values, "1", "state of the brain, see neurolp.kernels.stream_state")


def _aligned(values: Array) -> Array:
    out = empty(*values.shape, dtype=values.dtype)
    out[...] = values
    return out
