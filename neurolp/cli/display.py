"""Progress bars and tables on the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from neurolp.runs.kinds import format_duration

if TYPE_CHECKING:
    from neurolp.runs.kinds import RunProgress, SummaryTable
    from neurolp.runs.reproduce import Reproduction
    from neurolp.sweep.running import SweepOutcome


_FILE_WIDTH = 120  # columns of a table that is not printed on a terminal
_PRINT_EVERY = 10.0  # seconds between lines, where there is no terminal
_FEW = 1000  # units of time of a run, each of which gets a line


@contextlib.contextmanager
def progress(quiet: bool, few: int = _FEW) -> Iterator[Callable[[RunProgress], None]]:
    """A function that shows progress: a bar on a terminal, lines otherwise, nothing when quiet."""
    if quiet:
        yield lambda event: None
    elif not sys.stdout.isatty():
        yield _Lines(few)
    else:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        text = TextColumn("{task.description}")
        columns = (MofNCompleteColumn(), BarColumn(), text, TimeElapsedColumn())
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task("starting", total=None)
            yield lambda event: bar.update(
                task,
                completed=event.time,
                total=event.total,
                description=f"{event.unit} {event.message}",
            )


class _Lines:
    """A line for every unit of time where there are few, else for every tenth or ten seconds."""

    def __init__(self, few: int) -> None:
        self._few = few
        self._time, self._fraction, self._elapsed = -1, -1.0, 0.0

    def __call__(self, event: RunProgress) -> None:
        fraction = event.time / max(event.total, 1)
        self._fraction = min(self._fraction, fraction)  # the total of a search grows
        due = event.total <= self._few or self._fraction < 0 or fraction >= self._fraction + 0.1
        due = (due and event.time != self._time) or event.elapsed > self._elapsed + _PRINT_EVERY
        if not event.unit:
            print(event.message, flush=True)
        elif due:
            self._time, self._fraction, self._elapsed = event.time, fraction, event.elapsed
            of = f"/{event.total:,}" if event.total else ""
            at = f"{event.unit} {event.time:,}{of}"
            print(f"{at}: {event.message}  ({format_duration(event.elapsed)})", flush=True)


def print_tables(tables: Iterable[SummaryTable]) -> None:
    """Print tables: names to the left, numbers to the right."""
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    for wanted in tables:
        table = Table()
        for k, column in enumerate(wanted.columns):
            cells = [row[k] for row in wanted.rows]
            numbers = any(cell[:1].isdigit() or cell[:1] in ("+", "-") for cell in cells if cell)
            table.add_column(column, justify="right" if k and numbers else "left")
        for row in wanted.rows:
            table.add_row(*row)
        console.print(wanted.title, soft_wrap=True)
        console.print(table)


def print_reproduction(found: Reproduction) -> None:
    """Print the differences, and the software whose version has changed."""
    for name, (then, now) in found.versions.items():
        print(f"{name} {now}, was {then}")
    for difference in found.differences:
        print(difference)
    if found.identical:
        print(f"{found.path}: identical, bit by bit ({found.n_compared} compared)")
    else:
        print(f"{found.path}: {len(found.differences)} of {found.n_compared} compared differ")


def print_sweep(outcome: SweepOutcome, most: int = 10) -> None:
    """Print how many jobs are in which state, and a line for each failed job."""
    failed = outcome.failed
    for name, state in list(failed.items())[:most]:
        where = outcome.path / "jobs" / name
        print(f"{state.state}: {where}: {state.reason}: {state.message}")
    if len(failed) > most:
        print(f"... and {len(failed) - most} more, which `neurolp collect` lists")
    if outcome.best:
        print(f"best: {outcome.best}")
    for key in outcome.without_effect:
        print(f"{key} had no effect on any result")
    counts = ", ".join(f"{n} {state}" for state, n in outcome.counts.items())
    print(f"{len(outcome.states)} jobs: {counts}; {outcome.elapsed:.1f} s; in {outcome.path}")
