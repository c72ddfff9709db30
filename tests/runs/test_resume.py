"""Streams that are broken off and taken up again; what they end with is the same to the last bit."""

import signal
import threading
import time

import numpy as np
import pytest

import neurolp
from neurolp import FormatError, NeurolpError, OutputError, StreamBrain, open_trajectory
from neurolp.data.streams import Stream
from neurolp.errors import DataError
from neurolp.runs import figures, summary
from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import resume, run
from neurolp.simulation.divergence import find_divergence
from neurolp.simulation.stream import StreamProcess
from neurolp.storage.compare import CLOCK, differences
from neurolp.stream.sensors import CategoricalSensor, ContinuousSensor
from tests.processes import COMMAND, INTERRUPTIBLE, neurolp_command, progress_line, python, start

BRAIN = "[brain]\nn_hidden = 24\nn_lags = 4\nn_contexts = 256\nmax_order = 2\n"
RECORD = """[record]
checkpoint_seconds = 0.0
every = 70
last = 6
dream = 5
weights_every = 200
activity_every = 130
predictions_every = 300
"""
VALUES = f'seed = 3\n[stream]\nsource = "lorenz"\nvector = true\nn_steps = 500\n{BRAIN}{RECORD}'
SYMBOLS = f'seed = 3\n[stream]\nsource = "causality"\nn_steps = 500\n{BRAIN}{RECORD}'
FULL = f'{VALUES}[connectivity]\nkind = "full"\n'


def assert_same(path, other):
    assert [str(d) for d in differences(other, path)] == []


def configured(folder, text, *settings):
    (folder / "a.toml").write_text(text)
    return read_configuration(folder / "a.toml", settings)


class EnoughError(Exception):
    pass


def broken_off(configuration, path, t, go_on=None):
    """Run, or resume, and give up at step ``t`` at the earliest, as if killed."""

    def observe(progress):
        if progress.time >= t:
            raise EnoughError

    with pytest.raises(EnoughError):
        resume(path, observe=observe) if go_on else run(configuration, path, observe=observe)


@pytest.mark.parametrize(
    ("text", "setting"),
    [(VALUES, "train_steps=300"), (SYMBOLS, "brain.rule='nlms'"), (FULL, "record.per_step=false")],
    ids=["values", "symbols", "full"],
)
def test_a_run_that_was_broken_off_ends_as_if_it_had_not(tmp_path, text, setting):
    configuration = configured(tmp_path, text, setting)
    run(configuration, tmp_path / "whole.h5")
    path = tmp_path / "cut.h5"
    broken_off(configuration, path, 1)
    for t in (50, 230, 310, 497):
        broken_off(configuration, path, t, go_on=True)
        with open_trajectory(path) as file:
            assert file.status == "unfinished"
            summary(file)
            if t == 230:
                figures(file)
    with neurolp.resume(path) as file:
        assert file.path == path
    assert_same(tmp_path / "whole.h5", path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.toml", "cut.h5", "whole.h5"]


@pytest.mark.parametrize("seconds", ["1000.0", "0.05"])
def test_how_often_it_is_saved_changes_nothing(tmp_path, seconds):
    run(configured(tmp_path, VALUES), tmp_path / "a.h5")
    run(configured(tmp_path, VALUES, f"record.checkpoint_seconds={seconds}"), tmp_path / "b.h5")
    assert not differences(tmp_path / "a.h5", tmp_path / "b.h5", {*CLOCK, "configuration"})


def test_kill_9_and_resume_in_other_processes_with_other_threads(tmp_path):
    configured(tmp_path, FULL.replace("500", "3000"))
    done = neurolp_command("run", "a.toml", "-o", "whole.h5", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rng, verb = np.random.default_rng(0), ["run", "a.toml", "-o", "cut.h5"]
    for k in range(2):
        threads = str(1 + k % 2 * 2)
        pinned = {f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "NUMBA")}
        with start(*COMMAND, *verb, cwd=tmp_path, environment=pinned, stderr=None) as process:
            progress_line(process)  # the first steps are done
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
        if (tmp_path / "cut.h5").exists():
            break
        verb = ["resume", "cut.h5"]
    else:
        info = neurolp_command("info", "cut.h5", cwd=tmp_path)
        assert "(unfinished)\n  `neurolp resume cut.h5` continues" in info.stdout
        again = neurolp_command("run", "a.toml", "-o", "cut.h5", cwd=tmp_path)
        assert again.returncode == 73
        assert "`neurolp resume cut.h5` continues" in again.stderr
        done = neurolp_command("resume", "cut.h5", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Mean surprise" in done.stdout
    assert_same(tmp_path / "whole.h5", tmp_path / "cut.h5")


def test_signals_save_and_a_second_writer_is_refused(tmp_path):
    configured(tmp_path, VALUES.replace("500", "50_000_000"), "record.every=1000")
    settings = ("--set", "record.every=1000", "--set", "record.checkpoint_seconds=60.0")
    for signum, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        verb = ["run", "a.toml", "-o", "a.h5", *settings] if code == 143 else ["resume", "a.h5"]
        with start(*INTERRUPTIBLE, *verb, cwd=tmp_path) as process:
            progress_line(process)
            with pytest.raises(OutputError, match=f"is being written by process {process.pid}"):
                resume(tmp_path / "a.h5")
            process.send_signal(signum)
            assert "are saved; `neurolp resume a.h5` continues" in process.communicate()[1]
        assert process.returncode == code


def test_before_anything_was_saved_it_starts_anew_or_leaves_nothing(tmp_path):
    configuration = configured(tmp_path, VALUES, "record.checkpoint_seconds=1000.0")
    run(configuration, tmp_path / "whole.h5")
    broken_off(configuration, tmp_path / "cut.h5", 300)
    with open_trajectory(tmp_path / "cut.h5") as file:
        assert len(file["surprise"]) == 0
        assert summary(file) == []
        figures(file)
    with pytest.raises(FormatError, match="holds no fitted model"):
        StreamBrain.load(tmp_path / "cut.h5")
    resume(tmp_path / "cut.h5")
    assert_same(tmp_path / "whole.h5", tmp_path / "cut.h5")
    # A fault that is found before the first step leaves an unfinished run as it was.
    broken_off(configuration, tmp_path / "old.h5", 300)
    wrong = configured(tmp_path, VALUES, "record.weights_at=[501]")
    with pytest.raises(NeurolpError, match="must be at most 500"):
        run(wrong, tmp_path / "old.h5", overwrite=True)
    resume(tmp_path / "old.h5")
    assert_same(tmp_path / "whole.h5", tmp_path / "old.h5")


def test_what_cannot_be_resumed(tmp_path):
    configuration = configured(tmp_path, VALUES)
    run(configuration, tmp_path / "a.h5")
    done = neurolp_command("resume", "a.h5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        65, "neurolp: a.h5: is finished, there is nothing to resume\n"
    )  # fmt: skip
    done = neurolp_command("resume", "b.h5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        65,
        "neurolp: b.h5: there is no unfinished run of it\n",
    )
    broken_off(configuration, tmp_path / "b.h5", 300)
    state = next((tmp_path / "b.h5.run").glob("state-*"))
    image = bytearray(state.read_bytes())
    image[len(image) // 2] ^= 1
    state.write_bytes(image)
    done = neurolp_command("resume", "b.h5", cwd=tmp_path)
    assert done.returncode == 65
    assert done.stderr.count("\n") == 1
    assert "state-0" in done.stderr
    assert "damaged" in done.stderr


def test_a_run_that_was_to_replace_a_file_is_resumed_beside_it(tmp_path):
    (tmp_path / "new").mkdir()
    run(configured(tmp_path, VALUES), tmp_path / "a.h5")
    configuration = configured(tmp_path, VALUES, "seed=4")
    run(configuration, tmp_path / "new" / "whole.h5")

    def stop(progress):
        if progress.time >= 300:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(configuration, tmp_path / "a.h5", overwrite=True, observe=stop)
    with open_trajectory(tmp_path / "a.h5") as file:
        assert (file.status, file.configuration["seed"]) == ("complete", 3)
    done = neurolp_command("resume", "a.h5", "-q", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(tmp_path / "new" / "whole.h5", tmp_path / "a.h5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "a.toml", "new"]


@pytest.mark.parametrize("name", ["segment-000000", "segment-000001", "lock"])
def test_what_a_process_left_that_died_after_its_last_rename_is_removed(tmp_path, name):
    program = f"""
import os
from neurolp.cli.app import app
real = os.unlink
def kill(path, *rest):
    if "{name}" in str(path):
        os.kill(os.getpid(), 9)
    return real(path, *rest)
os.unlink = kill
app()
"""
    configured(tmp_path, VALUES)
    killed = python(program, "run", "a.toml", "-o", "a.h5", "-q", cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "a.h5.run").exists()
    done = neurolp_command("resume", "a.h5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        65, "neurolp: a.h5: is finished, there is nothing to resume\n"
    )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "a.toml"]


def test_data_that_changed_meanwhile_are_refused(tmp_path):
    rows = np.random.default_rng(0).standard_normal(600)
    np.save(tmp_path / "x.npy", rows)
    configuration = configured(tmp_path, f'[stream]\nfile = "x.npy"\n{BRAIN}{RECORD}')
    run(configuration, tmp_path / "whole.h5")
    broken_off(configuration, tmp_path / "cut.h5", 300)
    rows[599] += 1
    np.save(tmp_path / "x.npy", rows)
    with pytest.raises(DataError, match=r"x\.npy: has changed since the run of .*cut\.h5 began"):
        resume(tmp_path / "cut.h5")
    with open_trajectory(tmp_path / "whole.h5") as file:
        assert len(file.provenance["data_sha256"]) == 64


def test_in_another_thread_than_the_main_one(tmp_path):
    configuration = configured(tmp_path, VALUES)
    run(configuration, tmp_path / "a.h5")
    thread = threading.Thread(target=run, args=(configuration, tmp_path / "b.h5"))
    thread.start()
    thread.join()
    assert_same(tmp_path / "a.h5", tmp_path / "b.h5")


# --- full disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_full_disk_is_exit_74_and_the_run_goes_on_where_there_is_room(tmp_path, share):
    configuration = configured(tmp_path, VALUES)
    run(configuration, tmp_path / "whole.h5")
    room = int(share * (tmp_path / "whole.h5").stat().st_size)
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
from neurolp.cli.app import main
main()
"""
    done = python(program, "run", "a.toml", "-o", "cut.h5", "-q", cwd=tmp_path)
    assert done.returncode == 74, done
    assert done.stderr == (
        "neurolp: cut.h5: cannot record the run, File too large; "
        "`neurolp resume cut.h5` continues from what was saved\n"
    )
    resume(tmp_path / "cut.h5")
    assert_same(tmp_path / "whole.h5", tmp_path / "cut.h5")


# --- numbers that are none ------------------------------------------------------------------------

MIXED = (ContinuousSensor(1, "x", location=0.0, scale=1.0), CategoricalSensor(3, "kind"))


def mixed_stream(n=700):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.standard_normal(n), rng.integers(3, size=n)]).astype(float)

    def chunks(start):
        yield rows[start:], None

    return Stream("mixed", MIXED, chunks, n)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (("readout", "weights", (1, 3)), "readout weights of output 'kind=0' became nan"),
        (("memory", "weight", 5), "recurrent weights of hidden node"),
        (("memory", "bias", 7), "threshold of hidden node 7 became nan"),
        (("memory", "afferent_weight", 0), "afferent weights of hidden node 0 became nan"),
        (("contexts", "weight", (0, 0)), "weights of contexts of sensor 'kind' became nan"),
        (("contexts", "second", (0, 0, 0, 0)), "mixing weights of sensor 'kind' became nan"),
        (("readout", "covariance_values", (2, 2)), "covariance of the memory of feature"),
    ],
)
def test_a_number_that_is_none_is_named_with_its_owner(where, message):
    brain = StreamBrain(MIXED, n_hidden=12, n_lags=3, n_contexts=64, random_state=0)
    brain.run(mixed_stream().read(200))
    assert brain.fault() is None
    group, name, at = where
    getattr(getattr(brain._state, group), name)[at] = np.nan
    assert message in brain.fault()


def test_the_step_in_which_a_number_stops_being_one_is_found(monkeypatch):
    stream = mixed_stream()
    real = StreamBrain.run

    def failing(self, rows, **settings):
        """A rule that breaks one weight in step 437, which is heard of only later."""
        told = real(self, rows, **settings)
        if self.n_steps_ - len(rows) <= 437 < self.n_steps_:
            self._state.memory.bias[5] = np.inf
        return told

    monkeypatch.setattr(StreamBrain, "run", failing)
    brain = StreamBrain(MIXED, n_hidden=12, n_lags=3, n_contexts=64, random_state=0)
    found = find_divergence(StreamProcess(brain, stream))
    assert found.step == 437
    assert found.message == "the threshold of hidden node 5 became inf in step 437"
    assert found.before["n_steps"] == 437
    brain.restore(found.before)
    assert brain.fault() is None
    brain.restore(found.after)
    assert brain.fault() is not None
    np.testing.assert_array_equal(found.row, stream.read(1, 437)[0])
    brain = StreamBrain(MIXED, n_hidden=12, n_lags=3, n_contexts=64, random_state=0)
    assert find_divergence(StreamProcess(brain, stream.head(400))) is None


@pytest.mark.parametrize("seconds", ["0.0", "1000.0"])
def test_the_brain_before_and_after_it_diverged_is_in_the_file(tmp_path, seconds):
    rows = 1e-60 * np.random.default_rng(0).standard_normal(900)
    rows[637] = 1e100
    np.save(tmp_path / "far.npy", rows)
    text = f'seed = 1\n[stream]\nfile = "far.npy"\n{BRAIN}experts = false\n{RECORD}'
    configuration = configured(tmp_path, text, f"record.checkpoint_seconds={seconds}")
    with pytest.raises(NeurolpError, match=r"in step 637; what happened before, and the brain"):
        run(configuration, tmp_path / "a.h5")
    assert not (tmp_path / "a.h5.run").exists()
    with open_trajectory(tmp_path / "a.h5") as file:
        assert file.status == "diverged"
        assert "in step 637" in file.result["message"]
        assert len(file["surprise"]) == file.result["n_steps"] == 637
        assert np.isfinite(file["surprise"].values).all()
        np.testing.assert_array_equal(file["diverged_row"].values, [1e100])
        assert "state_diverged/readout_weights" in file
        figures(file)
    brain = StreamBrain.load(tmp_path / "a.h5")
    assert brain.n_steps_ == 637
    twin = configured(tmp_path, text, "stream.n_steps=637")
    run(twin, tmp_path / "good.h5")
    good = StreamBrain.load(tmp_path / "good.h5")
    np.testing.assert_array_equal(brain.weights["readout"], good.weights["readout"])
