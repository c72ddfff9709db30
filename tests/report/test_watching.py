"""How far runs and sweeps of other processes have come."""

import json
import re

import pytest

import neurolp
from neurolp.errors import DataError, FormatError
from neurolp.report.watching import Watch
from neurolp.storage.lock import Lock
from neurolp.sweep.state import PENDING, JobState, write_state
from tests.processes import COMMAND, assert_one_line, finished, neurolp_command, start
from tests.report.pages import DENSITY, STREAM, broken_off, ran
from tests.sweep.quick import fake_sweep

ALWAYS = {"checkpoint_seconds": 0.0}
ON = STREAM | {
    "stream": {"source": "ar2", "n_steps": 240},
    "record": ALWAYS | {"every": 40, "last": 0, "dream": 0},
}


@pytest.mark.parametrize(
    ("configuration", "unit", "total"),
    [(DENSITY | {"record": ALWAYS, "compare": False}, "slice", 6), (ON, "step", 240)],
    ids=["density", "stream"],
)
def test_a_run_is_watched_while_it_goes_on(tmp_path, configuration, unit, total):
    path, looks = tmp_path / "on.h5", []
    watch = Watch(path)

    def observe(progress):
        if progress.time >= len(looks) * total / 6:  # a look opens all that was saved
            looks.append((progress, watch.look()))

    neurolp.run(configuration, path, observe=observe).close()
    going = [(told, seen) for told, seen in looks if seen.status == "running"]
    assert len(going) > 3
    for told, seen in going:
        assert (seen.now.unit, seen.now.total) == (unit, total)
        assert seen.now.time == told.time  # each is saved
    first, last = going[0][1], going[-1][1]
    assert first.now.time < last.now.time
    took = last.now.elapsed - first.now.elapsed
    assert last.speed == pytest.approx((last.now.time - first.now.time) / took)
    middle = going[2][1]
    assert middle.seconds_left == pytest.approx((total - middle.now.time) / middle.speed)
    assert f"{unit}s a second; at most " in middle.message
    assert "surprise" in last.message
    assert not any(seen.message.startswith(",") for _, seen in going)
    # The first look knows the speed since the beginning.
    assert first.speed == pytest.approx(first.now.time / first.now.elapsed)
    with neurolp.open_trajectory(path) as file:
        name = "surprise" if unit == "slice" else "mean_surprise"
        end = file[name].values[-1].ravel()[0]
    complete = Watch(path).look()
    assert (complete.status, complete.now.time, complete.speed) == ("complete", total, None)
    told = float(re.search(r"-?\d+\.\d+", complete.message)[0])
    assert told == pytest.approx(end, abs=6e-4)  # rounded


def test_a_run_that_begins_or_was_broken_off(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        Watch(tmp_path / "on.h5").look()
    (tmp_path / "on.h5.run").mkdir()
    with Lock(tmp_path / "on.h5.run" / "lock"):
        seen = Watch(tmp_path / "on.h5").look()
        assert (seen.status, seen.message) == ("running", "is beginning")
    cut = broken_off(tmp_path, ON, 120)
    for path in (cut, tmp_path / "cut.h5.run"):
        seen = Watch(path).look()
        assert seen.status == "unfinished"
        assert 120 <= seen.now.time < 240


def test_a_sweep_is_watched(tmp_path):
    grid = [{"a": a} for a in (1, 2)]
    folder = fake_sweep(tmp_path / "s", grid, {"a": "grid"}, 2, lambda s: 1.0)
    (last,) = (folder / "jobs").glob("000101")
    done = json.loads((last / "state.json").read_text())
    write_state(last, JobState(PENDING))
    assert Watch(folder).look().status == "unfinished"
    watch = Watch(folder)
    with Lock(folder / "lock"):
        first = watch.look()
        assert (first.status, first.now.time, first.now.total) == ("running", 3, 4)
        assert first.speed is None
        assert first.message == "3 done, 1 pending; mean surprise 1.03333"
        write_state(last, JobState(**done))
        second = watch.look()
        assert second.speed == pytest.approx(1 / (second.now.elapsed - first.now.elapsed))
    assert watch.look().status == "complete"
    with pytest.raises(DataError, match="no sweep in it"):
        Watch(tmp_path).look()


def test_the_command(tmp_path):
    text = 'seed = 1\n[stream]\nsource = "ar2"\nn_steps = 40000\n[brain]\nn_hidden = 20\n'
    (tmp_path / "a.toml").write_text(f"{text}[record]\ncheckpoint_seconds = 0.1\n")
    run = start(*COMMAND, "run", "a.toml", "-q", cwd=tmp_path)
    while not (tmp_path / "a.h5.run").exists() and run.poll() is None:
        pass
    done = neurolp_command("watch", "a.h5", "--every", "0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any("steps a second; at most" in line for line in lines)
    assert lines[-1].startswith("a.h5: complete, step 40,000 of 40,000: surprise ")
    assert finished(run) == ("", "")


def test_the_command_ends_with_a_code(tmp_path):
    broken_off(tmp_path, ON, 120)
    done = neurolp_command("watch", "cut.h5", cwd=tmp_path)
    assert done.returncode == 70
    assert done.stdout.startswith("cut.h5: unfinished, step 1")
    ran(tmp_path, {"experiment": "principle", "n_steps": 100, "n_runs": 2, "n_samples": 100})
    done = neurolp_command("watch", "run.h5", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "run.h5: complete, run 1 of 1\n")
    (tmp_path / "note.txt").write_text("hello")
    assert_one_line(neurolp_command("watch", "note.txt", cwd=tmp_path), 65, "not a readable HDF5")
    wrong = neurolp_command("watch", "run.h5", "--every", "0", cwd=tmp_path)
    assert wrong.returncode == 2
