"""What the configuration of a stream describes: its source, the brain, what is recorded when."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from neurolp.config.sections import FullSection
from neurolp.config.stream_sections import (
    FileStreamSection,
    NoConnectivitySection,
    StreamConfiguration,
    StreamRecordSection,
)
from neurolp.data.streams import Stream
from neurolp.errors import ConfigurationError, DataError
from neurolp.estimators.stream import StreamBrain
from neurolp.runs.connectivity import build_connectivity
from neurolp.runs.stream_memory import check_brain, check_source, open_section
from neurolp.simulation.monitors import Monitor
from neurolp.simulation.schedule import Schedule
from neurolp.simulation.stream_monitors import (
    ActivityMonitor,
    PredictionMonitor,
    StepMonitor,
    WeightMonitor,
    WindowMonitor,
)

_ROWS = 1024  # that are read at once
_N_WINDOWS = 200  # of the means, where the configuration does not say how long they are


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
    for rows in stream.blocks(_ROWS):
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


def n_steps_of(stream: Stream, record: StreamRecordSection) -> int:
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


def monitors_of(record: StreamRecordSection, n: int) -> list[Monitor]:
    """What a configuration records of ``n`` steps: the last in detail, the rest as it says."""
    last = min(record.last, n)
    monitors: list[Monitor] = [StepMonitor()] if record.per_step else []
    monitors.append(WindowMonitor(record.every or max(1, n // _N_WINDOWS)))
    predictions = Schedule(
        record.predictions_every, tuple(sorted(record.predictions_at)), (n - last, n)
    )
    if predictions:
        monitors.append(PredictionMonitor(predictions))
    activity = Schedule(
        record.activity_every, tuple(sorted(record.activity_at)), (n - last + 1, n + 1)
    )
    weights = Schedule(record.weights_every, tuple(sorted(record.weights_at)))
    return [*monitors, ActivityMonitor(activity), WeightMonitor(weights)]
