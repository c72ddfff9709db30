"""Strategies for tables that nobody should make and people do, for hypothesis."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
from hypothesis import strategies as st

TEXTS = [
    "",
    " ",
    "a",
    "b",
    "é",
    "\x00",
    "a\x00b",
    "名前",
    "nan",
    "1",
    "1.0",
    "True",
    "x" * 300,
    "unseen",
    "_unseen",
    "\n",
]
NUMBERS = [
    0.0, -0.0, 1.0, -1.0, 0.1, 0.30000000000000004, 1 / 3, 5e-324, 2.2e-308, 1e308, -1e308, 1.5,
    2.0**53, 2.0**53 + 2, -(2.0**60), 1e-7, 123456.789, float("nan"),
]  # fmt: skip
INTEGERS = [0, 1, 2, -1, 7, 255, 2**31, 2**53, 2**53 + 1, -(2**62), 2**63 - 1]
HUGE = [0, 1, 2**63, 2**64, 10**400, -(10**30)]
DATES = [
    "1677-09-22",
    "1970-01-01",
    "2020-02-29",
    "2024-03-31 01:30:00.123456",
    "2261-01-01",
    "NaT",
]

_MISSING = [None, pd.NA, np.nan, pd.NaT]
_ODD_CELLS = [
    [], [1], {"a": 1}, {1}, (1, 2), 1j, np.complex128(1), b"x", b"\xff\x00", Decimal("0.1"), Decimal("NaN"), Decimal("sNaN"),
    Decimal("Infinity"), Fraction(1, 3), object(), print, dt.time(1), dt.date(2020, 1, 1),
    dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.timedelta(1), pd.Period("2020", "Y"),
    pd.Interval(0, 1), np.array([1, 2]), np.float32(0.1), np.int8(3), np.True_, np.datetime64("2020"), np.timedelta64(1, "D"),
    float("inf"), -np.inf, True, 3, 2.5, "a", "3", 10**400,
]  # fmt: skip


def _of(values, n):
    return st.lists(st.sampled_from(values), min_size=n, max_size=n)


def _typed(values, n, *dtypes):
    """Arrays of values as one of the dtypes."""
    return st.tuples(_of(values, n), st.sampled_from(dtypes)).map(
        lambda pair: pd.array(pair[0], dtype=pair[1])
    )


@st.composite
def columns(draw, n):
    """One column of ``n`` rows, as a pandas array or an object array."""
    kind = draw(st.integers(0, 15))
    if kind == 0:
        return draw(_typed(NUMBERS, n, "float64", "Float64", "object"))
    if kind == 1:
        return draw(_typed([0.0, 0.1, 0.5, 1.0, -2.5, np.nan], n, "float32", "float16", "Float32"))
    if kind == 2:
        return draw(_typed(INTEGERS, n, "int64", "Int64", "object", "float64"))
    if kind == 3:
        return draw(_typed([0, 1, 2, 3], n, "int8", "uint8", "Int16", "uint64", "UInt32", "bool"))
    if kind == 4:
        return draw(_typed([*TEXTS, None], n, "object", "str", "string"))
    if kind == 5:
        return draw(_typed([True, False, None], n, "boolean", "object"))
    if kind == 6:
        values = draw(_of(["a", "b", None], n))
        return pd.Categorical(
            values,
            categories=draw(st.permutations(["a", "b", "never"])),
            ordered=draw(st.booleans()),
        )
    if kind == 7:
        values = draw(_of([1, 2.5, "1", None], n))
        return pd.Categorical(values, ordered=False, categories=[1, 2.5, "1"])
    if kind == 8:
        dates = pd.to_datetime(draw(_of(DATES, n)), format="mixed")
        unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
        zone = draw(
            st.sampled_from(
                [None, "UTC", "Europe/Berlin", dt.timezone(dt.timedelta(hours=5, minutes=30))]
            )
        )
        dates = dates.as_unit(unit)
        return (dates if zone is None else dates.tz_localize("UTC").tz_convert(zone)).array
    if kind == 9:
        return pd.to_timedelta(draw(_of([0.0, 1.0, 1.0, 1 / 3, -2.5, np.nan], n)), unit="D").array
    if kind == 10:
        return pd.PeriodIndex(
            draw(_of(["2020-01", "2020-02", None], n)),
            freq=draw(st.sampled_from(["M", "D", "Y", "h"])),
        ).array
    if kind == 11:
        return np.array(
            [draw(st.sampled_from([*_ODD_CELLS, *_MISSING])) for _ in range(n)] + [None],
            dtype=object,
        )[:-1]
    if kind == 12:
        return np.array(
            [draw(st.sampled_from([1, "a", *_MISSING])) for _ in range(n)] + [None], dtype=object
        )[:-1]
    if kind == 13:
        return np.array([*draw(_of(HUGE, n)), None], dtype=object)[:-1]
    if kind == 14:
        return draw(
            _typed(
                [1.0, np.inf, -np.inf, np.nan, 2.0], n, "float64", "Float64", "float32", "object"
            )
        )
    return draw(
        st.sampled_from([
            np.array([f"row {i}" for i in range(n)], dtype=object),
            np.full(n, np.nan), np.full(n, None), np.full(n, pd.NA), np.full(n, 7.0), np.arange(n) * 10**15, np.arange(n) / 3,
            pd.array(np.arange(n) % 2, dtype=pd.SparseDtype("int64")), np.arange(n) * 1j, pd.interval_range(0, n).array,
            np.array([b"a", b"bc"])[np.arange(n) % 2].astype(object), np.zeros(n, dtype="m8[s]").astype(object),
        ])
    )  # fmt: skip


LABELS = ["a", "b", "", "a b", "é", "\n", "X" * 50, 0, 1, 2, None, 1.5, ("a", 1), True]


@st.composite
def frames(draw, most_rows=12, most_columns=4):
    """A pandas frame: names that are strange or not unique, columns that are hardly ones."""
    n = draw(st.integers(0, most_rows) | st.just(most_rows))
    d = draw(st.integers(0, most_columns) | st.just(most_columns))
    frame = pd.DataFrame({j: pd.Series(draw(columns(n))) for j in range(d)}, index=range(n))
    if draw(st.booleans()):
        frame.columns = pd.Index([f"c{j}" for j in range(d)], dtype=object)
    elif d:
        frame.columns = pd.Index(
            [draw(st.sampled_from(LABELS)) for _ in range(d)], dtype=object, tupleize_cols=False
        )
    return frame


@st.composite
def tables(draw):
    """A frame, an array or a list of rows."""
    frame = draw(frames())
    form = draw(st.integers(0, 3))
    if form == 0:
        return frame.to_numpy(dtype=object)
    if form == 1:
        return frame.to_numpy(dtype=object).tolist()
    return frame
