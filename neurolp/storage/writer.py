"""Atomic writing of a trajectory file, and the bytes of an HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import h5py

from neurolp.arrays import NamedArrays
from neurolp.errors import OutputError
from neurolp.storage.atomic import check_writable, interrupts_ignored, write_whole
from neurolp.storage.checksum import trailer
from neurolp.storage.growing import Declared, Waiting
from neurolp.storage.layout import FILTERS, LIBVER, lay_out

__all__ = ["check_writable", "image_of", "write_trajectory"]


def write_trajectory(
    path: str | os.PathLike[str], contents: NamedArrays, *, overwrite: bool = False
) -> None:
    """Write ``contents`` to ``path``, atomically.

    HDF5 builds the file in memory (on a full disk it would crash the process); the image then goes
    by plain writes to a temporary name in the same folder, is synced, and renamed.
    A reader therefore sees the old file, or none, or the whole new one.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false.
    """
    target = check_writable(path, overwrite=overwrite)
    with interrupts_ignored():
        image = image_of(contents)
        try:
            write_whole(target, image, trailer(image))
        except OSError as error:
            raise OutputError(f"{target}: cannot write the result, {error.strerror}") from error


def image_of(
    contents: NamedArrays,
    *,
    growing: Iterable[Declared] = (),
    rows: Mapping[str, Waiting] | None = None,
    filters: Mapping[str, Any] = FILTERS,
    scales: bool = True,
) -> bytes:
    """The bytes of an HDF5 file.

    Parameters
    ----------
    growing : iterable of Declared
        Variables that are to grow: they are in the file, empty, or with ``rows``.
    rows : mapping, optional
        Rows of these variables, which are not cleared.
    filters, scales
        As of :func:`neurolp.storage.layout.lay_out`.
    """
    with h5py.File("memory", "w", driver="core", backing_store=False, libver=LIBVER) as file:
        dims = {}
        for declared in growing:
            waiting = None if rows is None else rows[declared.name]
            dataset = declared.create(file, most=None if waiting is None else waiting.n)
            if waiting is not None:
                Waiting(waiting.rows, waiting.n).write(dataset)
            dims[declared.name] = declared.dims
        lay_out(file, contents, filters, growing=dims, scales=scales)
        file.flush()
        return bytes(file.id.get_file_image())
