"""Progress: lines at most every few seconds, a bar on a terminal, compilation announced."""

import contextlib
import io
import time

import numba
import numpy as np
import pytest

from neurolp.progress import RunProgress, format_duration
from neurolp.simulation import progress as module
from neurolp.simulation.compilation import watched_compilation
from neurolp.simulation.progress import COMPILING, shown_progress
from tests.processes import python

JIT = not numba.config.DISABLE_JIT


class Clocked(io.StringIO):
    """Text that knows when each of its lines was written."""

    def __init__(self, terminal=False):
        super().__init__()
        self.times, self.terminal = [], terminal

    def write(self, text):
        self.times += [time.monotonic()] * text.count("\n")
        return super().write(text)

    def isatty(self):
        return self.terminal


@contextlib.contextmanager
def watched(monkeypatch, every=0.2, *, quiet=False, terminal=False):
    """Progress that is shown, and what is printed of it."""
    monkeypatch.setattr(module, "_PRINT_EVERY", every)
    out = Clocked(terminal)
    with contextlib.redirect_stdout(out), shown_progress(quiet) as show:
        yield show, out


def at(k, total=1000, message="surprise 1.0"):
    return RunProgress(k, total, "slice", message, 61.0)


def test_lines_come_at_most_so_often_and_the_last_state_is_told(monkeypatch):
    began = time.monotonic()
    with watched(monkeypatch) as (show, out):
        for k in range(1, 101):
            show(at(k))
            time.sleep(0.01)
    most = 2 + (time.monotonic() - began) / 0.2
    lines = out.getvalue().splitlines()
    assert lines[0] == "slice 1/1,000: surprise 1.0  (1 min 01 s)"
    assert lines[-1].startswith("slice 100/1,000: ")
    assert 3 <= len(lines) <= most
    assert np.diff(out.times[:-1]).min() > 0.19


def test_work_that_reports_nothing_for_long_is_shown_when_a_line_is_due(monkeypatch):
    with watched(monkeypatch) as (show, out):
        show(at(1))
        show(at(2, message="learning the heads"))
        time.sleep(0.5)
        assert out.getvalue().splitlines()[-1].startswith("slice 2/1,000: learning the heads")
    assert len(out.getvalue().splitlines()) == 2


def test_what_failed_ends_with_no_further_line(monkeypatch):
    with contextlib.suppress(KeyError), watched(monkeypatch) as (show, out):
        show(at(1))
        show(at(2))
        raise KeyError
    time.sleep(0.4)
    assert len(out.getvalue().splitlines()) == 1


def test_without_a_unit_or_a_total_only_what_there_is_is_told(monkeypatch):
    with watched(monkeypatch, 0.0) as (show, out):
        show(RunProgress(0, 0, "", "learning the cells", 1.0))
        show(RunProgress(3, 0, "step", "going on", 2.0))
    assert out.getvalue().splitlines() == [
        "learning the cells  (1.0 s)",
        "step 3: going on  (2.0 s)",
    ]


def test_a_terminal_gets_a_bar_whose_text_is_taken_as_it_is(monkeypatch):
    with watched(monkeypatch, terminal=True) as (show, out):
        show(RunProgress(2, 10, "step", "trimodal [bold], n = 50", 0.1))
        time.sleep(0.3)
    assert "2/10" in out.getvalue()
    assert "trimodal [bold]" in out.getvalue()
    with watched(monkeypatch, quiet=True) as (show, out):
        show(at(1))
    assert out.getvalue() == ""


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_compilation_is_announced_once_timed_and_only_when_it_happens(monkeypatch):
    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def outer(x):
        return inner(x) * 2

    with watched(monkeypatch) as (show, out):
        assert (outer(1), outer(1.0)) == (4, 4.0)
    assert out.getvalue().splitlines() == [COMPILING]
    assert 0 < show.compilation.seconds < 60
    with watched(monkeypatch) as (show, out):
        assert outer(2) == 6
    assert (out.getvalue(), show.compilation.seconds) == ("", 0.0)
    told = []
    with watched_compilation(lambda: told.append(1)) as found:
        outer(np.float32(1.0))
        before = found.seconds
    outer(True)  # after the context nobody is told
    assert (told, found.seconds) == ([1], before)


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_kernels_read_from_the_cache_are_not_announced(tmp_path):
    program = """
import numpy as np
from neurolp.simulation.progress import shown_progress
from neurolp.kernels.logistic import log_loss
with shown_progress() as show:
    log_loss(np.ones(3), np.ones(3), np.ones(3))
print(show.compilation.seconds > 0)
"""
    for expected in (f"{COMPILING}\nTrue\n", "False\n"):
        done = python(program, NUMBA_CACHE_DIR=str(tmp_path))
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_durations_are_told_in_the_units_people_use():
    shown = [format_duration(s) for s in (0.04, 59.96, 187, 3600, 90_061)]
    assert shown == ["0.0 s", "60.0 s", "3 min 07 s", "1 h 00 min", "25 h 01 min"]
