"""Streams from CSV files: what is read, in pieces, and errors."""

import tracemalloc

import numpy as np
import pytest

from neurolp.data.streams import open_stream
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import CategoricalSensor, ContinuousSensor
from tests.data.stream_files import NAN, everything, written

TABLE = "time,key,level,mood\n0.5,3,-1,good\n1.5,,2e1,bad\n2.5,1, nan,\n\n3.5,0,7,good\n"


def test_csv_numbers_are_sensors_of_their_own(tmp_path):
    file = written(tmp_path / "a.csv", TABLE)
    stream = open_stream(file, columns=["level", 0])
    assert stream.sensors == (ContinuousSensor(1, "level"), ContinuousSensor(1, "time"))
    np.testing.assert_array_equal(everything(stream), [[-1, 0.5], [20, 1.5], [NAN, 2.5], [7, 3.5]])


def test_csv_symbols_and_a_vector(tmp_path):
    file = written(tmp_path / "a.csv", "\ufeff" + TABLE.replace("nan", "3").replace("\n", "\r\n"))
    stream = open_stream(file, symbols=["mood", "key"], vector="both")
    assert stream.sensors == (
        ContinuousSensor(["time", "level"], "both"),
        CategoricalSensor([0, 1, 3], "key"),
        CategoricalSensor(["bad", "good"], "mood"),
    )
    np.testing.assert_array_equal(
        everything(stream), [[0.5, -1, 3, 1], [1.5, 20, NAN, 0], [2.5, 3, 1, NAN], [3.5, 7, 0, 1]]
    )


def test_csv_symbols_of_a_given_number(tmp_path):
    file = written(tmp_path / "a.csv", TABLE)
    stream = open_stream(file, columns=["key", "mood"], symbols={"key": 8, "mood": 2})
    # Numbers stand for themselves.
    assert stream.sensors == (
        CategoricalSensor(8, "key"),
        CategoricalSensor(["bad", "good"], "mood"),
    )
    np.testing.assert_array_equal(everything(stream), [[3, 1], [NAN, 0], [1, NAN], [0, 1]])


def test_csv_symbols_of_declared_labels(tmp_path):
    file = written(tmp_path / "a.csv", TABLE)
    labels = {"mood": ["good", "awful", "bad"], "key": [3, 1, 0]}
    stream = open_stream(file, columns=["key", "mood"], symbols=labels)
    assert [s.labels for s in stream.sensors] == [(3, 1, 0), ("good", "awful", "bad")]
    np.testing.assert_array_equal(everything(stream), [[3, 0], [NAN, 2], [1, NAN], [0, 0]])
    given = open_stream(file, columns=["key", "mood"], sensors=stream.sensors)
    np.testing.assert_array_equal(everything(given), everything(stream))


def test_csv_sensors_as_given(tmp_path):
    file = written(tmp_path / "a.csv", "1;2;0\n3;4;1\n\n;;1\n")
    sensors = (ContinuousSensor(2, "eye", 0.0, 2.0), CategoricalSensor(2, "touch"))
    stream = open_stream(file, sensors=sensors)
    assert stream.sensors == sensors
    np.testing.assert_array_equal(everything(stream), [[1, 2, 0], [3, 4, 1], [NAN, NAN, 1]])


@pytest.mark.parametrize(
    ("text", "header", "first"), [("1,x\n2,y\n", None, [1, 2]), ("a,x\nb,y\n", False, [0, 1])]
)
def test_csv_without_a_header(tmp_path, text, header, first):
    stream = open_stream(written(tmp_path / "a.csv", text), symbols=[0, 1], header=header)
    assert [s.name for s in stream.sensors] == ["column 0", "column 1"]
    np.testing.assert_array_equal(everything(stream), np.column_stack([first, [0, 1]]))


def test_csv_with_a_header_of_numbers(tmp_path):
    stream = open_stream(written(tmp_path / "a.tsv", "1\t2\n3\t4\n5\t6\n"), header=True)
    assert [s.name for s in stream.sensors] == ["1", "2"]
    np.testing.assert_array_equal(everything(stream), [[3, 4], [5, 6]])


def test_equal_numbers_are_the_same_symbol(tmp_path):
    stream = open_stream(written(tmp_path / "a.csv", "s\n10\n2\n2.0\n010\n0.5\n"), symbols=["s"])
    assert stream.sensors[0].labels == (0.5, 2, 10)
    np.testing.assert_array_equal(everything(stream)[:, 0], [10, 2, 2, 10, 0.5])


def test_a_long_csv_is_read_in_pieces(tmp_path):
    x = np.random.default_rng(0).normal(size=(40_000, 3))
    file = tmp_path / "long.csv"
    np.savetxt(file, x, delimiter=",")
    tracemalloc.start()
    stream = open_stream(file)
    rows = list(stream.blocks(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(np.concatenate(rows), x)
    assert peak < x.nbytes + 12e6  # 8192 rows of text are 6 MB
    np.testing.assert_array_equal(stream.read(5, 20_000), x[20_000:20_005])


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        ("", {}, "is empty"),
        ("a,b\n", {}, "has no rows below its header"),
        ("a,b\n1,2\n3\n", {}, "line 3 has 1 fields, but the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", {}, "line 3 has 3 fields, but the first line has 2"),
        ("a,b\n1,2\n3,x\n", {}, "column 'b', line 3: wanted a number, but found 'x'"),
        (
            "a,b\n1,2\n\n3,inf\n",
            {},
            "column 'b', line 4: wanted a number of at most 1e100 or NaN, but found inf",
        ),
        (
            "a,b\n1,2\n3,\n",
            {"vector": True},
            "'b', line 3: wanted numbers of at most 1e100, or NaN in all values at once, but found nan",
        ),
        ("a,b\n1,2\n", {"columns": ["c"]}, "no column 'c' among a, b"),
        ("a,b\n1,2\n", {"columns": [2]}, "no column 2 among a, b"),
        ("a,a\n1,2\n", {}, "two columns are named 'a'"),
        ("a,b\n1,2\n", {"symbols": ["c"]}, "no column 'c' among a, b"),
        ("a\n1\n1\n", {"symbols": ["a"]}, "column 'a' has only one symbol, '1'"),
        ("a,b\n,1\n,1\n", {"symbols": ["a"]}, "column 'a' has no symbols"),
        (
            "a\n1\n2\n",
            {"symbols": {"a": 2}},
            "'a', line 3: wanted a symbol 0 .. 1 or NaN, but found 2",
        ),
        (
            "a\n1\n.5\n",
            {"symbols": {"a": 2}},
            "'a', line 3: wanted a symbol 0 .. 1 or NaN, but found 0.5",
        ),
        ("a,b\nx,1\ny,1\nz,1\n", {"symbols": {"a": 2}}, "has 3 different symbols, but 2 were"),
        ("a,b\nx,1\ny,1\n", {"symbols": {"a": 3}}, "3 were declared; a list of the labels"),
        (
            "a,b\nx,1\n,1\nz,1\n",
            {"symbols": {"a": ["x", "y"]}},
            "column 'a', line 4: wanted one of the labels 'x', 'y', but found 'z'",
        ),
        (
            "a,b\n1,1\n7,1\n",
            {"symbols": {"a": [1, 2]}},
            "column 'a', line 3: wanted one of the labels 1, 2 or NaN, but found 7",
        ),
        (b"a,b\n1,2\n\xff,3\n", {}, "not a text file in UTF-8"),
        (b"a,b\n" + 9000 * b"1,2\n" + b"\xe4,3\n", {}, "not a text file in UTF-8"),
    ],
)
def test_csv_files_that_cannot_be_used(tmp_path, content, options, text):
    file = written(tmp_path / "bad.csv", content)
    with pytest.raises(DataError) as caught:
        open_stream(file, **options)
    assert text in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dataset": "x"}, "argument `dataset` has no meaning for"),
        ({"lower_case": True}, "argument `lower_case` has no meaning for"),
        ({"columns": "ab"}, "argument `columns` must be a list"),
        ({"symbols": "a"}, "argument `symbols` must be a list of columns"),
        ({"symbols": {"a": 1}}, "must be an integer >= 2, but is 1"),
        ({"columns": ["b"], "symbols": ["a"]}, "must name columns that are used, but 'a' is not"),
        ({"symbols": ["a", "b"], "vector": True}, "needs columns of numbers"),
        ({"sensors": ContinuousSensor(3)}, "must have 2 columns in all"),
        ({"sensors": ContinuousSensor(2), "vector": True}, "must not be given together"),
    ],
)
def test_options_that_contradict_the_file(tmp_path, options, text):
    file = written(tmp_path / "a.csv", "a,b\n1,2\n3,4\n")
    with pytest.raises(ConfigurationError, match=text):
        open_stream(file, **options)


def test_files_that_are_not_there_or_of_no_kind(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_stream(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"unknown kind of file; wanted .csv, .tsv"):
        open_stream(written(tmp_path / "a.xlsx", "x"))


def test_a_file_that_changes_under_the_stream(tmp_path):
    file = written(tmp_path / "a.csv", "s,t\nx,1\ny,2\n")
    stream = open_stream(file, symbols=["s"])
    written(file, "s,t\nx,1\nz,2\n")
    with pytest.raises(DataError, match="line 3: wanted one of the labels 'x', 'y', but found 'z'"):
        stream.read(2)
