"""Frames from files: CSV files as people have them, arrays, Parquet."""

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurolp import DataError, MonotoneDensity, NeurolpError
from neurolp.data.columns import Columns
from neurolp.data.tables import read_frame

DIRTY = """age,name,member,answer,joined,seen,score,empty,id
31,eve,true,yes,2020-01-31,2020-01-31T10:00:00Z,0.5,,9223372036854775807
 40 , bob ,FALSE,no,2020-02-29,2020-01-31 10:00+02:00,1e3,NA,9007199254740993
?,N/A,-,null,,,NaN,none,1
40,"é, ü",True,NO,2021-12-01,2021-01-01T00:00:00.5Z,-2,-,2
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="x.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_dirty_file(write):
    frame = read_frame(write(DIRTY))
    assert {c: str(t) for c, t in frame.dtypes.items()} == {
        "age": "Int64", "name": "str", "member": "boolean", "answer": "str", "joined": "datetime64[us]",
        "seen": "datetime64[us, UTC]", "score": "float64", "empty": "float64", "id": "int64",
    }  # fmt: skip
    assert frame["age"].tolist() == [31, 40, pd.NA, 40]
    assert frame["name"].fillna("").tolist() == ["eve", "bob", "", "é, ü"]
    assert frame["answer"].fillna("").tolist() == ["yes", "no", "", "NO"]
    assert frame["seen"][1] == pd.Timestamp("2020-01-31 08:00Z")
    assert frame["score"].tolist()[:2] == [0.5, 1000]
    assert frame["id"][1] == 2**53 + 1
    assert frame.isna().sum().tolist() == [1, 1, 1, 1, 1, 1, 1, 4, 0]
    columns, codes = Columns.read(frame)
    assert columns["empty"].kind == "constant"
    np.testing.assert_array_equal(columns.encode(columns.decode(codes)), codes)


def test_columns_delimiters_and_files_without_header(write):
    frame = read_frame(write("a;b;c\n1,5;x;1\n2,25;y;2\n"), columns=["c", 0])
    assert frame.columns.tolist() == ["c", "a"]
    assert frame["a"].tolist() == [1.5, 2.25]
    frame = read_frame(write("1\tx\n2\ty\n", "x.tsv"))
    assert frame.columns.tolist() == ["column 0", "column 1"]
    assert frame["column 1"].tolist() == ["x", "y"]
    with pytest.raises(DataError, match="no column 'z' among a, b"):
        read_frame(write("a,b\n1,2\n"), columns=["z"])
    mixed = read_frame(write("d,z\n2020-13-01,2020-01-01\n2020-01-01,2020-01-01T10:00Z\n"))
    assert mixed["d"].tolist() == ["2020-13-01", "2020-01-01"], "not all are dates"
    assert str(mixed["z"].dtype) == "str", "only some have zones"
    codes = read_frame(write("a\n1_000\n1_000\nx\n"))
    assert codes["a"].tolist() == ["1_000", "1_000", "x"]


def test_missing_values_of_ones_own(write):
    path = write("a,b,c\n1,x,0.5\n-999,Unknown,-999.0\n3,-999,1.5\n")
    for own in ([-999, "unknown"], ["-999", "Unknown"]):
        frame = read_frame(path, missing_values=own)
        assert frame["a"].tolist() == [1, pd.NA, 3]
        assert frame["b"].isna().tolist() == [False, True, True]
        assert frame["c"].isna().tolist() == [False, True, False], "-999.0 is the number -999"


def test_a_word_among_numbers_is_named(write):
    rows = [str(k) for k in range(30)]
    rows[17] = "unknown"
    path = write("n\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError) as error:
        read_frame(path)
    assert str(error.value) == (
        f"{path}: column 'n', line 19: wanted a number, as in 96.6% of the rows, but found "
        "'unknown'; add it to `missing_values`, or declare the column nominal in `kinds`"
    )
    assert read_frame(path, missing_values=["Unknown"])["n"].isna().sum() == 1
    assert read_frame(path, kinds={"n": "nominal"})["n"].tolist() == rows
    assert read_frame(path, kinds={0: "nominal"})["n"].tolist() == rows
    rows[:10] = ["a", "b"] * 5
    assert read_frame(write("n\n" + "\n".join(rows) + "\n"))["n"].tolist() == rows
    with pytest.raises(DataError, match="but found '2021-02-29'"):
        read_frame(write("d\n" + "2020-02-29\n" * 9 + "2021-02-29\n"))
    days = [f"2020-01-{k:02}" for k in range(1, 25)] + ["soon"]
    with pytest.raises(
        DataError, match=r"line 26: wanted a date, as in 96% of the rows, but found 'soon'"
    ):
        read_frame(write("d\n" + "\n".join(days) + "\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "has no rows below its header"),
        ("", "is empty"),
        ("a,b\n1\n", "line 2 has 1 fields"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("a\n1\ninf\n", "column 'a', line 3: value is infinite (inf)"),
    ],
)
def test_one_line(write, text, message):
    with pytest.raises(DataError) as error:
        read_frame(write(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_arrays(tmp_path):
    table = np.array([[1.0, np.nan], [2.0, 3.5]])
    np.save(tmp_path / "x.npy", table)
    np.savez(tmp_path / "x.npz", a=table.astype(np.float32), s=np.array([["a"], ["b"]]))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["t"] = table[0]
    expected = pd.DataFrame(table, columns=["column 0", "column 1"])
    pd.testing.assert_frame_equal(read_frame(tmp_path / "x.npy"), expected)
    assert read_frame(tmp_path / "x.npz", "a", columns=[1]).dtypes.tolist() == [np.float32]
    assert read_frame(tmp_path / "x.npz", "s")["column 0"].tolist() == ["a", "b"]
    assert read_frame(tmp_path / "x.h5").shape == (2, 1)
    with pytest.raises(DataError, match="no such file"):
        read_frame(tmp_path / "y.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_frame(tmp_path)


def test_parquet(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"no")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs pyarrow"):
        read_frame(path)
    monkeypatch.undo()
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match="damaged or not a Parquet file"):
        read_frame(path)
    frame = pd.DataFrame({"a": [1, 2], "s": ["x", None]})
    frame.to_parquet(path)
    pd.testing.assert_frame_equal(read_frame(path), frame)
    assert read_frame(path, columns=["s"]).columns.tolist() == ["s"]


CELLS = [
    "",
    "1",
    "2.5",
    "-3",
    "x",
    "NA",
    "true",
    "2020-01-01",
    "2020-99-01",
    "inf",
    "1e999",
    '"a,b"',
    "é",
    "9" * 30,
    "0x1",
    "\x00",
    " ",
]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.sampled_from(CELLS), min_size=2, max_size=2), max_size=30))
def test_any_file_becomes_a_frame_or_one_line(tmp_path, rows):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    try:
        columns, codes = Columns.read(read_frame(path))
    except NeurolpError as error:
        lines = str(error).splitlines()
    else:
        lines = [""]
        np.testing.assert_array_equal(columns.encode(columns.decode(codes)), codes)
    assert len(lines) == 1


def test_a_table_of_others_with_columns_of_several_kinds_is_refused_as_a_sequence_in_one_line():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"day": pd.date_range("2020-01-01", periods=3), "x": [0.5, 1.5, 2.5]})
    with pytest.raises(DataError) as caught:
        MonotoneDensity().fit(table)
    assert "\n" not in str(caught.value)
