"""The command ``keys``: prints the pages about the keys of a configuration and of a sweep."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from neurolp.cli import exit_codes
from neurolp.cli.options import refuse

PAGES = ("configuration.md", "sweeps.md")  # of the documentation


def keys(
    word: Annotated[
        str | None,
        typer.Argument(metavar="WORD", help="Only parts about it, such as stream or n_hidden."),
    ] = None,
) -> None:
    """Print every key of a configuration, with its default and meaning."""
    with exit_codes.one_line_errors():
        from neurolp.config.examples import examples_root

        folder = examples_root() / "docs"
        pages = [(folder / name).read_text(encoding="utf-8") for name in PAGES]
        text = re.sub(r"<!--.*?-->\n*", "", "\n".join(pages), flags=re.DOTALL)
        if word is not None:
            parts = parts_about(word, text)
            if not parts:
                refuse(f"{word}: no part of the pages about keys has this word")
            text = "\n".join(parts)
        if not sys.stdout.isatty():
            print(text)
            return
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))


def parts_about(word: str, text: str) -> list[str]:
    """The parts of a page in Markdown with ``word`` in their heading, else those with it in them.

    A part begins with the heading of any level; one at the top is above each.
    """
    top, found = "", []
    for part in re.split(r"^(?=#{1,6} )", text, flags=re.MULTILINE):
        heading = part.partition("\n")[0]
        if heading.startswith("# "):
            top = heading
        found.append((f"{top}\n\n{part}" if part and not part.startswith("# ") else part, heading))
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
    titled = [part for part, heading in found if pattern.search(heading)]
    return titled or [part for part, _ in found if pattern.search(part)]
