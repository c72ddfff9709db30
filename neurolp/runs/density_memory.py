"""Memory of a brain that learns from a table.

Bytes, for N nodes, R rows, S slices, M transfer functions:

    data              R N, in 8 copies (as read, dequantised, standardised, three potentials ..)
    a slice           2 (M + 1) N^2 for shift and log-scale, and what the node maps have
    learning a slice  (M N)^2 for the normal equations, 2^19 features in a block
    frames            two for every recorded slice at most: they go to the file with a checkpoint
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from neurolp.config.sections import DataSection, DensityConfiguration, RecordSection
from neurolp.errors import NeurolpError
from neurolp.runs.connectivity import mean_degree
from neurolp.runs.density_table import read_data
from neurolp.runs.memory import NUMBER, PROCESS, Memory

_ADAM = 8  # parameters, their mean, two moments each and gradients
_COPIES = 8
_NODE_MAP = 2 + 30  # parameters of a node map


def memory(configuration: DensityConfiguration) -> Memory:
    """Memory of a run; that of a process alone if its data cannot be read."""
    try:
        data = configuration.data.model_copy(update={"split_seed": 0})
        rows, columns = _shape(data.model_dump_json(), configuration.brain.model)
    except NeurolpError:  # the run itself will say what is wrong with them
        return Memory("section data")
    return memory_of_table(configuration, rows, columns)


def memory_of_table(configuration: DensityConfiguration, rows: int, columns: int) -> Memory:
    """Memory of a run on a table of this shape."""
    brain: Any = configuration.brain
    n = columns + getattr(brain, "n_hidden", 0)
    part = _PARTS[brain.model](brain, rows, n, mean_degree(configuration.connectivity, n))
    record = configuration.record
    least = 3.0 * NUMBER * rows * n + part.least
    frames = 2 * 2.0 * NUMBER * _frame(record, rows, n) * (brain.max_time / record.every + 2)
    most = PROCESS + NUMBER * float(_COPIES) * rows * columns + part.most + frames
    return Memory(part.keys, least, most)


def _of_slices(brain: Any, rows: int, n: int, slices: int) -> tuple[int, float]:
    m = 1 + len(brain.synapse_thresholds)
    return m, 2.0 * slices * NUMBER * (2 * (m + 1) * n * n + (_NODE_MAP + 4) * n) + 8 * 2.0**20


def _density(brain: Any, rows: int, n: int, degree: float) -> Memory:
    m, most = _of_slices(brain, rows, n, brain.max_slices)
    features = m * degree
    parameters = NUMBER * float(n) * 2 * features
    kept = min(brain.max_slices, brain.patience + 1)
    return Memory(
        "keys brain.synapse_thresholds, brain.patience",
        2.0 * NUMBER * features**2 + kept * parameters,
        most + NUMBER * float(m * n) ** 2,
    )


def _online(brain: Any, rows: int, n: int, degree: float) -> Memory:
    m, most = _of_slices(brain, rows, n, brain.n_slices)
    distinct = min(brain.period, brain.n_slices)
    parameters = distinct * n * (2.0 * m * degree + brain.spline_intervals)
    # A path is kept whole for replay; a slice that is repeated is still a step of time.
    path = float(brain.n_slices) * n if brain.signal == "replay" else 0.0
    return Memory(
        "keys brain.n_slices, brain.period, brain.n_hidden, brain.synapse_thresholds",
        NUMBER * (_ADAM * parameters + path + 4.0 * brain.n_slices),
        most + NUMBER * float(rows) * n * brain.n_slices,
    )


def _form(brain: Any, rows: int, n: int, degree: float) -> Memory:
    path = brain.n_steps * n * float(min(brain.batch_size, rows))
    kept = 2 * path if brain.model == "bounded" else 0.0
    least, most = NUMBER * (6.0 * n**2 + kept), NUMBER * 20.0 * n * n
    return Memory("keys brain.n_steps, brain.batch_size", least, most)


_PARTS: dict[str, Callable[[Any, int, int, float], Memory]] = {
    "density": _density,
    "online": _online,
    "linear": _form,
    "bounded": _form,
}


def _frame(record: RecordSection, rows: int, n: int) -> float:
    """Numbers of a frame."""
    chosen = record.trajectories
    followed = chosen if isinstance(chosen, int) else len(chosen)
    return float(min(followed, rows)) * (n if record.nodes is None else len(record.nodes))


@lru_cache(maxsize=64)
def _shape(section: str, model: str) -> tuple[int, int]:
    """Rows and columns of the table that a section in JSON describes, read for a model."""
    data = read_data(DataSection.model_validate_json(section), model)
    return len(data.train) + len(data.validation) + len(data.test), len(data.columns)
