"""A sweep whose workers and driver are killed at random: what must be true in the end.

Used by tests/sweep/test_driver.py with a few kills, by benchmarks/sweep.py with many.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import run
from neurolp.storage.reader import open_trajectory
from neurolp.sweep.collecting import collect
from neurolp.sweep.state import RUNNING, read_folder
from tests import processes
from tests.processes import COMMAND

BASE = """
seed = 1
[stream]
file = "good0.npy"
[brain]
n_hidden = 1
n_lags = 4
experts = false
[record]
last = 0
dream = 0
brain = false
"""


@dataclass(frozen=True)
class Faults:
    """What was done to a sweep, and what came of it."""

    n_jobs: int
    workers_killed: int
    drivers_killed: int
    orphans: int  # workers that outlived a killed driver by two seconds
    seconds: float
    exit_code: int
    output: str
    table: pd.DataFrame


def write_sweep(folder, n_good, n_hidden, n_steps):
    """A sweep over files, two of which are bad, and sizes: n_hidden of its jobs fail, n_hidden diverge."""
    rng = np.random.default_rng(0)
    names = [f"good{k}.npy" for k in range(n_good)]
    for name in names:
        np.save(folder / name, rng.standard_normal(n_steps))
    far = 1e-60 * rng.standard_normal(n_steps)
    far[200] = 1e100
    np.save(folder / "far.npy", far)
    bad = rng.standard_normal(n_steps)
    bad[210] = np.inf
    np.save(folder / "bad.npy", bad)
    (folder / "base.toml").write_text(BASE)
    files = [*names, "far.npy", "bad.npy"]
    hidden = list(range(1, n_hidden + 1))
    (folder / "faults.toml").write_text(
        f'base = "base.toml"\n[sweep.grid]\n"stream.file" = {files}\nbrain.n_hidden = {hidden}\n'
    )
    return files, hidden


def start(folder, *more):
    """The command, as from a terminal of its own."""
    command = (*COMMAND, "sweep", "faults.toml", "-o", "out", *more)
    return processes.start(*command, cwd=folder, stderr=subprocess.STDOUT, start_new_session=True)


def states_of(folder):
    try:
        return read_folder(folder / "out").states()
    except OSError:
        return {}
    except ValueError:  # no sweep.json yet
        return {}


def session(process):
    """Processes of the session that ``process`` leads, other than itself and zombies."""
    out = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != process.pid:
            with contextlib.suppress(OSError):
                after = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(after[3]) == process.pid and after[0] != "Z":
                    out.append(int(entry.name))
    return out


def kill_a_worker(folder, process, rng):
    """Kill a worker while it runs a job, if one does now."""
    alive = set(session(process))
    at_work = [
        state.process
        for state in states_of(folder).values()
        if state.state == RUNNING and state.process in alive
    ]
    if not at_work:
        return False
    os.kill(rng.choice(at_work), signal.SIGKILL)
    return True


def torment(folder, n_workers_killed, n_drivers_killed, pause, seed=0):
    """Run the sweep to its end, killing so many workers and drivers on the way."""
    rng = random.Random(seed)
    began = time.monotonic()
    workers_killed = drivers_killed = orphans = 0
    process = start(folder, "--workers", "2")
    per_driver = n_workers_killed // (n_drivers_killed + 1)
    while workers_killed < n_workers_killed or drivers_killed < n_drivers_killed:
        time.sleep(rng.uniform(0, pause))
        if process.poll() is not None:
            break
        due = per_driver * (drivers_killed + 1)
        if drivers_killed < n_drivers_killed and workers_killed >= due:
            if not any(state.state == RUNNING for state in states_of(folder).values()):
                continue
            process.send_signal(signal.SIGKILL)
            process.communicate()
            drivers_killed += 1
            until = time.monotonic() + 2
            while session(process) and time.monotonic() < until:
                time.sleep(0.05)
            orphans += len(session(process))
            process = start(folder, "--workers", "2")
        else:
            workers_killed += kill_a_worker(folder, process, rng)
    output, _ = process.communicate(timeout=600)
    table = collect(folder / "out")
    return Faults(
        len(table),
        workers_killed,
        drivers_killed,
        orphans,
        time.monotonic() - began,
        process.returncode,
        output,
        table,
    )


def check(faults, folder, files, hidden):
    """Each job once, failures exactly those that are due, numbers those of a run by hand."""
    table = faults.table
    rows = list(zip(table["stream.file"], table["brain.n_hidden"], table["state"], strict=True))
    assert sorted(rows) == sorted(
        (f, h, {"far.npy": "diverged", "bad.npy": "failed"}.get(f, "done"))
        for f in files
        for h in hidden
    )
    assert len(set(table["job"])) == len(rows) == len(files) * len(hidden)
    jobs = folder / "out" / "jobs"
    assert {p.name for p in jobs.iterdir()} == set(table["job"])
    for file, state, message in zip(
        table["stream.file"], table["state"], table["message"], strict=True
    ):
        if state == "diverged":
            assert "in step 200" in message
        if state == "failed":
            assert "bad.npy" in message
        assert (state == "done") == pd.isna(message), (file, message)
    for k in (0, len(rows) // 2):
        file, h, state = rows[k]
        assert state == "done"
        settings = [f"stream.file={file}", f"brain.n_hidden={int(h)}"]
        by_hand = run(
            read_configuration(folder / "base.toml", settings),
            folder / "by_hand.h5",
            overwrite=True,
        )
        result = jobs / table["job"][k] / "result.h5"
        with open_trajectory(by_hand.path) as one, open_trajectory(result) as other:
            np.testing.assert_array_equal(one["surprise"].values, other["surprise"].values)
    assert not list(jobs.glob("*/.neurolp-*"))
    assert faults.orphans == 0
    assert faults.exit_code == 70
    assert "Traceback" not in faults.output
