"""Online learning: the local signal is the replay of one slice, and what is learned is the truth."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolp.brain.connectivity import Connectivity
from neurolp.brain.evolution import evolve
from neurolp.brain.network import Network, Slice, Synapse, distinct_slices
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.local import Learner, OnlineRule, identity_slices, local_gradient
from neurolp.brain.rules.replay import mean_gradient
from neurolp.brain.update_order import ordered_partition
from neurolp.brain.workers import Workers
from tests.brain.test_replay import PARAMETERS, numbers
from tests.networks import gradient, random_network


@settings(max_examples=20)
@given(
    st.integers(0, 2**20),
    st.integers(1, 5),
    st.sampled_from(["full", "dense", "sparse"]),
    st.booleans(),
    st.sampled_from(["normal", "logistic"]),
)
def test_the_local_gradient_is_the_replay_of_one_update(seed, n_nodes, kind, gain, base):
    network = random_network(seed, n_nodes, n_slices=1, kind=kind, log_scale=gain, base=base)
    u = 1.5 * np.random.default_rng(seed).standard_normal((n_nodes, 9))
    expected, (end, _) = gradient(network, u, horizon=1), evolve(network, u)
    for g, group in enumerate(network.slices[0].groups):
        found = local_gradient(network, group, u, (2, 5)), local_gradient(network, group, u, (7, 2))
        first = local_gradient(network, group, u, (0, 2))
        found = mean_gradient([first, *found], 9)
        for name in PARAMETERS:
            np.testing.assert_allclose(
                numbers(getattr(found, name)),
                numbers(getattr(expected.groups[0][g], name)),
                rtol=1e-9,
                atol=1e-9,
            )
    np.testing.assert_allclose(u, end, rtol=1e-13)


def identity_network(
    n_nodes, n_slices, period, thresholds=(), log_scale=False, base="normal", seed=0
):
    """A brain that does nothing yet."""
    network = Network(
        Connectivity.full(n_nodes),
        base,
        Synapse(thresholds, 2.0),
        log_scale,
        SplineGrid(-3.5, 3.5, 14),
    )
    rng = np.random.default_rng(seed)
    partitions = [
        ordered_partition("random_halves", network.connectivity, rng) for _ in range(period)
    ]
    network.slices = identity_slices(network, partitions, n_slices)
    return network


def gaussian(n_nodes, seed=0):
    """Factor of a covariance with unit diagonal, and the entropy in nats."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((n_nodes, n_nodes)) + 2 * np.eye(n_nodes)
    factor /= np.sqrt((factor**2).sum(axis=1, keepdims=True))
    entropy = n_nodes / 2 * np.log(2 * np.pi * np.e) + np.linalg.slogdet(factor)[1]
    return factor, entropy


def surprise(network, u):
    end, log_det = evolve(network, u)
    return float(np.mean(network.base_density.energy(end).sum(axis=0) - log_det))


@pytest.mark.parametrize("signal", ["local", "final", "replay"])
@pytest.mark.parametrize("period", [1, 6])
def test_surprise_falls_to_the_entropy_of_the_source_and_not_below(signal, period):
    """Fresh Gaussian data at every step: what is left is the noise of the last steps."""
    n, steps = 4, 400
    factor, entropy = gaussian(n)
    rng = np.random.default_rng(1)
    fresh = factor @ rng.standard_normal((n, 40_000))
    # The same points under the true density take the noise out of the comparison.
    z = np.linalg.solve(factor, fresh)
    truth = 0.5 * (z * z).sum(axis=0).mean() + n / 2 * np.log(2 * np.pi)
    truth += np.linalg.slogdet(factor)[1]
    network = identity_network(n, 6, period)
    start = surprise(network, fresh) - truth
    rule = OnlineRule(signal, rate=0.01, node_rate=0.003, decay=0.0)
    learner = Learner(network, rule)
    with Workers(1) as workers:
        for k in range(steps):
            pace = 0.5 + 0.5 * np.cos(np.pi * k / steps)
            learner.step(factor @ rng.standard_normal((n, 100)), workers, pace=pace)
    gap = surprise(learner.averaged, fresh) - truth
    assert abs(truth - entropy) < 0.05
    assert gap > 0
    # Taught in every slice, a shared brain is known to stop short: each repetition of the same
    # parameters is asked to do all of the work.
    assert gap < (0.6 if signal == "local" and period == 1 else 0.1) * start


def test_at_the_end_of_time_a_linear_brain_whitens():
    """The fixed point of the final signal: nodes that meet in the last cycle end uncorrelated."""
    factor, _ = gaussian(5, seed=3)
    rng = np.random.default_rng(0)
    learner = Learner(
        identity_network(5, 4, 2), OnlineRule("final", rate=0.01, node_rate=0.003, decay=0.0)
    )
    with Workers(1) as workers:
        for k in range(1500):
            pace = 0.5 + 0.5 * np.cos(np.pi * k / 1500)
            learner.step(factor @ rng.standard_normal((5, 200)), workers, pace=pace)
    end, _ = evolve(learner.averaged, factor @ rng.standard_normal((5, 100_000)))
    meet = np.eye(5, dtype=bool)  # a node meets itself in its node map
    for slice_ in learner.network.slices:
        for group in slice_.groups:
            meet[np.ix_(group.targets, group.sources)] = True
    assert meet.sum() > 15
    assert np.abs((factor @ factor.T - np.eye(5))[meet]).max() > 0.5
    assert np.abs((np.cov(end) - np.eye(5))[meet]).max() < 0.03


@pytest.mark.parametrize("signal", ["local", "final", "replay"])
def test_what_is_shared_stays_shared_and_the_given_network_stays_as_it_was(signal):
    network = random_network(1, 4, n_slices=1, strength=0.1)
    network.slices *= 3
    before = network.slices[0].groups[0].weights.copy()
    learner = Learner(network, OnlineRule(signal))
    with Workers(1) as workers:
        learner.step(np.random.default_rng(0).standard_normal((4, 20)), workers)
    for net in (learner.network, learner.averaged):
        assert distinct_slices(net)[1] == [0, 0, 0]
        assert not np.array_equal(net.slices[0].groups[0].weights, before)
    assert np.array_equal(network.slices[0].groups[0].weights, before)


@pytest.mark.parametrize("signal", ["local", "final", "replay"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_absurd_rates_break_neither_monotonicity_nor_connectivity(signal, kind):
    network = random_network(2, 5, n_slices=2, kind=kind, strength=0.1)
    rule = OnlineRule(signal, rate=0.01, node_rate=5.0)
    learner = Learner(network, rule)
    rng = np.random.default_rng(0)
    with Workers(1) as workers:
        for _ in range(20):
            learner.step(rng.standard_normal((5, 1)), workers)
    for net in (learner.network, learner.averaged):
        for slice_ in net.slices:
            for g in slice_.groups:
                assert g.node_map[:, 1:].min() >= 0.1 - 1e-12
                assert g.node_map[:, 1:].max() <= 10 + 1e-12
                net.update(g.targets, g.sources, g.weights, g.bias, g.log_scale_weights, g.log_scale_bias,
                           g.node_map)  # raises where a weight sits on an absent edge  # fmt: skip


@pytest.mark.parametrize("signal", ["local", "final", "replay"])
def test_any_number_of_threads_gives_the_same_bits(signal):
    ends = []
    u = np.random.default_rng(0).standard_normal((20, 9000))
    for n_threads in (1, 3):
        learner = Learner(random_network(1, 20, strength=0.05), OnlineRule(signal))
        with Workers(n_threads) as workers:
            learner.step(u, workers)
        ends.append(learner.averaged.slices[0].groups[0].weights)
    assert np.array_equal(*ends)


def test_half_a_horizon_lies_between():
    """The parameters a replay of two slices moves to are neither those of one nor of all."""
    u = np.random.default_rng(0).standard_normal((4, 50))
    weights = []
    for horizon in (1, 2, None):
        learner = Learner(random_network(1, 4, n_slices=4), OnlineRule("replay", horizon))
        with Workers(1) as workers:
            for _ in range(3):
                learner.step(u, workers)
        weights.append(learner.network.slices[0].groups[0].weights)
    assert not np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[1], weights[2])


def test_resting_slices_do_nothing_and_repeat():
    network = identity_network(5, 7, 3, thresholds=(0.0,), log_scale=True)
    u = np.random.default_rng(0).standard_normal((5, 10))
    end, log_det = evolve(network, u)
    np.testing.assert_allclose(end, u, atol=1e-14)
    np.testing.assert_allclose(log_det, 0, atol=1e-13)
    assert distinct_slices(network)[1] == [0, 1, 2, 0, 1, 2, 0]
    sparse_one = dataclasses.replace(
        network, connectivity=random_network(0, 5, kind="sparse").connectivity, slices=[]
    )
    sparse_one.slices = identity_slices(sparse_one, [[np.array([0, 3]), np.array([1, 2, 4])]], 1)
    kept = sum(g.weights.nnz for s in sparse_one.slices for g in s.groups)
    edges = sparse_one.connectivity.matrix.toarray()
    inside = edges[np.ix_([0, 3], [0, 3])].sum() + edges[np.ix_([1, 2, 4], [1, 2, 4])].sum()
    assert kept == network.synapse.n_transfer * (edges.sum() - inside)  # zeros are stored
    assert isinstance(sparse_one.slices[0], Slice)
