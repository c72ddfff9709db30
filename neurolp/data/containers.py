"""Tables as people have them, frames, arrays and lists, taken apart into columns."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from neurolp.arrays import Array
from neurolp.data.values import read_values, without
from neurolp.errors import DataError

_RESHAPE = (
    "Reshape your data either using array.reshape(-1, 1) if it has a single column "
    "or array.reshape(1, -1) if it has a single row"
)


@dataclass(frozen=True)
class Container:
    """The columns of a table, and what held them.

    ``columns`` are one-dimensional arrays of NumPy or pandas; ``names`` is None where they have
    none. ``kind`` is "frame" or "rows", else the dtype of the array. ``integer_names``: the labels
    of the frame are whole numbers.
    """

    columns: list[Any]
    n_rows: int
    names: tuple[str, ...] | None
    kind: str
    integer_names: bool = False

    def label(self, j: int) -> str:
        """What column ``j`` is called in messages."""
        if self.names is None:
            return str(j)
        return self.names[j] if self.integer_names else repr(self.names[j])

    def stand_in(self) -> Any:
        """A table without rows that has the same columns, for checks of names and numbers."""
        if self.names is None:
            return np.empty((0, len(self.columns)))
        return pd.DataFrame(
            columns=list(map(int, self.names) if self.integer_names else self.names)
        )


def read_container(X: Any, name: str) -> Container:
    """The columns of a table in argument ``name``: at least one row and one column.

    Frames are those of pandas, those known to narwhals (Polars, PyArrow, ...), and whatever has the
    Arrow PyCapsule interface or the dataframe interchange protocol; else arrays of two dimensions
    and lists of rows.

    Raises
    ------
    DataError
        One line: not two-dimensional, empty, sparse, complex, or two columns of the same name.
    """
    if isinstance(X, Container):
        return X
    if issparse(X):
        raise DataError(
            f"argument `{name}` is sparse: Sparse data was passed, but dense data is required; "
            "use X.toarray() to convert it"
        )
    if isinstance(X, pd.DataFrame):
        out = _from_pandas(X, name)
    elif isinstance(X, (list, tuple)):
        out = _from_rows(X, name)
    elif isinstance(X, np.ndarray):
        out = _from_array(X, name)
    else:
        out = _from_other(X, name)
    shape = (out.n_rows, len(out.columns))
    if not out.columns:
        raise DataError(
            f"argument `{name}`: Found array with 0 feature(s) (shape={shape}) "
            "while a minimum of 1 is required."
        )
    if not out.n_rows:
        raise DataError(
            f"argument `{name}`: Found array with 0 sample(s) (shape={shape}) "
            "while a minimum of 1 is required."
        )
    return out


def read_sequence(y: Any, name: str) -> tuple[Container, bool]:
    """The columns of a table or of a single sequence, and whether it is the latter.

    Raises
    ------
    DataError
        As :func:`read_container`.
    """
    if isinstance(y, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        return read_container(pd.DataFrame({0: y}), name), True
    if not isinstance(y, pd.DataFrame) and not issparse(y):
        try:
            y = np.asarray(y)
        except (TypeError, ValueError):  # a frame of several kinds; rows of several lengths
            return read_container(y, name), False
    flat = y.ndim == 1
    if y.ndim not in (1, 2) or (not flat and y.shape[1] == 0):
        raise DataError(
            f"argument `{name}` must have shape (n_samples,) or (n_samples, n_targets), "
            f"but has shape {y.shape}"
        )
    return read_container(y[:, None] if flat else y, name), flat


def numbers_of(table: Container, name: str, hint: str) -> Array:
    """The columns of a table as float64, (n_rows, n_columns), NaN where missing.

    ``hint`` ends the complaint about a column of something else.

    Raises
    ------
    DataError
        One line that names the column: what is in it are no numbers.
    """
    out = np.empty((table.n_rows, len(table.columns)))
    for j, cells in enumerate(table.columns):
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
            out[:, j] = cells
            continue
        values = read_values(cells, table.label(j), name)
        if values.family not in ("number", "boolean") or values.numbers is None:
            what = {"label": "strings", "number": "too large numbers"}.get(values.family)
            raise DataError(
                f"argument `{name}` must have numbers in every column, but column {table.label(j)} "
                f"has {what or values.family + 's'}; {hint}"
            )
        out[:, j] = values.numbers
    return out


def _from_pandas(frame: Any, name: str) -> Container:
    names, integer = _names(list(frame.columns), name)
    series = [frame.iloc[:, j] for j in range(frame.shape[1])]
    columns = [_foreign(c) if isinstance(c.dtype, pd.ArrowDtype) else c.array for c in series]
    return Container(columns, len(frame), names, "frame", integer)


def _names(labels: Sequence[Any], name: str) -> tuple[tuple[str, ...], bool]:
    """Text of the labels of columns, and whether they are whole numbers."""
    text = [isinstance(label, str) for label in labels]
    if any(text) and not all(text):
        other = labels[text.index(False)]
        raise DataError(
            f"argument `{name}` must have columns all of whose names are strings, or none, "
            f"but {labels[text.index(True)]!r} is one and {other!r} is not; "
            "X.columns = X.columns.astype(str) makes them so"
        )
    names = tuple(map(str, labels))
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise DataError(f"argument `{name}` has two columns that are named {twice!r}")
    integer = bool(labels) and all(
        isinstance(label, (int, np.integer)) and not isinstance(label, bool) for label in labels
    )
    return names, integer


def _from_rows(X: Sequence[Any], name: str) -> Container:
    lengths = {len(row) for row in X if isinstance(row, (list, tuple))}
    if len(lengths) > 1:
        longest = next(i for i, row in enumerate(X) if len(row) != len(X[0]))
        raise DataError(
            f"argument `{name}` must have rows of the same length, but row 0 has {len(X[0])} "
            f"values and row {longest} has {len(X[longest])}"
        )
    try:
        array = np.array(X, dtype=object)
    except ValueError as error:
        raise DataError(f"argument `{name}` cannot be read as a table: {error}") from None
    return replace(_from_array(array, name), kind="rows")


def _from_array(X: Any, name: str) -> Container:
    if X.dtype.kind == "c":
        raise DataError(f"argument `{name}`: Complex data not supported")
    if X.dtype.kind == "V":
        raise DataError(
            f"argument `{name}` must be a table, but is a structured array; "
            "pandas.DataFrame(X) makes a table of it"
        )
    if X.ndim != 2:
        what = {0: "scalar array", 1: "1D array"}.get(X.ndim, f"{X.ndim}D array")
        wish = f" {_RESHAPE}" if X.ndim < 2 else ""
        raise DataError(
            f"argument `{name}`: Expected 2D array, got {what} instead (shape={X.shape})"
            f"{'.' if wish else ': Found array with dim ' + str(X.ndim)}{wish}"
        )
    if isinstance(X, np.ma.MaskedArray):
        X = without(X.data, np.ma.getmaskarray(X))
    X = np.asarray(X)
    kind = "object" if X.dtype.kind in "OSU" else str(X.dtype)
    return Container(list(X.T), len(X), None, kind)


def _from_other(X: Any, name: str) -> Container:
    import narwhals as nw

    try:
        frame = nw.from_native(X, pass_through=True, allow_series=True)
        if isinstance(frame, nw.Series):
            return _from_array(np.empty(len(frame)), name)
        if isinstance(frame, nw.LazyFrame):
            raise DataError(
                f"argument `{name}` is a lazy frame of {type(X).__module__.split('.')[0]}, "
                "whose rows are not there yet; collect it first"
            )
        if not isinstance(frame, nw.DataFrame):
            if hasattr(X, "__arrow_c_stream__") and importlib.util.find_spec("pyarrow"):
                frame = nw.from_arrow(X, backend="pyarrow")
            elif hasattr(X, "__dataframe__"):
                return _from_pandas(pd.api.interchange.from_dataframe(X), name)
            elif hasattr(X, "__arrow_c_stream__"):
                raise DataError(f"argument `{name}`: reading {type(X).__name__} needs pyarrow")
            else:
                return _from_array(np.asarray(X), name)
    except (nw.exceptions.NarwhalsError, ImportError, NotImplementedError, TypeError) as error:
        raise DataError(
            f"argument `{name}` of type {type(X).__name__} cannot be read as a table: "
            f"{' '.join(str(error).split())}"
        ) from error
    names, integer = _names(list(frame.columns), name)
    return Container(
        [_foreign(frame[c]) for c in frame.columns], len(frame), names, "frame", integer
    )


def _foreign(series: Any) -> Any:
    """A column of another library, or in Arrow storage, as an array of pandas without it."""
    import narwhals as nw

    if isinstance(series, pd.Series):
        series = nw.from_native(series.array.__arrow_array__(), series_only=True)
    dtype, missing = series.dtype, series.null_count() > 0
    if dtype.is_float():
        return pd.Series(series.fill_null(float("nan")).to_numpy()).array
    if dtype.is_integer():
        return pd.array(series.to_list(), dtype=str(dtype) if missing else str(dtype).lower())
    if dtype in (nw.Datetime, nw.Date, nw.Duration):
        unit = "s" if dtype == nw.Date else dtype.time_unit
        kind = "m8" if dtype == nw.Duration else "M8"
        times = pd.Series(np.asarray(series.to_numpy()).astype(f"{kind}[{unit}]"))
        zone = dtype.time_zone if dtype == nw.Datetime else None
        return (times.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else times).array
    if dtype == nw.Enum:
        return pd.Categorical(series.to_list(), categories=list(dtype.categories))
    if dtype in (nw.String, nw.Categorical, nw.Boolean):
        kind = "str" if dtype != nw.Boolean else "boolean" if missing else "bool"
        return pd.array(series.to_list(), dtype=kind)
    out: Array = np.empty(len(series), dtype=object)
    out[:] = series.to_list()
    return out
