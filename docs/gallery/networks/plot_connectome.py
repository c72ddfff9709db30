"""
Use my own connectome
=====================

A connectome is a table with a synapse a row. Its weights become the recurrent weights of a network,
and its nodes keep their names: for input, currents, lesions and records.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import neurolp
from neurolp import Activity, ContinuousSensor, StreamBrain

# %%
# Any frame or file will do; this one is a chain from a receptor to a muscle with a loop in it, and
# an inhibitory neuron, whose synapses have negative weights.
synapses = pd.DataFrame(
    [
        ("touch", "inter_1", 8),
        ("inter_1", "inter_2", 6),
        ("inter_2", "inter_1", 4),
        ("inter_2", "motor", 7),
        ("inter_1", "brake", 5),
        ("brake", "motor", -6),
    ],
    columns=["pre", "post", "synapses"],
)
wiring = neurolp.from_edge_table(synapses, source="pre", target="post", weight="synapses")
print(wiring.names)

# %%
# Input goes to one neuron; nothing learns but the readout.
to_touch = np.array([[name == "touch"] for name in wiring.names], dtype=float)
brain = StreamBrain(
    ContinuousSensor(location=0.0, scale=1.0),
    n_hidden=wiring.n_nodes,
    n_lags=1,
    connectivity=wiring,
    spectral_radius=0.9,
    input_weights=to_touch,
    train_connectivity=False,
    train_input_weights=False,
    experts=False,
    random_state=0,
)

# %%
# A touch of five steps, with the network as it is, and without its inhibitory neuron.
touch = np.zeros(40)
touch[5:10] = 2.0
shown = ["touch", "inter_1", "brake", "motor"]
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
for ax, title, network in (
    (axes[0], "intact", brain.copy()),
    (axes[1], "without brake", brain.copy().lesion(nodes=["brake"])),
):
    run = network.run(touch, learn=False, monitors=[Activity(nodes=shown)])
    lines = ax.plot(run.monitors["activity_time"], run.monitors["activity"])
    ax.set(title=title, xlabel="step")
axes[0].set_ylabel("activity")
axes[1].legend(lines, shown, frameon=False)
