"""Memory and disk of a brain that learns from a stream."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from neurolp.config.stream_sections import AnySource, StreamConfiguration, StreamSection, spread
from neurolp.data.streams import Stream, generator, open_stream
from neurolp.errors import ConfigurationError, NeurolpError
from neurolp.runs.memory import NUMBER, PROCESS, Memory, check_memory, format_bytes
from neurolp.stream.contexts import n_bytes
from neurolp.stream.network import network_size
from neurolp.stream.sensors import Sensor, places

_SECTION: TypeAdapter[Any] = TypeAdapter(AnySource)

_NODE = 1000  # bytes of a hidden node and its inputs, while it is drawn
_SENSOR = 1000  # bytes of a sensor and its name
_COMPRESSED = 4  # times smaller is what numbers of a record may become in a file
_SMALL = 1e9  # bytes of a file that nobody would call absurd
_EXPERTS = 250_000  # bytes of the experts of a value
_IN_DEGREE = 100  # of sparse recurrent weights, at most


def memory(configuration: StreamConfiguration) -> Memory:
    """Memory of a run; the state of the brain counts twice, because it is copied at the end.

    That of a process alone if the source cannot be read.
    """
    brain, record = configuration.brain, configuration.record
    least = _NODE * float(brain.n_hidden or 0)
    try:
        sensors = _sensors(configuration.stream)
    except NeurolpError:  # the run itself will say what is wrong
        return Memory("key brain.n_hidden", least)
    n_hidden, n_lags = _network(configuration, sensors)
    n_outputs = places(sensors)[-1].outputs.stop
    sizes = [sensor.n_symbols for sensor in sensors if sensor.n_symbols]
    connectivity = configuration.connectivity
    degrees = {"none": 0, "full": n_hidden}
    degree = _IN_DEGREE if connectivity is None else degrees.get(connectivity.kind, _IN_DEGREE)
    features = 1 + n_lags * n_outputs + n_hidden + 16
    size = 8.0 * n_outputs * features + 8.0 * n_outputs**2 + 20.0 * n_hidden * degree
    size += 16.0 * features**2 if brain.rule == "rls" else 0
    size += n_bytes(sizes, brain.max_order, brain.n_contexts)
    size += _EXPERTS * (n_outputs - sum(sizes)) if brain.experts else 0
    rows = (record.dream + record.last + 3 * 4096) * (2 * n_outputs + n_hidden)
    return Memory("key brain.n_hidden", least, PROCESS + 2 * size + 8.0 * rows + 50e6)


def check_brain(configuration: StreamConfiguration) -> None:
    """Refuse hidden nodes that this machine cannot hold; errors as of :func:`check_memory`."""
    check_memory(Memory("key brain.n_hidden", _NODE * float(configuration.brain.n_hidden or 0)))


def check_source(section: StreamSection) -> None:
    """Refuse a stream whose source alone is too large; errors as of :func:`check_memory`."""
    size = _SOURCES.get(getattr(section, "source", ""))
    if size is not None:
        check_memory(size(section))


def _video(section: Any) -> Memory:
    pixels = float(math.prod(section.shape))
    return Memory("keys stream.shape and stream.hold", 2 * NUMBER * pixels * section.hold)


def _causality(section: Any) -> Memory:
    size = _SENSOR * float(section.n_distractors) + NUMBER * float(section.delay)
    return Memory("keys stream.n_distractors and stream.delay", size)


_SOURCES: dict[str, Callable[[Any], Memory]] = {
    "mackey_glass": lambda section: Memory("key stream.delay", NUMBER * float(section.delay)),
    "causality": _causality,
    "video": _video,
}


def check_recording(configuration: StreamConfiguration, stream: Stream, folder: Path) -> None:
    """Refuse a record for which the disk has no room, or a dream for which memory has none.

    What fills a disk that is merely small is saved until then, and can be resumed elsewhere.
    """
    record = configuration.record
    n_steps, n_outputs = stream.n_steps or 0, places(stream.sensors)[-1].outputs.stop
    dream = 2 * NUMBER * float(record.dream) * stream.n_columns
    check_memory(Memory("key record.dream", dream))

    def times(every: int | None, at: list[int], last: int = 0) -> float:
        return (n_steps // every if every else 0) + len(at) + min(last, n_steps)

    n_hidden, n_lags = _network(configuration, stream.sensors)
    features = 1.0 + n_lags * n_outputs + n_hidden
    predictions = times(record.predictions_every, record.predictions_at, record.last)
    activity = times(record.activity_every or spread(n_steps), record.activity_at, record.last)
    weights = times(record.weights_every, record.weights_at)
    numbers = 4.0 * predictions * n_outputs + activity * n_hidden
    numbers += weights * n_outputs * features
    size = NUMBER * numbers + (4.0 * n_steps if record.per_step else 0.0)
    free = float(shutil.disk_usage(folder).free)
    if size > _COMPRESSED * max(free, _SMALL):
        raise ConfigurationError(
            f"section record asks for about {format_bytes(size)}, "
            f"but {folder} has room for {format_bytes(free)}"
        )


def open_section(section: Any) -> Stream:
    """The stream that a section describes."""
    settings = section.model_dump(exclude={"source", "file", "n_steps"})
    if section.source == "file":
        if settings["symbols"] is None:
            del settings["symbols"]
        return open_stream(section.file, **settings)
    return generator(section.source, section.n_steps, **settings)


def _network(configuration: StreamConfiguration, sensors: Sequence[Sensor]) -> tuple[int, int]:
    """Hidden nodes and lags."""
    brain = configuration.brain
    given = configuration.connectivity is not None or configuration.nodes.input is not None
    return network_size(brain.n_hidden, brain.n_lags, sensors, given)


def _sensors(section: Any) -> tuple[Sensor, ...]:
    same = {"seed": 0} if hasattr(section, "seed") else {}
    return _sensors_of(section.model_copy(update=same).model_dump_json())


@lru_cache(maxsize=64)
def _sensors_of(text: str) -> tuple[Sensor, ...]:
    section: Any = _SECTION.validate_json(text)
    check_source(section)
    return open_section(section).sensors
