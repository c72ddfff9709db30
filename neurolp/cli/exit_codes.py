"""Exit codes of commands, and errors as one line."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import typer

from neurolp import errors

# Exit codes as in sysexits.h; after a signal 128 and its number, as shells report it: 130, 143.
USAGE, DATA, SOFTWARE, OUTPUT, IO, CONFIGURATION = 2, 65, 70, 73, 74, 78
SIGNAL = 128
DIFFERENT = 1

_LONGEST = 1000  # characters of an error


def say(line: str) -> None:
    """Print a line to standard error."""
    print(line, file=sys.stderr)


def interrupt(signum: int, frame: object) -> None:
    """Handle SIGTERM as Ctrl-C, so that files are closed before the process ends."""
    raise KeyboardInterrupt(signum)


@contextlib.contextmanager
def one_line_errors(interrupted: str = "interrupted, nothing was written") -> Iterator[None]:
    """Turn a ``NeurolpError`` into one line and an exit code; any other error is a bug."""
    codes: list[tuple[type[Exception], int]] = [
        (errors.ConfigurationError, CONFIGURATION),
        (errors.NetworkError, CONFIGURATION),
        (errors.OutputError, OUTPUT),
        (errors.RecordingError, IO),
        (errors.DataError, DATA),
        (errors.FormatError, DATA),
        (errors.NeurolpError, SOFTWARE),
    ]
    try:
        yield
    except errors.NeurolpError as error:
        say(f"neurolp: {_one_line(str(error))}")
        code = next(code for kind, code in codes if isinstance(error, kind))
        raise typer.Exit(code) from None
    except KeyboardInterrupt as error:
        say(f"neurolp: {interrupted}")
        raise typer.Exit(code_of(error)) from None


def code_of(interrupt: KeyboardInterrupt) -> int:
    """The exit code after a signal; a KeyboardInterrupt without its number is of Ctrl-C, SIGINT."""
    numbers = [given for given in interrupt.args if isinstance(given, int)]
    return SIGNAL + (numbers[0] if numbers else signal.SIGINT)


def _one_line(text: str) -> str:
    """``text`` on one line, cut after ``_LONGEST`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
