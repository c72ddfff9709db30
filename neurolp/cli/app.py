"""The command line: run, resume, reproduce, sweep, collect, validate, info, verify, plot, ..."""

from __future__ import annotations

import signal
import sys
import time
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from neurolp import errors
from neurolp.cli import exit_codes
from neurolp.storage.atomic import same_file

if TYPE_CHECKING:
    from neurolp.runs.kinds import RunResult


class Format(StrEnum):
    """Formats that files are exported to."""

    nwb = "nwb"
    sonata = "sonata"


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Brain simulations for the learning principle: learn the probability of the input.",
)

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A TOML file; docs/configuration.md has all keys.")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A trajectory file (HDF5).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. brain.max_slices=50."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]


@app.command()
def run(
    config: ConfigArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Result (HDF5).", show_default="CONFIG.h5 here"),
    ] = None,
    settings: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Run a simulation or experiment, write its file, and summarise it."""
    with exit_codes.one_line_errors():
        _check_exists(config)
        if output is not None and same_file(config, output):
            _refuse(f"-o {output} is the configuration itself")
        from neurolp.cli import display
        from neurolp.runs.execution import run_file
        from neurolp.runs.kinds import read_configuration

        configuration = read_configuration(config, settings or [])
        path = output or _free_name(Path(f"{config.stem}.h5"))
        began = time.monotonic()
        with display.progress(quiet) as observe:
            result = run_file(configuration, path, overwrite=force, observe=observe)
        _end(result, began, quiet)


@app.command()
def resume(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of an interrupted run.")],
    quiet: QuietOption = False,
) -> None:
    """Continue an interrupted run from where it was last saved."""
    with exit_codes.one_line_errors("interrupted; what was saved before is kept"):
        from neurolp.cli import display
        from neurolp.runs.execution import resume_file

        began = time.monotonic()
        with display.progress(quiet) as observe:
            result = resume_file(file, observe=observe)
        _end(result, began, quiet)


@app.command()
def sweep(
    config: ConfigArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the sweep.", show_default="CONFIG here"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes here.", show_default="as many as fit"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler, tcp://host:port."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also run jobs again that failed or diverged.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Run a configuration many times with some keys changed; continues where it was stopped."""
    if workers is not None and scheduler is not None:
        _refuse("--workers is for this machine, and has no meaning beside --scheduler")
    with exit_codes.one_line_errors("interrupted; the same command continues"):
        _check_exists(config)
        from neurolp.cli import display
        from neurolp.sweep.api import Sweep

        planned, folder = Sweep.read(config), output or Path(config.stem)
        if dry_run:
            print("\n".join(planned.plan(folder, workers, retry_failed)))
            return
        with display.progress(quiet, few=0) as observe:
            outcome = planned.run(
                folder,
                workers=workers,
                scheduler=scheduler,
                retry_failed=retry_failed,
                observe=observe,
            )
        if not quiet:
            display.print_sweep(outcome)
    if outcome.stopped_by is not None:
        exit_codes.say(
            f"neurolp: stopped; the same command continues with what is not done in {folder}"
        )
        raise typer.Exit(exit_codes.SIGNAL + outcome.stopped_by)
    if outcome.failed:
        raise typer.Exit(exit_codes.SOFTWARE)


@app.command()
def collect(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep.")],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            help="Table, .csv or .h5; may be repeated.",
            show_default="DIR/table.csv",
        ),
    ] = None,
) -> None:
    """Put the settings and results of a sweep into one table."""
    with exit_codes.one_line_errors():
        from neurolp.sweep.collecting import collect, write_table

        table = collect(folder)
        for path in output or [folder / "table.csv"]:
            print(f"{write_table(table, path)}: {len(table)} jobs")


@app.command()
def validate(config: ConfigArgument, settings: SetOption = None) -> None:
    """Check a configuration file without running it."""
    with exit_codes.one_line_errors():
        _check_exists(config)
        from neurolp.config.load import read_toml
        from neurolp.runs.kinds import read_configuration

        if "sweep" in read_toml(config):
            from neurolp.sweep.design import read_sweep

            if settings:
                _refuse("--set changes a run, and has no meaning for a sweep")
            print(f"{config}: valid, {len(read_sweep(config).jobs)} jobs")
        else:
            read_configuration(config, settings or [])
            print(f"{config}: valid")


@app.command()
def reproduce(file: FileArgument, settings: SetOption = None, quiet: QuietOption = False) -> None:
    """Run what a file holds again and compare, bit by bit."""
    with exit_codes.one_line_errors("interrupted, nothing was compared"):
        from neurolp.cli import display
        from neurolp.runs.reproduce import reproduce

        with display.progress(quiet) as observe:
            found = reproduce(file, settings or [], observe=observe)
        if not quiet:
            display.print_reproduction(found)
        if not found.identical:
            raise typer.Exit(exit_codes.DIFFERENT)


@app.command()
def info(file: FileArgument) -> None:
    """Print what is in a trajectory file."""
    with exit_codes.one_line_errors():
        from neurolp.cli import display
        from neurolp.runs.execution import summary
        from neurolp.storage.reader import open_trajectory

        with open_trajectory(file) as trajectory:
            print(f"{trajectory.title} ({trajectory.status})")
            if trajectory.status == "unfinished":
                print(f"  `neurolp resume {file}` continues it")
            if trajectory.experiment:
                print(f"  experiment: {trajectory.experiment['name']}")
            about = trajectory.provenance | trajectory.attributes("estimator") | trajectory.brain
            for name, value in about.items():
                if name not in ("parameters", "sensors"):
                    print(f"  {name}: {value}")
            for name, value in trajectory.result.items():
                if isinstance(value, float | int | str):
                    print(f"  {name}: {f'{value:.6g}' if isinstance(value, float) else value}")
            print(*repr(trajectory).splitlines()[1:], sep="\n")
            display.print_tables(summary(trajectory))


@app.command()
def verify(file: FileArgument, quiet: QuietOption = False) -> None:
    """Verify the checksum of a whole trajectory file; exit code 65 if it is damaged."""
    with exit_codes.one_line_errors():
        from neurolp.storage.reader import verify as verify_file

        n_files = verify_file(file)
        if not quiet:
            what = "" if n_files == 1 else f", {n_files} files of a run that is not finished"
            print(f"{file}: undamaged{what}")


@app.command()
def plot(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the figures.", show_default="FILE-figures"),
    ] = None,
    result: Annotated[
        str | None, typer.Option("--result", help="Column of the table of a sweep to draw.")
    ] = None,
) -> None:
    """Draw all figures that a trajectory file, or the folder of a sweep, allows, as PNG."""
    with exit_codes.one_line_errors():
        if result is not None and not file.is_dir():
            _refuse("--result is for the folder of a sweep, and has no meaning for a file")
        folder = output or Path(f"{file.absolute().stem}-figures")
        if file.is_dir():
            from neurolp.sweep import collecting, plotting

            drawn = plotting.figures(collecting.collect(file), result)
        else:
            from neurolp.runs import execution
            from neurolp.storage.reader import open_trajectory

            with open_trajectory(file) as trajectory:
                drawn = execution.figures(trajectory)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, figure in drawn.items():
                figure.savefig(folder / f"{name}.png", dpi=150)
                print(folder / f"{name}.png")
        except OSError as error:
            reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise errors.OutputError(f"{folder}: cannot write the figures, {reason}") from error


@app.command()
def export(
    file: FileArgument,
    to: Annotated[Format, typer.Option("--to", help="Neurodata Without Borders; or SONATA.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File (nwb) or folder (sonata).",
            show_default="FILE.nwb or FILE-sonata here",
        ),
    ] = None,
    step_seconds: Annotated[
        float | None,
        typer.Option("--step-seconds", help="Duration of a step (nwb).", show_default="0.001"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Write a run of a brain for streams, or its network, in a format of the field."""
    if step_seconds is not None and to is not Format.nwb:
        _refuse(f"--step-seconds is for nwb, and has no meaning for {to.value}")
    with exit_codes.one_line_errors():
        stem = file.absolute().stem
        if to is Format.nwb:
            from neurolp.exchange.nwb import STEP_SECONDS, to_nwb

            path = output or Path(f"{stem}.nwb")
            seconds = STEP_SECONDS if step_seconds is None else step_seconds
            print(to_nwb(file, path, step_seconds=seconds, overwrite=force))
        else:
            from neurolp.exchange.sonata_writing import to_sonata

            print(to_sonata(file, output or Path(f"{stem}-sonata"), overwrite=force))


def main() -> None:
    """Entry point of the ``neurolp`` command."""
    try:
        signal.signal(signal.SIGTERM, exit_codes.interrupt)
        warnings.formatwarning = lambda message, *_, **__: f"neurolp: {message}\n"
        app()
    except KeyboardInterrupt as interrupt:  # before a command began, or after it had ended
        exit_codes.say("neurolp: interrupted")
        sys.exit(exit_codes.code_of(interrupt))


def _end(result: RunResult, began: float, quiet: bool) -> None:
    """Print the summary of a run, or that it was interrupted."""
    if result.signal is not None:
        exit_codes.say(
            f"neurolp: interrupted after {result.reached}, which are saved; "
            f"`neurolp resume {result.path}` continues"
        )
        raise typer.Exit(exit_codes.SIGNAL + result.signal)
    if not quiet:
        from neurolp.cli import display
        from neurolp.runs.execution import summary
        from neurolp.storage.reader import open_trajectory

        with open_trajectory(result.path) as file:
            display.print_tables(summary(file))
        print(f"{time.monotonic() - began:.1f} s in all; results: {result.path}")


def _refuse(message: str) -> NoReturn:
    """End with one line about wrong usage."""
    exit_codes.say(f"neurolp: {message}")
    raise typer.Exit(exit_codes.USAGE)


def _check_exists(config: Path) -> None:
    if not config.is_file():
        _refuse(f"{config}: no such configuration file")


def _free_name(path: Path) -> Path:
    """``path``, or the first of name-2, name-3 .. that does not exist: old results are kept."""
    candidate, k = path, 1
    while candidate.exists():
        k += 1
        candidate = path.with_name(f"{path.stem}-{k}{path.suffix}")
    return candidate
