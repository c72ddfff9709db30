"""scikit-learn faces of the brains."""

from neurolp.estimators.base import Brain
from neurolp.estimators.density import BrainDensity
from neurolp.estimators.online import OnlineBrain

# What `model` in a configuration or a file stands for.
BRAINS: dict[str, type[Brain]] = {"density": BrainDensity, "online": OnlineBrain}

__all__ = ["BRAINS", "Brain", "BrainDensity", "OnlineBrain"]
