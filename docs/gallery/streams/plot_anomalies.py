"""
Detect anomalies in a stream
============================

What is anomalous depends on what was before. The surprise of a step, -log p(step | past), needs no
threshold for each sensor and no examples of faults.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import ContinuousSensor, StreamBrain

rng = np.random.default_rng(0)
t = np.arange(4000)
daily = np.sin(2 * np.pi * t / 48) + 0.3 * np.sin(2 * np.pi * t / 12)
values = daily + 0.1 * rng.standard_normal(len(t))

# Three faults: a spike, a day that stands still, and a phase that slips by a quarter.
values[2500] += 1.0
values[3000:3048] = values[2999]
values[3500:] = np.sin(2 * np.pi * (t[3500:] + 12) / 48) + 0.1 * rng.standard_normal(500)
faults = {"spike": 2500, "stands still": 3000, "slips": 3500}

# %%
# It learns all the time, also what is odd: a new habit is odd once.
brain = StreamBrain(ContinuousSensor(), n_hidden=50, random_state=0)
surprise = brain.run(values).total

# %%
# Alarm where a step is more surprising than all but one in a thousand before the first fault.
threshold = np.quantile(surprise[1000:2400], 0.999)
alarms = np.flatnonzero(surprise > threshold)
for name, begin in faults.items():
    near = alarms[(alarms >= begin) & (alarms < begin + 48)]
    print(f"{name:14s}at {begin}: alarms after {(near - begin).tolist()} steps")
others = [a for a in alarms if a > 2400 and not any(b <= a < b + 100 for b in faults.values())]
print(f"alarms elsewhere after step 2400: {len(others)}")

fig, axes = plt.subplots(2, 1, figsize=(8, 4.4), layout="constrained", sharex=True)
shown = slice(2350, 3700)
axes[0].plot(t[shown], values[shown], lw=0.8)
axes[0].set(ylabel="sensor")
axes[1].plot(t[shown], surprise[shown], lw=0.8, color="C3")
axes[1].axhline(threshold, color="0.4", ls="--", label="threshold")
axes[1].set(xlabel="step", ylabel="surprise (nats)")
axes[1].set_yscale("symlog")
axes[1].legend(frameon=False)
for ax in axes:
    for begin in faults.values():
        ax.axvline(begin, color="0.8", zorder=0)
