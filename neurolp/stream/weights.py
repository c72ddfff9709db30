"""Names of outputs and features of the recurrent predictor, and its weights without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.stream.network import StreamState
from neurolp.stream.sensors import Sensor


def output_names(sensors: Sequence[Sensor]) -> list[str]:
    """Name of each output: ``sensor=symbol``, ``sensor``, or ``sensor[index]``."""
    out: list[str] = []
    for s in sensors:
        if s.n_symbols:
            out += [f"{s.name}={k}" for k in range(s.n_symbols)]
        elif s.n_columns == 1:
            out.append(s.name)
        else:
            out += [f"{s.name}[{k}]" for k in range(s.n_columns)]
    return out


def feature_names(sensors: Sequence[Sensor], n_lags: int, n_hidden: int) -> list[str]:
    """Name of each feature of the memory: constant, each output at each lag, hidden nodes."""
    past = [f"{name} lag {d + 1}" for d in range(n_lags) for name in output_names(sensors)]
    return ["constant", *past, *(f"hidden {k}" for k in range(n_hidden))]


def weights_of(state: StreamState, n_hidden: int) -> dict[str, Any]:
    """Copies of readout, recurrent and afferent weights, without padding."""
    memory, n_outputs = state.memory, len(state.senses.location)
    start = len(memory.features) - len(memory.activity)
    n_past = 1 + memory.n_lags * n_outputs
    kept = np.concatenate([np.arange(n_past), start + np.arange(n_hidden)])
    out: dict[str, Any] = {
        "readout": state.readout.weights[:, kept],
        "afferent": _csr(
            memory.afferent_weight, memory.afferent_source, memory.afferent_first,
            (n_hidden, n_past + n_hidden),
        ),
    }  # fmt: skip
    if memory.weights.size:
        out["recurrent"] = memory.weights[:n_hidden, :n_hidden].copy()
    elif memory.first.size:
        out["recurrent"] = _csr(memory.weight, memory.source, memory.first, (n_hidden, n_hidden))
    return out


def _csr(values: Any, source: Any, first: Any, shape: tuple[int, int]) -> Any:
    first = first[: shape[0] + 1].astype(np.int64)
    return sparse.csr_array((values.copy(), source.astype(np.int64), first), shape=shape)
