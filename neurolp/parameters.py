"""Parameters of the estimators: whether they are in range, and what seed they mean."""

from __future__ import annotations

import secrets
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from neurolp.brain.base_density import BASE_NAMES
from neurolp.brain.groups import GROUP_NAMES
from neurolp.errors import ConfigurationError

_REAL = (
    "synapse_slope",
    "spline_range",
    "coupling_rate",
    "node_rate",
    "coupling_ridge",
    "node_ridge",
    "validation_fraction",
)


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raise ``ConfigurationError`` for the first parameter that is out of range."""
    for name, choices in (
        ("base", BASE_NAMES),
        # A partition of one's own is checked against the nodes where it is used.
        (
            "groups",
            GROUP_NAMES if isinstance(parameters["groups"], str) else [parameters["groups"]],
        ),
        ("dtype", ("float64", "float32")),
    ):
        if parameters[name] not in choices:
            raise ConfigurationError(
                f"argument `{name}` must be one of {choices}, but is {parameters[name]!r}"
            )
    for name in ("max_slices", "patience", "n_threads", "spline_intervals"):
        value = parameters[name]
        optional = name in ("n_threads", "spline_intervals") and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise ConfigurationError(f"argument `{name}` must be an integer, but is {value!r}")
    for name in _REAL:
        if isinstance(parameters[name], bool) or not isinstance(parameters[name], Real):
            raise ConfigurationError(
                f"argument `{name}` must be a number, but is {parameters[name]!r}"
            )
    if not isinstance(parameters["gain"], (bool, np.bool_)):
        raise ConfigurationError(
            f"argument `gain` must be True or False, but is {parameters['gain']!r}"
        )
    try:
        [float(t) for t in parameters["synapse_thresholds"]]
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"argument `synapse_thresholds` must be a sequence of numbers, "
            f"but is {parameters['synapse_thresholds']!r}"
        ) from None
    for name, low, high in (
        ("coupling_rate", 0.0, 1.0),
        ("node_rate", 0.0, 1.0),
        ("coupling_ridge", 0.0, np.inf),
        ("node_ridge", 0.0, np.inf),
        ("validation_fraction", 0.0, 1.0),
        ("max_slices", 0, np.inf),
        ("patience", 1, np.inf),
    ):
        if not low <= parameters[name] <= high:
            raise ConfigurationError(
                f"argument `{name}` must lie in [{low}, {high}], but is {parameters[name]}"
            )
    intervals = parameters["spline_intervals"]
    if intervals is not None and not 2 <= intervals <= 100:
        raise ConfigurationError(
            f"argument `spline_intervals` must be None or in [2, 100], but is {intervals}"
        )
    rotation = parameters["rotation"]
    if not isinstance(rotation, (bool, np.bool_)) and rotation != "auto":
        raise ConfigurationError(
            f"argument `rotation` must be 'auto', True or False, but is {rotation!r}"
        )
    if rotation != "auto" and rotation and parameters["connectivity"] is not None:
        raise ConfigurationError("argument `rotation` needs full connectivity, but edges are given")
    if parameters["n_threads"] is not None and parameters["n_threads"] < 1:
        raise ConfigurationError(
            f"argument `n_threads` must be >= 1, but is {parameters['n_threads']}"
        )


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
