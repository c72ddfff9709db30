"""A brain that learns from a stream: from its configuration to its file and closing table."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.errors import ConfigurationError, DataError, NeurolpError
from neurolp.experiments.connectivity import build_connectivity
from neurolp.experiments.running import ClosingTable
from neurolp.experiments.sizes import check_recording, check_source
from neurolp.provenance import data_digests, provenance
from neurolp.schema import FullSection
from neurolp.simulation import stop_on_interrupt
from neurolp.stream_brain import StreamBrain
from neurolp.stream_contents import pack_names, pack_sensors
from neurolp.stream_recording import StreamRecorder
from neurolp.stream_schedule import RecordPlan, Schedule
from neurolp.stream_schema import (
    FileStreamSection,
    NoConnectivitySection,
    StreamConfiguration,
    StreamRecordSection,
)
from neurolp.stream_scores import scores
from neurolp.stream_simulation import StreamOutcome, StreamProgress, simulate_stream
from neurolp.streams import Stream, generator, open_stream
from neurolp.trajectory.format import Contents
from neurolp.trajectory.reader import Trajectory
from neurolp.trajectory.store import RunStore

Array = npt.NDArray[Any]

_LOOK_THROUGH = 1024  # rows at a time
_N_WINDOWS = 200  # of the means, where the configuration does not say how long they are


@dataclass(frozen=True)
class StreamResult:
    """What a run produced: the file, and how it ended."""

    path: Path
    outcome: StreamOutcome


def run(
    configuration: StreamConfiguration,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    observe: Callable[[StreamProgress], None] = lambda progress: None,
) -> StreamResult:
    """Let a brain learn from a stream and write what happened to ``output``.

    After Ctrl-C the file holds what happened until then, with the status ``"interrupted"``.

    Raises
    ------
    DataError, ConfigurationError, OutputError
        One line each. Whether ``output`` can be written is asked before the work starts.
    NeurolpError
        If the surprise is no longer a finite number; the file, with the status ``"diverged"``,
        holds what happened until then.
    """
    seed = secrets.randbits(32) if configuration.seed is None else configuration.seed
    resolved = configuration.model_copy(update={"seed": seed})
    digests = data_digests(resolved.model_dump(mode="json"))
    file = RunStore.claim(output, overwrite=overwrite)
    try:
        stream = open_source(configuration)
        brain = build_brain(configuration, stream, seed)
        plan = record_plan(configuration.record, stream)
        n_outputs = sum(sensor.n_outputs for sensor in stream.sensors)
        folder = file.path.absolute().parent
        n_steps = stream.n_steps or 0
        check_recording(configuration, n_steps, stream.n_columns, n_outputs, folder)
        recorder = StreamRecorder(file, stream, plan)
        file.begin(Contents())
        with stop_on_interrupt():  # pressed a second time, it must not break the end off
            outcome = simulate_stream(
                brain, stream, recorder, learn_until=configuration.learn_until, observe=observe
            )
            contents = _describe(stream, brain, resolved, seed, digests, outcome)
            if configuration.record.brain:
                brain.pack(contents)
            n_dreamt = _n_dreamt(configuration.record.dream, outcome)
            recorder.finish(brain, contents, _dream(brain, n_dreamt, seed))
    finally:
        file.close()
    if outcome.status == "diverged":
        raise NeurolpError(f"{outcome.message}; what happened before is in {file.path}")
    return StreamResult(file.path, outcome)


def _n_dreamt(asked: int, outcome: StreamOutcome) -> int:
    """Steps to be dreamt: none after a brain diverged, after Ctrl-C what takes about a second."""
    if outcome.status == "diverged":
        return 0
    return asked if outcome.status == "complete" else min(asked, int(outcome.speed / 4))


def _dream(brain: StreamBrain, n_steps: int, seed: int) -> Array:
    """What the brain dreams; nothing, while it has not seen enough to know the units of values."""
    try:
        return brain.dream(n_steps, random_state=seed % 2**32)
    except DataError:
        return np.empty((0, brain.n_columns))


def tables(file: Trajectory) -> list[ClosingTable]:
    """Mean surprise in the last fifth, beside what is known of the source."""
    rows = []
    for score in scores(file):
        rate = "" if score.rate is None else f"{score.rate:.4f}"
        excess = "" if score.excess is None else f"{score.excess.value:+.4f}"
        if score.excess is not None and not np.isnan(score.excess.error):
            excess += f" +- {score.excess.error:.4f}"
        rows.append((score.sensor, str(score.brain), str(score.independent), rate, excess))
    columns = ("sensor", "brain", "independent", "entropy rate", "above the truth")
    shown = [k for k in range(len(columns)) if k < 3 or any(row[k] for row in rows)]
    title = "Mean surprise of the last fifth, nats a step (lower is better)"
    if "bound" in file.result:
        title += f"; the entropy rate is at least {file.result['bound']:.4f}"
    return [
        ClosingTable(
            title, tuple(columns[k] for k in shown), [tuple(row[k] for k in shown) for row in rows]
        )
    ]


def open_source(configuration: StreamConfiguration) -> Stream:
    """The stream that a configuration asks for; files are looked through to their end.

    A fault in the last row is found before the first is learned.
    """
    section = configuration.stream
    check_source(section)
    settings = section.model_dump(exclude={"source", "file", "n_steps"})
    if not isinstance(section, FileStreamSection):
        return generator(section.source, section.n_steps, **settings)
    if settings["symbols"] is None:
        del settings["symbols"]
    stream = open_stream(section.file, **settings)
    if section.n_steps is not None:
        stream = stream.head(section.n_steps)
    for _ in stream.blocks(_LOOK_THROUGH):
        pass
    return stream


def build_brain(configuration: StreamConfiguration, stream: Stream, seed: int) -> StreamBrain:
    """The brain that a configuration asks for."""
    settings = configuration.brain.model_dump()
    section = configuration.connectivity
    connectivity: Any = None
    if isinstance(section, NoConnectivitySection | FullSection):
        connectivity = section.kind
    elif section is not None:
        connectivity = build_connectivity(section, configuration.brain.hidden)
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


def _describe(
    stream: Stream,
    brain: Any,
    configuration: StreamConfiguration,
    seed: int,
    digests: dict[str, str],
    outcome: StreamOutcome,
) -> Contents:
    """Everything in the file that does not grow with the stream, but the dream."""
    out = Contents()
    out.attributes[""] = {
        "title": configuration.title or stream.description,
        "status": outcome.status,
    }
    out.attributes["configuration"] = {"json": json.dumps(configuration.model_dump(mode="json"))}
    out.attributes["provenance"] = provenance(seed, digests)
    out.attributes["experiment"] = {"name": "stream", "seconds": outcome.elapsed}
    out.attributes["result"] = {
        "stream": stream.name,
        "n_steps": outcome.n_steps,
        "steps_per_second": outcome.speed,
    }
    known = {"rate": stream.rate, "bound": stream.bound, "frame_shape": stream.frame_shape}
    out.attributes["result"] |= {key: value for key, value in known.items() if value is not None}
    if outcome.message:
        out.attributes["result"]["message"] = outcome.message

    pack_sensors(out, stream)
    pack_names(out, brain)
    return out
