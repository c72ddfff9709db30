"""The driver of a sweep: jobs to Dask workers, until each is done or has failed for good.

All that must survive is on disk, written by the workers (:mod:`.state`). The driver may be killed
at any moment: run again, it reads the states and goes on with what is neither done nor failed.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from neurolp.errors import OutputError
from neurolp.storage.lock import HeldError, Lock
from neurolp.sweep.design import Design, Job
from neurolp.sweep.job import HELD
from neurolp.sweep.state import (
    DIVERGED,
    DONE,
    FAILED,
    INPUT_OUTPUT,
    LOCK_FILE,
    PASSING,
    PENDING,
    RUNNING,
    WORKER_LOST,
    JobState,
    SweepFolder,
    read_state,
    write_folder,
    write_state,
)

TRIES = 3  # of a job in one go, where what stopped it may pass
_LOOK_EVERY = 0.1  # seconds between looks at Ctrl-C and the clock
_ASK_AGAIN = 1.0  # seconds until a job that another process holds is tried again
_SHORT = 2.0  # jobs that take fewer seconds wait at their worker, so that it is never idle


@dataclass(frozen=True)
class SweepProgress:
    """What an observer is told: how many jobs are in each state, and how fast it goes."""

    total: int
    counts: dict[str, int]
    running: int
    elapsed: float
    rate: float  # jobs a second in this go; 0 as long as none is through
    left: float  # seconds; NaN as long as the rate is not known


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended: the state of every job in the order of the design.

    ``stopped_by`` is the signal that stopped it, or None; ``best`` what a search found.
    """

    path: Path
    states: dict[str, JobState]
    stopped_by: int | None
    elapsed: float
    best: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in which state."""
        return dict(Counter(state.state for state in self.states.values()))

    @property
    def failed(self) -> dict[str, JobState]:
        """The jobs that failed or diverged."""
        return {k: s for k, s in self.states.items() if s.state in (FAILED, DIVERGED)}


class Workers(Protocol):
    """Where jobs are run; see :mod:`.workers`."""

    def slots(self) -> int:
        """How many jobs can run at a time now."""

    def submit(self, key: str, folder: str, configuration: str) -> None:
        """Start a job; its end is told to the queue."""

    def result(self, key: str) -> dict[str, Any] | None:
        """What it returned; None if its worker was lost."""

    def check(self) -> None:
        """Raise :class:`OutputError` if there will be no more workers."""


Open = Callable[["queue.SimpleQueue[str]"], contextlib.AbstractContextManager[Workers]]


def to_do(states: dict[str, JobState], retry_failed: bool) -> list[str]:
    """The jobs that a sweep still has to run: those that failed for good only when asked to."""

    def wanted(state: JobState) -> bool:
        if state.state in (PENDING, RUNNING):
            return True
        return state.state != DONE and (retry_failed or state.reason in PASSING)

    return [identity for identity, state in states.items() if wanted(state)]


def run_design(
    design: Design,
    path: Path,
    open_workers: Open,
    *,
    retry_failed: bool = False,
    observe: Callable[[SweepProgress], None] = lambda progress: None,
) -> SweepOutcome:
    """Run all jobs of ``design`` that are not done, and return how they ended.

    Ctrl-C and SIGTERM stop within two seconds; what was running is run again the next time.

    Raises
    ------
    OutputError
        If ``path`` cannot be written, another driver is at it, or the scheduler is gone.
    """
    began = time.monotonic()
    with _driving(path), _signals() as stopped:
        folder = SweepFolder(path, design.title, design.how, [p.described() for p in design.jobs])
        write_folder(folder)
        drive = _Drive(design, folder, retry_failed, began)
        observe(drive.progress())
        if drive.waiting and not stopped:
            done: queue.SimpleQueue[str] = queue.SimpleQueue()
            with open_workers(done) as workers:
                while drive.unfinished and not stopped:
                    drive.start(workers)
                    with contextlib.suppress(queue.Empty):
                        drive.ended(workers, done.get(timeout=_LOOK_EVERY))
                    workers.check()
                    observe(drive.progress())
        return SweepOutcome(
            path, drive.states, stopped[0] if stopped else None, time.monotonic() - began
        )


class _Drive:
    """Which jobs wait, run, or are through; what becomes of one that ended."""

    def __init__(
        self, design: Design, folder: SweepFolder, retry_failed: bool, began: float
    ) -> None:
        self.folder, self.began = folder, began
        self.states = folder.states()
        self._jobs: dict[str, Job] = {p.identity: p for p in design.jobs}
        self.waiting = deque(to_do(self.states, retry_failed))
        for identity in self.waiting:
            self.states[identity] = JobState(PENDING, self.states[identity].attempts)
        self._counts = Counter(state.state for state in self.states.values())
        self._later: list[tuple[float, str]] = []  # when, which
        self._flying: dict[str, str] = {}  # key -> identity
        self._tries: Counter[str] = Counter()
        self._submitted = 0
        self._through = 0
        self._slots = 0
        self._first: float | None = None
        self._seconds = 0.0  # of runs that ended

    @property
    def unfinished(self) -> bool:
        """Whether there is something to do or to wait for."""
        return bool(self.waiting or self._later or self._flying)

    def start(self, workers: Workers) -> None:
        """Give the workers what they can take, and not more: a lost one shall cost little."""
        now = time.monotonic()
        self.waiting.extend(identity for when, identity in self._later if when <= now)
        self._later = [(when, identity) for when, identity in self._later if when > now]
        self._slots = workers.slots()
        short = self._through > 0 and self._seconds / self._through < _SHORT
        while self.waiting and len(self._flying) < self._slots * (3 if short else 1):
            identity = self.waiting.popleft()
            self._submitted += 1
            key = f"job-{identity}-{self._submitted}"
            self._flying[key] = identity
            configuration = self._jobs[identity].configuration.model_dump(mode="json")
            workers.submit(key, str(self.folder.job(identity)), json.dumps(configuration))
            self._first = self._first or now

    def ended(self, workers: Workers, key: str) -> None:
        """A job ended, one way or another."""
        identity = self._flying.pop(key)
        returned = workers.result(key)
        state = JobState(**returned) if returned is not None else self._lost(identity)
        if state.state == HELD:
            self._later.append((time.monotonic() + _ASK_AGAIN, identity))
        elif state.state == PENDING:  # its worker was lost before it began
            self.waiting.append(identity)
        elif state.state == FAILED and state.reason in PASSING and self._again(identity):
            delay = 0.2 * 4 ** self._tries[identity] if state.reason == INPUT_OUTPUT else 0
            self._later.append((time.monotonic() + delay, identity))
        else:
            if state.reason == WORKER_LOST:
                self._write(identity, state)
            self._counts.subtract([self.states[identity].state])
            self._counts.update([state.state])
            self.states[identity] = state
            self._through += 1
            self._seconds += state.seconds

    def _again(self, identity: str) -> bool:
        self._tries[identity] += 1
        return self._tries[identity] < TRIES

    def _lost(self, identity: str) -> JobState:
        """The state of a job whose worker died: what it said last, or a failure."""
        state = read_state(self.folder.job(identity))
        if state.state != RUNNING:
            return state
        message = f"its worker died {TRIES} times while it ran it"
        return JobState(FAILED, state.attempts, WORKER_LOST, message, host=state.host)

    def _write(self, identity: str, state: JobState) -> None:
        folder = self.folder.job(identity)
        # If this cannot be written, it still counts as running, and is run again the next time.
        with contextlib.suppress(OSError, HeldError), Lock(folder / LOCK_FILE):
            write_state(folder, state)

    def progress(self) -> SweepProgress:
        """How it goes."""
        now = time.monotonic()
        left, total = len(self.waiting) + len(self._later) + len(self._flying), len(self.states)
        busy = now - self._first if self._first else 0.0
        rate = self._through / busy if busy else 0.0
        return SweepProgress(
            total,
            dict(self._counts),
            min(len(self._flying), self._slots),
            now - self.began,
            rate,
            left / rate if rate else float("nan"),
        )


@contextlib.contextmanager
def _driving(path: Path) -> Iterator[None]:
    """Be the only driver of the sweep in ``path``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with Lock(path / LOCK_FILE):
            yield
    except HeldError as error:
        raise OutputError(f"{path}: a sweep is running here already ({error})") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{path}: cannot write the sweep, it is no folder") from error
    except PermissionError as error:
        raise OutputError(f"{path}: cannot write the sweep, {error.strerror}") from error


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that Ctrl-C and SIGTERM append themselves to."""
    stopped: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    caught = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(which) for which in caught]
    try:
        for which in caught:
            signal.signal(which, lambda number, frame: stopped.append(number))
        yield stopped
    finally:
        for which, handler in zip(caught, before, strict=True):
            signal.signal(which, handler)
