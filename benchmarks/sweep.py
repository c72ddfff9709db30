"""What a sweep costs beyond its jobs, and whether it survives.

    python benchmarks/sweep.py            overhead of a job on Dask, with tiny jobs
    python benchmarks/sweep.py --faults   200 jobs, workers killed 20 times, the driver 5 times

Overhead: the median time from one end of a job to the next, of a sweep with one worker, minus the
median time of the run in it. Where other programs run too, the clock counts them as well; processor
time does not: that of all processes of two sweeps of different length, minus that of the runs in a
process of their own.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from neurolp import Sweep
from neurolp.runs import RunProgress
from neurolp.sweep.job import execute
from neurolp.sweep.workers import THREADS
from tests import sweep_faults

TINY = {
    "stream": {"source": "markov3", "n_steps": 200},
    "brain": {"n_hidden": 0, "n_lags": 1, "max_order": 2, "n_contexts": 256},
    "record": {"last": 0, "dream": 0, "brain": False, "weights_at": [], "every": 20},
}


def tiny(n: int) -> Sweep:
    return Sweep(TINY, replicates=n, seeds=["seed", "stream.seed"])


def own_seconds(n: int) -> tuple[float, float]:
    """Median time of the runs themselves, and mean processor time; in a process of its own."""
    command = [sys.executable, __file__, "--own", str(n)]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    wall, processor = map(float, done.stdout.split())
    return wall, processor


def print_own(n: int) -> None:
    took, started = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for k, job in enumerate(tiny(n).jobs):
            if k == 2:
                started = time.process_time()
            began = time.perf_counter()
            execute(job.configuration, Path(folder) / f"{k}.h5")
            took.append(time.perf_counter() - began)
    print(np.median(took[2:]), (time.process_time() - started) / (n - 2))


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def swept(n: int, folder: Path) -> tuple[float, np.ndarray, np.ndarray]:
    """Processor time of a sweep, times between ends of jobs, times of the runs in them."""
    ends: list[float] = []

    def observe(progress: RunProgress) -> None:
        ends.extend([time.perf_counter()] * (progress.time - len(ends)))

    began = processor_seconds()
    outcome = tiny(n).run(folder, workers=1, observe=observe)
    runs = np.array([state.seconds for state in outcome.states.values()])
    return processor_seconds() - began, np.diff(ends[2:]), runs[2:]


def overhead(n: int) -> None:
    before = own_seconds(n)
    with tempfile.TemporaryDirectory() as folder:
        swept(5, Path(folder) / "warm")
        few, _, _ = swept(n // 5, Path(folder) / "few")
        many, between, runs = swept(n, Path(folder) / "many")
        began = time.perf_counter()
        tiny(n).run(Path(folder) / "many", workers=1)
        again = time.perf_counter() - began
    after = own_seconds(n)
    own, job = np.median(runs), np.median(between)
    own_processor = (before[1] + after[1]) / 2
    processor = (many - few) / (n - n // 5)
    print(f"{n} jobs, ms each                  by the clock   of processors")
    print(f"the run in a process of its own {1e3 * before[0]:14.1f} {1e3 * own_processor:14.1f}")
    print(f"the run in a job              {1e3 * own:14.1f}")
    print(f"a job of the sweep            {1e3 * job:14.1f} {1e3 * processor:14.1f}")
    beyond = job - own, processor - own_processor
    print(f"overhead (to be below 50)       {1e3 * beyond[0]:14.1f} {1e3 * beyond[1]:14.1f}")
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"the sweep again, nothing to do: {again:.2f} s")


def faults(n_workers_killed: int, n_drivers_killed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, hidden = sweep_faults.write_sweep(folder, 18, 10, 6000)
        found = sweep_faults.torment(folder, n_workers_killed, n_drivers_killed, 2.0)
        sweep_faults.check(found, folder, files, hidden)
        attempts = found.table["attempts"]
        states = found.table["state"]
        counts = {str(state): int((states == state).sum()) for state in np.unique(states)}
        print(f"workers killed {found.workers_killed} times, drivers {found.drivers_killed} times")
        print(f"{found.n_jobs} jobs, each once: {counts}, as due")
        again = int((attempts > 1).sum())
        print(f"begun more than once: {again}, at most {int(attempts.max())} times")
        print(f"workers that outlived their driver: {found.orphans}; {found.seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--jobs", type=int, default=150)
    parser.add_argument("--own", type=int)
    asked = parser.parse_args()
    if asked.own:
        print_own(asked.own)
    elif asked.faults:
        faults(20, 5)
    else:
        overhead(asked.jobs)


if __name__ == "__main__":
    main()
