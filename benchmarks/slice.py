"""How close a slice of batch evolution comes to the machine: python benchmarks/slice.py.

The limit is the time of the matrix products alone: for each of the two halves, weights
(512, 512 M) and log-scale weights (512, 512 (M - 1)) times the features of 1024 trajectories, by
NumPy's BLAS with all threads. The rest of a slice (transfer functions, node maps, logarithms)
is the difference. Runs of both alternate and medians are compared, because machines are noisy.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from neurolp import BrainDensity
from neurolp.brain.evolution import evolve_slices, rewind
from neurolp.brain.network import Network, Slice
from neurolp.brain.workers import Workers, available_threads


def random_slice(n_nodes: int, dtype: Any) -> Network:
    """One slice of a fully connected brain with the default synapses, random parameters."""
    rng = np.random.default_rng(0)
    brain = BrainDensity(dtype=dtype)
    brain.n_features_in_ = n_nodes
    network = brain._new_network(intervals=40)
    halves = np.arange(n_nodes // 2), np.arange(n_nodes // 2, n_nodes)
    m, s = network.synapse.n_transfer, n_nodes // 2

    def weights(k: int) -> np.ndarray:
        return rng.standard_normal((s, k * s)) / (10 * np.sqrt(k * s))

    node_map = network.grid.identity(s)
    node_map[:, 1:] = np.exp(rng.normal(0, 0.2, (s, node_map.shape[1] - 1)))
    network.slices.append(
        Slice(
            tuple(
                network.update(
                    targets, sources, weights(m), np.zeros(s), weights(m - 1), np.zeros(s), node_map
                )
                for targets, sources in (halves, halves[::-1])
            )
        )
    )
    return network


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(dtype: str, n_nodes: int, n_trajectories: int, repeats: int) -> None:
    """Print one line: the limit, ours, and the share."""
    network = random_slice(n_nodes, dtype)
    slice_ = network.slices[0]
    rng = np.random.default_rng(1)
    start = rng.standard_normal((n_nodes, n_trajectories)).astype(dtype)
    features = rng.standard_normal((slice_.groups[0].n_features, n_trajectories)).astype(dtype)
    bounded = features[len(slice_.groups[0].sources) :].copy()

    def products() -> None:
        for g in slice_.groups:
            g.weights @ features
            g.log_scale_weights @ bounded

    def forward() -> None:
        evolve_slices(network, [slice_], start.copy(), np.zeros(n_trajectories), workers)

    limit, ours = [], []
    for k in range(repeats + 1):
        seconds = timed(products)  # with all BLAS threads
        with Workers() as workers:  # with our own
            ours.append(timed(forward))
        limit.append(seconds)
        if k == 0:  # compiled and warm
            limit, ours = [], []
    back = [timed(lambda: rewind(network, start)) for _ in range(3)]
    flop = sum(
        2 * (g.weights.size + g.log_scale_weights.size) * n_trajectories for g in slice_.groups
    )
    print(
        f"{dtype}: matrix products alone {1e3 * np.median(limit):.1f} ms "
        f"({flop / np.median(limit) / 1e9:.0f} GFLOP/s), slice {1e3 * np.median(ours):.1f} ms, "
        f"share of the limit {100 * np.median(limit) / np.median(ours):.0f} %, "
        f"rewind {1e3 * np.median(back):.1f} ms"
    )


def main() -> None:
    """Print one line per precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1024)
    parser.add_argument("--trajectories", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    print(
        f"{arguments.nodes} nodes, {arguments.trajectories} trajectories, "
        f"{available_threads()} threads, median of {arguments.repeats} alternating runs"
    )
    for dtype in ("float64", "float32"):
        measure(dtype, arguments.nodes, arguments.trajectories, arguments.repeats)


if __name__ == "__main__":
    main()
