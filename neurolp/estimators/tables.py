"""Tables of rows at the public edge: checked once, split for validation, standardised."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import validate_data

from neurolp.brain.seeds import generator
from neurolp.errors import DataError

Array = npt.NDArray[Any]


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
