"""
Predict counts, and several sensors of different kinds
======================================================

A counter, a switch and a thermometer are read once an hour, and sometimes one of them fails. Each is a
sensor with a law of its own kind: masses for counts and symbols, a density for values.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import CategoricalSensor, ContinuousSensor, CountSensor, StreamBrain

rng = np.random.default_rng(0)
n = 3000
hour = np.arange(n) % 24
rain = (np.convolve(rng.standard_normal(n + 23), np.ones(24) / 24**0.5, "valid") > 0.8).astype(int)
degrees = 15 + 5 * np.sin(2 * np.pi * (hour - 9) / 24) + 0.5 * rng.standard_normal(n)
cars = rng.poisson(np.exp(1 + 1.2 * np.cos(2 * np.pi * (hour - 15) / 24) - 0.7 * rain))
rows = np.column_stack([cars, rain, degrees]).astype(float)
rows[rng.random(rows.shape) < 0.02] = np.nan  # failures

sensors = [CountSensor("cars"), CategoricalSensor(2, "rain"), ContinuousSensor(1, "degrees")]
brain = StreamBrain(sensors, n_hidden=50, n_lags=24, random_state=0)
run = brain.run(rows)

# %%
# Surprise by sensor; -log of a mass of a count is never negative. Missing values cost nothing.
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for k, sensor in enumerate(sensors):
    ax.plot(np.nanmean(run.surprise[:, k].reshape(-1, 120), axis=1), label=sensor.name)
ax.set(xlabel="five days", ylabel="mean surprise (nats)")
ax.legend(frameon=False)

# %%
# The next hour, for all three:
prediction = brain.predict()
print("P(0 .. 5 cars):", prediction["cars"].prob(range(6)).round(3).tolist())
print("P(rain):", prediction["rain"].probabilities[1].round(3))
print("degrees:", prediction["degrees"].mean.round(2), "+-", prediction["degrees"].std.round(2))
