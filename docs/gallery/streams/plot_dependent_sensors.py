"""
Predict sensors that depend on each other
=========================================

The rows of a stream hold several sensors, and what one of them says about this very step tells something
about the others. Each sensor is predicted given the past *and* the sensors before it in the row.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import CategoricalSensor, ContinuousSensor, StreamBrain

# A valve is open or closed at random; while it is open, the flow is high, and pressure falls with flow.
rng = np.random.default_rng(0)
n = 3000
valve = (rng.random(n) < 0.4).astype(float)
flow = np.where(valve == 1, 5.0, 1.0) + 0.5 * rng.standard_normal(n)
pressure = 10 - flow + 0.2 * rng.standard_normal(n)
rows = np.column_stack([valve, flow, pressure])

sensors = [
    CategoricalSensor(2, "valve"),
    ContinuousSensor(1, "flow"),
    ContinuousSensor(1, "pressure"),
]
brain = StreamBrain(sensors, n_hidden=20, n_lags=2, random_state=0)
run = brain.run(rows)

# %%
# The past says nothing here, and the order of the row says everything: valve, then flow, then pressure.
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for k, sensor in enumerate(sensors):
    ax.plot(
        np.arange(50, n, 100), run.surprise[:, k].reshape(-1, 100).mean(axis=1), label=sensor.name
    )
ax.set(xlabel="step", ylabel="mean surprise (nats)")
ax.legend(frameon=False)
best = -0.5 * np.log(2 * np.pi * np.e * np.array([0.5, 0.2]) ** 2)
print("last 500 steps:", run.surprise[-500:].mean(axis=0).round(3))
print("least possible:", np.round([-0.4 * np.log(0.4) - 0.6 * np.log(0.6), *-best], 3))

# %%
# Before the next row nothing is known; with the valve read, the flow is; with the flow, the pressure.
for known in ({}, {"valve": 1}, {"valve": 1, "flow": 6.0}):
    predicted = brain.predict(known)["pressure"]
    print(f"{known!s:32s} pressure {predicted.mean[0]:.2f} +- {predicted.std[0]:.2f}")
