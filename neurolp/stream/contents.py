"""What is in a state: names, weights without padding, numbers that are not finite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, ArraySource, NamedArrays
from neurolp.stream.labels import text_of
from neurolp.stream.network import StreamState
from neurolp.stream.sensors import Sensor, column_names, symbol_labels

# Arrays in the order in which a step changes them: group, field, name, meaning of the first index.
_PARTS = (
    ("senses", "location", "location", "output"),
    ("senses", "scale", "scale", "output"),
    ("contexts", "weight", "weights of contexts", "sensor of symbols"),
    ("contexts", "single", "mixing weights", "sensor of symbols"),
    ("contexts", "of_symbols", "mixing weights", "sensor of symbols"),
    ("contexts", "second", "mixing weights", "sensor of symbols"),
    ("readout", "factor", "factor of the residuals", "output"),
    ("readout", "moments", "moments of the residuals", "output"),
    ("readout", "shape", "shape of the residuals", "output"),
    ("readout", "weights", "readout weights", "output"),
    ("readout", "covariance_symbols", "covariance of the memory", "feature"),
    ("readout", "covariance_values", "covariance of the memory", "feature"),
    ("readout", "gain", "gain of the readout", "kind"),
    ("readout", "pending", "pending gain of the readout", "kind"),
    ("readout", "left", "pending step of the readout", "kind"),
    ("readout", "linear", "weights for indicators", "output"),
    ("readout", "chain", "weights of the chain", "output"),
    ("readout", "chain_covariance", "covariance of the chain", "sensor"),
    ("memory", "post", "learning signal", "node"),
    ("memory", "afferent_weight", "afferent weights", "afferent"),
    ("memory", "weights", "recurrent weights", "node"),
    ("memory", "weight", "recurrent weights", "edge"),
    ("memory", "bias", "threshold", "node"),
    ("memory", "trace", "trace", "node"),
    ("memory", "squashed", "tanh(u)", "node"),
    ("memory", "activity", "activity", "node"),
    ("memory", "features", "memory", "feature"),
)


def output_names(sensors: Sequence[Sensor]) -> list[str]:
    """Name of each output: ``sensor=symbol``, or the name of the column of a value."""
    out: list[str] = []
    for s in sensors:
        if s.n_symbols:
            out += [f"{s.name}={text_of(label)}" for label in symbol_labels(s)]
        else:
            out += column_names(s)
    return out


def feature_names(sensors: Sequence[Sensor], n_lags: int, nodes: Iterable[Any]) -> list[str]:
    """Name of each feature of the memory: constant, each output at each lag, hidden nodes."""
    past = [f"{name} lag {d + 1}" for d in range(n_lags) for name in output_names(sensors)]
    return ["constant", *past, *(f"hidden {node}" for node in nodes)]


def add_node_names(out: NamedArrays, names: tuple[str, ...] | None) -> None:
    """Add the names of hidden nodes, if they have any, as what the dimension "hidden" is."""
    if names:
        out.add_coordinate("hidden", np.array(names), "1", "hidden node")


def node_names(source: ArraySource) -> tuple[str, ...] | None:
    """Names of hidden nodes in a file; None where they are numbers, or there is none."""
    found = source.read("hidden") if "hidden" in source else np.zeros(0)
    return tuple(map(str, found)) if found.dtype.kind == "U" else None


def weights_of(state: StreamState, n_hidden: int) -> dict[str, Any]:
    """Copies of all weights, without padding."""
    memory = state.memory
    kept = kept_features(state, n_hidden)
    n_past = len(kept) - n_hidden
    out: dict[str, Any] = {
        "readout": state.readout.weights[:, kept],
        "afferent": _csr(
            memory.afferent_weight, memory.afferent_source, memory.afferent_first,
            (n_hidden, n_past + n_hidden),
        ),
    }  # fmt: skip
    if state.readout.chain.size:
        senses, n = state.senses, len(state.senses.location)
        n_earlier = np.repeat(senses.output, senses.size)
        target, source = np.nonzero(np.arange(n) < n_earlier[:, None])
        values = state.readout.chain[target, source]
        out["chain"] = _csr(values, source, np.concatenate([[0], np.cumsum(n_earlier)]), (n, n))
    if memory.weights.size:
        out["recurrent"] = memory.weights[:n_hidden, :n_hidden].copy()
    elif memory.first.size:
        out["recurrent"] = _csr(memory.weight, memory.source, memory.first, (n_hidden, n_hidden))
    return out


def kept_features(state: StreamState, n_hidden: int) -> Array:
    """Places of the features without padding."""
    memory = state.memory
    start = len(memory.features) - len(memory.activity)
    n_past = 1 + memory.n_lags * len(state.senses.location)
    return np.concatenate([np.arange(n_past), start + np.arange(n_hidden)])


def lesioned(state: StreamState, n_hidden: int) -> Array:
    """Numbers of the hidden nodes that were taken away: those that do not move."""
    return np.flatnonzero(state.memory.leak[:n_hidden] == 0.0)


def _csr(values: Any, source: Any, first: Any, shape: tuple[int, int]) -> Any:
    first = first[: shape[0] + 1].astype(np.int64)
    return sparse.csr_array((values.copy(), source.astype(np.int64), first), shape=shape)


def first_fault(state: StreamState, sensors: Sequence[Sensor], n_hidden: int) -> str | None:
    """First number that is not finite: ``"the readout weights of output 'a' became nan"``."""
    for values, what, whose in _arrays(state):
        if _finite(values):
            continue
        at = np.unravel_index(int(np.argmin(np.isfinite(values))), values.shape)
        owner = _owner(state, whose, [int(k) for k in at], sensors, n_hidden)
        return f"the {what} of {owner} became {values[at]}"
    return None


def bad_surprise(surprise: Array, missing: Array, sensors: Sequence[Sensor], n_steps: int) -> str:
    """Which surprise of a step, (n_sensors,), is not finite although something was observed."""
    wrong = int(np.argmax(~np.isfinite(surprise) & ~missing))
    name = sensors[wrong].name
    return f"the surprise of sensor '{name}' became {surprise[wrong]} in step {n_steps}"


def _arrays(state: StreamState) -> Iterator[tuple[Array, str, str]]:
    for group, name, what, whose in _PARTS:
        values = getattr(getattr(state, group), name)
        if values.size:
            yield values, what, whose


def _finite(values: Array) -> bool:
    with np.errstate(all="ignore"):
        total = values.sum()
    return bool(np.isfinite(total) or np.isfinite(values).all())


def _owner(
    state: StreamState, whose: str, at: list[int], sensors: Sequence[Sensor], n_hidden: int
) -> str:
    memory = state.memory
    if whose == "output":
        return f"output '{output_names(sensors)[at[0]]}'"
    if whose == "sensor":
        return f"sensor '{sensors[at[0]].name}'"
    if whose == "sensor of symbols":
        mine = [sensor.name for sensor in sensors if sensor.n_symbols]
        return f"sensor '{mine[at[0]]}'"
    if whose in ("node", "edge", "afferent"):
        first = {"edge": memory.first, "afferent": memory.afferent_first}.get(whose)
        node = at[0] if first is None else int(np.searchsorted(first, at[0], side="right")) - 1
        return f"hidden node {node}"
    names = feature_names(sensors, memory.n_lags, range(n_hidden))
    n_padded, n_inputs = len(memory.activity), len(names) - n_hidden
    k = at[-1] - (len(memory.features) - n_padded)
    return f"hidden node {k}" if k >= 0 else f"feature '{names[min(at[-1], n_inputs - 1)]}'"
