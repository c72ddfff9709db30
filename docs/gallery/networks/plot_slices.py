"""
Watch a density being learned
=============================

Time is what does the work: in each slice, nodes move a little, by rules that are local, and end as
independent normal variables. Backwards in time, normal numbers become new data.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import BrainDensity
from neurolp.data.problems_2d import sample_problem

X = sample_problem("two_moons", 3000, np.random.default_rng(0))
brain = BrainDensity(
    head="base", constructions=["brain"], max_slices=150, patience=150, random_state=0
).fit(X)

# %%
# Two thousand points at the beginning and at the end of time, coloured by where they came from.
points = sample_problem("two_moons", 2000, np.random.default_rng(1))
potential, log_det = brain.evolve(points)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, rows, title in ((axes[0], points, "data"), (axes[1], potential, "end of time")):
    ax.scatter(*rows.T, s=2, c=points[:, 1], cmap="viridis", rasterized=True)
    ax.set(title=title, aspect="equal")

# %%
# Nothing is lost on the way: the end state leads back to the point.
print(
    "error of the way back below 1e-6:", bool(np.abs(brain.rewind(potential) - points).max() < 1e-6)
)

# %%
# The density that follows, and points drawn from it.
grid = np.linspace(-2, 3, 150)
xx, yy = np.meshgrid(grid, grid)
p = np.exp(brain.score_samples(np.column_stack([xx.ravel(), yy.ravel()]))).reshape(xx.shape)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", sharex=True, sharey=True)
axes[0].pcolormesh(grid, grid, p, cmap="Blues", rasterized=True)
axes[1].plot(*brain.sample(2000, random_state=0).T, ".", ms=2)
axes[0].set(title="learned density", aspect="equal")
axes[1].set(title="drawn from it", aspect="equal")
print(f"its sum over this square: {p.sum() * (grid[1] - grid[0]) ** 2:.4f}")
