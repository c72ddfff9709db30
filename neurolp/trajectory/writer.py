"""Write a trajectory file: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from neurolp.errors import OutputError
from neurolp.trajectory.atomic import check_writable, discard, open_temporary, publish, undisturbed
from neurolp.trajectory.format import Contents
from neurolp.trajectory.layout import lay_out

__all__ = ["check_writable", "write_trajectory"]


def write_trajectory(
    path: str | os.PathLike[str], contents: Contents, *, overwrite: bool = False
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
    with undisturbed():
        _write(target, _image(contents))


def _write(target: Path, image: bytes) -> None:
    temporary = ""
    try:
        handle, temporary = open_temporary(target)
        with os.fdopen(handle, "wb") as stream:
            stream.write(image)
            stream.flush()
            os.fsync(stream.fileno())
        publish(temporary, target)
    except BaseException as error:  # Ctrl-C too must leave no litter
        if temporary:
            discard(temporary)
        if isinstance(error, OSError):
            raise OutputError(f"{target}: cannot write the result, {error.strerror}") from error
        raise


def _image(contents: Contents) -> bytes:
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        lay_out(file, contents)
        file.flush()
        return bytes(file.id.get_file_image())
