"""The command line: all commands, each a function in a module beside this one."""

from __future__ import annotations

import signal
import sys
import warnings

import typer

from neurolp.cli import configurations, exit_codes, files, reporting, running, sweeps

COMMANDS = (  # in the order of `neurolp --help`
    running.run,
    running.resume,
    running.reproduce,
    sweeps.sweep,
    sweeps.collect,
    configurations.validate,
    files.info,
    files.verify,
    files.plot,
    reporting.report,
    reporting.watch,
    files.export,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Brain simulations for the learning principle: learn the probability of the input.",
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Entry point of the ``neurolp`` command."""
    try:
        signal.signal(signal.SIGTERM, exit_codes.interrupt)
        warnings.formatwarning = lambda message, *_, **__: f"neurolp: {message}\n"
        app()
    except KeyboardInterrupt as interrupt:  # before a command began, or after it had ended
        exit_codes.say("neurolp: interrupted")
        sys.exit(exit_codes.code_of(interrupt))
