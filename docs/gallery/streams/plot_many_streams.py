"""
Many streams at once
====================

Forty machines of one kind, each seen for a short time. ``StreamBatch`` gives each a memory of its own
and all of them one set of weights: what is common is learned forty times as fast.
"""

import matplotlib.pyplot as plt
import numpy as np

from neurolp import ContinuousSensor, StreamBatch, StreamBrain
from neurolp.data.streams import generator

n_streams, n_steps = 24, 300
X = np.array([generator("mackey_glass", n_steps, seed=k).read(n_steps) for k in range(n_streams)])
print(X.shape, "(streams, steps, columns)")

# %%
# The same brain for all, or one for each.
sensor = ContinuousSensor(location=0.9, scale=0.25)
brain = StreamBrain(sensor, n_hidden=40, experts=False, random_state=0)
together = StreamBatch(brain, n_streams).run(X).surprise[:, :, 0]
apart = StreamBatch(brain, n_streams, shared=False).run(X).surprise[:, :, 0]

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for surprise, label in ((apart, "weights of their own"), (together, "shared weights")):
    mean = surprise.mean(axis=0).reshape(-1, 10).mean(axis=1)
    ax.plot(np.arange(5, n_steps, 10), mean, label=label)
    print(f"{label}: {surprise[:, -100:].mean():.3f} nats a step at the end")
ax.set(xlabel="step of each stream", ylabel="mean surprise (nats)")
ax.legend(frameon=False)

# %%
# Streams may differ in length, values may be missing, and one of them can go on alone.
batch = StreamBatch(brain, 2)
lengths = [len(s) for s in batch.run([X[0], X[1, :120]]).surprise]
print("steps:", lengths)
alone = batch.brain(1)
print("the next value of stream 1:", alone.predict()["value"].mean.round(3))
