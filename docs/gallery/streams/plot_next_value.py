"""
Predict the next value of a sensor
==================================

``StreamBrain`` reads a sequence once. Before each value it predicts a whole distribution of it, then
it sees the value and learns. Here a pendulum is driven by noise, so that the best possible
surprise is known.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import ContinuousSensor, StreamBrain
from neurolp.data.streams import generator

stream = generator("ar2", 6000)
values = stream.read(6000)[:, 0]

brain = StreamBrain(ContinuousSensor(), n_hidden=50, random_state=0)
run = brain.run(values, predictions=True)

# %%
# Surprise falls to the entropy rate of the source, below which nobody can stay.
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
window = 200
ax.plot(np.arange(0, 6000, window), run.total.reshape(-1, window).mean(axis=1), label="StreamBrain")
ax.axhline(stream.rate, color="0.4", ls="--", label="entropy rate of the source")
ax.set(xlabel="step", ylabel="mean surprise (nats)")
ax.legend(frameon=False)

# %%
# The last steps, as they were predicted one step before: two standard deviations around the mean.
last = slice(-80, None)
mean, std = run.mean["value"][last, 0], run.std["value"][last, 0]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.fill_between(range(80), mean - 2 * std, mean + 2 * std, alpha=0.3, label="predicted")
ax.plot(values[last], "k.", ms=4, label="observed")
ax.set(xlabel="step", ylabel="value")
ax.legend(frameon=False)

# %%
# And the next one, which nobody has seen:
next_value = brain.predict()["value"]
print(f"mean {next_value.mean[0]:.2f}, standard deviation {next_value.std[0]:.2f}")
print("quantiles (5, 50, 95 %):", next_value.quantile([0.05, 0.5, 0.95]).round(2).tolist())

# %%
# Several steps ahead: dreams are sampled from the predictions, each the input of the next.
futures = np.array([brain.dream(20, random_state=seed)[:, 0] for seed in range(50)])
print("after 20 steps:", futures[:, -1].mean().round(2), "+-", futures[:, -1].std().round(2))
