"""Checkpoints of a simulation: when they are committed, what is in them, how they are restored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, final

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.errors import DivergedError
from neurolp.storage.store import RunStore

Arrays = dict[str, npt.NDArray[Any]]

_SECONDS = 30.0  # between checkpoints, by default
_SHARE = 25  # a checkpoint takes at most a 25th of the time between two, by default
_MOST_WAITING = 2**24  # bytes of rows that wait in memory
_STATE, _DIVERGED = "state", "state_diverged"  # groups
_MONITOR, _SAMPLED = "monitor_", "monitors_sampled"
_WHAT = "state of the simulation, see neurolp.simulation.checkpoint"


class Stateful(Protocol):
    """What can be continued: a monitor, a process."""

    def state(self) -> Arrays:
        """Everything that is remembered, by name."""

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""


class Sampling(Stateful, Protocol):
    """A monitor."""

    last: int  # time of its last sample


class Timed(Stateful, Protocol):
    """A process."""

    @property
    def time(self) -> int:
        """Units of time completed."""


class Checkpointing(Protocol):
    """What the main loop asks of a checkpointer."""

    def restore(self, process: Timed, monitors: Sequence[Sampling]) -> bool:
        """Put both back to where they were committed last; false to begin at the beginning."""

    def due(self, *, now: bool = False) -> bool:
        """Whether it is time to commit, or must be ``now`` and something is kept at all."""

    def commit(self, process: Timed, monitors: Sequence[Sampling]) -> None:
        """Keep what is needed to continue from here."""

    def ended(self, process: Timed, monitors: Sequence[Sampling]) -> None:
        """Be told that the process is complete: what follows can be done again."""


@final
class NullCheckpointer:
    """Keeps nothing."""

    def restore(self, process: Timed, monitors: Sequence[Sampling]) -> bool:
        """Begin at the beginning."""
        return False

    def due(self, *, now: bool = False) -> bool:
        """Never."""
        return False

    def commit(self, process: Timed, monitors: Sequence[Sampling]) -> None:
        """Do nothing."""

    def ended(self, process: Timed, monitors: Sequence[Sampling]) -> None:
        """Do nothing."""


@final
class Checkpointer:
    """Commits checkpoints to a :class:`RunStore`, together with the rows that were appended to it.

    A checkpoint holds what ``describe(process)`` returns, so that the unfinished run can be read
    like a file, and in the group ``state`` the state of the process and of the monitors, as far as
    it is not among that already.

    Parameters
    ----------
    store : RunStore
        The run.
    describe : callable
        Contents of a file that would be written of the process now.
    seconds : float, optional
        Between checkpoints. None is 30, or more where a checkpoint takes more than 4 % of the time.
    """

    def __init__(
        self, store: RunStore, describe: Callable[[Any], NamedArrays], seconds: float | None = None
    ) -> None:
        self._store, self._describe = store, describe
        self._pause = _SECONDS if seconds is None else seconds
        self._automatic = seconds is None
        self._began = self._last = time.monotonic()
        self._before = 0.0
        self._simulated: tuple[Timed, Sequence[Sampling]] | None = None
        self._complete = False
        self.time: int | None = None  # of the last checkpoint

    @property
    def elapsed(self) -> float:
        """Seconds that the run has taken, in all processes of the operating system."""
        return self._before + time.monotonic() - self._began

    def restore(self, process: Timed, monitors: Sequence[Sampling]) -> bool:
        """Continue from the last checkpoint, if there is one."""
        self._simulated = process, monitors
        saved = self._store.checkpoint()
        if saved is None:
            return False
        with saved:
            self._before = float(saved.attributes("checkpoint")["seconds"])
            names = saved.attributes("checkpoint")["shared"].split()
            arrays = saved.read_group(_STATE) | {name: saved.read(name) for name in names}
        process.restore({k: v for k, v in arrays.items() if not k.startswith(_MONITOR)})
        for k, monitor in enumerate(monitors):
            prefix = f"{_MONITOR}{k}_"
            monitor.restore(without_prefix(prefix, arrays))
            monitor.last = int(arrays[_SAMPLED][k])
        self.time = process.time
        return True

    def due(self, *, now: bool = False) -> bool:
        """Whether ``seconds`` have passed, or many rows wait in memory."""
        waited = time.monotonic() - self._last
        return now or waited >= self._pause or self._store.waiting_bytes >= _MOST_WAITING

    def commit(self, process: Timed, monitors: Sequence[Sampling]) -> None:
        """Commit the rows and the state; nothing where that was done at this time already.

        Raises
        ------
        RecordingError
            If the disk is full or fails.
        """
        if process.time == self.time:
            return
        began = time.monotonic()
        out = self._describe(process)
        state = process.state() | {_SAMPLED: np.array([m.last for m in monitors], dtype=np.int64)}
        for k, monitor in enumerate(monitors):
            state |= with_prefix(f"{_MONITOR}{k}_", monitor.state())
        shared = [name for name in state if name in out.variables]
        out.add_group(_STATE, {k: v for k, v in state.items() if k not in shared}, _WHAT)
        out.attributes["checkpoint"] = {"seconds": self.elapsed, "shared": " ".join(shared)}
        self._store.commit(out)
        self.time, self._last = process.time, time.monotonic()
        if self._automatic:
            self._pause = max(_SECONDS, _SHARE * (self._last - began))

    def ended(self, process: Timed, monitors: Sequence[Sampling]) -> None:
        """Commit if it is due: a short run costs more to keep than it could lose."""
        self._complete = True
        if self.due():
            self.commit(process, monitors)

    def flush(self) -> None:
        """Commit the end of a process that is complete, when what follows it was interrupted.

        Of another nothing is added: its monitors have written their last rows, as if it had ended.
        """
        if self._simulated is not None and self._complete:
            self.commit(*self._simulated)

    def finish_diverged(self, error: DivergedError) -> bool:
        """Finish the file with the last good state and the one with a number that is not finite.

        False, and nothing is done, where there is no state yet.
        """
        if self._simulated is None:
            return False
        process, _ = self._simulated
        out = self._describe(process)
        state = {k: v for k, v in process.state().items() if k not in out.variables}
        out.add_group(_STATE, state, _WHAT)
        out.add_group(_DIVERGED, error.state, _WHAT)
        out.attributes[""] = {"status": "diverged"}
        out.attributes.setdefault("result", {})["message"] = str(error)
        self._store.finish(out)
        return True


def first_fault(arrays: Arrays) -> str:
    """Where the first number is that is not finite: ``"node 3, weights: nan"``; "" if all are.

    The first dimension of each array counts nodes.
    """
    for name, values in arrays.items():
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            return f"node {bad[0][0]}, {name}: {values[tuple(bad[0])]}"
    return ""


def with_prefix(prefix: str, arrays: Arrays) -> Arrays:
    """The same arrays under longer names."""
    return {f"{prefix}{name}": values for name, values in arrays.items()}


def without_prefix(prefix: str, arrays: Arrays) -> Arrays:
    """Those arrays that have the prefix, under shorter names."""
    n = len(prefix)
    return {name[n:]: values for name, values in arrays.items() if name.startswith(prefix)}
