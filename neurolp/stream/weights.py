"""What a brain for streams has learned, in the order and with the names that people use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.stream.network import StreamState
from neurolp.stream.sensors import CategoricalSensor, Sensor


def output_names(sensors: Sequence[Sensor]) -> list[str]:
    """What is predicted: each symbol and each value."""
    out: list[str] = []
    for s in sensors:
        if isinstance(s, CategoricalSensor):
            out += [f"{s.name}={k}" for k in range(s.n_symbols)]
        elif s.n_values == 1:
            out.append(s.name)
        else:
            out += [f"{s.name}[{k}]" for k in range(s.n_values)]
    return out


def feature_names(sensors: Sequence[Sensor], delays: int, hidden: int) -> list[str]:
    """What the memory consists of: constant, each output at each delay, hidden nodes."""
    heard = [f"{name} delay {d + 1}" for d in range(delays) for name in output_names(sensors)]
    return ["constant", *heard, *(f"hidden {k}" for k in range(hidden))]


def weights_of(state: StreamState, hidden: int) -> dict[str, Any]:
    """Copies of readout, recurrent and afferent weights without what pads them."""
    memory, n_outputs = state.memory, len(state.senses.location)
    start = len(memory.features) - len(memory.activity)
    n_heard = 1 + memory.n_delays * n_outputs
    kept = np.concatenate([np.arange(n_heard), start + np.arange(hidden)])
    out: dict[str, Any] = {
        "readout": state.readout.weights[:, kept],
        "afferent": _csr(
            memory.afferent_weight, memory.afferent_source, memory.afferent_first,
            (hidden, n_heard + hidden),
        ),
    }  # fmt: skip
    if memory.weights.size:
        out["recurrent"] = memory.weights[:hidden, :hidden].copy()
    elif memory.first.size:
        out["recurrent"] = _csr(memory.weight, memory.source, memory.first, (hidden, hidden))
    return out


def _csr(values: Any, source: Any, first: Any, shape: tuple[int, int]) -> Any:
    first = first[: shape[0] + 1].astype(np.int64)
    return sparse.csr_array((values.copy(), source.astype(np.int64), first), shape=shape)
