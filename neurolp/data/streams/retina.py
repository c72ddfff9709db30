"""Generator of video: handwritten digits that slide over a retina."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from neurolp.arrays import Array
from neurolp.data.streams.dynamics import normal_entropy
from neurolp.data.streams.source import Chunk, Noise, Positive, Stream, from_the_start
from neurolp.stream.sensors import ContinuousSensor

_SIDE = 8  # of a digit, pixels
Side = Annotated[int, Field(ge=_SIDE)]
_DIRECTIONS = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)])


def video(
    *,
    seed: int = 0,
    shape: tuple[Side, Side] = (12, 12),
    noise: Noise = 0.05,
    hold: Positive = 50,
    edges: Literal["wrap", "bounce"] = "wrap",
) -> Stream:
    """A digit of 8 x 8 pixels in [0, 1] moves one pixel a step over a retina of ``shape``.

    Every ``hold`` steps another one of scikit-learn's 1797 digits takes its place, and one of eight
    directions. At the edges it wraps round or bounces. All pixels carry normal noise of standard
    deviation ``noise``, without which an image would have no density: its entropy bounds the rate
    from below, in nats a frame. The choices bound it from above: they add at most
    log(1797 x 8) / hold.
    """
    size = np.array(shape)

    def make() -> Iterator[Chunk]:
        digits = _digits()
        choices, pixels = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
        position = choices.integers(0, size if edges == "wrap" else size - _SIDE + 1)
        while True:
            digit = digits[choices.integers(len(digits))]
            direction = _DIRECTIONS[choices.integers(len(_DIRECTIONS))]
            path = position + direction * np.arange(hold + 1)[:, None]
            if edges == "bounce":
                path = _reflected(path, size - _SIDE)
            position = path[hold]
            frames = noise * pixels.standard_normal((hold, *size))
            _add(frames, digit, path[:hold] % size)
            yield frames.reshape(hold, -1), None

    n_pixels = int(size.prod())
    return Stream(
        name="video",
        sensors=(ContinuousSensor(n_pixels, "retina"),),
        chunks=from_the_start(make),
        bound=n_pixels * normal_entropy(noise),
        frame_shape=(int(size[0]), int(size[1])),
        description=f"digits sliding over a retina of {size[0]} x {size[1]} pixels, another one "
        f"every {hold} steps, noise {noise:g}",
    )


def _digits() -> Array:
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().images, dtype=np.float64) / 16.0


def _reflected(path: Array, last: Array) -> Array:
    """Places (n, 2) folded into 0 .. ``last``, as a ball bounces between two walls."""
    period = np.maximum(2 * last, 1)  # a retina no larger than the digit leaves it no way to go
    folded = path % period
    return np.asarray(np.where(last == 0, 0, np.where(folded > last, period - folded, folded)))


def _add(frames: Array, digit: Array, corners: Array) -> None:
    """Add the digit to frame t with its upper left corner at ``corners[t]``, round the edges."""
    n, height, width = frames.shape
    side = np.arange(_SIDE)
    rows = (corners[:, :1] + side) % height
    columns = (corners[:, 1:] + side) % width
    frames[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]] += digit
