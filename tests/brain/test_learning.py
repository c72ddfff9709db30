"""The local rule: its gradients, its convexity, its locality, its determinism."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from neurolp import BrainDensity
from neurolp.brain.base_density import base_density
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.evolution import evolve
from neurolp.brain.network import Network, Synapse
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.affine import affine_step, regression_sums
from neurolp.brain.rules.greedy import GreedyRule, learn_slice
from neurolp.brain.rules.rule import LocalView
from neurolp.brain.update_order import random_rotation
from neurolp.brain.workers import Workers, column_blocks
from tests import naive

BASES = ["normal", "logistic"]


def network(n_nodes, base="normal", thresholds=(-1.0, 0.5), log_scale=True, connectivity=None):
    return Network(
        connectivity or Connectivity.full(n_nodes),
        base,
        Synapse(thresholds, 1.5),
        log_scale,
        SplineGrid(-3.0, 3.0, 6),
    )


def correlated(n_nodes, n_rows, seed=0):
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((n_nodes, n_nodes)) @ rng.standard_t(5, (n_nodes, n_rows))
    return (u - u.mean(axis=1, keepdims=True)) / u.std(axis=1, keepdims=True)


def learn(net, rule, groups, u, n_threads=1, rotation=None):
    u, log_det = u.copy(), np.zeros(u.shape[1])
    with Workers(n_threads) as workers:
        slice_, loss = learn_slice(net, rule, groups, rotation, u, log_det, workers)
    return slice_, loss, u, log_det


@pytest.mark.parametrize("base", BASES)
def test_node_map_step_is_the_newton_step_of_the_naive_loss(base):
    """Gradient and Hessian of the mean local loss by central differences of the naive equations."""
    net = network(1, base)
    grid, density = net.grid, base_density(base)
    v = 1.3 * np.random.default_rng(1).standard_normal(60)
    v[:2] = -4.5, 5.0  # both tails
    k, h = grid.n_coefficients, 1e-4
    identity = grid.identity(1)[0]

    def loss(step):
        return naive.node_map_loss(density, grid, identity + step, v)

    e = np.eye(k) * h
    gradient = np.array([(loss(e[i]) - loss(-e[i])) / (2 * h) for i in range(k)])
    hessian = np.array(
        [
            [
                (loss(e[i] + e[j]) - loss(e[i] - e[j]) - loss(e[j] - e[i]) + loss(-e[i] - e[j]))
                / (4 * h * h)
                for j in range(k)
            ]
            for i in range(k)
        ]
    )
    ridge = 3.0
    expected = -np.linalg.solve(hessian + ridge * k / len(v) * np.eye(k), gradient)
    step = (replace(grid, ridge=ridge).learn(v[None], density, 0.01)[0] - identity) / 0.01
    np.testing.assert_allclose(step, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("base", BASES)
def test_coupling_gradients_against_finite_differences(base):
    """Shift: E[E(u + w f)]. Gain: E[E(exp(w f) u) - w f]. Both at w = 0."""
    density = base_density(base)
    rng = np.random.default_rng(2)
    f, u = rng.standard_normal((3, 200)), rng.standard_normal((1, 200))
    products, curvatures = regression_sums(density, f, u)
    h = 1e-5

    def shift_loss(w):
        return density.energy(u[0] + w @ f).sum()

    def gain_loss(w):
        return (density.energy(np.exp(w @ f) * u[0]) - w @ f).sum()

    for loss, column in ((shift_loss, 3), (gain_loss, 4)):
        gradient = [(loss(h * e) - loss(-h * e)) / (2 * h) for e in np.eye(3)]
        np.testing.assert_allclose(products[:, column], gradient, rtol=1e-7, atol=1e-7)
    # Curvature along a constant feature: the second derivative itself.
    h = 1e-4
    for k, loss in enumerate(
        (
            lambda w: density.energy(u[0] + w).sum(),
            lambda w: (density.energy(np.exp(w) * u[0]) - w).sum(),
        )
    ):
        second = (loss(h) - 2 * loss(0.0) + loss(-h)) / h**2
        np.testing.assert_allclose(curvatures[k, 0], second, rtol=1e-5)


def test_coupling_with_a_normal_base_is_ridge_regression():
    net = network(4, thresholds=(), log_scale=False)
    u = correlated(4, 300)
    rule = GreedyRule(shift_rate=1.0, node_rate=0.0, shift_ridge=7.0)
    targets, sources = np.array([0, 2]), np.array([1, 3])
    slice_, _, _, _ = learn(net, rule, [targets, sources], u)
    ridge = Ridge(alpha=7.0 * 3).fit(u[sources].T, u[targets].T)
    # Weights are numbers of single precision.
    np.testing.assert_allclose(slice_.groups[0].weights, -ridge.coef_, rtol=1e-7)
    np.testing.assert_allclose(slice_.groups[0].bias, -ridge.intercept_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("log_scale", [True, False])
@pytest.mark.parametrize("turn", [True, False])
def test_local_losses_sum_to_the_change_of_surprise(base, log_scale, turn):
    net = network(6, base, log_scale=log_scale)
    u = correlated(6, 500)
    energy = net.base_density.energy
    rotation = random_rotation(6, np.random.default_rng(1)) if turn else None
    groups = [np.arange(3), np.arange(3, 6)]
    slice_, loss, end, log_det = learn(net, GreedyRule(), groups, u, rotation=rotation)
    change = (energy(end).sum(axis=0) - log_det - energy(u).sum(axis=0)).mean()
    assert abs(loss.sum() - change) < 1e-12
    assert change < 0 or turn
    # What was learned on the way is what evolution does.
    net.slices.append(slice_)
    again, log_det_again = evolve(net, u)
    np.testing.assert_allclose(again, end, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(log_det_again, log_det, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("log_scale", [True, False])
@pytest.mark.parametrize("partial", [True, False])
def test_the_sequential_group_learns_while_it_moves(base, log_scale, partial):
    """Losses sum to the change of surprise, evolution repeats it, for the one-by-one order."""
    edges = Connectivity.from_array(edges_of(3, 20)) if partial else None
    net = network(20, base, log_scale=log_scale, connectivity=edges)
    u = correlated(20, 6000)
    order = np.random.default_rng(0).permutation(20)
    slice_, loss, end, log_det = learn(net, GreedyRule(), list(order[:, None]), u)
    assert slice_.groups[0].sequential
    energy = net.base_density.energy
    change = (energy(end).sum(axis=0) - log_det - energy(u).sum(axis=0)).mean()
    assert abs(loss.sum() - change) < 1e-12
    assert change < 0
    net.slices.append(slice_)
    again, log_det_again = evolve(net, u)
    np.testing.assert_allclose(again, end, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(log_det_again, log_det, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("thresholds", [(), (-1.0, 0.5)])
def test_a_sequential_node_learns_what_it_would_alone(base, thresholds):
    """The partitioned inverse against a regression for each node on the features of the others."""
    net = network(6, base, thresholds=thresholds)
    u = correlated(6, 300)
    order = np.random.default_rng(1).permutation(6)
    settings = {"rate": 0.7, "ridge": 3.0}
    with Workers(1) as workers:
        together = affine_step(LocalView(net, order, np.arange(6), u, workers), **settings)
        for i, node in enumerate(order):
            others = np.delete(np.arange(6), node)
            alone = affine_step(LocalView(net, order[[i]], others, u, workers), **settings)
            for name in ("weights", "bias", "log_scale_weights", "log_scale_bias"):
                a, b = getattr(together, name), getattr(alone, name)
                if a.ndim == 1:
                    np.testing.assert_allclose(a[i], b[0], rtol=1e-9, atol=1e-12)
                else:
                    blocked = a[i].reshape(-1, 6)
                    assert np.all(blocked[:, node] == 0)
                    np.testing.assert_allclose(
                        blocked[:, others].ravel(), b[0], rtol=1e-9, atol=1e-12
                    )


@pytest.mark.parametrize("base", BASES)
def test_every_slice_lowers_the_training_surprise(base):
    u = correlated(8, 400)
    net = network(8, base)
    rng = np.random.default_rng(0)
    for k in range(30):
        order = rng.permutation(8)
        groups = [np.sort(order[:4]), np.sort(order[4:])] if k % 2 else list(order[:, None])
        _, loss, u, _ = learn(net, GreedyRule(), groups, u)
        assert loss.sum() < 0


def edges_of(seed, n):
    edges = np.random.default_rng(seed).random((n, n)) < 0.3
    np.fill_diagonal(edges, False)
    edges[0] = False  # a node that listens to nobody
    return edges


@pytest.mark.parametrize("groups", ["random_halves", "coloring"])
def test_absent_edges_stay_zero_and_sparse_equals_dense(groups):
    edges = edges_of(0, 7)
    X = correlated(7, 200).T
    settings = {"update_order": groups, "max_slices": 12, "patience": 100, "random_state": 0}
    dense = BrainDensity(connectivity=edges, **settings).fit(X)
    thin = BrainDensity(connectivity=sparse.coo_array(edges), **settings).fit(X)
    for slice_ in dense.network_.slices:
        for g in slice_.groups:
            for w in (g.weights, g.log_scale_weights):
                blocks = w.reshape(len(g.targets), -1, max(len(g.sources), 1))
                assert (
                    np.all(
                        blocks[
                            ~np.repeat(
                                edges[np.ix_(g.targets, g.sources)][:, None],
                                blocks.shape[1],
                                axis=1,
                            )
                        ]
                        == 0
                    )
                    if len(g.sources)
                    else True
                )
    assert any(np.any(g.weights != 0) for s in dense.network_.slices for g in s.groups)
    np.testing.assert_allclose(dense.score_samples(X), thin.score_samples(X), rtol=1e-9)
    stored = sum(g.weights.nnz for g in thin.network_.slices[0].groups)
    assert stored <= edges.sum() * dense.network_.synapse.n_transfer


def test_full_equals_sparse_with_all_edges():
    X = correlated(5, 150).T
    settings = {"max_slices": 10, "patience": 100, "random_state": 3, "head": "base"}
    full = BrainDensity(rotation=False, **settings).fit(X)
    thin = BrainDensity(connectivity=sparse.csr_array(~np.eye(5, dtype=bool)), **settings).fit(X)
    np.testing.assert_allclose(full.score_samples(X), thin.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
def test_one_seed_gives_the_same_bits_with_any_number_of_threads(kind):
    edges = edges_of(1, 6)
    connectivity = {"full": None, "dense": edges, "sparse": sparse.csr_array(edges)}[kind]
    X = correlated(6, 5400).T
    fits = [
        BrainDensity(
            connectivity=connectivity, max_slices=4, random_state=5, n_threads=threads
        ).fit(X)
        for threads in (1, 2, 3)
    ]
    scores = [brain.score_samples(X) for brain in fits]
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])
    for a, b in zip(fits[0].network_.slices, fits[1].network_.slices, strict=True):
        for g, h in zip(a.groups, b.groups, strict=True):
            assert np.array_equal(g.node_map, h.node_map)
    assert len(column_blocks(4320, 30)) > 1  # the work really was divided


def test_surprise_is_never_below_the_entropy_of_the_source():
    """A Gaussian of known entropy: the estimate must approach it from above."""
    rng = np.random.default_rng(0)
    factor = np.tril(rng.standard_normal((4, 4))) + 2 * np.eye(4)
    entropy = 2 * np.log(2 * np.pi * np.e) + np.log(np.diagonal(factor)).sum()
    X, fresh = ((factor @ rng.standard_normal((4, n))).T for n in (4000, 20_000))
    brain = BrainDensity(random_state=0).fit(X)
    # The same 20,000 points under the true density give the noise of the comparison.
    z = np.linalg.solve(factor, fresh.T)
    truth = -0.5 * (z * z).sum(axis=0) - 2 * np.log(2 * np.pi) - np.log(np.diagonal(factor)).sum()
    gap = truth - brain.score_samples(fresh)
    assert abs(-truth.mean() - entropy) < 0.05
    assert gap.mean() > 0
    assert gap.mean() < 0.05


def test_absurd_rates_cannot_break_monotonicity():
    """Full Newton steps without ridge on hostile data: the bounds hold, the density stays exact."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.standard_normal((50, 2)) * 1e-3, rng.standard_cauchy((20, 2)) * 50])
    brain = BrainDensity(
        node_rate=1.0,
        node_ridge=0.01,
        shift_ridge=0.1,
        shift_rate=0.5,
        random_state=0,
        max_slices=50,
    ).fit(X)
    slopes = np.concatenate([g.node_map[:, 1:] for s in brain.network_.slices for g in s.groups])
    assert slopes.min() >= 0.1 - 1e-12
    assert slopes.max() <= 10 + 1e-12
    potential, _ = brain.evolve(X)
    scale = np.abs(X).max(axis=1, keepdims=True)
    assert np.max(np.abs(brain.rewind(potential) - X) / np.maximum(scale, 1)) < 1e-8
