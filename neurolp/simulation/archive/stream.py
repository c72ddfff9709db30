"""Between a brain for streams and a trajectory file: everything that its next step depends on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.errors import FormatError
from neurolp.kernels.stream_state import Contexts, Memory, Readout, Senses, empty
from neurolp.storage.reader import Trajectory
from neurolp.stream.network import StreamState
from neurolp.stream.sensors import CategoricalSensor, ContinuousSensor, Sensor

Array = npt.NDArray[Any]

_GROUPS: dict[str, Any] = {
    "senses": Senses,
    "memory": Memory,
    "readout": Readout,
    "contexts": Contexts,
}
_STATE = "state"
_WHAT = "state of the brain, see neurolp.kernels.stream_state"


def pack_stream(
    out: NamedArrays, parameters: dict[str, Any], sensors: tuple[Sensor, ...], state: StreamState,
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
    pack_state(out, state)
    out.add_group(_STATE, {"first_rows": first_rows}, _WHAT)


def pack_state(out: NamedArrays, state: StreamState, target: str = _STATE) -> None:
    """Add all arrays of a state to the contents of a file."""
    for group in _GROUPS:
        arrays = getattr(state, group)._asdict().items()
        named = {f"{group}_{k}": v for k, v in arrays if isinstance(v, np.ndarray)}
        out.add_group(target, named, _WHAT)


def copy_of(state: StreamState) -> StreamState:
    """The same state in arrays of its own."""
    groups = {}
    for group, kind in _GROUPS.items():
        fields = getattr(state, group)._asdict()
        groups[group] = kind(
            **{k: _aligned(v) if isinstance(v, np.ndarray) else v for k, v in fields.items()}
        )
    return StreamState(**groups)


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
                name: _aligned(file.read(f"{_STATE}/{group}_{name}"))
                for name in kind._fields
                if name != "n_delays"
            }
            if kind is Memory:
                fields["n_delays"] = int(parameters["n_lags"])
            groups[group] = kind(**fields)
        first_rows = file.read(f"{_STATE}/first_rows")
        steps, seed = int(file.brain["n_steps"]), int(file.brain["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file.path}: the brain in it cannot be read: {error}") from error
    return sensors, parameters, StreamState(**groups), first_rows, steps, seed


def _aligned(values: Array) -> Array:
    out = empty(*values.shape, dtype=values.dtype)
    out[...] = values
    return out
