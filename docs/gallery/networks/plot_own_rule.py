"""
Write your own learning rule
============================

A learning rule sees what is at its own synapses and returns a step. Whatever it returns, the engine
keeps the density exactly normalised, so that rules can be compared in nats.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import neurolp
from neurolp import BrainDensity


# %%
# A Hebbian rule: a weight moves against the product of what its target should lose and what its
# source brings. ``view.sum`` adds over rows, block by block, on threads.
@dataclass(frozen=True)
class Hebbian:
    """A gradient step for each synapse, from its own two nodes."""

    rate: float = 0.05
    node_rate: float = 0.5  # share of their step that the node maps take

    def learn(self, view, rng):
        def products(features, u):
            return (view.base.psi(u) @ features[:-1].T,)  # the last row is ones

        gradient = view.sum(products)[0] / view.n_rows
        allowed = np.tile(view.edges, (1, view.transfer.n_transfer))
        weights = -self.rate / len(view.sources) * gradient * allowed
        return neurolp.LocalStep(weights, np.zeros(len(weights)))


# %%
# The certificate: log-determinant against brute force, and that the local loss falls.
print(neurolp.check_rule(Hebbian()))

# %%
# Beside the built-in rule, which takes a share of a Newton step, on ten columns of a table.
X = StandardScaler().fit_transform(load_breast_cancer().data[:, :10])
X, X_validation, X_test = np.split(np.random.default_rng(0).permutation(X), [350, 450])
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, rule in (("greedy (built in)", "greedy"), ("Hebbian", Hebbian())):
    brain = BrainDensity(
        rule=rule,
        head="base",
        constructions=["brain"],
        max_slices=120,
        patience=120,
        random_state=0,
    ).fit(X, X_validation=X_validation)
    ax.plot(brain.record_.surprise["validation"], label=name)
    print(f"{name}: {brain.n_slices_} slices, {-brain.score(X_test):.2f} nats a test row")
ax.set(xlabel="slice", ylabel="surprise of validation rows (nats)")
ax.legend(frameon=False)
