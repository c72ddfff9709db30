"""A brain that learns from a stream: from its configuration to its file and summary."""

from __future__ import annotations

import json
import math
import os
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from neurolp.arrays import NamedArrays
from neurolp.config.stream_sections import StreamConfiguration
from neurolp.data.streams import Stream
from neurolp.errors import DataError, DivergedError, NeurolpError
from neurolp.estimators.stream import StreamBrain
from neurolp.evaluation.stream_scores import scores
from neurolp.runs.kinds import Observer, RunKind, RunProgress, SummaryTable, called_later
from neurolp.runs.stream_memory import check_recording, memory
from neurolp.runs.stream_parts import build_brain, monitors_of, n_steps_of, open_source
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.divergence import find_divergence
from neurolp.simulation.loop import Outcome, Pace, simulate
from neurolp.simulation.signals import SignalStop
from neurolp.simulation.stream import StreamProcess, StreamProgress
from neurolp.simulation.stream_contents import names_to_arrays, sensors_to_arrays
from neurolp.simulation.stream_monitors import LastRowsMonitor
from neurolp.storage.provenance import data_digests, provenance
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StreamResult:
    """How a run ended: the file that it is or is to become, and the number of steps.

    After an interruption by ``signal`` there is no file yet: :func:`resume` continues.
    """

    path: Path
    n_steps: int
    signal: int | None = None

    @property
    def reached(self) -> str:
        """How far the run came."""
        return f"{self.n_steps} steps"


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
            brain = simulation.begin()
            check_recording(resolved, stream, store.path.absolute().parent)
            store.begin(_header(stream, brain, resolved, seed, digest))
            try:
                return simulation.go_on()
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
        self.n_steps = n_steps_of(stream, self.record)
        self.stop = SignalStop()
        self._begin_anew()

    def _begin_anew(self) -> None:
        seed = self.configuration.seed or 0
        self.brain = build_brain(self.configuration, self.stream, seed)
        self.process = StreamProcess(
            self.brain, self.stream, train_steps=self.configuration.train_steps
        )
        self.monitors = monitors_of(self.record, self.n_steps)
        self.last_rows = LastRowsMonitor(self.record.dream)
        seconds = self.record.checkpoint_seconds
        self.checkpointer = Checkpointer(self.store, self._describe, seconds)

    def begin(self) -> StreamBrain:
        """Declare what is recorded, so that the header has it; the brain that has seen nothing."""
        for monitor in self.monitors:
            monitor.begin(self.process, self.store)
        return self.brain

    def go_on(self) -> StreamResult:
        """Simulate to the end, and write the file.

        Raises
        ------
        KeyboardInterrupt
            If a signal came before anything was saved.
        """
        with self.stop:  # a second signal must not break the end off
            try:
                outcome = self._simulate()
            except DivergedError as error:
                return self._diverged(error)
            if outcome.interrupted:
                return self._interrupted()
            out = self._closing(outcome, "complete")
            if self.record.brain:
                out.update(self.brain.to_arrays())
            seed = self.configuration.seed or 0
            dream = _dream(self.brain, self.record.dream, seed)
            self.last_rows.to_arrays(out, outcome.time, dream)
            self.store.finish(out)
        return StreamResult(self.store.path, outcome.time)

    def _simulate(self, until: float = math.inf) -> Outcome:
        return simulate(
            self.process,
            until,
            monitors=(*self.monitors, self.last_rows),
            store=self.store,
            checkpointer=self.checkpointer,
            progress=self._report,
            stop=self.stop,
            pace=Pace(),
        )

    def _report(self, at: StreamProgress) -> None:
        rate = "" if at.rate is None else f", entropy rate {at.rate:.4f}"
        message = f"surprise {at.surprise:.4f} nats{rate}"
        self.observe(RunProgress(at.time, self.n_steps, "step", message, at.elapsed))

    def _interrupted(self) -> StreamResult:
        saved = self.checkpointer.time
        if saved is None:
            raise KeyboardInterrupt(self.stop.signal)
        return StreamResult(self.store.path, saved, self.stop.signal or signal.SIGINT)

    def _diverged(self, error: DivergedError) -> StreamResult:
        """Go back to what was saved, find the step, and write what happened before it."""
        self.store.forget()
        self._begin_anew()
        self.checkpointer.restore(self.process, ())
        found = find_divergence(self.process, self.stop)
        if found is None:
            if self.stop():
                return self._interrupted()
            raise NeurolpError(f"{error}, which did not happen a second time")
        self._begin_anew()
        outcome = self._simulate(found.step)
        if outcome.interrupted:
            return self._interrupted()
        out = self._closing(outcome, "diverged")
        out.attributes["result"]["message"] = found.message
        out.attributes["brain"] = self.brain.to_arrays().attributes["brain"]
        for group, state in (("state", found.before), ("state_diverged", found.after)):
            out.add_group(group, state, "state of the process, see neurolp.simulation.stream")
        out.add("diverged_row", ("column",), found.row, "data", "the row of the step that diverged")
        self.last_rows.to_arrays(out, outcome.time, self.last_rows.rows[:0])
        self.store.finish(out)
        raise DivergedError(
            f"{found.message}; what happened before, and the brain before and after, "
            f"are in {self.store.path}"
        )

    def _describe(self, process: StreamProcess) -> NamedArrays:
        """What readers find in an unfinished run, beside the state of the process."""
        return NamedArrays(
            attributes={
                "brain": self.brain.to_arrays().attributes["brain"],
                "result": {"n_steps": process.time},
            }
        )

    def _closing(self, outcome: Outcome, status: str) -> NamedArrays:
        """What is known at the end."""
        return NamedArrays(
            attributes={
                "": {"status": status},
                "experiment": {"seconds": self.checkpointer.elapsed},
                "result": {"n_steps": outcome.time, "steps_per_second": outcome.speed},
            }
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
    sensors_to_arrays(out, stream)
    names_to_arrays(out, brain)
    return out


# --- what the registry knows of this kind ---------------------------------------------------------


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
    summary=summary,
    draw=called_later("neurolp.plotting.stream:draw"),
    numbers=numbers,
    memory=memory,
)
