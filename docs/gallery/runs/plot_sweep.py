"""
Sweep on a cluster
==================

One configuration with many settings: jobs run on all processors of this machine, or on the workers
of any Dask scheduler. Here the cluster is a local one; for a real one, give its address.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from distributed import LocalCluster

import neurolp

# %%
# How many hidden nodes does this stream need, and how much does the draw of the network matter?
base = {
    "stream": {"source": "mackey_glass", "n_steps": 2000},
    "brain": {"n_lags": 2, "experts": False},
}
sweep = neurolp.Sweep(base, grid={"brain.n_hidden": [0, 10, 100]}, replicates=2)
folder = Path(tempfile.mkdtemp()) / "sweep"
print("\n".join(sweep.plan(folder)).replace(str(folder), "FOLDER"))

# %%
# A script needs ``if __name__ == "__main__":`` around this. What is done is on disk: after an
# interruption the same call continues.
with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
    outcome = sweep.run(folder, scheduler=cluster.scheduler_address)
print({state.state for state in outcome.states.values()})

# %%
# One table of settings and results.
table = sweep.collect(folder)
print(table[["brain.n_hidden", "seed", "surprise", "seconds"]].round(2).to_string(index=False))

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for k, (n_hidden, rows) in enumerate(table.groupby("brain.n_hidden")):
    ax.plot([k] * len(rows), rows["surprise"], "o", color="C0")
ax.set_xticks(range(3), ["0", "10", "100"])
ax.set(xlabel="hidden nodes", ylabel="surprise at the end (nats a step)")
