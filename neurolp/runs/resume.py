"""Runs that were broken off: what they are of, and how they go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurolp.config.load import configuration_of
from neurolp.config.sections import Configuration
from neurolp.config.stream_sections import StreamConfiguration
from neurolp.errors import FormatError
from neurolp.storage.store import RunStore

if TYPE_CHECKING:
    from neurolp.runs.density import Result
    from neurolp.runs.stream import Observer, StreamResult
    from neurolp.simulation.greedy import Progress


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
    configuration = check(path)
    result: Any = (resume_brain if isinstance(configuration, Configuration) else resume_stream)(
        path
    )
    if result.signal is not None:
        raise KeyboardInterrupt(result.signal)
    return Path(result.path)


def check(path: str | os.PathLike[str]) -> Configuration | StreamConfiguration:
    """The configuration of a run that can be taken up again.

    Raises
    ------
    FormatError
        If there is none, or it is damaged.
    OutputError
        If another process is writing it.
    """
    store = RunStore.reopen(path)  # not the file: a run with --force may have one still
    try:
        with store.header() as header:
            configuration = configuration_of(header.configuration, str(path))
    finally:
        store.close()
    if not isinstance(configuration, Configuration | StreamConfiguration):
        raise FormatError(f"{path}: is not a run that can be resumed")
    return configuration


def resume_stream(
    path: str | os.PathLike[str], *, observe: Observer = lambda progress: None
) -> StreamResult:
    """Continue a brain that learns from a stream."""
    from neurolp.runs import stream  # only what is needed: some take seconds

    return stream.resume(path, observe=observe)


def resume_brain(
    path: str | os.PathLike[str], *, observe: Callable[[Progress], None] = lambda progress: None
) -> Result:
    """Continue a brain that learns from a table."""
    from neurolp.runs import density as brain

    return brain.resume(path, observe=observe)
