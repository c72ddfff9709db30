"""Processor time of every example, as `neurolp examples` shows it; writes simulations/seconds.csv.

    python benchmarks/examples.py [NAME]...

Each runs in a process of its own, whose time and that of its children is counted, wherever other
work is done on the machine. Kernels have to be compiled before: run it twice from a fresh cache.
Rows of examples that are not named stay as they are.
"""

import csv
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from neurolp.config.examples import NOTEBOOK, SECONDS, SWEEP, Example, examples, examples_root


def seconds_of(example: Example, folder: str) -> float:
    """Run one example in ``folder``; seconds of processor time."""
    command = [sys.executable, "-m", "neurolp", "run", str(example.path), "-q"]
    if example.kind == SWEEP:
        command[3] = "sweep"
    if example.kind == NOTEBOOK:
        command = [sys.executable, "-m", "jupyter", "execute", "--timeout=3600"]
        command += [f"--output={Path(folder) / 'out.ipynb'}", str(example.path)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    cwd = str(example.path.parent) if example.kind == NOTEBOOK else folder
    subprocess.run(command, cwd=cwd, check=True, env=os.environ | {"MPLBACKEND": "agg"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    table = examples_root() / "simulations" / SECONDS
    known = {name: e.seconds for name, e in examples().items() if e.seconds is not None}
    for name in sys.argv[1:] or list(examples()):
        with tempfile.TemporaryDirectory() as folder:
            known[name] = round(seconds_of(examples()[name], folder), 1)
        print(f"{name}: {known[name]} s", flush=True)
        with table.open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream, lineterminator="\n")
            rows.writerow(["name", "seconds"])
            rows.writerows([n, known[n]] for n in examples() if n in known)


if __name__ == "__main__":
    main()
