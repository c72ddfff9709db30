"""`neurolp init`: a configuration for any table, which is valid and runs as it is."""

import re
import tomllib

import h5py
import numpy as np
import pandas as pd
import pytest

from neurolp.errors import DataError
from neurolp.runs import read_configuration
from neurolp.runs.initial_configuration import initial_configuration
from tests.processes import assert_one_line, neurolp_command

DIRTY = "when,key,x,n,always,id,yes,none\n" + "".join(
    f"2020-01-{1 + k % 28:02d},{'abc'[k % 3]},{'?' if k % 9 == 4 else f'{np.sin(k):.5f}'},"
    f"{k % 7},7,r{k},{k % 2 == 0},\n"
    for k in range(60)
)
CLEAN = DIRTY.replace("?", "NaN")
FAST = ("--set", "brain.max_slices=2", "--set", "compare=false")


def described(text):
    """Kind, missing, different and values of each column, as comments say it."""
    lines = text.splitlines()
    first = next(k for k, line in enumerate(lines) if re.match(r"#   column +kind", line))
    rows = [
        re.split(r"  +", line[4:], maxsplit=4) for line in lines[first + 1 :] if line[:4] == "#   "
    ]
    return {name: rest for name, *rest in rows}


def test_a_dirty_table_becomes_a_configuration_that_runs(tmp_path):
    (tmp_path / "dirty.csv").write_text(DIRTY)
    done = neurolp_command("init", "dirty.csv", cwd=tmp_path)
    expected = "dirty.toml: ready; `neurolp run dirty.toml` learns dirty.csv\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    text = (tmp_path / "dirty.toml").read_text()
    assert described(text) == {
        "when": ["ordinal", "0", "28", "2020-01-01 to 2020-01-28"],
        "key": ["nominal", "0", "3", described(text)["key"][3]],
        "x": ["continuous", "11.7%", "53", "-0.99999 to 0.99991"],
        "n": ["ordinal", "0", "7", "0 to 6"],
        "always": ["constant", "0", "1", "7"],
        "id": ["nominal", "0", "60", described(text)["id"][3]],
        "yes": ["nominal", "0", "2", "True, False"],
        "none": ["constant", "100.0%", "0", "none"],
    }
    assert {*described(text)["key"][3].split(", ")} == {"a", "b", "c"}
    assert described(text)["id"][3].endswith("an identifier?")
    assert tomllib.loads(text) == {"title": "dirty", "seed": 0, "data": {"file": "dirty.csv"}}
    done = neurolp_command("validate", "dirty.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "dirty.toml: valid\n")
    done = neurolp_command("run", "dirty.toml", "-q", *FAST, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_comments_offer_can_be_uncommented(tmp_path):
    (tmp_path / "dirty.csv").write_text(DIRTY)
    text = initial_configuration(tmp_path / "dirty.csv", tmp_path / "d.toml")
    offered = re.findall(r"(?m)^# .*?: ((?:kinds|columns|missing_values) = .*)$", text)
    assert [line.split(" = ")[0] for line in offered] == ["kinds", "missing_values", "columns"]
    (tmp_path / "d.toml").write_text(text + "\n".join(offered) + "\n")
    data = read_configuration(tmp_path / "d.toml").data
    assert data.kinds == {"x": "ordinal"}
    assert data.columns == DIRTY.split("\n")[0].split(",")


def test_a_stream_has_sensors_for_what_can_be_one(tmp_path):
    (tmp_path / "dirty.csv").write_text(CLEAN)
    done = neurolp_command("init", "dirty.csv", "--stream", "-o", "s.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "s.toml").read_text()
    section = {"file": "dirty.csv", "columns": ["key", "x", "n", "yes"], "symbols": ["key", "yes"]}
    assert tomllib.loads(text)["stream"] == section
    assert 'declared: counts = ["n"]' in text
    for left_out in ("when, it holds dates", "always, it is constant", "none, it is empty",
                     "id, nearly all of its values are different"):  # fmt: skip
        assert f"# Left out: {left_out}." in text
    small = ("--set", "brain.n_hidden=3", "--set", "record.dream=0")
    done = neurolp_command("run", "s.toml", "-q", *small, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["a.npy", "a.h5", "a.npz", "a.txt"])
def test_arrays_and_texts(name, tmp_path):
    table = np.random.default_rng(0).standard_normal((50, 2))
    stream = name in ("a.npy", "a.txt")
    if name == "a.npy":
        np.save(tmp_path / name, table)
    elif name == "a.npz":
        np.savez(tmp_path / name, a=table, b=table[:, :1])
    elif name == "a.txt":
        (tmp_path / name).write_text("a rose is a rose " * 9)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["a"], file["b"] = table, table[:, :1]
    if name in ("a.npz", "a.h5"):
        with pytest.raises(DataError, match="`dataset` must name one of a, b"):
            initial_configuration(tmp_path / name, tmp_path / "a.toml")
    dataset = "b" if name in ("a.npz", "a.h5") else None
    text = initial_configuration(
        tmp_path / name, tmp_path / "a.toml", stream=stream, dataset=dataset
    )
    raw = tomllib.loads(text)["stream" if stream else "data"]
    assert raw == {"file": name} | ({} if dataset is None else {"dataset": "b"})
    assert ("CategoricalSensor, 1 column" in text) == (name == "a.txt")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1.5,2\n", "wanted at least 10 rows, but it has 1"),
        ("a,b\n", "has no rows below its header"),
        ("", "is empty"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("a,b\n1,2\n3\n", "line 3 has 1 fields"),
        ("a\n" + "\n".join(["1.5"] * 30 + ["red"]), "'red'"),
        ("a,b\n" + ",\n" * 30, ""),
    ],
)
def test_what_no_run_could_use_is_refused_and_nothing_written(text, message, stream, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    flag = ("--stream",) if stream else ()
    done = neurolp_command("init", "x.csv", *flag, cwd=tmp_path)
    assert_one_line(done, 65, message)
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_files_that_are_there_stay(tmp_path):
    (tmp_path / "x.csv").write_text(DIRTY)
    for name in ("x.toml", "x-2.toml"):
        done = neurolp_command("init", "x.csv", cwd=tmp_path)
        assert done.stdout.startswith(f"{name}: ready")
    (tmp_path / "x.toml").write_text("mine")
    done = neurolp_command("init", "x.csv", "-o", "x.toml", cwd=tmp_path)
    assert_one_line(done, 73, "x.toml: exists already")
    done = neurolp_command("init", "x.csv", "-o", "x.csv", "--force", cwd=tmp_path)
    assert_one_line(done, 2, "-o x.csv is the data itself")
    done = neurolp_command("init", "x.csv", "-o", "x.toml", "--force", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "x.csv").read_text() == DIRTY
    done = neurolp_command("init", "none.csv", cwd=tmp_path)
    assert_one_line(done, 65, "none.csv: no such file")


def test_names_of_all_sorts_are_written_as_toml_has_them(tmp_path):
    name, column = 'we"ird\n\t\x7f.csv', 'a "b"\\\x01ä'
    frame = pd.DataFrame({column: np.random.default_rng(0).standard_normal(30), "b\t": range(30)})
    frame.to_csv(tmp_path / name, index=False)
    text = initial_configuration(tmp_path / name, tmp_path / "x.toml")
    assert tomllib.loads(text)["data"]["file"] == name
    offered = re.search(r"(?m)^# .*?: (kinds = .*)$", text).group(1)
    assert tomllib.loads(offered)["kinds"] == {column: "ordinal"}
    (tmp_path / "sub").mkdir()
    text = initial_configuration(tmp_path / name, tmp_path / "sub" / "x.toml")
    assert tomllib.loads(text)["data"]["file"] == f"../{name}"


def test_copies_of_rows_and_of_columns_are_remarked(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=80).round(3), "b": rng.integers(0, 9, 80)})
    frame["c"] = frame["a"].where(np.arange(80) > 3, 0.5)
    frame = pd.concat([frame, frame.iloc[:7]])
    frame.to_csv(tmp_path / "t.csv", index=False)
    text = initial_configuration(tmp_path / "t.csv", tmp_path / "t.toml")
    assert "\n# 7 of the rows are copies of rows above them\n" in text
    assert "\n# c is a again in 90.8% of the rows: leave one out\n" in text
    assert "b is" not in text
    frame[["b"]].assign(d=rng.normal(size=87)).to_csv(tmp_path / "u.csv", index=False)
    text = initial_configuration(tmp_path / "u.csv", tmp_path / "u.toml")
    assert "copies" not in text
    assert "again" not in text
