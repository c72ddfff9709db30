"""One job: its state on disk, its lock, what it runs, and the memory it may need."""

import json
import subprocess
import sys

import numpy as np
import pytest

from neurolp import Sweep, open_trajectory
from neurolp.storage.lock import HeldError, Lock
from neurolp.sweep.api import memory_of
from neurolp.sweep.job import run_job
from neurolp.sweep.state import DONE, PENDING, RUNNING, JobState, read_state, write_state
from tests.processes import assert_one_line, neurolp_command, python
from tests.processes import start as started
from tests.sweep.quick import QUICK, QUICK_TOML, written


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
    assert first.state == DONE
    assert np.isfinite(first.result[column])
    with open_trajectory(tmp_path / "p" / "result.h5") as file:
        assert file.configuration["seed"] == 0
    assert run_job(str(tmp_path / "p"), configuration) == first
    # A worker that died between the result and the state: the result is taken over.
    before = (tmp_path / "p" / "result.h5").stat().st_mtime_ns
    write_state(tmp_path / "p", JobState(RUNNING, 1))
    (tmp_path / "p" / ".neurolp-x.partial").write_text("litter")
    again = run_job(str(tmp_path / "p"), configuration)
    assert (again.state, again.attempts, again.result) == (DONE, 2, first.result)
    assert (tmp_path / "p" / "result.h5").stat().st_mtime_ns == before
    # .. unless it is damaged.
    image = (tmp_path / "p" / "result.h5").read_bytes()
    (tmp_path / "p" / "result.h5").write_bytes(image[: len(image) // 2])
    write_state(tmp_path / "p", JobState(RUNNING, 1))
    assert run_job(str(tmp_path / "p"), configuration).result[column] == first.result[column]


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
        {
            "compare": False,
            "data": {"name": "digits", "dequantise": True},
            "brain": {"max_slices": 6},
        },
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
