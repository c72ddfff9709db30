"""The online brain with scikit-learn's face: learning, files, streams, bad input."""

import pickle
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris

import neurolp
from neurolp import BrainDensity, ConfigurationError, DataError, OnlineBrain, Recorder
from neurolp.brain.base_density import Logistic
from neurolp.brain.network import distinct_slices
from neurolp.runs.density import run
from neurolp.runs.kinds import read_configuration
from neurolp.simulation.batch import Progress

QUICK = {"n_slices": 6, "period": 2, "max_epochs": 4, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    return load_iris().data + np.random.default_rng(0).uniform(-0.05, 0.05, (150, 4))


def source(n, seed):
    """Rows of a known density: x0 normal, x1 given x0 normal about x0^2; its entropy in nats."""
    rng = np.random.default_rng(seed)
    x0 = rng.standard_normal(n)
    x1 = x0**2 + 0.5 * rng.standard_normal(n)
    log_prob = -0.5 * x0**2 - 2 * (x1 - x0**2) ** 2 - np.log(2 * np.pi) - np.log(0.5)
    return np.stack([x0, x1], axis=1), log_prob


@pytest.mark.parametrize("settings", [
    {"signal": "final"},
    {"signal": "final", "period": 1, "update_order": "sequential"},
    {"signal": "local", "period": 12},
    {"signal": "replay", "period": 1, "update_order": "sequential"},
    {"signal": "replay", "horizon": 3},
])  # fmt: skip
def test_surprise_falls_toward_the_entropy_and_never_below(settings):
    X, _ = source(3000, 0)
    fresh, truth = source(20_000, 1)
    brain = OnlineBrain(max_epochs=30, random_state=0, **settings).fit(X)
    start = OnlineBrain(max_epochs=0, random_state=0, **settings).fit(X)
    gap = (truth - brain.score_samples(fresh)).mean()
    gap_at_rest = (truth - start.score_samples(fresh)).mean()
    assert 0 < gap < 0.4 * gap_at_rest


def test_the_end_of_time_teaches_a_shared_brain_better_than_every_slice():
    X, _ = source(2000, 0)
    fresh, _ = source(5000, 1)
    scores = [
        OnlineBrain(signal=s, period=1, update_order="sequential", max_epochs=20, random_state=0)
        .fit(X)
        .score(fresh)
        for s in ("local", "final")
    ]
    assert scores[1] > scores[0] + 0.05


def test_single_rows_learn_as_they_come():
    X, _ = source(1500, 0)
    fresh, truth = source(20_000, 1)
    brain = OnlineBrain(random_state=0).partial_fit(X[:100])
    before = (truth - brain.score_samples(fresh)).mean()
    for row in X[100:]:
        brain.partial_fit(row[None])
    after = (truth - brain.score_samples(fresh)).mean()
    assert 0 < after < 0.6 * before
    stream = brain.record_.surprise["stream"]
    assert len(stream) == 1401
    assert np.mean(stream[1000:]) < np.mean(stream[1:400])


def test_the_stream_is_scored_before_it_is_learned_from(iris):
    brain = OnlineBrain(random_state=0).partial_fit(iris)
    expected = -brain.score(iris[:7])
    brain.partial_fit(iris[:7])
    assert brain.record_.surprise["stream"][-1] == pytest.approx(expected, rel=1e-12)


def test_fit_chooses_on_validation_and_reports_every_epoch(iris):
    seen: list[Progress] = []
    brain = OnlineBrain(**QUICK).fit(
        iris[::2], X_validation=iris[1::4], X_test=iris[3::4], progress=seen.append
    )
    assert [p.time for p in seen] == [1, 2, 3, 4]
    record = brain.record_.surprise
    assert brain.best_epoch_ == int(np.argmin(record["validation"]))
    for name, rows in (("train", iris[::2]), ("validation", iris[1::4]), ("test", iris[3::4])):
        assert record[name][brain.best_epoch_] == pytest.approx(-brain.score(rows), rel=1e-10)
    without_test = OnlineBrain(**QUICK).fit(iris[::2], X_validation=iris[1::4])
    assert np.array_equal(brain.score_samples(iris), without_test.score_samples(iris))


def test_learning_goes_on_after_fit_from_the_brain_in_use(iris):
    brain = OnlineBrain(**QUICK).fit(iris)
    score = brain.score(iris)
    brain.partial_fit(iris[:100])
    assert brain.score(iris) != score
    assert abs(brain.score(iris) - score) < 0.5


@pytest.mark.parametrize("copied", [deepcopy, lambda brain: pickle.loads(pickle.dumps(brain))])
@pytest.mark.parametrize("settings", [
    {}, {"update_order": "sequential", "period": 1}, {"signal": "replay"}, {"n_hidden": 2},
    {"dtype": "float32", "log_scale": False}, {"connectivity": sparse.csr_array(~np.eye(4, dtype=bool))},
])  # fmt: skip
def test_a_copy_goes_on_learning_as_the_original_does(iris, copied, settings):
    brain = OnlineBrain(**QUICK | settings).partial_fit(iris[:50])
    brain.partial_fit(iris[50:60])
    copy = copied(brain)
    assert copy.network_ is copy.learner_.averaged
    before = copy.score(iris)
    for start in range(60, 120, 20):
        brain.partial_fit(iris[start : start + 20])
    assert copy.score(iris) == before
    for start in range(60, 120, 20):
        copy.partial_fit(iris[start : start + 20])
    assert copy.score(iris) != before
    assert np.array_equal(copy.learner_.state()["parameters"], brain.learner_.state()["parameters"])
    assert np.array_equal(copy.bound_samples(iris), brain.bound_samples(iris))


def test_rates_can_be_changed_while_learning_goes_on(iris):
    brain = OnlineBrain(**QUICK, decay=0.0, average=0.0).partial_fit(iris)
    brain.set_params(rate=0.0, node_rate=0.0)
    before = brain.score(iris)
    brain.partial_fit(iris)
    assert brain.score(iris) == before


@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
@pytest.mark.parametrize("period", [1, 2, 6])
def test_a_loaded_brain_is_the_saved_one_and_repeats_itself(tmp_path, iris, kind, period):
    edges = ~np.eye(4, dtype=bool)
    edges[0, 1] = edges[2, 3] = False
    connectivity = {"full": None, "dense": edges, "sparse": sparse.csr_array(edges)}[kind]
    brain = OnlineBrain(**QUICK | {"period": period}, connectivity=connectivity)
    brain.fit(iris, recorder=Recorder(parameters_every=2, every=4))
    brain.save(tmp_path / "a.h5")
    loaded = OnlineBrain.load(tmp_path / "a.h5")
    assert np.array_equal(loaded.score_samples(iris), brain.score_samples(iris))
    slices, which = distinct_slices(loaded.network_)
    assert len(slices) == period
    assert which == [t % period for t in range(6)]
    loaded.save(tmp_path / "b.h5")
    with (
        neurolp.open_trajectory(tmp_path / "a.h5") as a,
        neurolp.open_trajectory(tmp_path / "b.h5") as b,
    ):
        assert set(a) == set(b)
        assert len(a["weights"]) == period
        assert list(a["weights_history"].coords["parameter_frame"].values) == [0, 2, 4]
        assert np.all(a["weights_history"].values[0] == 0)
        assert np.any(a["weights_history"].values[1] != a["weights_history"].values[2])
        assert list(a["potential"].coords["frame"].values) == [0, 4, 6]
        for name in a:
            assert np.array_equal(a[name].values, b[name].values), name
    loaded.partial_fit(iris)  # and it can go on learning


def test_recorded_frames_are_the_evolution_of_the_brain_in_use(iris):
    brain = OnlineBrain(**QUICK)
    brain.fit(iris[:100], X_validation=iris[100:], recorder=Recorder(nodes=[1, 2], every=6))
    end, _ = brain.evolve(iris[100:])
    np.testing.assert_allclose(brain.record_["potential"][-1], end.T[[1, 2]], rtol=1e-12)


@pytest.mark.parametrize("signal", ["local", "final", "replay"])
def test_any_number_of_threads_gives_the_same_bits(signal):
    X = np.random.default_rng(0).standard_normal((3000, 30))
    settings = QUICK | {"signal": signal, "max_epochs": 1, "batch_size": 3000, "dtype": "float32"}
    one, two = (OnlineBrain(**settings, n_threads=k).fit(X) for k in (1, 2))
    assert np.array_equal(one.score_samples(X), two.score_samples(X))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"signal": "global"}, "`signal` must be 'final', 'local' or 'replay'"),
        ({"period": 0}, "`period` must be an integer >= 1"),
        ({"n_slices": 2.5}, "`n_slices` must be an integer"),
        ({"horizon": 0}, "`horizon` must be an integer >= 1 or None"),
        ({"average": 1.5}, r"`average` must be a number in \[0, 1\]"),
        ({"batch_size": -1}, "`batch_size` must be an integer >= 1 or None"),
    ],
)
def test_wrong_parameters_are_named(iris, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        OnlineBrain(**settings).fit(iris)
    with pytest.raises(ConfigurationError, match=message):
        OnlineBrain(**settings).partial_fit(iris)


def test_wrong_data_are_named(iris):
    with pytest.raises(DataError, match="at least 2 rows"):
        OnlineBrain().partial_fit(iris[:1])
    brain = OnlineBrain(random_state=0).partial_fit(iris)
    with pytest.raises(DataError, match="contains NaN at row 0, column 2"):
        brain.partial_fit(np.array([[1.0, 1.0, np.nan, 1.0]]))
    with pytest.raises(ValueError, match="3 features"):
        brain.partial_fit(iris[:, :3])
    assert isinstance(clone(brain), OnlineBrain)


def test_the_files_of_the_other_brain_are_refused(tmp_path, iris):
    BrainDensity(max_slices=1, random_state=0).fit(iris).save(tmp_path / "a.h5")
    with pytest.raises(neurolp.FormatError, match="holds a BrainDensity, wanted OnlineBrain"):
        OnlineBrain.load(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["shared_local", "shared_replay", "online", "locality"])
def test_the_simulations_run_and_learn(tmp_path, name):
    path = Path(__file__).parent.parent.parent / "simulations" / f"{name}.toml"
    configuration = read_configuration(path, ["compare=false", "brain.max_epochs=6"])
    result = run(configuration, tmp_path / "out.h5")
    with neurolp.open_trajectory(result.path) as file:
        surprise = file["surprise"].sel(split="test").values
        assert len(surprise) == 7
        assert surprise[-1] < surprise[0] - 10  # nats: the two tables have 30 and 64 columns
        assert file["surprise"].coords["time"].values[-1] == 6
        assert file["weights_history"].shape[0] == 1  # epoch 0 and every tenth
    loaded = neurolp.load(result.path)
    assert loaded.score(result.data.test) == result.rows[0].log_prob


@pytest.mark.parametrize("groups", ["sequential", "coloring", [[1, 3], [0], [2]]])
def test_every_update_order_learns_online_and_can_be_tuned(groups, tmp_path):
    """Replay undoes groups of one node; the greedy brain moves them as one sequential group."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4)) @ rng.standard_normal((4, 4))
    online = OnlineBrain(update_order=groups, max_epochs=3, random_state=0).fit(X)
    surprise = online.record_.surprise["validation"]
    assert surprise[-1] < surprise[0]
    greedy = BrainDensity(
        update_order=groups, max_slices=6, random_state=0, rotation=False, head="base"
    )
    tuned = clone(greedy).set_params(fine_tune="all").fit(X)
    assert tuned.score(X) > greedy.fit(X).score(X)
    for k, brain in enumerate((online, tuned, greedy)):
        brain.save(tmp_path / f"{k}.h5")
        again = type(brain).load(tmp_path / f"{k}.h5")
        np.testing.assert_allclose(again.score_samples(X), brain.score_samples(X), rtol=1e-11)
    again = OnlineBrain.load(tmp_path / "0.h5").partial_fit(X)
    assert np.isfinite(again.score(X))


def test_a_base_density_of_ones_own_is_taken_and_saved(tmp_path):
    X = np.random.default_rng(0).standard_normal((60, 2))
    own, named = (
        OnlineBrain(base=base, max_epochs=2, random_state=0).fit(X)
        for base in (Logistic(), "logistic")
    )
    assert np.array_equal(own.score_samples(X), named.score_samples(X))
    own.save(tmp_path / "own.h5")
    again = OnlineBrain.load(tmp_path / "own.h5")
    assert isinstance(again.base, Logistic)
    np.testing.assert_allclose(again.score_samples(X), own.score_samples(X), rtol=1e-12)
    with pytest.raises(ConfigurationError, match="argument `base` must be 'normal' or 'logistic'"):
        OnlineBrain(base=3).fit(X)
