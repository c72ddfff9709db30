"""Columns: kinds inferred and asked for, codes and back."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from neurolp.data.column_inference import decimals, find_atoms, unseen_share
from neurolp.data.columns import Columns
from neurolp.data.values import cells_of_numbers
from neurolp.errors import ConfigurationError, DataError, DataTypeError

RNG = np.random.default_rng(0)


def column(values, **kinds):
    return Columns.infer(pd.DataFrame({"c": values}), kinds=kinds or None)["c"]


# --- kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RNG.standard_normal(100), "continuous"),
        (RNG.standard_normal(100).astype("float32"), "continuous"),
        (RNG.integers(0, 9, 50), "ordinal"),
        (RNG.integers(0, 9, 50).astype(float), "ordinal"),
        (RNG.integers(0, 9, 50).astype("uint8"), "ordinal"),
        ([0, 1, 2, None], "ordinal"),
        ([1.0, 5.5], "continuous"),
        ([0, 1, 1], "nominal"),
        ([0.0, 1.0, np.nan], "nominal"),
        ([True, False], "nominal"),
        (pd.array([True, None, False], "boolean"), "nominal"),
        (["a", "b", None], "nominal"),
        (["1", "2"], "nominal"),
        (pd.Categorical(["a", "b"]), "nominal"),
        (pd.Categorical(["a", "b"], ordered=True), "ordinal"),
        ([2**60, 2**60 + 1], "nominal"),
        ([10**400, 1], "nominal"),
        ([7, 7, 7], "constant"),
        (["a"], "constant"),
        ([True, True], "constant"),
        ([None, np.nan], "constant"),
        ([7, None], "ordinal"),
        (["a", None], "nominal"),
        (pd.to_datetime(["2020-01-01", "2020-01-01", "2021-05-05"]), "ordinal"),
        (pd.to_datetime(["2020-01-01", "2020-01-02", "2021-05-05"]), "continuous"),
        (pd.to_datetime(["2020-01-01 12:30", "2020-01-02"], format="mixed"), "continuous"),
        (pd.to_timedelta([1, 1, 2], unit="D"), "ordinal"),
        ([dt.date(2020, 1, 1), dt.date(2020, 1, 1), dt.date(2021, 1, 1)], "ordinal"),
        (np.round(RNG.standard_normal(300), 1), "ordinal"),
        (np.round(RNG.standard_normal(300), 1).astype("float32"), "ordinal"),
        (np.round(RNG.standard_normal(300), 5), "continuous"),
        (RNG.integers(1, 5, 100) / 3, "ordinal"),
        (np.repeat(RNG.standard_normal(100), 2), "continuous"),
    ],
)  # fmt: skip
def test_kinds(values, kind):
    assert column(values).kind == kind


def test_what_columns_know():
    grid = column(np.round(RNG.standard_normal(300), 1))
    assert grid.step == 0.1
    assert set(grid.levels) <= {round(k / 10, 1) for k in range(-60, 60)}
    assert column([3, 1, 1, 8]).step == 1
    assert column(RNG.integers(1, 5, 100) / 3).step == 0
    few = column([10, 20, 30, 30])
    assert few.step == 1, "three values are no evidence of a grid"
    assert column(10 * RNG.integers(0, 40, 400) + 3).step == 10, "levels[0] is on the grid"
    rain = np.where(RNG.random(1000) < 0.6, 0, RNG.gamma(1, 3, 1000))
    assert column(rain).atoms == (0.0,)
    assert column(np.minimum(rain, 5)).atoms == (0.0, 5.0)
    rounded = np.where(rain > 0, np.round(rain, 4), 0)
    assert column(rounded).kind == "continuous", "that zeros repeat makes no grid"
    assert column(RNG.standard_normal(1000)).atoms == ()
    assert column(np.repeat(RNG.standard_normal(50), 20)).atoms == ()
    seen = column(["b", "a", "b", None])
    assert (seen.categories, seen.missing) == (("b", "a"), True)
    assert seen.missing_share == 0.25
    declared = column(pd.Categorical(["b", "a"], categories=["z", "a", "b"]))
    assert set(declared.categories) == {"b", "a", "z"}
    assert declared.categories[:2] == ("b", "a")
    assert declared.unseen == 0 == column([0, 1]).unseen == column([True, False]).unseen
    ordered = column(pd.Categorical(["hi"] * 2, categories=["lo", "mid", "hi"], ordered=True))
    assert (ordered.categories, list(ordered.levels)) == (("lo", "mid", "hi"), [0, 1, 2])
    assert column([5.0, 5.0]).categories == (5.0,)
    assert column([None, None]).categories == ()


@pytest.mark.parametrize(
    ("k", "n"), [(2, 10), (5, 1000), (90, 100), (99, 100), (3, 10**6), (10**6 - 1, 10**6)]
)
def test_the_share_of_unseen_values_is_that_of_ewens(k, n):
    share = unseen_share(k, n)
    theta = share * n / (1 - share)
    assert np.sum(theta / (theta + np.arange(n))) == pytest.approx(k, rel=1e-6)


def test_the_share_of_unseen_values_at_its_ends():
    assert unseen_share(1, 100) == 0
    assert unseen_share(100, 100) == 100 / 101
    assert unseen_share(2, 2) == 2 / 3


def test_grids_and_atoms():
    assert decimals(np.array([0.5, 0.25]), 1e-13) == 2
    assert decimals(np.array([0.1 + 0.2]), 1e-13) == 1
    assert decimals(np.array([1 / 3]), 1e-13) is None
    assert decimals(np.array([1e300]), 1e-13) is None
    assert decimals(np.array([1000.123], dtype="float32").astype(float), 1e-6) is None
    counts = np.array([1, 2, 50, 1, 1, 1, 3, 1])
    assert np.flatnonzero(find_atoms(np.arange(8.0), counts)).tolist() == [2]
    assert not find_atoms(np.arange(8.0), 30 * np.ones(8, dtype=int)).any()


@pytest.mark.parametrize("dtype", ["object", "str", "category", "string"])
def test_permuting_the_names_of_categories_changes_nothing(dtype):
    words = np.array(["a", "b", "c", "d"], dtype=object)
    picks = RNG.integers(0, 4, 100)
    codes = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        frame = pd.DataFrame({"c": pd.array(words[order][picks], dtype=dtype), "x": picks})
        columns, code = Columns.read(frame)
        codes.append(code)
        assert columns.decode(code)["c"].tolist() == frame["c"].tolist()
    assert np.array_equal(*codes)


# --- asked for ------------------------------------------------------------------------------------


def test_kinds_asked_for():
    frame = pd.DataFrame({
        "n": [3, 1, 4, 1], "x": [0.5, 1.25, 2.0, 1 / 3], "s": list("abab"), "b": [True, False] * 2,
        "o": pd.Categorical(list("abab"), ordered=True),
    })  # fmt: skip
    asked = Columns.infer(
        frame, kinds={"n": "continuous", 1: "ordinal", -1: "nominal", "b": "ordinal"}
    )
    assert asked.kinds == ("continuous", "ordinal", "nominal", "ordinal", "nominal")
    back = frame.assign(n=frame["n"].astype(float))
    pd.testing.assert_frame_equal(asked.decode(asked.encode(frame)), back, check_categorical=False)
    nominal = Columns.infer(frame, kinds={"n": "nominal"})["n"]
    assert nominal.categories == (3, 1, 4)
    assert nominal.unseen > 0
    assert Columns.infer(np.ones((3, 2)) * [[1], [1], [2]], kinds={"x0": "nominal"}).kinds == (
        "nominal",
        "ordinal",
    )


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"s": "ordinal"}, "column 's' of `X` cannot be: strings cannot be ordinal"),
        ({"s": "continuous"}, "column 's' of `X` cannot be: strings cannot be continuous"),
        ({"u": "ordinal"}, "column 'u' of `X` cannot be: its categories have no order"),
        ({"b": "continuous"}, "column 'b' of `X` cannot be: booleans"),
        ({"k": "continuous"}, "column 'k' of `X` cannot be: it is constant"),
        ({"w": "ordinal"}, "column 'w' of `X` cannot be: it has whole numbers beyond 2"),
        ({"age": "ordinal"}, "unknown column 'age'; known are s, u, b, k, w"),
        ({9: "ordinal"}, "names column 9, but there are 5 columns"),
        ({True: "ordinal"}, "unknown column True"),
        (
            {"s": "nominl"},
            "must have kinds continuous, ordinal, nominal, but has 'nominl' for column 's'",
        ),
        ({"s": "nominal", 0: "ordinal"}, "names column 's' twice"),
        (["s"], "must map columns to their kinds"),
    ],
)
def test_kinds_that_cannot_be(kinds, message):
    frame = pd.DataFrame({
        "s": ["a", "b"], "u": pd.Categorical(["a", "b"]), "b": [True, False], "k": [1.5, 1.5], "w": [2**60, 2**61],
    })  # fmt: skip
    with pytest.raises(ConfigurationError) as error:
        Columns.infer(frame, kinds=kinds)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# --- codes ----------------------------------------------------------------------------------------


def test_codes():
    frame = pd.DataFrame({
        "x": [0.5, -0.0, 1 / 3, np.nan], "n": [3, 1, 1, 2], "s": ["b", "a", None, "b"], "k": [5, 5, 5, 5], "m": [None] * 4,
        "o": pd.Categorical(["hi", None, "lo", "hi"], categories=["lo", "mid", "hi"], ordered=True),
        "d": pd.to_datetime(["1970-01-02", "1970-01-02", "1969-12-31", None]),
        "t": pd.to_timedelta([12, 30, 0, 1.5], unit="h"),
    })  # fmt: skip
    columns, codes = Columns.read(frame)
    nan = np.nan
    np.testing.assert_array_equal(
        codes,
        [
            [0.5, 3, 0, 0, 0, 2, 1, 0.5],
            [0, 1, 1, 0, 0, nan, 1, 1.25],
            [1 / 3, 1, nan, 0, 0, 0, -1, 0],
            [nan, 2, 0, 0, 0, 2, nan, 0.0625],
        ],
    )
    assert not np.signbit(codes[1, 0])
    back = columns.decode(codes)
    pd.testing.assert_frame_equal(back, frame)
    np.testing.assert_array_equal(columns.encode(frame[::-1]), codes[::-1])
    np.testing.assert_array_equal(columns.encode(frame[frame.columns[::-1]]), codes)
    other = frame.assign(
        s=["c", "a", "b", None],
        k=[5, 6, None, 5],
        m=[None, 1, 2, None],
        n=[0, 1.5, 9, 2],
        o=["mid", "no", None, "lo"],
    )
    code = columns.encode(other)
    np.testing.assert_array_equal(code[:, 2], [2, 1, 0, nan])
    np.testing.assert_array_equal(code[:, 3], [0, 1, nan, 0])
    np.testing.assert_array_equal(code[:, 4], [0, 1, 1, 0])
    np.testing.assert_array_equal(code[:, 1], [0, 1.5, 9, 2])
    np.testing.assert_array_equal(code[:, 5], [1, 3, nan, 0])
    supported = columns.supported(code)
    assert supported[:, 2].all(), "the categories of strings are open"
    assert supported[:, 1].tolist() == [True, False, True, True]
    assert supported[:, 3].tolist() == [True, False, True, True]
    assert supported[:, 5].tolist() == [True, False, True, True]
    assert (
        columns.decode(columns.encode(other.assign(s="c", k=5, m=None, n=1, o="lo")))["s"].tolist()
        == ["unseen"] * 4
    )


@pytest.mark.parametrize(
    "array",
    [
        RNG.standard_normal((20, 3)),
        RNG.integers(0, 5, (20, 3)),
        RNG.integers(0, 2, (20, 3)),
        RNG.integers(0, 2, (20, 3)).astype(bool),
        np.round(RNG.standard_normal((50, 2)), 1).astype("float32"),
        RNG.integers(0, 5, (20, 3)).astype("uint8"),
        RNG.choice(["a", "bc"], (20, 2)).astype(object),
        np.array([[1, "a"], [2, "b"], [3, None]], dtype=object),
        np.arange("2020-01-01", "2020-01-11", dtype="M8[s]").reshape(-1, 2)[:50],
        np.array([[2**60, 1], [2**61, 2]]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_come_back_as_they_were(array):
    columns, codes = Columns.read(array)
    back = columns.decode(codes)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(columns.encode(back), codes)
    assert columns.names == tuple(f"x{j}" for j in range(array.shape[1]))


def test_other_forms_of_the_same_table():
    rows = [[1, "a", 0.5], [2, "b", 1.25], [2, "a", 3.0]]
    columns, codes = Columns.read(rows)
    assert columns.kinds == ("ordinal", "nominal", "continuous")
    assert columns.decode(codes).tolist() == rows
    assert Columns.infer([[1, 2], [3, 4]]).decode([[1, 2]]).dtype == np.int64
    frame = pd.DataFrame(rows, columns=["n", "s", "x"])
    np.testing.assert_array_equal(Columns.read(frame)[1], codes)
    np.testing.assert_array_equal(Columns.infer(frame).encode(rows), codes)
    masked = np.ma.MaskedArray([[1.0, 2.0], [3.0, 5.5]], mask=[[0, 1], [0, 0]])
    np.testing.assert_array_equal(Columns.read(masked)[1], [[1, np.nan], [3, 5.5]])
    whole = Columns.infer(np.array([[1], [2], [2]]))
    np.testing.assert_array_equal(whole.decode([[1.0], [np.nan]]), [[1], [np.nan]])
    numbered = pd.DataFrame({5: [1, 2, 2], 7: [0.5, 1 / 3, 3]})
    pd.testing.assert_frame_equal(
        Columns.infer(numbered).decode(Columns.read(numbered)[1]), numbered
    )
    asked = Columns.infer(numbered, kinds={5: "nominal"})
    assert asked.kinds == ("nominal", "continuous")
    assert asked.position(7) == 1
    with pytest.raises(ConfigurationError, match="unknown column 1; known are 5, 7"):
        Columns.infer(numbered, kinds={1: "nominal"})
    named = frame.set_index(pd.Index([3, 3, 3]))
    np.testing.assert_array_equal(Columns.infer(frame).encode(named), codes)


class Interchange:
    """A table that has the dataframe interchange protocol and nothing else."""

    def __init__(self, frame):
        self.frame = frame

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self.frame.__dataframe__(nan_as_null, allow_copy)


@pytest.mark.filterwarnings("ignore:.*interchange.*:Warning")
@pytest.mark.filterwarnings("ignore:.*__dataframe__.*:Warning")
def test_the_interchange_protocol():
    frame = pd.DataFrame({"n": [3, 1, 1], "x": [0.5, 1 / 3, np.nan]})
    columns, codes = Columns.read(Interchange(frame))
    np.testing.assert_array_equal(codes, frame.to_numpy())
    assert columns.names == ("n", "x")


def mixed_table():
    return {
        "n": [3, 1, None],
        "i": [3, 1, 1],
        "x": [0.5, None, 1 / 3],
        "s": ["b", None, "é"],
        "b": [True, False, None],
        "day": [dt.date(2020, 1, 1), None, dt.date(2020, 1, 1)],
        "t": [
            dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC),
            None,
            dt.datetime(1960, 1, 1, tzinfo=dt.UTC),
        ],
        "u": [dt.timedelta(hours=6), None, dt.timedelta(days=-1)],
    }


def check_mixed(table):
    columns, codes = Columns.read(table)
    nan = np.nan
    expected = [
        [3, 3, 0.5, 0, 0, 18262, 18262.5, 0.25],
        [1, 1, nan, nan, 1, nan, nan, nan],
        [nan, 1, 1 / 3, 1, nan, 18262, -3653, -1],
    ]
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(columns.encode(columns.decode(codes)), codes)
    return columns


def test_polars():
    pl = pytest.importorskip("polars")
    check_mixed(pl.DataFrame(mixed_table()))
    special = pl.DataFrame(
        {
            "e": pl.Series(["b", "a", None], dtype=pl.Enum(["z", "a", "b"])),
            "c": pl.Series(["q", "p", "q"], dtype=pl.Categorical),
        }
    )
    columns = Columns.infer(special)
    assert columns["e"].unseen == 0
    assert columns["c"].categories == ("q", "p")
    with pytest.raises(DataError, match="lazy frame of polars"):
        Columns.infer(special.lazy())
    with pytest.raises(DataTypeError, match="column 'l' has"):
        Columns.infer(pl.DataFrame({"l": [[1], [2]]}))
    with pytest.raises(DataError, match="Reshape your data"):
        Columns.infer(special["c"])


def test_pyarrow():
    pa = pytest.importorskip("pyarrow")
    table = pa.table(mixed_table())
    check_mixed(table)
    check_mixed(table.to_pandas(types_mapper=pd.ArrowDtype))

    class Capsule:
        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    check_mixed(Capsule())
    with pytest.raises(DataError, match="'a'"):
        Columns.infer(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))


def test_integers_beyond_those_that_floats_tell_apart_stay_integers():
    numbers = np.array([0.0, 2.0**53 + 4, -(2.0**62)])
    cells = cells_of_numbers(numbers, "int64")
    assert cells.dtype == np.int64
    assert cells.tolist() == [0, 2**53 + 4, -(2**62)]
    assert cells_of_numbers(numbers * 4, "int64").dtype == np.float64  # they have no room there
