"""Reader of video from a folder of PNG images, a frame a step."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurolp.arrays import Array
from neurolp.data.streams.source import Chunk, Stream
from neurolp.errors import DataError
from neurolp.stream.sensors import ContinuousSensor

_PIXELS = 1 << 17  # read at once, but one frame at least
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue, ITU-R BT.601
_NOISE_SEED = 12345


def open_frames(path: Path, *, dequantise: bool = True) -> Stream:
    """The PNG images of a folder in natural order (frame 2 before frame 10), grey, 0 .. 1.

    Colours become their luminance; transparency is left out. With ``dequantise`` every pixel gets
    noise U(0, 1/255), drawn for each frame by its number, without which pixels of whole numbers
    would have no density.

    Raises
    ------
    DataError
        If there is no image, one cannot be read, or one is of another size than the first.
    """
    found = [f for f in path.iterdir() if f.suffix.lower() == ".png" and f.is_file()]
    frames = sorted(found, key=lambda f: _natural(f.name))
    if not frames:
        raise DataError(f"{path}: no PNG images in this folder")
    shape = _size(frames[0])
    for frame in frames:
        size = _size(frame)
        if size != shape:
            raise DataError(
                f"{frame}: is {size[1]} x {size[0]} pixels, "
                f"but the first frame is {shape[1]} x {shape[0]}"
            )
    n_pixels = shape[0] * shape[1]
    n_at_once = max(1, _PIXELS // n_pixels)

    def chunks(start: int) -> Iterator[Chunk]:
        for first in range(start, len(frames), n_at_once):
            some = frames[first : first + n_at_once]
            rows = np.empty((len(some), n_pixels))
            for i, frame in enumerate(some):
                rows[i] = _grey(frame, shape).ravel()
                if dequantise:
                    noise = np.random.default_rng([_NOISE_SEED, first + i])
                    rows[i] += noise.random(n_pixels) / 255.0
            yield rows, None

    return Stream(
        name=str(path),
        sensors=(ContinuousSensor(n_pixels, "frame"),),
        chunks=chunks,
        n_steps=len(frames),
        description=f"PNG frames of {path}",
        frame_shape=shape,
    )


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which runs of digits count as numbers."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(p), "") if p.isdigit() and p.isascii() else (0, 0, p) for p in parts]


def _size(frame: Path) -> tuple[int, int]:
    """Height and width, from the header alone."""
    try:
        with frame.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise DataError(f"{frame}: cannot be read, {error.strerror}") from error
    if len(head) < 24 or head[:8] != _SIGNATURE or head[12:16] != b"IHDR":
        raise DataError(f"{frame}: is not a PNG image")
    width, height = struct.unpack(">II", head[16:24])
    return int(height), int(width)


def _grey(frame: Path, shape: tuple[int, int]) -> Array:
    """One image as an array of 0 .. 1."""
    from matplotlib.image import imread

    try:
        image = np.asarray(imread(frame, format="png"), dtype=np.float64)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{frame}: cannot be read, damaged or not a PNG image") from error
    if image.shape[:2] != shape:
        raise DataError(f"{frame}: has changed since it was opened")
    if image.ndim == 2:
        return image
    if image.shape[2] < 3:  # grey and transparency
        return image[:, :, 0]
    return np.asarray(image[:, :, :3] @ _LUMINANCE)
