"""What a person sees on the terminal while a command works, and at its end."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from neurolp.config.load import AnyConfiguration
    from neurolp.runs.density import Result
    from neurolp.runs.experiment import ClosingTable, Step
    from neurolp.runs.reproduce import Reproduction
    from neurolp.simulation.greedy import Progress
    from neurolp.simulation.stream import StreamProgress
    from neurolp.sweep.running import SweepOutcome, SweepProgress


_FILE_WIDTH = 120  # of tables, where no terminal has a say
_SAY_EVERY = 10.0  # seconds between lines about a stream, where there is no terminal


def progress(
    configuration: AnyConfiguration, quiet: bool
) -> AbstractContextManager[Callable[[Any], None]]:
    """What is to be shown of a run of this kind."""
    from neurolp.config.sections import Configuration
    from neurolp.config.stream_sections import StreamConfiguration

    if isinstance(configuration, Configuration):
        brain = configuration.brain
        return brain_progress(brain.max_time, brain.time_unit, quiet)
    if isinstance(configuration, StreamConfiguration):
        return stream_progress(quiet)
    return step_progress(quiet)


@contextlib.contextmanager
def brain_progress(max_time: int, unit: str, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, one line per unit of time otherwise, nothing when quiet."""
    if quiet:
        yield lambda progress: None
    elif not sys.stdout.isatty():
        yield lambda progress: print(_line(progress, unit), flush=True)
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn(unit),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        with Bar(*columns, transient=True) as bar:
            task = bar.add_task("presenting the input", total=max_time)
            yield lambda progress: bar.update(
                task, completed=progress.time, description=_surprises(progress)
            )


@contextlib.contextmanager
def step_progress(quiet: bool) -> Iterator[Callable[[Step], None]]:
    """A bar on a terminal, one line per step of an experiment otherwise, nothing when quiet."""
    began = time.monotonic()
    if quiet:
        yield lambda step: None
    elif not sys.stdout.isatty():
        yield lambda step: print(
            f"{step.number}/{step.total}: {step.what}  ({time.monotonic() - began:.1f} s)",
            flush=True,
        )
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        with Bar(*columns, transient=True) as bar:
            task = bar.add_task("")
            yield lambda step: bar.update(
                task, completed=step.number - 1, total=step.total, description=step.what
            )


@contextlib.contextmanager
def stream_progress(quiet: bool) -> Iterator[Callable[[StreamProgress], None]]:
    """A bar on a terminal, now and then a line otherwise, nothing when quiet."""
    if quiet:
        yield lambda progress: None
    elif not sys.stdout.isatty():
        said = [0.0, 0.0]  # when, and at which fraction

        def say(progress: StreamProgress) -> None:
            fraction = progress.time / progress.n_steps
            if fraction >= min(said[1] + 0.1, 1) or progress.elapsed > said[0] + _SAY_EVERY:
                said[:] = progress.elapsed, fraction
                print(
                    f"step {progress.time:,}/{progress.n_steps:,}: {_running(progress)}  "
                    f"({progress.elapsed:.1f} s)",
                    flush=True,
                )

        yield say
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        with Bar(*columns, transient=True) as bar:
            task = bar.add_task("waking up", total=None)
            yield lambda progress: bar.update(
                task,
                completed=progress.time,
                total=progress.n_steps,
                description=_running(progress),
            )


def print_tables(tables: Iterable[ClosingTable]) -> None:
    """The closing tables of an experiment: names to the left, numbers to the right."""
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    for closing in tables:
        table = Table()
        for k, column in enumerate(closing.columns):
            cells = [row[k] for row in closing.rows]
            numbers = any(cell[:1].isdigit() or cell[:1] in ("+", "-") for cell in cells if cell)
            table.add_column(column, justify="right" if k and numbers else "left")
        for row in closing.rows:
            table.add_row(*row)
        console.print(closing.title, soft_wrap=True)
        console.print(table)


def _line(progress: Progress, unit: str) -> str:
    if progress.stage:
        return progress.stage
    return f"{unit} {progress.time}: {_surprises(progress)}  ({progress.elapsed:.1f} s)"


def _surprises(progress: Progress) -> str:
    if progress.stage:
        return progress.stage
    parts = [f"{name} {value:.3f}" for name, value in progress.surprise.items()]
    return "surprise (nats): " + ", ".join(parts) + f", best at {progress.best_time}"


def _running(progress: StreamProgress) -> str:
    rate = "" if progress.rate is None else f", entropy rate {progress.rate:.4f}"
    return f"surprise {progress.surprise:.4f} nats{rate}"


def print_result(result: Result, seconds: float) -> None:
    """The closing table of a brain simulation: it, and the models it was compared with."""
    table = Table()
    table.add_column("model")
    table.add_column("nats", justify="right")
    table.add_column("standardised", justify="right")
    discrete = result.rows[0].bits_per_dim is not None
    if discrete:
        table.add_column("bits/dim", justify="right")
    table.add_column("s", justify="right")
    for row in result.rows:
        cells = [row.model, f"{row.log_prob:.2f}", f"{row.standardised:.2f}"]
        if discrete:
            cells.append("" if row.bits_per_dim is None else f"{row.bits_per_dim:.3f}")
        table.add_row(*cells, f"{row.seconds:.1f}")
    console = Console()
    console.print("Test log-likelihood per sample, nats (higher is better)", soft_wrap=True)
    console.print(table)
    console.print(f"{seconds:.1f} s in all; trajectory: {result.path}", soft_wrap=True)


def print_reproduction(found: Reproduction) -> None:
    """What differs, if anything does, and software that is not what it was."""
    for name, (then, now) in found.versions.items():
        print(f"{name} {now}, was {then}")
    for difference in found.differences:
        print(difference)
    if found.identical:
        print(f"{found.path}: identical, bit by bit ({found.n_compared} compared)")
    else:
        print(f"{found.path}: {len(found.differences)} of {found.n_compared} compared differ")


@contextlib.contextmanager
def sweep_progress(quiet: bool) -> Iterator[Callable[[SweepProgress], None]]:
    """A bar on a terminal, now and then a line otherwise, nothing when quiet."""
    if quiet:
        yield lambda progress: None
    elif not sys.stdout.isatty():
        said = [0.0, -1.0]  # when, and which fraction was through

        def say(progress: SweepProgress) -> None:
            through = _through(progress)
            fraction = through / max(progress.total, 1)
            said[1] = min(said[1], fraction)  # a search has more points round after round
            late = progress.elapsed > said[0] + _SAY_EVERY
            if fraction >= min(said[1] + 0.1, 1) > said[1] or late or said[1] < 0:
                said[:] = progress.elapsed, fraction
                print(f"{through}/{progress.total}: {_of_sweep(progress)}", flush=True)

        yield say
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("point"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
        )
        with Bar(*columns, transient=True) as bar:
            task = bar.add_task("waking up", total=None)
            yield lambda progress: bar.update(
                task,
                completed=_through(progress),
                total=progress.total,
                description=_of_sweep(progress),
            )


def print_sweep(outcome: SweepOutcome, most: int = 10) -> None:
    """How many points are in which state, and why some failed, one line each."""
    failed = outcome.failed
    for name, state in list(failed.items())[:most]:
        where = outcome.path / "points" / name
        print(f"{state.state}: {where}: {state.reason}: {state.message}")
    if len(failed) > most:
        print(f"... and {len(failed) - most} more, which `neurolp collect` lists")
    if outcome.best:
        print(f"best: {outcome.best}")
    counts = ", ".join(f"{n} {state}" for state, n in outcome.counts.items())
    print(f"{len(outcome.states)} points: {counts}; {outcome.elapsed:.1f} s; in {outcome.path}")


def _through(progress: SweepProgress) -> int:
    return progress.total - progress.counts.get("pending", 0)


def _of_sweep(progress: SweepProgress) -> str:
    counts = {"done": progress.counts.get("done", 0), "running": progress.running}
    counts |= {name: n for name in ("failed", "diverged") if (n := progress.counts.get(name, 0))}
    text = ", ".join(f"{n} {name}" for name, n in counts.items())
    if progress.rate:
        speed = f"{progress.rate:.1f} a second" if progress.rate > 1 else ""
        speed = speed or f"{60 * progress.rate:.1f} a minute"
        text += f", {speed}, {_duration(progress.left)} left"
    return f"{text}  ({_duration(progress.elapsed)})"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
