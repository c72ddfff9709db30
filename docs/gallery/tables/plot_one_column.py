"""
How is one column distributed?
==============================

A histogram depends on its bins. ``MonotoneDensity`` learns the distribution function itself, a
network with positive weights, and finds edges and several modes without a setting.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import MonotoneDensity

# 40 % waiting times that begin at zero, 60 % around 5: an edge and two modes.
rng = np.random.default_rng(0)
x = np.where(rng.random(400) < 0.4, rng.exponential(1.0, 400), rng.normal(5, 0.6, 400))
density = MonotoneDensity(random_state=0).fit(x)
print("ends of the support:", density.ends_)

# %%
# Density, distribution function and quantiles belong to one another exactly.
grid = np.linspace(-0.5, 8, 800)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
axes[0].hist(x, 40, density=True, color="0.85", label="400 values")
true = 0.4 * np.exp(-grid) * (grid > 0)
true += 0.6 * np.exp(-0.5 * ((grid - 5) / 0.6) ** 2) / 0.6 / np.sqrt(2 * np.pi)
axes[0].plot(grid, true, color="0.4", ls="--", label="truth")
axes[0].plot(grid, density.pdf(grid), label="learned")
axes[0].set(xlabel="x", ylabel="density")
axes[0].legend(frameon=False)
axes[1].plot(grid, density.cdf(grid))
levels = np.array([0.05, 0.5, 0.95])
axes[1].plot(density.ppf(levels), levels, "o", label="quantiles: 5, 50, 95 %")
axes[1].set(xlabel="x", ylabel="distribution function")
axes[1].legend(frameon=False)

# %%
# Numbers of the distribution that need all of it:
print(f"P(x < 2) = {density.cdf(2.0):.3f}")
print(f"entropy = {density.entropy():.3f} nats")
print("five new values:", density.sample(5).ravel().round(2))
