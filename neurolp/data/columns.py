"""Columns of a table: their kinds, and tables as numbers (codes) and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.column import Column, decoded, encoded, supported
from neurolp.data.column_inference import KINDS, infer_column, shared_range, within_range
from neurolp.data.containers import Container, read_container
from neurolp.data.values import read_values, without
from neurolp.errors import ConfigurationError, DataError

__all__ = ["KINDS", "Column", "Columns"]


@dataclass(frozen=True, repr=False)
class Columns(Sequence[Column]):
    """The columns of a table, by position or name, and the codes of its values.

    The codes (n_rows, n_columns) of a table are float64, and NaN where a value is missing:

    =========== ====================================================================================
    continuous  the value; dates and durations in days (since 1970, UTC)
    ordinal     the value; the position in its categories for an ordered pandas Categorical
    nominal     position 0 to K - 1 in ``categories``, K for a value that is none of them
    constant    0 where equal to the one value, 1 where not; missing is 0 where that is the value
    =========== ====================================================================================

    A value that a column cannot have is coded too (see :meth:`supported`), so that tables can be
    inputs whatever is in them.

    Parameters
    ----------
    columns : tuple of Column
        One for each column of the table.
    container : str
        What the table was: "frame", else the dtype of an array.
    integer_names : bool
        Whether the names of the frame were whole numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"n": [3, 1, 4], "who": ["eve", "bob", "eve"]})
    >>> columns = Columns.infer(frame)
    >>> columns.kinds
    ('ordinal', 'nominal')
    >>> columns.encode(frame).tolist()
    [[3.0, 0.0], [1.0, 1.0], [4.0, 0.0]]
    >>> columns.decode([[1, 1]])
       n  who
    0  1  bob
    """

    columns: tuple[Column, ...]
    container: str = "frame"
    integer_names: bool = False

    @classmethod
    def infer(
        cls, X: Any, *, kinds: Mapping[str | int, str] | None = None, name: str = "X"
    ) -> Columns:
        """The columns of the table in argument ``name``; see :meth:`read`."""
        return cls.read(X, kinds=kinds, name=name)[0]

    @classmethod
    def read(
        cls, X: Any, *, kinds: Mapping[str | int, str] | None = None, name: str = "X"
    ) -> tuple[Columns, Array]:
        """The columns of a table, and its codes.

        Parameters
        ----------
        X : frame, array or list of rows
            A pandas frame, one of a library known to narwhals, or one with the Arrow PyCapsule
            interface or the dataframe interchange protocol; an array; rows.
        kinds : mapping, optional
            The kind of some columns, by name or position: "continuous", "ordinal" or "nominal". The
            others are inferred, see :func:`neurolp.data.column_inference.infer_column`. Whole
            numbers are names where the names of a frame are such.
        name : str
            What the argument is called in messages.

        Raises
        ------
        DataError
            One line that names the column: what is in it is no column.
        ConfigurationError
            If ``kinds`` has an unknown column or kind, or one that a column cannot have.
        """
        table = read_container(X, name)
        names = table.names or tuple(f"x{j}" for j in range(len(table.columns)))
        asked = _asked(kinds, names, table.integer_names)
        columns = []
        codes = np.empty((table.n_rows, len(names)))
        for j, cells in enumerate(table.columns):
            values = read_values(cells, table.label(j), name)
            column = infer_column(values, names[j], asked.get(j), table.label(j), name)
            columns.append(column)
            codes[:, j] = encoded(column, values, table.label(j), name)
        if ends := shared_range(columns):
            for j in (j for j, c in enumerate(columns) if c.kind == "constant"):
                columns[j] = column = within_range(columns[j], ends)
                values = read_values(table.columns[j], table.label(j), name)
                codes[:, j] = encoded(column, values, table.label(j), name)
        kind = table.kind
        if kind == "rows":
            kind = _common_dtype([column.dtype for column in columns])
        return cls(tuple(columns), kind, table.integer_names), codes

    def encode(self, X: Any, name: str = "X", *, absent: int | None = None) -> Array:
        """Codes (n_rows, n_columns) of a table that has these columns.

        Columns of frames are found by their names, in any order; those of other tables by position.
        Column number ``absent`` may be missing from the table, and is then NaN.

        Raises
        ------
        DataError
            If there are other columns, or a column holds another kind of values (strings instead of
            numbers).
        """
        table = read_container(X, name)
        places = self._places(table, name, absent)
        codes = np.full((table.n_rows, len(self)), np.nan)
        for j, (column, place) in enumerate(zip(self.columns, places, strict=True)):
            if place is None:
                continue
            label = table.label(place)
            codes[:, j] = encoded(
                column, read_values(table.columns[place], label, name), label, name
            )
        return codes

    def _places(self, table: Container, name: str, absent: int | None) -> Sequence[int | None]:
        """Where each column is in the table; None where it is absent."""
        if table.names is None or self.container != "frame":
            if absent is not None and len(table.columns) == len(self) - 1:
                return [*range(absent), None, *range(absent, len(self) - 1)]
            if len(table.columns) != len(self):
                raise DataError(
                    f"argument `{name}` must have {len(self)} columns, as in fit, "
                    f"but has {len(table.columns)}"
                )
            return range(len(self))
        optional = None if absent is None else self.names[absent]
        lacking = [c for c in self.names if c not in table.names and c != optional]
        further = [c for c in table.names if c not in self.names]
        if lacking or further:
            what = f"lacks {lacking[0]!r}" if lacking else f"also has {further[0]!r}"
            raise DataError(f"argument `{name}` must have the columns of fit, but {what}")
        return [table.names.index(c) if c in table.names else None for c in self.names]

    def decode(self, codes: Any) -> Any:
        """The table that has these codes: a pandas frame, or an array where it was one.

        Dtypes and categories are those of the table that was inferred from. Integers with holes
        become pandas' nullable integers, in an array float64; integers that are continuous float64;
        dates in objects datetime64, numbers in objects float64. Times are rounded to the unit of
        their dtype and to microseconds. A value that was not seen is "unseen" (with underscores
        before it where that was), or one more than the largest number.

        Raises
        ------
        DataError
            If codes have another shape, or stand for nothing: an unseen value of a declared
            category, another value of a constant.
        """
        codes = np.asarray(codes, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != len(self):
            raise DataError(
                f"argument `codes` must have shape (n_rows, {len(self)}), but has {codes.shape}"
            )
        parts = [decoded(column, codes[:, j]) for j, column in enumerate(self.columns)]
        if self.container == "frame":
            frame = pd.DataFrame(dict(enumerate(parts)))
            frame.columns = [int(c) for c in self.names] if self.integer_names else list(self.names)
            return frame
        if self.container == "object":
            out = np.empty(codes.shape, dtype=object)
            for j, part in enumerate(parts):
                out[:, j] = without(part, np.asarray(pd.isna(part)))
            return out
        array = np.column_stack([_plain_array(part) for part in parts])
        fits = array.dtype.kind == np.dtype(self.container).kind
        return array.astype(self.container) if fits else array

    def supported(self, codes: Array) -> Array:
        """Whether each code is of a value that the column can have, boolean (n_rows, n_columns).

        It cannot have what has the probability 0 whatever was learned: a value off its grid,
        another value than that of a constant, one not declared. Missing values are supported.
        """
        return np.column_stack([supported(c, codes[:, j]) for j, c in enumerate(self.columns)])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the columns."""
        return tuple(column.kind for column in self.columns)

    def position(self, column: str | int) -> int:
        """Position of a column, given by its name or its position (negative: from the end).

        Whole numbers are names where the names of the frame were such.

        Raises
        ------
        ConfigurationError
            If there is none.
        """
        return _position(column, self.names, self.integer_names)

    @overload
    def __getitem__(self, key: int | str) -> Column: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Column, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Column | tuple[Column, ...]:
        if isinstance(key, slice):
            return self.columns[key]
        if isinstance(key, str) and key not in self.names:
            raise KeyError(key)
        return self.columns[self.names.index(key) if isinstance(key, str) else key]

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def select(self, positions: Sequence[int]) -> Columns:
        """Some of the columns."""
        return replace(self, columns=tuple(self.columns[j] for j in positions))

    def to_frame(self) -> pd.DataFrame:
        """A table of the columns: name, kind, dtype, values and share of missing ones."""
        rows = [
            (c.name, c.kind, c.dtype, c.describe(), f"{c.missing_share:.1%}" if c.missing else "")
            for c in self.columns
        ]
        return pd.DataFrame(rows, columns=["column", "kind", "dtype", "values", "missing"])

    def __repr__(self) -> str:
        frame = self.to_frame()
        rows = [list(frame.columns), *frame.to_numpy().tolist()]
        widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, justify="left", border=0))


def _asked(
    kinds: Mapping[str | int, str] | None, names: tuple[str, ...], labels: bool
) -> dict[int, str]:
    """Position -> kind asked for."""
    out: dict[int, str] = {}
    if kinds is not None and not isinstance(kinds, Mapping):
        raise ConfigurationError(
            f"argument `kinds` must map columns to their kinds, but is {kinds!r}"
        )
    for column, kind in (kinds or {}).items():
        j = _position(column, names, labels, "`kinds`")
        if kind not in KINDS:
            raise ConfigurationError(
                f"argument `kinds` must have kinds {', '.join(KINDS)}, but has {kind!r} "
                f"for column {column!r}"
            )
        if out.setdefault(j, kind) != kind:
            raise ConfigurationError(f"argument `kinds` names column {names[j]!r} twice")
    return out


def _plain_array(part: Any) -> Array:
    """An array of pandas as one of NumPy: float64 where integers or booleans have holes."""
    if not isinstance(part, (pd.arrays.IntegerArray, pd.arrays.BooleanArray)):
        return np.asarray(part)
    if part.isna().any():
        return np.asarray(part.to_numpy(np.float64, na_value=np.nan))
    return np.asarray(part.to_numpy(part.dtype.numpy_dtype))


def _common_dtype(dtypes: Sequence[str]) -> str:
    """Dtype of the array that lists of rows stand for."""
    if all(dtype.startswith(("int", "uint", "float")) or dtype == "bool" for dtype in dtypes):
        return str(np.result_type(*dtypes))
    return "object"


def _position(column: Any, names: tuple[str, ...], labels: bool, argument: str = "`column`") -> int:
    """Position of a column, of which whole numbers are the names if they are ``labels``."""
    if labels and str(column) in names:
        return names.index(str(column))
    if isinstance(column, str) and column in names:
        return names.index(column)
    if isinstance(column, (int, np.integer)) and not isinstance(column, bool):
        if -len(names) <= column < len(names) and not labels:
            return int(column) % len(names)
        if not labels:
            raise ConfigurationError(
                f"argument {argument} names column {column}, but there are {len(names)} columns"
            )
    known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    raise ConfigurationError(
        f"argument {argument} names an unknown column {column!r}; known are {known}"
    )
