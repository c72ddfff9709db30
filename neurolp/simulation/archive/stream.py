"""Between a brain for streams and a trajectory file: everything that its next step depends on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.errors import FormatError
from neurolp.kernels.stream_state import Contexts, Memory, Readout, Senses, empty
from neurolp.storage.reader import Trajectory
from neurolp.stream.network import StreamState
from neurolp.stream.sensors import Sensor, sensors_from_json, sensors_to_json

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
    warmup: dict[str, Array], n_steps: int, seed: int,
) -> None:  # fmt: skip
    """Add a brain to the contents of a file; ``parameters`` are plain values."""
    out.attributes["brain"] = {
        "model": "stream",
        "n_steps": n_steps,
        "seed": seed,
        "sensors": sensors_to_json(sensors),
        "parameters": json.dumps(parameters),
    }
    pack_state(out, state)
    named = {f"warmup_{name}": values for name, values in warmup.items()}
    out.add_group(_STATE, named, _WHAT)


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
) -> tuple[tuple[Sensor, ...], dict[str, Any], StreamState, dict[str, Array], int, int]:
    """Sensors, parameters, state, arrays of the warm-up, steps seen, and seed.

    Raises
    ------
    FormatError
        If there is none in the file.
    """
    if file.brain.get("model") != "stream":
        raise FormatError(f"{file.path}: holds no brain for streams")
    try:
        parameters = json.loads(file.brain["parameters"])
        sensors = sensors_from_json(file.brain["sensors"])
        groups = {}
        for group, kind in _GROUPS.items():
            fields: dict[str, Any] = {
                name: _aligned(file.read(f"{_STATE}/{group}_{name}"))
                for name in kind._fields
                if name != "n_lags"
            }
            if kind is Memory:
                fields["n_lags"] = int(parameters["n_lags"])
            groups[group] = kind(**fields)
        warmup = {
            name: file.read(f"{_STATE}/warmup_{name}")
            for name in ("waiting", "observations", "recent")
        }
        steps, seed = int(file.brain["n_steps"]), int(file.brain["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file.path}: the brain in it cannot be read: {error}") from error
    return sensors, parameters, StreamState(**groups), warmup, steps, seed


def _aligned(values: Array) -> Array:
    out = empty(*values.shape, dtype=values.dtype)
    out[...] = values
    return out
