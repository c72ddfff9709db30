"""Files of estimators: what was fitted comes back, to the last bit, and nothing else is taken."""

import inspect
import os

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

import neurolp
from neurolp import (
    BrainDensity,
    CategoricalSensor,
    ConditionalClassifier,
    ConditionalDensity,
    FormatError,
    MonotoneDensity,
    OnlineBrain,
    OutputError,
    StreamBrain,
    TriangularDensity,
)
from neurolp.cli.app import app
from tests.estimators.public import CASES, fitted, public_estimators, table
from tests.storage.test_tree import same

# Methods that are called without and with randomness, if there are any.
METHODS = (
    "score_samples", "predict", "predict_proba", "predict_log_proba", "log_prob", "cdf", "pit",
    "evolve", "transform", "bound_samples", "decision_function", "score",
)  # fmt: skip


def answers(estimator, X, y):
    """What a fitted estimator says of rows, by method."""
    out = {}
    for name in METHODS:
        if hasattr(estimator, name):
            method = getattr(estimator, name)
            needs_y = "y" in inspect.signature(method).parameters
            out[name] = method(X, y) if needs_y else method(X)
    if hasattr(estimator, "sample"):
        first = X if isinstance(estimator, ConditionalDensity) else 7
        out["sample"] = estimator.sample(first, random_state=0)
    return out


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "model.h5"
    estimator, X, y = fitted(request.param)
    estimator.save(path)
    return estimator, X, y, path


def test_what_was_saved_is_loaded_to_the_last_bit(case):
    estimator, X, y, path = case
    expected = answers(estimator, X, y)
    assert len(expected) > 2
    for loaded in (neurolp.load(path), type(estimator).load(path)):
        assert type(loaded) is type(estimator)
        assert same(answers(loaded, X, y), expected)


def test_all_attributes_come_back(case):
    estimator, _, _, path = case
    loaded = neurolp.load(path)
    params, found = estimator.get_params(deep=False), loaded.get_params(deep=False)
    assert {k: repr(v) for k, v in found.items()} == {k: repr(v) for k, v in params.items()}
    learned = {name for name in vars(estimator) if name.endswith("_") or name.startswith("_")}
    learned -= {"learner_"}  # begins where fit ended: it is made again when it is needed
    for name in learned:
        assert type(getattr(loaded, name)) is type(getattr(estimator, name)), name
    plain = [n for n in learned if isinstance(getattr(estimator, n), int | float | np.ndarray)]
    assert len(plain) > 2
    for name in plain:
        assert same(getattr(loaded, name), getattr(estimator, name)), name


def test_a_loaded_estimator_is_one_as_any_other(case, tmp_path):
    estimator, X, y, path = case
    loaded = neurolp.load(path)
    assert repr(loaded) == repr(estimator)
    assert loaded._repr_html_()
    again = clone(loaded).set_params(random_state=0).fit(X, y)
    assert same(answers(again, X, y), answers(estimator, X, y))
    loaded.save(tmp_path / "twice.h5")
    with neurolp.open_trajectory(path) as a, neurolp.open_trajectory(tmp_path / "twice.h5") as b:
        assert sorted(a.all_names()) == sorted(b.all_names())
        for name in a.all_names():
            np.testing.assert_array_equal(a.read(name), b.read(name), err_msg=name)


def test_another_class_is_refused(case):
    estimator, _, _, path = case
    for other in {*public_estimators(), StreamBrain} - {type(estimator)}:
        name = type(estimator).__name__
        with pytest.raises(FormatError, match=f"holds a {name}, wanted {other.__name__}$"):
            other.load(path)


def test_files_are_described_and_verified(case, capsys):
    estimator, _, _, path = case
    for verb in ("info", "verify"):
        with pytest.raises(SystemExit) as done:
            app([verb, str(path)])
        assert not done.value.code
    assert f":{type(estimator).__name__}\n" in capsys.readouterr().out
    if not hasattr(estimator, "record_"):
        with pytest.raises(SystemExit) as done:
            app(["plot", str(path)])
        assert done.value.code
        line = capsys.readouterr().err
        assert line == f"neurolp: {path}: holds no record of learning that could be drawn\n"


def test_files_are_not_overwritten_unasked_and_need_a_fit(case, tmp_path):
    estimator, _, _, path = case
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        estimator.save(path)
    assert path.read_bytes() == before
    copy = tmp_path / "copy.h5"
    copy.write_bytes(b"old")
    estimator.save(copy, overwrite=True)
    neurolp.load(copy)
    with pytest.raises(NotFittedError):
        clone(estimator).save(tmp_path / "unfitted.h5")
    assert os.listdir(tmp_path) == ["copy.h5"]


def test_names_of_columns_come_back(tmp_path):
    frame = pd.DataFrame(table(None)[0], columns=["height", "größe", "a/b"])
    for estimator in (CASES["triangular"], CASES["brain"]):
        density = clone(estimator).fit(frame)
        density.save(tmp_path / "named.h5", overwrite=True)
        loaded = neurolp.load(tmp_path / "named.h5")
        assert same(loaded.feature_names_in_, density.feature_names_in_)
        assert np.array_equal(loaded.score_samples(frame), density.score_samples(frame))


def test_labels_of_every_type_come_back(tmp_path):
    X, y = table(CASES["softmax"])
    for labels in (y, y == "yes", (y == "yes").astype(np.int8), y.astype(object)):
        model = clone(CASES["softmax"]).set_params(max_epochs=1).fit(X, labels)
        model.save(tmp_path / "labels.h5", overwrite=True)
        loaded = neurolp.load(tmp_path / "labels.h5")
        assert same(loaded.classes_, model.classes_)
        assert same(loaded.predict(X), model.predict(X))


def test_a_generator_becomes_the_seed_it_gave(tmp_path):
    X, _ = table(CASES["monotone"])
    for random_state in (np.random.default_rng(3), np.random.RandomState(3), None, 5):
        density = MonotoneDensity(random_state=random_state).fit(X)
        density.save(tmp_path / "seed.h5", overwrite=True)
        loaded = neurolp.load(tmp_path / "seed.h5")
        plain = random_state is None or isinstance(random_state, int)
        assert loaded.random_state == (random_state if plain else density.seed_)
        assert loaded.seed_ == density.seed_


def test_learning_online_goes_on_as_if_nothing_had_been_saved(tmp_path):
    X, _ = table(None)
    for begun in (
        clone(CASES["online"]).partial_fit(X[:20]).partial_fit(X[20:30]),
        clone(CASES["online"]).set_params(update_order="sequential").fit(X),
    ):
        begun.save(tmp_path / "online.h5", overwrite=True)
        loaded = OnlineBrain.load(tmp_path / "online.h5")
        assert np.array_equal(loaded.score_samples(X), begun.score_samples(X))
        for row in X[30:40]:
            begun.partial_fit(row[None])
            loaded.partial_fit(row[None])
        assert np.array_equal(loaded.score_samples(X), begun.score_samples(X))


def test_streams_and_runs_are_loaded_by_the_same_function(tmp_path):
    brain = StreamBrain(CategoricalSensor(3), n_hidden=4, n_contexts=8, random_state=0)
    brain.run(np.arange(50) % 3)
    brain.save(tmp_path / "stream.h5")
    loaded = neurolp.load(tmp_path / "stream.h5")
    assert type(loaded) is StreamBrain
    assert loaded.observe(1) == brain.observe(1)
    run = {
        "seed": 1,
        "compare": False,
        "data": {"name": "iris", "dequantise": True},
        "brain": {"max_slices": 3},
    }
    with neurolp.run(run, tmp_path / "run.h5") as file:
        assert type(neurolp.load(file.path)) is BrainDensity
    principle = {"experiment": "principle", "n_steps": 10, "n_runs": 1, "n_samples": 20, "seed": 0}
    neurolp.run(principle, tmp_path / "principle.h5").close()
    with pytest.raises(FormatError, match="no fitted model, but the experiment 'principle'"):
        neurolp.load(tmp_path / "principle.h5")
    with pytest.raises(FormatError, match="no such file"):
        neurolp.load(tmp_path / "absent.h5")


# --- what cannot be saved, and what is not to be loaded -------------------------------------------


@pytest.mark.parametrize("density", [KernelDensity(), GaussianMixture(random_state=0)])
def test_models_of_other_packages_are_refused_by_name(density, tmp_path):
    X, y = table(CASES["bayes"])
    model = ConditionalClassifier(route="bayes", density=density, random_state=0).fit(X, y)
    name = type(density).__name__
    with pytest.raises(OutputError, match=rf"^cannot save `density`: [^\n]*{name}$"):
        model.save(tmp_path / "model.h5")
    assert not os.listdir(tmp_path)


def rewritten(path, target, change):
    """A copy of a file whose ``estimator`` group was changed by somebody who knows HDF5."""
    target.write_bytes(path.read_bytes())
    with h5py.File(target, "r+") as file:
        change(file["estimator"])
    return target


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "model.h5"
    density = MonotoneDensity(random_state=0).fit(table(CASES["monotone"])[0])
    density.save(path)
    return density, path


@pytest.mark.parametrize(
    "name",
    [
        "subprocess:Popen",
        "os:system",
        "neurolp.storage.store:RunStore",
        "neurolp.brain.node_map:SplineGrid",
        "neurolp.runs.execution:run",
        "neurolp.estimators.files:Stored",
    ],
)
def test_the_class_that_a_file_names_is_not_believed(small, tmp_path, name):
    def root(group):
        group.attrs["class"] = np.bytes_(name)

    def inside(group):
        text = group["structure"][:].tobytes().decode()
        text = text.replace("neurolp.estimators.monotone:MonotoneDensity", name)
        del group["structure"]
        group["structure"] = np.frombuffer(text.encode(), np.uint8)
        group["structure"].attrs["units"] = group["structure"].attrs["long_name"] = np.bytes_("1")
        group["structure"].attrs["_Netcdf4Coordinates"] = np.zeros(1, np.int32)

    for change in (root, inside):
        for load in (neurolp.load, MonotoneDensity.load):
            with pytest.raises(FormatError) as caught:
                load(rewritten(small[1], tmp_path / "bad.h5", change))
            assert str(caught.value).startswith(f"{tmp_path / 'bad.h5'}: ")
            assert "\n" not in str(caught.value)


def test_damaged_files_are_refused_or_say_the_same(small, tmp_path):
    density, path = small
    image, x = path.read_bytes(), np.linspace(-3, 3, 20)
    damaged, refused = tmp_path / "damaged.h5", []
    for at in np.linspace(0, len(image) - 1, 150).astype(int):
        changed = bytearray(image)
        changed[at] ^= 0x41
        damaged.write_bytes(changed)
        try:
            loaded = neurolp.load(damaged)
        except FormatError as error:
            refused.append(str(error))
        else:
            assert np.array_equal(loaded.pdf(x), density.pdf(x))
    assert len(refused) > 75
    assert not any("\n" in line for line in refused)
    for length in (0, 10, 600, len(image) // 2, len(image) - 65):
        damaged.write_bytes(image[:length])
        with pytest.raises(FormatError, match="truncated"):
            neurolp.load(damaged)


def test_a_file_of_other_parameters_is_refused_by_name(small, tmp_path, monkeypatch):
    tree = small[0].to_tree()
    monkeypatch.setattr(MonotoneDensity, "to_tree", lambda self: tree | {"depth": 3})
    small[0].save(tmp_path / "newer.h5")
    with pytest.raises(FormatError, match=r"MonotoneDensity has other parameters .*: depth$"):
        neurolp.load(tmp_path / "newer.h5")
    monkeypatch.setattr(MonotoneDensity, "to_tree", lambda self: {"support": "real"})
    small[0].save(tmp_path / "older.h5")
    with pytest.raises(FormatError, match=r"has other parameters .*: random_state$"):
        neurolp.load(tmp_path / "older.h5")


def test_large_models_have_few_data_sets(tmp_path):
    """Forty slices of a triangular map of six columns: as many data sets as one slice."""
    X = np.random.default_rng(0).standard_normal((300, 6))
    count = []
    for max_layers in (1, 40):
        density = TriangularDensity(max_layers=max_layers, patience=40, random_state=0).fit(X)
        density.save(tmp_path / f"{max_layers}.h5")
        with h5py.File(tmp_path / f"{max_layers}.h5") as file:
            count.append(len(file["estimator"]))
    assert max(count) < 60
