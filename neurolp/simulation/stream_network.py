"""What a file says of the network of a stream: parameters, edges, lesions, injected currents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, NamedArrays
from neurolp.simulation.memory_store import Store
from neurolp.simulation.monitors import Monitor
from neurolp.simulation.stream import StreamObservation, StreamProcess
from neurolp.storage.reader import Trajectory


class Network(Protocol):
    """What is asked of a brain whose lesions are noted."""

    @property
    def lesioned(self) -> Array:
        """Numbers of the hidden nodes that were taken away."""

    @property
    def node_names(self) -> Sequence[Any]:
        """Names or numbers of the hidden nodes."""


@final
class InjectionMonitor(Monitor):
    """``injected_current`` (step, injected_node): what is added to the potentials after each row.

    Parameters
    ----------
    nodes : array of int (k,)
        Hidden nodes.
    current : array (n_steps, k)
        Of each step from the first on.
    """

    def __init__(self, nodes: Array, current: Array) -> None:
        self._nodes, self._current = nodes, current

    def begin(self, process: StreamProcess, store: Store) -> None:
        """Declare the variable."""
        self._store = store
        named = np.array(process.brain.node_names)[self._nodes]
        store.declare_coordinate("injected_node", named, "1", "hidden node that gets a current")
        what = "current added to the potential of a hidden node after the row of a step"
        dims, shape = ("step", "injected_node"), (len(self._nodes),)
        store.declare("injected_current", dims, shape, "f8", "1", what)

    def observe(self, observation: StreamObservation) -> None:
        """Append the currents of the steps."""
        first = observation.time
        part = self._current[first : first + len(observation.rows)]
        self._store.append("injected_current", part)


def lesions_to_arrays(out: NamedArrays, brain: Network) -> None:
    """Add ``lesioned`` (hidden,), if nodes were taken away before the first step."""
    if len(brain.lesioned):
        gone = np.zeros(len(brain.node_names), np.bool_)
        gone[brain.lesioned] = True
        out.add("lesioned", ("hidden",), gone, "1", "whether a hidden node was taken away before")


def settings_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a brain as JSON knows them, ``sensors`` apart; matrices by what they are.

    >>> settings_of({"rate": 0.3, "connectivity": np.zeros((4, 4)), "time_constants": (1.0, 2.0)})
    {'rate': 0.3, 'connectivity': 'own float64 matrix (4, 4)', 'time_constants': [1.0, 2.0]}
    """
    return {name: _plain(value) for name, value in parameters.items() if name != "sensors"}


def lesioned_nodes(file: Trajectory) -> Array:
    """Numbers of the hidden nodes that were taken away; of a brain that was saved, from its state.

    A node that was taken away is the only one that does not move: its leak is 0.
    """
    if "lesioned" in file:
        return np.flatnonzero(file.read("lesioned"))
    if "state/memory_leak" not in file:
        return np.zeros(0, np.int64)
    return np.flatnonzero(file.read("state/memory_leak")[: _n_hidden(file)] == 0.0)


def node_labels(file: Trajectory) -> Array:
    """Names of the hidden nodes in a file, or their numbers."""
    return file.read("hidden") if "hidden" in file else np.arange(_n_hidden(file))


def recurrent_weights(file: Trajectory) -> Any:
    """Recurrent weights of the brain in a file, dense or CSR; None if it has none."""
    n = _n_hidden(file)
    if "state/memory_weights" not in file:
        return None
    dense = file.read("state/memory_weights")
    if dense.size:
        return dense[:n, :n]
    first = file.read("state/memory_first").astype(np.int64)
    if not first.size:
        return None
    source = file.read("state/memory_source").astype(np.int64)
    values = file.read("state/memory_weight")
    return sparse.csr_array((values, source, first[: n + 1]), shape=(n, n))


def _n_hidden(file: Trajectory) -> int:
    return int(json.loads(file.brain.get("parameters", "{}")).get("n_hidden", 0))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "n_edges"):
        weights = "edges" if value.weights is None else "edges and their weights"
        return f"own connectivity: {value.n_nodes} nodes, {value.n_edges} {weights}"
    given = value if sparse.issparse(value) else np.asarray(value)
    kind = "sparse matrix" if sparse.issparse(value) else "matrix"
    return f"own {given.dtype} {kind} {given.shape}"
