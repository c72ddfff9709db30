"""Commands that read what a run has written: info, verify, plot, export."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neurolp import errors
from neurolp.cli import exit_codes
from neurolp.cli.options import FileArgument, ForceOption, QuietOption, refuse

_DPI = 150
_SHOWN = 8  # values of a key, reasons of failures


class Image(StrEnum):
    """Formats of figures."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


class Format(StrEnum):
    """Formats that files are exported to."""

    nwb = "nwb"
    sonata = "sonata"


def info(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE|DIR", help="A trajectory file, or the folder of a sweep."),
    ],
) -> None:
    """Print what is in a trajectory file, or how far a sweep has come."""
    with exit_codes.one_line_errors():
        if file.is_dir() and file.suffix != ".run":
            _print_sweep(file)
            return
        from neurolp.cli import display
        from neurolp.runs.execution import summary
        from neurolp.runs.kinds import kind_of
        from neurolp.storage.reader import open_trajectory

        with open_trajectory(file) as trajectory:
            print(f"{trajectory.title} ({trajectory.status})")
            if trajectory.status == "unfinished":
                print(f"  `neurolp resume {file}` continues it")
            if trajectory.experiment:
                print(f"  experiment: {trajectory.experiment['name']}")
            for name, text in kind_of(trajectory).about(trajectory).items():
                print(f"  {name}: {text}")
            about = trajectory.provenance | trajectory.attributes("estimator") | trajectory.brain
            about |= trajectory.result  # which has again how many steps there were
            for name, value in about.items():
                if name not in ("parameters", "sensors") and isinstance(value, float | int | str):
                    print(f"  {name}: {f'{value:.6g}' if isinstance(value, float) else value}")
            print(*repr(trajectory).splitlines()[1:], sep="\n")
            display.print_tables(summary(trajectory))


def _print_sweep(path: Path) -> None:
    """Print what a sweep varies, the states of its jobs, and why some failed."""
    from neurolp.progress import format_duration
    from neurolp.sweep.state import STATES, read_folder

    folder = read_folder(path)
    states = folder.states()
    counts = Counter(state.state for state in states.values())
    shown = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    print(f"{folder.title}: {len(states)} jobs ({shown})")
    for key, how in folder.how.items():
        values = dict.fromkeys(str(job["settings"].get(key)) for job in folder.jobs)
        listed = ", ".join([*values][:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
        print(f"  {key} ({how}): {len(values)} values: {listed}")
    print(f"  replicates: {1 + max((job['replicate'] for job in folder.jobs), default=0)}")
    seconds = sum(state.seconds for state in states.values())
    print(f"  time of the jobs: {format_duration(seconds)}")
    reasons = Counter((s.reason, s.message) for s in states.values() if s.message)
    for (reason, message), n in reasons.most_common(_SHOWN):
        print(f"  {n} x {reason}: {message}")
    if len(reasons) > _SHOWN:
        print(f"  and {len(reasons) - _SHOWN} more reasons, which `neurolp collect` lists")
    if counts["pending"] or counts["running"]:
        print(f"  `neurolp sweep CONFIG -o {path}` goes on with what is not done")
    else:
        print(f"  `neurolp collect {path}` makes a table, `neurolp plot {path}` figures")


def verify(file: FileArgument, quiet: QuietOption = False) -> None:
    """Verify the checksum of a whole trajectory file; exit code 65 if it is damaged."""
    with exit_codes.one_line_errors():
        from neurolp.storage.reader import verify as verify_file

        n_files = verify_file(file)
        if not quiet:
            what = "" if n_files == 1 else f", {n_files} files of a run that is not finished"
            print(f"{file}: undamaged{what}")


def plot(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the figures.", show_default="FILE-figures"),
    ] = None,
    result: Annotated[
        str | None, typer.Option("--result", help="Column of the table of a sweep to draw.")
    ] = None,
    image: Annotated[Image, typer.Option("--format", help="Of the images.")] = Image.png,
    dpi: Annotated[
        int | None,
        typer.Option("--dpi", min=10, max=2400, help="Pixels an inch (PNG).", show_default="150"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Draw this figure; may be repeated."),
    ] = None,
) -> None:
    """Draw the figures that a trajectory file, or the folder of a sweep, allows."""
    if dpi is not None and image is not Image.png:
        refuse(f"--dpi is for PNG, and has no meaning for {image.value}, which has no pixels")
    with exit_codes.one_line_errors():
        if result is not None and not file.is_dir():
            refuse("--result is for the folder of a sweep, and has no meaning for a file")
        folder = output or Path(f"{file.absolute().stem}-figures")
        if file.is_dir():
            from neurolp.sweep import collecting, plotting

            drawn = plotting.figures(collecting.collect(file), result)
        else:
            from neurolp.runs import execution
            from neurolp.storage.reader import open_trajectory

            with open_trajectory(file) as trajectory:
                drawn = execution.figures(trajectory)
        for name in only or []:
            if name not in drawn:
                refuse(f"--only {name}: no such figure of {file}; there are {', '.join(drawn)}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in only or drawn:
                path = folder / f"{name}.{image.value}"
                drawn[name].savefig(path, dpi=dpi or _DPI)
                print(path)
        except OSError as error:
            reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise errors.OutputError(f"{folder}: cannot write the figures, {reason}") from error


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
    force: ForceOption = False,
) -> None:
    """Write a run of a brain for streams, or its network, in a format of the field."""
    if step_seconds is not None and to is not Format.nwb:
        refuse(f"--step-seconds is for nwb, and has no meaning for {to.value}")
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
