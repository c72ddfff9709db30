"""Changes of a state by hand: assigned weights, lesions, a cleared memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, not_finite
from neurolp.errors import ConfigurationError
from neurolp.kernels.stream_match import FOUND
from neurolp.kernels.stream_season import PAST
from neurolp.stream import contents
from neurolp.stream.network import StreamState


class Weights(dict[str, Any]):
    """Copies of the weights of a brain, by name. What is assigned, the brain uses from now on.

    The shape is that of the weights; where a brain has edges, all others must be zero. Weights of
    lesioned nodes stay zero, whatever is assigned.
    """

    def __init__(self, state: StreamState, n_hidden: int) -> None:
        super().__init__(contents.weights_of(state, n_hidden))
        self._state, self._n_hidden = state, n_hidden

    def __setitem__(self, name: str, values: Any) -> None:
        """Let the brain use these values.

        Raises
        ------
        ConfigurationError
            If there are no such weights, or the values are not finite or of another shape, or not
            zero where there is no edge.
        """
        if name not in self:
            raise ConfigurationError(f"weights must be one of {list(self)}, but are {name!r}")
        assign_weights(self._state, name, values, self[name], self._n_hidden)
        super().__setitem__(name, contents.weights_of(self._state, self._n_hidden)[name])


def assign_weights(state: StreamState, name: str, values: Any, present: Any, n_hidden: int) -> None:
    """Write weights of the shape and the edges of ``present`` into a state."""
    given = finite_numbers(f"weights {name!r}", values, present.shape).copy()
    memory, gone = state.memory, contents.lesioned(state, n_hidden)
    if name in ("recurrent", "afferent"):
        given[gone] = 0.0
    if name in ("recurrent", "readout"):  # hidden nodes are the last features
        given[:, given.shape[1] - n_hidden + gone] = 0.0
    if name == "readout":
        kept = contents.kept_features(state, n_hidden)
        state.readout.weights[:, kept] = given
        return
    memory.post[:] = 0.0  # what the last step would have added to the weights there were
    if name == "recurrent" and not sparse.issparse(present):
        if np.diagonal(given).any():
            raise ConfigurationError(
                "weights 'recurrent' must be zero on the diagonal: no node has an edge to itself"
            )
        memory.weights[:n_hidden, :n_hidden] = given
        return
    rows = np.repeat(np.arange(present.shape[0]), np.diff(present.indptr))
    edges = np.zeros(present.shape, np.bool_)
    edges[rows, present.indices] = True
    if given[~edges].any():
        target, source = np.argwhere((given != 0) & ~edges)[0]
        raise ConfigurationError(
            f"weights {name!r} must be zero where there is no edge, but there is none from "
            f"{source} to {target}"
        )
    if name == "chain":
        state.readout.chain[rows, present.indices] = given[rows, present.indices]
        return
    kept = memory.weight if name == "recurrent" else memory.afferent_weight
    kept[:] = given[rows, present.indices]


def finite_numbers(what: str, values: Any, shape: tuple[int, ...]) -> Array:
    """The values as float64.

    Raises
    ------
    ConfigurationError
        If they are not finite numbers of this shape; the message begins with ``what``.
    """
    try:
        dense = values.toarray() if sparse.issparse(values) else values
        given = np.asarray(dense, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{what} must be numbers: {error}") from error
    if given.shape != shape:
        raise ConfigurationError(f"{what} must have shape {shape}, not {given.shape}")
    if fault := not_finite(given):
        raise ConfigurationError(f"{what} must be finite, not {fault}")
    return given


def without(state: StreamState, nodes: Array, edges: Array) -> StreamState:
    """The state without hidden nodes (k,) and without edges (m, 2) of targets and sources.

    A node without edges and inputs keeps the activity 0 for ever. Dense recurrent weights become
    sparse ones where edges are taken, so that they do not grow again.
    """
    if len(edges) and not _recurrent(state).tolil()[edges[:, 0], edges[:, 1]].nnz:
        raise ConfigurationError("argument `edges` must name edges, but there are none of these")
    state = state.copy()
    memory, n = state.memory, len(state.memory.activity)
    if len(edges) or (len(nodes) and memory.first.size):
        matrix = _recurrent(state).tolil()
        matrix[edges[:, 0], edges[:, 1]] = 0.0
        kept = matrix.tocoo()
        use = (kept.data != 0.0) & ~np.isin(kept.row, nodes) & ~np.isin(kept.col, nodes)
        graph = sparse.csr_array((kept.data[use], (kept.row[use], kept.col[use])), shape=(n, n))
        graph.sort_indices()
        memory = memory._replace(
            weights=memory.weights[:0, :0].copy(),
            first=graph.indptr.astype(np.uint32),
            source=graph.indices.astype(np.uint32),
            weight=graph.data.astype(memory.activity.dtype),
        )
    elif len(nodes) and memory.weights.size:
        memory.weights[nodes] = 0.0
        memory.weights[:, nodes] = 0.0
    if len(nodes):
        memory = _without_inputs(memory, nodes)
        hidden = len(memory.features) - n + nodes
        memory.features[hidden] = 0.0
        for values in (memory.activity, memory.trace, memory.squashed, memory.post):
            values[nodes] = 0.0
        memory.leak[nodes] = memory.bias[nodes] = 0.0
        readout = state.readout
        readout.weights[:, hidden] = readout.linear[:, hidden] = 0.0
        for step in (readout.gain, readout.pending, readout.left):
            step[:, hidden] = 0.0
        for covariance in (readout.covariance_symbols, readout.covariance_values):
            if covariance.size:
                covariance[:, hidden] = 0.0
            if len(covariance) > 1:
                covariance[hidden] = 0.0
    return replace(state, memory=memory).copy()


def _recurrent(state: StreamState) -> Any:
    memory, n = state.memory, len(state.memory.activity)
    if memory.weights.size:
        return sparse.csr_array(memory.weights.astype(np.float64))
    first = memory.first.astype(np.int64) if memory.first.size else np.zeros(n + 1, np.int64)
    data = memory.weight.astype(np.float64), memory.source.astype(np.int64), first
    return sparse.csr_array(data, shape=(n, n))


def _without_inputs(memory: Any, nodes: Array) -> Any:
    n = len(memory.activity)
    count = np.diff(memory.afferent_first.astype(np.int64))
    use = ~np.isin(np.repeat(np.arange(n), count), nodes)
    count[nodes] = 0
    return memory._replace(
        afferent_first=np.concatenate([[0], np.cumsum(count)]).astype(np.uint32),
        afferent_source=memory.afferent_source[use],
        afferent_weight=memory.afferent_weight[use],
    )


def with_cleared_memory(state: StreamState) -> StreamState:
    """The state as if nothing had come before: what was learned stays.

    Hidden nodes and lagged input are zero, no symbol is known, and the experts find the running
    mean in the past.
    """
    state = state.copy()
    memory, experts = state.memory, state.experts
    memory.features[1:] = 0.0
    for values in (memory.activity, memory.trace, memory.squashed, memory.post):
        values[:] = 0.0
    contexts = state.contexts
    contexts.known[:] = contexts.recent[:] = 0
    contexts.words[:] = 0
    contexts.match[:, :FOUND] = 0
    mean = experts.level[:, :1]
    experts.past[:, :PAST] = mean
    experts.level[:] = mean
    experts.end[:] = experts.stored[:] = PAST
    return state
