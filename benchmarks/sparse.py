"""A large sparse brain that learns online: time per step and peak memory against the edges.

    python benchmarks/sparse.py [--nodes 100000] [--edges 100] [--rows 1]

Every node listens to as many others, drawn at random. One presentation evolves all slices and
learns the last one (signal "final"); times are medians over presentations, memory is the peak of
the process above what it held before the brain was made, with every array the optimiser keeps.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse

from neurolp import OnlineBrain


def random_edges(n_nodes: int, n_edges: int, rng: np.random.Generator) -> sparse.csr_array:
    """``n_edges`` sources for every node, none of them itself (a few are drawn twice)."""
    source = rng.integers(0, n_nodes - 1, (n_nodes, n_edges), dtype=np.int32)
    source += source >= np.arange(n_nodes, dtype=np.int32)[:, None]
    source.sort(axis=1)
    indptr = np.arange(0, n_nodes * n_edges + 1, n_edges)
    ones = np.ones(n_nodes * n_edges, dtype=np.bool_)
    edges = sparse.csr_array((ones, source.ravel(), indptr), (n_nodes, n_nodes))
    edges.sum_duplicates()
    return edges


def median_seconds(function: Callable[[], object], times: int) -> float:
    """Median duration of a call; the first one, which compiles, does not count."""
    function()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def peak_bytes() -> int:
    """Largest memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=100, help="per node")
    parser.add_argument("--rows", type=int, default=1, help="presented together")
    parser.add_argument("--slices", type=int, default=2)
    parser.add_argument(
        "--log-scale", action="store_true", help="nonlinear synapses and log-scales too"
    )
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    brain = OnlineBrain(n_slices=1, random_state=0)
    brain.partial_fit(rng.standard_normal((50, 3)))  # compile before measuring
    before = peak_bytes()
    brain = OnlineBrain(
        connectivity=random_edges(arguments.nodes, arguments.edges, rng),
        n_slices=arguments.slices,
        period=1,
        synapse_thresholds=(0.0,) if arguments.log_scale else (),
        log_scale=arguments.log_scale,
        random_state=0,
    )
    common = rng.standard_normal((1, arguments.nodes))

    def rows(n: int) -> np.ndarray:
        """Nodes that share one cause."""
        return 0.5 * rng.standard_normal((n, 1)) * common + rng.standard_normal(
            (n, arguments.nodes)
        )

    began = time.perf_counter()
    brain.partial_fit(rows(10))
    made = time.perf_counter() - began
    fresh = rows(arguments.rows)
    first = brain.score(rows(10))
    learn = median_seconds(lambda: brain.partial_fit(rows(arguments.rows)), 30)
    evolve = median_seconds(lambda: brain.score_samples(fresh), 5)
    edges = brain.connectivity.nnz
    peak = peak_bytes() - before
    last = brain.score(rows(10))
    print(
        f"{arguments.nodes} nodes, {edges} edges, {arguments.slices} slices, "
        f"{arguments.rows} rows: "
        f"made {made:.1f} s, evolve {1e3 * evolve:.0f} ms, evolve + learn {1e3 * learn:.0f} ms, "
        f"peak {peak / 1e9:.2f} GB ({peak / edges:.0f} bytes an edge), "
        f"surprise {-first / arguments.nodes:.3f} -> {-last / arguments.nodes:.3f} nats a node"
    )


if __name__ == "__main__":
    main()
