"""Learning of triangular maps from potentials: layers, heads, and the order of the columns."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.heads.selection import learn_heads
from neurolp.brain.network import DEFAULT_THRESHOLDS, Network, Synapse
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.greedy import GreedyRule
from neurolp.differentiation.triangular import TriangularMap
from neurolp.progress import report
from neurolp.simulation.batch import Batch, EarlyStopping, Progress
from neurolp.simulation.greedy import GreedyConfig, GreedyProcess
from neurolp.simulation.loop import simulate
from neurolp.simulation.signals import Stop

_MANY_ROWS, _INTERVALS, _MORE_INTERVALS = 5000, 14, 28
_RANGE, _SYNAPSE_SLOPE = 3.5, 2.0
_TRIAL_LAYERS, _TRIAL_ROWS = 20, 2000
_MOST_COLUMNS = 256  # a covariance of more has too many parameters

Parts = dict[str, Array]  # "train" and "validation": potentials (n_nodes, n_rows), in their order


def learn_triangular_map(
    parts: Parts,
    max_layers: int,
    patience: int,
    seed: int,
    n_threads: int | None = None,
    clamped: tuple[int, ...] = (),
    rule: GreedyRule | None = None,
    stop: Stop | None = None,
) -> TriangularMap:
    """Learn layers until validation surprise no longer falls, then heads; unused layers go.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, or where ``stop`` says so.
    """
    network, stopping = _evolve(parts, max_layers, patience, seed, n_threads, clamped, rule, stop)
    best = stopping.best_time
    heads: tuple[WeightedHead, ...] = (WeightedHead(best, 1.0),)
    if len(network.moving) <= _MOST_COLUMNS:
        train, validation = parts["train"], parts["validation"]
        heads = learn_heads(network, best, train, validation, seed, n_threads, ordered=True)
    network.slices = network.slices[: max(weighted.time for weighted in heads)]
    return TriangularMap(network, heads)


def trial_surprise(
    parts: Parts, seed: int, n_threads: int | None = None, clamped: tuple[int, ...] = ()
) -> float:
    """Least validation surprise of a few layers, fitted to some of the rows, nats."""
    some = {name: np.ascontiguousarray(u[:, :_TRIAL_ROWS]) for name, u in parts.items()}
    return _evolve(some, _TRIAL_LAYERS, _TRIAL_LAYERS, seed, n_threads, clamped)[1].best


def _evolve(
    parts: Parts,
    max_layers: int,
    patience: int,
    seed: int,
    n_threads: int | None,
    clamped: tuple[int, ...],
    rule: GreedyRule | None = None,
    stop: Stop | None = None,
) -> tuple[Network, EarlyStopping]:
    """Learn the layers; and when the best was reached."""
    d, n = parts["train"].shape
    edges = np.tril(np.ones((d, d), dtype=np.bool_), -1)
    edges[list(clamped)] = False
    network = Network(
        Connectivity.from_array(edges),
        "normal",
        Synapse(DEFAULT_THRESHOLDS, _SYNAPSE_SLOPE),
        True,
        SplineGrid(-_RANGE, _RANGE, _INTERVALS if n < _MANY_ROWS else _MORE_INTERVALS),
        clamped=clamped,
    )
    process = GreedyProcess(
        network,
        rule or GreedyRule(),
        GreedyConfig(patience),
        {name: Batch(u.copy(), np.zeros(u.shape[1])) for name, u in parts.items()},
        seed=seed,
        n_threads=n_threads,
    )

    def told(at: Progress) -> None:
        shown = at.shown("layer", max_layers)
        report(shown.message, shown.time, shown.total, shown.unit)

    outcome = simulate(process, max_layers, stop=stop, progress=told)
    if outcome.interrupted:
        raise KeyboardInterrupt("the density is not fitted")
    return network, process.stopping
