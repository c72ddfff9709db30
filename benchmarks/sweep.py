"""What a sweep costs beyond its points, and whether it survives.

    python benchmarks/sweep.py            overhead of a point on Dask, with tiny points
    python benchmarks/sweep.py --faults   200 points, workers killed 20 times, the driver 5 times

Overhead: the median time from one end of a point to the next, of a sweep with one worker, minus the
median time of the run in it. What the same runs take one after another in a process of their own
is stated beside it: a run in a worker shall not be slower.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from neurolp import Sweep
from neurolp.sweep.point import execute
from neurolp.sweep.running import SweepProgress
from neurolp.sweep.workers import THREADS
from tests import sweep_faults

TINY = {
    "stream": {"source": "markov3", "n_steps": 200},
    "brain": {"hidden": 0, "delays": 1, "orders": 2, "cells": 256},
    "record": {"last": 0, "dream": 0, "brain": False, "weights_at": [], "every": 20},
}


def tiny(n: int) -> Sweep:
    return Sweep(TINY, replicates=n, seeds=["seed", "stream.seed"])


def own_seconds(n: int) -> float:
    """Median time of the runs themselves; in a process of its own."""
    command = [sys.executable, __file__, "--own", str(n)]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_own(n: int) -> None:
    took = []
    with tempfile.TemporaryDirectory() as folder:
        for k, point in enumerate(tiny(n).points):
            began = time.perf_counter()
            execute(point.configuration, Path(folder) / f"{k}.h5")
            took.append(time.perf_counter() - began)
    print(np.median(took[2:]))


def overhead(n: int) -> None:
    before = own_seconds(n)
    ends: list[float] = []

    def observe(progress: SweepProgress) -> None:
        through = progress.counts.get("done", 0)
        ends.extend([time.perf_counter()] * (through - len(ends)))

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        outcome = tiny(n).run(Path(folder) / "sweep", workers=1, observe=observe)
        whole = time.perf_counter() - began
        began = time.perf_counter()
        tiny(n).run(Path(folder) / "sweep", workers=1)
        again = time.perf_counter() - began
    after = own_seconds(n)
    per_point = float(np.median(np.diff(ends[2:])))
    own = float(np.median([state.seconds for state in outcome.states.values()]))
    print(f"{n} points, {outcome.counts}, {whole:.1f} s in all")
    print(f"a run by itself      {1e3 * before:6.1f} ms before, {1e3 * after:6.1f} ms after")
    print(f"the run in a point   {1e3 * own:6.1f} ms")
    print(f"a point of the sweep {1e3 * per_point:6.1f} ms")
    print(f"overhead             {1e3 * (per_point - own):6.1f} ms   (to be below 50)")
    print(f"run again, nothing to do: {again:.2f} s")


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
        print(f"{found.n_points} points, each once: {counts}, as due")
        again = int((attempts > 1).sum())
        print(f"begun more than once: {again}, at most {int(attempts.max())} times")
        print(f"workers that outlived their driver: {found.orphans}; {found.seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--points", type=int, default=150)
    parser.add_argument("--own", type=int)
    asked = parser.parse_args()
    if asked.own:
        print_own(asked.own)
    elif asked.faults:
        faults(20, 5)
    else:
        overhead(asked.points)


if __name__ == "__main__":
    main()
