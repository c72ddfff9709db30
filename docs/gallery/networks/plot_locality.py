"""
What does locality cost?
========================

A local rule uses what is at the synapse. An exact gradient carries errors back through time. The
likelihood is exact for both, so that the difference can be measured in nats.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from neurolp import OnlineBrain

X = StandardScaler().fit_transform(load_breast_cancer().data[:, :10])
X, X_validation, X_test = np.split(np.random.default_rng(0).permutation(X), [350, 450])

# %%
# Six slices of time, each with its own parameters. With horizon h the signal of a slice comes from
# h - 1 slices later at most: 1 is local, 6 the exact gradient.
horizons = (1, 2, 3, 6)
scores = []
for horizon in horizons:
    how = {"signal": "local"} if horizon == 1 else {"signal": "replay", "horizon": horizon}
    brain = OnlineBrain(n_slices=6, period=6, max_epochs=40, random_state=0, **how)
    scores.append(-brain.fit(X, X_validation=X_validation).score_samples(X_test))

covariance = np.cov(X.T)
quadratic = np.einsum("ni,ij,nj->n", X_test, np.linalg.inv(covariance), X_test)
normal = 0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1]).mean()

# %%
# All brains see the same rows: bars are standard errors of the differences to the exact gradient.
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
means = [score.mean() for score in scores]
errors = [(score - scores[-1]).std() / len(score) ** 0.5 for score in scores]
ax.errorbar(horizons, means, errors, fmt="o-", capsize=3, label="OnlineBrain")
ax.axhline(normal, color="0.5", ls=":", label="one normal law")
ax.set_xticks(horizons, ["1\nlocal", "2", "3", "6\nexact"])
ax.set(xlabel="horizon (slices)", ylabel="test surprise (nats)")
ax.legend(frameon=False)
for horizon, mean in zip(horizons, means, strict=True):
    print(f"horizon {horizon}: {mean:.2f} nats a row")
print(f"one normal law: {normal:.2f}")
