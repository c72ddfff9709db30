"""Targets of a regression: their kinds, their values as numbers (codes) and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.column import Column, decoded, snapped
from neurolp.data.columns import Columns
from neurolp.data.containers import Container, read_sequence
from neurolp.data.inputs import is_binary_number
from neurolp.differentiation.axes import GridAxis
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators.validation import check_finite, mean_and_scale

Kind = Literal["auto", "continuous", "ordinal", "nominal"]

_ARRAYS = (np.ndarray, pd.arrays.NumpyExtensionArray)
_NARROWEST = 1e-9  # cell, in standard deviations
_UNEXPECTED = ("date", "duration")  # families of values


@dataclass(frozen=True)
class Targets:
    """The ``columns`` of the targets of ``fit``; ``flat`` where they were a single sequence."""

    columns: Columns
    flat: bool

    @classmethod
    def read(cls, y: Any, kind: Kind, name: str) -> tuple[Self, Array]:
        """The targets in argument ``name``, and their codes (n_samples, n_targets).

        ``kind`` is that of all columns; "auto" infers them. Zeros and ones are nominal only where
        there is no other target.

        Raises
        ------
        DataError
            If they are no targets: missing or infinite values, dates, constants, nominal ones
            beside others.
        ConfigurationError
            If they cannot be of the ``kind``.
        """
        table, flat = _container(y, name)
        _check_numbers(table, name, varying=True)
        every = range(len(table.columns))
        kinds: dict[str | int, str] = {} if kind == "auto" else dict.fromkeys(every, kind)
        columns, codes = _columns(table, kinds, name)
        if kind == "auto" and len(columns) > 1:
            binary = [j for j, column in enumerate(columns) if is_binary_number(column)]
            if binary:
                columns, codes = _columns(table, dict.fromkeys(binary, "ordinal"), name)
        _check_present(codes, name)
        for j, (column, label) in enumerate(zip(columns, map(table.label, every), strict=True)):
            if column.family in _UNEXPECTED:
                raise DataError(
                    f"argument `{name}` must hold numbers or categories, but column {label} has "
                    "dates or durations; numbers of days can be targets"
                )
            if column.kind == "constant" and not column.categories:
                raise DataError(f"argument `{name}` must not be missing, but column {label} is")
            if column.kind in ("constant", "nominal") and len(column.categories) < 2:
                raise DataError(
                    f"argument `{name}` must vary in every column, but column {label} is constant "
                    f"({column.categories[0]!r})"
                )
            if column.kind == "ordinal":
                _check_grid(column, codes[:, j], label, name)
            if column.kind == "nominal" and len(columns) > 1:
                raise DataError(
                    f"argument `{name}` has {len(columns)} columns, of which {label} is nominal: "
                    "such a target must be the only one"
                )
        if len(codes) > 1 and columns[0].kind != "nominal":
            mean_and_scale(codes, name, lambda j: table.label(int(j)))
        return cls(columns, flat), codes

    def encode(self, y: Any, name: str) -> Array:
        """Codes (n_samples, n_targets) of targets.

        Raises
        ------
        DataError
            If they have other columns than in ``fit``, are missing or infinite, or are a label that
            was not there.
        """
        table, _ = _container(y, name)
        if len(table.columns) != len(self.columns):
            raise DataError(
                f"argument `{name}` must have {len(self.columns)} columns, as in fit, "
                f"but has {len(table.columns)}"
            )
        _check_numbers(table, name)
        unnamed = Container(table.columns, table.n_rows, None, table.kind)
        codes = self.columns.encode(unnamed, name)
        _check_present(codes, name)
        for column, values in zip(self.columns, codes.T, strict=True):
            if column.categories and np.any(values >= len(column.categories)):
                row = int(np.flatnonzero(values >= len(column.categories))[0])
                raise DataError(
                    f"argument `{name}` must have values that are in `y` of fit, "
                    f"but has another one at row {row}"
                )
        return codes

    def encode_possible(self, y: Any, name: str) -> Array:
        """:meth:`encode` of targets that have to be on the grids; a DataError if they are not."""
        codes = self.encode(y, name)
        if not np.all(possible := self.possible(codes)):
            row = int(np.flatnonzero(~possible)[0])
            raise DataError(
                f"argument `{name}` must have values on the grid of `y`, but row {row} has another"
            )
        return codes

    def read_levels(self, values: Any, name: str) -> Array:
        """Levels in [0, 1], (n_samples, n_targets).

        Raises
        ------
        DataError
            If they have another shape, or are NaN.
        ConfigurationError
            If they are not in [0, 1].
        """
        out = np.asarray(values, dtype=np.float64)
        out = out[:, None] if out.ndim == 1 else out
        if out.ndim != 2 or out.shape[1] != len(self):
            raise DataError(
                f"argument `{name}` must have the shape of the targets, {len(self)} columns, "
                f"but has shape {np.shape(values)}"
            )
        check_finite(out, name)
        check_levels(name, out)
        return out

    def possible(self, codes: Array) -> Array:
        """Whether rows (n, n_targets) have values that are on the grids, (n,)."""
        return np.asarray(self.columns.supported(codes).all(axis=1))

    def axis(self, i: int) -> GridAxis | None:
        """The grid of ordinal target ``i``; None of others."""
        column = self.columns[i]
        if column.kind != "ordinal":
            return None
        return GridAxis(column.levels, column.step, bool(column.categories) or not column.step)

    def values(self, i: int, codes: Array, *, possible: bool = False) -> Array:
        """What codes of target ``i`` stand for, of the same shape: numbers as float64, labels.

        ``possible``: there are values of the target only, which get its dtype.
        """
        column = self.columns[i]
        if _labelled(column) or (possible and column.kind == "ordinal"):
            cells = np.asarray(decoded(column, np.ravel(codes)))
            return cells.reshape(np.shape(codes))
        if column.kind == "ordinal" and column.step:
            return snapped(codes, column.step, 1e-12, column.levels)
        return codes

    def shaped(self, codes: Array, *, possible: bool = False) -> Array:
        """What codes (..., n_targets) stand for, in the shape of the targets of ``fit``."""
        each = [self.values(i, codes[..., i], possible=possible) for i in range(codes.shape[-1])]
        return each[0] if self.flat else np.stack(each, axis=-1)

    @property
    def nominal(self) -> bool:
        """Whether the only target is nominal."""
        return self.columns[0].kind == "nominal"

    @property
    def labelled(self) -> Array:
        """Which targets have no numbers but labels, (n_targets,)."""
        return np.array([_labelled(column) for column in self.columns])

    def __len__(self) -> int:
        return len(self.columns)


def _labelled(column: Column) -> bool:
    return column.kind == "nominal" or bool(column.categories)


def _columns(table: Container, kinds: dict[str | int, str], name: str) -> tuple[Columns, Array]:
    unnamed = Container(table.columns, table.n_rows, None, table.kind)
    try:
        return Columns.read(unnamed, kinds=kinds, name=name)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("`kinds`", "`target_kind`")) from None


def _container(y: Any, name: str) -> tuple[Container, bool]:
    """Columns of targets, and whether they are a single sequence."""
    if y is None:
        raise DataError(
            f"argument `{name}` is missing: a regressor requires y to be passed, "
            "but the target y is None"
        )
    return read_sequence(y, name)


def _check_grid(column: Column, codes: Array, label: str, name: str) -> None:
    """Refuse cells that are too narrow for differences between their ends."""
    step = column.step or float(np.diff(column.levels).min(initial=np.inf))
    spread = float(codes.std())
    if step < _NARROWEST * spread:
        raise DataError(
            f"argument `{name}` must not have steps as small as {step:g} beside a standard "
            f"deviation of {spread:.3g} for masses, but column {label} has; "
            "with target_kind='continuous' it has a density"
        )


def _check_numbers(table: Container, name: str, *, varying: bool = False) -> None:
    """Refuse numbers that are not finite, and such columns without or with too large a variance."""
    columns = [np.asarray(c) if isinstance(c, _ARRAYS) else None for c in table.columns]
    numbers = all(c is not None and c.dtype.kind in "iuf" for c in columns)
    if not numbers:
        return
    values = np.column_stack([np.asarray(c, dtype=np.float64) for c in columns])
    check_finite(values, name, lambda j: table.label(int(j)))
    if varying and len(values) > 1:
        mean_and_scale(values, name, lambda j: table.label(int(j)))


def _check_present(codes: Array, name: str) -> None:
    missing = np.argwhere(np.isnan(codes))
    if len(missing):
        row, column = missing[0]
        raise DataError(
            f"argument `{name}` must not have missing values, but has one at row {row}, "
            f"column {column}"
        )


def check_levels(name: str, levels: Array) -> None:
    """Refuse what are no levels of quantiles."""
    if not np.all((levels >= 0) & (levels <= 1)):
        raise ConfigurationError(f"argument `{name}` must lie in [0, 1], but is {levels}")
