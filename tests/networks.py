"""Random networks of every kind for the law tests."""

import numpy as np
from scipy import sparse

from neurolp.brain.connectivity import Connectivity
from neurolp.brain.network import Network, Slice, Synapse
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.local import copy_network
from neurolp.brain.rules.replay import replay
from neurolp.brain.update_order import ordered_partition, random_rotation
from neurolp.brain.workers import Workers


def random_network(
    seed,
    n_nodes,
    n_slices=3,
    update_order="random_halves",
    kind="full",
    base="normal",
    log_scale=True,
    strength=0.3,
    dtype=np.float64,
    thresholds=(-1.0, 0.5),
    rotation=False,
    clamped=(),
):
    """Strong random weights, gains and node maps: nothing is small, nothing was learned."""
    rng = np.random.default_rng(seed)
    network = Network(
        random_connectivity(rng, n_nodes, kind),
        base,
        Synapse(thresholds, 1.3),
        log_scale,
        SplineGrid(-3.0, 3.5, 7),
        dtype,
        clamped=clamped,
    )
    m = network.synapse.n_transfer
    for _ in range(n_slices):
        updates = []
        parts = ordered_partition(update_order, network.connectivity, rng, clamped)
        sequential = update_order == "sequential" and kind != "sparse"
        for targets in [np.concatenate(parts)] if sequential else parts:
            sources = network.connectivity.sources_of(targets, sequential=sequential)
            t, s = len(targets), len(sources)

            def weights(k, targets=targets, sources=sources, t=t, s=s):
                values = strength * rng.standard_normal((t, k * s))
                if kind == "full":
                    return values * np.tile(targets[:, None] != sources, (1, k))
                allowed = network.connectivity.matrix[np.ix_(targets, sources)]
                allowed = allowed.toarray() if kind == "sparse" else allowed
                values *= np.tile(allowed, (1, k))
                return sparse.csr_array(values) if kind == "sparse" else values

            node_map = network.grid.identity(t)
            node_map[:, 0] = rng.normal(0, 0.3, t)
            node_map[:, 1:] = np.exp(rng.normal(0, 0.6, (t, network.grid.n_intervals)))
            updates.append(
                network.update(
                    targets,
                    sources,
                    weights(m),
                    rng.normal(0, 0.3, t),
                    weights(m - 1) if log_scale else None,
                    rng.normal(0, 0.2, t) if log_scale else np.empty(0),
                    node_map,
                    sequential=sequential,
                )
            )
        turn = random_rotation(n_nodes, rng, clamped) if rotation else None
        network.slices.append(Slice(tuple(updates), turn))
    return network


def plain_network(*arguments, **settings):
    """The same, with sequential groups taken apart, as replay wants them."""
    return copy_network(random_network(*arguments, **settings))


def gradient(network, potential, *, horizon=None, n_threads=None):
    """The loss and its gradients by replay, on threads of their own."""
    with Workers(n_threads) as workers:
        return replay(network, potential, horizon, workers)


def random_connectivity(rng, n_nodes, kind):
    if kind == "full":
        return Connectivity.full(n_nodes)
    if kind == "triangular":
        return Connectivity.from_array(np.tril(np.ones((n_nodes, n_nodes), dtype=bool), -1))
    edges = rng.random((n_nodes, n_nodes)) < 0.4
    np.fill_diagonal(edges, False)
    return Connectivity.from_array(sparse.coo_array(edges) if kind == "sparse" else edges)
