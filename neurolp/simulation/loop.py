"""The main loop of every simulation. To read the code, start here.

What unfolds in time is a :class:`Process`: a network that grows slice by slice
(``simulation.greedy``), parameters that are fitted epoch by epoch (``simulation.epochs``), a brain
that learns from a stream step by step (``simulation.stream``). :func:`simulate` advances it,
*monitors* (``simulation.monitors``) record what was asked for in a *store*, a *checkpointer*
(``simulation.checkpoint``) keeps what is needed to continue. Nothing else loops over time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from neurolp.brain.workers import StopRequested
from neurolp.errors import DivergedError
from neurolp.simulation.checkpoint import Checkpointing, NullCheckpointer
from neurolp.simulation.memory_store import MemoryStore, Store
from neurolp.simulation.monitors import Monitor
from neurolp.simulation.signals import NeverStop, Stop

Arrays = dict[str, npt.NDArray[Any]]


class Process(Protocol):
    """Something that unfolds in time, in units of a slice, an epoch or a step.

    Driven by hand, ``process.advance(1)``, it does the same as in :func:`simulate`. What a unit
    computes depends on the state before it alone: another process of the same construction, given
    that state, continues to the last bit.
    """

    @property
    def time(self) -> int:
        """Units of time completed."""

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come: the input has ended, or learning has stopped early."""

    def advance(self, n: int = 1, should_stop: Callable[[], bool] = ...) -> Any:
        """Perceive and learn ``n`` units of time; what was observed in them.

        Raises
        ------
        StopRequested
            If ``should_stop()`` became true within a unit, which is then undone.
        DivergedError
            If a number is no longer finite.
        """

    def state(self) -> Arrays:
        """Everything that the next unit depends on, by name, in arrays that no unit changes."""

    def restore(self, arrays: Arrays) -> None:
        """Continue from what :meth:`state` returned."""

    def fault(self) -> str:
        """Where the first number is that is not finite, ``"node 3, weights: nan"``; or ""."""

    def report(self, elapsed: float) -> Any:
        """What a progress display is told after ``elapsed`` seconds."""


@dataclass(frozen=True)
class Outcome:
    """How a simulation ended: its last time, whether it was stopped before its end, its speed.

    ``speed`` is in units of time a second, without the first call, in which kernels are compiled.
    """

    time: int
    interrupted: bool
    elapsed: float
    speed: float


class Pace:
    """How many units to advance at once, so that control returns after about ``seconds``.

    Results do not depend on it; how soon a request to stop is noticed does.
    """

    def __init__(self, seconds: float = 0.2, n_units: int = 32, most: int = 4096) -> None:
        self.seconds, self.n_units, self.most = seconds, n_units, most

    def took(self, n_units: int, seconds: float) -> None:
        """Adapt: at most twice as many as last time, as the first units compile."""
        if n_units == self.n_units or seconds > self.seconds:
            wanted = n_units * self.seconds / max(seconds, 1e-9)
            self.n_units = int(min(max(wanted, 1), 2 * n_units, self.most))


def simulate(
    process: Process,
    until: float = np.inf,
    *,
    monitors: Sequence[Monitor] = (),
    store: Store | None = None,
    checkpointer: Checkpointing | None = None,
    progress: Callable[[Any], None] = lambda report: None,
    stop: Stop | None = None,
    pace: Pace | None = None,
) -> Outcome:
    """Advance ``process`` to time ``until``, or until it is finished.

    Parameters
    ----------
    monitors : sequence of Monitor
        What to record; each sees the process at the times it is due, and all that is observed.
    store : Store
        Where monitors append rows: memory by default, or a ``storage.store.RunStore``.
    checkpointer : Checkpointing
        Keeps the process now and then; what it kept last is continued first.
    progress : callable
        Called with ``process.report(seconds)`` after each call of ``advance``.
    stop : Stop
        Asked whether to stop. By default only ``KeyboardInterrupt`` stops; the process then stands
        as after its last complete unit, unless it is a stream.
    pace : Pace
        Units to advance in one call; one by default.

    Raises
    ------
    DivergedError
        If a number is no longer finite: time, node and variable are named.
    """
    store = MemoryStore() if store is None else store
    checkpointer, stop = checkpointer or NullCheckpointer(), stop or NeverStop()
    clock, interrupted, whole = _Clock(), False, True
    with stop:
        for monitor in monitors:
            monitor.begin(process, store)
        # Continue from the last checkpoint, or look at the beginning.
        if not checkpointer.restore(process, monitors):
            _sample(process, monitors)
        start = process.time
        try:
            while process.time < until and not process.finished:
                # Advance to the next time at which a monitor is due, at most.
                now = process.time
                due = min([until, *(monitor.schedule.after(now) for monitor in monitors)])
                n = int(min(due - now, pace.n_units if pace else 1))
                clock.start()
                whole = False
                observation = process.advance(n, stop)
                if pace:
                    pace.took(n, clock.lap())
                stop.defer()  # from now on there is something to lose

                # Record.
                for monitor in monitors:
                    monitor.observe(observation)
                _sample(process, monitors)
                whole = True

                # Keep what is needed to continue: never what is not finite.
                interrupted = stop()
                if checkpointer.due(now=interrupted):
                    check_finite(process)
                    checkpointer.commit(process, monitors)

                # Report.
                progress(process.report(clock.elapsed))
                clock.first_call_ends(process.time)
                if interrupted:
                    break
            else:
                stop.defer()
                check_finite(process)
                checkpointer.ended(process, monitors)
        except StopRequested:  # between two blocks of work: the process has undone its unit
            interrupted = whole = True
        except KeyboardInterrupt:
            interrupted = True
        # In the middle of a unit state and record may not agree: the last checkpoint stays.
        if interrupted and whole and process.time > start and checkpointer.due(now=True):
            check_finite(process)
            checkpointer.commit(process, monitors)
        for monitor in monitors:
            monitor.finish(process)
        # What came while the last rows were written still counts.
        if stop() and not interrupted:
            interrupted = True
            if checkpointer.due(now=True):
                checkpointer.commit(process, monitors)
    return Outcome(process.time, interrupted, clock.elapsed, clock.speed(start, process.time))


def check_finite(process: Process) -> None:
    """Raise :class:`DivergedError` if the state of ``process`` contains NaN or infinity."""
    fault = process.fault()
    if fault:
        raise DivergedError(fault)


def _sample(process: Process, monitors: Sequence[Monitor]) -> None:
    for monitor in monitors:
        if process.time in monitor.schedule:
            monitor.sample_once(process)


class _Clock:
    """Seconds since the beginning, since the last start, and since the first call was over."""

    def __init__(self) -> None:
        self._began = self._start = time.monotonic()
        self._compiled: tuple[int, float] | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def start(self) -> None:
        self._start = time.monotonic()

    def lap(self) -> float:
        return time.monotonic() - self._start

    def first_call_ends(self, at: int) -> None:
        self._compiled = self._compiled or (at, time.monotonic())

    def speed(self, start: int, end: int) -> float:
        first, since = self._compiled or (start, self._began)
        if end <= first:
            first, since = start, self._began
        return (end - first) / max(time.monotonic() - since, 1e-9)
