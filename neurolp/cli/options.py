"""Arguments that several commands take, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from neurolp.cli import exit_codes

ConfigArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="A TOML file, or the name of an example (`neurolp examples` lists them).",
    ),
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A trajectory file (HDF5).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. brain.max_slices=50."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]


_COMMANDS = {"configuration": "run", "sweep": "sweep"}  # kinds of examples, and what runs them


def refuse(message: str) -> NoReturn:
    """End with one line about wrong usage."""
    exit_codes.say(f"neurolp: {message}")
    raise typer.Exit(exit_codes.USAGE)


def found_configuration(config: Path, kind: str | None, *, quiet: bool = False) -> Path:
    """The configuration that is meant: a file, one without its ``.toml``, or an example.

    ``kind`` is that of the examples in question, "configuration", "sweep" or None (both). What was
    taken for a name is said in one line, unless ``quiet``; where there is nothing, the nearest name
    is.
    """
    if config.is_file():
        return config
    if config.suffix:
        refuse(f"{config}: no such configuration file")
    from neurolp.config.examples import find_example, nearest_example

    name, file = str(config), config.with_suffix(".toml")
    example = None if file.is_file() else find_example(name, kind)
    if example is None and not file.is_file():
        for other, command in _COMMANDS.items():
            if find_example(name, other) is not None:
                refuse(f"{name}: no such file; the example is for `neurolp {command} {name}`")
        nearest = nearest_example(name, kind)
        refuse(f"{name}: no such configuration file or example; the nearest example is '{nearest}'")
    path = file if example is None else example.path
    if not quiet:
        what = "that" if example is None else "the example of that name"
        print(f"{name}: no such file; taking {what}, {path}", flush=True)
    return path


def free_name(path: Path) -> Path:
    """``path``, or the first of name-2, name-3 .. that does not exist: old results are kept."""
    candidate, k = path, 1
    while candidate.exists():
        k += 1
        candidate = path.with_name(f"{path.stem}-{k}{path.suffix}")
    return candidate
