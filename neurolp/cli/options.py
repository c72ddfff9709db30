"""Arguments that several commands take, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from neurolp.cli import exit_codes

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A TOML file; docs/configuration.md has all keys.")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A trajectory file (HDF5).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. brain.max_slices=50."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]


def refuse(message: str) -> NoReturn:
    """End with one line about wrong usage."""
    exit_codes.say(f"neurolp: {message}")
    raise typer.Exit(exit_codes.USAGE)


def check_exists(config: Path) -> None:
    """Refuse a configuration that is no file."""
    if not config.is_file():
        refuse(f"{config}: no such configuration file")


def free_name(path: Path) -> Path:
    """``path``, or the first of name-2, name-3 .. that does not exist: old results are kept."""
    candidate, k = path, 1
    while candidate.exists():
        k += 1
        candidate = path.with_name(f"{path.stem}-{k}{path.suffix}")
    return candidate
