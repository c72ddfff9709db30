"""A lock file for one writer at a time; the system releases it when its holder ends, in any way."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from pathlib import Path

import portalocker

_PATIENCE = 0.4  # seconds: :func:`is_held` in another process holds the lock for a moment
_PAUSE = 0.02
_EXCLUSIVE = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
_SHARED = portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING


class HeldError(Exception):
    """Another process holds the lock; the message says which."""


class Lock:
    """A lock on a file, which contains a line that names its holder.

    Raises
    ------
    HeldError
        If another process holds it.
    OSError
        If the file cannot be made, or its file system knows no locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        give_up = time.monotonic() + _PATIENCE
        while True:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                portalocker.lock(self._handle, _EXCLUSIVE)
                # Its last holder may have removed the file meanwhile: then this is another one.
                if _is_at(self._handle, path):
                    break
                os.close(self._handle)
            except portalocker.AlreadyLocked as error:
                holder = _holder(self._handle)
                os.close(self._handle)
                if time.monotonic() > give_up:
                    raise HeldError(holder or "another process") from error
                time.sleep(_PAUSE)
            except portalocker.LockException as error:
                os.close(self._handle)
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), str(path)) from error
            except BaseException:
                os.close(self._handle)
                raise
        try:
            os.truncate(self._handle, 0)
            os.write(self._handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
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
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        portalocker.lock(handle, _SHARED)
    except portalocker.AlreadyLocked:
        return True
    except portalocker.LockException:  # a file system without locks: not known
        return False
    finally:
        os.close(handle)
    return False


def _holder(handle: int) -> str:
    """What the holder has written; nothing where the system keeps a locked file from readers."""
    with contextlib.suppress(OSError):
        return os.read(handle, 200).decode("utf-8", "replace").strip()
    return ""


def _is_at(handle: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False
