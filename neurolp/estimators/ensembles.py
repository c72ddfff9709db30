"""What the conditional estimators share: parameters, targets and validation rows, all checked."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_consistent_length

from neurolp.differentiation.ensemble import Plan
from neurolp.differentiation.mixture_unit import BELLS
from neurolp.differentiation.perceptron_learning import Teaching
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators.tables import finite_rows

Array = npt.NDArray[Any]

# (type, lowest, highest) of every parameter that is a number.
_RANGES: dict[str, tuple[Any, float, float]] = {
    "n_components": (Integral, 1, 1000),
    "n_members": (Integral, 2, 1000),
    "rate": (Real, 0.0, 1.0),
    "batch_size": (Integral, 1, 10**9),
    "max_epochs": (Integral, 0, 10**6),
    "patience": (Integral, 1, 10**6),
}
ROUTES = ("softmax", "bayes")
_CHOICES = {"bell": BELLS, "route": ROUTES}


def check_committee(parameters: dict[str, Any]) -> Plan:
    """Return the plan that the parameters of an estimator stand for.

    Raises
    ------
    ConfigurationError
        For the first parameter that is out of range.
    """
    for name, choices in _CHOICES.items():
        if name in parameters and parameters[name] not in choices:
            raise ConfigurationError(
                f"argument `{name}` must be one of {choices}, but is {parameters[name]!r}"
            )
    for name, (kind, low, high) in _RANGES.items():
        value: Any = parameters.get(name)
        if name in parameters and not (value is None and name == "batch_size"):
            if not _is_number(value, kind):
                what = "an integer" if kind is Integral else "a number"
                raise ConfigurationError(f"argument `{name}` must be {what}, but is {value!r}")
            if not low <= value <= high:
                raise ConfigurationError(
                    f"argument `{name}` must lie in [{low}, {high}], but is {value}"
                )
    hidden = _numbers("hidden", parameters["hidden"], Integral, 1)
    strengths = []
    for name in ("decays", "input_noise"):
        values = _numbers(name, parameters[name], Real, 0)
        if not values:
            raise ConfigurationError(
                f"argument `{name}` must have at least one value, but is empty"
            )
        strengths.append(tuple(dict.fromkeys(float(v) for v in values)))
    teaching = Teaching(
        rate=float(parameters["rate"]),
        batch_size=int(parameters["batch_size"] or 0),
        max_epochs=int(parameters["max_epochs"]),
        patience=int(parameters["patience"]),
    )
    return Plan(
        hidden=tuple(int(h) for h in hidden),
        decays=strengths[0],
        noises=strengths[1],
        n_folds=int(parameters["n_members"]),
        teaching=teaching,
    )


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, (bool, np.bool_))


def _numbers(name: str, values: Any, kind: Any, low: float) -> tuple[Any, ...]:
    what = "integers" if kind is Integral else "numbers"
    if isinstance(values, Iterable) and not isinstance(values, str):
        out = tuple(values)
        if all(_is_number(v, kind) and low <= v < np.inf for v in out):
            return out
    raise ConfigurationError(
        f"argument `{name}` must be a sequence of {what} >= {low}, but is {values!r}"
    )


def finite_targets(y: Any, name: str, n_columns: int | None = None) -> Array:
    """Targets as finite float64, (n_samples, n_targets), from one or several columns.

    Raises
    ------
    DataError
        If they are no numbers, not finite, or not of ``n_columns`` columns.
    """
    if y is None:
        raise DataError(
            f"argument `{name}` is missing: a regressor requires y to be passed, "
            "but the target y is None"
        )
    try:
        if np.asarray(y).dtype.kind in "SU":
            raise ValueError
        out = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"argument `{name}` must hold numbers, but cannot be read as such"
        ) from None
    out = out[:, None] if out.ndim == 1 else out
    if out.ndim != 2 or out.shape[1] == 0:
        raise DataError(
            f"argument `{name}` must have shape (n_samples,) or (n_samples, n_targets), "
            f"but has shape {np.shape(y)}"
        )
    if n_columns is not None and out.shape[1] != n_columns:
        raise DataError(
            f"argument `{name}` must have {n_columns} columns, as in fit, but has {out.shape[1]}"
        )
    bad = np.argwhere(~np.isfinite(out))
    if len(bad):
        row, column = bad[0]
        what = "NaN" if np.isnan(out[row, column]) else "infinity"
        raise DataError(
            f"argument `{name}` must be finite, but contains {what} at row {row}, column {column}"
        )
    return out


def same_length(X: Array, y: Any, X_name: str, y_name: str) -> None:
    """Raise ``DataError`` unless there are as many rows as targets."""
    try:
        check_consistent_length(X, y)
    except ValueError:
        raise DataError(
            f"argument `{y_name}` must have as many rows as `{X_name}`, {len(X)}, "
            f"but has {np.shape(y)[0]}"
        ) from None


def validation_rows(estimator: Any, X: Any, y: Any) -> Array | None:
    """The rows of ``X_validation``, or None where neither they nor their targets are given.

    Raises
    ------
    ConfigurationError
        If only one of both is given.
    """
    if (X is None) != (y is None):
        given, lacks = (
            ("y_validation", "X_validation") if X is None else ("X_validation", "y_validation")
        )
        raise ConfigurationError(f"argument `{lacks}` must be given too where `{given}` is")
    if X is None:
        return None
    rows = finite_rows(estimator, X, "X_validation")
    same_length(rows, y, "X_validation", "y_validation")
    return rows
