"""Checks of what estimators are given: rows, targets, seeds; the split into parts; the scales."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, validate_data

from neurolp.brain.seeds import generator
from neurolp.errors import ConfigurationError, DataError

Array = npt.NDArray[Any]
Estimator = TypeVar("Estimator")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def fitted_or_not(
    fit: Callable[Concatenate[Estimator, Arguments], Result],
) -> Callable[Concatenate[Estimator, Arguments], Result]:
    """Decorate a method ``fit``: after an error or Ctrl-C the estimator is not fitted.

    What an earlier fit left goes when a new one begins.
    """

    def forget(estimator: Estimator) -> None:
        for name in list(vars(estimator)):
            if name.endswith("_") and not name.startswith("__"):
                delattr(estimator, name)

    @wraps(fit)
    def whole(estimator: Estimator, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        forget(estimator)
        try:
            return fit(estimator, *args, **kwargs)
        except BaseException:
            forget(estimator)
            raise

    return whole


def finite_rows(
    estimator: Any, X: Any, name: str, *, reset: bool = False, missing: bool = False, hint: str = ""
) -> Array:
    """Rows of argument ``name`` as finite float64, shape (n_samples, n_features).

    ``reset`` takes the number and names of columns from them, otherwise those of ``fit`` are
    wanted. With ``missing`` NaN is allowed too; else ``hint`` follows on a complaint about it.

    Raises
    ------
    DataError
        If a value is not finite; the message names its row and column.
    ValueError
        If the shape is wrong.
    """
    rows = validate_data(
        estimator, X, reset=reset, dtype=np.float64, ensure_all_finite=False, estimator=estimator
    )
    bad = np.argwhere(np.isinf(rows) if missing else ~np.isfinite(rows))
    if len(bad):
        row, column = bad[0]
        nan = bool(np.isnan(rows[row, column]))
        raise DataError(
            f"argument `{name}` must be finite{' or NaN' if missing else ''}, but contains "
            f"{'NaN' if nan else 'infinity'} at row {row}, column {column_name(estimator, column)}"
            f"{hint if nan else ''}"
        )
    return np.asarray(rows)


def column_name(estimator: Any, j: int) -> str:
    """What column ``j`` was called in ``fit``, or its number."""
    names = getattr(estimator, "feature_names_in_", None)
    return str(j) if names is None else f"'{names[j]}'"


def validation_split(n_samples: int, fraction: float, seed: int) -> tuple[Array, Array]:
    """Indices of training and validation rows, at least one of each.

    Raises
    ------
    DataError
        If there are fewer than two rows.
    """
    if n_samples < 2:
        raise DataError(f"argument `X` must have at least 2 rows, but has n_samples = {n_samples}")
    order = generator(seed, "validation split").permutation(n_samples)
    n_validation = min(max(round(fraction * n_samples), 1), n_samples - 1)
    return order[n_validation:], order[:n_validation]


def mean_and_scale(estimator: Any, train: Array) -> tuple[Array, Array]:
    """Mean and standard deviation (ddof 0) of each column of the training rows.

    Raises
    ------
    DataError
        If a column is constant, or so large that its variance is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = train.mean(axis=0), train.std(axis=0)
    if not np.all(np.isfinite(scale)):
        j = int(np.flatnonzero(~np.isfinite(scale))[0])
        raise DataError(
            f"argument `X` must have a finite variance, but column {column_name(estimator, j)} "
            f"has values up to {np.abs(train[:, j]).max():g}"
        )
    constant = np.flatnonzero(~(scale > 4 * np.finfo(np.float64).eps * abs(mean)))
    if len(constant):
        j = int(constant[0])
        raise DataError(
            f"argument `X` must vary in every column, but column {column_name(estimator, j)} is "
            f"constant ({train[0, j]:g}) in the training rows"
        )
    return mean, scale


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


class KnownAttributes:
    """Mixin of all estimators: refuses to assign an attribute that would have no effect.

    Parameters, what ``fit`` learns (names that end in an underscore) and private names are known.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign, or raise ``AttributeError`` where ``name`` is unknown."""
        if not (name.endswith("_") or name.startswith("_")):
            known = inspect.signature(type(self)).parameters
            if name not in known:
                raise AttributeError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}"
                )
        super().__setattr__(name, value)


def resolve_seed(random_state: Any) -> int:
    """Return the seed that ``random_state`` stands for; None draws one.

    A generator, of NumPy's new or old kind, is asked for the next number: two fits with the same
    generator differ, as scikit-learn has it.

    Raises
    ------
    ValueError
        If it is none of these, or an integer outside [0, 2^63).
    """
    if random_state is None:
        return secrets.randbits(32)
    if isinstance(random_state, (int, np.integer)):
        if not 0 <= random_state < 2**63:
            raise ValueError(
                f"argument `random_state` must be in [0, 2**63), but is {random_state}"
            )
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    return int(check_random_state(random_state).randint(2**31 - 1))
