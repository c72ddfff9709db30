"""The command line: run, resume, reproduce, sweep, collect, validate, info, plot."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurolp import errors
from neurolp.cli import exit_codes as exits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neurolp.config.experiment_sections import ExperimentConfiguration
    from neurolp.config.sections import Configuration
    from neurolp.config.stream_sections import StreamConfiguration
    from neurolp.runs.density import Result
    from neurolp.runs.stream import StreamResult

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Brain simulations for the learning principle: learn the probability of the input.",
)

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A trajectory file (HDF5).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. brain.max_slices=50."),
]


@app.command()
def run(
    config: ConfigArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Trajectory file; CONFIG's name in this folder."),
    ] = None,
    settings: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Run a simulation or experiment, write its file, compare."""
    with exits.one_line_errors():
        _check_exists(config)
        from neurolp.config.load import read_configuration
        from neurolp.config.sections import Configuration
        from neurolp.config.stream_sections import StreamConfiguration

        configuration = read_configuration(config, settings or [])
        path = output or _free_name(Path(f"{config.stem}.h5"))
        if isinstance(configuration, Configuration):
            _run_brain(configuration, path, force, quiet)
        elif isinstance(configuration, StreamConfiguration):
            _run_stream(configuration, path, force, quiet)
        else:
            _run_experiment(configuration, path, force, quiet)


@app.command()
def resume(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the run is to become.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Continue a run that was broken off, from where it was last saved."""
    with exits.one_line_errors("interrupted; what was saved before is kept"):
        from neurolp.cli import display as terminal
        from neurolp.config.sections import Configuration
        from neurolp.runs import resume as resuming

        began = time.monotonic()
        configuration = resuming.check(file)
        if isinstance(configuration, Configuration):
            with terminal.progress(configuration, quiet) as observe:
                result = resuming.resume_brain(file, observe=observe)
            _end_brain(result, configuration.brain.time_unit, began, quiet)
        else:
            with terminal.progress(configuration, quiet) as observe:
                streamed = resuming.resume_stream(file, observe=observe)
            _end_stream(streamed, quiet)


@app.command()
def sweep(
    config: ConfigArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; CONFIG's name in this folder.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes here; as many as there is room for."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler, tcp://host:port."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also run again what failed for good.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Run a configuration many times with some keys changed; go on where it was stopped."""
    if workers is not None and scheduler is not None:
        exits.say("neurolp: --workers is for this machine, and has no meaning beside --scheduler")
        raise typer.Exit(exits.USAGE)
    with exits.one_line_errors("interrupted; the same command goes on"):
        _check_exists(config)
        from neurolp.cli import display as terminal
        from neurolp.sweep.api import Sweep

        planned, folder = Sweep.read(config), output or Path(config.stem)
        if dry_run:
            print("\n".join(planned.plan(folder, workers, retry_failed)))
            return
        with terminal.sweep_progress(quiet) as observe:
            outcome = planned.run(
                folder,
                workers=workers,
                scheduler=scheduler,
                retry_failed=retry_failed,
                observe=observe,
            )
        if not quiet:
            terminal.print_sweep(outcome)
    if outcome.stopped_by is not None:
        exits.say(f"neurolp: stopped; the same command goes on with what is not done in {folder}")
        raise typer.Exit(exits.SIGNAL + outcome.stopped_by)
    if outcome.failed:
        raise typer.Exit(exits.SOFTWARE)


@app.command()
def collect(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep.")],
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="A .csv or .h5 file; table.csv in DIR by default."),
    ] = None,
) -> None:
    """Put the settings and results of a sweep into one table."""
    with exits.one_line_errors():
        from neurolp.sweep.collecting import collect, write_table

        table = collect(folder)
        for path in output or [folder / "table.csv"]:
            print(f"{write_table(table, path)}: {len(table)} points")


@app.command()
def validate(config: ConfigArgument, settings: SetOption = None) -> None:
    """Check a configuration file without running it."""
    with exits.one_line_errors():
        _check_exists(config)
        from neurolp.config.load import read_configuration, read_toml

        if "sweep" in read_toml(config):
            from neurolp.sweep.design import read_sweep

            print(f"{config}: valid, {len(read_sweep(config).points)} points")
        else:
            read_configuration(config, settings or [])
            print(f"{config}: valid")


@app.command()
def reproduce(
    file: FileArgument,
    settings: SetOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Run what a file holds again and compare, bit by bit."""
    with exits.one_line_errors("interrupted, nothing was compared"):
        from neurolp.cli import display as terminal
        from neurolp.runs.reproduce import embedded_configuration, reproduce
        from neurolp.storage.reader import open_trajectory

        with open_trajectory(file) as trajectory:
            configuration = embedded_configuration(trajectory, settings or [])
        with terminal.progress(configuration, quiet) as observe:
            found = reproduce(file, settings or [], observe=observe)
        if not quiet:
            terminal.print_reproduction(found)
        if not found.identical:
            raise typer.Exit(exits.DIFFERENT)


@app.command()
def info(file: FileArgument) -> None:
    """Say what is in a trajectory file."""
    with exits.one_line_errors():
        from neurolp import runs as experiments
        from neurolp.cli import display as terminal
        from neurolp.storage.reader import open_trajectory

        with open_trajectory(file) as trajectory:
            print(f"{trajectory.title} ({trajectory.status})")
            if trajectory.status == "unfinished":
                print(f"  `neurolp resume {file}` continues")
            if trajectory.experiment:
                print(f"  experiment: {trajectory.experiment['name']}")
            for name, value in (trajectory.provenance | trajectory.brain).items():
                if name not in ("parameters", "sensors"):
                    print(f"  {name}: {value}")
            for name in ("test_log_prob", "test_log_prob_standardised", "test_bits_per_dim"):
                if name in trajectory.result:
                    print(f"  {name}: {trajectory.result[name]:.4f}")
            for name in ("stream", "n_steps", "steps_per_second", "rate", "bound", "message"):
                if name in trajectory.result:
                    value = trajectory.result[name]
                    print(f"  {name}: {f'{value:.6g}' if isinstance(value, float) else value}")
            print(*repr(trajectory).splitlines()[1:], sep="\n")
            terminal.print_tables(experiments.closing_tables(trajectory))


@app.command()
def plot(
    file: FileArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; FILE's name by default.")
    ] = None,
    result: Annotated[
        str | None, typer.Option("--result", help="Of a sweep: the column of its table to draw.")
    ] = None,
) -> None:
    """Draw all pictures that a trajectory file, or the folder of a sweep, allows, as PNG."""
    with exits.one_line_errors():
        folder = output or Path(f"{file.stem}-pictures")
        drawn = _sweep_pictures(file, result) if file.is_dir() else _pictures(file)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, figure in drawn.items():
                figure.savefig(folder / f"{name}.png", dpi=150)
                print(folder / f"{name}.png")
        except OSError as error:
            raise errors.OutputError(
                f"{folder}: cannot write the pictures, {error.strerror}"
            ) from error


def _pictures(file: Path) -> dict[str, Figure]:
    from neurolp.storage.reader import open_trajectory

    with open_trajectory(file) as trajectory:
        if trajectory.experiment:
            from neurolp.plotting.experiments import pictures
        else:
            from neurolp.plotting.density import pictures
        return pictures(trajectory)


def _sweep_pictures(folder: Path, result: str | None) -> dict[str, Figure]:
    from neurolp.sweep.collecting import collect
    from neurolp.sweep.plotting import pictures

    return pictures(collect(folder), result)


def main() -> None:
    """Entry point of the ``neurolp`` command."""
    signal.signal(signal.SIGTERM, exits.interrupt)
    try:
        app()
    except KeyboardInterrupt as interrupt:  # before a command began, or after it had ended
        exits.say("neurolp: interrupted")
        sys.exit(exits.code_of(interrupt))


# --- runs -----------------------------------------------------------------------------------------


def _run_brain(configuration: Configuration, path: Path, force: bool, quiet: bool) -> None:
    from neurolp.cli import display as terminal
    from neurolp.runs.density import run

    began = time.monotonic()
    brain = configuration.brain
    with terminal.brain_progress(brain.max_time, brain.time_unit, quiet) as observe:
        result = run(configuration, path, overwrite=force, observe=observe)
    _end_brain(result, brain.time_unit, began, quiet)


def _end_brain(result: Result, unit: str, began: float, quiet: bool) -> None:
    from neurolp.cli import display as terminal

    if result.signal is None:
        if not quiet:
            terminal.print_result(result, time.monotonic() - began)
        return
    exits.say(
        f"neurolp: interrupted after {len(result.brain.recorder_.surprise['train']) - 1} "
        f"{unit}s, which are saved; `neurolp resume {result.path}` continues"
    )
    raise typer.Exit(exits.SIGNAL + result.signal)


def _run_experiment(
    configuration: ExperimentConfiguration, path: Path, force: bool, quiet: bool
) -> None:
    from neurolp import runs as experiments
    from neurolp.cli import display as terminal
    from neurolp.storage.reader import open_trajectory

    with terminal.step_progress(quiet) as observe:
        experiments.run(configuration, path, overwrite=force, observe=observe)
    if not quiet:
        with open_trajectory(path) as file:
            terminal.print_tables(experiments.closing_tables(file))
            print(f"{file.experiment['seconds']:.1f} s in all; results: {path}")


def _run_stream(configuration: StreamConfiguration, path: Path, force: bool, quiet: bool) -> None:
    from neurolp.cli import display as terminal
    from neurolp.runs.stream import run

    with terminal.stream_progress(quiet) as observe:
        result = run(configuration, path, overwrite=force, observe=observe)
    _end_stream(result, quiet)


def _end_stream(result: StreamResult, quiet: bool) -> None:
    from neurolp import runs as experiments
    from neurolp.cli import display as terminal
    from neurolp.storage.reader import open_trajectory

    outcome, path = result.outcome, result.path
    if outcome.status == "interrupted":
        exits.say(
            f"neurolp: interrupted after {outcome.n_steps} steps, which are saved; "
            f"`neurolp resume {path}` continues"
        )
        raise typer.Exit(exits.SIGNAL + (outcome.signal or signal.SIGINT))
    if not quiet:
        with open_trajectory(path) as file:
            terminal.print_tables(experiments.closing_tables(file))
            seconds = file.experiment["seconds"]
        print(
            f"{outcome.n_steps:,} steps in {seconds:.1f} s, {outcome.speed:,.0f} a second; "
            f"trajectory: {path}"
        )


# --- names -----------------------------------------------------------------------------


def _check_exists(config: Path) -> None:
    if not config.is_file():
        exits.say(f"neurolp: {config}: no such configuration file")
        raise typer.Exit(exits.USAGE)


def _free_name(path: Path) -> Path:
    """``path``, or the first of name-2, name-3 .. that does not exist: old results are kept."""
    candidate, k = path, 1
    while candidate.exists():
        k += 1
        candidate = path.with_name(f"{path.stem}-{k}{path.suffix}")
    return candidate
