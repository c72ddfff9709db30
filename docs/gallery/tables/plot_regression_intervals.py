"""
How sure is this regression?
============================

A regression that returns one number cannot say. ``ConditionalDensity`` learns all of p(y | x): here
the noise grows with x, and on the right y has two branches. A least-squares line with one width of
noise says that all of it is equally uncertain.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from neurolp import ConditionalDensity

rng = np.random.default_rng(0)


def draw(n):
    """Inputs (n, 1) and targets (n,)."""
    x = rng.uniform(0, 4, n)
    branch = np.where((x > 2) & (rng.random(n) < 0.5), -1.0, 1.0)
    return x[:, None], branch * x + (0.1 + 0.1 * x) * rng.standard_normal(n)


X, y = draw(600)
X_test, y_test = draw(1000)
model = ConditionalDensity(random_state=0).fit(X, y)

# %%
# The density over a grid of y, the interval that holds 90 %, and the mean.
grid_x, grid_y = np.linspace(0, 4, 120), np.linspace(-6, 6, 200)
xx, yy = np.meshgrid(grid_x, grid_y)
p = np.exp(model.log_prob(xx.reshape(-1, 1), yy.ravel())).reshape(xx.shape)
interval = model.predict_interval(grid_x[:, None], 0.9)

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.pcolormesh(grid_x, grid_y, np.sqrt(p), cmap="Blues", rasterized=True)
ax.plot(X, y, ".", color="0.2", ms=2, alpha=0.5)
ax.plot(grid_x, interval, color="C1", label="90 % interval")
ax.plot(grid_x, model.predict(grid_x[:, None]), color="C3", ls="--", label="mean")
handles, labels = ax.get_legend_handles_labels()
ax.legend(handles[1:], labels[1:], frameon=False, loc="lower left")
ax.set(xlabel="x", ylabel="y")

# %%
# Intervals keep their promise, and the likelihood of new data says which model knows more.
low, high = model.predict_interval(X_test, 0.9).T
print(f"inside the 90 % interval: {np.mean((low <= y_test) & (y_test <= high)):.1%}")

line = LinearRegression().fit(X, y)
width = np.std(y - line.predict(X))
print(f"mean log p(y | x): {model.log_prob(X_test, y_test).mean():.2f} nats")
print(f"of least squares: {norm.logpdf(y_test, line.predict(X_test), width).mean():.2f} nats")
