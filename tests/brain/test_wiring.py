"""Connectivity builders: their statistics, their refusals, their pictures."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import sparse, stats

from neurolp.brain import wiring
from neurolp.brain.connectivity import Connectivity
from neurolp.errors import NetworkError
from neurolp.plotting.density import plot_connectivity

LINE = np.arange(40.0)[:, None]
BUILDERS = {
    "random p": lambda seed: wiring.random(60, probability=0.1, seed=seed),
    "random k": lambda seed: wiring.random(60, in_degree=5, seed=seed),
    "random dense k": lambda seed: wiring.random(60, in_degree=30, seed=seed),
    "small world": lambda seed: wiring.small_world(60, neighbours=6, rewiring=0.3, seed=seed),
    "distance p": lambda seed: wiring.distance_dependent(
        wiring.uniform_positions(60, 2, seed=3), length_scale=0.2, probability=0.5, seed=seed
    ),
    "distance k": lambda seed: wiring.distance_dependent(
        wiring.uniform_positions(60, 3, seed=3), length_scale=0.3, in_degree=7, seed=seed
    ),
    "distance line": lambda seed: wiring.distance_dependent(
        LINE, length_scale=2.0, in_degree=4, seed=seed
    ),
    "modular": lambda seed: wiring.modular(60, 4, p_within=0.4, p_between=0.02, seed=seed),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_seeds_decide_and_no_node_is_its_own_source(build):
    a, b, c = build(1), build(1), build(2)
    assert a.kind == "sparse"
    assert a.matrix.has_canonical_format
    assert (a.matrix != b.matrix).nnz == 0
    assert (a.matrix != c.matrix).nnz > 0
    assert not a.matrix.diagonal().any()
    target, source = a.edges()
    assert a.n_edges == len(target) == len(set(zip(target, source, strict=True)))


def presence(build, n_seeds):
    """How often each edge is there."""
    return sum(build(seed).matrix.toarray().astype(float) for seed in range(n_seeds)) / n_seeds


def assert_frequencies(found, probability, n_draws):
    """All frequencies within five standard errors, and unbiased over all (chi-square)."""
    off = ~np.eye(len(found), dtype=bool)
    p = np.broadcast_to(probability, found.shape)[off]
    z = (found[off] - p) / np.sqrt(np.maximum(p * (1 - p), 1e-300) / n_draws)
    assert np.all(found[off][p == 0] == 0)
    z = z[(p > 0) & (p < 1)]
    assert np.abs(z).max() < 5
    assert stats.chi2.sf((z**2).sum(), len(z)) > 1e-4


@pytest.mark.parametrize(("n", "p"), [(2, 0.3), (9, 0.05), (9, 0.9)])
def test_every_edge_of_a_random_network_has_its_probability(n, p):
    draws = 2000
    found = presence(lambda seed: wiring.random(n, probability=p, seed=seed), draws)
    assert_frequencies(found, p, draws)


@pytest.mark.parametrize("degree", [0, 1, 2, 7, 8])
def test_in_degrees_are_as_asked_and_sources_uniform(degree):
    draws, n = 1500, 9
    one = wiring.random(n, in_degree=degree, seed=0)
    assert np.all(one.matrix.sum(axis=1) == degree)
    found = presence(lambda seed: wiring.random(n, in_degree=degree, seed=seed), draws)
    # Correlated within a row, so only the single frequencies are compared.
    p, off = degree / (n - 1), ~np.eye(n, dtype=bool)
    assert np.abs(found[off] - p).max() <= 5 * np.sqrt(p * (1 - p) / draws)


def test_modules_have_their_two_probabilities():
    draws, first = 1500, [0, 3, 6, 10]
    found = presence(
        lambda seed: wiring.modular(10, 3, p_within=0.7, p_between=0.1, seed=seed), draws
    )
    module = np.repeat(np.arange(3), np.diff(first))
    same = module[:, None] == module
    assert_frequencies(found, np.where(same, 0.7, 0.1), draws)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_distance_decides_with_a_gaussian_profile(dimensions):
    draws = 600 // dimensions**2
    where = wiring.uniform_positions(14, dimensions, seed=1)
    where[0] += 3.0  # far from all others, in a cell of its own
    found = presence(
        lambda seed: wiring.distance_dependent(
            where, length_scale=0.25, probability=0.6, seed=seed
        ),
        draws,
    )
    square = ((where[:, None] - where) ** 2).sum(axis=2) / 0.25**2
    expected = np.where(square <= 25, 0.6 * np.exp(-square / 2), 0.0)
    # Hardly ever there: the normal approximation of the count does not hold.
    expected_often = np.where(expected > 0.1, expected, 0.0)
    assert_frequencies(np.where(expected > 0.1, found, 0.0), expected_often, draws)
    assert np.all(found[expected == 0] == 0)


def test_weighted_in_degree_is_sampling_without_replacement():
    """Against NumPy's own successive sampling, on a line of five nodes, two sources each."""
    where, draws = np.array([[0.0], [0.4], [1.0], [1.1], [2.5]]), 1500
    found = presence(
        lambda seed: wiring.distance_dependent(where, length_scale=1.0, in_degree=2, seed=seed),
        draws,
    )
    weight = np.exp(-0.5 * (where - where.T) ** 2)
    np.fill_diagonal(weight, 0)
    p = weight / weight.sum(axis=1, keepdims=True)
    for i in range(5):  # first drawn, or drawn after any other
        second = [
            sum(p[i, k] * p[i, j] / (1 - p[i, k]) for k in range(5) if k != j) for j in range(5)
        ]
        expected = p[i] + np.where(p[i] > 0, second, 0)
        error = np.sqrt(expected * (1 - expected) / draws)
        assert np.all(np.abs(found[i] - expected) <= 5 * error + 1e-12)


def test_small_worlds():
    ring = wiring.small_world(12, neighbours=4, rewiring=0.0, seed=1).matrix.toarray()
    gap = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    assert np.array_equal(ring, (np.minimum(gap, 12 - gap) <= 2) & (gap > 0))
    for rewiring in (0.1, 1.0):
        world = wiring.small_world(300, neighbours=6, rewiring=rewiring, seed=1).matrix
        assert world.nnz == 1800
        assert (world != world.T).nnz == 0
        kept = (
            wiring.small_world(300, neighbours=6, rewiring=0.0, seed=1).matrix.multiply(world).nnz
        )
        share = (1 - rewiring) + rewiring * 6 / 300
        assert abs(kept / 1800 - share) < 5 * np.sqrt(share * (1 - share) / 900)
    # Nearly complete: some nodes find no free partner, and keep their edge.
    for seed in range(20):
        assert wiring.small_world(5, neighbours=4, rewiring=1.0, seed=seed).n_edges == 20
        assert wiring.small_world(5, neighbours=2, rewiring=1.0, seed=seed).n_edges == 10


def test_a_matrix_with_duplicate_and_zero_entries_is_read_and_left_as_it_is():
    for values in (np.array([0.5, 0.25, 0.0]), np.array([True, True, False])):
        given = sparse.csr_array((values, [1, 1, 2], [0, 2, 3, 3]), shape=(3, 3))
        before = [a.copy() for a in (given.data, given.indices, given.indptr)]
        connectivity = Connectivity.from_array(given)
        if values.dtype == np.float64:  # a weight of 0 that is stored is an edge
            assert connectivity.weights.data.tolist() == [0.75, 0.0]
            assert [k.tolist() for k in connectivity.edges()] == [[0, 1], [1, 2]]
            assert connectivity.n_edges == 2
        else:
            assert [k.tolist() for k in connectivity.edges()] == [[0], [1]]
        for now, then in zip((given.data, given.indices, given.indptr), before, strict=True):
            np.testing.assert_array_equal(now, then)


def test_many_nodes_need_no_square_matrix():
    """100,000 nodes: an n x n boolean matrix would be 10 GB."""
    n = 100_000
    where = wiring.uniform_positions(n, 2, seed=1)
    for c in (
        wiring.random(n, in_degree=5, seed=1),
        wiring.modular(n, 1000, p_within=0.05, p_between=1e-6, seed=1),
        wiring.small_world(n, neighbours=4, rewiring=0.1, seed=1),
        wiring.distance_dependent(where, length_scale=0.005, in_degree=5, seed=1),
    ):
        assert abs(c.n_edges / n - 5) < 1.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wiring.random(5, seed=1), "exactly one of `probability` and `in_degree`, but got neither"),
        (lambda: wiring.random(5, probability=0.1, in_degree=1, seed=1), "got both"),
        (lambda: wiring.random(5, probability=1.1, seed=1), r"`probability` must lie in \[0, 1\], but is 1.1"),
        (lambda: wiring.random(5, in_degree=5, seed=1), r"`in_degree` must be an integer in \[0, 4\], but is 5"),
        (lambda: wiring.random(0, in_degree=0, seed=1), "`n_nodes` must be an integer >= 1"),
        (lambda: wiring.random(5, in_degree=1, seed=None), "`seed` must be an integer >= 0, but is None"),
        (lambda: wiring.small_world(9, neighbours=3, rewiring=0, seed=1), "`neighbours` must be even, but is 3"),
        (lambda: wiring.small_world(4, neighbours=4, rewiring=0, seed=1), "`neighbours` must be an integer in"),
        (lambda: wiring.modular(4, 5, p_within=0, p_between=0, seed=1), "`n_modules` must be an integer in"),
        (lambda: wiring.uniform_positions(4, 4, seed=1), "`dimensions` must be an integer in"),
        (lambda: wiring.distance_dependent(np.zeros(3), length_scale=1, probability=1, seed=1), "`positions` must have shape"),
        (lambda: wiring.distance_dependent([[np.nan]], length_scale=1, probability=1, seed=1), "`positions` must be finite"),
        (lambda: wiring.distance_dependent(LINE, length_scale=0, probability=1, seed=1), "`length_scale` must be positive"),
        (lambda: wiring.distance_dependent(LINE, length_scale=0.5, in_degree=5, seed=1), "is 5 and node 0 has only 2"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_line(call, message):
    with pytest.raises(NetworkError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def drawn(connectivity):
    figure = Figure()
    n_panels = 2 if connectivity.positions is None else 3
    plot_connectivity(connectivity, figure.subplots(1, n_panels))
    return figure


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_every_connectivity_has_a_figure(build, tmp_path):
    connectivity = build(1)
    figure = drawn(connectivity)
    assert len(figure.axes) == (2 if connectivity.positions is None else 3)
    figure.savefig(tmp_path / "picture.png")
    # The picture of the edges holds as many as there are.
    assert figure.axes[0].images[0].get_array().filled(0).sum() == connectivity.n_edges


def test_figures_of_full_dense_and_large_networks(tmp_path):
    edges = np.roll(np.eye(5, dtype=bool), 1, axis=0)
    for connectivity in (
        Connectivity.full(6),
        Connectivity.from_array(edges),
        Connectivity.from_array(sparse.csr_array((3, 3), dtype=bool)),
        wiring.random(1000, in_degree=3, seed=1),
    ):
        figure = drawn(connectivity)
        figure.savefig(tmp_path / "picture.png")
        assert figure.axes[0].images[0].get_array().filled(0).sum() == connectivity.n_edges


def test_a_connectivity_is_shown_in_one_line():
    given = sparse.csr_array(([0.5, 0.0], ([0, 1], [1, 2])), shape=(3, 3))
    assert repr(Connectivity.from_array(given)) == "<Connectivity: 3 nodes, 2 edges, weights>"
    names = tuple(f"n{k}" for k in range(2000))
    named = Connectivity.from_edges(np.arange(1999), np.arange(1, 2000), 2000, names=names)
    assert repr(named) == "<Connectivity: 2,000 nodes ('n0' .. 'n1999'), 1,999 edges>"
    laid_out = Connectivity.from_array(~np.eye(2, dtype=bool), positions=np.zeros((2, 1)))
    assert repr(laid_out) == "<Connectivity: 2 nodes, 2 edges, positions>"
    assert repr(Connectivity.full(30)) == "<Connectivity: 30 nodes, 870 edges>"
