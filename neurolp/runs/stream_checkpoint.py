"""When a simulation of a stream is saved, what that takes, and how it is taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable

from neurolp.arrays import NamedArrays
from neurolp.errors import DivergedError
from neurolp.estimators.stream import StreamBrain
from neurolp.simulation.stream import When
from neurolp.simulation.stream_recorder import StreamRecorder
from neurolp.storage.store import RunStore

_SECONDS = 30.0  # between checkpoints, unless one takes more than a 25th of that
_SHARE = 25
_MOST_WAITING = 2**24  # bytes of rows that wait in memory


class Checkpoints:
    """Saves a brain and its recorder: every ``seconds``, or when many rows wait to be written.

    ``seconds`` None is every half a minute, or less often where saving takes more than 4 % of the
    time. ``before`` are the seconds that the run took in other processes.
    """

    def __init__(
        self,
        store: RunStore,
        brain: StreamBrain,
        recorder: StreamRecorder,
        seconds: float | None,
        before: float = 0.0,
    ) -> None:
        self.brain, self.recorder = brain, recorder
        self._store, self._seconds = store, _SECONDS if seconds is None else seconds
        self._automatic = seconds is None
        self._began = self._last = time.monotonic()
        self._before = before

    @property
    def elapsed(self) -> float:
        """Seconds that the run took, in all processes."""
        return self._before + time.monotonic() - self._began

    def save(self, when: When) -> None:
        """Save if it is time to, or must be now; the brain is looked at in the end at the latest.

        A run that took less than a checkpoint's time is not saved in the end: that costs more than
        it could lose.

        Raises
        ------
        DivergedError
            If the state contains NaN or infinity; nothing is saved then.
        RecordingError
            If the disk is full or fails.
        """
        began = time.monotonic()
        due = began - self._last >= self._seconds or self._store.waiting_bytes >= _MOST_WAITING
        if not (due or when in ("now", "end")):
            return
        fault = self.brain.fault()
        if fault is not None:
            raise DivergedError(fault)
        if not (due or when == "now"):
            return
        out = NamedArrays()
        out.update(self.brain.to_arrays())
        self.recorder.pack(out)
        out.attributes["experiment"] = {"seconds": self.elapsed}
        out.attributes["result"] = {"n_steps": self.recorder.n_steps}
        self._store.commit(out)
        self._last = time.monotonic()
        if self._automatic:
            self._seconds = max(_SECONDS, _SHARE * (self._last - began))


def restored(
    store: RunStore, recorder: StreamRecorder, make_brain: Callable[[], StreamBrain]
) -> tuple[StreamBrain, float]:
    """The brain, and the recorder, as they were last saved; seconds the run had taken by then.

    Before anything was saved it is the one that ``make_brain`` draws.
    """
    saved = store.checkpoint()
    if saved is None:
        return make_brain(), 0.0
    with saved:
        recorder.unpack(saved)
        return StreamBrain.from_arrays(saved), float(saved.experiment["seconds"])
