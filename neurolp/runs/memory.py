"""What a run needs at least, in bytes: absurd sizes are refused before anything is allocated.

These are lower bounds: what is allocated at once, or kept before a run can stop early. A run that
passes may still need more; one that is refused could never have been.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from neurolp.config.experiment_sections import (
    ExperimentConfiguration,
    PrincipleConfiguration,
    SupervisedConfiguration,
    UnivariateConfiguration,
)
from neurolp.config.sections import (
    BoundedSection,
    Configuration,
    ConnectivitySection,
    DensitySection,
    DistanceSection,
    FileSection,
    FullSection,
    ModularSection,
    OnlineSection,
    RecordSection,
    SmallWorldSection,
)
from neurolp.config.stream_sections import (
    CausalitySection,
    MackeyGlassSection,
    StreamBrainSection,
    StreamConfiguration,
    StreamSection,
    VideoSection,
)
from neurolp.data.streams.source import Stream
from neurolp.errors import ConfigurationError
from neurolp.runs.resources import memory_limit
from neurolp.stream.sensors import places

_NUMBER = 8  # bytes
_NODE = 1000  # bytes of a hidden node and its afferents, while it is drawn
_EDGE = 24  # two ends and a number
_SENSOR = 1000  # bytes of a sensor and its name
_COMPRESSED = 4  # times smaller is what numbers of an experiment may become in a file
_SMALL = 1e9  # bytes of a file that nobody would call absurd
_MOMENTS = 8  # Adam: parameters, their mean, two moments each and gradients


def check_brain(configuration: Configuration, n_rows: int, n_columns: int) -> None:
    """Refuse a brain that the memory of this machine cannot hold.

    Raises
    ------
    ConfigurationError
        With the estimate, and the keys that it comes from.
    """
    brain = configuration.brain
    n_nodes = n_columns + (brain.n_hidden if isinstance(brain, OnlineSection) else 0)
    degree = _degree(configuration.connectivity, n_nodes)
    state = 3 * _NUMBER * float(n_rows) * n_nodes
    if isinstance(brain, DensitySection):
        transfer = 1 + len(brain.synapse_thresholds)
        features = transfer * degree + brain.interneurons
        parameters = _NUMBER * float(n_nodes) * (2 * features + brain.interneurons)
        kept = min(brain.max_slices, brain.patience + 1)
        size = state + 2 * _NUMBER * features**2 + kept * parameters
        keys = "brain.interneurons, brain.synapse_thresholds, brain.patience"
        n_parameters, n_times, n_frames = 0.0, kept, kept
    elif isinstance(brain, OnlineSection):
        transfer = 1 + len(brain.synapse_thresholds)
        distinct = min(brain.period, brain.n_slices)
        n_parameters = distinct * n_nodes * (2.0 * transfer * degree + brain.spline_intervals)
        # A path is kept whole for replay; a slice that is repeated is still a step of time.
        path = float(brain.n_slices) * n_nodes if brain.signal == "replay" else 0.0
        size = state + _NUMBER * (_MOMENTS * n_parameters + path + 4.0 * brain.n_slices)
        keys = "brain.n_slices, brain.period, brain.n_hidden, brain.synapse_thresholds"
        n_times, n_frames = min(brain.max_epochs, brain.patience), brain.n_slices
    else:
        batch = float(min(brain.batch_size, n_rows))
        path = brain.n_steps * n_nodes * batch if isinstance(brain, BoundedSection) else 0.0
        size = state + _NUMBER * (6.0 * n_nodes**2 + 2 * path)
        keys = "brain.n_steps, brain.batch_size"
        n_parameters, n_frames = 0.0, min(brain.max_epochs, brain.patience)
        n_times = n_frames
    size += _recorded(configuration.record, n_rows, n_nodes, n_frames, n_times, n_parameters)
    _refuse(f"keys {keys} and section record", size)


def check_stream_brain(brain: StreamBrainSection) -> None:
    """Refuse hidden nodes beyond all memory; the rest is looked at when they are drawn."""
    _refuse("key brain.n_hidden", _NODE * float(brain.n_hidden))


def check_edges(section: ConnectivitySection, n_nodes: int) -> None:
    """Refuse edges that the memory of this machine cannot hold; errors as :func:`check_brain`."""
    if not isinstance(section, FullSection | FileSection):
        size = _EDGE * float(n_nodes) * (1 + _degree(section, n_nodes))
        _refuse(f"section connectivity, for {n_nodes} nodes,", size)


def check_source(section: StreamSection) -> None:
    """Refuse a stream whose source alone is too large; errors as :func:`check_brain`."""
    if isinstance(section, MackeyGlassSection):
        _refuse("key stream.delay", _NUMBER * float(section.delay))
    elif isinstance(section, CausalitySection):
        size = _SENSOR * float(section.n_distractors) + _NUMBER * float(section.delay)
        _refuse("keys stream.n_distractors and stream.delay", size)
    elif isinstance(section, VideoSection):
        pixels = float(math.prod(section.shape))
        _refuse("keys stream.shape and stream.hold", 2 * _NUMBER * pixels * section.hold)


def check_recording(configuration: StreamConfiguration, stream: Stream, folder: Path) -> None:
    """Refuse a record of a stream for which the disk has no room, or a dream for which memory has.

    What fills a disk that is merely small is saved until then, and can be resumed elsewhere.
    """
    record, brain = configuration.record, configuration.brain
    n_steps, n_outputs = stream.n_steps or 0, places(stream.sensors)[-1].outputs.stop
    _refuse("key record.dream", 2 * _NUMBER * float(record.dream) * stream.n_columns)

    def times(every: int | None, at: list[int], last: int = 0) -> float:
        return (n_steps // every if every else 0) + len(at) + min(last, n_steps)

    features = 1.0 + brain.n_lags * n_outputs + brain.n_hidden
    predictions = times(record.predictions_every, record.predictions_at, record.last)
    activity = times(record.activity_every, record.activity_at, record.last)
    weights = times(record.weights_every, record.weights_at)
    numbers = 4.0 * predictions * n_outputs + activity * brain.n_hidden
    numbers += weights * n_outputs * features
    size = _NUMBER * numbers + (4.0 * n_steps if record.per_step else 0.0)
    free = float(shutil.disk_usage(folder).free)
    if size > _COMPRESSED * max(free, _SMALL):
        raise ConfigurationError(
            f"section record asks for about {_gigabytes(size)}, "
            f"but {folder} has room for {_gigabytes(free)}"
        )


def check_experiment(configuration: ExperimentConfiguration) -> None:
    """Refuse an experiment that the memory of this machine cannot hold."""
    if isinstance(configuration, UnivariateConfiguration):
        cells = float(len(configuration.problems)) * len(configuration.sizes)
        numbers = 8 * cells * configuration.n_seeds
        numbers += (2.0 + len(configuration.problems)) * max(configuration.sizes)
        _refuse("keys n_seeds and sizes", _NUMBER * numbers)
    elif isinstance(configuration, PrincipleConfiguration):
        k = len(configuration.probabilities)
        numbers = configuration.n_runs * (10_000.0 + 3 * 120 * k) + 6.0 * configuration.n_samples
        _refuse("keys n_runs and n_samples", _NUMBER * numbers)
    elif isinstance(configuration, SupervisedConfiguration):
        _refuse("key n_points", 20 * _NUMBER * float(configuration.n_points))


def _recorded(
    record: RecordSection,
    n_rows: int,
    n_nodes: int,
    n_frames: int,
    n_times: int,
    n_parameters: float,
) -> float:
    chosen = record.trajectories
    rows = min(chosen, n_rows) if isinstance(chosen, int) else len(chosen)
    nodes = n_nodes if record.nodes is None else len(record.nodes)
    frames = 2.0 + n_frames // record.every if record.potential or record.activity else 0.0
    copies = 1 + n_times // record.parameters_every if record.parameters_every else 0
    return _NUMBER * (frames * nodes * rows + copies * n_parameters)


def _degree(section: ConnectivitySection, n: int) -> float:
    """Presynaptic nodes of a node, on average; where that is not known, none."""
    if isinstance(section, FullSection):
        return float(n)
    if isinstance(section, SmallWorldSection):
        return float(min(section.neighbours, n))
    if isinstance(section, ModularSection):
        return float(n) * (section.p_within / section.n_modules + section.p_between) / 2
    if isinstance(section, FileSection):
        return 0.0
    if section.in_degree is not None:
        return float(min(section.in_degree, n))
    return 0.0 if isinstance(section, DistanceSection) else n * float(section.probability or 0)


def _refuse(what: str, size: float) -> None:
    memory = memory_limit()
    if size > memory:
        verb = "ask" if what.startswith("keys") else "asks"
        raise ConfigurationError(
            f"{what} {verb} for at least {_gigabytes(size)} of memory, "
            f"but this machine has {_gigabytes(memory)}"
        )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size < 1e15 else f"{size / 1e9:.1e} GB"
