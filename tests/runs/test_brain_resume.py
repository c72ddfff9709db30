"""Brain simulations survive: broken off anywhere they go on to the same file, bit by bit."""

import re
import signal
import time

import numpy as np
import pytest
from scipy import sparse

from neurolp import BrainDensity, FormatError, load, open_trajectory
from neurolp.brain import workers
from neurolp.errors import DataError, DivergedError, OutputError
from neurolp.runs import density as brain
from neurolp.runs import resume
from neurolp.runs.kinds import configuration_of
from neurolp.runs.reproduce import reproduce
from neurolp.simulation.epochs import EpochProcess
from neurolp.storage import segments
from neurolp.storage.compare import differences
from tests.processes import INTERRUPTIBLE, finished, progress_line, start


class CrashError(BaseException):
    """The process ends, as far as the run is concerned."""


def table(n_rows=150, n_columns=5):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n_rows, n_columns)) @ rng.standard_normal((n_columns, n_columns))


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "table.npy", table())
    ring = np.roll(np.eye(5, dtype=bool), 1, axis=0) | np.roll(np.eye(5, dtype=bool), 2, axis=0)
    np.save(tmp_path / "ring.npy", ring)
    sparse.save_npz(tmp_path / "ring.npz", sparse.csr_array(ring))
    return tmp_path


def configured(folder, settings, record=None, connectivity=None, seed=5):
    raw = {
        "seed": seed, "compare": False, "data": {"file": "table.npy"}, "brain": settings,
        "record": {"trajectories": 7, "every": 2, "checkpoint_seconds": 0, **(record or {})},
    }  # fmt: skip
    if connectivity:
        raw["connectivity"] = {"kind": "file", "file": connectivity}
    return configuration_of(raw, "test", folder=folder)


def broken_off(configuration, path, at):
    def observe(progress):
        if progress.time >= at:
            raise CrashError

    with pytest.raises(CrashError):
        brain.run(configuration, path, observe=observe)


KINDS = {
    "density": ({"max_slices": 5}, {}, None),
    "of a ring": ({"max_slices": 5}, {}, "ring.npy"),
    "of a sparse ring": ({"max_slices": 5, "update_order": "coloring"}, {}, "ring.npz"),
    "rotating": ({"max_slices": 5, "rotation": True, "dtype": "float32", "head": "base"}, {}, None),
    "one after another": ({"max_slices": 5, "update_order": "sequential", "log_scale": False}, {}, None),
    "logistic": ({"max_slices": 5, "base": "logistic"}, {}, None),
    "tuned": ({"max_slices": 4, "fine_tune": "all"}, {}, None),
    "activity alone": ({"max_slices": 5, "head": "base"}, {"potential": False, "activity": True, "parameters": False}, None),
    "no frames": ({"max_slices": 5, "head": "base"}, {"potential": False, "activity": False}, None),
    "no trajectories": ({"max_slices": 5, "head": "base"}, {"trajectories": 0}, None),
    "no nodes": ({"max_slices": 5, "head": "base"}, {"nodes": []}, None),
    "patient": ({"max_slices": 12, "patience": 2}, {}, None),
    "online": ({"model": "online", "max_epochs": 4}, {"parameters_every": 2}, None),
    "online, no trajectories": ({"model": "online", "max_epochs": 4}, {"trajectories": 0}, None),
    "online, sparse": ({"model": "online", "max_epochs": 4, "signal": "local"}, {}, "ring.npz"),
    "replay": ({"model": "online", "max_epochs": 4, "signal": "replay", "dtype": "float32"}, {}, None),
    "hidden": ({"model": "online", "max_epochs": 4, "n_hidden": 2, "update_order": "sequential"}, {}, None),
    "linear": ({"model": "linear", "max_epochs": 4}, {}, None),
    "bounded": ({"model": "bounded", "max_epochs": 4}, {}, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_broken_off_goes_on_to_the_same_file(folder, kind):
    settings, record, connectivity = KINDS[kind]
    configuration = configured(folder, settings, record, connectivity)
    brain.run(configuration, folder / "whole.h5")
    path = folder / "parts.h5"
    broken_off(configuration, path, 3)  # between two frames
    assert not path.exists()
    resume(path)
    assert differences(folder / "whole.h5", path) == []
    assert not (folder / "parts.h5.run").exists()
    if record.get("parameters", True):
        assert np.isfinite(load(folder / "whole.h5").score(table()))


@pytest.mark.parametrize("kind", ["density", "online"])
def test_the_number_of_threads_does_not_matter(folder, kind, monkeypatch):
    settings, record, _ = KINDS[kind]
    configuration = configured(folder, settings, record)
    asked = []

    def on_a_machine_of(n_cores):
        monkeypatch.setattr(workers, "available_threads", lambda: asked.append(n_cores) or n_cores)

    on_a_machine_of(1)
    brain.run(configuration, folder / "whole.h5")
    broken_off(configuration, folder / "parts.h5", 2)
    on_a_machine_of(3)
    brain.resume(folder / "parts.h5")
    assert {1, 3} == set(asked)
    assert differences(folder / "whole.h5", folder / "parts.h5") == []


def test_a_run_that_goes_on_is_read_as_a_file(folder):
    configuration = configured(folder, {"max_slices": 6})
    path = folder / "parts.h5"
    broken_off(configuration, path, 4)
    with open_trajectory(path) as file:
        assert file.status == "unfinished"
        assert file["surprise"].shape == (5, 3)
        assert len(file["weights"]) == 4
        surprise = file["surprise"].values
    half = BrainDensity.load(path)
    assert half.interrupted_
    assert half.n_slices_ <= 4
    resume(path)
    with open_trajectory(path) as file:
        assert file.status == "complete"
        np.testing.assert_array_equal(file["surprise"].values[:5], surprise)
    with pytest.raises(FormatError, match="is finished, there is nothing to resume"):
        resume(path)


def test_what_was_begun_is_not_overwritten_unasked(folder):
    configuration = configured(folder, {"max_slices": 4})
    path = folder / "parts.h5"
    broken_off(configuration, path, 2)
    with pytest.raises(OutputError, match="unfinished run"):
        brain.run(configuration, path)
    brain.run(configuration, path, overwrite=True)
    with open_trajectory(path) as file:
        assert file.status == "complete"


def test_what_is_interrupted_after_the_last_slice_is_kept_too(folder):
    # Half a minute has not passed: nothing was saved before.
    configuration = configured(
        folder, {"max_slices": 3, "fine_tune": "all"}, {"checkpoint_seconds": 100}
    )
    brain.run(configuration, folder / "whole.h5")

    def observe(progress):
        if progress.message == "learning the heads":  # the tuned brain is not the one to go on from
            raise KeyboardInterrupt(signal.SIGTERM)

    result = brain.run(configuration, folder / "parts.h5", observe=observe)
    assert result.signal == signal.SIGTERM
    resume(folder / "parts.h5")
    assert differences(folder / "whole.h5", folder / "parts.h5") == []


@pytest.mark.parametrize("kind", ["online", "replay", "linear"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_signal_in_the_middle_of_an_epoch_changes_nothing(folder, kind, epoch, monkeypatch):
    settings, record, _ = KINDS[kind]
    configuration = configured(folder, settings, {**record, "checkpoint_seconds": 100})
    brain.run(configuration, folder / "whole.h5")
    path, learn, count = folder / "parts.h5", EpochProcess._epoch, []

    def interrupted(process, at, should_stop):
        count.append(at)
        if at == epoch:
            signal.raise_signal(signal.SIGTERM)
        return learn(process, at, should_stop)

    with monkeypatch.context() as patch:
        patch.setattr(EpochProcess, "_epoch", interrupted)
        if epoch == 1:  # there is nothing to be kept
            with pytest.raises(KeyboardInterrupt):
                brain.run(configuration, path)
            assert not (folder / "parts.h5.run").exists()
            return
        assert brain.run(configuration, path).signal == signal.SIGTERM
    resume(path)
    assert count == [1, 2, 3]
    assert differences(folder / "whole.h5", path) == []


def test_other_data_are_refused(folder):
    configuration = configured(folder, {"max_slices": 4})
    path = folder / "parts.h5"
    broken_off(configuration, path, 2)
    np.save(folder / "table.npy", table() + 1)
    with pytest.raises(DataError, match=r"table.npy: has changed since"):
        resume(path)
    np.save(folder / "table.npy", table())
    resume(path)


# --- divergence -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("ridge", "variable"), [(1e-12, "inf"), (1e-3, "inf")])
def test_divergence_names_slice_node_and_variable_and_keeps_both_states(folder, ridge, variable):
    wild = {"max_slices": 60, "patience": 60, "shift_rate": 1.0, "node_rate": 1.0, "shift_ridge": ridge,
            "node_ridge": ridge, "marginal_transform": False, "update_order": "sequential", "base": "logistic"}  # fmt: skip
    path = folder / "wild.h5"
    with pytest.raises(DivergedError) as caught:
        brain.run(configured(folder, wild, seed=11), path)
    line = str(caught.value)
    found = re.match(
        r"slice (\d+) diverged: node \d, (potential|weights|node map|gain weights|bias): ", line
    )
    assert found, line
    assert variable in line
    assert "last good state and the one after it are in" in line
    with open_trajectory(path) as file:
        assert file.status == "diverged"
        assert str(file.result["message"]) in line
        good, bad = (
            file.read("state/train_potential"),
            file.read("state_diverged/train_potential"),
        )
        assert np.all(np.isfinite(good))
        assert np.all(np.isfinite(file["surprise"].values))
        assert file["surprise"].shape[0] == int(found[1])  # times 0 to the one before
        assert bad.shape == good.shape
    assert not (folder / "wild.h5.run").exists()


def test_a_diverged_run_diverges_again_where_it_is_resumed_or_reproduced(folder):
    wild = {"max_slices": 60, "patience": 60, "shift_rate": 1.0, "node_rate": 1.0, "shift_ridge": 1e-3,
            "node_ridge": 1e-3, "marginal_transform": False, "update_order": "sequential", "base": "logistic"}  # fmt: skip
    configuration = configured(folder, wild, seed=11)
    with pytest.raises(DivergedError):
        brain.run(configuration, folder / "whole.h5")
    broken_off(configuration, folder / "parts.h5", 3)
    with pytest.raises(DivergedError):
        resume(folder / "parts.h5")
    assert differences(folder / "whole.h5", folder / "parts.h5") == []
    assert reproduce(folder / "whole.h5").identical


@pytest.mark.parametrize("error", [ValueError("shapes"), IndexError("7")])
def test_errors_of_finite_numbers_are_bugs_and_no_divergence(folder, monkeypatch, error):
    def learn_slice(*arguments):
        raise error

    monkeypatch.setattr("neurolp.simulation.greedy.learn_slice", learn_slice)
    with pytest.raises(type(error), match=str(error)) as caught:
        brain.run(configured(folder, {}), folder / "bug.h5")
    assert caught.value is error


def test_divergence_in_an_epoch_is_named_too(folder):
    settings = {"model": "linear", "max_epochs": 20, "rate": 1.0, "duration": 1e6}
    with pytest.raises(DivergedError, match=r"epoch \d+ diverged: node \d, potential: ") as caught:
        brain.run(configured(folder, settings), folder / "wild.h5")
    with open_trajectory(folder / "wild.h5") as file:
        assert file.status == "diverged"
        assert np.all(np.isfinite(file.read("state/learner_weights")))
        assert file["state_diverged/learner_weights"].shape == (5, 5)
        assert str(file.result["message"]) in str(caught.value)


def test_numbers_too_large_for_the_precision_are_named(folder):
    rows = table()
    rows[0] *= 1e200  # it may be in any part
    np.save(folder / "table.npy", rows)
    settings = {"model": "online", "max_epochs": 1, "dtype": "float32"}
    with pytest.raises(DivergedError, match=r"the input diverged: node \d, potential: -?inf"):
        brain.run(configured(folder, settings), folder / "wild.h5")
    assert list(folder.glob("wild*")) == []


# --- real processes -------------------------------------------------------------------------------


def command(*arguments, cwd):
    return start(*INTERRUPTIBLE, *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    np.save(folder / "table.npy", table(1500, 12))
    (folder / "long.toml").write_text(
        'seed = 5\ncompare = false\n[data]\nfile = "table.npy"\n[brain]\nmax_slices = 150\npatience = 150\nhead = "base"\n'
        "[record]\ncheckpoint_seconds = 0.05\n"
    )
    process = command("run", "long.toml", "-o", "whole.h5", cwd=folder)
    out, err = finished(process)
    assert process.returncode == 0, err
    assert "slice 150/150" in out
    return folder


def wait_until_saved(path, times, process):
    while segments.n_segments(segments.folder_of(path)) < 1 + times:
        assert process.poll() is None, "it ended before it was interrupted"
        time.sleep(0.01)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_request_to_end_saves_and_exits(long_run, signum, code):
    path = long_run / f"{code}.h5"
    process = command("run", "long.toml", "-o", path, cwd=long_run)
    wait_until_saved(path, 3, process)
    process.send_signal(signum)
    _, err = finished(process)
    assert process.returncode == code, err
    assert "slices, which are saved; `neurolp resume" in err
    assert err.count("\n") == 1
    resumed = command("resume", path, "-q", cwd=long_run)
    assert finished(resumed) == ("", "")
    assert resumed.returncode == 0
    assert differences(long_run / "whole.h5", path) == []


def test_kill_9_at_random_moments(long_run):
    rng = np.random.default_rng(3)
    path = long_run / "killed.h5"
    process = command("run", "long.toml", "-o", path, cwd=long_run)
    progress_line(process)
    for _ in range(3):
        time.sleep(rng.uniform(0.1, 0.6))
        process.kill()
        process.communicate()
        if path.exists():
            break
        process = command("resume", path, cwd=long_run)
        progress_line(process)
    finished(process)
    if not path.exists():
        resume(path)
    assert differences(long_run / "whole.h5", path) == []
    assert not (long_run / "killed.h5.run").exists()
