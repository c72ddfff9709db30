"""Write a trajectory file: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurolp.errors import OutputError
from neurolp.trajectory.format import FORMAT_NAME, FORMAT_VERSION, Contents, Variable


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
    with _undisturbed():
        _write(target, _image(contents))


def _write(target: Path, image: bytes) -> None:
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(
            dir=target.parent, prefix=".neurolp-", suffix=".partial"
        )
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), 0o666 & ~_umask())
            stream.write(image)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException as error:  # Ctrl-C too must leave no litter
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise OutputError(f"{target}: cannot write the result, {error.strerror}") from error
        raise


def _image(contents: Contents) -> bytes:
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = FORMAT_NAME
        file.attrs["format_version"] = FORMAT_VERSION
        for group, attributes in contents.attributes.items():
            where = file.require_group(group) if group else file
            for name, value in attributes.items():
                where.attrs[name] = value
        scales: dict[str, Any] = {}
        for name, variable in contents.coordinates.items():
            scales[name] = _dataset(file, f"coordinates/{name}", variable)
            scales[name].make_scale(name)
        for name, variable in contents.variables.items():
            dataset = _dataset(file, name, variable)
            for k, dim in enumerate(variable.dims):
                dataset.dims[k].label = dim
                dataset.dims[k].attach_scale(scales[dim])
        file.flush()
        return bytes(file.id.get_file_image())


def _dataset(file: Any, name: str, variable: Variable) -> Any:
    values = variable.values
    if values.dtype.kind == "U":
        encoded = np.char.encode(values, "utf-8")
        length = max(encoded.dtype.itemsize, 1)
        values = encoded.astype(h5py.string_dtype("utf-8", length))
    # The checksum turns a flipped bit into a read error; it needs chunks, which need elements. No
    # shuffle filter: weights are half zeros (nodes of one group), and whole zeros compress better
    # than their shuffled bytes (digits: 17 MB against 21 MB, and faster).
    filters = {"chunks": True, "compression": "gzip", "compression_opts": 1, "fletcher32": True}
    dataset = file.create_dataset(name, data=values, **(filters if values.size else {}))
    dataset.attrs["units"] = variable.units
    dataset.attrs["description"] = variable.description
    return dataset


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
