"""`neurolp plot` with its formats, and `neurolp info` of a sweep."""

import json

import matplotlib.image
import pytest

from tests.processes import assert_one_line, neurolp_command

SMALL = 'seed = 1\n[stream]\nsource = "ar2"\nn_steps = 300\n[brain]\nn_hidden = 5\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("plot")
    (path / "a.toml").write_text(SMALL)
    done = neurolp_command("run", "a.toml", "-q", cwd=path)
    assert done.returncode == 0, done.stderr
    return path


def plotted(folder, *options):
    done = neurolp_command("plot", "a.h5", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [folder / line for line in done.stdout.split()]


def test_formats_sizes_and_single_figures(folder):
    every = {path.stem for path in plotted(folder)}
    assert {"surprise", "activity"} <= every
    (small,) = plotted(folder, "--only", "surprise", "-o", "one", "--dpi", "50")
    (large,) = plotted(folder, "--only", "surprise", "-o", "two", "--dpi", "300")
    heights = [matplotlib.image.imread(path).shape[0] for path in (small, large)]
    assert heights[1] == pytest.approx(6 * heights[0], rel=0.01)
    for name, begins in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        found = plotted(folder, "--format", name, "--only", "activity", "--only", "surprise")
        assert [path.name for path in found] == [f"activity.{name}", f"surprise.{name}"]
        assert all(path.read_bytes().startswith(begins) for path in found)


def test_what_cannot_be_drawn_is_named(folder):
    done = neurolp_command("plot", "a.h5", "--only", "surprize", cwd=folder)
    assert_one_line(done, 2, "--only surprize: no such figure of a.h5; there are ")
    assert "activity" in done.stderr
    done = neurolp_command("plot", "a.h5", "--format", "svg", "--dpi", "300", cwd=folder)
    assert_one_line(done, 2, "--dpi is for PNG, and has no meaning for svg")
    assert neurolp_command("plot", "a.h5", "--format", "gif", cwd=folder).returncode == 2
    assert neurolp_command("plot", "a.h5", "--dpi", "0", cwd=folder).returncode == 2


def test_info_of_a_sweep(tmp_path):
    (tmp_path / "base.toml").write_text(SMALL)
    (tmp_path / "s.toml").write_text(
        'title = "Small"\nbase = "base.toml"\n[sweep]\nreplicates = 2\n'
        '[sweep.grid]\n"brain.n_hidden" = [2, 3]\n'
    )
    done = neurolp_command("sweep", "s.toml", "-q", "--workers", "1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    info = neurolp_command("info", "s", cwd=tmp_path)
    lines = info.stdout.splitlines()
    assert lines[0] == "Small: 4 jobs (4 done)"
    assert lines[1:3] == ["  brain.n_hidden (grid): 2 values: 2, 3", "  replicates: 2"]
    assert lines[-1] == "  `neurolp collect s` makes a table, `neurolp plot s` figures"
    # One job failed, one never ran.
    first, second, *_ = sorted((tmp_path / "s" / "jobs").iterdir())
    state = json.loads((first / "state.json").read_text())
    failed = state | {"state": "failed", "reason": "data", "message": "x.csv: is empty"}
    (first / "state.json").write_text(json.dumps(failed))
    (second / "state.json").unlink()
    info = neurolp_command("info", "s", cwd=tmp_path)
    lines = info.stdout.splitlines()
    assert lines[0] == "Small: 4 jobs (1 pending, 2 done, 1 failed)"
    assert "  1 x data: x.csv: is empty" in lines
    assert lines[-1] == "  `neurolp sweep CONFIG -o s` goes on with what is not done"
    done = neurolp_command("info", ".", cwd=tmp_path)
    assert_one_line(done, 65, "no sweep in it")
