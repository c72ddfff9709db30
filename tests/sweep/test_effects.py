"""Keys without effect, and the types of a sweep's table."""

import numpy as np
import pandas as pd
import pytest

from neurolp import Sweep, open_trajectory
from neurolp.sweep.collecting import collect, write_table
from neurolp.sweep.effects import keys_without_effect
from neurolp.sweep.plotting import figures
from neurolp.sweep.state import DONE, FAILED, JobState, write_state
from tests.processes import neurolp_command
from tests.sweep.quick import QUICK, QUICK_TOML, fake_sweep, written

A_AND_B = [{"a": a, "b": b} for a in (1, 2, 3) for b in (10, 20)]


def table_of(tmp_path, grid, how, value):
    return collect(fake_sweep(tmp_path, grid, how, 2, value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda s: s["a"] * 1.0, ["b"]),
        (lambda s: s["b"] * 1.0, ["a"]),
        (lambda s: s["a"] + s["b"] * 1e-12, []),
        (lambda s: float(s == {"a": 3, "b": 20}), []),
        (lambda s: 1.0, ["a", "b"]),
        (lambda s: float("nan"), ["a", "b"]),
    ],
)
def test_a_key_has_no_effect_if_jobs_that_differ_in_it_alone_agree(tmp_path, value, expected):
    table = table_of(tmp_path, A_AND_B, {"a": "grid", "b": "grid"}, value)
    assert keys_without_effect(table) == expected


def test_lists_are_judged_together_and_so_are_draws(tmp_path):
    grid = [{"a": k, "b": 2 * k, "c": c} for k in range(3) for c in "xy"]
    table = table_of(
        tmp_path, grid, {"a": "list", "b": "list", "c": "grid"}, lambda s: 1.0 * s["a"]
    )
    assert keys_without_effect(table) == ["c"]
    table.attrs["how"] = {"a": "random", "b": "random", "c": "grid"}
    assert keys_without_effect(table) == ["c"]
    table["surprise"] = table["c"].map({"x": 1.0, "y": 2.0}) + table["replicate"]
    assert keys_without_effect(table) == ["a", "b"]


def test_nothing_is_said_of_what_was_not_compared(tmp_path):
    table = table_of(tmp_path / "one", [{"a": 1}], {"a": "grid"}, lambda s: 1.0)
    assert keys_without_effect(table) == []
    folder = fake_sweep(tmp_path / "two", [{"a": 1}, {"a": 2}], {"a": "grid"}, 1, lambda s: 1.0)
    assert keys_without_effect(collect(folder)) == ["a"]
    write_state(folder / "jobs" / "000100", JobState(FAILED, 1, "data"))
    assert keys_without_effect(collect(folder)) == []


def test_run_times_are_no_results(tmp_path):
    folder = fake_sweep(tmp_path, [{"a": 1}, {"a": 2}], {"a": "grid"}, 1, lambda s: 1.0)
    for k in range(2):
        result = {"surprise": 1.0, "seconds": 1.0 + k, "steps_per_second": 9.0 + k}
        write_state(folder / "jobs" / f"000{k}00", JobState(DONE, 1, result=result))
    assert keys_without_effect(collect(folder)) == ["a"]


def test_a_sweep_reports_keys_without_effect(tmp_path):
    sweep = Sweep(QUICK, grid={"record.dream": [0, 5], "brain.n_lags": [1, 2]})
    outcome = sweep.run(tmp_path / "out", workers=1)
    assert outcome.counts == {"done": 4}
    assert outcome.without_effect == ("record.dream",)
    caption = figures(sweep.collect(tmp_path / "out"))["curves"].caption
    assert caption.endswith("record.dream had no effect on any result.")
    assert "n_lags had" not in caption
    text = """
[sweep.grid]
"record.dream" = [0, 5]
"brain.n_lags" = [1, 2]
"""
    written(tmp_path, QUICK_TOML + text)
    again = neurolp_command("sweep", "s.toml", "-o", "out", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "record.dream had no effect on any result" in again.stdout.splitlines()


def test_columns_have_the_types_of_their_values(tmp_path):
    grid = [
        {"n": n, "x": x, "flag": flag, "name": name, "table": {"kind": name}, "some": some}
        for n, x, flag, name, some in (
            (1, 0.5, True, "a", None), (2, 2, False, "b", 7), (3, 1.0, True, "c", 8),
        )
    ]  # fmt: skip
    folder = fake_sweep(tmp_path, grid, dict.fromkeys(grid[0], "list"), 1, lambda s: 1.0)
    began = "2026-01-02T03:04:05+00:00"
    result = {"surprise": 1.5, "n_steps": 300}
    write_state(
        folder / "jobs" / "000000", JobState(DONE, 2, seconds=1.5, began=began, result=result)
    )
    write_state(folder / "jobs" / "000200", JobState(FAILED, 1, "data", "no such column"))
    table = collect(folder)
    assert {name: str(table[name].dtype) for name in table} == {
        "job": "string", "n": "int64", "x": "float64", "flag": "bool", "name": "string",
        "table": "string", "some": "Int64", "replicate": "int64", "seed": "int64",
        "surprise": "float64", "n_steps": "Int64", "rate": "float64", "state": "string",
        "attempts": "int64", "reason": "string", "message": "string", "seconds": "float64",
        "host": "string", "began": str(table["began"].dtype),
    }  # fmt: skip
    assert isinstance(table["began"].dtype, pd.DatetimeTZDtype)
    assert table["began"][0] == pd.Timestamp(began)
    assert table["began"].isna().tolist() == [False, True, True]
    assert table["surprise"].isna().tolist() == [False, False, True]
    assert table["n_steps"].tolist() == [300, pd.NA, pd.NA]
    assert table["reason"].tolist() == [pd.NA, pd.NA, "data"]
    assert table["table"][1] == '{"kind": "b"}'
    assert table.loc[table["flag"], "n"].tolist() == [1, 3]

    again = pd.read_csv(write_table(table, tmp_path / "t.csv"))
    for name in ("n", "x", "flag", "seconds"):
        assert again[name].dtype == table[name].dtype
        np.testing.assert_array_equal(again[name], table[name])
    with open_trajectory(write_table(table, tmp_path / "t.h5")) as file:
        np.testing.assert_array_equal(file["n_steps"].values, [300, np.nan, np.nan])
        np.testing.assert_array_equal(file["flag"].values, [True, False, True])
        assert list(file["reason"].values) == ["", "", "data"]
        assert file["began"].values[0].startswith("2026-01-02 03:04:05")
