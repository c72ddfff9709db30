"""Every public estimator, small and quick, and data it learns from."""

import inspect

import numpy as np
from sklearn.base import BaseEstimator, clone

import neurolp
from neurolp import (
    BoundedBrain,
    BrainDensity,
    ConditionalClassifier,
    ConditionalDensity,
    LinearBrain,
    MonotoneDensity,
    OnlineBrain,
    TriangularDensity,
)

_SMALL = {"hidden": (8,), "decays": (1.0,), "n_members": 2, "max_epochs": 20, "random_state": 0}

# Add a new estimator here: it gets the tests of scikit-learn's conventions and of files.
CASES = {
    "brain": BrainDensity(random_state=0, max_slices=6),
    "online": OnlineBrain(random_state=0, max_epochs=3, n_slices=4),
    "linear": LinearBrain(random_state=0, max_epochs=3),
    "bounded": BoundedBrain(random_state=0, max_epochs=3),
    "triangular": TriangularDensity(random_state=0, max_layers=6),
    "monotone": MonotoneDensity(random_state=0),
    "conditional density": ConditionalDensity(**_SMALL),
    "softmax": ConditionalClassifier(**_SMALL),
    "bayes": ConditionalClassifier(
        route="bayes", density=BrainDensity(max_slices=3, head="base"), random_state=0
    ),
}


def public_estimators():
    """All classes among the public names that scikit-learn takes for estimators."""
    found = (getattr(neurolp, name) for name in neurolp.__all__)
    return {c for c in found if inspect.isclass(c) and issubclass(c, BaseEstimator)}


def table(estimator, n=60):
    """Rows, and targets that suit the estimator: labels, numbers, or None."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3)) @ rng.standard_normal((3, 3))
    if isinstance(estimator, MonotoneDensity):
        return X[:, :1], None
    if isinstance(estimator, ConditionalClassifier):
        return X, np.where(X[:, 0] > rng.standard_normal(n), "yes", "no")
    if isinstance(estimator, ConditionalDensity):
        return X, X[:, 0] + rng.standard_normal(n)
    return X, None


def fitted(name):
    """A fitted copy of a case, and its data."""
    estimator = clone(CASES[name])
    X, y = table(estimator)
    return estimator.fit(X, y), X, y
