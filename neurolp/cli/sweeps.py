"""Commands about many runs: sweep, collect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurolp.cli import exit_codes
from neurolp.cli.options import ConfigArgument, QuietOption, found_configuration, refuse


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
        refuse("--workers is for this machine, and has no meaning beside --scheduler")
    with exit_codes.one_line_errors("interrupted; the same command continues"):
        config = found_configuration(config, "sweep", quiet=quiet)
        from neurolp.cli import display
        from neurolp.simulation.progress import shown_progress
        from neurolp.sweep.api import Sweep

        planned, folder = Sweep.read(config), output or Path(config.stem)
        if dry_run:
            print("\n".join(planned.plan(folder, workers, retry_failed)))
            return
        with shown_progress(quiet) as observe:
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
