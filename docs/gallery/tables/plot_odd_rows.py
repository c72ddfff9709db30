"""
Find odd rows
=============

Every number of a row may be usual and the row still impossible: the *combination* is odd. The
log-probability of whole rows finds such rows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

from neurolp import BrainDensity

table = load_breast_cancer(as_frame=True).data
table = table[["mean radius", "mean texture", "mean area", "mean smoothness", "mean concavity"]]
rng = np.random.default_rng(0)
order = rng.permutation(len(table))
train, held_out, test = (table.iloc[part] for part in np.split(order, [300, 430]))

# %%
# Odd rows are test rows with the texture of one, and the smoothness and concavity of another row.
# No value is outside the usual range.
odd = test.copy()
for column in ("mean texture", "mean smoothness", "mean concavity"):
    odd[column] = rng.permutation(odd[column].to_numpy())

density = BrainDensity(random_state=0).fit(train)

# %%
# The threshold is where 5 % of rows are that the fit has not seen. (``density.predict`` takes that of
# the training rows, which are more probable than others where there are few.)
threshold = np.quantile(density.score_samples(held_out), 0.05)
scores = density.score_samples(test), density.score_samples(odd)
for name, log_p in zip(("true", "mixed"), scores, strict=True):
    print(f"called odd of the {name} rows: {np.mean(log_p < threshold):.0%}")

# %%
# How often is a mixed row more surprising than a true one? One half would be chance.
print(f"area under the ROC curve: {np.mean(scores[1][:, None] < scores[0]):.3f}")

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
bins = np.linspace(-max(map(np.max, scores)), 30 - threshold, 40)
for log_p, label in zip(scores, ("test rows", "values of three rows"), strict=True):
    ax.hist(np.minimum(-log_p, bins[-1]), bins, alpha=0.7, label=label)
ax.axvline(-threshold, color="0.3", ls="--", label="threshold")
ax.set(xlabel="surprise, -log p(row) (nats; the last bar: or more)", ylabel="rows")
ax.legend(frameon=False)
