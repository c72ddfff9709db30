"""Tables that cannot be read, or were not those of `fit`: one line each; hostile ones."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from neurolp import NeurolpError
from neurolp.data.columns import Columns
from neurolp.errors import DataError
from tests.hostile_frames import columns as hostile_columns
from tests.hostile_frames import tables

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"a": [1.0, np.inf]}), "contains infinity at row 1, column 'a'"),
        (np.array([[1.0, np.inf]]), "contains infinity at row 0, column 1"),
        (pd.DataFrame({"a": [1, "x", 2.5]}), "mix numbers and strings in one column, but column 'a' has 1 at row 0 and 'x' at row 1; astype"),
        (pd.DataFrame({"a": [True, "x"]}, dtype=object), "mix booleans and strings"),
        (pd.DataFrame({"a": [1, None, dt.date(2020, 1, 1)]}, dtype=object), "mix numbers and dates"),
        (pd.DataFrame({"a": [1, [2]]}), "column 'a' has [2] of type 'list' at row 1"),
        (pd.DataFrame({"a": [{"b": 1}]}), "column 'a' has {'b': 1} of type 'dict' at row 0"),
        (pd.DataFrame({"a": [1 + 2j]}), "Complex data not supported, but column 'a'"),
        (np.array([[1 + 2j]]), "Complex data not supported"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns that are named 'a'"),
        (pd.DataFrame([[1, 2]], columns=["a", 1]), "names are strings, or none, but 'a' is one and 1 is not"),
        (np.empty((0, 3)), "Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 1 is required."),
        (np.empty((3, 0)), "Found array with 0 feature(s) (shape=(3, 0)) while a minimum of 1 is required."),
        (pd.DataFrame({"a": []}), "0 sample(s)"),
        (np.arange(3), "Expected 2D array, got 1D array instead (shape=(3,)). Reshape your data"),
        (pd.Series([1, 2]), "Reshape your data"),
        (3.0, "got scalar array instead"),
        ("X", "got scalar array instead"),
        (None, "got scalar array instead"),
        (np.ones((2, 2, 2)), "Found array with dim 3"),
        ([[1, 2], [3]], "rows of the same length, but row 0 has 2 values and row 1 has 1"),
        (csr_array(np.eye(2)), "Sparse data was passed"),
        (np.zeros(3, dtype=[("a", int)]), "structured array"),
    ],
)  # fmt: skip
def test_what_is_no_table(X, message):
    with pytest.raises(DataError) as error:
        Columns.infer(X)
    assert message in str(error.value)
    assert str(error.value).startswith("argument `X`")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": ["1", "2"]}, "must have numbers in column 'n', as in fit, but has strings"),
        ({"s": [1, 2]}, "must have strings in column 's', as in fit, but has numbers"),
        ({"d": [1.5, 2]}, "must have dates in column 'd', as in fit, but has numbers"),
        ({"d": ["2020-01-01"] * 2}, "must have dates in column 'd', as in fit, but has strings"),
        ({"x": [1, 2]}, "must have the columns of fit, but also has 'x'"),
    ],
)
def test_other_values_than_in_fit(changed, message):
    frame = pd.DataFrame(
        {"n": [1, 2], "s": ["a", "b"], "d": pd.to_datetime(["2020-01-01", "2021-01-01"])}
    )
    columns = Columns.infer(frame)
    with pytest.raises(DataError) as error:
        columns.encode(frame.assign(**changed), "Z")
    assert message in str(error.value)
    assert "argument `Z`" in str(error.value)
    with pytest.raises(DataError, match="lacks 'n'"):
        columns.encode(frame[["s", "d"]])
    with pytest.raises(DataError, match="must have 3 columns, as in fit, but has 2"):
        columns.encode(np.ones((2, 2)))
    np.testing.assert_array_equal(
        columns.encode(frame.assign(n=None, s=np.nan, d=None)), np.full((2, 3), np.nan)
    )


def test_codes_that_stand_for_nothing():
    columns = Columns.infer(pd.DataFrame({"k": [1, 1], "c": pd.Categorical(["a", "b"])}))
    for codes, what in (
        ([[1, 0]], "'k'"),
        ([[0, 2]], "'c'"),
        ([[0, 0.5]], "has 0.5 at row 0"),
        ([[0, -1]], "'c'"),
    ):
        with pytest.raises(DataError, match=what):
            columns.decode(codes)
    with pytest.raises(DataError, match="must have shape"):
        columns.decode([0, 0])


def test_whole_numbers_of_any_size():
    frame = pd.DataFrame(
        {
            "i": [10**400, 7, -(10**30), 7],
            "j": [2**63 - 1, 2, 5, 5],
            "u": np.array([2**64 - 1, 1, 0, 0], dtype="u8"),
        }
    )
    columns, codes = Columns.read(frame)
    assert columns.kinds == ("nominal",) * 3
    pd.testing.assert_frame_equal(columns.decode(codes), frame)
    unseen = columns.decode(np.full((1, 3), 3.0))
    np.testing.assert_array_equal(columns.encode(unseen), [[3, 3, 3]])
    assert unseen["i"][0] == 10**400 + 1
    holes = columns.decode(np.vstack([codes, np.full((1, 3), np.nan)]))
    assert holes.isna().sum().tolist() == [1, 1, 1]
    np.testing.assert_array_equal(columns.encode(holes)[:-1], codes)


def test_decoded_numbers_are_those_of_the_grid():
    frame = pd.DataFrame({"g": np.round(np.random.default_rng(1).normal(size=300), 1)})
    columns = Columns.infer(frame)
    low = columns["g"].levels[0]
    values = columns.decode(low + 0.1 * np.arange(30)[:, None])["g"]
    assert set(values) <= {round(k / 10, 1) for k in range(-60, 60)}


def test_columns_are_a_sequence_and_a_readable_table():
    frame = pd.DataFrame(
        {
            "age": [31, 40, 40],
            "city": ["Bonn", None, "Köln"],
            "d": pd.to_datetime(["2020-01-01"] * 2 + ["2020-01-05"]),
        }
    )
    columns = Columns.infer(frame)
    assert len(columns) == 3
    assert [c.name for c in columns] == ["age", "city", "d"]
    assert columns[1] is columns["city"] is columns[-2]
    assert columns[:2] == (columns[0], columns[1])
    assert repr(columns[0]) == "Column('age', ordinal, int64, 2 levels from 31 to 40, step 1)"
    assert columns == Columns.infer(frame) != Columns.infer(frame.assign(age=[31, 40, 41]))
    assert columns.select([2, 0]).names == ("d", "age")
    assert columns.position("d") == 2 == columns.position(-1)
    with pytest.raises(KeyError):
        columns["nobody"]
    text = repr(columns)
    for words in (
        "ordinal",
        "2 levels from 31 to 40, step 1",
        "'Bonn', 'Köln'",
        "33.3%",
        "2020-01-01 to 2020-01-05",
    ):
        assert words in text
    assert "<td>city</td>" in columns._repr_html_()


# --- hostile frames -------------------------------------------------------------------------------


def check_line(error, *words):
    line = str(error)
    assert "\n" not in line
    assert len(line) < 600
    assert all(word in line for word in words)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(), st.integers(0, 2**32 - 1))
def test_any_table_becomes_columns_or_one_line(X, seed):
    try:
        columns, codes = Columns.read(X)
    except NeurolpError as error:
        check_line(error)
        return
    assert codes.dtype == np.float64
    assert not np.isinf(codes).any()
    assert columns.supported(codes).all()
    again = Columns.infer(X)
    assert again == columns
    np.testing.assert_array_equal(columns.encode(X), codes)
    back = columns.decode(codes)
    np.testing.assert_allclose(columns.encode(back), codes, rtol=1e-13, atol=0)
    assert isinstance(back, pd.DataFrame) == isinstance(X, pd.DataFrame)
    assert repr(columns)
    for c, code in zip(columns, codes.T, strict=True):
        known = code[~np.isnan(code)]
        assert math.isfinite(c.unseen)
        assert 0 <= c.unseen < 1
        if c.kind == "constant":
            assert not known.any()
            assert len(known) == len(code)
        elif c.kind == "nominal":
            assert np.array_equal(known, np.rint(known))
            assert np.all((known >= 0) & (known < len(c.categories)))
            assert all(isinstance(value, (bool, int, float, str)) for value in c.categories)
        elif c.kind == "ordinal":
            assert np.isin(known, c.levels).all()
            assert np.all(np.diff(c.levels) > 0)
    if isinstance(X, pd.DataFrame):
        assert list(map(str, back.columns)) == list(map(str, X.columns))
        frame = X.sample(frac=1, random_state=seed)
        np.testing.assert_array_equal(columns.encode(frame), columns.encode(X)[frame.index])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from(["continuous", "ordinal", "nominal"]))
def test_any_kind_can_be_asked_for_or_is_refused_in_one_line(data, kind):
    frame = pd.DataFrame({"c": pd.Series(data.draw(hostile_columns(8)))})
    other = pd.DataFrame({"c": pd.Series(data.draw(hostile_columns(8)))})
    try:
        columns, codes = Columns.read(frame, kinds={"c": kind})
    except NeurolpError as error:
        check_line(error, "column")
        return
    assert columns[0].kind in (kind, "constant")
    np.testing.assert_allclose(columns.encode(columns.decode(codes)), codes, rtol=1e-13, atol=0)
    try:
        code = columns.encode(other)
    except NeurolpError as error:
        check_line(error, "column")
    else:
        assert not np.isinf(code).any()
