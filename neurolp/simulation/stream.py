"""The main loop for streams: look, run a few steps, record, show progress. Read me first.

The rows come from a :class:`neurolp.data.streams.Stream`, the brain is surprised by each and
learns it, a :class:`neurolp.simulation.stream_recorder.StreamRecorder` keeps what was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt

from neurolp.data.streams.source import Stream
from neurolp.errors import DivergedError
from neurolp.simulation.signals import NeverStop, Stop
from neurolp.simulation.stream_recorder import Observable, StreamRecorder

Array = npt.NDArray[Any]

_MAX_ROWS = 4096
_MAX_ELEMENTS = 2**20


class Run(Protocol):
    """What a run over some steps returns."""

    @property
    def surprise(self) -> Array:
        """Surprise (n, n_sensors) in nats, NaN where nothing came."""

    @property
    def pit(self) -> Array:
        """F(x_t | past) of every value (n, n_values)."""


class StreamModel(Observable, Protocol):
    """What the loop needs of a brain: :class:`neurolp.StreamBrain`."""

    def run(self, rows: Array, *, learn: bool = True) -> Run:
        """See rows (n, n_columns), one after another, and learn each."""


class Pace:
    """How many steps to run before control returns to Python, from how long the last ones took.

    The results do not depend on it; how soon Ctrl-C is noticed does.
    """

    def __init__(self, seconds: float = 0.2, n_steps: int = 32) -> None:
        self.seconds = seconds
        self.n_steps = n_steps

    def took(self, n_steps: int, seconds: float) -> None:
        """Adapt: at most twice as many as last time, as the first steps compile."""
        if n_steps == self.n_steps or seconds > self.seconds:
            wanted = n_steps * self.seconds / max(seconds, 1e-9)
            self.n_steps = int(min(max(wanted, 1), 2 * n_steps, _MAX_ROWS))


When = Literal["due", "now", "end"]


@dataclass(frozen=True)
class StreamProgress:
    """What an observer is told: steps seen of how many, and the mean surprise of the last window.

    In nats a step, as the entropy ``rate`` of the source, where it is known.
    """

    time: int
    n_steps: int
    surprise: float
    rate: float | None
    elapsed: float


@dataclass(frozen=True)
class StreamOutcome:
    """How a simulation ended.

    ``status`` is ``"complete"``, ``"interrupted"`` or ``"diverged"``, which ``message`` explains;
    ``speed`` is in steps a second, without the first piece, in which kernels are compiled;
    ``signal`` the number of the one that interrupted it.
    """

    status: str
    n_steps: int
    elapsed: float
    speed: float
    message: str = ""
    signal: int | None = None


def simulate_stream(
    brain: StreamModel,
    stream: Stream,
    recorder: StreamRecorder,
    *,
    learn_until: int | None = None,
    end: int | None = None,
    pace: Pace | None = None,
    observe: Callable[[StreamProgress], None] = lambda progress: None,
    save: Callable[[When], None] = lambda when: None,
    stop: Stop | None = None,
) -> StreamOutcome:
    """Let ``brain`` see ``stream`` once, to its last step, and learn at every step.

    It goes on from where ``recorder`` is, to before step ``end`` where that is given. From time
    ``learn_until`` on it only watches. After each piece ``save`` is called, which may keep what is
    needed to go on from here, and must ``"now"``, before ``stop`` ends it; ``"end"`` is the last
    time. A surprise that is not finite, or a state that ``save`` finds not to be finite, also
    stops: what came since the last time it was saved is then to be looked through.
    """
    began = time.monotonic()
    pace, stop = pace or Pace(), stop or NeverStop()
    start = t = recorder.n_steps  # steps seen
    first = start  # at the end of the first piece
    compiled = began  # when that was

    def outcome(status: str, message: str = "", signal: int | None = None) -> StreamOutcome:
        now = time.monotonic()
        done, since = (t - first, compiled) if t > first > start else (t - start, began)
        speed = done / max(now - since, 1e-9)
        return StreamOutcome(status, t, now - began, speed, message, signal)

    with stop:
        for block, truth in _blocks(stream, start, end):
            done = 0
            while done < len(block):
                # Look at the brain, where this was asked for, before the next row comes.
                recorder.look(t, brain, block[done])

                # Run until the next look at the latest: perceive, be surprised, learn; next row.
                learn = learn_until is None or t < learn_until
                until_look = min(recorder.next_look(t), t + len(block) - done)
                if learn and learn_until is not None:
                    until_look = min(until_look, learn_until)
                n = min(pace.n_steps, int(until_look) - t)
                rows = block[done : done + n]
                piece_began = time.monotonic()
                try:
                    run = brain.run(rows, learn=learn)
                except DivergedError as error:
                    return outcome("diverged", str(error))
                stop.defer()
                pace.took(n, time.monotonic() - piece_began)

                # Record it, and save it now and then.
                of_truth = None if truth is None else truth[done : done + n]
                recorder.add(rows, run.surprise, run.pit, of_truth)
                t, done = t + n, done + n
                elapsed = time.monotonic() - began
                n_steps = t if stream.n_steps is None else stream.n_steps
                observe(StreamProgress(t, n_steps, recorder.recent, stream.rate, elapsed))
                try:
                    save("now" if stop() else "due")
                except DivergedError as error:
                    return outcome("diverged", str(error))
                if stop():
                    return outcome("interrupted", signal=getattr(stop, "signal", None))
                if first == start:
                    first, compiled = t, time.monotonic()
        stop.defer()
        try:
            save("end")
            # What came while it was saved for the last time still counts.
            if stop():
                save("now")
        except DivergedError as error:
            return outcome("diverged", str(error))
        if stop():
            return outcome("interrupted", signal=getattr(stop, "signal", None))
    return outcome("complete")


def _blocks(stream: Stream, start: int, end: int | None) -> Iterator[tuple[Array, Array | None]]:
    """Rows, with their true surprise where it is known."""
    size = max(1, min(_MAX_ROWS, _MAX_ELEMENTS // stream.n_columns))
    if end is not None:
        if end <= start:
            return
        stream = stream.head(end)
    if stream.has_truth:
        yield from stream.blocks_with_truth(size, start)
    else:
        for rows in stream.blocks(size, start):
            yield rows, None
