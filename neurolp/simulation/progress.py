"""Progress of long work, shown on a terminal or in a file."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from neurolp.progress import RunProgress, format_duration, reported_to
from neurolp.simulation.compilation import Compilation, watched_compilation

_PRINT_EVERY = 5.0  # seconds between lines, where there is no terminal
COMPILING = "compiling kernels for this processor, once after installation: a minute or two"


@contextlib.contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Display]:
    """What shows progress on standard output: a bar on a terminal, lines elsewhere, or nothing.

    Lines come at most every five seconds; the last state is shown when the work has come to its
    end. The first compilation of kernels, if there is one, is announced.
    """
    if quiet:
        yield Display()
        return
    shown = _Bar() if sys.stdout.isatty() else _Lines()
    with shown, watched_compilation(shown.announce) as shown.compilation:
        yield shown


@contextlib.contextmanager
def verbose_fit(estimator: Any) -> Iterator[Display]:
    """Progress that is shown while ``estimator`` fits, if it is ``verbose``.

    It includes what work deep inside says by :func:`neurolp.progress.report`.
    """
    wanted = getattr(estimator, "verbose", False)
    quiet = not isinstance(wanted, bool | np.bool_) or not wanted  # others are refused in fit
    with shown_progress(quiet) as shown:
        if quiet:
            yield shown
            return
        with reported_to(shown):
            yield shown


class Display(contextlib.AbstractContextManager["Display"]):
    """Shows nothing; called with a :class:`RunProgress`. ``compilation`` took some of the time."""

    def __init__(self) -> None:
        self.compilation = Compilation()

    def __call__(self, event: RunProgress) -> None:
        """Show the progress."""

    def announce(self) -> None:
        """Say that kernels are compiled."""

    def __exit__(self, *raised: object) -> None:
        """End the display."""


class _Bar(Display):
    """A bar that moves, and vanishes at the end."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        super().__init__()
        text = TextColumn("{task.description}", markup=False)
        columns = (MofNCompleteColumn(), BarColumn(), text, TimeElapsedColumn())
        self._bar = Progress(*columns, transient=True)
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __call__(self, event: RunProgress) -> None:
        text = f"{event.unit} {event.message}".strip()
        total = event.total or None
        self._bar.update(self._task, completed=event.time, total=total, description=text)

    def announce(self) -> None:
        self._bar.console.print(COMPILING)

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()


class _Lines(Display):
    """Lines: the first state at once, then every few seconds the latest, and the last."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._latest: RunProgress | None = None  # that was not printed
        self._printed = -float("inf")
        self._timer: threading.Timer | None = None

    def __call__(self, event: RunProgress) -> None:
        with self._lock:
            self._latest = event
            wait = self._printed + _PRINT_EVERY - time.monotonic()
            if wait <= 0:
                self._print()
            elif self._timer is None:  # work that reports nothing for long is shown too
                self._timer = threading.Timer(wait, self._due)
                self._timer.daemon = True
                self._timer.start()

    def announce(self) -> None:
        print(COMPILING, flush=True)

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if raised[0] is None:
                self._print()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            self._print()

    def _print(self) -> None:
        if self._latest is None:
            return
        event, self._latest, self._printed = self._latest, None, time.monotonic()
        of = f"/{event.total:,}" if event.total else ""
        at = f"{event.unit} {event.time:,}{of}: " if event.unit else ""
        print(f"{at}{event.message}  ({format_duration(event.elapsed)})", flush=True)
