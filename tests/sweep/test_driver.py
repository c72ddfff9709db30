"""The driver of a sweep with real workers, real signals and real kills."""

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from distributed import LocalCluster

from neurolp import Sweep, open_trajectory
from neurolp.errors import ConfigurationError, OutputError
from neurolp.storage.lock import Lock
from neurolp.sweep.collecting import collect
from neurolp.sweep.state import DONE, RUNNING, read_state
from tests.processes import ROOT, assert_one_line, finished, neurolp_command
from tests.sweep.quick import QUICK, QUICK_TOML, written
from tests.sweep_faults import check, session, start, torment, write_sweep


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of eight jobs, two of which fail and two diverge, run by two workers."""
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder, 2, 2, 400)
    done = neurolp_command("sweep", "faults.toml", "-o", "out", "--workers", "2", cwd=folder)
    return folder, done


def test_a_sweep_runs_and_says_what_failed(swept):
    folder, done = swept
    assert done.returncode == 70
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("job 0/8: 0 done")
    assert any(
        line.startswith("job 8/8: 4 done, 0 running, 2 failed, 2 diverged") for line in lines
    )
    assert sum(line.startswith("failed: out/jobs/") for line in lines) == 2
    assert sum(line.startswith("diverged: out/jobs/") for line in lines) == 2
    assert lines[-1].startswith("8 jobs: 4 done, 2 diverged, 2 failed; ")
    with open_trajectory(next((folder / "out" / "jobs").glob("*/result.h5"))) as file:
        assert file.configuration["stream"]["file"].endswith(".npy")


def test_the_table_has_each_job_once(swept):
    folder, _ = swept
    collected = neurolp_command("collect", "out", "-o", "t.csv", "-o", "t.h5", cwd=folder)
    assert collected.stdout.splitlines() == ["t.csv: 8 jobs", "t.h5: 8 jobs"]
    with (folder / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stream.file"], row["brain.n_hidden"], row["state"]) for row in rows] == [
        ("good0.npy", "1", "done"), ("good0.npy", "2", "done"),
        ("good1.npy", "1", "done"), ("good1.npy", "2", "done"),
        ("far.npy", "1", "diverged"), ("far.npy", "2", "diverged"),
        ("bad.npy", "1", "failed"), ("bad.npy", "2", "failed"),
    ]  # fmt: skip
    assert [row["reason"] for row in rows] == [""] * 4 + ["divergence"] * 2 + ["data"] * 2
    assert [row["surprise"] != "" for row in rows] == [True] * 4 + [False] * 4
    table = collect(folder / "out")
    with open_trajectory(folder / "t.h5") as file:
        assert file["surprise"].dims == ("job",)
        assert file["surprise"].units == "nat"
        np.testing.assert_array_equal(file["surprise"].values, table["surprise"])
        np.testing.assert_array_equal(file["stream.file"].values, table["stream.file"])
        assert list(file["state"].coords["job"].values) == list(table["job"])
    assert table.attrs["results"][0] == "surprise"
    assert_one_line(neurolp_command("collect", "out", "-o", "t.txt", cwd=folder), 78, "t.txt")
    assert_one_line(neurolp_command("collect", ".", cwd=folder), 65, "no sweep in it")


def test_figures_of_a_sweep_by_command(swept):
    folder, _ = swept
    done = neurolp_command("plot", "out", "-o", "drawn", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "drawn" / "curves.png").stat().st_size > 10_000
    wrong = neurolp_command("plot", "out", "--result", "nothing", cwd=folder)
    assert_one_line(wrong, 78, "no result 'nothing'")


def test_again_runs_nothing_until_asked_to_try_what_failed(swept):
    folder, _ = swept
    results = {p: p.stat().st_mtime_ns for p in (folder / "out" / "jobs").glob("*/*.json")}
    dry = neurolp_command("sweep", "faults.toml", "-o", "out", "--dry-run", cwd=folder)
    assert "4 done, 2 diverged, 2 failed" in dry.stdout
    again = neurolp_command("sweep", "faults.toml", "-o", "out", cwd=folder)
    assert again.returncode == 70
    assert {p: p.stat().st_mtime_ns for p in results} == results
    retried = neurolp_command("sweep", "faults.toml", "-o", "out", "--retry-failed", cwd=folder)
    assert retried.returncode == 70
    attempts = collect(folder / "out")["attempts"]
    assert list(attempts) == [1, 1, 1, 1, 2, 2, 2, 2]


def test_killed_workers_and_a_killed_driver_cost_only_what_was_running(tmp_path):
    files, hidden = write_sweep(tmp_path, 3, 3, 3000)
    found = torment(tmp_path, 2, 1, 0.5)
    assert (found.workers_killed, found.drivers_killed) == (2, 1)
    check(found, tmp_path, files, hidden)


def test_a_job_that_kills_its_worker_fails_after_three_and_may_be_tried_again(tmp_path):
    sweep = Sweep(QUICK, grid={"stream.n_steps": [200, 50_000_000, 300]})
    long = sweep.jobs[1].identity
    killed = []

    def kill():
        while len(killed) < 3:
            state = read_state(tmp_path / "out" / "jobs" / long)
            if state.state == RUNNING and state.process not in killed:
                killed.append(state.process)
                os.kill(state.process, signal.SIGKILL)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = sweep.run(tmp_path / "out", workers=1)
    killer.join()
    assert outcome.counts == {"done": 2, "failed": 1}
    state = outcome.states[long]
    assert (state.reason, state.attempts) == ("worker lost", 3)
    assert read_state(tmp_path / "out" / "jobs" / long) == state
    dry = sweep.plan(tmp_path / "out", workers=1)
    assert any(line.startswith("  to run: 1, on 1 ") for line in dry)


def test_what_cannot_be_written_is_tried_again_and_then_passes(tmp_path):
    sweep = Sweep(QUICK, replicates=2)
    blocked = tmp_path / "out" / "jobs" / sweep.jobs[1].identity
    blocked.parent.mkdir(parents=True)
    (tmp_path / "out" / "sweep.json").write_text("{}")
    blocked.write_text("in the way")
    outcome = sweep.run(tmp_path / "out", workers=1)
    assert outcome.counts == {"done": 1, "failed": 1}
    assert outcome.states[sweep.jobs[1].identity].reason == "input/output"
    blocked.unlink()
    assert sweep.run(tmp_path / "out", workers=1).counts == {"done": 2}


def test_ctrl_c_stops_and_the_same_command_goes_on(tmp_path):
    write_sweep(tmp_path, 1, 2, 400)
    (tmp_path / "base.toml").write_text(
        (tmp_path / "base.toml")
        .read_text()
        .replace('file = "good0.npy"', 'source = "ar2"\nn_steps = 400')
    )
    config = 'base = "base.toml"\n[sweep.grid]\nstream.n_steps = [300, 50_000_000]\n'
    (tmp_path / "faults.toml").write_text(config)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = start(tmp_path, "--workers", "2")
        until = time.monotonic() + 120
        while time.monotonic() < until:
            states = [read_state(p).state for p in (tmp_path / "out" / "jobs").glob("*")]
            if sorted(states) == [DONE, RUNNING] and session(process):
                break
            time.sleep(0.05)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        output, _ = finished(process)
        assert process.returncode == code
        assert "Traceback" not in output
        assert "continues" in output.splitlines()[-1]
        until = time.monotonic() + 5  # helpers of the workers end a moment later
        while session(process) and time.monotonic() < until:
            time.sleep(0.02)
        assert session(process) == []
        (folder,) = [
            p for p in (tmp_path / "out" / "jobs").glob("*") if read_state(p).state == DONE
        ]
        assert read_state(folder).attempts == 1
    short = Sweep.read(tmp_path / "faults.toml").states(tmp_path / "out")
    assert sorted(state.state for state in short.values()) == [DONE, RUNNING]


def test_one_driver_at_a_time(tmp_path):
    sweep = Sweep(QUICK)
    (tmp_path / "out").mkdir()
    with (
        Lock(tmp_path / "out" / "lock"),
        pytest.raises(
            OutputError, match=r"out: a sweep is running here already \(process \d+ on .+\)"
        ),
    ):
        sweep.run(tmp_path / "out", workers=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="holds something else"):
        sweep.run(tmp_path / "other", workers=1)
    with pytest.raises(OutputError, match="it is no folder"):
        sweep.run(tmp_path / "other" / "thesis.tex", workers=1)


def test_a_scheduler_elsewhere(tmp_path):
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        outcome = Sweep(QUICK, replicates=2).run(
            tmp_path / "out", scheduler=cluster.scheduler_address
        )
        assert outcome.counts == {"done": 2}
    written(tmp_path, QUICK_TOML + "[sweep]\nreplicates = 1\n")
    done = neurolp_command(
        "sweep", "s.toml", "-o", "new", "--scheduler", "tcp://127.0.0.1:9", cwd=tmp_path
    )
    assert_one_line(done, 73, "tcp://127.0.0.1:9: no Dask scheduler answers there")
    done = neurolp_command(
        "sweep", "s.toml", "--scheduler", "tcp://a:1", "--workers", "1", cwd=tmp_path
    )
    assert_one_line(done, 2, "no meaning beside --scheduler")


SCRIPT = """
from neurolp import Sweep
base = {"stream": {"source": "ar2", "n_steps": 300}, "brain": {"n_hidden": 2, "n_lags": 2}}
Sweep(base).run("out", workers=1)
"""


def test_a_script_that_workers_cannot_import_is_refused_at_once(tmp_path):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-"], input=SCRIPT, cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "workers import the script that runs a sweep, but this one is not a file" in last
    assert "write it to a file" in last
    assert time.monotonic() - began < 50  # without trying to start workers, which takes 60 s
    assert not (tmp_path / "out").exists()


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path, monkeypatch):
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_inheriting", True, raising=False)
    with pytest.raises(ConfigurationError, match=r'needs `if __name__ == "__main__":` around it'):
        Sweep(QUICK).run(tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
