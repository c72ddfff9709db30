"""NWB files: read back by pynwb, inspected by nwbinspector."""

import json
import sys
import warnings
from datetime import datetime

import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO

from neurolp import (
    Activity,
    ConfigurationError,
    ContinuousSensor,
    DataError,
    OutputError,
    Predictions,
    SpikeSensor,
    StreamBrain,
    Weights,
    from_sonata,
    open_trajectory,
    to_nwb,
    to_sonata,
)
from neurolp.exchange import nwb_rows
from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import run
from tests.exchange.small_runs import N, dense, named, ran

SERIES = {
    "surprise": "step", "mean_surprise": "window", "input_mean": "window",
    "input_variance": "window", "predicted": "predicted_step", "predicted_std": "predicted_step",
    "predicted_quantile": "predicted_step", "activity": "activity_time",
}  # fmt: skip


@pytest.fixture(scope="module", params=[ran, named], ids=["dense", "named"])
def files(request, tmp_path_factory):
    """A run, and the NWB file of it, which was written in many pieces."""
    folder = tmp_path_factory.mktemp("nwb")
    run = request.param(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nwb_rows, "_CHUNK", 256)
        patch.setattr(nwb_rows, "_BUFFER", 2)
        return run, to_nwb(run, folder / "a.nwb", step_seconds=0.02)


def opened(path):
    return NWBHDF5IO(str(path), "r")


def times_of(series):
    if series.timestamps is not None:
        return series.timestamps[:]
    return series.starting_time + np.arange(len(series.data)) / series.rate


def test_series_are_what_was_recorded_at_its_times(files):
    run, path = files
    with open_trajectory(run) as file, opened(path) as io:
        content = io.read()
        found = dict(content.processing["misc"].data_interfaces)
        series = {name: found[name] for name in SERIES} | dict(content.acquisition)
        for name, dim in (SERIES | {"observed": "predicted_step"}).items():
            np.testing.assert_array_equal(series[name].data[:], file.read(name))
            assert series[name].data.dtype == file.read(name).dtype
            np.testing.assert_allclose(times_of(series[name]), 0.02 * file.read(dim), rtol=1e-12)
            assert series[name].unit
        assert series["surprise"].rate == pytest.approx(50)
        assert series["activity"].timestamps is not None  # every seventh step, and the last
        assert np.isnan(series["surprise"].data[17, 0])
        assert series["activity"].data.shape[1] == N
        for table, coordinate in (
            ("hidden", "hidden"), ("outputs", "output"), ("features", "feature"),
            ("sensors", "sensor"), ("columns", "column"), ("values", "value"),
        ):  # fmt: skip
            assert list(found[table]["label"].data) == [str(x) for x in file.read(coordinate)]
            assert f"'{table}'" in "".join(s.description for s in found.values()) or table in (
                "features", "columns",
            )  # fmt: skip


def test_weights_are_edges_with_their_course_in_time(files):
    run, path = files
    with open_trajectory(run) as file, opened(path) as io:
        found = io.read().processing["misc"].data_interfaces
        for name in ("readout", "recurrent", "afferent"):
            table, recorded = found[f"{name}_weights"], file.read(name)
            target, source = (table[end].data[:] for end in ("target", "source"))
            if f"{name}_target" in file:
                np.testing.assert_array_equal(target, file.read(f"{name}_target"))
                np.testing.assert_array_equal(source, file.read(f"{name}_source"))
                expected = recorded
            else:
                expected = recorded[:, target, source]
                assert len(target) == recorded[0].size
            np.testing.assert_array_equal(table["weight"].data[:], expected.T)
            np.testing.assert_array_equal(table.id[:], np.arange(len(target)))
            assert "0, 2, 4, 6, 8 s" in table["weight"].description


def test_the_session_is_what_the_file_says(files):
    run, path = files
    with open_trajectory(run) as file, opened(path) as io:
        content = io.read()
        assert content.identifier == content.session_id == file.attributes("")["run_id"]
        assert content.session_start_time == datetime.fromisoformat(file.provenance["created"])
        assert "A wave and a sky" in content.session_description
        assert "400 steps" in content.session_description
        assert "last 0.02 s" in content.session_description
        assert ["neurolp", file.provenance["version_neurolp"]] in content.was_generated_by[
            :
        ].tolist()
        assert json.loads(content.notes)["configuration"] == file.configuration
        assert content.subject is None
        assert content.units is None  # no sensor of spikes
        assert content.experimenter is None


def messages(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the inspector itself
        return list(inspect_nwbfile(nwbfile_path=str(path)))


def test_the_inspector_finds_nothing_but_that_nobody_was_measured(files):
    found = messages(files[1])
    grave = {Importance.CRITICAL, Importance.BEST_PRACTICE_VIOLATION, Importance.ERROR,
             Importance.PYNWB_VALIDATION}  # fmt: skip
    # A simulation has no subject; species, sex and age would be invented.
    assert {m.check_function_name for m in found if m.importance in grave} == {
        "check_subject_exists"
    }
    # Who, and where, no file says. Tables of one sensor have one row.
    assert {m.check_function_name for m in found if m.importance not in grave} <= {
        "check_experimenter_exists", "check_institution", "check_single_row"
    }  # fmt: skip


def test_fewer_times_than_nodes_are_what_the_inspector_takes_for_a_transposed_matrix(tmp_path):
    settings = "record.activity_every=1000", "record.last=5"
    path = to_nwb(ran(tmp_path, *settings), tmp_path / "a.nwb")
    found = [m for m in messages(path) if m.check_function_name == "check_data_orientation"]
    assert [m.object_name for m in found] == ["activity"]
    with opened(path) as io:
        assert io.read().processing["misc"]["activity"].data.shape == (5, N)


def test_a_step_lasts_a_millisecond_unless_it_is_said(tmp_path):
    file = ran(tmp_path, "record.per_step=false")
    path = to_nwb(file, tmp_path / "a.nwb")
    with opened(path) as io:
        found = io.read().processing["misc"].data_interfaces
        assert found["mean_surprise"].rate == pytest.approx(40)
        assert "surprise" not in found


def test_runs_by_hand_are_written_too(tmp_path):
    brain = StreamBrain(ContinuousSensor(), n_hidden=4, n_lags=2, random_state=0)
    x = np.random.default_rng(0).standard_normal(50)
    monitors = [Activity(every=1), Weights("recurrent", every=20)]
    brain.run(x, monitors=monitors, output=tmp_path / "a.h5")
    path = to_nwb(tmp_path / "a.h5", tmp_path / "a.nwb")
    with opened(path) as io, open_trajectory(tmp_path / "a.h5") as file:
        found = io.read().processing["misc"].data_interfaces
        np.testing.assert_array_equal(found["activity"].data[:], file.read("activity"))
        recorded = file.read("recurrent")
        np.testing.assert_array_equal(found["recurrent_weights"]["weight"].data[:], recorded.T)
        assert "0.02, 0.04, 0.05 s" in found["recurrent_weights"]["weight"].description
    to_sonata(tmp_path / "a.h5", tmp_path / "a")  # the weights at the end, those of the brain
    read = from_sonata(tmp_path / "a/edges.h5", tmp_path / "a/nodes.h5").weights
    np.testing.assert_array_equal(read.toarray(), dense(brain.weights["recurrent"]))


def test_spikes_are_units_with_their_observed_intervals(tmp_path):
    rng = np.random.default_rng(0)
    n_spikes = rng.poisson(0.8, 60).clip(0, 3).astype(float)
    n_spikes[[11, 50]] = np.nan
    rows = np.column_stack([rng.standard_normal(60), n_spikes, rng.random(60) < 0.0])
    sensors = [ContinuousSensor(), SpikeSensor("neuron", most=3), SpikeSensor("silent")]
    brain = StreamBrain(sensors, n_hidden=4, n_lags=2, n_contexts=16, random_state=0)
    monitors = [Predictions(None, interval=(5, 20)), Activity()]
    brain.run(rows, monitors=monitors, output=tmp_path / "a.h5")
    path = to_nwb(tmp_path / "a.h5", tmp_path / "a.nwb", step_seconds=0.01)
    recorded = [t for t in range(5, 20) if t != 11]
    with opened(path) as io:
        found = io.read().units
        assert list(found["sensor"].data) == ["neuron"]  # the other had no spike
        times = found["spike_times"][0]
        np.testing.assert_allclose(found["obs_intervals"][0], [[0.05, 0.11], [0.12, 0.20]])
        assert found.resolution == 0.01
    assert len(times) == n_spikes[recorded].sum() > 5
    counts = np.histogram(times, np.arange(61) * 0.01)[0]
    np.testing.assert_array_equal(counts[recorded], n_spikes[recorded])
    assert np.all(np.diff(times) > 0.002)  # three in a step are a third of it apart
    bad = {"check_subject_exists"}
    grave = (Importance.CRITICAL, Importance.BEST_PRACTICE_VIOLATION)
    assert {m.check_function_name for m in messages(path) if m.importance in grave} == bad


class EnoughError(Exception):
    pass


def test_an_unfinished_run_is_written_as_far_as_it_went(tmp_path):
    ran(tmp_path)
    configuration = read_configuration(tmp_path / "a.toml", ["record.checkpoint_seconds=0.0"])

    def observe(progress):
        if progress.time >= 200:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(configuration, tmp_path / "b.h5", observe=observe)
    path = to_nwb(tmp_path / "b.h5", tmp_path / "b.nwb")
    with opened(path) as io, open_trajectory(tmp_path / "b.h5") as file:
        content = io.read()
        surprise = content.processing["misc"]["surprise"].data[:]
        assert 0 < len(surprise) < 400
        np.testing.assert_array_equal(surprise, file.read("surprise"))
        assert "the run is unfinished" in content.session_description


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    file = ran(tmp_path)
    brain = StreamBrain(ContinuousSensor(), n_hidden=3, random_state=0)
    brain.save(tmp_path / "brain.h5")
    (tmp_path / "old.nwb").write_text("old")
    for source, name, arguments, error, message in (
        (tmp_path / "brain.h5", "b.nwb", {}, DataError, "holds no record of a stream"),
        (file, "old.nwb", {}, OutputError, "exists already; --force"),
        (file, "a.hdf5", {}, OutputError, r"must end in \.nwb"),
        (file, "none/a.nwb", {}, OutputError, "its folder does not exist"),
        (file, "b.nwb", {"step_seconds": 0}, ConfigurationError, "must be a positive number"),
        (file, "b.nwb", {"step_seconds": True}, ConfigurationError, "must be a positive number"),
        (file, "b.nwb", {"step_seconds": np.inf}, ConfigurationError, "must be a positive number"),
    ):
        before = {path.name for path in tmp_path.iterdir()}
        with pytest.raises(error, match=message):
            to_nwb(source, tmp_path / name, **arguments)
        assert {path.name for path in tmp_path.iterdir()} == before
    to_nwb(file, tmp_path / "old.nwb", overwrite=True)
    assert (tmp_path / "old.nwb").read_bytes() != b"old"
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'neurolp\[nwb\]'"):
        to_nwb(file, tmp_path / "c.nwb")
