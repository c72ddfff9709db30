"""Sweeps: what they describe, and that they survive, with real workers and real signals."""

import csv
import json
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
from neurolp.errors import ConfigurationError, DataError, FormatError, OutputError
from neurolp.runs.kinds import read_configuration
from neurolp.storage.lock import HeldError, Lock
from neurolp.sweep.api import memory_of, run_search
from neurolp.sweep.collecting import collect
from neurolp.sweep.design import read_sweep
from neurolp.sweep.job import run_job
from neurolp.sweep.plotting import figures
from neurolp.sweep.running import SweepOutcome
from neurolp.sweep.search import Rounds
from neurolp.sweep.state import DIVERGED, DONE, PENDING, RUNNING, JobState, read_state, write_state
from tests.processes import ROOT, assert_one_line, finished, neurolp_command, python
from tests.processes import start as started
from tests.sweep_faults import check, session, start, torment, write_sweep

QUICK = {
    "stream": {"source": "ar2", "n_steps": 300},
    "brain": {"n_hidden": 2, "n_lags": 2},
    "record": {"last": 0, "dream": 0, "brain": False},
}
QUICK_TOML = """
title = "Quick"
[base.stream]
source = "ar2"
n_steps = 300
[base.brain]
n_hidden = 2
n_lags = 2
[base.record]
last = 0
dream = 0
brain = false
"""


def written(folder, text, name="s.toml"):
    path = folder / name
    path.write_text(text)
    return path


# --- design ---------------------------------------------------------------------------------------


def test_grids_lists_draws_and_replicates_are_combined(tmp_path):
    path = written(
        tmp_path,
        QUICK_TOML
        + """
[sweep]
n_draws = 3
replicates = 2
seed = 10
seeds = ["seed", "stream.seed"]
[sweep.grid]
brain.n_hidden = [1, 2]
"brain.rule" = ["nlms", "diagonal_rls"]
[sweep.lists]
"brain.n_lags" = [1, 2, 3]
"brain.fan_in" = [1, 2, 3]
[sweep.random]
brain.rate = {low = 1e-3, high = 1, log = true}
"brain.max_order" = {low = 1, high = 3, integer = true}
"brain.dtype" = {choice = ["float32", "float64"]}
""",
    )
    design = read_sweep(path)
    assert design.title == "Quick"
    assert design.how == {
        "brain.n_hidden": "grid", "brain.rule": "grid", "brain.n_lags": "list", "brain.fan_in": "list",
        "brain.rate": "random", "brain.max_order": "random", "brain.dtype": "random",
    }  # fmt: skip
    assert len(design.jobs) == 2 * 2 * 3 * 3 * 2
    assert len({p.identity for p in design.jobs}) == len(design.jobs)
    for p in design.jobs:
        assert p.configuration.seed == p.configuration.stream.seed == 10 + p.replicate
        assert p.settings["brain.n_lags"] == p.settings["brain.fan_in"]
        for key, value in p.settings.items():
            assert getattr(p.configuration.brain, key.partition(".")[2]) == value
    # Every combination of a grid meets the same draws.
    rates = [p.settings["brain.rate"] for p in design.jobs]
    assert rates[:18] == rates[18:36]
    assert len(set(rates)) == 3


def test_draws_have_the_distribution_that_was_asked_for():
    random = {
        "brain.rate": {"low": 1e-3, "high": 1, "log": True},
        "brain.process_noise": {"low": 0.2, "high": 0.4},
        "brain.n_lags": {"low": 1, "high": 4, "integer": True},
        "brain.n_hidden": {"low": 1, "high": 100, "integer": True, "log": True},
        "brain.rule": {"choice": ["nlms", "rls"]},
    }
    jobs = Sweep(QUICK, random=random, n_draws=2000).jobs
    drawn = {key: np.array([p.settings[key] for p in jobs]) for key in random}
    log_rate = np.log10(drawn["brain.rate"])
    assert -3 <= log_rate.min() < -2.9
    assert -0.1 < log_rate.max() <= 0
    assert abs(log_rate.mean() + 1.5) < 0.06
    assert abs(drawn["brain.process_noise"].mean() - 0.3) < 0.005
    np.testing.assert_allclose(np.bincount(drawn["brain.n_lags"])[1:] / 2000, 0.25, atol=0.04)
    assert (drawn["brain.n_hidden"].min(), drawn["brain.n_hidden"].max()) == (1, 100)
    assert abs(np.mean(drawn["brain.n_hidden"] <= 10) - np.log(11) / np.log(101)) < 0.04
    assert abs(np.mean(drawn["brain.rule"] == "nlms") - 0.5) < 0.04


def test_a_sweep_that_grows_keeps_its_jobs():
    rate = {"brain.rate": {"low": 0.1, "high": 1}}
    few = Sweep(QUICK, grid={"brain.n_hidden": [1]}, random=rate, n_draws=3, replicates=2)
    more = Sweep(
        QUICK,
        grid={"brain.n_hidden": [1, 2]},
        random=rate | {"brain.process_noise": {"choice": [0.0]}},
        n_draws=5,
        replicates=3,
    )
    assert {p.identity for p in few.jobs} < {p.identity for p in more.jobs}


def test_jobs_that_meet_are_one():
    sweep = Sweep(QUICK, random={"brain.n_hidden": {"choice": [1, 2]}}, n_draws=20)
    assert len(sweep) == 2
    assert sweep.design.n_repeated == 18


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 'sweep' is missing: it says what is varied"),
        ("[sweep.grid]\nbrain.hiden = [1]\n", "with brain.hiden = 1: unknown key 'brain.hiden', the nearest valid key is 'brain.n_hidden'"),
        ("[sweep.grid]\nbrain.n_hidden = [1, -1]\n", "with brain.n_hidden = -1: key 'brain.n_hidden': input should be greater than or equal to 0, but is -1"),
        ("[sweep.grid]\nbrain.n_hidden = []\n", "key 'sweep.grid.brain.n_hidden'"),
        ("[sweep.grid]\nbrain.n_hidden = 3\n", "key 'sweep.grid.brain.n_hidden'"),
        ("[sweep.grid]\nbrain.n_hidden = [1, 2, 1]\n", "'brain.n_hidden' has 1 twice"),
        ("[sweep.grid]\nstream.source.x = [1]\n", "key 'stream.source.x': 'source' is not a section"),
        ("[sweep]\nreplicate = 3\n", "unknown key 'sweep.replicate', the nearest valid key is 'sweep.replicates'"),
        ("[sweep]\nreplicates = 0\n", "key 'sweep.replicates'"),
        ("[sweep]\nreplicates = 2\n[sweep.grid]\nseed = [1, 2]\n", "'seed' is varied already, by 'replicates'"),
        ("[sweep.grid]\nbrain.n_hidden = [1]\n[sweep.lists]\nbrain.n_hidden = [1]\n", "'brain.n_hidden' is varied twice"),
        ("[sweep.lists]\nbrain.n_hidden = [1]\nbrain.n_lags = [1, 2]\n", "'lists' must be equally long"),
        ("[sweep.random]\nbrain.rate = {low = 0, high = 1}\n", "'random' and 'n_draws' need each other"),
        ("[sweep]\nn_draws = 2\n", "'random' and 'n_draws' need each other"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {lo = 0, high = 1}\n", "sweep.random.'brain.rate': unknown key 'lo', the nearest valid key is 'low'"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {low = 0, high = 1, log = true}\n", "'low' must be positive where 'log' is true"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {low = 2, high = 1}\n", "'low' must be below 'high'"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {high = 1}\n", "needs 'low' and 'high', or 'choice'"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\n\"brain.rate\" = 3\n", "'brain.rate' must be a table"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {low = 1, high = 9}\n", "key 'brain.rate': input should be less than or equal to 1"),
        ("[sweep]\nreplicates = 2000\n[sweep.grid]\nbrain.n_hidden = [" + ",".join(map(str, range(1000))) + "]\n", "describes 2,000,000 jobs"),
        ("[base.nothing]\nx = 1\n[sweep]\nreplicates = 1\n", "[base]: unknown key 'nothing'"),
    ],
)  # fmt: skip
def test_faults_of_a_sweep_are_one_line(tmp_path, text, message):
    path = written(tmp_path, QUICK_TOML + text)
    with pytest.raises(ConfigurationError) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_base_is_a_file_beside_the_sweep(tmp_path):
    written(tmp_path, 'title = "Of the base"\n[stream]\nsource = "ar2"\nn_steps = 300\n', "b.toml")
    path = written(tmp_path, 'base = "b.toml"\n[sweep.grid]\nbrain.n_hidden = [1]\n')
    (job,) = read_sweep(path).jobs
    assert read_sweep(path).title == "Of the base"
    assert job.configuration.seed == 0  # a run without a seed would be another one each time
    (same,) = Sweep(tmp_path / "b.toml", grid={"brain.n_hidden": [1]}).jobs
    assert job.identity == same.identity
    with pytest.raises(ConfigurationError, match=r"key 'base': no such file as .*c\.toml"):
        read_sweep(written(tmp_path, 'base = "c.toml"\n[sweep]\nreplicates = 1\n'))
    with pytest.raises(ConfigurationError, match="describes a sweep"):
        read_configuration(path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("simulations/**/*.toml")), ids=lambda p: p.stem)
def test_anything_that_can_be_run_can_be_swept(path):
    if path.parent.name == "sweeps":
        assert read_sweep(path).jobs
    else:
        sweep = Sweep(path, replicates=2)
        assert len(sweep) == 2
        again = json.loads(json.dumps(sweep.jobs[0].configuration.model_dump(mode="json")))
        assert (
            type(sweep.jobs[0].configuration).model_validate(again) == sweep.jobs[0].configuration
        )


def test_data_count_by_content_not_by_place(tmp_path):
    rows = np.random.default_rng(0).standard_normal((50, 2))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", rows)

    def identities():
        return [
            Sweep({"stream": {"file": str(tmp_path / f / "x.npy")}}).jobs[0].identity for f in "ab"
        ]

    one, other = identities()
    assert one == other
    np.save(tmp_path / "b" / "x.npy", rows + 1)
    changed = identities()
    assert changed[0] == one
    assert changed[1] != one
    frames = [
        Sweep({"experiment": "general_purpose", "files": [str(tmp_path / f / "x.npy")]})
        for f in "ab"
    ]
    assert frames[0].jobs[0].identity != frames[1].jobs[0].identity
    titled = Sweep(QUICK | {"title": "x"}).jobs[0].identity
    assert titled == Sweep(QUICK).jobs[0].identity
    with pytest.raises(DataError, match=r"none\.npy: cannot read the data"):
        Sweep({"stream": {"file": str(tmp_path / "none.npy")}})


# --- state ----------------------------------------------------------------------------------------


def test_states_are_whole_or_not_there(tmp_path):
    state = JobState(DONE, 2, result={"surprise": 1.5, "none": None}, seconds=3.0)
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]
    whole = (tmp_path / "state.json").read_bytes()
    for n in (0, 1, len(whole) // 2, len(whole) - 2):
        (tmp_path / "state.json").write_bytes(whole[:n])
        assert read_state(tmp_path).state == PENDING
    (tmp_path / "state.json").write_text('{"state": "nonsense"}')
    assert read_state(tmp_path).state == PENDING


def test_a_lock_has_one_holder_and_ends_with_it(tmp_path):
    path = tmp_path / "lock"
    program = f"from neurolp.storage.lock import Lock; from pathlib import Path\nwith Lock(Path({str(path)!r})):\n    print(1, flush=True); input()"
    with started(sys.executable, "-c", program, stdin=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(HeldError, match=f"process {holder.pid}"), Lock(path):
            pass
        holder.kill()
        holder.wait()
    with Lock(path):
        pass


@pytest.mark.parametrize(
    ("base", "column"),
    [
        ({"compare": False, "data": {"name": "two_moons"}, "brain": {"max_slices": 2}}, "test_log_prob"),
        ({"experiment": "principle", "n_steps": 20, "n_runs": 2, "n_samples": 20}, "entropy"),
        (QUICK, "surprise"),
    ],
)  # fmt: skip
def test_a_job_is_what_a_run_would_be_and_is_run_once(tmp_path, base, column):
    (job,) = Sweep(base).jobs
    configuration = json.dumps(job.configuration.model_dump(mode="json"))
    first = run_job(str(tmp_path / "p"), configuration)
    assert first["state"] == DONE
    assert np.isfinite(first["result"][column])
    with open_trajectory(tmp_path / "p" / "result.h5") as file:
        assert file.configuration["seed"] == 0
    assert run_job(str(tmp_path / "p"), configuration) == first
    # A worker that died between the result and the state: the result is taken over.
    before = (tmp_path / "p" / "result.h5").stat().st_mtime_ns
    write_state(tmp_path / "p", JobState(RUNNING, 1))
    (tmp_path / "p" / ".neurolp-x.partial").write_text("litter")
    again = run_job(str(tmp_path / "p"), configuration)
    assert (again["state"], again["attempts"], again["result"]) == (DONE, 2, first["result"])
    assert (tmp_path / "p" / "result.h5").stat().st_mtime_ns == before
    # .. unless it is damaged.
    image = (tmp_path / "p" / "result.h5").read_bytes()
    (tmp_path / "p" / "result.h5").write_bytes(image[: len(image) // 2])
    write_state(tmp_path / "p", JobState(RUNNING, 1))
    assert run_job(str(tmp_path / "p"), configuration)["result"][column] == first["result"][column]


# --- with workers ---------------------------------------------------------------------------------


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
        assert list(file["state"].coords["job"].values) == table.columns["job"]
    assert table.headline == "surprise"
    with pytest.raises(KeyError, match="no column 'x'"):
        table["x"]
    assert_one_line(neurolp_command("collect", "out", "-o", "t.txt", cwd=folder), 78, "t.txt")
    assert_one_line(neurolp_command("collect", ".", cwd=folder), 65, "no sweep in it")


def test_figures_of_a_sweep_by_command(swept):
    folder, _ = swept
    done = neurolp_command("plot", "out", "-o", "pictures", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "pictures" / "curves.png").stat().st_size > 10_000
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
        assert "goes on" in output.splitlines()[-1]
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


# --- searches -------------------------------------------------------------------------------------

RATES = {"brain.rate": {"low": 1e-4, "high": 1, "log": True}}
RULES = {"brain.rule": {"choice": ["nlms", "rls"]}}


def searched(value, n_draws=40, until=None, **search):
    """Draws of a search whose jobs find ``value(settings)``, without running anything."""
    search = search or {"minimise": "surprise", "round": 5}
    sweep = Sweep(QUICK, random=RATES | RULES, n_draws=n_draws, replicates=2, search=search)
    rounds = Rounds(sweep.design.search, "here")

    def run(design):
        found = {p.identity: value(p.settings) for p in design.jobs}
        states = {
            k: JobState(DIVERGED) if v is None else JobState(DONE, result={"surprise": v})
            for k, v in found.items()
        }
        stopped = 2 if until is not None and len(rounds.drawn) >= until else None
        return SweepOutcome("out", states, stopped, 1.0)

    return rounds, run_search(rounds, sweep._made, run)


def test_a_search_goes_where_it_was_good_and_is_the_same_again():
    def value(settings):
        if settings["brain.rule"] == "nlms" and settings["brain.rate"] > 0.5:
            return None  # it failed
        return abs(np.log10(settings["brain.rate"]) + 2) + (settings["brain.rule"] == "nlms")

    rounds, outcome = searched(value)
    assert len(rounds.drawn) == 40
    assert outcome.elapsed == 8.0
    assert len(outcome.states) == 80
    tried = [value(s) for s in rounds.drawn]
    best = min(v for v in tried if v is not None)
    assert best < 0.1
    assert outcome.best.startswith(f"surprise {best:.6g} with brain.rate = ")
    early, late = ([v for v in part if v is not None] for part in (tried[:10], tried[-15:]))
    assert np.median(late) < np.median(early) - 0.3
    # Broken off and begun anew it asks for the same, and goes on.
    some, stopped = searched(value, until=20)
    assert some.drawn == rounds.drawn[:20]
    assert (stopped.stopped_by, stopped.best) == (2, "")
    _, failed = searched(lambda settings: None, n_draws=6)
    assert failed.best == ""


def test_what_a_search_may_not(tmp_path):
    for changed, message in (
        ({"search": {"minimise": "test_log_prob"}}, "nothing may be chosen by test data"),
        ({"search": {"minimise": "a", "maximise": "b"}}, "exactly one of 'minimise' and 'maximise'"),
        ({"search": {"minimise": "a"}, "grid": {"brain.n_hidden": [1]}}, "neither 'grid' nor 'lists'"),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match=message):
            Sweep(QUICK, random=RATES, n_draws=3, **changed)
    sweep = Sweep(QUICK, random=RATES, n_draws=2, search={"maximise": "speed", "round": 1})
    with pytest.raises(
        ConfigurationError, match="asks for the result 'speed', but the jobs have surprise"
    ):
        sweep.run(tmp_path / "out", workers=1)
    assert Sweep(QUICK, random=RATES, n_draws=2, search={"maximise": "surprise"}).run(
        tmp_path / "out", workers=1
    ).counts == {"done": 2}


# --- memory, tables, pictures ---------------------------------------------------------------------


def test_what_cannot_fit_is_refused_before_anything_starts(tmp_path):
    config = QUICK_TOML + "[sweep.grid]\nbrain.n_hidden = [10, 1_000_000]\n"
    written(tmp_path, config)
    done = neurolp_command("sweep", "s.toml", "-o", "out", cwd=tmp_path)
    assert_one_line(done, 78, "the job with brain.n_hidden = 1000000, seed = 0 may need")
    assert not (tmp_path / "out").exists()
    small = written(tmp_path, QUICK_TOML + "[sweep]\nreplicates = 3\n")
    dry = neurolp_command("sweep", small, "-o", "out", "--dry-run", cwd=tmp_path)
    assert "3 pending" in dry.stdout
    assert "memory of a job: up to" in dry.stdout
    assert not (tmp_path / "out").exists()
    assert neurolp_command("validate", small, cwd=tmp_path).stdout == f"{small}: valid, 3 jobs\n"


@pytest.mark.parametrize(
    "base",
    [
        {"stream": {"source": "ar2", "n_steps": 500}, "brain": {"n_hidden": 2000}},
        {"compare": False, "data": {"name": "digits"}, "brain": {"max_slices": 6}},
    ],
)
def test_estimates_are_bounds_and_not_absurd(base, tmp_path):
    (job,) = Sweep(base).jobs
    program = (
        "import re, sys\nfrom pathlib import Path\n"
        "from neurolp.runs.kinds import configuration_of\nfrom neurolp.sweep.job import execute\nimport json\n"
        "execute(configuration_of(json.loads(sys.argv[1]), ''), Path(sys.argv[2]))\n"
        # Not ru_maxrss, which counts the process that this one was forked from.
        "status = Path('/proc/self/status').read_text()\n"
        "print(1024 * int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]))"
    )
    plain = json.dumps(job.configuration.model_dump(mode="json"))
    done = python(program, plain, tmp_path / "a.h5")
    assert done.returncode == 0, done.stderr
    used = int(done.stdout)
    assert used < memory_of(job) < 5 * used


def fake_sweep(folder, grid, how, n_replicates, value):
    """A folder with the states of a sweep that was never run."""
    jobs = []
    for k, settings in enumerate(grid):
        for r in range(n_replicates):
            identity = f"{k:04d}{r:02d}"
            jobs.append({"identity": identity, "settings": settings, "replicate": r, "seed": r})
            (folder / "jobs" / identity).mkdir(parents=True)
            result = {"surprise": value(settings) + 0.1 * r, "rate": 0.5}
            write_state(folder / "jobs" / identity, JobState(DONE, 1, result=result))
    about = {"format": "neurolp-sweep", "version": 1, "title": "Made up", "how": how, "jobs": jobs}
    (folder / "sweep.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(
    ("grid", "how", "names"),
    [
        ([{"a": a} for a in (1, 10, 100)], {"a": "grid"}, {"curves"}),
        ([{"a": a, "b": b} for a in (1, 2, 3) for b in ("x", "y")], {"a": "grid", "b": "grid"}, {"curves", "heat_map"}),
        ([{"a": a, "b": b, "c": c} for a in (1, 2, 3) for b in (1, 2) for c in (True, False)], {"a": "grid", "b": "grid", "c": "list"}, {"curves", "heat_map", "heat_map_2"}),
        ([{"kind": {"kind": k}} for k in ("none", "full")], {"kind": "grid"}, {"curves"}),
        ([{"a": 10.0**-k, "b": "xy"[k % 2]} for k in range(5)], {"a": "random", "b": "random"}, {"draws"}),
        ([{}], {}, {"curves"}),
    ],
)  # fmt: skip
def test_figures(tmp_path, grid, how, names):
    table = collect(fake_sweep(tmp_path, grid, how, 3, lambda s: 1.0))
    drawn = figures(table)
    assert set(drawn) == names
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=50)


def test_there_is_nothing_to_draw_before_a_job_is_done(tmp_path):
    folder = fake_sweep(tmp_path, [{"a": 1}], {"a": "grid"}, 1, lambda s: 1.0)
    write_state(folder / "jobs" / "000000", JobState(RUNNING, 1))
    with pytest.raises(ConfigurationError, match="no job is done"):
        figures(collect(folder))
    (folder / "sweep.json").write_text('{"format": "neurolp-sweep", "version": 9}')
    with pytest.raises(FormatError, match="version 9 is too new"):
        collect(folder)
    (folder / "sweep.json").write_text("{")
    with pytest.raises(FormatError, match="damaged"):
        collect(folder)
