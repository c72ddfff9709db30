"""neurolp: a brain-simulation engine for the learning principle.

All learning is estimating the probability of the input data. A network of nodes evolves in time,
a local log-likelihood rule is applied in every slice, and the trajectory goes to HDF5.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurolp.auditing import AuditReport, audit
    from neurolp.brain.sensors import CategoricalSensor, ContinuousSensor
    from neurolp.defects import TextbookDefects, textbook_defects
    from neurolp.errors import (
        ConfigurationError,
        DataError,
        FormatError,
        NetworkError,
        NeurolpError,
        OutputError,
        RecordingError,
    )
    from neurolp.estimators import (
        BoundedBrain,
        BrainDensity,
        ConditionalClassifier,
        ConditionalDensity,
        LinearBrain,
        MonotoneDensity,
        OnlineBrain,
        TriangularDensity,
        load_brain,
    )
    from neurolp.experiments.resuming import resume
    from neurolp.reproduction import Reproduction, reproduce
    from neurolp.stream_brain import StreamBrain
    from neurolp.sweep.api import Sweep
    from neurolp.trajectory.reader import LabelledArray, Trajectory, open_trajectory
    from neurolp.trajectory.recorder import Recorder

__version__ = "0.1.0"

__all__ = [
    "AuditReport",
    "BoundedBrain",
    "BrainDensity",
    "CategoricalSensor",
    "ConditionalClassifier",
    "ConditionalDensity",
    "ConfigurationError",
    "ContinuousSensor",
    "DataError",
    "FormatError",
    "LabelledArray",
    "LinearBrain",
    "MonotoneDensity",
    "NetworkError",
    "NeurolpError",
    "OnlineBrain",
    "OutputError",
    "Recorder",
    "RecordingError",
    "Reproduction",
    "StreamBrain",
    "Sweep",
    "TextbookDefects",
    "Trajectory",
    "TriangularDensity",
    "audit",
    "load_brain",
    "open_trajectory",
    "reproduce",
    "resume",
    "textbook_defects",
]

_HOMES = {
    "AuditReport": "auditing",
    "BoundedBrain": "estimators",
    "BrainDensity": "estimators",
    "CategoricalSensor": "brain.sensors",
    "ConditionalClassifier": "estimators",
    "ConditionalDensity": "estimators",
    "ContinuousSensor": "brain.sensors",
    "LabelledArray": "trajectory.reader",
    "LinearBrain": "estimators",
    "MonotoneDensity": "estimators",
    "OnlineBrain": "estimators",
    "Recorder": "trajectory.recorder",
    "Reproduction": "reproduction",
    "StreamBrain": "stream_brain",
    "Sweep": "sweep.api",
    "TextbookDefects": "defects",
    "Trajectory": "trajectory.reader",
    "TriangularDensity": "estimators",
    "audit": "auditing",
    "load_brain": "estimators",
    "open_trajectory": "trajectory.reader",
    "reproduce": "reproduction",
    "resume": "experiments.resuming",
    "textbook_defects": "defects",
}


def __getattr__(name: str) -> object:
    """Import public names when first used: scikit-learn alone costs the command line 2 s."""
    if name not in __all__:
        raise AttributeError(f"module 'neurolp' has no attribute {name!r}")
    module = importlib.import_module(f"neurolp.{_HOMES.get(name, 'errors')}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
