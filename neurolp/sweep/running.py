"""The driver of a sweep: submits jobs to Dask workers until each is done or has failed.

The workers write all states to disk (:mod:`.state`). The driver may be killed at any moment: run
again, it reads the states and continues with the jobs that are neither done nor failed.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurolp.errors import OutputError
from neurolp.progress import Observer, RunProgress, format_duration
from neurolp.simulation.signals import SignalStop
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

if TYPE_CHECKING:
    from neurolp.sweep.workers import DaskWorkers

TRIES = 3  # of a job in one go, where what stopped it may pass
_LOOK_EVERY = 0.1  # seconds between looks at Ctrl-C and the clock
_ASK_AGAIN = 1.0  # seconds until a job that another process holds is tried again
_SHORT = 2.0  # jobs that take fewer seconds wait at their worker, so that it is never idle


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended: the state of every job in the order of the design.

    ``stopped_by`` is the signal that stopped it, or None; ``best`` what a search found;
    ``without_effect`` the varied keys that changed no result, see :mod:`.effects`.
    """

    path: Path
    states: dict[str, JobState]
    stopped_by: int | None
    elapsed: float
    best: str = ""
    without_effect: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in which state."""
        return dict(Counter(state.state for state in self.states.values()))

    @property
    def failed(self) -> dict[str, JobState]:
        """The jobs that failed or diverged."""
        return {k: s for k, s in self.states.items() if s.state in (FAILED, DIVERGED)}


Open = Callable[["queue.SimpleQueue[str]"], contextlib.AbstractContextManager["DaskWorkers"]]


def to_do(states: dict[str, JobState], retry_failed: bool) -> list[str]:
    """The jobs to run: not those that failed by their configuration or data, unless asked for."""

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
    observe: Observer = lambda progress: None,
) -> SweepOutcome:
    """Run all jobs of ``design`` that are not done, and return how they ended.

    Ctrl-C and SIGTERM stop within two seconds; what was running is run again the next time.

    Raises
    ------
    OutputError
        If ``path`` cannot be written, another driver runs it, or the scheduler is gone.
    """
    began = time.monotonic()
    with _driving(path), SignalStop() as stop:
        stop.defer()
        folder = SweepFolder(
            path, design.title, design.how, [job.described() for job in design.jobs]
        )
        write_folder(folder)
        drive = _Drive(design, folder, retry_failed, began)
        observe(drive.progress())
        if drive.waiting and not stop():
            done: queue.SimpleQueue[str] = queue.SimpleQueue()
            with open_workers(done) as workers:
                while drive.unfinished and not stop():
                    drive.start(workers)
                    with contextlib.suppress(queue.Empty):
                        drive.ended(workers, done.get(timeout=_LOOK_EVERY))
                    workers.check()
                    observe(drive.progress())
        return SweepOutcome(path, drive.states, stop.signal, time.monotonic() - began)


class _Drive:
    """The queue of a sweep: jobs that wait, run or have ended, and which are tried again."""

    def __init__(
        self, design: Design, folder: SweepFolder, retry_failed: bool, began: float
    ) -> None:
        self.folder, self.began = folder, began
        self.states = folder.states()
        self._jobs: dict[str, Job] = {job.identity: job for job in design.jobs}
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

    def start(self, workers: DaskWorkers) -> None:
        """Submit as many jobs as there are slots, and no more: a lost worker loses few jobs."""
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

    def ended(self, workers: DaskWorkers, key: str) -> None:
        """Handle the end of a job, whatever it was."""
        identity = self._flying.pop(key)
        state = workers.result(key) or self._lost(identity)
        if state.state == HELD:
            self._later.append((time.monotonic() + _ASK_AGAIN, identity))
        elif state.state == PENDING:  # its worker was lost before it began
            self.waiting.append(identity)
        elif state.reason in PASSING and self._tries[identity] < TRIES - 1:
            self._tries[identity] += 1
            delay = 0.2 * 4 ** self._tries[identity] if state.reason == INPUT_OUTPUT else 0
            self._later.append((time.monotonic() + delay, identity))
        else:
            if state.reason == WORKER_LOST:
                folder = self.folder.job(identity)
                # If this cannot be written, it counts as running, and is run again the next time.
                with contextlib.suppress(OSError, HeldError), Lock(folder / LOCK_FILE):
                    write_state(folder, state)
            self._counts.subtract([self.states[identity].state])
            self._counts.update([state.state])
            self.states[identity] = state
            self._through += 1
            self._seconds += state.seconds

    def _lost(self, identity: str) -> JobState:
        """The state of a job whose worker was lost: the one on disk, or a failure."""
        state = read_state(self.folder.job(identity))
        if state.state != RUNNING:
            return state
        message = f"its worker died {TRIES} times while it ran it"
        return JobState(FAILED, state.attempts, WORKER_LOST, message, host=state.host)

    def progress(self) -> RunProgress:
        """How many jobs have ended and are in which state, and the time left."""
        now, total = time.monotonic(), len(self.states)
        counts = {"done": self._counts["done"], "running": min(len(self._flying), self._slots)}
        counts |= {state: n for state in (FAILED, DIVERGED) if (n := self._counts[state])}
        message = ", ".join(f"{n} {state}" for state, n in counts.items())
        if self._first and self._through:
            rate = self._through / (now - self._first)
            left = len(self.waiting) + len(self._later) + len(self._flying)
            speed = f"{rate:.1f} a second" if rate > 1 else f"{60 * rate:.1f} a minute"
            message += f", {speed}, {format_duration(left / rate)} left"
        ended = total - self._counts[PENDING]
        return RunProgress(ended, total, "job", message, now - self.began)


@contextlib.contextmanager
def _driving(path: Path) -> Iterator[None]:
    """Hold the lock of the sweep in ``path``."""
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
