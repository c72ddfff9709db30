"""Write a trajectory that grows while a simulation runs: constant memory, whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from neurolp.errors import OutputError
from neurolp.trajectory.atomic import check_writable, discard, open_temporary, publish, undisturbed
from neurolp.trajectory.format import Contents
from neurolp.trajectory.layout import FILTERS, attach, describe, lay_out

Array = npt.NDArray[Any]

_CHUNK_BYTES = 2**16
_MAX_CHUNK_BYTES = 2**20


@dataclass
class _Growing:
    """A data set whose first dimension grows, and the rows that wait to fill a chunk of it."""

    dataset: Any
    dims: tuple[str, ...]
    waiting: list[Array] = field(default_factory=list)
    n_waiting: int = 0


class Appender:
    """Variables that grow along their first dimension, appended to a file of constant cost.

    Declare the dimensions that grow and the variables along them, :meth:`append` to each as values
    come, then :meth:`finish` with everything else. Until then the file has a temporary name in the
    same folder; a reader sees the old file, or none, or the whole new one. Rows wait in memory
    until they fill a chunk.

    Raises
    ------
    OutputError
        From any method, if the file cannot be written; nothing is left behind.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = check_writable(path, overwrite=overwrite)
        self._overwrite = overwrite
        try:
            handle, self._temporary = open_temporary(self.path)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot write the result, {error.strerror}") from error
        self._disk = _Disk(handle)
        self._file = h5py.File(self._disk, "w", rdcc_nbytes=_MAX_CHUNK_BYTES)  # a chunk comes once
        self._growing: dict[str, _Growing] = {}

    def declare_dimension(self, name: str, dtype: str, units: str, description: str) -> None:
        """Declare a dimension that grows; its coordinate is appended to under the same name."""
        self._create(f"coordinates/{name}", name, (name,), (), dtype, units, description)
        self._growing[name].dataset.make_scale(name)

    def declare(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: str,
        units: str,
        description: str,
    ) -> None:
        """Declare a variable along ``dims``; the first grows, ``shape`` is that of the others."""
        self._create(name, name, dims, shape, dtype, units, description)

    def has(self, name: str) -> bool:
        """Whether a growing variable or dimension was declared."""
        return name in self._growing

    def append(self, name: str, values: npt.ArrayLike) -> None:
        """Add rows (n, ...) to a variable, or to the coordinate of a growing dimension."""
        growing = self._growing[name]
        dataset = growing.dataset
        rows = np.array(values, dtype=dataset.dtype)  # a copy: callers reuse their buffers
        if rows.shape[1:] != dataset.shape[1:]:
            raise ValueError(f"{name} has rows of {dataset.shape[1:]}, but got {rows.shape[1:]}")
        growing.waiting.append(rows)
        growing.n_waiting += len(rows)
        if growing.n_waiting >= dataset.chunks[0]:
            self._guarded(lambda: _write_out(growing, whole_chunks=True))

    def finish(self, contents: Contents) -> None:
        """Write what still waits and ``contents``, close the file and give it its name."""
        with undisturbed():
            self._guarded(lambda: self._complete(contents))
            try:
                self._file.close()
                self._disk.close(sync=True)
                self._raise_if_failed()
                check_writable(self.path, overwrite=self._overwrite)
                publish(self._temporary, self.path)
            except BaseException as error:
                discard(self._temporary)
                if isinstance(error, OSError) and not isinstance(error, OutputError):
                    raise OutputError(
                        f"{self.path}: cannot write the result, {error.strerror}"
                    ) from error
                raise

    def abandon(self) -> None:
        """Close and remove the file; harmless after :meth:`finish`."""
        if self._file:
            with undisturbed():
                self._disk.forget()
                self._file.close()
                self._disk.close(sync=False)
                discard(self._temporary)

    def _create(
        self,
        where: str,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: str,
        units: str,
        description: str,
    ) -> None:
        dataset = self._file.create_dataset(
            where,
            shape=(0, *shape),
            maxshape=(None, *shape),
            dtype=dtype,
            chunks=_chunks(shape, np.dtype(dtype).itemsize),
            shuffle=np.dtype(dtype).kind in "iu",  # counts and times: all but one byte are alike
            **FILTERS,
        )
        describe(dataset, units, description)
        self._growing[name] = _Growing(dataset, dims)

    def _complete(self, contents: Contents) -> None:
        lengths: dict[str, tuple[str, int]] = {}
        for name, growing in self._growing.items():
            _write_out(growing, whole_chunks=False)
            n, dim = len(growing.dataset), growing.dims[0]
            first, wanted = lengths.setdefault(dim, (name, n))
            if n != wanted:
                raise ValueError(f"{name} has {n} rows along {dim}, but {first} has {wanted}")
        lay_out(self._file, contents)
        for name, growing in self._growing.items():
            if name != growing.dims[0]:
                attach(self._file, growing.dataset, growing.dims)

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
            self._raise_if_failed()
        except BaseException:
            self.abandon()
            raise

    def _raise_if_failed(self) -> None:
        error = self._disk.error
        if error is not None:
            raise OutputError(f"{self.path}: cannot write the result, {error.strerror}") from error


class _Disk(io.RawIOBase):
    """A file for HDF5 that never fails: HDF5 crashes the process when a write or close does.

    After the first error, which is kept in ``error``, everything written is forgotten.
    """

    def __init__(self, handle: int) -> None:
        self._raw = io.FileIO(handle, "r+")
        self.error: OSError | None = None
        self._forgetting = False

    def forget(self) -> None:
        """Write nothing more."""
        self._forgetting = True

    def write(self, data: Any) -> int:
        """Write all of ``data``, or forget it."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and not self._forgetting:
                done += self._raw.write(view[done:]) or 0
        except OSError as error:
            self._failed(error)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read; what was forgotten reads as zeros."""
        view = memoryview(buffer).cast("B")
        done = self._raw.readinto(view) or 0
        view[done:] = bytes(len(view) - done)
        return len(view)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._raw.tell()

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        try:
            if not self._forgetting:
                return self._raw.truncate(size)
        except OSError as error:
            self._failed(error)
        return size or 0

    def flush(self) -> None:
        """Do nothing: nothing is buffered here."""

    def close(self, *, sync: bool = False) -> None:
        """Close the file; after ``sync`` its contents survive a power failure."""
        if self._raw.closed:
            return
        try:
            if sync and self.error is None:
                os.fsync(self._raw.fileno())
        except OSError as error:
            self._failed(error)
        finally:
            self._raw.close()

    def _failed(self, error: OSError) -> None:
        self.error = self.error or error
        self._forgetting = True


def _write_out(growing: _Growing, *, whole_chunks: bool) -> None:
    if not growing.n_waiting:
        return
    dataset, rows = growing.dataset, np.concatenate(growing.waiting)
    n = len(rows) - len(rows) % dataset.chunks[0] if whole_chunks else len(rows)
    start = len(dataset)
    dataset.resize(start + n, axis=0)
    dataset[start:] = rows[:n]
    growing.waiting = [rows[n:].copy()] if n < len(rows) else []
    growing.n_waiting = len(rows) - n


def _chunks(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    """Many rows to a chunk where they are small, parts of a row where they are huge."""
    trailing = [max(n, 1) for n in shape]
    row = item * int(np.prod(trailing, dtype=np.int64))
    while row > _MAX_CHUNK_BYTES:
        widest = int(np.argmax(trailing))
        row = row // trailing[widest] * -(-trailing[widest] // 2)
        trailing[widest] = -(-trailing[widest] // 2)
    return (max(1, min(_CHUNK_BYTES // row, 8192)), *trailing)
