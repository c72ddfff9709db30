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
# Two thousand points on their way, coloured by where they came from.
points = sample_problem("two_moons", 2000, np.random.default_rng(1))
colour = points[:, 1]
times = np.linspace(0, brain.n_slices_, 5).astype(int)
fig, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained", sharex=True, sharey=True)
for ax, time in zip(axes, times, strict=True):
    potential, log_det = brain.evolve(points, stop=time)
    ax.scatter(*potential.T, s=2, c=colour, cmap="viridis", rasterized=True)
    ax.set(title=f"slice {time}", aspect="equal", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))

# %%
# Nothing is lost on the way: the end state leads back to the point.
potential, log_det = brain.evolve(points)
print("largest error of the way back:", np.abs(brain.rewind(potential) - points).max())

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
