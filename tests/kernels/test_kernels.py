"""Kernels against their naive twins; run with the JIT and with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest
from scipy import sparse

from neurolp.brain.network import Synapse
from neurolp.brain.node_map import SLOPE_MAX, SLOPE_MIN, SplineGrid
from neurolp.errors import NetworkError
from neurolp.kernels import adam, adjoint, affine, bounded, graph, regression
from neurolp.kernels import node_map as kernels
from tests import naive

GRID = SplineGrid(-3.0, 2.0, 5)


@pytest.mark.parametrize("n_intervals", [2, 5, 14, 32])
def test_pieces_of_a_map_do_not_depend_on_the_maps_beside_it(n_intervals):
    grid = SplineGrid(-3.5, 3.7, n_intervals)
    slopes = np.exp(np.random.default_rng(1).standard_normal((100, grid.n_coefficients)))
    all_of_them = grid.table(slopes)
    for n in (1, 2, 7):
        few = [grid.table(slopes[k : k + n]) for k in range(0, 100, n)]
        np.testing.assert_array_equal(np.concatenate(few), all_of_them)


def random_maps(rng, n_nodes, grid=GRID):
    c = grid.identity(n_nodes)
    c[:, 0] = rng.normal(0, 1, n_nodes)
    c[:, 1:] = np.exp(rng.normal(0, 1, (n_nodes, grid.n_intervals)))
    return c


def probes():
    knots = GRID.low + GRID.spacing * np.arange(GRID.n_intervals + 1)
    beside = np.nextafter(knots, 100), np.nextafter(knots, -100)
    return np.concatenate([knots, *beside, [-1e6, -50.0, -0.3, 0.0, 1.7, 40.0, 1e6]])


def test_the_identity_coefficients_are_the_identity():
    u = probes()[None, :].copy()
    log_det = np.zeros(u.shape[1])
    apply(u, GRID.identity(1), log_det)
    np.testing.assert_allclose(u[0], probes(), rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(log_det, 0, atol=1e-14)


def apply(u, coefficients, log_det, node_log_slope=None, grid=GRID):
    kernels.apply_node_maps(
        u,
        np.arange(len(u)),
        0,
        grid.low,
        grid.spacing,
        grid.table(coefficients),
        np.empty(u.shape[1], u.dtype),
        log_det,
        np.empty(0) if node_log_slope is None else node_log_slope,
    )


def test_node_maps_value_slope_and_inverse():
    rng = np.random.default_rng(0)
    c = random_maps(rng, 19)  # more than two blocks of eight nodes
    u = np.tile(probes(), (19, 1))
    start, log_det, per_node = u.copy(), np.zeros(u.shape[1]), np.empty(19)
    apply(u, c, log_det)
    slopes = np.array([[naive.node_slope(GRID, ci, v) for v in probes()] for ci in c])
    values = np.array([[naive.node_value(GRID, ci, v) for v in probes()] for ci in c])
    np.testing.assert_allclose(u, values, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_det, np.log(slopes).sum(axis=0), rtol=1e-12)
    again, log_det_2 = start.copy(), np.zeros(u.shape[1])
    apply(again, c, log_det_2, per_node)
    np.testing.assert_allclose(per_node, np.log(slopes).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(log_det_2, log_det, rtol=1e-12)
    kernels.invert_node_maps(u, np.arange(19), 0, u.shape[1], GRID.low, GRID.spacing, GRID.table(c))
    np.testing.assert_allclose(u, start, rtol=1e-13, atol=1e-13)


def test_inverse_keeps_nan_and_infinity_where_they_are():
    u = np.array([[np.nan, np.inf, -np.inf, 0.5]])
    c = random_maps(np.random.default_rng(1), 1)
    kernels.invert_node_maps(u, np.arange(1), 0, 4, GRID.low, GRID.spacing, GRID.table(c))
    assert np.isnan(u[0, 0])
    assert u[0, 1] == np.inf
    assert u[0, 2] == -np.inf


def test_slopes_stay_between_the_smallest_and_largest_coefficient():
    """The convex-hull property, which is what proves monotonicity."""
    rng = np.random.default_rng(2)
    v = np.linspace(-10, 10, 4001)
    for c in random_maps(rng, 20):
        u = v[None, :].copy()
        log_det = np.zeros(len(v))
        apply(u, c[None, :], log_det)
        assert np.all(np.diff(u[0]) > 0)
        assert log_det.min() >= np.log(c[1:].min()) - 1e-12
        assert log_det.max() <= np.log(c[1:].max()) + 1e-12


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_eight_extreme_slopes_neither_overflow_nor_vanish(dtype):
    for slope in (SLOPE_MIN, SLOPE_MAX):
        c = GRID.identity(8)
        c[:, 1:] = slope
        u = np.full((8, 3), 0.1, dtype=dtype)
        log_det = np.zeros(3)
        kernels.apply_node_maps(
            u,
            np.arange(8),
            0,
            GRID.low,
            GRID.spacing,
            GRID.table(c).astype(dtype),
            np.empty(3, dtype),
            log_det,
            np.empty(0),
        )
        np.testing.assert_allclose(log_det, 8 * np.log(slope), rtol=1e-6)


def test_coefficients_that_prove_nothing_are_refused():
    c = GRID.identity(3)
    c[1, 2] = 0.0
    with pytest.raises(NetworkError, match="slope coefficients"):
        GRID.check(c)
    with pytest.raises(NetworkError, match="must have shape"):
        GRID.check(GRID.identity(3)[:, 1:])


def test_spline_moments():
    rng = np.random.default_rng(3)
    u = np.concatenate([2.5 * rng.standard_normal((3, 60)), np.tile(probes()[:60], (3, 1))], axis=1)
    weight = rng.standard_normal(u.shape)
    out = np.empty((2, GRID.n_intervals + 2, 7))
    targets = np.array([2, 0])
    kernels.spline_moments(
        u, targets, 0, GRID.low, GRID.spacing, GRID.n_intervals, weight[targets].copy(), out
    )
    for i, node in enumerate(targets):
        expected = naive.spline_moments(GRID, u[node], weight[node])
        np.testing.assert_allclose(out[i], expected, rtol=1e-10, atol=1e-8)


def test_transfer_functions():
    synapse = Synapse((-1.0, 0.0, 2.0), 1.7)
    u = np.stack([probes(), probes()[::-1]])
    out = np.empty((8, u.shape[1]))
    affine.transfer(
        u, np.array([1, 0]), 0, u.shape[1], synapse.slope, np.array(synapse.thresholds), out
    )
    for j, node in enumerate((1, 0)):
        for c in range(u.shape[1]):
            expected = naive.transfer(synapse, u[node, c])
            np.testing.assert_allclose(out[j::2, c], expected, rtol=1e-13, atol=1e-14)


def test_sparse_product_is_that_of_scipy():
    rng = np.random.default_rng(4)
    matrix = sparse.random_array((6, 9), density=0.3, rng=rng, format="csr")
    features, out = rng.standard_normal((9, 5)), np.full((6, 5), np.nan)
    affine.csr_product(matrix.indptr, matrix.indices, matrix.data, features, out)
    np.testing.assert_allclose(out, matrix @ features, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("modulated", [True, False])
def test_undo_shift_and_scale_undoes_shift_and_scale(modulated):
    rng = np.random.default_rng(5)
    u, shift, log_scale = (rng.standard_normal((3, 10)) for _ in range(3))
    bias, log_scale_bias = rng.standard_normal(3), rng.standard_normal(3 if modulated else 0)
    moved, log_det, targets = u.copy(), np.zeros(10), np.arange(3)
    affine.shift_and_scale(moved, targets, 0, shift, bias, log_scale, log_scale_bias, log_det)
    total = log_scale + log_scale_bias[:, None] if modulated else np.zeros((3, 10))
    np.testing.assert_allclose(moved, np.exp(total) * u + shift + bias[:, None])
    np.testing.assert_allclose(log_det, total.sum(axis=0), atol=1e-15)
    affine.undo_shift_and_scale(moved, targets, 0, shift, bias, log_scale, log_scale_bias)
    np.testing.assert_allclose(moved, u, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("modulated", [True, False])
def test_propagate_keeps_the_input_up_to_date(modulated):
    """After one source moved, features and input are those computed from scratch."""
    rng = np.random.default_rng(6)
    m, s, t, position = 3, 4, 5, 2
    weights, log_scale_weights = (
        rng.standard_normal((t, m * s)),
        rng.standard_normal((t, (m - 1) * s)),
    )
    features, fresh = rng.standard_normal((m * s, 7)), rng.standard_normal((m, 7))
    new = features.copy()
    new[position::s] = fresh
    shift, log_scale = weights @ features, log_scale_weights @ features[s:]
    expected = shift.copy(), log_scale.copy()
    expected[0][1:4] = (weights @ new)[1:4]
    expected[1][1:4] = (log_scale_weights @ new[s:])[1:4]
    if not modulated:
        log_scale = np.empty((0, 0))
    affine.propagate(
        fresh, position, s, weights, log_scale_weights, 1, 4, features, shift, log_scale
    )
    assert np.array_equal(features, new)
    np.testing.assert_allclose(shift, expected[0], rtol=1e-13, atol=1e-13)
    if modulated:
        np.testing.assert_allclose(log_scale, expected[1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("n_rows", [1, 7, 70])
@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("thresholds", [(), (-1.0, 0.5)])
def test_presynaptic_ridge_is_that_of_the_naive_regression(thresholds, modulated, n_rows):
    rng = np.random.default_rng(7)
    synapse, ridge = Synapse(thresholds, 1.3), 2.0
    m = synapse.n_transfer
    u = 2 * rng.standard_normal((6, n_rows))
    near = [np.array([1, 4, 5]), np.array([], dtype=int), np.array([0])]
    starts = np.append(0, np.cumsum([len(k) for k in near]))
    right = rng.standard_normal((1 + modulated, 3, n_rows))
    shift, log_scale = np.full(m * 4 + 3, np.nan), np.full((m - 1) * 4 + 3, np.nan)
    status = np.zeros(3, dtype=np.int8)
    scratch = [np.full((16, m * 3 + 1), np.nan), *np.full((2, m * 3 + 1, m * 3 + 1), np.nan)]
    regression.presynaptic_ridge(
        u,
        np.concatenate(near),
        starts,
        right,
        synapse.slope,
        np.array(thresholds),
        ridge,
        *scratch,
        status,
        shift,
        log_scale,
    )
    assert not status.any()
    expected = [[], []]
    for i in range(3):
        f = np.array([naive.features(synapse, u[:, c], near[i]) for c in range(n_rows)]).T
        f = np.vstack([f.reshape(-1, n_rows), np.ones(n_rows)])
        for q, chosen in enumerate([f, f[len(near[i]) :]]):
            expected[q].append(naive.ridge(chosen, right[min(q, len(right) - 1), i], ridge))
    np.testing.assert_allclose(shift, np.concatenate(expected[0]), rtol=1e-9, atol=1e-11)
    if modulated:
        np.testing.assert_allclose(log_scale, np.concatenate(expected[1]), rtol=1e-9, atol=1e-11)


def test_linearly_dependent_sources_are_told():
    u = np.tile(np.random.default_rng(0).standard_normal(9), (3, 1))
    status, out = np.zeros(1, dtype=np.int8), np.empty(3)
    scratch = np.empty((8, 3)), np.empty((3, 3)), np.empty((3, 3))
    arguments = np.array([1, 2]), np.array([0, 2]), u[None, :1], 1.0, np.empty(0)
    regression.presynaptic_ridge(u, *arguments, 0.0, *scratch, status, out, np.empty(1))
    assert status[0] == 1
    status[0] = 0
    regression.presynaptic_ridge(u, *arguments, 1.0, *scratch, status, out, np.empty(1))
    assert status[0] == 0
    np.testing.assert_allclose(out[0], out[1])


def test_colours_and_levels():
    rng = np.random.default_rng(8)
    edges = np.triu(rng.random((15, 15)) < 0.2, 1)
    edges = rng.permuted(edges, axis=1) & ~np.eye(15, dtype=bool)
    rows, columns = sparse.csr_array(edges), sparse.csr_array(edges.T)
    both = rows.indptr, rows.indices, columns.indptr, columns.indices
    conflicts = edges.sum(axis=0) + edges.sum(axis=1)
    colour, level = np.full(15, -1), np.full(15, -1)
    order = np.argsort(-conflicts, kind="stable")
    graph.greedy_colours(*both, order, np.full(conflicts.max() + 2, -1), colour)
    assert np.array_equal(colour, naive.greedy_colours(edges))
    order = rng.permutation(15)
    graph.sequential_levels(*both, order, level)
    assert np.array_equal(level, naive.sequential_levels(edges, order))


def test_node_map_adjoint():
    rng = np.random.default_rng(6)
    c = random_maps(rng, 2)
    u = np.tile(np.concatenate([probes()[18:], rng.normal(0, 2, 15)]), (3, 1))
    adj = rng.standard_normal((3, 2, u.shape[1]))  # (nodes, losses, trajectories)
    targets, own = np.array([2, 0]), 1
    delta, moments = np.empty((2, 2, u.shape[1])), np.empty((2, GRID.n_intervals + 2, 7))
    adjoint.node_map_adjoint(
        u, targets, GRID.low, GRID.spacing, GRID.table(c), adj, own, delta, moments
    )
    value, slope = (op.reshape(-1, GRID.n_intervals + 2, 7) for op in GRID.newton_operators[:2])
    for i, node in enumerate(targets):
        found = np.einsum("kbp,bp->k", value[:, :, :4], moments[i, :, :4])
        found -= np.einsum("kbp,bp->k", slope[:, :, :3], moments[i, :, 4:])
        for a in range(2):
            expected, gradient = naive.node_map_adjoint(GRID, c[i], u[node], adj[node, a])
            np.testing.assert_allclose(delta[i, a], expected, rtol=1e-6, atol=2e-4)
            if a == own:
                np.testing.assert_allclose(found, gradient, rtol=1e-8, atol=1e-6)


def test_transfer_adjoint():
    synapse = Synapse((-1.0, 0.0, 2.0), 1.7)
    rng = np.random.default_rng(7)
    u, sources = rng.standard_normal((3, 6)), np.array([2, 0])
    features = np.empty((8, 6))
    affine.transfer(u, sources, 0, 6, synapse.slope, np.array(synapse.thresholds), features)
    back, start = rng.standard_normal((8, 2, 6)), rng.standard_normal((3, 2, 6))
    out = start.copy()
    adjoint.transfer_adjoint(features, synapse.slope, sources, back, out)
    assert np.array_equal(out[1], start[1])
    for j, node in enumerate(sources):
        for a in range(2):
            for col in range(6):
                expected = naive.transfer_adjoint(synapse, u[node, col], list(back[j::2, a, col]))
                assert abs(out[node, a, col] - start[node, a, col] - expected) < 1e-12


def test_transposed_and_outer_sparse_products():
    rng = np.random.default_rng(8)
    matrix = sparse.random_array((6, 9), density=0.3, rng=rng, format="csr")
    delta, features = rng.standard_normal((6, 5)), rng.standard_normal((9, 5))
    out = np.ones((9, 5))
    adjoint.csr_transposed_product(matrix.indptr, matrix.indices, matrix.data, delta, out)
    np.testing.assert_allclose(out - 1, matrix.T @ delta, rtol=1e-13, atol=1e-14)
    data = np.empty(matrix.nnz)
    adjoint.csr_outer(matrix.indptr, matrix.indices, delta, features, data)
    row, column = matrix.nonzero()
    np.testing.assert_allclose(data, (delta @ features.T)[row, column], rtol=1e-13, atol=1e-14)


def test_adam_step():
    rng = np.random.default_rng(9)
    state = [rng.standard_normal(7), rng.random(7), rng.standard_normal(7), rng.standard_normal(7)]
    for count in (1, 2, 30):
        gradient = rng.standard_normal(7)
        numbers = (gradient, 0.01, 0.02, count, 0.9, 1.0)
        expected = naive.adam_step(*numbers, *state)
        adam.adam_step(*numbers, *state)
        for a, b in zip(state, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)


def test_bounded_step_and_replay():
    """Inside, far out, and at the knots; alone and with the error of later steps."""
    rng = np.random.default_rng(6)
    grid, dt = SplineGrid(-0.5, 0.5, 5), 0.1
    shape, barrier = rng.normal(0, 2, (2, 6)), np.array([0.3, 1.3])
    table = grid.table(shape)
    drive = np.array([np.linspace(-0.2, 1.2, 9)] * 2)
    potential, denominator = np.zeros((2, 9)), np.empty((2, 9))
    bounded.bounded_step(drive, barrier, table, dt, potential, denominator)
    post = rng.standard_normal((2, 9))
    later, gradient, moments = post.copy(), np.zeros(2), np.zeros((2, 5, 2, 4))
    bounded.bounded_replay(
        potential, denominator, barrier, table, dt, post, gradient, moments
    )  # fmt: skip
    found = moments[:, :, 0, 0].sum(axis=1)
    slopes = np.einsum("isp,skp->ik", moments[:, :, 0], grid.value_basis)
    slopes += np.einsum("isp,skp->ik", moments[:, :, 1, :3], grid.slope_basis)
    found = np.column_stack([found, slopes])
    for i in range(2):
        expected, of_barrier = np.zeros(6), 0.0
        for c in range(9):
            a = naive.bounded_step(grid, shape[i], barrier[i], dt, drive[i, c])
            np.testing.assert_allclose(1 / (1 + np.exp(-potential[i, c])), a, rtol=1e-10)
            slope = naive.bounded_slope(grid, shape[i], barrier[i], dt, a)
            np.testing.assert_allclose(a * (1 - a) / denominator[i, c], slope, rtol=1e-7)
            # The own loss is -log of the slope; its derivative by the drive, by differences.
            h, losses = 1e-5, []
            for x in (drive[i, c] + h, drive[i, c] - h):
                moved = naive.bounded_step(grid, shape[i], barrier[i], dt, x)
                losses.append(-np.log(naive.bounded_slope(grid, shape[i], barrier[i], dt, moved)))
            error = later[i, c] * slope + (losses[0] - losses[1]) / (2 * h)
            np.testing.assert_allclose(post[i, c], error, rtol=1e-5, atol=1e-7)
            for k in range(6):
                unit = np.eye(6)[k]
                value = naive.node_value(grid, unit, a - 0.5)
                expected[k] += dt * (error * value - slope * naive.node_slope(grid, unit, a - 0.5))
            of_barrier += dt * (-error * np.log(a / (1 - a)) + slope / (a * (1 - a)))
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(gradient[i], of_barrier, rtol=1e-5)
