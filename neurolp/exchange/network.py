"""The network of a brain for streams, from a brain or a file: nodes, and edges in blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.errors import DataError
from neurolp.estimators.stream import StreamBrain
from neurolp.storage.classes import class_path
from neurolp.storage.reader import Trajectory
from neurolp.stream.contents import node_names
from neurolp.stream.nodes import HiddenNodes

_BLOCK = 2**18  # weights that are read at once

Rows = Callable[[int, int], Array]


@dataclass(frozen=True)
class Edges(ABC):
    """Edges from one population of nodes to another, sorted by target."""

    source: str
    target: str
    shape: tuple[int, int]  # nodes (target, source)

    @property
    def name(self) -> str:
        """Name of the population of edges."""
        return f"{self.source}__{self.target}"

    @property
    @abstractmethod
    def n_edges(self) -> int:
        """Number of edges."""

    @abstractmethod
    def blocks(self) -> Iterator[tuple[Array, Array, Array]]:
        """Target, source and weight of consecutive edges."""

    @abstractmethod
    def of_sources(self) -> Iterator[tuple[Array, Array]]:
        """For consecutive sources: how many edges each has, and the numbers of these edges."""


@dataclass(frozen=True)
class DenseEdges(Edges):
    """All edges, but none from a node to itself where ``loops`` is false."""

    rows: Rows  # from .. to before: weights (n_targets, n_sources)
    loops: bool

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        n_targets, n_sources = self.shape
        return n_targets * n_sources - (0 if self.loops else n_targets)

    def blocks(self) -> Iterator[tuple[Array, Array, Array]]:
        """Target, source and weight of consecutive edges."""
        n_targets, n_sources = self.shape
        size = max(1, _BLOCK // max(n_sources, 1))
        for start in range(0, n_targets, size):
            stop = min(start + size, n_targets)
            target, source = np.mgrid[start:stop, :n_sources]
            use = np.ones(target.shape, np.bool_) if self.loops else target != source
            yield target[use], source[use], self.rows(start, stop)[use]

    def of_sources(self) -> Iterator[tuple[Array, Array]]:
        """For consecutive sources: how many edges each has, and the numbers of these edges."""
        n_targets, n_sources = self.shape
        size = max(1, _BLOCK // max(n_targets, 1))
        for start in range(0, n_sources, size):
            source, target = np.mgrid[start : min(start + size, n_sources), :n_targets]
            number = target * n_sources + source
            if self.loops:
                yield np.full(len(source), n_targets), number.ravel()
                continue
            number -= target + (source > target)  # the loops before it
            use = target != source
            yield use.sum(axis=1), number[use]


@dataclass(frozen=True)
class SparseEdges(Edges):
    """The edges of a list."""

    ends: tuple[Array, Array]  # target and source of every edge
    values: Rows  # from .. to before: weights of edges

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.ends[0])

    def blocks(self) -> Iterator[tuple[Array, Array, Array]]:
        """Target, source and weight of consecutive edges."""
        for start in range(0, self.n_edges, _BLOCK):
            stop = min(start + _BLOCK, self.n_edges)
            target, source = (end[start:stop] for end in self.ends)
            yield target, source, self.values(start, stop)

    def of_sources(self) -> Iterator[tuple[Array, Array]]:
        """For all sources: how many edges each has, and the numbers of these edges."""
        source = self.ends[1]
        yield np.bincount(source, minlength=self.shape[1]), np.argsort(source, kind="stable")


@dataclass(frozen=True)
class Network:
    """Nodes of three populations, and the edges between them.

    There are ``n_hidden`` nodes "hidden", with ``names``, ``leak`` and ``bias`` where they are
    known; "features" are the constant and the lagged input; "outputs" are what is predicted.
    """

    n_hidden: int
    names: tuple[str, ...] | None
    features: list[str]
    outputs: list[str]
    leak: Array | None
    bias: Array | None
    edges: list[Edges]


def network_of_brain(brain: StreamBrain) -> Network:
    """The network of a brain in memory."""
    weights: dict[str, Any] = dict(brain.weights)
    nodes, state = HiddenNodes.of(brain.node_names), brain.state()
    n, names = nodes.n, nodes.names

    def of(name: str) -> tuple[Any, tuple[Array, Array] | None]:
        w = weights[name]
        if not sparse.issparse(w):
            return (lambda start, stop: w[start:stop]), None
        target = np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))
        return (lambda start, stop: w.data[start:stop]), (target, w.indices)

    matrices = {name: of(name) for name in weights}
    leak, bias = (state[f"memory_{name}"][:n] for name in ("leak", "bias"))
    hidden = n, names, leak, bias
    return _network(hidden, brain.feature_names, brain.output_names, matrices)


def network_of_file(file: Trajectory) -> Network:
    """The network in a file: the weights that a run recorded last, or those of a saved brain.

    Raises
    ------
    DataError
        If there is neither.
    """
    known = "weights_time" in file and "readout" in file
    times = file.read("weights_time") if known else np.zeros(0)
    has_brain = file.attributes("estimator").get("class") == class_path(StreamBrain)
    if has_brain and (not len(times) or times[-1] != file.result["n_steps"]):
        return network_of_brain(StreamBrain.load(file.path))
    if not len(times):
        raise DataError(f"{file.path}: holds no network of a brain for streams")
    last = len(times) - 1
    n = len(file.read("hidden")) if "hidden" in file else 0

    def of(name: str) -> tuple[Any, tuple[Array, Array] | None]:
        stored = file.stored(name)

        def rows(start: int, stop: int) -> Array:
            return stored[last, start:stop]

        if f"{name}_target" not in file:
            return rows, None
        return rows, (file.read(f"{name}_target"), file.read(f"{name}_source"))

    names = ("readout", "recurrent", "afferent", "chain")
    matrices = {name: of(name) for name in names if name in file}
    parts = [f"state/memory_{name}" for name in ("leak", "bias")]
    leak, bias = (file.read(name)[:n] if name in file else None for name in parts)
    hidden = n, node_names(file), leak, bias
    features, outputs = ([str(name) for name in file.read(k)] for k in ("feature", "output"))
    return _network(hidden, features, outputs, matrices)


def _network(
    hidden: tuple[int, tuple[str, ...] | None, Array | None, Array | None],
    features: list[str],
    outputs: list[str],
    matrices: dict[str, tuple[Any, tuple[Array, Array] | None]],
) -> Network:
    n, names, leak, bias = hidden
    past = features[: len(features) - n]
    edges: list[Edges] = []
    size = {"hidden": n, "features": len(past), "outputs": len(outputs)}
    for name, source, target in (
        ("recurrent", "hidden", "hidden"),
        ("afferent", "features", "hidden"),
        ("chain", "outputs", "outputs"),
    ):
        if name not in matrices:
            continue
        values, ends = matrices[name]
        shape = size[target], size[source]
        if ends is None:
            edges.append(DenseEdges(source, target, shape, values, loops=False))
        elif len(ends[0]):
            edges.append(SparseEdges(source, target, shape, ends, values))
    readout, _ = matrices["readout"]
    for source, columns in (("features", slice(0, len(past))), ("hidden", slice(len(past), None))):
        n_sources = len(features[columns])
        if n_sources:

            def rows(start: int, stop: int, columns: slice = columns) -> Array:
                return np.asarray(readout(start, stop)[:, columns])

            shape = (len(outputs), n_sources)
            edges.append(DenseEdges(source, "outputs", shape, rows, loops=True))
    return Network(n, names, past, outputs, leak, bias, edges)
