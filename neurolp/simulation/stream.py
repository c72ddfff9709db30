"""A brain that learns from a stream, row by row: a process of the main loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np

from neurolp.arrays import Array
from neurolp.data.streams.source import Stream
from neurolp.stream.sensors import places

_MAX_ROWS = 4096  # that are read at once
_MAX_ELEMENTS = 2**20
_RECENT = 1000.0  # steps of the running mean of the surprise


class Run(Protocol):
    """What a brain returns of rows that were presented."""

    @property
    def surprise(self) -> Array:
        """Surprise (n, n_sensors) in nats, NaN where nothing was observed."""

    @property
    def pit(self) -> Array:
        """F(x_t | past) of every value (n, n_values)."""


class StreamModel(Protocol):
    """What the process asks of a brain: :class:`neurolp.StreamBrain`."""

    @property
    def activity(self) -> Array:
        """Activity of the hidden nodes (n_hidden,)."""

    @property
    def node_names(self) -> Sequence[str] | Sequence[int]:
        """Names of the hidden nodes; their numbers if they have none."""

    @property
    def weights(self) -> Mapping[str, Any]:
        """Dense arrays, or CSR, by name."""

    def predict(self) -> Mapping[str, Any]:
        """Distribution of the next observation of each sensor, by name."""

    def run(self, rows: Array, *, learn: bool = True) -> Run:
        """Present rows (n, n_columns), one after another, and learn each."""

    def state(self) -> dict[str, Array]:
        """Everything that the next step depends on, in arrays of its own."""

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Continue from :meth:`state`."""

    def fault(self) -> str | None:
        """The first number that is not finite, in words; None if all are."""


@dataclass(frozen=True)
class StreamObservation:
    """What was observed in consecutive steps, of which ``time`` is the first.

    ``rows`` (n, n_columns); ``surprise`` (n, n_sensors) in nats; ``pit`` (n, n_values);
    ``truth`` (n,), the surprise of the true source in nats, None where it is not known.
    """

    time: int
    rows: Array
    surprise: Array
    pit: Array
    truth: Array | None


@dataclass(frozen=True)
class StreamProgress:
    """What a progress display is told: steps of how many, and a running mean of the surprise.

    ``surprise`` is of about the last 1,000 steps, in nats a step, as ``rate``, the entropy rate of
    the source where it is known; ``elapsed`` in seconds.
    """

    time: int
    n_steps: int | None
    surprise: float
    rate: float | None
    elapsed: float


@final
class StreamProcess:
    """A brain that is presented the rows of a stream, and learns each before the next.

    From time ``train_steps`` on it only predicts. At time t it has observed the rows 0 .. t - 1.
    Advancing in pieces of any size gives the same results. ``present(rows, learn, time)`` presents
    rows to the brain; by default that is its ``run``.
    """

    time: int
    _rows: Array  # read together, of which the next one is number _at
    _truth: Array | None
    _at: int
    _blocks: Iterator[tuple[Array, Array | None]]

    def __init__(
        self,
        brain: StreamModel,
        stream: Stream,
        *,
        train_steps: int | None = None,
        present: Callable[[Array, bool, int], Run] | None = None,
    ) -> None:
        self.brain, self.stream = brain, stream
        self._run = present or (lambda rows, learn, start: brain.run(rows, learn=learn))
        self._train_steps = math.inf if train_steps is None else train_steps
        self._recent = np.zeros(2)  # decaying sum of the surprise, and of the weights
        self._go_to(0)

    @property
    def next_row(self) -> Array | None:
        """The row that comes next, (n_columns,); None at the end of the stream."""
        if self._at == len(self._rows):
            self._rows, self._truth = next(self._blocks, (self._rows[:0], None))
            self._at = 0
        return self._rows[self._at] if len(self._rows) else None

    @property
    def finished(self) -> bool:
        """Whether the stream has ended."""
        return self.next_row is None

    def advance(
        self, n: int = 1, should_stop: Callable[[], bool] = lambda: False
    ) -> StreamObservation:
        """Present the next ``n`` rows, fewer where the stream ends.

        Raises
        ------
        DivergedError
            If a surprise is not finite; the brain has then learned a part of the rows.
        """
        start, pieces = self.time, []
        while n > self.time - start and not self.finished:
            pieces.append(self._present(n - (self.time - start)))
        if not pieces:
            last = places(self.stream.sensors)[-1]
            shapes = (self.stream.n_columns, len(self.stream.sensors), last.values.stop)
            rows, surprise, pit = (np.empty((0, k)) for k in shapes)
            truth = np.empty(0) if self.stream.has_truth else None
            return StreamObservation(start, rows, surprise, pit, truth)
        if len(pieces) == 1:
            return pieces[0]
        rows, surprise, pit = (
            np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("rows", "surprise", "pit")
        )
        known = [piece.truth for piece in pieces if piece.truth is not None]
        return StreamObservation(
            start, rows, surprise, pit, np.concatenate(known) if known else None
        )

    def _present(self, n: int) -> StreamObservation:
        """Present at most ``n`` rows that were read together, learning from all or from none."""
        start, learn = self.time, self.time < self._train_steps
        n = min(n, len(self._rows) - self._at)
        if learn:
            n = int(min(n, self._train_steps - start))
        part = slice(self._at, self._at + n)
        rows, truth = self._rows[part], None if self._truth is None else self._truth[part]
        run = self._run(rows, learn, start)
        self.time, self._at = start + n, self._at + n
        self._average(np.nansum(run.surprise, axis=1))
        return StreamObservation(start, rows, run.surprise, run.pit, truth)

    def state(self) -> dict[str, Array]:
        """State of the brain, the number of steps, the running mean of the surprise."""
        own = {"time": np.array([self.time]), "recent_surprise": self._recent.copy()}
        return self.brain.state() | own

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue from :meth:`state`."""
        self.brain.restore(arrays)
        self._recent = arrays["recent_surprise"].copy()
        self._go_to(int(arrays["time"][0]))

    def fault(self) -> str:
        """The first number of the brain that is not finite, in words; "" if all are."""
        return self.brain.fault() or ""

    def report(self, elapsed: float) -> StreamProgress:
        """Time, and a running mean of the surprise."""
        total, weight = self._recent
        mean = float(total / weight) if weight else math.nan
        return StreamProgress(self.time, self.stream.n_steps, mean, self.stream.rate, elapsed)

    def _average(self, surprise: Array) -> None:
        age = np.arange(len(surprise))[::-1]
        weights = np.exp(-age / _RECENT)
        self._recent *= math.exp(-len(surprise) / _RECENT)
        self._recent += weights @ surprise, weights.sum()

    def _go_to(self, time: int) -> None:
        self.time = time
        self._blocks = _blocks(self.stream, time)
        self._rows, self._truth = np.empty((0, self.stream.n_columns)), None
        self._at = 0


def _blocks(stream: Stream, start: int) -> Iterator[tuple[Array, Array | None]]:
    """Rows from step ``start`` on, with their true surprise where it is known."""
    size = max(1, min(_MAX_ROWS, _MAX_ELEMENTS // stream.n_columns))
    if stream.has_truth:
        yield from stream.blocks_with_truth(size, start)
    else:
        for rows in stream.blocks(size, start):
            yield rows, None
