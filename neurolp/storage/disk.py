"""HDF5 files written in constant memory; a full disk is an error and does not crash HDF5."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from neurolp.storage.atomic import CREATE, discard, write_all
from neurolp.storage.checksum import trailer_of
from neurolp.storage.layout import LIBVER

_CACHE = 2**20  # bytes of chunks: each is written once


def write_hdf5(
    target: Path, fill: Callable[[Any, Callable[[], None]], None], *, checksum: bool = True
) -> None:
    """Write a synced file with its checksum; ``fill(file, check)`` writes to the open HDF5 file.

    ``check()`` raises OSError if something could not be written so far. Files of other formats have
    no ``checksum``.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it then.
    """
    handle = os.open(target, os.O_RDWR | CREATE, 0o666)
    try:
        try:
            disk = Disk(handle)
            with h5py.File(disk, "w", rdcc_nbytes=_CACHE, libver=LIBVER) as file:
                fill(file, disk.raise_if_failed)
            disk.raise_if_failed()
            if checksum:
                behind = trailer_of(handle)
                os.lseek(handle, 0, os.SEEK_END)
                write_all(handle, behind)
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        discard(target)
        raise


class Disk(io.RawIOBase):
    """A file object that never raises: HDF5 crashes the process when a write or close fails.

    After the first error, which is kept in ``error``, everything written is dropped.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``, or drop it."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                write_all(self._handle, view)
            except OSError as error:
                self.error = error
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read; what was dropped reads as zeros."""
        view = memoryview(buffer).cast("B")
        data = os.read(self._handle, len(view))
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        return len(view)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position."""
        return os.lseek(self._handle, offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return os.lseek(self._handle, 0, os.SEEK_CUR)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        length = self.tell() if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._handle, length)
            except OSError as error:
                self.error = error
        return length

    def flush(self) -> None:
        """Do nothing: nothing is buffered here."""

    def raise_if_failed(self) -> None:
        """Raise the first error."""
        if self.error is not None:
            raise self.error
