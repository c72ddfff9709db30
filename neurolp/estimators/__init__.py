"""scikit-learn faces of the models."""

from __future__ import annotations

import importlib

from neurolp.estimators.base import Brain
from neurolp.estimators.classifier import ConditionalClassifier
from neurolp.estimators.conditional_density import ConditionalDensity
from neurolp.estimators.density import BrainDensity
from neurolp.estimators.files import load
from neurolp.estimators.monotone import MonotoneDensity
from neurolp.estimators.online import OnlineBrain
from neurolp.estimators.triangular import TriangularDensity

# Import paths, by model; those of the paper are in a room above this one.
BRAINS = {
    "density": "neurolp.estimators.density:BrainDensity",
    "online": "neurolp.estimators.online:OnlineBrain",
    "linear": "neurolp.paper.estimators:LinearBrain",
    "bounded": "neurolp.paper.estimators:BoundedBrain",
}

__all__ = [
    "Brain",
    "BrainDensity",
    "ConditionalClassifier",
    "ConditionalDensity",
    "MonotoneDensity",
    "OnlineBrain",
    "TriangularDensity",
    "brain_class",
    "load",
]


def brain_class(model: str) -> type[Brain]:
    """The estimator that files and configurations call ``model``."""
    module, _, name = BRAINS[model].partition(":")
    found: type[Brain] = getattr(importlib.import_module(module), name)
    return found
