"""Laws of clamped nodes: they never move, and the density is that of the others given them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm

from neurolp.arrays import NamedArrays
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.evolution import evolve, rewind
from neurolp.brain.form import ExactForm
from neurolp.brain.heads.arrays import heads_from_arrays, heads_to_arrays
from neurolp.brain.heads.head import WeightedHead, dream, log_prob
from neurolp.brain.heads.mixture import fit_mixture
from neurolp.brain.heads.selection import learn_heads
from neurolp.brain.heads.tree import fit_tree
from neurolp.brain.network import DEFAULT_THRESHOLDS, Network, Synapse
from neurolp.brain.network_arrays import description_of, network_from_arrays, parameters_to_arrays
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.greedy import GreedyRule, learn_slice
from neurolp.brain.rules.local import Learner, OnlineRule, identity_slices
from neurolp.brain.update_order import ordered_partition
from neurolp.brain.workers import Workers
from neurolp.errors import NetworkError
from neurolp.simulation.batch import Batch
from neurolp.simulation.greedy import GreedyConfig, GreedyProcess
from neurolp.storage.reader import open_trajectory
from neurolp.storage.writer import write_trajectory
from tests import naive
from tests.networks import gradient, plain_network, random_network

CLAMPED = (1, 3)
MOVING = [0, 2]

networks = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**20),
        "n_nodes": st.integers(3, 6),
        "update_order": st.sampled_from(["random_halves", "sequential", "coloring"]),
        "kind": st.sampled_from(["full", "dense", "sparse"]),
        "rotation": st.booleans(),
        "clamped": st.sampled_from([(0,), (1,), (2, 0)]),
    }
)


@given(networks, st.integers(0, 2**20))
def test_clamped_nodes_stay_and_the_others_come_back(kind, seed):
    network = random_network(**kind)
    still = list(kind["clamped"])
    u = 2 * np.random.default_rng(seed).standard_normal((network.n_nodes, 5))
    end, log_det = evolve(network, u)
    assert np.array_equal(end[still], u[still])
    back = rewind(network, end)
    assert np.array_equal(back[still], u[still])
    assert np.abs(back - u).max() < 1e-9
    expected, expected_log_det = naive.evolve(network, u[:, 0])
    np.testing.assert_allclose(end[:, 0], expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(log_det[0], expected_log_det, rtol=1e-11, atol=1e-11)


@given(networks)
def test_the_determinant_is_that_of_the_moving_nodes(kind):
    network = random_network(**kind)
    u = np.random.default_rng(0).standard_normal((network.n_nodes, 1))
    jacobian = np.eye(network.n_nodes)
    for step in ExactForm(network).step_jacobians(u):
        jacobian = step @ jacobian
    moving = np.ix_(network.moving, network.moving)
    assert evolve(network, u)[1][0] == pytest.approx(np.linalg.slogdet(jacobian[moving])[1])
    assert np.any(jacobian[np.ix_(network.moving, kind["clamped"])] != 0) or (
        kind["kind"] != "full"
    )


def heads_of(network, seed=0):
    """Three kinds of heads at three times, of the moving nodes."""
    rows = np.random.default_rng(seed).standard_normal((len(network.moving), 300))
    rows[1] += rows[0] ** 2
    return (
        WeightedHead(3, 0.3),
        WeightedHead(1, 0.5, fit_mixture(rows, 3, 1.0, 0)),
        WeightedHead(0, 0.2, fit_tree(network.base_density, rows)),
    )


def without_kinks(network):
    """The same network with straight node maps, so that a grid sees all there is."""

    def straight(group):
        node_map = group.node_map.copy()
        node_map[:, 1:] = node_map[:, 1:].mean(axis=1, keepdims=True)
        return replace(group, node_map=node_map)

    slices = [replace(s, groups=tuple(map(straight, s.groups))) for s in network.slices]
    return replace(network, slices=slices)


@pytest.mark.parametrize("values", [(1.0, 0.0), (0.0, 1.0), (-0.7, 2.3)])
@pytest.mark.parametrize("kinks", [False, True])
def test_the_density_of_the_moving_nodes_integrates_to_one(values, kinks):
    network = random_network(3, 4, clamped=CLAMPED, rotation=True, strength=0.2)
    network = network if kinks else without_kinks(network)
    heads = tuple(replace(r, weight=r.weight / 0.8) for r in heads_of(network)[:2])
    # x = sinh(t): dense in the middle, wide in the tails.
    t = np.linspace(-5.5, 5.5, 701)
    x, dx = np.sinh(t), np.cosh(t) * (t[1] - t[0])
    total = 0.0
    for rows, widths in zip(np.array_split(x, 10), np.array_split(dx, 10), strict=True):
        points = np.empty((4, len(rows) * len(x)))
        points[0], points[2] = np.repeat(rows, len(x)), np.tile(x, len(rows))
        points[list(CLAMPED)] = np.array(values)[:, None]
        density = np.exp(log_prob(network, heads, points))
        total += widths @ density.reshape(len(rows), -1) @ dx
    assert abs(total - 1) < (1e-5 if kinks else 1e-9)


def test_dreams_have_the_clamped_values_they_were_given():
    network = random_network(3, 4, clamped=CLAMPED, strength=0.2)
    heads, rng = heads_of(network), np.random.default_rng(0)
    given_ = np.repeat(np.eye(2), 10_000, axis=1)
    draws = dream(network, heads, 20_000, rng, clamped=given_)
    assert np.array_equal(draws[list(CLAMPED)], given_)
    # E[q(u) / Phi(u)] = 1 under Phi, for any normalised q of the moving nodes that is narrower.
    for mine in (draws[:, :10_000], draws[:, 10_000:]):
        centre = np.median(mine[MOVING], axis=1)
        log_q = norm.logpdf(mine[MOVING], centre[:, None], 0.3).sum(axis=0)
        ratio = np.exp(log_q - log_prob(network, heads, mine))
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / 100
    with pytest.raises(NetworkError, match="clamped"):
        dream(network, heads, 3, rng)


@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
@pytest.mark.parametrize("order", ["random_halves", "sequential", "coloring", [[4], [0, 3]]])
def test_groups_are_drawn_among_the_moving_nodes(order, kind):
    connectivity = random_network(1, 5, kind=kind).connectivity
    for seed in range(5):
        rng = np.random.default_rng(seed)
        parts = ordered_partition(order, connectivity, rng, (2, 1))
        assert sorted(np.concatenate(parts)) == [0, 3, 4]
        assert all(len(part) for part in parts)
    if not isinstance(order, str):
        for wrong in ([[4], [0]], [[4], [0, 3], [1]]):
            with pytest.raises(NetworkError, match="every node that moves once"):
                ordered_partition(wrong, connectivity, rng, (2, 1))


def test_what_is_refused():
    network = random_network(0, 3)
    for wrong in ((3,), (0, 0), (0, 1, 2)):
        with pytest.raises(NetworkError, match="argument `clamped`"):
            replace(network, clamped=wrong)
    group = network.slices[0].groups[0]
    still = replace(network, clamped=(int(group.targets[0]),))
    with pytest.raises(NetworkError, match="a clamped node never moves"):
        still.update(
            group.targets, group.sources, group.weights, group.bias,
            group.log_scale_weights, group.log_scale_bias, group.node_map,
        )  # fmt: skip


def test_replay_counts_moving_nodes_only():
    network = plain_network(2, 4, clamped=CLAMPED, strength=0.2)
    u = np.random.default_rng(1).standard_normal((4, 50))
    found = gradient(network, u)
    end, log_det = evolve(network, u)
    energy = network.base_density.energy(end[MOVING]).sum(axis=0)
    assert found.loss == pytest.approx(np.mean(energy - log_det))
    h = 1e-5
    for node in range(4):
        step = np.zeros((4, 1))
        step[node] = h
        up, down = (gradient(network, u + s * step).loss for s in (1, -1))
        assert found.potential[node].mean() == pytest.approx((up - down) / (2 * h), abs=1e-7)


@pytest.mark.parametrize("signal", ["local", "replay"])
def test_online_learning_leaves_clamped_nodes_alone(signal):
    network = random_network(0, 4, n_slices=0, clamped=CLAMPED)
    rng = np.random.default_rng(0)
    parts = [ordered_partition("random_halves", network.connectivity, rng, CLAMPED)]
    network.slices = identity_slices(network, parts, 2)
    learner, u = Learner(network, OnlineRule(signal)), rng.standard_normal((4, 200))
    u[0] += u[1]
    before = Batch(u, np.zeros(200)).surprise(network)
    with Workers(1) as workers:
        for _ in range(30):
            learner.step(u, workers)
    end, log_det = evolve(learner.network, u)
    assert np.array_equal(end[list(CLAMPED)], u[list(CLAMPED)])
    assert Batch(end, log_det).surprise(network) < before - 0.1


@pytest.mark.parametrize("kind", ["full", "sparse"])
@pytest.mark.parametrize("order", ["random_halves", "sequential"])
def test_a_file_holds_clamped_nodes(tmp_path, kind, order):
    network = random_network(4, 4, clamped=(3, 0), kind=kind, update_order=order, rotation=True)
    heads, out = heads_of(network), NamedArrays()
    out.attributes[""] = {"title": "", "status": "complete"}
    out.attributes["brain"] = description_of(network)
    for name in ("mean", "scale"):
        out.add(name, ("node",), np.ones(4), "data", name)
    parameters_to_arrays(out, network)
    heads_to_arrays(out, heads, None)
    write_trajectory(tmp_path / "a.h5", out)
    with open_trajectory(tmp_path / "a.h5") as file:
        twin, same_heads = network_from_arrays(file), heads_from_arrays(file)
    assert twin.clamped == (3, 0)
    u = np.random.default_rng(0).standard_normal((4, 20))
    assert np.allclose(evolve(twin, u)[0], evolve(network, u)[0], rtol=0, atol=1e-12)
    found, wanted = log_prob(twin, same_heads, u), log_prob(network, heads, u)
    assert np.allclose(found, wanted, rtol=0, atol=1e-12)


# --- learning -------------------------------------------------------------------------------------


def class_and_value(rng, n, centres, sd=0.5):
    """One-hot classes (K, n), each as likely, and y = centre of the class + noise, (1, n)."""
    k = rng.integers(len(centres), size=n)
    return np.eye(len(centres))[k].T, (centres[k] + sd * rng.standard_normal(n))[None]


def test_greedy_learning_finds_the_density_given_the_class():
    rng, centres, sd = np.random.default_rng(0), np.array([-1.5, 0.0, 1.2]), 0.5
    rows = {}
    for name, n in (("train", 4000), ("validation", 2000), ("test", 4000)):
        one_hot, y = class_and_value(rng, n, centres, sd)
        rows[name] = np.vstack([y, one_hot])
    network = Network(
        Connectivity.full(4), "normal", Synapse(DEFAULT_THRESHOLDS, 2.0), True,
        SplineGrid(-3.5, 3.5, 14), clamped=(1, 2, 3),
    )  # fmt: skip
    batches = {name: Batch(u.copy(), np.zeros(u.shape[1])) for name, u in rows.items()}
    process = GreedyProcess(network, GreedyRule(), GreedyConfig(), batches, seed=0, n_threads=1)
    while not process.finished and process.time < 150:
        scores = process.advance()
        assert np.all(scores.local_loss[1:] == 0)
    heads = learn_heads(
        network, process.stopping.best_time, rows["train"], rows["validation"], 0, 1
    )
    y, one_hot = rows["test"][0], rows["test"][1:]
    found = log_prob(network, heads, rows["test"])
    given_class = norm.logpdf(y, centres @ one_hot, sd)
    ignored = logsumexp(norm.logpdf(y, centres[:, None], sd) - np.log(3), axis=0)
    assert found.mean() == pytest.approx(given_class.mean(), abs=0.02)
    assert found.mean() - ignored.mean() > 0.97 * (given_class - ignored).mean()


@pytest.mark.parametrize("rotation", [False, True])
def test_local_losses_sum_to_the_change_of_surprise(rotation):
    network = random_network(0, 4, n_slices=0, clamped=CLAMPED)
    u = np.random.default_rng(0).standard_t(5, (4, 500))
    u[0] += u[1]
    batch = Batch(u.copy(), np.zeros(500))
    before = batch.surprise(network)
    turn = None
    if rotation:
        turn = random_network(5, 4, n_slices=1, clamped=CLAMPED, rotation=True).slices[0].rotation
    groups = ordered_partition(
        "random_halves", network.connectivity, np.random.default_rng(0), CLAMPED
    )
    with Workers(1) as workers:
        _, loss = learn_slice(
            network, GreedyRule(), groups, turn, batch.potential, batch.log_det, workers
        )
    assert np.all(loss[list(CLAMPED)] == 0)
    assert loss.sum() == pytest.approx(batch.surprise(network) - before, abs=1e-10)
    assert loss.sum() < 0
