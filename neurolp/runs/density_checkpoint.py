"""Brain simulations that survive: checkpoints of all brains that learn from a table."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from neurolp.arrays import NamedArrays
from neurolp.errors import DivergedError
from neurolp.estimators import Brain
from neurolp.simulation.archive import brain as archive
from neurolp.simulation.checkpoint import Moment, State
from neurolp.storage.store import RunStore

_SECONDS = 30.0  # between checkpoints
_SHARE = 25  # a checkpoint is to take at most a 25th of the time between two
_STATE, _BAD = "state", "state_diverged"
_WHAT = "state of the simulation, see neurolp.simulation.checkpoint"


class BrainKeeper:
    """A :class:`neurolp.simulation.checkpoint.Keeper` that commits moments in a :class:`RunStore`.

    A checkpoint is what the file would hold if the run ended now, so that it can be read as such,
    and in the group ``state`` what the next slice, or epoch, depends on beside. ``seconds`` None
    is every half a minute, or less often where a checkpoint takes more than 4 % of the time.
    """

    keeps = True

    def __init__(
        self, store: RunStore, brain: Brain, columns: tuple[str, ...], seconds: float | None
    ) -> None:
        self._store, self._brain, self._columns = store, brain, columns
        self._seconds = _SECONDS if seconds is None else seconds
        self._pause = self._seconds
        self._automatic = seconds is None
        self._last = time.monotonic()
        self._end: Moment | None = None
        self.kept_time: int | None = None

    def restore(self) -> Moment | None:
        """The moment that was committed last."""
        saved = self._store.checkpoint()
        if saved is None:
            return None
        with saved:
            brain = archive.unpack_brain(saved)
            state = saved.read_group(_STATE)
            at = {name: int(state.pop(name)[0]) for name in ("time", "best_time")}
        self.kept_time = at["time"]
        return Moment(at["time"], at["best_time"], brain.network, state)

    def keep(self, moment: Callable[[], Moment], *, now: bool = False) -> None:
        """Commit this moment, if it is time to or must be ``now``."""
        began = time.monotonic()
        if not now and began - self._last < self._pause:
            return
        this = moment()
        if this.time == self.kept_time:
            return
        self._store.commit(self._contents(this))
        self.kept_time = this.time
        self._last = time.monotonic()
        if self._automatic:
            self._pause = max(self._seconds, _SHARE * (self._last - began))

    def ended(self, moment: Moment) -> None:
        """Remember this moment: if what follows is interrupted, :meth:`rescue` keeps it."""
        self._end = moment
        self.keep(lambda: moment)

    def rescue(self) -> None:
        """Keep the moment in which learning ended, if it did."""
        end = self._end
        if end is not None:
            self.keep(lambda: end, now=True)

    def diverged(self, error: DivergedError, good: Moment, bad: State) -> None:
        """Finish the file with the last good state and the bad one."""
        out = self._contents(good)
        out.add_group(_BAD, bad, _WHAT)
        out.attributes[""] = {"status": "diverged"}
        out.attributes["result"] = {"message": str(error)}
        self._store.finish(out)

    def _contents(self, moment: Moment) -> NamedArrays:
        out = NamedArrays()
        out.attributes["provenance"] = {"seed": self._brain.seed_}
        stored = self._brain.stored_as(moment.brain, moment.best_time, interrupted=True)
        archive.pack_brain(out, stored, self._columns, parameters=True)
        at = {"time": np.array([moment.time]), "best_time": np.array([moment.best_time])}
        out.add_group(_STATE, moment.state | at, _WHAT)
        return out
