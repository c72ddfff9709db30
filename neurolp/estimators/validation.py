"""Checks of what estimators are given: rows, targets, seeds; the split into parts; the scales."""

from __future__ import annotations

import inspect
import secrets
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.columns import Columns
from neurolp.data.containers import numbers_of, read_container
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators.files import StoredEstimator
from neurolp.simulation.progress import verbose_fit

Method = TypeVar("Method", bound=Callable[..., Any])


def fitted_or_not(fit: Method) -> Method:
    """Decorate a method ``fit``: after an error or Ctrl-C the estimator is not fitted.

    What an earlier fit left goes when a new one begins. A ``verbose`` estimator shows its progress.
    """

    def forget(estimator: Any) -> None:
        for name in list(vars(estimator)):
            if name.endswith("_") and not name.startswith("__"):
                delattr(estimator, name)

    @wraps(fit)
    def whole(estimator: Any, /, *args: Any, **kwargs: Any) -> Any:
        forget(estimator)
        try:
            with verbose_fit(estimator):
                return fit(estimator, *args, **kwargs)
        except BaseException:
            forget(estimator)
            raise

    return cast(Method, whole)


def finite_rows(
    estimator: Any, X: Any, name: str, *, reset: bool = False, missing: bool = False, hint: str = ""
) -> Array:
    """Rows of argument ``name`` as finite float64, shape (n_samples, n_features).

    ``reset`` takes the number and names of columns from them, otherwise those of ``fit`` are
    wanted. With ``missing`` NaN is allowed too; else ``hint`` follows on a complaint about it.

    Raises
    ------
    DataError
        If a value is no number, or not finite; the message names its column.
    ValueError
        If columns have other names than in ``fit``, or another number, in scikit-learn's words.
    """
    table = read_container(X, name)
    validate_data(estimator, table.stand_in(), reset=reset, skip_check_array=True)
    rows = numbers_of(table, name, "BrainDensity takes columns of any kind")
    check_finite(rows, name, partial(column_name, estimator), missing=missing, hint=hint)
    return np.asarray(rows)


def read_columns(
    estimator: Any,
    X: Any,
    name: str = "X",
    *,
    kinds: Mapping[str | int, str] | None = None,
    reset: bool = False,
    absent: int | None = None,
) -> Array:
    """Codes (n_samples, n_features) of a table of any columns; see :class:`Columns`.

    ``reset`` infers the columns and sets ``columns_``, ``n_features_in_`` and, of frames,
    ``feature_names_in_``; otherwise the columns of ``fit`` are wanted, of which number ``absent``
    may be missing.

    Raises
    ------
    DataError
        One line that names the column: what is in it is no column, or not the one of ``fit``.
    ConfigurationError
        If ``kinds`` has an unknown column or kind, or one that a column cannot have.
    ValueError
        If an array has another number of columns than in ``fit``, in scikit-learn's words.
    """
    table = read_container(X, name)
    by_name = not reset and table.names is not None and estimator.columns_.container == "frame"
    if absent is None and not by_name:  # names may be in any order, which scikit-learn refuses
        validate_data(estimator, table.stand_in(), reset=reset, skip_check_array=True)
    if not reset:
        return cast(Columns, estimator.columns_).encode(table, name, absent=absent)
    estimator.columns_, codes = Columns.read(table, kinds=kinds, name=name)
    return codes


def check_finite(
    values: Array,
    name: str,
    label: Callable[[Any], str] = str,
    *,
    missing: bool = False,
    hint: str = "",
) -> None:
    """Raise :class:`DataError` for the first value that is not finite, or with ``missing`` NaN.

    ``values`` are (n,) or (n, n_columns); ``label`` is what a column is called, ``hint`` follows on
    a complaint about NaN.
    """
    bad = np.argwhere(np.isinf(values) if missing else ~np.isfinite(values))
    if len(bad):
        row, *columns = bad[0]
        nan = bool(np.isnan(values[tuple(bad[0])]))
        raise DataError(
            f"argument `{name}` must be finite{' or NaN' if missing else ''}, but contains "
            f"{'NaN' if nan else 'infinity'} at row {row}"
            f"{''.join(f', column {label(j)}' for j in columns)}{hint if nan else ''}"
        )


def column_name(estimator: Any, j: int) -> str:
    """What column ``j`` was called in ``fit``, or its number."""
    names = getattr(estimator, "feature_names_in_", None)
    return str(j) if names is None else repr(str(names[j]))


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


def mean_and_scale(
    train: Array, name: str = "X", label: Callable[[Any], str] = str
) -> tuple[Array, Array]:
    """Mean and standard deviation (ddof 0) of each column of the training rows.

    Raises
    ------
    DataError
        If a column is constant, or so large that its variance is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = train.mean(axis=0), train.std(axis=0)
    for j in np.flatnonzero(~np.isfinite(scale)):
        raise DataError(
            f"argument `{name}` must have a finite variance, but column {label(j)} "
            f"has values up to {np.abs(train[:, j]).max():g}"
        )
    for j in np.flatnonzero(~(scale > 4 * np.finfo(np.float64).eps * abs(mean))):
        raise DataError(
            f"argument `{name}` must vary in every column, but column {label(j)} is "
            f"constant ({train[0, j]:g}) in the training rows"
        )
    return mean, scale


def pairs(
    read_rows: Callable[[Any, str], Array],
    read_targets: Callable[[Any, str], Array],
    X: Any,
    y: Any,
    names: tuple[str, str] = ("X", "y"),
) -> tuple[Array, Array]:
    """Rows, and as many targets, which the two functions read, given a value and its name.

    Raises
    ------
    DataError
        If there are more of one than of the other, or as they raise it.
    """
    rows = read_rows(X, names[0])
    targets = read_targets(y, names[1])
    if len(rows) != len(targets):
        raise DataError(
            f"argument `{names[1]}` must have as many rows as `{names[0]}`, {len(rows)}, "
            f"but has {len(targets)}"
        )
    return rows, targets


def with_validation(
    rows: Array,
    targets: Array,
    read_rows: Callable[[Any, str], Array],
    read_targets: Callable[[Any, str], Array],
    X: Any,
    y: Any,
) -> tuple[Array, Array, int]:
    """Rows and targets, followed by those for validation, if given, and the number of these.

    Raises
    ------
    ConfigurationError
        If only one of ``X_validation`` and ``y_validation`` is given.
    """
    names = "X_validation", "y_validation"
    if X is None and y is None:
        return rows, targets, 0
    if X is None or y is None:
        lacks, given = names if X is None else names[::-1]
        raise ConfigurationError(f"argument `{lacks}` must be given too where `{given}` is")
    further, values = pairs(read_rows, read_targets, X, y, names)
    return np.vstack([rows, further]), np.concatenate([targets, values]), len(further)


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


class Density(KnownAttributes, StoredEstimator, DensityMixin, BaseEstimator):
    """Estimators of densities."""

    @abstractmethod
    def score_samples(self, X: Any) -> Array:
        """Log-density of each row in nats and the units of ``X``, shape (n_samples,)."""

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the rows of ``X`` in nats."""
        return float(np.mean(self.score_samples(X)))
