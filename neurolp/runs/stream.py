"""A brain that learns from a stream: from its configuration to its file and closing table."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from neurolp.arrays import NamedArrays
from neurolp.config.sections import FullSection
from neurolp.config.stream_sections import (
    FileStreamSection,
    NoConnectivitySection,
    StreamConfiguration,
    StreamRecordSection,
)
from neurolp.data.streams import Stream
from neurolp.errors import ConfigurationError, DataError, DivergedError, NeurolpError
from neurolp.estimators.stream import StreamBrain
from neurolp.evaluation.stream_scores import scores
from neurolp.runs.connectivity import build_connectivity
from neurolp.runs.kinds import RunKind, RunProgress, SummaryTable, called_later
from neurolp.runs.stream_checkpoint import Checkpoints, restored
from neurolp.runs.stream_divergence import find_divergence
from neurolp.runs.stream_memory import (
    check_brain,
    check_recording,
    check_source,
    memory,
    open_section,
)
from neurolp.simulation.schedule import RecordPlan, Schedule
from neurolp.simulation.signals import SignalStop
from neurolp.simulation.stream import StreamOutcome, StreamProgress, simulate_stream
from neurolp.simulation.stream_contents import pack_names, pack_sensors
from neurolp.simulation.stream_recorder import StreamRecorder
from neurolp.storage.provenance import data_digests, provenance
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore

Array = npt.NDArray[Any]
Observer = Callable[[StreamProgress], None]

_LOOK_THROUGH = 1024  # rows at a time
_N_WINDOWS = 200  # of the means, where the configuration does not say how long they are


@dataclass(frozen=True)
class StreamResult:
    """What a run produced: the file that it is or is to become, and how it ended.

    After an interruption there is no file yet: :func:`resume` continues.
    """

    path: Path
    outcome: StreamOutcome

    @property
    def signal(self) -> int | None:
        """What interrupted it, if anything did."""
        return self.outcome.signal if self.outcome.status == "interrupted" else None

    @property
    def reached(self) -> str:
        """How far the run came."""
        return f"{self.outcome.n_steps} steps"


def run(
    configuration: StreamConfiguration,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    observe: Observer = lambda progress: None,
) -> StreamResult:
    """Let a brain learn from a stream and write what happened to ``output``.

    What happens is saved as it goes on. After Ctrl-C, SIGTERM, a full disk or the end of the
    process :func:`resume` continues, and the file is the same in the end.

    Raises
    ------
    DataError, ConfigurationError, OutputError
        One line each. Whether ``output`` can be written is asked before the work starts.
    RecordingError
        If the disk is full or fails meanwhile.
    DivergedError
        If a number is no longer finite; the file, with the status ``"diverged"``, holds what
        happened until then, and the brain before and after that step.
    KeyboardInterrupt
        If there was nothing to be saved yet; nothing is left then.
    """
    seed = secrets.randbits(32) if configuration.seed is None else configuration.seed
    resolved = configuration.model_copy(update={"seed": seed})
    store = RunStore.claim(output, overwrite=overwrite)
    try:
        with threadpool_limits(1):  # results must not depend on how many there are
            stream, digest = open_source(configuration)
            simulation = _Simulation(store, stream, resolved, observe)
            brain = simulation.draw()
            check_recording(resolved, stream, store.path.absolute().parent)
            store.begin(_header(stream, brain, resolved, seed, digest))
            try:
                return simulation.go_on(brain)
            except KeyboardInterrupt:
                if store.checkpoint() is None:
                    store.discard()
                raise
    finally:
        store.close()


def resume(
    path: str | os.PathLike[str], *, observe: Observer = lambda progress: None
) -> StreamResult:
    """Continue a run that was broken off from where it was last saved.

    Raises as :func:`run`, and

    Raises
    ------
    FormatError
        If there is no unfinished run, or it is damaged.
    DataError
        If the file with the data is no longer what it was.
    """
    store = RunStore.reopen(path)
    try:
        with store.header() as header:
            configuration = StreamConfiguration.model_validate(header.configuration)
            known = header.provenance.get("data_sha256")
        with threadpool_limits(1):
            stream, digest = open_source(configuration)
            if digest != known:
                raise DataError(f"{stream.name}: has changed since the run of {store.path} began")
            return _Simulation(store, stream, configuration, observe).go_on()
    finally:
        store.close()


class _Simulation:
    """A run, from its first step or from where it was saved."""

    def __init__(
        self, store: RunStore, stream: Stream, configuration: StreamConfiguration, observe: Observer
    ) -> None:
        self.store, self.stream, self.observe = store, stream, observe
        self.configuration, self.record = configuration, configuration.record
        self.recorder = self._new_recorder()

    def draw(self) -> StreamBrain:
        """A brain that has seen nothing."""
        return build_brain(self.configuration, self.stream, self.configuration.seed or 0)

    def go_on(self, brain: StreamBrain | None = None) -> StreamResult:
        """Simulate to the end, with ``brain`` or the one that was saved, and write the file."""
        before = 0.0
        if brain is None:
            brain, before = restored(self.store, self.recorder, self.draw)
        saved = self._checkpoints(brain, before)
        with SignalStop() as stop:  # pressed a second time, it must not break the end off
            outcome = self._simulate(saved, stop)
            stop.defer()
            if outcome.status == "diverged":
                return self._diverged(outcome, stop)
            if outcome.status == "complete":
                out = _closing(outcome, saved.elapsed)
                if self.record.brain:
                    out.update(brain.to_arrays())
                seed = self.configuration.seed or 0
                self.recorder.finish(brain, out, _dream(brain, self.record.dream, seed))
        return StreamResult(self.store.path, outcome)

    def _new_recorder(self) -> StreamRecorder:
        return StreamRecorder(self.store, self.stream, record_plan(self.record, self.stream))

    def _checkpoints(self, brain: StreamBrain, before: float) -> Checkpoints:
        seconds = self.record.checkpoint_seconds
        return Checkpoints(self.store, brain, self.recorder, seconds, before)

    def _simulate(
        self, saved: Checkpoints, stop: SignalStop, end: int | None = None
    ) -> StreamOutcome:
        return simulate_stream(
            saved.brain,
            self.stream,
            self.recorder,
            learn_until=self.configuration.train_steps,
            end=end,
            observe=self.observe,
            save=saved.save,
            stop=stop,
        )

    def _diverged(self, outcome: StreamOutcome, stop: SignalStop) -> StreamResult:
        """Go back to what was saved, find the step, and write what happened before it."""
        self.store.forget()
        self.recorder = self._new_recorder()
        brain, before = restored(self.store, self.recorder, self.draw)
        found = find_divergence(
            brain.copy(), self.stream, learn_until=self.configuration.train_steps, stopped=stop
        )
        if found is None:
            if not stop():
                raise NeurolpError(f"{outcome.message}, which did not happen a second time")
            left = replace(outcome, status="interrupted", n_steps=brain.n_steps_)
            return StreamResult(self.store.path, replace(left, signal=stop.signal))
        saved = self._checkpoints(brain, before)
        outcome = self._simulate(saved, stop, found.step)
        if outcome.status == "interrupted":
            return StreamResult(self.store.path, outcome)
        outcome = replace(outcome, status="diverged", message=found.message)
        out = _closing(outcome, saved.elapsed)
        out.update(found.good.to_arrays())
        out.update(NamedArrays(found.bad.to_arrays("state_diverged").variables))
        out.add("diverged_row", ("column",), found.row, "data", "the row of the step that diverged")
        self.recorder.finish(brain, out, np.empty((0, self.stream.n_columns)))
        raise DivergedError(
            f"{found.message}; what happened before, and the brain before and after, "
            f"are in {self.store.path}"
        )


def _dream(brain: StreamBrain, n_steps: int, seed: int) -> Array:
    """What the brain dreams; nothing, while it has not seen enough to know the units of values."""
    try:
        return brain.dream(n_steps, random_state=seed % 2**32)
    except DataError:
        return np.empty((0, brain.n_columns))


def summary(file: Trajectory) -> list[SummaryTable]:
    """Mean surprise in the last fifth, beside what is known of the source."""
    if not len(file["mean_surprise"]):
        return []  # of a run that has only begun
    rows = []
    for score in scores(file):
        rate = "" if score.rate is None else f"{score.rate:.4f}"
        excess = "" if score.excess is None else f"{score.excess.value:+.4f}"
        if score.excess is not None and not np.isnan(score.excess.error):
            excess += f" +- {score.excess.error:.4f}"
        rows.append((score.sensor, str(score.brain), str(score.baseline), rate, excess))
    columns = ("sensor", "brain", "i.i.d. baseline", "entropy rate", "excess NLL")
    shown = [k for k in range(len(columns)) if k < 3 or any(row[k] for row in rows)]
    title = "Mean surprise of the last fifth, nats a step (lower is better)"
    if "steps_per_second" in file.result:
        speed = file.result["steps_per_second"]
        title += f"; {file.result['n_steps']:,} steps, {speed:,.0f} a second"
    if "bound" in file.result:
        title += f"; the entropy rate is at least {file.result['bound']:.4f}"
    return [
        SummaryTable(
            title, tuple(columns[k] for k in shown), [tuple(row[k] for k in shown) for row in rows]
        )
    ]


def open_source(configuration: StreamConfiguration) -> tuple[Stream, str | None]:
    """The stream that a configuration asks for, and the SHA-256 of the rows of a file.

    Files are looked through to their end: a fault in the last row is found before the first is
    learned.
    """
    section = configuration.stream
    check_source(section)
    stream = open_section(section)
    if not isinstance(section, FileStreamSection):
        return stream, None
    if section.n_steps is not None:
        stream = stream.head(section.n_steps)
    digest = hashlib.sha256()
    for rows in stream.blocks(_LOOK_THROUGH):
        digest.update(np.ascontiguousarray(rows).data)
    return stream, digest.hexdigest()


def build_brain(configuration: StreamConfiguration, stream: Stream, seed: int) -> StreamBrain:
    """The brain that a configuration asks for."""
    check_brain(configuration)
    settings = configuration.brain.model_dump()
    section = configuration.connectivity
    connectivity: Any = None
    if isinstance(section, NoConnectivitySection | FullSection):
        connectivity = section.kind
    elif section is not None:
        connectivity = build_connectivity(section, configuration.brain.n_hidden)
    return StreamBrain(
        stream.sensors, **settings, connectivity=connectivity, random_state=seed % 2**32
    )


def record_plan(record: StreamRecordSection, stream: Stream) -> RecordPlan:
    """What to keep, and when: the last steps in detail, the rest as the configuration says."""
    n = stream.n_steps
    if n is None:  # no generator may be endless here, and files are looked through
        raise DataError(f"{stream.name}: has no end")
    for key in ("predictions_at", "activity_at", "weights_at"):
        beyond = [t for t in getattr(record, key) if t > n]
        if beyond:
            raise ConfigurationError(
                f"key 'record.{key}' must be at most {n}, the steps of the stream, "
                f"but contains {beyond[0]}"
            )
    last = min(record.last, n)

    def schedule(every: int | None, times: list[int], stretch: tuple[int, int]) -> Schedule:
        return Schedule(every, tuple(sorted(times)), stretch)

    return RecordPlan(
        every=record.every or max(1, n // _N_WINDOWS),
        per_step=record.per_step,
        last_rows=record.dream,
        predictions=schedule(record.predictions_every, record.predictions_at, (n - last, n)),
        activity=schedule(record.activity_every, record.activity_at, (n - last + 1, n + 1)),
        weights=schedule(record.weights_every, record.weights_at, (0, 0)),
    )


def _header(
    stream: Stream, brain: Any, configuration: StreamConfiguration, seed: int, digest: str | None
) -> NamedArrays:
    """What is known before the first step."""
    out = NamedArrays()
    out.attributes[""] = {"title": configuration.title or stream.description}
    plain = configuration.model_dump(mode="json")
    out.attributes["configuration"] = {"json": json.dumps(plain)}
    out.attributes["provenance"] = provenance(seed, data_digests(plain))
    if digest is not None:
        out.attributes["provenance"]["data_sha256"] = digest
    out.attributes["experiment"] = {"name": "stream"}
    known = {"rate": stream.rate, "bound": stream.bound, "frame_shape": stream.frame_shape}
    out.attributes["result"] = {"stream": stream.name, "n_steps": 0}
    out.attributes["result"] |= {key: value for key, value in known.items() if value is not None}
    pack_sensors(out, stream)
    pack_names(out, brain)
    return out


def _closing(outcome: StreamOutcome, seconds: float) -> NamedArrays:
    """What is known at the end."""
    out = NamedArrays()
    out.attributes[""] = {"status": outcome.status}
    out.attributes["experiment"] = {"seconds": seconds}
    out.attributes["result"] = {"n_steps": outcome.n_steps, "steps_per_second": outcome.speed}
    if outcome.message:
        out.attributes["result"]["message"] = outcome.message
    return out


# --- what the registry knows of this kind ---------------------------------------------------------


def _progress(configuration: StreamConfiguration, event: StreamProgress) -> RunProgress:
    rate = "" if event.rate is None else f", entropy rate {event.rate:.4f}"
    message = f"surprise {event.surprise:.4f} nats{rate}"
    return RunProgress(event.time, event.n_steps, "step", message, event.elapsed)


def numbers(file: Trajectory) -> dict[str, Any]:
    """Mean surprise of the last fifth (nats a step), and what it is to be compared with."""
    *sensors, total = scores(file)
    out: dict[str, Any] = {
        "surprise": total.brain.value,
        "surprise_error": total.brain.error,
        "iid_baseline": total.baseline.value,
    }
    if total.excess is not None:
        out |= {"excess_nll": total.excess.value}
    out |= {f"surprise[{score.sensor}]": score.brain.value for score in sensors}
    names = ("rate", "bound", "n_steps", "steps_per_second")
    return out | {name: file.result[name] for name in names if name in file.result}


KIND = RunKind(
    name="stream",
    configuration=StreamConfiguration,
    run=run,
    resume=resume,
    progress=_progress,
    summary=summary,
    draw=called_later("neurolp.plotting.stream:draw"),
    numbers=numbers,
    memory=memory,
)
