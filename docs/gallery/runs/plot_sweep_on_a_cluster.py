"""
Sweep on a cluster
==================

One configuration, many settings, on all the machines you have. A sweep gives its jobs to the workers of a
Dask scheduler, and its folder keeps what is done: killed workers cost only what was running.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt

from neurolp import Sweep

folder = Path(tempfile.mkdtemp())

# %%
# On a cluster the commands ``dask scheduler --scheduler-file scheduler.json`` and, for each processor,
# ``dask worker --nthreads 1 --scheduler-file scheduler.json`` are lines of job scripts, on machines that share
# their files; ``dask-jobqueue`` writes such scripts. Here all of them run on this machine.
one_thread = {**os.environ, "NUMBA_NUM_THREADS": "1"}
file = ["--scheduler-file", str(folder / "scheduler.json")]
dask = [sys.executable, "-m", "dask"]
quiet = {"env": one_thread, "stderr": subprocess.DEVNULL, "cwd": folder}
cluster = [subprocess.Popen([*dask, "scheduler", "--port", "0", "--no-dashboard", *file], **quiet)]
cluster += [
    subprocess.Popen([*dask, "worker", "--nthreads", "1", "--no-dashboard", *file], **quiet)
    for _ in range(2)
]

# %%
# How many hidden nodes does a chaotic series need, and does their recurrence matter? Each setting is run
# with three seeds, which also draw three series. ``neurolp sweep FILE --scheduler ADDRESS`` does the same with
# a TOML file.
base = {
    "stream": {"source": "mackey_glass", "n_steps": 1500},
    "brain": {"experts": False, "n_lags": 1},
}
sweep = Sweep(
    base,
    grid={"brain.n_hidden": [3, 10, 30, 100], "connectivity": [{"kind": "none"}, {"kind": "full"}]},
    replicates=3,
    seeds=["seed", "stream.seed"],
)
print(f"{len(sweep)} jobs")

while not (folder / "scheduler.json").exists():
    time.sleep(0.1)
address = json.loads((folder / "scheduler.json").read_text())["address"]
outcome = sweep.run(folder / "jobs", scheduler=address)
for process in reversed(cluster):
    process.terminate()
    process.wait()
print(outcome.counts)
print("keys without effect:", outcome.without_effect)

# %%
# Results are one pandas frame, a row for each job.
table = sweep.collect(folder / "jobs")
table["recurrent"] = table["connectivity"].str.contains("full")
found = table.groupby(["recurrent", "brain.n_hidden"])["surprise"].agg(["mean", "std"])
print(found.round(3))

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for recurrent, rows in found.groupby(level=0):
    n_hidden = rows.index.get_level_values(1)
    name = "recurrent" if recurrent else "not recurrent"
    ax.errorbar(n_hidden, rows["mean"], rows["std"], fmt="o-", capsize=3, label=name)
ax.set(xscale="log", xlabel="hidden nodes", ylabel="mean surprise, last fifth (nats)")
ax.set_xticks([3, 10, 30, 100], ["3", "10", "30", "100"])
ax.legend(frameon=False)
