"""Trajectory files: what goes in comes out, and damaged or foreign files are named errors."""

import json
import os

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import neurolp
import neurolp.brain.evolution
from neurolp import BrainDensity, FormatError, OutputError, Recorder, open_trajectory
from neurolp.arrays import NamedArrays
from neurolp.brain.seeds import generator
from neurolp.estimators.weights import training_rows
from neurolp.storage.format import FORMAT_NAME
from neurolp.storage.writer import write_trajectory


def table(n_rows=200, n_columns=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, n_columns)) @ rng.standard_normal((n_columns, n_columns))


def edges(n=6):
    matrix = np.random.default_rng(0).random((n, n)) < 0.5
    np.fill_diagonal(matrix, False)
    return matrix


@pytest.fixture(scope="module")
def brain():
    recorder = Recorder(trajectories=7, nodes=[0, 3], every=4, activity=True)
    brain = BrainDensity(random_state=3, max_slices=10, patience=50, rotation=False)
    return brain.fit(table(), X_test=table(seed=1), recorder=recorder)


@pytest.fixture(scope="module")
def path(brain, tmp_path_factory):
    path = tmp_path_factory.mktemp("trajectory") / "brain.h5"
    brain.save(path)
    return path


@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"log_scale": False},
        {"rotation": True},
        {"update_order": "sequential"},
        {"base": "logistic"},
        {"dtype": "float32"},
        {"synapse_thresholds": ()},
        {"max_slices": 0},
    ],
)
def test_a_loaded_brain_is_the_saved_one_to_the_last_bit(tmp_path, kind, settings):
    connectivity = {"full": None, "dense": edges(), "sparse": sparse.csr_array(edges())}[kind]
    X = table()
    parameters = {"random_state": 1, "max_slices": 6, **settings}
    if kind != "full":
        parameters.pop("rotation", None)
    brain = BrainDensity(connectivity=connectivity, **parameters).fit(X)
    brain.save(tmp_path / "a.h5")
    again = BrainDensity.load(tmp_path / "a.h5")
    assert np.array_equal(again.score_samples(X), brain.score_samples(X))
    assert np.array_equal(again.sample(5, random_state=0), brain.sample(5, random_state=0))
    assert (again.n_slices_, again.seed_) == (brain.n_slices_, brain.seed_)
    again.save(tmp_path / "b.h5")
    with open_trajectory(tmp_path / "a.h5") as a, open_trajectory(tmp_path / "b.h5") as b:
        assert list(a) == list(b)
        for name in a:
            np.testing.assert_allclose(*(x[name].values for x in (a, b)), rtol=1e-12) if a[
                name
            ].values.dtype.kind == "f" else None


def test_feature_names_come_back(tmp_path):
    frame = pd.DataFrame(table(n_columns=2), columns=["height", "größe"])
    BrainDensity(random_state=0, max_slices=2).fit(frame).save(tmp_path / "named.h5")
    again = BrainDensity.load(tmp_path / "named.h5")
    assert list(again.feature_names_in_) == ["height", "größe"]
    again.score(frame)


def test_variables_are_labelled_and_read_lazily(brain, path):
    with open_trajectory(path) as trajectory:
        surprise = trajectory["surprise"]
        assert surprise.dims == ("time", "split")
        assert surprise.units == "nat"
        assert list(surprise.coords["split"].values) == ["train", "validation", "test"]
        assert list(surprise.coords["time"].values) == list(range(11))
        at_test = surprise.sel(split="test")
        assert at_test.dims == ("time",)
        np.testing.assert_array_equal(at_test, brain.record_.surprise["test"])
        potential = trajectory["potential"]
        assert potential.dims == ("frame", "recorded_node", "trajectory")
        assert potential.shape == (4, 2, 7)
        assert list(potential.coords["frame"].values) == [0, 4, 8, 10]
        last = potential.sel(frame=10)[-1, ::2]
        assert last.dims == ("trajectory",)
        assert last.shape == (4,)
        np.testing.assert_array_equal(potential[..., 3].values, potential.values[..., 3])
        from scipy.special import ndtr

        np.testing.assert_allclose(trajectory["activity"], ndtr(potential))
        with pytest.raises(KeyError, match="index 'time'"):
            surprise.sel(time=99)
        with pytest.raises(KeyError, match="no variable 'spikes'; it has"):
            trajectory["spikes"]
        assert "surprise (time: 11, split: 3) [nat]" in repr(trajectory)


def test_frames_are_the_potentials_of_the_brain(brain, path):
    with open_trajectory(path) as trajectory:
        frames, mean, scale = (trajectory[k].values for k in ("potential", "mean", "scale"))
        assert frames.shape[0] == 4
    # Recorded rows come from the validation part that fit split off with this seed.
    X = training_rows(lambda X, name, reset: X, table(), None, brain.seed_)
    order = generator(brain.seed_, "validation split").permutation(len(X))
    rows = X[order[:40]][:7]
    np.testing.assert_allclose(frames[0], ((rows - mean) / scale).T[[0, 3]], rtol=1e-12, atol=1e-12)
    end, _ = neurolp.brain.evolution.evolve(brain.network_, ((rows - mean) / scale).T)
    np.testing.assert_allclose(frames[-1], end[[0, 3]], rtol=1e-9, atol=1e-12)


def test_local_losses_in_the_file_sum_to_the_change_of_surprise(path):
    with open_trajectory(path) as trajectory:
        change = np.diff(trajectory["surprise"].sel(split="train").values)
        losses = trajectory["local_loss"].values.sum(axis=1)
        assert losses[0] == 0
        np.testing.assert_allclose(losses[1:], change, rtol=1e-10)


def test_weights_in_the_file_rest_inside_a_group(brain, path):
    with open_trajectory(path) as trajectory:
        weights, group = trajectory["weights"].values, trajectory["group"].values
        same = group[:, :, None] == group[:, None, :]
        assert np.all(weights[same] == 0)
        g = brain.network_.slices[2].groups[1]
        expected = g.weights[:, : len(g.sources)]
        np.testing.assert_array_equal(weights[2, :, :, 0][np.ix_(g.targets, g.sources)], expected)


def test_a_file_says_where_it_comes_from(path):
    with open_trajectory(path) as trajectory:
        assert trajectory.provenance["seed"] == 3
        assert trajectory.provenance["version_neurolp"] == neurolp.__version__
        assert {"created", "platform", "python", "version_numpy"} <= set(trajectory.provenance)
        assert trajectory.configuration["brain"]["max_slices"] == 10
        assert trajectory.status == "complete"
    with h5py.File(path) as file:
        assert file["surprise"].dims[0][0].name == "/time"
        assert file["surprise"].attrs["units"] == b"nat"
        assert json.loads(file["configuration"].attrs["json"])


def test_recording_can_be_switched_off(tmp_path):
    recorder = Recorder(potential=False, activity=False, parameters=False)
    brain = BrainDensity(random_state=0, max_slices=3).fit(table(), recorder=recorder)
    brain.save(tmp_path / "thin.h5")
    with open_trajectory(tmp_path / "thin.h5") as trajectory:
        assert set(trajectory) == {"surprise", "local_loss", "mean", "scale", "node_name"}
    with pytest.raises(FormatError, match="holds no fitted model"):
        BrainDensity.load(tmp_path / "thin.h5")


def test_results_are_not_overwritten_unasked(brain, path, tmp_path):
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        brain.save(path)
    assert path.read_bytes() == before
    with pytest.raises(OutputError, match="folder does not exist"):
        brain.save(tmp_path / "nowhere" / "x.h5")
    with pytest.raises(OutputError, match="it is a folder"):
        brain.save(tmp_path)
    copy = tmp_path / "copy.h5"
    copy.write_bytes(before)
    brain.save(copy, overwrite=True)
    assert os.listdir(tmp_path) == ["copy.h5"]  # no temporary name is left


def test_a_failed_write_leaves_the_old_file_and_no_litter(brain, path, tmp_path, monkeypatch):
    target = tmp_path / "old.h5"
    target.write_bytes(b"precious")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"old\.h5: cannot write the result, No space left"):
        brain.save(target, overwrite=True)
    assert target.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["old.h5"]


def test_ctrl_c_while_writing_leaves_the_old_file_and_no_litter(brain, tmp_path, monkeypatch):
    target = tmp_path / "old.h5"
    target.write_bytes(b"precious")

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        brain.save(target, overwrite=True)
    assert target.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["old.h5"]


def test_foreign_and_damaged_files_are_named_errors(path, tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        open_trajectory(tmp_path / "absent.h5")
    text = tmp_path / "text.h5"
    text.write_text("hello")
    with pytest.raises(FormatError, match="not a readable HDF5 file"):
        open_trajectory(text)
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    with pytest.raises(FormatError, match=f"not a {FORMAT_NAME}"):
        open_trajectory(foreign)
    for version, word in ((0, "too old"), (99, "too new")):
        with h5py.File(foreign, "w") as file:
            file.attrs["format"], file.attrs["format_version"] = FORMAT_NAME, version
        with pytest.raises(FormatError, match=f"format version {version} is {word}"):
            open_trajectory(foreign)
    image = path.read_bytes()
    for length in (10, 600, len(image) // 2, len(image) - 65):
        short = tmp_path / "short.h5"
        short.write_bytes(image[:length])
        with pytest.raises(FormatError, match="truncated"):
            open_trajectory(short)


def test_a_flipped_bit_in_the_parameters_is_noticed(path, tmp_path):
    with h5py.File(path) as file:
        offset = file["node_map"].id.get_chunk_info(0).byte_offset
    image = bytearray(path.read_bytes())
    image[offset + 100] ^= 4
    (tmp_path / "flipped.h5").write_bytes(image)
    with pytest.raises(FormatError, match="damaged"):
        BrainDensity.load(tmp_path / "flipped.h5")


@pytest.mark.parametrize("name", ["surprise", "weights", "node_map", "node"])
def test_damaged_chunks_are_named_errors(path, tmp_path, name):
    with h5py.File(path) as file:
        offset = file[name].id.get_chunk_info(0).byte_offset
    image = bytearray(path.read_bytes())
    image[offset + 3] ^= 255
    (tmp_path / "damaged.h5").write_bytes(image)

    def read():
        with open_trajectory(tmp_path / "damaged.h5") as trajectory:
            return [trajectory[variable].values for variable in trajectory]

    with pytest.raises(FormatError, match="damaged") as caught:
        read()
    assert "\n" not in str(caught.value)


def test_wrong_indices_are_refused(path):
    with open_trajectory(path) as trajectory:
        with pytest.raises(IndexError, match="too many indices"):
            trajectory["potential"][0, 0, 0, 0]
        mask = np.array([True, False])
        assert trajectory["potential"][:, mask].shape == (4, 1, 7)


def test_contents_must_be_consistent():
    contents = NamedArrays()
    with pytest.raises(ValueError, match="dims"):
        contents.add("x", ("a",), np.zeros((2, 2)), "1", "")


def test_empty_variables_can_be_written(tmp_path):
    contents = NamedArrays()
    contents.add_coordinate("slice", np.arange(0), "slice", "none")
    contents.add("x", ("slice",), np.zeros(0), "1", "nothing")
    write_trajectory(tmp_path / "empty.h5", contents)
    with open_trajectory(tmp_path / "empty.h5") as trajectory:
        assert trajectory["x"].shape == (0,)
