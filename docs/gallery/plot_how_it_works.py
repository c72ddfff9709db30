"""
How does it work?
=================

Learning is estimating the probability of the input. This page shows the theory in pictures; the
equations are in :doc:`/principle`.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import BrainDensity, CategoricalSensor, StreamBrain
from neurolp.data.problems_2d import sample_problem
from neurolp.data.streams import generator

# %%
# A probability is judged by surprise
# -----------------------------------
# The surprise of a value is -log p. Here a coin shows heads with probability .7, and a model says q.
# The mean surprise is smallest where q is .7, and is there the entropy of the coin. No model gets
# below it, and a model that is wrong pays for it: this is the only loss that neurolp has.
q = np.linspace(0.01, 0.99, 200)
mean_surprise = -0.7 * np.log(q) - 0.3 * np.log(1 - q)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(q, mean_surprise)
ax.axhline(mean_surprise.min(), color="0.5", ls="--", label="entropy")
ax.axvline(0.7, color="0.5", ls=":", label="true probability")
ax.set(xlabel="what the model says, q", ylabel="mean surprise (nats)", ylim=(0.4, 2.5))
ax.legend(frameon=False)

# %%
# A density comes from a motion
# -----------------------------
# The columns of a row are written into the nodes of a network. Time runs in slices; in each of them
# a node moves, depending on its sources. After the last slice the nodes are independent normal
# variables. Points that had moved apart were dense, points that had moved together were sparse.
rng = np.random.default_rng(0)
X = sample_problem("two_moons", 3000, rng)


def brain_of(slices):
    """A brain that has learned for so many slices."""
    settings = {"head": "base", "constructions": ["brain"], "random_state": 0}
    return BrainDensity(max_slices=slices, patience=slices, **settings).fit(X)


brain = brain_of(120)
points = sample_problem("two_moons", 1500, rng)
stages = {
    "data, standardised": (points - X.mean(axis=0)) / X.std(axis=0),
    "5 slices": brain_of(5).evolve(points)[0],
    "20 slices": brain_of(20).evolve(points)[0],
    "end of time": brain.evolve(points)[0],
}
fig, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for ax, (title, u) in zip(axes, stages.items(), strict=True):
    ax.scatter(*u.T, s=2, c=points[:, 1], cmap="viridis", rasterized=True)
    ax.set(title=title, xlabel="node 1", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
axes[0].set_ylabel("node 2")

# %%
# Why the density is exact
# ------------------------
# In a slice, node 1 is scaled and shifted by amounts that depend on node 2 alone, then node 2 by amounts
# that depend on node 1 alone. The matrix of derivatives of such a step is triangular, so that its
# determinant is the product of its diagonal: the factor by which a small area grows. Over all slices
# these factors multiply, and
#
# .. code-block:: text
#
#    log p(x) = log rho(u(T)) + log |det du(T)/dx|
#
# Beside the sum of the slices, the determinant by finite differences, which knows nothing of them:
x, h = points[:5], 1e-5
_, log_det = brain.evolve(x)
columns = [(brain.evolve(x + h * e)[0] - brain.evolve(x - h * e)[0]) / (2 * h) for e in np.eye(2)]
print("slices:            ", log_det.round(6))
print("finite differences:", np.linalg.slogdet(np.stack(columns, axis=2))[1].round(6))

# %%
# Each node learns what it sees
# -----------------------------
# No error travels back through the slices. A node has its own potential and those of its sources, and
# reduces its own surprise, one slice after another. Slices are added until rows that were set
# aside are no longer better described.
surprise = brain.record_.surprise
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(surprise["train"], label="learned from")
ax.plot(surprise["validation"], label="set aside")
ax.set(xlabel="slice", ylabel="mean surprise (nats)")
ax.legend(frameon=False)

# %%
# Backwards in time, it dreams
# ----------------------------
# Every step can be undone exactly. Normal numbers at the end of time, carried back, are new data.
new = brain.sample(1500, random_state=0)
print("way there and back, largest error below 1e-6:", end=" ")
print(bool(np.abs(brain.rewind(brain.evolve(points)[0]) - points).max() < 1e-6))
fig, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained", sharex=True, sharey=True)
for ax, rows, title in ((axes[0], points, "data"), (axes[1], new, "dreams")):
    ax.plot(*rows.T, ".", ms=2)
    ax.set(title=title, aspect="equal")

# %%
# In a stream, the state of the network is the memory
# ---------------------------------------------------
# p(sequence) is the product of p(step given what was before). A recurrent network carries what was
# before in its activity; from it, before each step, it says how probable each next value is, and then
# learns from the value that comes. Its mean surprise falls to the entropy rate of the source, here a Markov
# chain, and not below.
source = generator("markov3", 20_000)
symbols = source.read(20_000)
run = StreamBrain(CategoricalSensor(8), random_state=0).run(symbols)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(500 * np.arange(1, 41), run.total.reshape(-1, 500).mean(axis=1), label="network")
ax.axhline(source.rate, color="0.5", ls="--", label="entropy rate of the source")
ax.set(xlabel="step", ylabel="mean surprise (nats)")
ax.legend(frameon=False)
