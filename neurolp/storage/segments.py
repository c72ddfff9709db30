"""The folder ``FILE.run`` of an unfinished run: a header, segments, and a checkpoint.

Segment 0 is the header: what does not grow, and an empty data set for each variable that was
declared. Every other segment has the rows appended since the one before. ``state-000003.h5`` is the
checkpoint that ``segment-000003.h5`` commits: without the segment it does not count.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from neurolp.errors import FormatError
from neurolp.storage.format import FORMAT_NAME, FORMAT_VERSION, OLDEST_VERSION
from neurolp.storage.layout import read_attributes
from neurolp.storage.provenance import version_of

SUFFIX = ".run"
LOCK, FINISHED = "lock", "finished.partial"
_SEGMENT = re.compile(r"segment-(\d{6,})\.h5")


def folder_of(path: Path) -> Path:
    """The folder of a run that is to become the file ``path``."""
    return path.with_name(path.name + SUFFIX) if path.name else path / SUFFIX


def file_of(path: Path) -> Path:
    """The file that a run is to become, given it or its folder."""
    name = path.name.removesuffix(SUFFIX)
    return path.with_name(name) if name else path


def segment_name(n: int) -> str:
    """Name of a segment; 0 is the header."""
    return f"segment-{n:06d}.h5"


def state_name(n: int) -> str:
    """Name of the checkpoint that segment ``n`` commits."""
    return f"state-{n:06d}.h5"


def n_segments(folder: Path) -> int:
    """How many segments there are; 0 without a header, or without a folder.

    Raises
    ------
    FormatError
        If one is missing.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    numbers = {int(match[1]) for name in names if (match := _SEGMENT.fullmatch(name))}
    if 0 not in numbers:
        return 0
    missing = set(range(max(numbers))) - numbers
    if missing:
        raise FormatError(f"{folder / segment_name(min(missing))}: no such file, a part is lost")
    return len(numbers)


def open_checked(path: Path, file: Any) -> None:
    """Raise :class:`FormatError` unless an open HDF5 file has our format and a known version."""
    about = read_attributes(file)
    version: Any = about.get("format_version")
    if about.get("format") != FORMAT_NAME:
        raise FormatError(f"{path}: an HDF5 file, but not a {FORMAT_NAME}")
    if not hasattr(version, "__index__"):
        raise FormatError(f"{path}: damaged, it has no format version")
    if not OLDEST_VERSION <= version <= FORMAT_VERSION:
        made = read_attributes(file["provenance"]) if "provenance" in file else {}
        writer = str(made.get("version_neurolp", "unknown"))
        raise FormatError(f"{path}: {_unreadable(int(version), writer)}")


def _unreadable(version: int, writer: str) -> str:
    newer = "too new" if version > FORMAT_VERSION else "too old"
    read = str(OLDEST_VERSION)
    if FORMAT_VERSION > OLDEST_VERSION:
        read += f" to {FORMAT_VERSION}"
    return (
        f"format version {version} is {newer}, written by neurolp {writer}; "
        f"this release, {version_of('neurolp')}, reads version {read}"
    )
