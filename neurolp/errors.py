"""The errors neurolp raises, and its one warning.

Each error is also the builtin a caller would expect. One clear line each: the argument, key or
file, what was wanted, and what was given.
"""

from __future__ import annotations

from typing import Any


class NeurolpError(Exception):
    """Base of all errors raised on purpose; catch it to catch them all."""


class ConfigurationError(NeurolpError, ValueError):
    """A configuration file or ``--set`` value that cannot be used."""


class DataError(NeurolpError, ValueError):
    """Input data that cannot be used: missing, not finite, constant, too few rows."""


class DataTypeError(DataError, TypeError):
    """A cell or a column of a type that no table can hold: lists, dictionaries, functions."""


class FormatError(NeurolpError, OSError):
    """A file that is not a trajectory, is damaged, or is of an unreadable version."""


class OutputError(NeurolpError, OSError):
    """A result that cannot be written: the folder is missing, the disk is full, the file exists."""


class RecordingError(NeurolpError, OSError):
    """A disk that fails, or is full, while a run is recorded; what was saved before stays valid."""


class DivergedError(NeurolpError, ArithmeticError):
    """The state of a simulation contains NaN or infinity; names time, node and variable.

    ``state`` holds the arrays of that state by name.
    """

    def __init__(self, message: str, state: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.state = state or {}


class DataWarning(UserWarning):
    """Input data that are taken as they are, though what is learned from them may mean little."""


class NetworkError(NeurolpError, ValueError):
    """Parameters that do not describe a valid network."""


class NonFiniteError(NetworkError):
    """Parameters of a network that contain NaN or infinity."""
