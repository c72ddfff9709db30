"""
Wound a network, and watch
==========================

Take nodes away from a network that has learned: what does it lose, and does it recover? A lesion is
for ever, but learning goes on with what is left.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import Activity, ContinuousSensor, StreamBrain
from neurolp.data.streams import generator

values = generator("mackey_glass", 3000).read(3000)
values = (values - values.mean()) / values.std()
intact = StreamBrain(
    ContinuousSensor(location=0.0, scale=1.0),
    n_hidden=60,
    n_lags=1,
    connectivity="full",
    spectral_radius=0.95,
    experts=False,
    random_state=0,
)
intact.run(values[:1500])

# %%
# Forty of sixty nodes are silenced. One copy goes on learning, one does not.
rng = np.random.default_rng(0)
gone = np.sort(rng.choice(60, 40, replace=False))
runs = {
    "intact": intact.copy().run(values[1500:]),
    "lesion": (wounded := intact.copy().lesion(nodes=gone)).run(
        values[1500:], monitors=[Activity(every=1)]
    ),
    "lesion, not learning": intact.copy().lesion(nodes=gone).run(values[1500:], learn=False),
}

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, run in runs.items():
    ax.plot(np.arange(25, 1500, 50), run.total.reshape(-1, 50).mean(axis=1), label=name)
    print(f"{name:22s}{run.total[-500:].mean():7.3f} nats a step at the end")
ax.set(xlabel="step after the lesion", ylabel="mean surprise (nats)")
ax.set_yscale("symlog")
ax.legend(frameon=False)

# %%
# What was recorded: the silent nodes are the white columns.
activity = runs["lesion"].monitors["activity"][:200]
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
image = ax.imshow(activity, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
ax.set(xlabel="node", ylabel="step after the lesion")
fig.colorbar(image, label="activity")
print("silent:", bool(np.all(activity[:, gone] == 0)))
