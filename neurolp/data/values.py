"""The values of one column, whatever held them: numbers, days, or labels and their codes."""

from __future__ import annotations

import datetime
import decimal
import numbers
import re
import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.errors import DataError, DataTypeError

EXACT = 2.0**53  # whole numbers up to here are exact in float64
BIG = "big integers"  # in place of a dtype: integers of Python, of any size
_MICROSECONDS = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}
_DAY = 86_400_000_000
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_MOST_DAYS = 1e8  # as microseconds they still fit into 64 bits


@dataclass(frozen=True)
class Values:
    """The values of a column.

    ``family`` is "number", "boolean", "label", "date" or "duration"; ``raw`` are the cells;
    ``numbers`` are float64 (dates and durations: days, to microseconds), NaN where missing, None
    for labels; ``rounding`` is the relative error of their dtype. ``whole``: of an integer type.
    ``exact`` is false where integers are too large for float64.
    """

    family: str
    dtype: str
    raw: Any
    numbers: Array | None
    missing: Array
    rounding: float = 1e-13
    whole: bool = False
    exact: bool = True

    @property
    def declared(self) -> list[Any] | None:
        """The categories of a pandas Categorical, None elsewhere."""
        if isinstance(self.raw, pd.Categorical):
            return list(dict.fromkeys(map(plain, self.raw.categories)))
        return None

    @property
    def ordered(self) -> bool:
        """Whether they are of an ordered pandas Categorical."""
        return isinstance(self.raw, pd.Categorical) and bool(self.raw.ordered)

    def labelled(self) -> tuple[Array, list[Any]]:
        """Codes (-1: missing) and what they stand for, in order of first appearance."""
        if isinstance(self.raw, pd.Categorical):
            codes, used = pd.factorize(np.where(self.missing, np.nan, self.raw.codes))
            return codes, [plain(self.raw.categories[int(k)]) for k in used]
        by_number = self.numbers is not None and not self.whole and self.family != "boolean"
        codes, distinct = pd.factorize(self.numbers if by_number else self.raw)
        return codes, [plain(value) for value in distinct]


def plain(value: Any) -> Any:
    """A label as a boolean, a number or a text: what a file can hold (and integers of 64 bits)."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        whole = int(value)
        return whole if -(2**63) <= whole < 2**64 else hex(whole)
    if isinstance(value, (numbers.Real, decimal.Decimal)):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value)


def without(cells: Any, missing: Array) -> Array:
    """Cells as objects, None where missing."""
    out: Array = np.array(cells, dtype=object)
    out[missing] = None
    return out


def family_of(dtype: str) -> str:
    """The family of the values of a dtype; "any" for categories, which may be of each."""
    if dtype.startswith(("datetime", "period")):
        return "date"
    if dtype.startswith("timedelta"):
        return "duration"
    if dtype.startswith("bool"):
        return "boolean"
    if dtype.lower().startswith(("int", "uint", "float")) or dtype == BIG:
        return "number"
    return "any" if dtype == "category" else "label"


def read_values(column: Any, label: str, name: str) -> Values:
    """The values of one column of argument ``name``; ``label`` is what it is called.

    Raises
    ------
    DataError
        One line that names the column: infinite, complex, of a type that is neither number, string,
        boolean nor date, or of several of them.
    """
    if isinstance(column.dtype, (np.dtype, pd.SparseDtype)):
        column = np.asarray(column)
    dtype = column.dtype
    if isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)):
        return Values("label", str(dtype), column, None, np.asarray(column.isna()))
    if isinstance(dtype, (pd.DatetimeTZDtype, pd.PeriodDtype)) or dtype.kind in "mM":
        return _days(column)
    if isinstance(dtype, pd.IntervalDtype) or dtype.kind == "O":
        return _objects(np.asarray(column, dtype=object), label, name)
    if dtype.kind in "SU":
        kind = "bytes" if dtype.kind == "S" else "str"
        return Values("label", kind, column.astype(object), None, np.zeros(len(column), dtype=bool))
    if dtype.kind == "c":
        raise DataError(f"argument `{name}`: Complex data not supported, but column {label} has it")
    if dtype.kind not in "biuf":
        raise DataTypeError(
            f"argument `{name}` must hold numbers, strings, booleans or dates, "
            f"but column {label} is of dtype {dtype}"
        )
    return _plain_numbers(column, label, name)


def _plain_numbers(column: Any, label: str, name: str) -> Values:
    dtype = column.dtype
    if isinstance(column, np.ndarray):
        with np.errstate(over="ignore"):
            values = column.astype(np.float64)
    else:
        values = column.to_numpy(np.float64, na_value=np.nan)
    if dtype.kind == "b":
        return Values("boolean", str(dtype), column, values, np.isnan(values))
    return _numbers(column, values, str(dtype), label, name, whole=dtype.kind in "iu")


def _numbers(raw: Any, values: Array, dtype: str, label: str, name: str, *, whole: bool) -> Values:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"argument `{name}` must be finite or NaN, but contains infinity "
            f"at row {infinite[0]}, column {label}"
        )
    missing = np.isnan(values)
    values = values + 0.0  # no negative zero
    rounding = {"float32": 1e-6, "Float32": 1e-6, "float16": 2e-3}.get(dtype, 1e-13)
    exact = not (whole and bool(np.any(np.abs(values) > EXACT)))
    return Values("number", dtype, raw, values, missing, rounding, whole, exact)


def _days(column: Any) -> Values:
    dtype = str(column.dtype)
    if isinstance(column.dtype, pd.PeriodDtype):
        times = column.to_timestamp().to_numpy()
    elif isinstance(column.dtype, pd.DatetimeTZDtype):
        times = pd.Series(column).dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        try:
            pd.api.types.pandas_dtype(dtype)
        except TypeError:  # a zone without a name
            dtype = f"datetime64[{column.dtype.unit}, UTC]"
    else:
        times = np.asarray(column)
        unit = np.datetime_data(times.dtype)[0]
        if unit not in _MICROSECONDS:
            fitting = "s" if unit in ("Y", "M", "W", "D", "h", "m") else "ns"
            times = times.astype(f"{times.dtype.kind}8[{fitting}]")
            dtype = str(times.dtype)
    missing = np.isnat(times)
    whole = times.astype(f"{times.dtype.kind}8[D]")
    days = whole.astype(np.int64) + np.rint((times - whole) / np.timedelta64(1, "us")) / _DAY
    days[missing] = np.nan
    family = "duration" if times.dtype.kind == "m" else "date"
    return Values(family, dtype, column, days, missing)


_NOT_CELLS = (type(None), type(pd.NA), type(pd.NaT))
_FAMILIES: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("booleans", (bool, np.bool_)),
    ("strings", (str,)),
    ("bytes", (bytes,)),
    ("durations", (datetime.timedelta, np.timedelta64)),
    ("numbers", (numbers.Real, decimal.Decimal)),
    ("dates", (datetime.date, np.datetime64)),
    ("periods", (pd.Period,)),
)


def _family(kind: type) -> str | None:
    return next((family for family, types in _FAMILIES if issubclass(kind, types)), None)


def _objects(cells: Array, label: str, name: str) -> Values:
    """Values of cells that are Python objects."""
    try:
        missing = np.asarray(pd.isna(cells))
    except ArithmeticError:  # the signalling NaN of decimals
        raise DataError(f"argument `{name}` has a signalling NaN in column {label}") from None
    present = cells[~missing]
    families: dict[str | None, type] = {_family(kind): kind for kind in set(map(type, present))}
    if None in families or len(families) > 1:
        raise _unreadable(cells, missing, label, name)
    family = next(iter(families), None)
    if family in ("strings", "bytes"):
        dtype = "object" if family == "strings" else "bytes"
        return Values("label", dtype, without(cells, missing), None, missing)
    if family in ("dates", "durations", "periods"):
        return _object_days(cells, missing, family, label, name)
    values = np.full(len(cells), np.nan)
    if family is None:
        return Values("number", "object", values, values, missing)
    if family == "booleans":
        values[~missing] = present.astype(bool)
        dtype = "boolean" if missing.any() else "bool"
        return Values("boolean", dtype, pd.array(without(cells, missing), dtype), values, missing)
    return _object_numbers(cells, missing, label, name)


def _object_numbers(cells: Array, missing: Array, label: str, name: str) -> Values:
    present = cells[~missing]
    whole = all(issubclass(kind, numbers.Integral) for kind in set(map(type, present)))
    values = np.full(len(cells), np.nan)
    try:
        values[~missing] = present.astype(np.float64)
    except OverflowError:  # whole numbers too large even for the range of float64
        if not whole:
            raise _unreadable(cells, missing, label, name) from None
        raw = without(cells, missing)
        return Values("number", BIG, raw, None, missing, whole=True, exact=False)
    dtype = "float64" if not whole else "Int64" if missing.any() else "int64"
    if whole and np.any(np.abs(values) > EXACT):
        dtype = BIG
    raw = without(cells, missing) if whole else values
    return _numbers(raw, values, dtype, label, name, whole=whole)


def _object_days(cells: Array, missing: Array, family: str, label: str, name: str) -> Values:
    try:
        if family == "durations":
            return _days(pd.Series(pd.to_timedelta(without(cells, missing))).array)
        if family == "periods":
            return _days(pd.array(without(cells, missing), dtype=None))
        return _days(pd.Series(pd.to_datetime(without(cells, missing))).array)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"argument `{name}`: the {family} of column {label} cannot be read: "
            f"{' '.join(str(error).split())}"
        ) from error


def _unreadable(cells: Array, missing: Array, label: str, name: str) -> DataError:
    """What is wrong with cells of several types, or of one that no column can have."""
    first: dict[str, int] = {}
    for row in np.flatnonzero(~missing):
        cell = cells[row]
        family = _family(type(cell))
        if family is None:
            if isinstance(cell, numbers.Complex):
                return DataError(
                    f"argument `{name}`: Complex data not supported, but column {label} has it "
                    f"at row {row}"
                )
            return DataTypeError(
                f"argument `{name}`: a cell of the argument must be a string, a boolean, a date "
                f"or a real number, but column {label} has {reprlib.repr(cell)} of type "
                f"{type(cell).__name__!r} at row {row}"
            )
        first.setdefault(family, int(row))
    if len(first) == 1:
        return DataError(f"argument `{name}`: the numbers of column {label} are too large")
    (a, i), (b, j) = list(first.items())[:2]
    mend = "astype(str) makes strings of all"
    if {a, b} == {"numbers", "strings"}:
        mend += ", pandas.to_numeric(column, errors='coerce') numbers with holes"
        texts = (cell for cell in cells[~missing] if isinstance(cell, str))
        comma = next((text for text in texts if _DECIMAL_COMMA.fullmatch(text.strip())), None)
        if comma is not None:
            mend += f" (also of {comma!r}: make its comma a point first)"
    return DataError(
        f"argument `{name}` must not mix {a} and {b} in one column, but column {label} has "
        f"{reprlib.repr(cells[i])} at row {i} and {reprlib.repr(cells[j])} at row {j}; {mend}"
    )


# --- back to cells --------------------------------------------------------------------------------


def cells_of_numbers(values: Array, dtype: str) -> Any:
    """Numbers, NaN where missing, as a pandas array of ``dtype``; durations and dates from days.

    Integers with holes become pandas' nullable integers, booleans nullable ones; integers out of
    the range of ``dtype`` int64, numbers that are not whole float64. Times are rounded to the unit
    of ``dtype``, at most to microseconds, and clipped to 10^8 days around 1970.
    """
    family = family_of(dtype)
    if family in ("date", "duration"):
        return _cells_of_days(values, dtype)
    missing = np.isnan(values)
    if family == "boolean":
        dtype = "boolean" if missing.any() else dtype
        return pd.array(without(values == 1, missing), dtype=dtype)
    if dtype.lower().startswith(("int", "uint")):
        return _cells_of_integers(values, missing, dtype)
    if dtype == BIG:
        return values
    return pd.array(values, dtype=dtype) if dtype[0] == "F" else values.astype(dtype)


def _cells_of_integers(values: Array, missing: Array, dtype: str) -> Any:
    whole = np.where(missing, 0.0, values)
    limits = np.iinfo(dtype.lower())
    if np.any(whole != np.rint(whole)) or np.any(np.abs(whole) >= 2.0**63):
        return values
    if np.any((whole < limits.min) | (whole > limits.max)):
        dtype = "Int64" if dtype[0] in "IU" else "int64"
    integers = whole.astype(dtype.lower())
    if missing.any() or dtype[0] in "IU":
        return pd.arrays.IntegerArray(integers, missing)
    return integers


def _cells_of_days(values: Array, dtype: str) -> Any:
    missing = np.isnan(values)
    days = np.clip(np.where(missing, 0.0, values), -_MOST_DAYS, _MOST_DAYS)
    whole = np.floor(days)
    unit = dtype[dtype.index("[") + 1 :].rstrip("]").split(",")[0]
    part = _MICROSECONDS.get(unit, 1)
    ticks = np.rint((days - whole) * (_DAY / part)).astype(np.int64) * part
    kind = "m" if dtype.startswith("timedelta") else "M"
    times = (whole.astype(np.int64) * _DAY + ticks).astype(f"{kind}8[us]")
    times[missing] = np.datetime64("NaT") if kind == "M" else np.timedelta64("NaT")
    series = pd.Series(times)
    if dtype.startswith("period"):
        return series.dt.to_period(dtype[dtype.index("[") + 1 : -1]).array
    if "," in dtype:
        series = series.dt.tz_localize("UTC")
    try:
        return series.astype(dtype).array
    except (pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta, OverflowError):
        return series.array  # beyond the years that nanoseconds can count
