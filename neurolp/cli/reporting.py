"""Commands that tell of a run: report, watch."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from neurolp.cli import exit_codes
from neurolp.cli.options import ForceOption, QuietOption


def report(
    file: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="A trajectory file, or a sweep's folder.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The page.", show_default="FILE-report.html here"),
    ] = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write one page of HTML about a run or a sweep: scores, pictures, settings, provenance."""
    with exit_codes.one_line_errors():
        from neurolp.report.page import report as write_report

        page = write_report(file, output, overwrite=force)
        if not quiet:
            print(page)


def watch(
    file: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="The file of a run, or a sweep's folder.")
    ],
    every: Annotated[
        float, typer.Option("--every", min=0.1, help="Seconds between two looks.")
    ] = 2.0,
) -> None:
    """Follow a run that another process is writing until it ends; exit code 70 if it broke off."""
    with exit_codes.one_line_errors("no longer watched; the run is not touched"):
        from neurolp.report.watching import COMPLETE, GOING_ON, Watch
        from neurolp.simulation.progress import shown_progress

        watched, told = Watch(file), None
        with shown_progress(False) as show:
            while (seen := watched.look()).status == GOING_ON:
                if told is None or seen.now.time != told.now.time:
                    show(replace(seen.now, message=seen.message))
                    told = seen
                time.sleep(every)
        of = f" of {seen.now.total:,}" if seen.now.total else ""
        how_far = f"{seen.now.unit} {seen.now.time:,}{of}: {seen.message}".rstrip(": ")
        print(f"{file}: {seen.status}, {how_far}")
        if seen.status != COMPLETE:
            raise typer.Exit(exit_codes.SOFTWARE)
