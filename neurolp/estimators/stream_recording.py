"""Rows presented in the main loop, with monitors that record to memory or to a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from neurolp.arrays import Array, NamedArrays
from neurolp.data.streams.source import Chunk, Stream
from neurolp.errors import ConfigurationError, DivergedError
from neurolp.estimators.files import header
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.loop import Pace, simulate
from neurolp.simulation.memory_store import MemoryStore
from neurolp.simulation.monitors import Monitor
from neurolp.simulation.signals import SignalStop
from neurolp.simulation.stream import Run, StreamModel, StreamProcess
from neurolp.simulation.stream_contents import (
    Nameable,
    Storable,
    begun_to_arrays,
    closing,
    unfinished,
)
from neurolp.simulation.stream_monitors import StepMonitor, WindowMonitor
from neurolp.simulation.stream_network import InjectionMonitor, settings_of
from neurolp.storage.reader import open_trajectory
from neurolp.storage.store import RunStore

Present = Callable[[Array, bool, int], Run]
Output = str | os.PathLike[str] | None

_N_WINDOWS = 200  # of the means
_ASKED = ("schedule", "begin", "sample_once", "observe", "finish", "state", "restore")


class Brain(StreamModel, Nameable, Storable, Protocol):
    """What is asked of a brain."""

    sensors: Any
    seed_: int

    def get_params(self) -> dict[str, Any]:
        """Arguments of the constructor, by name."""


class FileRecord(Mapping[str, Array]):
    """What a file holds, by the name of a variable or a dimension; read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_trajectory(path) as file:
            self._names = tuple(name for name in file.all_names() if "/" not in name)

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        with open_trajectory(self.path) as file:
            return file.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{self.path}: {', '.join(self._names)}>"


def recorded(
    brain: Brain,
    rows: Array,
    present: Present,
    *,
    learn: bool,
    monitors: Sequence[Monitor],
    output: Output,
    overwrite: bool,
    injection: tuple[Array, Array],
) -> Mapping[str, Array]:
    """Present rows in the main loop, and return what the monitors have recorded.

    With ``output`` that is a file, to which rows are written as they come, with the surprise of
    every step, means over windows, the currents (n, k) of ``injection`` into nodes (k,), and the
    brain with its parameters. After Ctrl-C the unfinished run is there.

    Raises
    ------
    ConfigurationError
        If monitors are none, or two record the same.
    OutputError, RecordingError
        If the file cannot be written.
    DivergedError
        If a number is no longer finite; a file has then the status "diverged".
    KeyboardInterrupt
        After Ctrl-C.
    """

    def chunks(start: int) -> Iterator[Chunk]:
        yield rows[start:], None

    if isinstance(monitors, str) or not isinstance(monitors, Iterable):
        raise ConfigurationError(
            f"argument `monitors` must be a list of monitors, but is {monitors!r:.60}"
        )
    if not isinstance(output, str | os.PathLike | None):
        raise ConfigurationError(f"argument `output` must be a path, but is {output!r:.60}")
    monitors = list(monitors)
    about = "rows given to StreamBrain.run"
    stream = Stream("rows", brain.sensors, chunks, len(rows), description=about)
    process = StreamProcess(brain, stream, train_steps=None if learn else 0, present=present)
    if output is None:
        _check(monitors, process)
        store = MemoryStore()
        if simulate(process, monitors=monitors, store=store, pace=Pace()).interrupted:
            raise KeyboardInterrupt
        return store
    everything: list[Monitor] = [StepMonitor(), WindowMonitor(max(1, len(rows) // _N_WINDOWS))]
    if len(injection[0]):
        everything.append(InjectionMonitor(*injection))
    everything += monitors
    _check(everything, process)
    return FileRecord(_to_file(brain, process, everything, output, overwrite))


def _to_file(
    brain: Brain,
    process: StreamProcess,
    monitors: Sequence[Monitor],
    output: str | os.PathLike[str],
    overwrite: bool,
) -> Path:
    with contextlib.closing(RunStore.claim(output, overwrite=overwrite)) as store:
        settings = {"brain": settings_of(brain.get_params())}
        known = header(brain.seed_, process.stream.description, settings)
        for monitor in monitors:
            monitor.begin(process, store)
        begun_to_arrays(known, process.stream, brain)
        store.begin(known)
        checkpointer, stop = Checkpointer(store, lambda now: unfinished(brain, now)), SignalStop()
        try:
            with stop:  # a second signal must not break the end off
                outcome = simulate(
                    process,
                    monitors=monitors,
                    store=store,
                    checkpointer=checkpointer,
                    stop=stop,
                    pace=Pace(),
                )
                if outcome.interrupted:
                    raise KeyboardInterrupt
                out = closing("complete", outcome.time, outcome.speed, checkpointer.elapsed)
                out.update(brain.to_arrays())
                return store.finish(out)
        except DivergedError as error:
            store.finish(_diverged(process, str(error), checkpointer.elapsed))
            raise DivergedError(f"{error}; what happened before is in {store.path}") from error
        except BaseException:
            if checkpointer.time is None and store.folder.exists():  # nothing was kept
                store.discard()
            raise


def _diverged(process: StreamProcess, message: str, seconds: float) -> NamedArrays:
    out = closing("diverged", process.time, 0.0, seconds)
    out.attributes["result"] = {"n_steps": process.time, "message": message}
    return out


def _check(monitors: Sequence[Monitor], process: StreamProcess) -> None:
    """Raise :class:`ConfigurationError` unless these are monitors that record different things."""
    recorded_by: dict[str, str] = {}
    for monitor in monitors:
        name = type(monitor).__name__
        if isinstance(monitor, type):
            raise ConfigurationError(
                "argument `monitors` must hold monitors, but holds the class "
                f"{monitor.__name__}: {monitor.__name__}(...) makes one"
            )
        if lacks := [asked for asked in _ASKED if not hasattr(monitor, asked)]:
            raise ConfigurationError(
                f"argument `monitors` must hold monitors, but {monitor!r:.60} has no `{lacks[0]}`"
            )
        declared = MemoryStore()
        monitor.begin(process, declared)
        for variable in declared.growing:
            if variable in recorded_by:
                raise ConfigurationError(
                    f"argument `monitors` must record each variable once, but both "
                    f"{recorded_by[variable]} and {name} record {variable!r}"
                )
            recorded_by[variable] = name
