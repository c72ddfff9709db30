"""Hidden nodes: the bound against the integral it bounds, and a brain that learns by it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp

import neurolp
from neurolp import ConfigurationError, OnlineBrain, Recorder
from neurolp.brain.evolution import evolve
from neurolp.brain.hidden import log_bound, seed_hidden
from neurolp.brain.network import Network, Slice
from neurolp.brain.rules.local import identity_slices
from neurolp.brain.update_order import ordered_partition
from neurolp.runs import figures
from neurolp.runs.density import run
from neurolp.runs.kinds import read_configuration
from tests.estimators.test_online_brain import source
from tests.networks import random_network

POINTS = [-0.8, 0.4]
H = np.linspace(-60, 60, 20_001)
QUICK = {"n_slices": 4, "n_hidden": 2, "max_epochs": 3, "random_state": 0}


def gentle_network(seed, n_nodes, base):
    """Not so strong that seeds far out in the tail, never drawn, carry the integral."""
    network = random_network(
        seed,
        n_nodes,
        update_order="sequential",
        base=base,
        n_slices=2,
        strength=0.15,
        log_scale=False,
    )
    for group in (g for s in network.slices for g in s.groups):
        group.node_map[:, 1:] **= 0.3
        group.changed()
    return network


def joint(network, x):
    """Log Phi(x, h) on the grid H of one hidden node."""
    start = np.vstack([np.repeat(np.asarray(x)[:, None], len(H), axis=1), H])
    end, log_det = evolve(network, start, n_threads=1)
    return log_det - network.base_density.energy(end).sum(axis=0)


def marginal(network, x):
    """Log p(x) by quadrature over the hidden node."""
    return logsumexp(joint(network, x)) + np.log(H[1] - H[0])


def many(network, x, n_seeds, seed, repeats=4000):
    visible = np.repeat(np.asarray(x)[:, None], repeats, axis=1)
    bounds = log_bound(network, visible, n_seeds, np.random.default_rng(seed), n_threads=1)
    return bounds.mean(), bounds.std() / np.sqrt(repeats), bounds


@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_the_marginal_is_normalised(base):
    network = gentle_network(3, 2, base)
    x = np.linspace(-40, 40, 801)
    total = logsumexp([marginal(network, [point]) for point in x]) + np.log(x[1] - x[0])
    assert total == pytest.approx(0, abs=1e-4)  # logistic tails beyond the grid


@pytest.mark.parametrize("n_visible", [1, 2])
@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_the_bound_lies_below_rises_with_the_seeds_and_ends_at_the_marginal(n_visible, base):
    network = gentle_network(5, n_visible + 1, base)
    x = POINTS[:n_visible]
    exact = marginal(network, x)

    # One seed: the mean is an integral too.
    log_seed = -network.base_density.energy(H)
    one = np.sum(np.exp(log_seed) * (joint(network, x) - log_seed)) * (H[1] - H[0])
    assert one < exact - 0.02
    mean, error, _ = many(network, x, 1, 0, 20_000)
    assert abs(mean - one) < 4 * error, (mean, one, error)

    means = [mean]
    for n_seeds in (4, 32, 256):
        mean, error, _ = many(network, x, n_seeds, n_seeds)
        assert means[-1] < mean < exact + 4 * error
        means.append(mean)
    assert means[-1] == pytest.approx(exact, abs=0.1 * (exact - one) + 4 * error)

    # The average inside the logarithm has no bias at any number of seeds.
    ratio = np.exp(many(network, x, 32, 1)[2] - exact)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))


@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_unconnected_hidden_nodes_change_nothing(base):
    alone = random_network(7, 3, base=base)
    together = Network(
        type(alone.connectivity).full(5),
        base,
        alone.synapse,
        alone.log_scale,
        alone.grid,
        alone.dtype,
    )
    rest = identity_slices(
        together,
        [ordered_partition("sequential", together.connectivity, np.random.default_rng(0))],
        1,
    )
    hidden = {int(g.targets[0]): g for g in rest[0].groups}
    for slice_ in alone.slices:
        groups = [
            together.update(
                g.targets,
                g.sources,
                g.weights,
                g.bias,
                g.log_scale_weights,
                g.log_scale_bias,
                g.node_map,
            )
            for g in slice_.groups
        ]
        together.slices.append(Slice((*groups, hidden[3], hidden[4])))
    x = np.random.default_rng(1).normal(size=(3, 50))
    expected = log_bound(alone, x, 1, np.random.default_rng(2))
    end, log_det = evolve(alone, x)
    likelihood = log_det - alone.base_density.energy(end).sum(axis=0)
    np.testing.assert_allclose(expected, likelihood, rtol=1e-13)
    for n_seeds in (1, 7):
        bound = log_bound(together, x, n_seeds, np.random.default_rng(3))
        np.testing.assert_allclose(bound, likelihood, rtol=1e-10, atol=1e-10)


def test_seeds_have_the_base_density_and_leave_the_input_alone():
    network = random_network(0, 3, base="logistic", dtype=np.float32)
    x = np.random.default_rng(1).normal(size=(1, 20_000)).astype(np.float32)
    seeded = seed_hidden(network, x, np.random.default_rng(2))
    assert seeded.dtype == np.float32
    assert np.array_equal(seeded[:1], x)
    activity = np.sort(network.base_density.activity(seeded[1:]), axis=1)
    uniform = (np.arange(20_000) + 0.5) / 20_000
    assert np.abs(activity - uniform).max() < 2 / np.sqrt(20_000)
    everything = np.ones((3, 4))
    assert seed_hidden(network, everything, np.random.default_rng(0)) is everything


@pytest.mark.parametrize("settings", [
    {"signal": "replay", "period": 6},
    {"signal": "local", "period": 6},
    {"signal": "final", "period": 1, "update_order": "sequential"},
])  # fmt: skip
def test_the_bound_falls_toward_the_entropy_and_never_below(settings):
    X, _ = source(3000, 0)
    fresh, truth = source(20_000, 1)
    common = {"n_hidden": 2, "n_slices": 6, "random_state": 0}
    brain, start = (OnlineBrain(max_epochs=e, **common | settings).fit(X) for e in (30, 0))
    gap = (truth - brain.bound_samples(fresh, 10)).mean()
    assert 0 < gap < 0.5 * (truth - start.bound_samples(fresh, 10)).mean()
    record = brain.record_.surprise["validation"]
    assert brain.best_epoch_ == int(np.argmin(record))
    assert record[brain.best_epoch_] < record[0]


def test_a_brain_with_hidden_nodes_says_what_it_knows():
    X, _ = source(300, 0)
    brain = OnlineBrain(**QUICK).fit(X)
    message = "n_hidden = 2 the log-density has no closed form; bound_samples gives a lower bound"
    with pytest.raises(ConfigurationError, match=message):
        brain.score_samples(X)
    assert brain.score(X) == brain.bound_samples(X).mean()
    assert np.array_equal(brain.bound_samples(X, 3), brain.bound_samples(X, 3))
    assert not np.array_equal(brain.bound_samples(X, 3), brain.bound_samples(X, 3, 1))
    for wrong in (0, 2.5, True):
        with pytest.raises(ConfigurationError, match="`n_seeds` must be an integer >= 1"):
            brain.bound_samples(X, wrong)
    for wrong in (-1, 1.5):
        with pytest.raises(ConfigurationError, match="`n_hidden` must be"):
            OnlineBrain(n_hidden=wrong).fit(X)
    end, _ = brain.evolve(X)
    assert end.shape == (300, 4)
    np.testing.assert_allclose(brain.rewind(end), X, atol=1e-10)
    with pytest.raises(ValueError, match=r"shape \(n_samples, 4\)"):
        brain.rewind(end[:, :2])
    dreams = brain.sample(4000, random_state=0)
    assert dreams.shape == (4000, 2)
    assert np.abs(dreams.mean(axis=0) - X.mean(axis=0)).max() < 0.5 * X.std(axis=0).max()


def test_without_hidden_nodes_the_bound_is_the_likelihood():
    X, _ = source(200, 0)
    brain = OnlineBrain(**QUICK | {"n_hidden": 0}).fit(X)
    np.testing.assert_allclose(brain.bound_samples(X, 5), brain.score_samples(X), rtol=1e-12)


def test_missing_values_are_drawn_with_the_hidden_nodes_integrated_out():
    X, _ = source(2000, 0)
    brain = OnlineBrain(**QUICK | {"signal": "replay", "max_epochs": 15}).fit(X)
    dreams = brain.sample(3000, random_state=1)
    masked = dreams.copy()
    masked[:, 1] = np.nan
    drawn = brain.sample_conditional(masked, random_state=2)[0]
    assert np.array_equal(drawn[:, 0], dreams[:, 0])
    assert not np.any(drawn[:, 1] == dreams[:, 1])
    for moment in (lambda x, y: y, lambda x, y: x * y, lambda x, y: (x**2 - y) ** 2):
        before, after = moment(*dreams.T), moment(*drawn.T)
        error = np.hypot(before.std(), after.std()) / np.sqrt(3000)
        assert abs(after.mean() - before.mean()) < 4 * error


def test_a_stream_seeds_every_presentation_anew():
    X, _ = source(1000, 0)
    fresh, _ = source(3000, 1)
    brain = OnlineBrain(n_hidden=1, random_state=0).partial_fit(X[:100])
    before = brain.score(fresh)
    for row in X[100:]:
        brain.partial_fit(row[None])
    assert brain.score(fresh) > before + 0.1


def test_files_hold_hidden_nodes_apart_from_columns(tmp_path):
    X, _ = source(300, 0)
    connectivity = ~np.eye(4, dtype=bool)
    connectivity[3, 2] = False
    brain = OnlineBrain(**QUICK, connectivity=connectivity)
    brain.fit(X, recorder=Recorder(every=1)).save(tmp_path / "a.h5")
    loaded = OnlineBrain.load(tmp_path / "a.h5")
    assert loaded.n_features_in_ == 2
    assert np.array_equal(loaded.bound_samples(X, 3), brain.bound_samples(X, 3))
    loaded.partial_fit(X)
    with neurolp.open_trajectory(tmp_path / "a.h5") as file:
        assert list(file["node_name"].values) == ["x0", "x1", "hidden 0", "hidden 1"]
        assert file.brain["n_hidden"] == 2
        assert file["potential"].shape[1] == 4
        assert "bound" in file["surprise"].long_name
        shown = figures(file)
        assert "density" not in shown
        assert "surprise" in shown


def test_the_simulation_runs_learns_and_calls_its_result_a_bound(tmp_path):
    path = Path(__file__).parent.parent.parent / "simulations" / "hidden.toml"
    result = run(
        read_configuration(path, ["compare=false", "brain.max_epochs=5"]), tmp_path / "out.h5"
    )
    assert "a lower bound" in result.rows[0].model
    truth = neurolp.data.problems_2d.problem_log_density("mixed_sources", result.data.test).mean()
    bound = result.rows[0].log_prob
    with neurolp.open_trajectory(result.path) as file:
        start = -file["surprise"].sel(split="test").values[0]
    assert 0 < truth - bound < 0.3 * (truth - start)
    assert neurolp.load(result.path).score(result.data.test) == bound
