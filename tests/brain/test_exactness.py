"""The laws of the sequential scheme: determinant, inverse, normalisation, for random networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurolp.brain.base_density import base_density
from neurolp.brain.evolution import evolve, rewind
from neurolp.brain.network import Slice
from neurolp.errors import NetworkError
from tests import naive
from tests.networks import random_network

networks = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**20),
        "n_nodes": st.integers(1, 7),
        "update_order": st.sampled_from(["random_halves", "sequential", "coloring"]),
        "kind": st.sampled_from(["full", "dense", "sparse"]),
        "base": st.sampled_from(["normal", "logistic"]),
        "log_scale": st.booleans(),
        "rotation": st.booleans(),
        "thresholds": st.sampled_from([(), (0.0,), (-1.0, 0.5)]),
    }
)


def brute_force_log_det(network, u):
    """log |det| of the Jacobian of the *naive* map by central differences with Richardson."""

    def jacobian(h):
        columns = []
        for j in range(len(u)):
            step = np.zeros(len(u))
            step[j] = h
            difference = naive.evolve(network, u + step)[0] - naive.evolve(network, u - step)[0]
            columns.append(difference / (2 * h))
        return np.array(columns).T

    h = 1e-3
    a, b, c = jacobian(h), jacobian(h / 2), jacobian(h / 4)
    ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
    return np.linalg.slogdet((16 * bc - ab) / 15)


@given(networks, st.integers(0, 2**20))
def test_kernels_agree_with_the_naive_oracle(kind, seed):
    network = random_network(**kind)
    u = 2 * np.random.default_rng(seed).standard_normal((network.n_nodes, 3))
    end, log_det = evolve(network, u)
    for c in range(u.shape[1]):
        expected, expected_log_det = naive.evolve(network, u[:, c])
        np.testing.assert_allclose(end[:, c], expected, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(log_det[c], expected_log_det, rtol=1e-11, atol=1e-11)


@given(networks, st.integers(0, 2**20))
def test_rewind_undoes_evolve_far_into_the_tails(kind, seed):
    network = random_network(**kind)
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((network.n_nodes, 40)) * 10.0 ** rng.uniform(-3, 4, 40)
    end, _ = evolve(network, u)
    # Relative to the largest potential of the trajectory: a huge one rounds its neighbours' input.
    error = np.abs(rewind(network, end) - u) / np.maximum(1.0, np.abs(u).max(axis=0))
    assert error.max() < 1e-9


@given(networks, st.integers(0, 2**20))
def test_potentials_at_knots_and_beyond_go_back_and_forth(kind, seed):
    network = random_network(**kind)
    grid = network.grid
    knots = grid.low + grid.spacing * np.arange(grid.n_intervals + 1)
    u = np.random.default_rng(seed).permutation(np.tile(knots, (network.n_nodes, 1)), axis=1)
    assert np.abs(rewind(network, evolve(network, u)[0]) - u).max() < 1e-9


@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
@pytest.mark.parametrize("groups", ["random_halves", "sequential", "coloring"])
@pytest.mark.parametrize("n_nodes", [1, 2, 5, 12, 40])
@pytest.mark.parametrize("rotation", [False, True])
def test_log_det_is_that_of_the_jacobian(rotation, n_nodes, groups, kind):
    """Against the determinant of the full Jacobian, which knows nothing of triangular updates."""
    strength = 0.3 / np.sqrt(n_nodes)
    network = random_network(
        3, n_nodes, update_order=groups, kind=kind, strength=strength, rotation=rotation
    )
    rng = np.random.default_rng(1)
    for scale in (1.0, 30.0):  # the second far out in the tails
        u = scale * rng.standard_normal((n_nodes, 1))
        _, log_det = evolve(network, u)
        _, expected = np.linalg.slogdet(dual_jacobian(network, u[:, 0]))
        assert abs(log_det[0] - expected) <= 1e-9 * max(1.0, abs(expected))


def dual_jacobian(network, u):
    """Brute force: the full n x n Jacobian of the naive equations by the chain rule.

    Every row of the Jacobian is updated from all the others; nothing uses the triangular structure.
    """
    u = np.array(u)
    jacobian = np.eye(len(u))
    for slice_ in network.slices:
        if slice_.rotation is not None:
            u, jacobian = slice_.rotation @ u, slice_.rotation @ jacobian
        for group in slice_.groups:
            f, df = _features(network.synapse, u[group.sources])
            weights, gains = naive._dense(group.weights), None
            if network.log_scale:
                gains = naive._dense(group.log_scale_weights)
            new_u, new_jacobian = u.copy(), jacobian.copy()
            s = len(group.sources)
            df_dx = df[:, None] * np.tile(jacobian[group.sources], (network.synapse.n_transfer, 1))
            for i, node in enumerate(group.targets):
                if group.sequential:
                    f, df = _features(network.synapse, new_u[group.sources])
                    rows = new_jacobian[group.sources]
                    df_dx = df[:, None] * np.tile(rows, (network.synapse.n_transfer, 1))
                shift, d_shift = weights[i] @ f + group.bias[i], weights[i] @ df_dx
                gain, d_gain = 0.0, np.zeros(len(u))
                if gains is not None:
                    gain = gains[i] @ f[s:] + group.log_scale_bias[i]
                    d_gain = gains[i] @ df_dx[s:]
                v = np.exp(gain) * u[node] + shift
                d_v = np.exp(gain) * (jacobian[node] + u[node] * d_gain) + d_shift
                new_u[node] = naive.node_value(network.grid, group.node_map[i], v)
                new_jacobian[node] = naive.node_slope(network.grid, group.node_map[i], v) * d_v
            u, jacobian = new_u, new_jacobian
    return jacobian


def _features(synapse, u):
    rows, slopes = [u], [np.ones_like(u)]
    for theta in synapse.thresholds:
        t = np.tanh(synapse.slope * (u - theta))
        rows.append(t)
        slopes.append(synapse.slope * (1 - t * t))
    return np.concatenate(rows), np.concatenate(slopes)


def test_the_dual_jacobian_is_that_of_finite_differences():
    """The brute force itself is checked against differences of the naive map alone."""
    network = random_network(5, 4)
    u = np.array([0.31, -0.72, 1.13, 0.05])
    sign, expected = brute_force_log_det(network, u)
    assert sign == 1
    assert abs(np.linalg.slogdet(dual_jacobian(network, u))[1] - expected) < 1e-6


def density(network, points):
    u, log_det = evolve(network, points)
    return np.exp(log_det - base_density(network.base).energy(u).sum(axis=0))


@pytest.mark.parametrize("base", ["normal", "logistic"])
@pytest.mark.parametrize("seed", range(5))
def test_one_dimensional_density_integrates_to_one(seed, base):
    network = random_network(seed, 1, n_slices=6, base=base)
    # From the quantile of 1e-9 to that of 1 - 1e-9, found by rewinding: all the mass but 2e-9.
    a = base_density(base).potential(np.array([1e-9, 1 - 1e-9]))
    low, high = rewind(network, a[None, :])[0]
    x = np.linspace(low, high, 400_001)
    assert abs(np.trapezoid(density(network, x[None, :]), x) - 1) < 1e-6


@pytest.mark.parametrize("base", ["normal", "logistic"])
@pytest.mark.parametrize("groups", ["random_halves", "sequential"])
@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
def test_two_dimensional_density_integrates_to_one(kind, groups, base):
    rotation = kind == "full"
    network = random_network(11, 2, update_order=groups, kind=kind, base=base, rotation=rotation)
    # The box holds the images of the boundary of a box of potentials that leaves 4e-9 outside.
    edge = base_density(base).potential(np.array(1e-9))
    ring = np.linspace(edge, -edge, 2001)
    sides = [(ring, edge), (ring, -edge), (edge, ring), (-edge, ring)]
    boundary = np.concatenate([np.stack(np.broadcast_arrays(*s)) for s in sides], axis=1)
    corners = rewind(network, boundary)
    # x = centre + sinh(t), t uniform: dense in the middle, wide in the tails; trapezoidal in t,
    # with nothing at the ends, where the density has vanished.
    centre = rewind(network, np.zeros((2, 1)))[:, 0]
    t = [
        np.linspace(np.arcsinh(x.min() - m), np.arcsinh(x.max() - m), 3000)
        for x, m in zip(corners, centre, strict=True)
    ]
    x, y = (m + np.sinh(k) for k, m in zip(t, centre, strict=True))
    dx, dy = (np.cosh(k) * (k[1] - k[0]) for k in t)
    integral = 0.0
    for rows, widths in zip(np.array_split(y, 30), np.array_split(dy, 30), strict=True):
        points = np.stack(np.meshgrid(x, rows)).reshape(2, -1)
        integral += widths @ density(network, points).reshape(len(rows), -1) @ dx
    assert abs(integral - 1) < 1e-6


@pytest.mark.parametrize("n_nodes", [3, 8])
def test_mass_in_many_dimensions_by_importance_sampling(n_nodes):
    """E_q[Phi / q] = 1 with q a wide Gaussian about the dreams: an unbiased check beyond two."""
    network = random_network(4, n_nodes, n_slices=2, strength=0.05, log_scale=True)
    rng = np.random.default_rng(0)
    dreams = rewind(network, rng.standard_normal((n_nodes, 20_000)))
    mean, spread = dreams.mean(axis=1, keepdims=True), np.cov(dreams).reshape(n_nodes, n_nodes)
    factor = np.linalg.cholesky(1.3 * spread)
    z = rng.standard_normal((n_nodes, 400_000))
    log_q = -0.5 * (z * z).sum(axis=0) - 0.5 * n_nodes * np.log(2 * np.pi)
    log_q -= np.log(np.diagonal(factor)).sum()
    ratio = density(network, mean + factor @ z) / np.exp(log_q)
    error = ratio.std() / np.sqrt(ratio.size)
    assert error < 0.05
    assert abs(ratio.mean() - 1) < 4 * error


@pytest.mark.parametrize("kind", ["full", "sparse"])
def test_float32_stays_close_to_float64(kind):
    exact = random_network(2, 6, kind=kind, strength=0.2)
    single = random_network(2, 6, kind=kind, strength=0.2, dtype=np.float32)
    u = np.random.default_rng(0).standard_normal((6, 200))
    (a, log_a), (b, log_b) = evolve(exact, u), evolve(single, u)
    assert b.dtype == np.float32
    assert log_b.dtype == np.float64
    np.testing.assert_allclose(a, b, atol=2e-4)
    np.testing.assert_allclose(log_a, log_b, atol=2e-4)
    assert np.abs(rewind(single, b) - u).max() < 1e-3


def test_full_equals_sparse_with_all_edges():
    full = random_network(8, 5, kind="full")
    from scipy import sparse

    from neurolp.brain.connectivity import Connectivity
    from neurolp.brain.network import Network, Slice

    edges = sparse.csr_array(~np.eye(5, dtype=bool))
    twin = Network(
        Connectivity.from_array(edges),
        full.base,
        full.synapse,
        full.log_scale,
        full.grid,
        full.dtype,
    )
    for slice_ in full.slices:
        twin.slices.append(
            Slice(
                tuple(
                    twin.update(
                        g.targets,
                        g.sources,
                        sparse.csr_array(g.weights),
                        g.bias,
                        sparse.csr_array(g.log_scale_weights),
                        g.log_scale_bias,
                        g.node_map,
                    )
                    for g in slice_.groups
                )
            )
        )
    u = np.random.default_rng(0).standard_normal((5, 50))
    for a, b in zip(evolve(full, u), evolve(twin, u), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_any_number_of_threads_gives_the_same_bits():
    network = random_network(1, 20)
    u = np.random.default_rng(0).standard_normal((20, 9000))
    one, two, three = (evolve(network, u, n_threads=k) for k in (1, 2, 3))
    for a, b, c in zip(one, two, three, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_relabelling_nodes_relabels_the_result():
    network = random_network(6, 5)
    order = np.array([3, 0, 4, 1, 2])
    where = np.argsort(order)
    from neurolp.brain.network import GroupUpdate, Network, Slice

    twin = Network(
        network.connectivity, network.base, network.synapse, network.log_scale, network.grid
    )
    for slice_ in network.slices:
        twin.slices.append(
            Slice(
                tuple(
                    GroupUpdate(
                        where[g.targets],
                        where[g.sources],
                        g.weights,
                        g.bias,
                        g.log_scale_weights,
                        g.log_scale_bias,
                        g.node_map,
                        g.grid,
                        g.sequential,
                    )
                    for g in slice_.groups
                )
            )
        )
    u = np.random.default_rng(0).standard_normal((5, 20))
    end, log_det = evolve(network, u)
    twin_end, twin_log_det = evolve(twin, u[order])
    np.testing.assert_allclose(twin_end, end[order], rtol=1e-13)
    np.testing.assert_allclose(twin_log_det, log_det, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("log_scale", [True, False])
@pytest.mark.parametrize("kind", ["full", "dense"])
@pytest.mark.parametrize("n_nodes", [2, 16, 17, 50])
def test_a_sequential_group_is_its_nodes_one_by_one(n_nodes, kind, log_scale):
    """Chunks, matrix products and recursions against n groups of one, forward and back."""
    strength = 0.3 / np.sqrt(n_nodes)
    network = random_network(
        7,
        n_nodes,
        update_order="sequential",
        kind=kind,
        log_scale=log_scale,
        strength=strength,
        thresholds=(0.0, 1.0),
    )
    twin = replace(network, slices=[])
    for slice_ in network.slices:
        assert [g.sequential for g in slice_.groups] == [True]
        single = [one for g in slice_.groups for one in g.one_by_one()]
        assert [len(g.targets) for g in single] == [1] * n_nodes
        twin.slices.append(Slice(tuple(single)))
    u = 1.5 * np.random.default_rng(0).standard_normal((n_nodes, 30))
    for a, b in zip(evolve(network, u), evolve(twin, u), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
    end, log_det = evolve(network, u)
    assert np.abs(rewind(network, end) - u).max() < 1e-9
    np.testing.assert_allclose(rewind(network, end), rewind(twin, end), rtol=1e-10, atol=1e-10)
    sign, expected = np.linalg.slogdet(dual_jacobian(network, u[:, 0]))
    assert sign == 1
    assert abs(log_det[0] - expected) < 1e-10 * max(1, abs(expected))


def test_a_sequential_group_has_no_weights_on_self_edges():
    network = random_network(1, 4, update_order="sequential")
    g = network.slices[0].groups[0]
    parts = (
        g.targets,
        g.sources,
        np.ones_like(g.weights),
        g.bias,
        g.log_scale_weights,
        g.log_scale_bias,
    )
    with pytest.raises(NetworkError, match="zero on self-edges"):
        network.update(*parts, g.node_map, sequential=True)
    with pytest.raises(NetworkError, match="must lie outside it"):
        network.update(*parts, g.node_map)
