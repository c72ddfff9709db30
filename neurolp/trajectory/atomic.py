"""Whole files or none: a temporary name in the same folder, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from neurolp.errors import OutputError


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return ``path`` if a result can be written there; meant to be asked before the work starts.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, ``path`` is a folder, or it exists already.
    """
    target = Path(path)
    try:
        target.exists()
    except OSError as error:  # a name that is too long
        raise OutputError(f"{target}: cannot write the result, {error.strerror}") from error
    if target.is_dir():
        raise OutputError(f"{target}: cannot write the result, it is a folder")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already, and results are never overwritten unasked")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: cannot write the result, its folder does not exist")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{target}: cannot write the result, its folder is not writable")
    return target


def open_temporary(target: Path) -> tuple[int, str]:
    """Descriptor and name of a new file beside ``target``, with the mode ``target`` is to have."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".neurolp-", suffix=".partial")
    os.fchmod(handle, 0o666 & ~_umask())
    return handle, name


def publish(temporary: str, target: Path) -> None:
    """Give a synced temporary file its name."""
    os.replace(temporary, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def discard(temporary: str) -> None:
    """Leave no litter."""
    with contextlib.suppress(OSError):
        os.unlink(temporary)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C for the moment of writing: people press it twice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
