"""Passes of streams against NumPy; run with the JIT and with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest
from scipy import sparse

from neurolp.kernels.stream_passes import fused_pass, read_pass, sparse_pass, squash
from neurolp.kernels.stream_state import empty

DTYPES = ("float64", "float32")


def drawn(seed, dtype, *shapes):
    rng = np.random.default_rng(seed)
    out = []
    for shape in shapes:
        out.append(empty(*shape, dtype=dtype))
        out[-1][:] = rng.standard_normal(shape)
    return out


def close(dtype, n=1):
    eps = np.finfo(dtype).eps
    return {"rtol": 4 * eps, "atol": 4 * n * eps}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("n", [4, 8, 24, 40])
def test_fused_pass_learns_and_reads(n, turn, dtype):
    w, post, trace, h = drawn(n, dtype, (n, n), (n,), (n,), (n,))
    learned, out = w + np.outer(post, trace), np.full(n, np.nan, dtype)
    fused_pass(w, post, trace, h, out, turn)
    assert w.dtype == out.dtype == dtype
    np.testing.assert_allclose(w, learned, **close(dtype))
    np.testing.assert_allclose(out, learned @ h, **close(dtype, n))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [4, 8, 24, 40])
def test_read_pass_reads_and_leaves_weights(n, dtype):
    w, h = drawn(n, dtype, (n, n), (n,))
    before, out = w.copy(), np.full(n, np.nan, dtype)
    read_pass(w, h, out)
    np.testing.assert_array_equal(w, before)
    np.testing.assert_allclose(out, w @ h, **close(dtype, n))


def edges(n, seed):
    """CSR edges with rows of any length: none, one, all."""
    rng = np.random.default_rng(seed)
    mask = rng.random((n, n)) < rng.choice([0.0, 0.2, 1.0], n)[:, None]
    mask[0], mask[-1, :-1], mask[-1, -1] = False, False, True
    where = sparse.csr_array(mask)
    return mask, where.indptr.astype(np.uint32), where.indices.astype(np.uint32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 5, 16, 37])
def test_sparse_pass_learns_and_reads_the_edges_there_are(n, dtype):
    mask, first, source = edges(n, n)
    w, post, trace, h, out = drawn(n, dtype, (n, n), (n,), (n,), (n,), (n,))
    learned = np.where(mask, w + np.outer(post, trace), 0).astype(dtype)
    expected = out + learned @ h
    values = w[mask]
    sparse_pass(first, source, values, post, trace, h, np.empty(2 * n, dtype), out)
    np.testing.assert_allclose(values, learned[mask], **close(dtype))
    np.testing.assert_allclose(out, expected, **close(dtype, n))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 3, 8, 33])
def test_squash_is_tanh(n, dtype):
    (u,) = drawn(n, dtype, (n,))
    u *= np.geomspace(1e-9, 30, n).astype(dtype)
    out = np.empty(n, dtype)
    squash(u, np.empty(n), out)
    np.testing.assert_allclose(out, np.tanh(u), rtol=0, atol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_squash_of_everything_that_is_not_usual(dtype):
    u = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 20.0, -20.0, 1e-30, 3e38, -3e38], dtype)
    out = np.empty_like(u)
    squash(u, np.empty(len(u)), out)
    np.testing.assert_allclose(out, np.tanh(u), rtol=0, atol=2 * np.finfo(dtype).eps)
    assert np.abs(out[1:]).max() <= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_pass_through(bad):
    n = 16
    w, post, trace, h = drawn(0, "float64", (n, n), (n,), (n,), (n,))
    mask = np.ones((n, n), bool)
    first = np.arange(0, n * n + 1, n, dtype=np.uint32)
    source = np.tile(np.arange(n, dtype=np.uint32), n)
    for row in (0, 5, 15):
        weights, values, out, edge_out = w.copy(), w[mask], np.zeros(n), np.zeros(n)
        weights[row, 3] = values[row * n + 3] = bad
        fused_pass(weights, post, trace, h, out, False)
        sparse_pass(first, source, values, post, trace, h, np.empty(2 * n), edge_out)
        for w_, out_ in ((weights, out), (values.reshape(n, n), edge_out)):
            assert not np.isfinite(w_[row, 3])
            assert np.isfinite(w_).sum() == n * n - 1
            np.testing.assert_array_equal(np.isfinite(out_), np.arange(n) != row)


@pytest.mark.parametrize("dtype", DTYPES)
def test_passes_do_not_depend_on_where_they_begin(dtype):
    """Rows are for themselves: forwards or backwards, whatever lies beside, to the last bit."""
    n = 32
    w, post, trace, h = drawn(3, dtype, (n, n), (n,), (n,), (n,))
    ways = []
    for turns in ((0, 0, 0), (0, 1, 0), (1, 1, 0)):
        weights, x, outs = w.copy(), h.copy(), []
        for turn in turns:
            out = np.empty(n, dtype)
            fused_pass(weights, post, trace, x, out, bool(turn))
            squash(out, np.empty(n), x)
            outs.append(out)
        ways.append(np.vstack([*outs, x, weights]))
    for way in ways[1:]:
        np.testing.assert_array_equal(way, ways[0])


def test_rows_of_edges_are_for_themselves():
    mask, first, source = edges(37, 1)
    w, post, trace, h = drawn(4, "float64", (37, 37), (37,), (37,), (37,))
    whole, out = w[mask], np.zeros(37)
    sparse_pass(first, source, whole, post, trace, h, np.empty(74), out)
    parts, out_parts = w[mask], np.zeros(37)
    for start, stop in ((0, 1), (1, 20), (20, 37)):
        sparse_pass(
            first[start : stop + 1], source, parts, post[start:stop], trace, h, np.empty(74),
            out_parts[start:stop],
        )  # fmt: skip
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(out_parts, out)
