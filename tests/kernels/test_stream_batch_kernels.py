"""Kernels of many streams against NumPy; run with the JIT and with NUMBA_DISABLE_JIT=1."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from neurolp.kernels.stream_batch import (
    excite_nodes,
    experts_of,
    learn_nodes,
    readout_of,
    send_back,
    senses_of,
    settle_nodes,
)
from neurolp.kernels.stream_state import VALUES, Experts, Memory, Rates, Readout, Senses

N, M, B = 9, 14, 5  # nodes, features with those of the nodes, streams


def csr(rng, shape):
    matrix = sparse.csr_array(
        rng.standard_normal(shape)
        * (rng.random(shape) < rng.choice([0.0, 0.3, 1.0], (shape[0], 1)))
    )
    return matrix, matrix.indptr.astype(np.uint32), matrix.indices.astype(np.uint32)


def memory_of(rng, edges):
    inputs, first, source = csr(rng, (N, M - N))
    matrix, rows, columns = csr(rng, (N, N))
    if not edges:
        rows, columns, matrix = np.zeros(0, np.uint32), np.zeros(0, np.uint32), None
    columns_of = {k: rng.standard_normal((N, B)) for k in ("activity", "trace", "post")}
    memory = Memory(
        features=rng.standard_normal((M, B)),
        **columns_of,
        squashed=np.tanh(rng.standard_normal((N, B))),
        leak=rng.uniform(0.1, 1, N),
        bias=rng.standard_normal(N),
        afferent_first=first,
        afferent_source=source,
        afferent_weight=inputs.data.copy(),
        weights=np.zeros((0, 0)),
        first=rows,
        source=columns,
        weight=np.zeros(0) if matrix is None else matrix.data.copy(),
        n_lags=1,
    )
    return memory, inputs.toarray(), None if matrix is None else matrix.toarray()


def rates_of(inputs):
    return Rates(2, 0.3, 0.0, 0.2, 0.0, 0.1, True, inputs, 1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("parts", [(0, N), (0, 4, N)])
def test_learning_signals_and_what_inputs_learn(parts, inputs):
    rng = np.random.default_rng(0)
    memory, V, _ = memory_of(rng, False)
    back, power, recurrent = rng.standard_normal((N, B)), rng.uniform(1, 2, B), rng.uniform(0, 1, B)
    z, bias = memory.features[: M - N], memory.bias.copy()
    energy = 1 + recurrent + (V != 0) @ z**2
    post = 0.2 * back * (1 - memory.squashed**2) / (power * energy)
    for first, last in pairwise(parts):
        learn_nodes(
            first, last, memory, back, power, recurrent, 0.25, rates_of(inputs), np.empty(B)
        )
    np.testing.assert_allclose(memory.post, post, rtol=1e-12)
    np.testing.assert_allclose(memory.bias, bias + inputs * 0.25 * post.sum(axis=1), rtol=1e-12)
    learned = V + inputs * 0.25 * np.where(V != 0, post @ z.T, 0)
    rows = np.repeat(np.arange(N), np.diff(memory.afferent_first))
    np.testing.assert_allclose(
        memory.afferent_weight, learned[rows, memory.afferent_source], rtol=1e-10
    )


@pytest.mark.parametrize("weight", [0.0, 0.2])
@pytest.mark.parametrize("edges", [True, False])
def test_potentials_and_what_edges_learn(edges, weight):
    rng = np.random.default_rng(1)
    memory, V, W = memory_of(rng, edges)
    W = np.zeros((N, N)) if W is None else W
    learned = W + weight * np.where(W != 0, memory.post @ memory.trace.T, 0)
    u = rng.standard_normal((N, B))
    wanted = u + learned @ memory.activity + V @ memory.features[: M - N] + memory.bias[:, None]
    for first, last in ((0, 3), (3, N)):
        excite_nodes(first, last, memory, weight, u)
    np.testing.assert_allclose(u, wanted, rtol=1e-10, atol=1e-12)
    if edges:
        rows = np.repeat(np.arange(N), np.diff(memory.first))
        np.testing.assert_allclose(memory.weight, learned[rows, memory.source], rtol=1e-10)


def test_nodes_settle():
    rng = np.random.default_rng(2)
    memory, _, _ = memory_of(rng, False)
    u, homeostasis = rng.standard_normal((N, B)), rng.uniform(0, 0.1, B)
    leak, h = memory.leak[:, None], memory.activity.copy()
    trace = memory.trace + leak * (h - memory.trace)
    bias = memory.bias - np.tanh(u) @ homeostasis
    settle_nodes(0, N, memory, u, np.empty(B), homeostasis)
    np.testing.assert_allclose(memory.squashed, np.tanh(u), atol=1e-15)
    np.testing.assert_allclose(memory.trace, trace, rtol=1e-12)
    np.testing.assert_allclose(memory.bias, bias, rtol=1e-12)
    np.testing.assert_allclose(memory.activity, h + leak * (np.tanh(u) - h), rtol=1e-12)
    np.testing.assert_array_equal(memory.features[M - N :], memory.activity)


def test_errors_are_sent_back_within_limits():
    rng = np.random.default_rng(3)
    n_outputs = np.array([1, 2])
    senses = Senses(
        np.full(2, VALUES), np.array([0, 1]), np.array([0, 1]), n_outputs,
        *(np.zeros(0) for _ in range(6)),
    )  # fmt: skip
    factor = np.abs(rng.standard_normal((B, 3, 3)))
    error, norm = 5 * rng.standard_normal((B, 3)), rng.uniform(0, 1, 3)
    error[2] = 0.0
    sent, power = np.empty((3, B)), np.empty(B)
    send_back(senses, factor, error, norm, sent, power)
    limit = 3 * np.einsum("bkk->bk", factor)
    np.testing.assert_allclose(sent, np.clip(error, -limit, limit).T)
    np.testing.assert_allclose(power, 1e-3 + (error != 0) @ norm)
    assert power[2] == 1e-3


@pytest.mark.parametrize(
    ("kind", "view", "shared"),
    [
        (Experts, experts_of, ()),
        (Senses, senses_of, ("kind", "column", "output", "size", "cell", "least")),
        (Readout, readout_of, (*Readout._fields[:6], "chain", "chain_covariance", "linear")),
    ],
)
def test_views_of_a_stream_are_its_arrays(kind, view, shared):
    """In the right order, and of all fields: writing into a view writes into the state."""
    state = kind(*(np.zeros((B,) + (2,) * 3) + k for k, _ in enumerate(kind._fields)))
    found = getattr(view, "py_func", view)(state, 3)
    for name, array in zip(kind._fields, state, strict=True):
        mine = getattr(found, name)
        assert np.shares_memory(mine, array)
        assert mine.shape == (array.shape if name in shared else array.shape[1:])
        if name not in shared:
            mine[...] = -1
            assert (array[3] == -1).all()
            assert (np.delete(array, 3, axis=0) >= 0).all()
