"""
Read a trajectory file
======================

A run leaves one HDF5 file: what was recorded, the model, the configuration and where it all comes
from. It is read lazily, as an xarray dataset with named dimensions and units.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import neurolp

# %%
# The same as ``neurolp run`` of a file with these sections.
path = Path(tempfile.mkdtemp()) / "markov.h5"
trajectory = neurolp.run({"seed": 1, "stream": {"source": "markov3", "n_steps": 20_000}}, path)

# %%
# Variables have dimensions, coordinates and units, and are read when they are used.
surprise = trajectory["mean_surprise"]
print(surprise.dims, surprise.shape, surprise.attrs["units"])
print("first windows:", surprise[:3, 0].values.round(3))
print(dict(trajectory.dataset.sizes))

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(surprise[:, 0])
rate = neurolp.data.streams.generator("markov3", 1).rate
ax.axhline(rate, color="0.4", ls="--", label="entropy rate of the source")
ax.set(xlabel="window", ylabel="mean surprise (nats)")
ax.legend(frameon=False)

# %%
# Where it comes from, and the configuration that makes it again, to the last bit
# (``neurolp reproduce``).
print({key: trajectory.provenance[key] for key in ("seed", "created", "python")})
print(trajectory.configuration["stream"])
trajectory.close()

# %%
# The model is in the same file, and goes on from where it stopped.
brain = neurolp.load(path)
print(np.round(brain.predict()["symbol"].probabilities, 3))
