"""Runs that were broken off: what they are of, and how they go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from neurolp.errors import FormatError
from neurolp.trajectory.reader import open_trajectory

if TYPE_CHECKING:
    from neurolp.experiments.stream import Observer, StreamResult


def resume(path: str | os.PathLike[str]) -> Path:
    """Continue a run that was broken off from where it was last saved; the path of its file.

    The file is the same, to the last bit of every data set, as if the run had not been broken off.

    Raises
    ------
    FormatError
        If there is no unfinished run of ``path``, or it is damaged.
    OutputError
        If another process is writing it.
    RecordingError
        If the disk is full or fails.
    KeyboardInterrupt
        If it was interrupted again.
    """
    check(path)
    result = resume_stream(path)
    if result.outcome.status == "interrupted":
        raise KeyboardInterrupt(result.outcome.signal)
    return result.path


def check(path: str | os.PathLike[str]) -> None:
    """Raise :class:`FormatError` unless there is a run that can be taken up again."""
    with open_trajectory(path) as file:
        if file.status not in ("running", "unfinished"):
            raise FormatError(f"{path}: is finished, there is nothing to resume")
        if file.experiment.get("name") != "stream":
            raise FormatError(f"{path}: is not a run that can be resumed")


def resume_stream(
    path: str | os.PathLike[str], *, observe: Observer = lambda progress: None
) -> StreamResult:
    """Continue a brain that learns from a stream."""
    from neurolp.experiments import stream  # only what is needed: some take seconds

    return stream.resume(path, observe=observe)
