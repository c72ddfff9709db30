"""Commands that run one configuration: run, resume, reproduce."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurolp.cli import exit_codes
from neurolp.cli.options import (
    ConfigArgument,
    FileArgument,
    ForceOption,
    QuietOption,
    SetOption,
    found_configuration,
    free_name,
    refuse,
)
from neurolp.storage.atomic import same_file

if TYPE_CHECKING:
    from neurolp.runs.kinds import RunResult


def run(
    config: ConfigArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Result (HDF5).", show_default="CONFIG.h5 here"),
    ] = None,
    settings: SetOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a simulation or experiment, write its file, and summarise it."""
    with exit_codes.one_line_errors():
        config = found_configuration(config, "configuration", quiet=quiet)
        if output is not None and same_file(config, output):
            refuse(f"-o {output} is the configuration itself")
        from neurolp.runs.execution import run_file
        from neurolp.runs.kinds import read_configuration
        from neurolp.simulation.progress import shown_progress

        configuration = read_configuration(config, settings or [])
        path = output or free_name(Path(f"{config.stem}.h5"))
        began = time.monotonic()
        with shown_progress(quiet) as observe:
            result = run_file(configuration, path, overwrite=force, observe=observe)
        _end(result, began, observe.compilation.seconds, quiet)


def resume(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of an interrupted run.")],
    quiet: QuietOption = False,
) -> None:
    """Continue an interrupted run from where it was last saved."""
    with exit_codes.one_line_errors("interrupted; what was saved before is kept"):
        from neurolp.runs.execution import resume_file
        from neurolp.simulation.progress import shown_progress

        began = time.monotonic()
        with shown_progress(quiet) as observe:
            result = resume_file(file, observe=observe)
        _end(result, began, observe.compilation.seconds, quiet)


def reproduce(file: FileArgument, settings: SetOption = None, quiet: QuietOption = False) -> None:
    """Run what a file holds again and compare, bit by bit."""
    with exit_codes.one_line_errors("interrupted, nothing was compared"):
        from neurolp.cli import display
        from neurolp.runs.reproduce import reproduce
        from neurolp.simulation.progress import shown_progress

        with shown_progress(quiet) as observe:
            found = reproduce(file, settings or [], observe=observe)
        if not quiet:
            display.print_reproduction(found)
        if not found.identical:
            raise typer.Exit(exit_codes.DIFFERENT)


def _end(result: RunResult, began: float, compiling: float, quiet: bool) -> None:
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
        once = f", {compiling:.1f} s of it compiling, once" if compiling else ""
        print(f"{time.monotonic() - began:.1f} s in all{once}; results: {result.path}")
