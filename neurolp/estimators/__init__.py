"""scikit-learn faces of the brains."""

from neurolp.estimators.density import BrainDensity

__all__ = ["BrainDensity"]
