"""The command line: all commands, each a function in a module beside this one."""

from __future__ import annotations

import signal
import sys
import warnings
from typing import Annotated

import typer

from neurolp.cli import (
    configurations,
    examples,
    exit_codes,
    files,
    keys,
    reporting,
    running,
    sweeps,
)

COMMANDS = (  # in the order of `neurolp --help`
    examples.examples,
    configurations.init,
    running.run,
    running.resume,
    running.reproduce,
    sweeps.sweep,
    sweeps.collect,
    configurations.validate,
    keys.keys,
    files.info,
    files.verify,
    files.plot,
    reporting.report,
    reporting.watch,
    files.export,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Brain simulations for the learning principle: learn the probability of the input.",
)
for command in COMMANDS:
    app.command()(command)


def _print_version(wanted: bool) -> None:
    """End with the version, if it is ``wanted``."""
    if wanted:
        from neurolp.storage.provenance import version_of

        print(f"neurolp {version_of('neurolp')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Hold the options of no command."""


def main() -> None:
    """Entry point of the ``neurolp`` command."""
    try:
        signal.signal(signal.SIGTERM, exit_codes.interrupt)
        warnings.formatwarning = lambda message, *_, **__: f"neurolp: {message}\n"
        app()
    except KeyboardInterrupt as interrupt:  # before a command began, or after it had ended
        exit_codes.say("neurolp: interrupted")
        sys.exit(exit_codes.code_of(interrupt))
