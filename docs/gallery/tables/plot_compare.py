"""
Is it better than a mixture or a kernel density?
================================================

Log-likelihoods of rows that no model has seen answer that, and nothing else does: all of these
densities are normalised, so that their nats can be compared.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from neurolp import BrainDensity, TriangularDensity

X = StandardScaler().fit_transform(load_breast_cancer().data[:, :10])
X, X_test = train_test_split(X, test_size=0.3, random_state=0)


def chosen(model, **grid):
    """The settings of the best cross-validated likelihood."""
    return GridSearchCV(model, grid, cv=5).fit(X).best_estimator_


kinds = ["full", "diag"]
models = {
    "kernel density": chosen(KernelDensity(), bandwidth=np.geomspace(0.1, 2, 20)),
    "one normal law": GaussianMixture().fit(X),
    "Gaussian mixture": chosen(
        GaussianMixture(random_state=0, reg_covar=1e-4),
        n_components=[2, 4, 8],
        covariance_type=kinds,
    ),
    "TriangularDensity": TriangularDensity(random_state=0).fit(X),
    "BrainDensity": BrainDensity(random_state=0).fit(X),
}
scores = {name: model.score_samples(X_test) for name, model in models.items()}

# %%
# Bars are standard errors. The models saw the same rows, so that *differences* between them are
# known better than the bars say.
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for k, (name, score) in enumerate(scores.items()):
    ax.errorbar(score.mean(), k, xerr=score.std() / len(score) ** 0.5, fmt="o", capsize=3)
    print(f"{name:20s}{score.mean():8.2f} nats a row")
ax.set_yticks(range(len(scores)), scores)
ax.set(xlabel="mean log-likelihood of test rows (nats, higher is better)")
