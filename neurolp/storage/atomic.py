"""Atomic writing of files: under a temporary name in the same folder, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from neurolp.errors import OutputError

CREATE = os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)  # Windows would change line ends

_PIECE = 2**24  # bytes written at once


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return ``path`` if a result can be written there; to be called before the work starts.

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
        raise OutputError(f"{target}: exists already; --force (overwrite=True) replaces it")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: cannot write the result, its folder does not exist")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{target}: cannot write the result, its folder is not writable")
    return target


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one file that exists."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def write_whole(target: Path, *pieces: bytes) -> None:
    """Write a file atomically: readers see the old one, or none, or the whole new one.

    It survives a power failure once this returns. After an OSError nothing is left of it.
    """
    name = f".neurolp-{os.getpid()}-{threading.get_ident()}.partial"
    temporary = target.with_name(name)
    handle = os.open(temporary, os.O_WRONLY | CREATE, 0o666)
    try:
        try:
            for piece in pieces:
                write_all(handle, piece)
            os.fsync(handle)
        finally:
            os.close(handle)
        publish(temporary, target)
    except BaseException:  # after Ctrl-C too nothing is left
        discard(temporary)
        raise


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write all of ``data`` to an open file."""
    view = memoryview(data).cast("B")
    while len(view):
        view = view[os.write(handle, view[:_PIECE]) :]


def publish(temporary: Path, target: Path) -> None:
    """Give a synced temporary file its name."""
    os.replace(temporary, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power failure, where the system opens folders for that."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def discard(path: Path) -> None:
    """Remove a file if it is there and can be removed."""
    with contextlib.suppress(OSError):
        os.unlink(path)


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C while a file is written: people press it twice.

    A handler that is not Python's own stays installed.
    """
    listener = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or listener is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, listener)
