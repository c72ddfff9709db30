"""Stream: rows of sensors, step after step, generated or read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError
from neurolp.stream.sensors import Sensor

Chunk = tuple[Array, Array | None]  # rows (n, n_columns), and their true surprise (n,) if known
Chunks = Callable[[int], Iterator[Chunk]]


def _of_single_precision(value: float) -> float:
    if not 1e-30 <= value <= 1e30:
        raise ValueError("input should be from 1e-30 to 1e30")
    return value


# Types of the settings of generators, with their ranges.
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Noise = Annotated[float, Field(gt=0), AfterValidator(_of_single_precision)]

CHUNK = 8192  # steps that a source of few columns makes at once


@dataclass(frozen=True)
class Stream:
    """Rows of sensors, the same at every reading, of any length in constant memory.

    Attributes
    ----------
    name, description : str
        What it is, and how it is made.
    sensors : tuple
        In the order of the columns.
    chunks : callable
        ``chunks(start)`` iterates over (rows, true surprise or None) from step ``start`` on. It may
        cut them anywhere; :meth:`blocks` cuts them anew.
    n_steps : int or None
        Length; None is endless.
    rate : float or None
        Entropy rate, nats a step: the least possible mean surprise, if known.
    bound : float or None
        A lower bound of the entropy rate, nats a step, where the rate itself is not known.
    rates : tuple of float or None
        The parts of ``rate``, one for each sensor.
    has_truth : bool
        Whether :meth:`blocks_with_truth` is available.
    frame_shape : (int, int) or None
        Rows and columns of the image that a vector sensor holds.
    """

    name: str
    sensors: tuple[Sensor, ...]
    chunks: Chunks
    n_steps: int | None = None
    rate: float | None = None
    description: str = ""
    bound: float | None = None
    rates: tuple[float, ...] | None = None
    has_truth: bool = False
    frame_shape: tuple[int, int] | None = None

    @property
    def n_columns(self) -> int:
        """Columns of the rows."""
        return sum(sensor.n_columns for sensor in self.sensors)

    def head(self, n_steps: int) -> Stream:
        """The first ``n_steps`` steps of it; fewer where it is shorter."""
        n = check_integer("n_steps", n_steps, 1)
        return replace(self, n_steps=n if self.n_steps is None else min(n, self.n_steps))

    def read(self, n_steps: int, start: int = 0) -> Array:
        """Rows (n_steps, n_columns) from step ``start`` on; fewer where the stream ends."""
        blocks = self.blocks(check_integer("n_steps", n_steps, 1), start)
        return next(blocks, np.empty((0, self.n_columns)))

    def blocks(self, size: int, start: int = 0) -> Iterator[Array]:
        """Iterate over rows (size, n_columns) from step ``start`` on; the last may be shorter.

        float64, NaN is missing. The rows do not depend on ``size``.

        Raises
        ------
        ConfigurationError
            If ``size`` or ``start`` cannot be used.
        DataError
            If a file turns out to be unusable.
        """
        check_integer("size", size, 1)
        check_integer("start", start, 0)
        return (rows for rows, _ in self._cut(size, start))

    def blocks_with_truth(self, size: int, start: int = 0) -> Iterator[tuple[Array, Array]]:
        """Iterate over (rows, -log p(row | all rows before)) in nats, summed over the sensors.

        The rows before include the burn-in of the source, before step 0. See :meth:`blocks`.
        """
        if not self.has_truth:
            raise ConfigurationError(f"stream '{self.name}' has no known truth")
        check_integer("size", size, 1)
        check_integer("start", start, 0)
        return self._cut(size, start)

    def _cut(self, size: int, start: int) -> Iterator[tuple[Array, Array]]:
        left = None if self.n_steps is None else max(self.n_steps - start, 0)
        source = self.chunks(start) if left != 0 else iter(())
        rows, truth = np.empty((0, self.n_columns)), np.empty(0)
        filled = 0
        for given, surprise in source:
            used = 0
            while used < len(given) and left != 0:
                if filled == 0:
                    n = size if left is None else min(size, left)
                    rows, truth = np.empty((n, self.n_columns)), np.empty(n)
                n = min(len(given) - used, len(rows) - filled)
                rows[filled : filled + n] = given[used : used + n]
                if surprise is not None:
                    truth[filled : filled + n] = surprise[used : used + n]
                used, filled = used + n, filled + n
                if filled == len(rows):
                    left = None if left is None else left - filled
                    filled = 0
                    yield rows, truth
            if left == 0:
                return
        if filled:
            yield rows[:filled], truth[:filled]


def from_the_start(make: Callable[[], Iterator[Chunk]]) -> Chunks:
    """``chunks`` of a source that can only run from step 0: rows before ``start`` are discarded."""

    def chunks(start: int) -> Iterator[Chunk]:
        skip = start
        for rows, truth in make():
            if skip < len(rows):
                yield rows[skip:], None if truth is None else truth[skip:]
            skip = max(skip - len(rows), 0)

    return chunks


def check_integer(name: str, value: object, low: int) -> int:
    """``value`` as an int of at least ``low``; ``ConfigurationError`` otherwise."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < low:
        raise ConfigurationError(f"argument `{name}` must be an integer >= {low}, but is {value!r}")
    return int(value)
