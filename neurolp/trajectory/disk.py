"""A file that HDF5 can write to without ever hearing that a disk is full."""

from __future__ import annotations

import io
import os
from typing import Any

from neurolp.trajectory.atomic import write_all


class Disk(io.RawIOBase):
    """A file for HDF5 that never fails: HDF5 crashes the process when a write or close does.

    After the first error, which is kept in ``error``, everything written is forgotten.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``, or forget it."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                write_all(self._handle, view)
            except OSError as error:
                self.error = error
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read; what was forgotten reads as zeros."""
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
