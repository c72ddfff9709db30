"""What a file that was recorded from Python says of the experiment: parameters, lesions, currents."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import sparse

import neurolp
from neurolp import Activity, ContinuousSensor, FormatError, StreamBrain, Weights, open_trajectory
from neurolp.report.contents import contents_of
from neurolp.runs.description import about_network
from neurolp.runs.kinds import kind_of
from neurolp.simulation.stream_network import lesioned_nodes, recurrent_weights
from tests.processes import assert_one_line, neurolp_command

N, T = 6, 90
NAMES = tuple(f"n{k}" for k in range(N))
SENSOR = ContinuousSensor(name="stim", location=0.0, scale=1.0)
ROWS = np.random.default_rng(0).standard_normal(T)


def weights():
    w = np.random.default_rng(1).standard_normal((N, N))
    w[np.random.default_rng(2).random((N, N)) < 0.4] = 0.0
    np.fill_diagonal(w, 0.0)
    return w


def brain_of(**settings):
    keys = {"connectivity": weights(), "n_hidden": N, "n_lags": 2, "experts": False}
    return StreamBrain(SENSOR, **keys | {"train_connectivity": False, "random_state": 3} | settings)


def current():
    out = np.zeros((T, 2))
    out[10:20, 0], out[40, 1], out[41, 0] = 2.5, -1.0, 1.0
    return out


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    out = tmp_path_factory.mktemp("recorded") / "own.h5"
    brain = brain_of().lesion(nodes=[0, 3])
    inject = {"nodes": [5, 2], "current": current()}
    brain.run(ROWS, inject=inject, monitors=[Activity(), Weights()], output=out)
    return out


def test_parameters_lesions_and_currents_are_in_the_file(path):
    with open_trajectory(path) as file:
        lesioned, injected = file["lesioned"], file["injected_current"]
        assert lesioned.dims == ("hidden",)
        assert lesioned.coords["hidden"].values[lesioned.values].tolist() == [0, 3]
        assert injected.dims == ("step", "injected_node")
        assert injected.coords["injected_node"].values.tolist() == [5, 2]
        np.testing.assert_array_equal(injected.values, current())
        settings = file.configuration["brain"]
        brain = brain_of()
        for name, value in brain.get_params().items():
            if name not in ("sensors", "connectivity", "time_constants"):
                assert settings[name] == value
        assert settings["connectivity"] == "own float64 matrix (6, 6)"
        assert settings["time_constants"] == [1.0, 1.0]
        expected = neurolp.load(path).weights["recurrent"]
        np.testing.assert_array_equal(recurrent_weights(file).toarray(), expected.toarray())


def test_nothing_is_said_of_what_was_not_done(tmp_path):
    brain_of().run(ROWS[:20], output=tmp_path / "plain.h5")
    with open_trajectory(tmp_path / "plain.h5") as file:
        assert "lesioned" not in file
        assert "injected_current" not in file
        assert set(about_network(file)) == {"Network"}


def test_an_interrupted_recording_has_them_as_far_as_it_came(tmp_path):
    class Interrupt(neurolp.Monitor):
        schedule = neurolp.Schedule(times=(50,))

        def sample(self, process):
            os.kill(os.getpid(), signal.SIGINT)

    brain = brain_of().lesion(nodes=[4])
    inject = {"nodes": [5, 2], "current": current()}
    with pytest.raises(KeyboardInterrupt):
        brain.run(ROWS, inject=inject, monitors=[Interrupt()], output=tmp_path / "cut.h5")
    with open_trajectory(tmp_path / "cut.h5") as file:
        assert file.status == "unfinished"
        np.testing.assert_array_equal(file["injected_current"].values, current()[:50])
        assert lesioned_nodes(file).tolist() == [4]
        assert file.configuration["brain"]["n_lags"] == 2
        assert about_network(file)["Lesion"] == "1 hidden node taken away: 4."


@pytest.mark.parametrize("connectivity", ["full", "dense", "sparse", "named"])
def test_nodes_edges_and_radius_are_told(connectivity, tmp_path):
    w = weights()
    if connectivity == "full":  # the only one whose weights are stored as a matrix
        w = np.ones((N, N)) - np.eye(N)
    own = {
        "full": w,
        "dense": w,
        "sparse": sparse.csr_array(w),
        "named": neurolp.Connectivity.from_array(w != 0, N),
    }[connectivity]
    if connectivity == "named":
        target, source = np.nonzero(w)
        names = np.array(NAMES)
        table = {"source": names[source], "target": names[target], "weight": w[target, source]}
        own = neurolp.from_edge_table(pandas.DataFrame(table), nodes=NAMES)
    brain = brain_of(connectivity=own)
    last = NAMES[5] if connectivity == "named" else 5
    brain.lesion(nodes=[last])
    brain.run(ROWS, inject={"nodes": [last], "current": np.zeros(T)}, output=tmp_path / "a.h5")
    w[5], w[:, 5] = 0.0, 0.0
    with open_trajectory(tmp_path / "a.h5") as file:
        about = about_network(file)
        n_edges, radius = np.count_nonzero(w), np.abs(np.linalg.eigvals(w)).max()
        assert about["Network"] == (
            f"6 hidden nodes, {n_edges} edges, spectral radius {radius:.4g}."
        )
        assert about["Lesion"] == f"1 hidden node taken away: {last}."
        assert about["Injection"] == (
            f"A current into 1 hidden node ({last}) that was 0 in all steps."
        )


def test_a_brain_that_was_saved_says_what_it_is(path, tmp_path):
    neurolp.load(path).save(tmp_path / "saved.h5")
    with open_trajectory(tmp_path / "saved.h5") as file:
        assert lesioned_nodes(file).tolist() == [0, 3]
        about = kind_of(file).about(file)
        assert about["What was run"] == "A brain that predicts a stream was saved."
        assert about["Lesion"] == "2 hidden nodes taken away: 0, 3."
        assert contents_of(file).settings["n_lags"] == "2"


def test_info_report_and_reproduce(path, tmp_path):
    done = neurolp_command("info", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("n_steps: 90\n") == 1
    injection = "A current into 2 hidden nodes (5, 2), from -1 to 2.5, in steps 10 to 19, 40 to 41."
    assert f"  Injection: {injection}\n" in done.stdout
    assert "  Lesion: 2 hidden nodes taken away: 0, 3.\n" in done.stdout
    assert "  Network: 6 hidden nodes, " in done.stdout
    with open_trajectory(path) as file:
        contents = contents_of(file)
    assert contents.facts["Injection"] == injection
    assert contents.facts["On what"] == (
        "Rows given to StreamBrain.run in Python, 90 steps, 1 sensor: stim."
    )
    assert contents.settings == {
        "connectivity": json.dumps("own float64 matrix (6, 6)"), "n_hidden": "6", "n_lags": "2",
        "experts": "false", "train_connectivity": "false", "random_state": "3",
    }  # fmt: skip
    assert contents.configuration == ""
    page = neurolp.report(path, tmp_path / "page.html").read_text()
    assert 'id="settings"' in page
    assert "The whole configuration" not in page
    assert "neurolp run run.toml" not in page
    done = neurolp_command("reproduce", path, cwd=tmp_path)
    assert_one_line(done, 65, "holds no configuration that could be run, only a recording from")
    neurolp.load(path).save(tmp_path / "saved.h5")
    with pytest.raises(FormatError, match="only a fitted model"):
        neurolp.reproduce(tmp_path / "saved.h5")


def test_every_variable_of_a_recording_is_documented(path):
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    with open_trajectory(path) as file:
        assert [name for name in file if f"`{name}`" not in text] == []
