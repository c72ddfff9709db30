"""The command ``examples``: lists and copies what comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurolp.cli import exit_codes
from neurolp.cli.options import ForceOption, refuse


def _names(incomplete: str) -> list[str]:
    """Names that begin so, for the completion of a shell."""
    from neurolp.config.examples import examples

    return [name for name in examples() if name.startswith(incomplete)]


def examples(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="What to copy here.", autocompletion=_names)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the copy.", show_default="here")
    ] = None,
    force: ForceOption = False,
) -> None:
    """List the examples that come with the package, or copy one with the files it names."""
    with exit_codes.one_line_errors():
        from neurolp.config.examples import copy_example, find_example, nearest_example

        if name is None:
            if output is not None or force:
                refuse(f"{'--force' if output is None else '-o'} needs the NAME of an example")
            _list()
            return
        example = find_example(name)
        if example is None:
            refuse(f"{name}: no such example; the nearest is '{nearest_example(name)}'")
        copies = copy_example(example, output or Path(), overwrite=force)
        for path in copies:
            print(path)
        if example.extra:
            print(f"needs: pip install 'neurolp[{example.extra}]'")
        command = {"configuration": "neurolp run", "sweep": "neurolp sweep"}.get(example.kind)
        print(f"{command or 'jupyter lab'} {copies[0]}")


def _list() -> None:
    """Print a table of all examples."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from neurolp.config.examples import examples

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("name", "what it is", "extra"):
        table.add_column(column, no_wrap=column == "name")
    table.add_column("takes", justify="right", no_wrap=True)
    previous = ""
    for example in examples().values():
        if previous and example.kind != previous:
            table.add_section()
        previous = example.kind
        table.add_row(example.name, example.title, example.extra, _rough(example.seconds))
    console = Console()
    console.print(table)
    console.print(
        "`neurolp run NAME` and `neurolp sweep NAME` run an example, `neurolp examples NAME` copies"
        " it here. An extra comes with pip install 'neurolp[EXTRA]'; notebooks need Jupyter. Times "
        "are processor time on one machine, without the minute or two that the first use compiles.",
        highlight=False,
        markup=False,
    )


def _rough(seconds: float | None) -> str:
    """A duration in a few significant digits, such as "20 s" and "2 min"."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{max(float(f'{seconds:.1g}'), 1):.0f} s"
    return f"{seconds / 60:.0f} min"
