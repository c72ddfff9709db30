"""Kernels of the sources against naive twins; run with the JIT and with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest

from neurolp.kernels import sources


@pytest.mark.parametrize(("n_symbols", "order"), [(2, 1), (3, 2), (8, 3)])
def test_markov_walk_is_a_search_in_cumulative_probabilities(n_symbols, order):
    rng = np.random.default_rng(0)
    n_contexts = n_symbols**order
    table = rng.dirichlet(np.full(n_symbols, 0.3), n_contexts)
    table[0] = np.eye(n_symbols)[1]  # symbols of probability 0 never come
    cumulative, uniforms = np.cumsum(table, axis=1), rng.random(500)
    cumulative /= cumulative[:, -1:]
    with np.errstate(divide="ignore"):
        surprise = -np.log(table)
    rows, truth = np.empty((500, 1)), np.empty(500)
    last = sources.markov_walk(uniforms, cumulative, surprise, 0, rows, truth)
    past = [0] * order
    for u, k, s in zip(uniforms, rows[:, 0], truth, strict=True):
        context = int("".join(map(str, past[-order:])), n_symbols)
        assert k == np.searchsorted(cumulative[context], u, side="right")
        assert s == -np.log(table[context, int(k)])
        past.append(int(k))
    assert last == int("".join(map(str, past[-order:])), n_symbols)


def test_autoregression_is_the_recursion():
    z = np.random.default_rng(1).standard_normal(50)
    x = [0.3, -0.7]
    for noise in z:
        x.append(1.5 * x[-1] - 0.75 * x[-2] + noise)
    past, rows = np.array([-0.7, 0.3]), np.empty((50, 1))
    sources.autoregression(z, 1.5, -0.75, past, rows)
    np.testing.assert_allclose(rows[:, 0], x[2:], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(past, rows[:-3:-1, 0])


@pytest.mark.parametrize("delay", [1, 7, 60])
def test_mackey_glass_map_is_the_map(delay):
    rng = np.random.default_rng(2)
    z, past = rng.normal(0, 0.02, 40), rng.uniform(0.5, 1.3, delay)
    x = list(past)
    for noise in z:
        x.append(x[-1] + 0.2 * x[-delay] / (1 + x[-delay] ** 10) - 0.1 * x[-1] + noise)
    rows = np.empty((40, 1))
    sources.mackey_glass_map(z, past, rows)
    np.testing.assert_allclose(rows[:, 0], x[delay:], rtol=1e-10)
    np.testing.assert_allclose(past, x[-delay:], rtol=1e-10)


def lorenz_slope(s):
    x, y, z = s
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def naive_lorenz(state, n, step=0.01):
    for _ in range(n):
        a = lorenz_slope(state)
        b = lorenz_slope(state + step / 2 * a)
        c = lorenz_slope(state + step / 2 * b)
        d = lorenz_slope(state + step * c)
        state = state + step / 6 * (a + 2 * b + 2 * c + d)
    return state


@pytest.mark.parametrize(("delay", "n_substeps"), [(1, 1), (3, 2), (17, 10)])
def test_mackey_glass_path_is_eulers_method(delay, n_substeps):
    lag, h = delay * n_substeps, 1 / n_substeps
    past = np.random.default_rng(3).uniform(0.5, 1.3, lag + 1)
    x = list(past)
    for _ in range(25 * n_substeps):
        late = x[-1 - lag]
        x.append(x[-1] + h * (0.2 * late / (1 + late**10) - 0.1 * x[-1]))
    rows = np.empty(25)
    sources.mackey_glass_path(past, n_substeps, rows)
    np.testing.assert_allclose(rows, x[lag + n_substeps :: n_substeps], rtol=1e-10)
    np.testing.assert_allclose(past, x[-lag - 1 :], rtol=1e-10)


def test_lorenz_kernel_is_runge_kutta():
    state, rows = np.array([1.0, 2.0, 20.0]), np.empty((7, 3))
    sources.lorenz_path(state, 0.01, 5, rows)
    np.testing.assert_allclose(rows[-1], naive_lorenz(np.array([1.0, 2.0, 20.0]), 35), rtol=1e-12)
    np.testing.assert_array_equal(state, rows[-1])


@pytest.mark.parametrize("n", [1, 5, 18, 19, 40])
def test_kernels_go_on_where_they_stopped(n):
    z = np.random.default_rng(1).normal(0, 0.02, 60)
    for call, past in (
        (sources.mackey_glass_map, np.full(18, 1.2)),
        (lambda z, p, rows: sources.mackey_glass_path(p, 3, rows[:, 0]), np.full(31, 1.2)),
        (lambda z, p, rows: sources.autoregression(z, 0.5, -0.2, p, rows), np.zeros(2)),
    ):
        whole, parts, carried = np.empty((60, 1)), np.empty((60, 1)), past.copy()
        call(z, past, whole)
        for start in range(0, 60, n):
            call(z[start : start + n], carried, parts[start : start + n])
        np.testing.assert_array_equal(parts, whole)
        np.testing.assert_array_equal(carried, past)
