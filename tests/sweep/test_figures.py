"""Figures of a sweep's table, and damaged tables."""

import pytest

from neurolp.errors import ConfigurationError, FormatError
from neurolp.sweep.collecting import collect
from neurolp.sweep.plotting import figures
from neurolp.sweep.state import RUNNING, JobState, write_state
from tests.sweep.quick import fake_sweep


@pytest.mark.parametrize(
    ("grid", "how", "names"),
    [
        ([{"a": a} for a in (1, 10, 100)], {"a": "grid"}, {"curves"}),
        ([{"a": a, "b": b} for a in (1, 2, 3) for b in ("x", "y")], {"a": "grid", "b": "grid"}, {"curves", "heat_map"}),
        ([{"a": a, "b": b, "c": c} for a in (1, 2, 3) for b in (1, 2) for c in (True, False)], {"a": "grid", "b": "grid", "c": "list"}, {"curves", "heat_map", "heat_map_2"}),
        ([{"kind": {"kind": k}} for k in ("none", "full")], {"kind": "grid"}, {"curves"}),
        ([{"a": 10.0**-k, "b": "xy"[k % 2]} for k in range(5)], {"a": "random", "b": "random"}, {"draws"}),
        ([{}], {}, {"curves"}),
    ],
)  # fmt: skip
def test_figures(tmp_path, grid, how, names):
    table = collect(fake_sweep(tmp_path, grid, how, 3, lambda s: 1.0))
    drawn = figures(table)
    assert set(drawn) == names
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=50)


@pytest.mark.parametrize("length", [3, 30])
def test_names_below_an_axis_do_not_cover_each_other(tmp_path, length):
    grid = [{"kind": letter * length} for letter in "abcd"]
    figure = figures(collect(fake_sweep(tmp_path, grid, {"kind": "grid"}, 2, len)))["curves"].figure
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == [job["kind"] for job in grid]
    assert {label.get_rotation() for label in labels} == {30 if length == 30 else 0}


def test_there_is_nothing_to_draw_before_a_job_is_done(tmp_path):
    folder = fake_sweep(tmp_path, [{"a": 1}], {"a": "grid"}, 1, lambda s: 1.0)
    write_state(folder / "jobs" / "000000", JobState(RUNNING, 1))
    with pytest.raises(ConfigurationError, match="no job is done"):
        figures(collect(folder))
    (folder / "sweep.json").write_text('{"format": "neurolp-sweep", "version": 9}')
    with pytest.raises(FormatError, match="version 9 is too new"):
        collect(folder)
    (folder / "sweep.json").write_text("{")
    with pytest.raises(FormatError, match="damaged"):
        collect(folder)
