"""Tables and summaries on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from neurolp.runs.kinds import SummaryTable
    from neurolp.runs.reproduce import Reproduction
    from neurolp.sweep.running import SweepOutcome


_FILE_WIDTH = 120  # columns of a table that is not printed on a terminal


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
