"""A lock file for one writer at a time; the system releases it when its holder ends, in any way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path

_PATIENCE = 0.4  # seconds: :func:`is_held` in another process holds the lock for a moment
_PAUSE = 0.02


class HeldError(Exception):
    """Another process holds the lock; the message says which."""


class Lock:
    """An ``flock`` on a file, which contains a line that names its holder.

    Raises
    ------
    HeldError
        If another process holds it.
    OSError
        If the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        give_up = time.monotonic() + _PATIENCE
        while True:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Its last holder may have removed the file meanwhile: then this is another one.
                if _is_at(self._handle, path):
                    break
                os.close(self._handle)
            except BlockingIOError as error:
                holder = os.pread(self._handle, 200, 0).decode("utf-8", "replace").strip()
                os.close(self._handle)
                if time.monotonic() > give_up:
                    raise HeldError(holder or "another process") from error
                time.sleep(_PAUSE)
            except BaseException:
                os.close(self._handle)
                raise
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(
                self._handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0
            )
        except OSError:
            self.release()
            raise

    @property
    def held(self) -> bool:
        """Whether it was not released."""
        return self._handle >= 0

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock; harmless if repeated."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def is_held(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: not known
        return False
    finally:
        os.close(handle)
    return False


def _is_at(handle: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False
