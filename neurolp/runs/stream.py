"""A brain that learns from a stream: from its configuration to its file and summary."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from neurolp.arrays import Array, NamedArrays
from neurolp.config.sections import FullSection
from neurolp.config.stream_sections import (
    FileStreamSection,
    NoConnectivitySection,
    StreamConfiguration,
    StreamRecordSection,
    spread,
)
from neurolp.data.streams import Stream
from neurolp.errors import ConfigurationError, DataError, DivergedError, NeurolpError
from neurolp.estimators.stream import StreamBrain
from neurolp.evaluation.stream_scores import scores
from neurolp.progress import Observer, RunProgress
from neurolp.runs.computation import SavedRun
from neurolp.runs.connectivity import build_connectivity
from neurolp.runs.description import about_stream, stream_progress
from neurolp.runs.kinds import RunKind, RunResult, SummaryTable, called_later
from neurolp.runs.stream_memory import (
    check_brain,
    check_recording,
    check_source,
    memory,
    open_section,
)
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.divergence import find_divergence
from neurolp.simulation.loop import Outcome, Pace, simulate
from neurolp.simulation.monitors import Monitor
from neurolp.simulation.stream import StreamProcess, StreamProgress
from neurolp.simulation.stream_contents import begun_to_arrays, closing, unfinished
from neurolp.simulation.stream_monitors import (
    Activity,
    LastRowsMonitor,
    Predictions,
    StepMonitor,
    Weights,
    WindowMonitor,
)
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore
from neurolp.stream.network import network_size
from neurolp.stream.nodes import HiddenNodes
from neurolp.stream.sensors import places

_ROWS = 1024  # that are read at once


class _Simulation(SavedRun):
    """A run, from its first step or from where it was saved."""

    unit = "step"
    limits = partial(threadpool_limits, 1)  # results must not depend on how many there are

    def __init__(
        self,
        store: RunStore,
        configuration: StreamConfiguration,
        observe: Observer,
        begun: Trajectory | None,
    ) -> None:
        super().__init__(store, configuration, observe, begun)
        self.record = configuration.record
        self.stream, self.digest = _open_source(configuration)
        if begun is not None and self.digest != begun.provenance.get("data_sha256"):
            raise DataError(f"{self.stream.name}: has changed since the run of {store.path} began")
        self.n_steps = _n_steps_of(self.stream, self.record)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.brain = build_brain(self.configuration, self.stream, self.seed)
        self.process = StreamProcess(
            self.brain, self.stream, train_steps=self.configuration.train_steps
        )
        self.monitors = _monitors_of(self.record, self.n_steps)
        self.last_rows = LastRowsMonitor(self.record.dream)
        seconds = self.record.checkpoint_seconds
        self.checkpointer = Checkpointer(self.store, self._unfinished, seconds)

    def declare(self) -> None:
        """Let monitors declare what they record."""
        for monitor in self.monitors:
            monitor.begin(self.process, self.store)

    def describe(self, header: NamedArrays) -> None:
        """Add what is known of the stream and the brain."""
        stream = self.stream
        check_recording(self.configuration, stream, self.store.path.absolute().parent)
        header.attributes[""]["title"] = self.configuration.title or stream.description
        if self.digest is not None:
            header.attributes["provenance"]["data_sha256"] = self.digest
        begun_to_arrays(header, stream, self.brain)

    def go_on(self) -> RunResult:
        """Simulate to the end, and write the file."""
        with self.stop:  # a second signal must not break the end off
            try:
                outcome = self._simulate()
            except DivergedError as error:
                return self._diverged(error)
            if outcome.interrupted:
                return self.interrupted()
            out = self._closing(outcome, "complete")
            if self.record.brain:
                out.update(self.brain.to_arrays())
            dream = _dream(self.brain, self.record.dream, self.seed)
            self.last_rows.to_arrays(out, outcome.time, dream)
            self.store.finish(out)
        return RunResult(self.store.path)

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
        self.observe(RunProgress(at.time, self.n_steps, self.unit, message, at.elapsed))

    def _diverged(self, error: DivergedError) -> RunResult:
        """Go back to what was saved, find the step, and write what happened before it."""
        self.store.forget()
        self._begin_anew()
        self.checkpointer.restore(self.process, ())
        found = find_divergence(self.process, self.stop)
        if found is None:
            if self.stop():
                return self.interrupted()
            raise NeurolpError(f"{error}, which did not happen a second time")
        self._begin_anew()
        outcome = self._simulate(found.step)
        if outcome.interrupted:
            return self.interrupted()
        out = self._closing(outcome, "diverged")
        out.attributes["result"]["message"] = found.message
        out.attributes |= self.brain.to_arrays().attributes
        for group, state in (("state", found.before), ("state_diverged", found.after)):
            out.add_group(group, state, "state of the process, see neurolp.simulation.stream")
        out.add("diverged_row", ("column",), found.row, "data", "the row of the step that diverged")
        self.last_rows.to_arrays(out, outcome.time, self.last_rows.rows[:0])
        self.store.finish(out)
        raise DivergedError(
            f"{found.message}; what happened before, and the brain before and after, "
            f"are in {self.store.path}"
        )

    def _unfinished(self, process: StreamProcess) -> NamedArrays:
        """What readers find in an unfinished run, beside the state of the process."""
        return unfinished(self.brain, process)

    def _closing(self, outcome: Outcome, status: str) -> NamedArrays:
        """What is known at the end."""
        return closing(status, outcome.time, outcome.speed, self.checkpointer.elapsed)


# --- what the configuration describes -------------------------------------------------------------


def _open_source(configuration: StreamConfiguration) -> tuple[Stream, str | None]:
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
    for rows in stream.blocks(_ROWS):
        digest.update(np.ascontiguousarray(rows).data)
    return stream, digest.hexdigest()


def build_brain(configuration: StreamConfiguration, stream: Stream, seed: int) -> StreamBrain:
    """The brain that a configuration asks for."""
    check_brain(configuration)
    settings = configuration.brain.model_dump()
    section = configuration.connectivity
    connectivity: Any = None
    given = section is not None or configuration.nodes.input is not None
    n, settings["n_lags"] = network_size(
        settings["n_hidden"], settings["n_lags"], stream.sensors, given
    )
    settings["n_hidden"] = n
    if isinstance(section, NoConnectivitySection | FullSection):
        connectivity = section.kind
    elif section is not None:
        connectivity = build_connectivity(section, n, "brain.n_hidden")
    nodes, weights = configuration.nodes, None
    known = HiddenNodes(n, getattr(connectivity, "names", None))
    if nodes.input is not None:
        weights = np.zeros((n, places(stream.sensors)[-1].outputs.stop))
        weights[known.numbers(nodes.input, "key 'nodes.input'")] = settings["strength"]
    lesion = known.numbers(nodes.lesion, "key 'nodes.lesion'")
    brain = StreamBrain(
        stream.sensors,
        **settings,
        connectivity=connectivity,
        input_weights=weights,
        random_state=seed % 2**32,
    )
    return brain.lesion(nodes=lesion) if len(lesion) else brain


def _n_steps_of(stream: Stream, record: StreamRecordSection) -> int:
    """Steps of the stream, within which all chosen times must be."""
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
    return n


def _monitors_of(record: StreamRecordSection, n: int) -> list[Monitor]:
    """What a configuration records of ``n`` steps: the last in detail, the rest as it says."""
    last = min(record.last, n)
    monitors: list[Monitor] = [StepMonitor()] if record.per_step else []
    monitors.append(WindowMonitor(record.every or spread(n)))
    predictions = Predictions(
        record.predictions_every, at=record.predictions_at, interval=(n - last, n)
    )
    if predictions.schedule:
        monitors.append(predictions)
    shown = (n - last + 1, n + 1)
    activity = Activity(
        record.activity_every or spread(n),
        at=record.activity_at,
        interval=shown,
        nodes=record.activity_nodes,
    )
    weights = Weights(every=record.weights_every, at=record.weights_at)
    return [*monitors, activity, weights]


def _dream(brain: StreamBrain, n_steps: int, seed: int) -> Array:
    """What the brain dreams; nothing, while it has not seen enough to know the units of values."""
    try:
        return np.asarray(brain.dream(n_steps, random_state=seed % 2**32))
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


run, resume, check = _Simulation.run, _Simulation.resume, _Simulation.check

KIND = RunKind(
    name="stream",
    configuration=StreamConfiguration,
    run=run,
    resume=resume,
    summary=summary,
    draw=called_later("neurolp.plotting.stream:draw"),
    about=about_stream,
    progress=stream_progress,
    numbers=numbers,
    memory=memory,
    check=check,
)
