"""scikit-learn faces of the brains."""

from neurolp.estimators.density import BrainDensity
from neurolp.estimators.online import OnlineBrain

__all__ = ["BrainDensity", "OnlineBrain"]
