"""What a step of a brain costs that learns at every step, beside the memory and beside others.

    python benchmarks/step.py [--only 256] [--rounds 15] [--peers]     tables
    python benchmarks/step.py --long 10000000                          memory of a long run

A step is I = W h, h' = tanh(I + input), W <- W + post trace'. The first column is the least that
memory allows: reading and writing the values of W once (and reading the columns of a sparse one),
in the same run and the same arrays. ``kernel`` is the compiled block of steps that
``StreamBrain.run`` calls, with everything a brain does besides: it predicts, is surprised, teaches
its hidden nodes; ``run`` is the public call. The others compute the three equations only. All have
one thread; they take turns, and the least time counts, as machines are noisy. ``--peers`` adds JAX,
Brian2 and ANNarchy where they are installed (ANNarchy and Brian2 compile C++ on their first run).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from scipy import signal, sparse
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

from neurolp import ContinuousSensor, StreamBrain
from neurolp.kernels.stream import stream_block
from neurolp.kernels.stream_state import Injection, scratch_for
from neurolp.stream.contexts import symbol_scratch
from neurolp.stream.experts import scratch_of
from neurolp.stream.run import Outputs

Array = np.ndarray[Any, Any]
Contender = Callable[[], None]  # does all steps

NOTHING = Injection(np.zeros(0, np.int64), np.zeros((0, 0)))
SECONDS = 0.04  # that a turn of ours takes about
SMALL = 1e-6  # learning leaves the weights what they were, but not their bits
NODES = 10_000  # of the sparse networks


def brain_of(connectivity: Any, n: int, dtype: Any) -> StreamBrain:
    """A brain whose step is little more than the pass over its recurrent weights."""
    return StreamBrain(
        ContinuousSensor(location=0.0, scale=1.0),
        n_hidden=n,
        n_lags=1,
        fan_in=1,
        connectivity=connectivity,
        rule="nlms",
        recurrent_rate=0.01,
        experts=False,
        dtype=dtype,
        random_state=0,
    )


def ours(brain: StreamBrain, n_steps: int) -> tuple[Contender, Contender]:
    """The compiled block, and the public call."""
    rows = np.random.default_rng(0).standard_normal((n_steps, 1))
    s = brain._state
    outputs = Outputs.empty(brain.sensors, n_steps, False, s.memory.activity, False)

    scratch, room = scratch_for(s.memory, s.readout), scratch_of(s.experts, 1)
    symbols = symbol_scratch(s.contexts, 1)

    def kernel() -> None:
        stream_block(
            rows, True, s.senses, s.memory, s.readout, s.contexts, s.experts,
            brain._design.rates, NOTHING, outputs.outcome, outputs.activity, scratch, room,
            symbols,
        )  # fmt: skip

    def run() -> None:
        brain.run(rows)

    return kernel, run


@numba.njit(error_model="numpy")
def dense_floor(weights: Array, factor: Any, shift: Any, n_steps: int) -> None:
    """Read and write all weights."""
    for _ in range(n_steps):
        for i in range(weights.shape[0]):
            weights[i] = weights[i] * factor + shift


@numba.njit(error_model="numpy")
def sparse_floor(
    weights: Array, sources: Array, factor: Any, shift: Any, n_steps: int
) -> np.uint64:
    """Read and write all weights, and read all sources, two in a word."""
    seen = np.uint64(0)
    for _ in range(n_steps):
        for i in range(weights.shape[0]):
            weights[i] = weights[i] * factor + shift
        for i in range(sources.shape[0]):
            seen ^= sources[i]
    return seen


def floor(brain: StreamBrain, n_steps: int) -> Contender:
    """Pass over the weights of the brain itself, times 1 plus 0."""
    memory = brain._state.memory
    one, zero = memory.activity.dtype.type(1), memory.activity.dtype.type(0)
    if memory.weights.size:
        flat = memory.weights.ravel()
        return lambda: dense_floor(flat, one, zero, n_steps)
    pairs = memory.source[: len(memory.source) // 2 * 2].view(np.uint64)

    def pass_over() -> None:
        sparse_floor(memory.weight, pairs, one, zero, n_steps)

    return pass_over


class Inputs:
    """What all peers are given: input (one number), post of each step, leak of the trace."""

    def __init__(self, n: int, dtype: str, n_steps: int) -> None:
        rng = np.random.default_rng(1)
        self.input = rng.standard_normal(n_steps).astype(dtype)
        self.post = (SMALL * rng.standard_normal((min(n_steps, 64), n))).astype(dtype)
        self.leak = np.dtype(dtype).type(0.9)
        self.n, self.dtype, self.n_steps = n, dtype, n_steps


def dense_weights(n: int, dtype: str) -> Array:
    """Weights as a brain draws them."""
    rng = np.random.default_rng(2)
    return (0.5 / np.sqrt(n) * rng.standard_normal((n, n), dtype=np.float32)).astype(dtype)


def dense_numpy(given: Inputs) -> Contender:
    """BLAS, in place: gemv and ger of a matrix in Fortran's order."""
    w = np.asfortranarray(dense_weights(given.n, given.dtype))
    h, trace = np.zeros(given.n, given.dtype), np.zeros(given.n, given.dtype)
    double = given.dtype == "float64"
    gemv, ger = (blas.dgemv, blas.dger) if double else (blas.sgemv, blas.sger)

    def steps() -> None:
        for t in range(given.n_steps):
            u = gemv(1.0, w, h)
            trace[:] += given.leak * (h - trace)
            u += given.input[t]
            np.tanh(u, out=h)
            ger(1.0, given.post[t % 64], trace, a=w, overwrite_a=1)

    return steps


def sparse_numpy(given: Inputs, w: sparse.csr_array) -> Contender:
    """SciPy's product, and outer products on the edges with arrays that are there already."""
    w = w.copy()
    rows = np.repeat(np.arange(given.n, dtype=np.int32), np.diff(w.indptr))
    h, trace = np.zeros(given.n, given.dtype), np.zeros(given.n, given.dtype)
    change, there = np.empty_like(w.data), np.empty_like(w.data)

    def steps() -> None:
        for t in range(given.n_steps):
            u = w @ h
            trace[:] += given.leak * (h - trace)
            u += given.input[t]
            np.tanh(u, out=h)
            np.take(given.post[t % 64], rows, out=change, mode="clip")
            np.take(trace, w.indices, out=there, mode="clip")
            np.multiply(change, there, out=change)
            np.add(w.data, change, out=w.data)

    return steps


def jax_steps(given: Inputs, w: sparse.csr_array | None) -> Contender:
    """All steps in one compiled scan, its state given away to it."""
    os.environ["XLA_FLAGS"] = (  # before JAX starts
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    n = given.n
    posts = jnp.asarray(given.post)[np.arange(given.n_steps) % 64]
    inputs, leak = jnp.asarray(given.input), given.leak
    rows = None if w is None else jnp.asarray(np.repeat(np.arange(n), np.diff(w.indptr)), jnp.int32)
    columns = None if w is None else jnp.asarray(w.indices, jnp.int32)

    def step(state: Any, now: Any) -> Any:
        values, h, trace = state
        post, x = now
        if w is None:
            u = values @ h
        else:
            edges = values * h[columns]
            u = jax.ops.segment_sum(edges, rows, n, indices_are_sorted=True)
        trace = trace + leak * (h - trace)
        h = jnp.tanh(u + x)
        learned = jnp.outer(post, trace) if w is None else post[rows] * trace[columns]
        return (values + learned, h, trace), None

    scan = jax.jit(lambda state: jax.lax.scan(step, state, (posts, inputs))[0], donate_argnums=0)
    zero = np.zeros(n, given.dtype)
    start = dense_weights(n, given.dtype) if w is None else w.data
    box = [(jnp.asarray(start), jnp.asarray(zero), jnp.asarray(zero.copy()))]

    def steps() -> None:
        box[0] = jax.block_until_ready(scan(box[0]))

    return steps


def brian_steps(given: Inputs, w: sparse.csr_array | None) -> Contender:
    """Synapses that sum and learn at every step; Brian2 has double precision by default."""
    import brian2 as b2

    b2.prefs.core.default_float_dtype = np.dtype(given.dtype).type
    b2.prefs.codegen.target = "cython"
    b2.BrianLogger.suppress_name("method_choice")
    namespace = {
        "given_input": b2.TimedArray(given.input, dt=1 * b2.ms),
        "given_post": b2.TimedArray(given.post, dt=1 * b2.ms),
        "leak": float(given.leak),
    }
    b2.defaultclock.dt = 1 * b2.ms
    nodes = b2.NeuronGroup(given.n, "u : 1\nh : 1\ntrace : 1\npost : 1", namespace=namespace)
    nodes.run_regularly(
        "trace += leak * (h - trace)\nh = tanh(u + given_input(t))\n"
        "post = given_post(t, i)",
        when="groups", order=1,
    )  # fmt: skip
    edges = b2.Synapses(nodes, nodes, "w : 1\nu_post = w * h_pre : 1 (summed)")
    if w is None:
        edges.connect()
        edges.w = dense_weights(given.n, given.dtype).T.ravel()
    else:
        by_source = w.tocsc()
        source = np.repeat(np.arange(given.n), np.diff(by_source.indptr))
        edges.connect(i=source, j=by_source.indices)
        edges.w = by_source.data
    edges.run_regularly("w += post_post * trace_pre", when="end")
    network = b2.Network(nodes, edges)
    return lambda: network.run(given.n_steps * b2.ms)


def annarchy_steps(given: Inputs, w: sparse.csr_array | None) -> Contender:
    """A projection that sums and learns at every step; one input a block, as it is set outside."""
    import ANNarchy

    network = ANNarchy.Network()
    dtype = ANNarchy.float64 if given.dtype == "float64" else ANNarchy.float32
    network.config(dt=1.0, num_threads=1, dtype=dtype)
    neuron = ANNarchy.Neuron(
        parameters={"leak": float(given.leak), "x": float(given.input[0])},
        equations=["post = post", "trace += leak * (r - trace)", "r = tanh(sum(exc) + x)"],
    )
    synapse = ANNarchy.Synapse(equations=["w += post.post * pre.trace"])
    nodes = network.create(geometry=given.n, neuron=neuron)
    edges = network.connect(nodes, nodes, target="exc", synapse=synapse)
    if w is None:
        edges.from_matrix(dense_weights(given.n, given.dtype), storage_format="dense")
    else:
        edges.from_sparse(sparse.csr_matrix(w), storage_format="csr")
    network.compile(directory=tempfile.mkdtemp(), silent=True)
    nodes.post = given.post[0]
    return lambda: network.simulate(float(given.n_steps))


PEERS = {"JAX": ("jax", jax_steps), "Brian2": ("brian2", brian_steps),
         "ANNarchy": ("ANNarchy", annarchy_steps)}  # fmt: skip


def measure(contenders: dict[str, tuple[Contender, int]], rounds: int) -> dict[str, float]:
    """Least microseconds a step of each; they take turns."""
    least = dict.fromkeys(contenders, np.inf)
    for steps, _ in contenders.values():
        steps()  # compiles
    for _ in range(rounds):
        for name, (steps, n_steps) in contenders.items():
            least[name] = min(least[name], _timed(steps) / n_steps)
    return {name: 1e6 * seconds for name, seconds in least.items()}


def _timed(function: Contender) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def line(size: str, dtype: str, rounds: int, peers: bool) -> None:
    """Measure and print one row of the table."""
    w = None
    if size.endswith("%"):
        n, percent = NODES, int(size.rstrip("%"))
        mask = random_edges(n, n * percent // 100)
        brain = brain_of(mask, n, dtype)
        w = brain.weights["recurrent"]
        w.indices, w.indptr = w.indices.astype(np.int32), w.indptr.astype(np.int32)
        bytes_ = w.nnz * (2 * np.dtype(dtype).itemsize + 4)
    else:
        n = int(size)
        brain = brain_of("full", n, dtype)
        bytes_ = 2 * n * n * np.dtype(dtype).itemsize
    n_steps = max(4, int(SECONDS * 40e9 / bytes_))
    few = max(2, n_steps // 5)  # for those that need several times as long
    kernel, run = ours(brain, n_steps)
    given = Inputs(n, dtype, few)
    plain = dense_numpy(given) if w is None else sparse_numpy(given, w)
    contenders = {
        "floor": (floor(brain, n_steps), n_steps),
        "kernel": (kernel, n_steps),
        "run": (run, n_steps),
        "NumPy": (plain, few),
    }
    columns = [*contenders, *(PEERS if peers else [])]
    for name, (module, make) in PEERS.items():
        if peers and importlib.util.find_spec(module):
            contenders[name] = (make(given, w), few)
    least = measure(contenders, rounds)
    shown = [f"{least[name]:,.1f}" if name in least else "-" for name in columns]
    ratios = [
        least["kernel"] / least["floor"],
        least["NumPy"] / least["kernel"],
        least["run"] / least["kernel"],
    ]
    what = f"n = {n:,}" if w is None else f"n = {n:,}, {size}"
    cells = [what, dtype, *shown, *(f"{r:.2f}" for r in ratios)]
    print("| " + " | ".join(cells) + " |", flush=True)


def random_edges(n: int, degree: int) -> sparse.csr_array:
    """``degree`` different sources for every node, none of them itself."""
    rng = np.random.default_rng(0)
    sources = np.concatenate([np.sort(rng.choice(n - 1, degree, replace=False)) for _ in range(n)])
    sources += sources >= np.repeat(np.arange(n), degree)
    ones = np.ones(n * degree, np.bool_)
    return sparse.csr_array((ones, sources, np.arange(0, n * degree + 1, degree)), (n, n))


def long_run(n_steps: int, block: int = 10_000) -> None:
    """A brain of 256 nodes for very long: peak memory after 1, 10 and 100 per cent."""
    brain = brain_of("full", 256, "float64")
    rng = np.random.default_rng(0)
    marks = {n_steps // 100, n_steps // 10, n_steps}
    brain.run(rng.standard_normal((10, 1)))  # compiles
    began, done, state = time.perf_counter(), 0, np.zeros(2)
    while done < n_steps:
        # The second-order autoregression of the examples.
        noise = rng.standard_normal(min(block, n_steps - done))
        rows, state = signal.lfilter([1 / 3.6], [1.0, -1.5, 0.75], noise, zi=state)
        surprise = brain.run(rows).total.mean()
        done += len(rows)
        if done in marks:
            seconds = time.perf_counter() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{done:,} steps: {peak:.1f} MB at most, {done / seconds:,.0f} steps a second, "
                f"{surprise:.4f} nats a step in the last block",
                flush=True,
            )


def main() -> None:
    """Print the table, or what a long run needs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("256", "1024", "4096", "1%", "5%"), action="append")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peers", action="store_true", help="JAX, Brian2, ANNarchy if installed")
    parser.add_argument("--long", type=int, metavar="STEPS", help="a long run instead")
    arguments = parser.parse_args()
    if arguments.long:
        long_run(arguments.long)
        return
    names = ["network", "precision", "floor", "kernel", "run", "NumPy"]
    names += PEERS if arguments.peers else []
    names += ["kernel / floor", "NumPy / kernel", "run / kernel"]
    print("Microseconds a step, one core, learning at every step.\n")
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    with threadpool_limits(1):
        for size in arguments.only or ("256", "1024", "4096", "1%", "5%"):
            for dtype in ("float64", "float32"):
                line(size, dtype, arguments.rounds, arguments.peers)


if __name__ == "__main__":
    main()
