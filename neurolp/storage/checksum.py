"""A checksum of the whole file, behind the end of the HDF5 file, where HDF5 does not look.

fletcher32 protects the values of data sets, but nothing in HDF5 protects its own structure: a
flipped bit there may crash the library or give another number. 64 bytes are appended:

    16  b"neurolp sha256 1"
     8  length of the HDF5 file before them, little-endian
    32  its SHA-256
     8  zeros

Whoever changes the file with HDF5 usually loses them, and the file is then read without a check.
Reading 36 MB to check them takes 55 ms.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from neurolp.errors import FormatError

_MAGIC = b"neurolp sha256 1"
_SIZE = 64
_PIECE = 2**20


def trailer(image: bytes) -> bytes:
    """What is to follow ``image``, an HDF5 file."""
    return _trailer(len(image), hashlib.sha256(image).digest())


def trailer_of(handle: int) -> bytes:
    """What is to follow the HDF5 file that is open as ``handle``."""
    digest, length = hashlib.sha256(), os.fstat(handle).st_size
    os.lseek(handle, 0, os.SEEK_SET)
    _digest(handle, length, digest)
    return _trailer(length, digest.digest())


def check(path: Path) -> None:
    """Raise :class:`FormatError` if ``path`` ends with a checksum and it is not the file's.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        length = os.fstat(handle).st_size - _SIZE
        if length < 0:
            return
        os.lseek(handle, length, os.SEEK_SET)
        found = os.read(handle, _SIZE)
        if not found.startswith(_MAGIC):
            return
        digest = hashlib.sha256()
        os.lseek(handle, 0, os.SEEK_SET)
        _digest(handle, length, digest)
    finally:
        os.close(handle)
    if found != _trailer(length, digest.digest()):
        raise FormatError(f"{path}: damaged, its checksum is not that of its contents")


def _trailer(length: int, digest: bytes) -> bytes:
    return _MAGIC + length.to_bytes(8, "little") + digest + bytes(8)


def _digest(handle: int, length: int, digest: hashlib._Hash) -> None:
    while length:
        piece = os.read(handle, min(_PIECE, length))
        if not piece:
            return
        digest.update(piece)
        length -= len(piece)
