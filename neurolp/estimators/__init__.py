"""scikit-learn faces of the models."""

from __future__ import annotations

import os

from neurolp.estimators.base import Brain
from neurolp.estimators.classifier import ConditionalClassifier
from neurolp.estimators.conditional_density import ConditionalDensity
from neurolp.estimators.density import BrainDensity
from neurolp.estimators.monotone import MonotoneDensity
from neurolp.estimators.online import OnlineBrain
from neurolp.estimators.textbook import BoundedBrain, LinearBrain
from neurolp.estimators.triangular import TriangularDensity
from neurolp.storage.reader import open_trajectory

BRAINS: dict[str, type[Brain]] = {
    brain.model: brain for brain in (BrainDensity, LinearBrain, BoundedBrain, OnlineBrain)
}

__all__ = [
    "BRAINS",
    "BoundedBrain",
    "Brain",
    "BrainDensity",
    "ConditionalClassifier",
    "ConditionalDensity",
    "LinearBrain",
    "MonotoneDensity",
    "OnlineBrain",
    "TriangularDensity",
    "load_brain",
]


def load_brain(path: str | os.PathLike[str]) -> Brain:
    """Return the fitted brain in a trajectory file, of whatever kind it is.

    Raises
    ------
    FormatError
        If the file holds no brain that this release can read.
    """
    with open_trajectory(path) as file:
        model = str(file.brain.get("model", "density"))
    return BRAINS.get(model, BrainDensity).load(path)
