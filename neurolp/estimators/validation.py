"""Parameters of the estimators: whether they are in range, and what seed they mean."""

from __future__ import annotations

import secrets
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from neurolp.brain.base_density import BASE_NAMES
from neurolp.brain.rules.local import SIGNALS
from neurolp.brain.update_order import GROUP_NAMES
from neurolp.errors import ConfigurationError
from neurolp.stream.network import RULES

_CHOICES: dict[str, tuple[str, ...]] = {
    "base": BASE_NAMES,
    "groups": GROUP_NAMES,
    "dtype": ("float64", "float32"),
    "signal": SIGNALS,
    "energy": ("auto", "mixture", "base"),
    "rule": tuple(RULES),
}
_OPTIONAL = ("n_threads", "spline_intervals", "horizon", "batch_size")
# Lowest and highest values, and whether they are integers.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "max_layers": (0, np.inf, True),
    "max_slices": (0, np.inf, True),
    "patience": (1, np.inf, True),
    "n_threads": (1, np.inf, True),
    "spline_intervals": (2, 100, True),
    "n_slices": (1, np.inf, True),
    "n_hidden": (0, np.inf, True),
    "interneurons": (0, np.inf, True),
    "period": (1, np.inf, True),
    "horizon": (1, np.inf, True),
    "batch_size": (1, np.inf, True),
    "max_epochs": (0, np.inf, True),
    "n_steps": (0, np.inf, True),
    "n_lags": (0, np.inf, True),
    "fan_in": (1, np.inf, True),
    "max_order": (0, np.inf, True),
    "n_contexts": (0, np.inf, True),
    "warmup": (2, np.inf, True),
    "process_noise": (0.0, 1.0, False),
    "recurrent_rate": (0.0, 1.0, False),
    "homeostasis": (0.0, 1.0, False),
    "mixing_rate": (0.0, 1.0, False),
    "strength": (0.0, 1e6, False),
    "recurrent_strength": (0.0, 1e6, False),
    "coupling_rate": (0.0, 1.0, False),
    "node_rate": (0.0, 1.0, False),
    "coupling_ridge": (0.0, np.inf, False),
    "node_ridge": (0.0, np.inf, False),
    "rate": (0.0, 1.0, False),
    "decay": (0.0, 1.0, False),
    "average": (0.0, 1.0, False),
    "validation_fraction": (0.0, 1.0, False),
    "synapse_slope": (0.0, np.inf, False),
    "spline_range": (1e-3, 1e3, False),
}


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raise ``ConfigurationError`` for the first parameter of an estimator that is out of range."""
    for name, choices in _CHOICES.items():
        if name == "groups" and not isinstance(parameters.get(name), str):
            continue  # a partition of one's own is checked against the nodes where it is used
        if name in parameters and parameters[name] not in choices:
            raise ConfigurationError(
                f"argument `{name}` must be one of {choices}, but is {parameters[name]!r}"
            )
    for name, (low, high, whole) in _RANGES.items():
        if name in parameters and not (parameters[name] is None and name in _OPTIONAL):
            _check_number(name, parameters[name], low, high, whole)
    for name in ("gain", "receptors"):
        if not isinstance(parameters.get(name, True), (bool, np.bool_)):
            raise ConfigurationError(
                f"argument `{name}` must be True or False, but is {parameters[name]!r}"
            )
    try:
        [float(t) for t in parameters.get("synapse_thresholds", ())]
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"argument `synapse_thresholds` must be a sequence of numbers, "
            f"but is {parameters['synapse_thresholds']!r}"
        ) from None
    constants = parameters.get("time_constants", (1.0, 1.0))
    if len(constants) != 2 or not 1 <= constants[0] <= constants[1] < np.inf:
        raise ConfigurationError(
            "argument `time_constants` must be two numbers, 1 <= shortest <= longest, "
            f"but is {constants!r}"
        )
    tune = parameters.get("fine_tune")
    if tune is not None and tune != "all" and not (_is_whole(tune) and tune >= 1):
        raise ConfigurationError(
            f"argument `fine_tune` must be None, 'all' or an integer >= 1, but is {tune!r}"
        )
    _check_rotation(parameters)
    if parameters.get("interneurons", 0) and parameters["connectivity"] is not None:
        raise ConfigurationError(
            "argument `interneurons` needs full connectivity, but edges are given"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _check_number(name: str, value: Any, low: float, high: float, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        kind = "an integer" if whole else "a number"
        raise ConfigurationError(f"argument `{name}` must be {kind}, but is {value!r}")
    if not low <= float(value) <= high:
        optional = "None or " if name in _OPTIONAL else ""
        wanted = f"be {optional}>= {low:g}" if high == np.inf else f"lie in [{low:g}, {high:g}]"
        if optional and high < np.inf:
            wanted = f"be None or in [{low:g}, {high:g}]"
        raise ConfigurationError(f"argument `{name}` must {wanted}, but is {value}")


def _check_rotation(parameters: dict[str, Any]) -> None:
    rotation = parameters.get("rotation", False)
    if not isinstance(rotation, (bool, np.bool_)) and rotation != "auto":
        raise ConfigurationError(
            f"argument `rotation` must be 'auto', True or False, but is {rotation!r}"
        )
    if rotation != "auto" and rotation and parameters["connectivity"] is not None:
        raise ConfigurationError("argument `rotation` needs full connectivity, but edges are given")


def resolve_seed(random_state: Any) -> int:
    """Return the seed that a scikit-learn ``random_state`` stands for; None draws one."""
    if random_state is None:
        return secrets.randbits(32)
    if isinstance(random_state, (int, np.integer)):
        if not 0 <= random_state < 2**63:
            raise ValueError(
                f"argument `random_state` must be in [0, 2**63), but is {random_state}"
            )
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
