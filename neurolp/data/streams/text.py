"""Text as a stream of characters: of a file, or of the book that comes with the package."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from neurolp.arrays import Array
from neurolp.data.streams.source import Chunk, Stream, from_the_start
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import CategoricalSensor

_BYTES = 1 << 16  # read at once


def text(*, seed: int = 0, lower_case: bool = True) -> Stream:
    r"""The characters of Lewis Carroll's "Alice's Adventures in Wonderland" (1865), once through.

    In the public domain; the Millennium Fulcrum edition 3.0, from "CHAPTER I" to the last word. A
    blank line became one "\n", other white space one " ". 142,400 characters, 43 different ones in
    lower case and 69 otherwise.
    """
    if seed != 0:
        raise ConfigurationError(
            f"argument `seed` must be 0 for generator 'text', where nothing is drawn, but is {seed}"
        )

    def pieces() -> Iterator[str]:
        book = (resources.files(__package__) / "alice.txt").read_text(encoding="utf-8")
        yield re.sub(r"\s+", lambda gap: "\n" if gap[0].count("\n") > 1 else " ", book.strip())

    return _characters("text", pieces, "Alice's Adventures in Wonderland", lower_case)


def open_text(path: Path, *, lower_case: bool = False) -> Stream:
    r"""The characters of a text file in UTF-8 as symbols, numbered in the order of Unicode.

    The file is read twice, in pieces: for its alphabet, and for its rows. Line ends of all systems
    become "\n".

    Raises
    ------
    DataError
        If it is empty, is not UTF-8 (the place is named), or has only one different character.
    """
    return _characters(str(path), lambda: _decoded(path), f"characters of {path}", lower_case)


def _characters(
    name: str, pieces: Callable[[], Iterator[str]], description: str, lower_case: bool
) -> Stream:
    seen: Array = np.empty(0, dtype=np.uint32)
    n_steps = 0
    for piece in pieces():
        codes = _codes(piece)
        n_steps += len(codes)
        seen = np.union1d(seen, codes)
    if not n_steps:
        raise DataError(f"{name}: is empty")
    meant = [_lowered(chr(code)) if lower_case else chr(code) for code in seen]
    alphabet = tuple(sorted(set(meant)))
    if len(alphabet) < 2:
        raise DataError(f"{name}: has only one different character, {alphabet[0]!r}")
    symbols = np.searchsorted(np.array([ord(c) for c in alphabet]), [ord(c) for c in meant])

    def make() -> Iterator[Chunk]:
        for piece in pieces():
            codes = _codes(piece)
            places = np.searchsorted(seen, codes)
            if not np.array_equal(seen[np.minimum(places, len(seen) - 1)], codes):
                raise DataError(f"{name}: has changed since it was opened")
            yield symbols[places].astype(np.float64)[:, None], None

    return Stream(
        name=name,
        sensors=(CategoricalSensor(alphabet, "character"),),
        chunks=from_the_start(make),
        n_steps=n_steps,
        description=description,
    )


def _codes(piece: str) -> Array:
    return np.frombuffer(piece.encode("utf-32-le"), dtype="<u4")


def _lowered(character: str) -> str:
    """Lower case, unless that is more than one character."""
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _decoded(path: Path) -> Iterator[str]:
    """The text of a file in pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    n_read = 0
    try:
        with path.open("rb") as file:
            while True:
                data = file.read(_BYTES)
                waiting = len(decoder.getstate()[0])  # bytes of a character cut in two
                try:
                    piece = decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{path}: byte {n_read - waiting + error.start} is not UTF-8 text"
                    ) from error
                if n_read == 0:
                    piece = piece.removeprefix("\ufeff")
                n_read += len(data)
                piece = newlines.decode(piece, final=not data)
                if piece:
                    yield piece
                if not data:
                    return
    except OSError as error:
        raise DataError(f"{path}: cannot be read, {error.strerror}") from error
