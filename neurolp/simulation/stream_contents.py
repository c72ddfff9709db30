"""What a file says of the sensors of a stream and of the names of what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, NamedArrays
from neurolp.data.streams.source import Stream
from neurolp.simulation.stream import StreamProcess
from neurolp.simulation.stream_monitors import QUANTILES
from neurolp.simulation.stream_network import lesions_to_arrays
from neurolp.simulation.windows import N_PIT_BINS
from neurolp.storage.reader import Trajectory
from neurolp.stream.labels import column_values, text_of
from neurolp.stream.sensors import Place, column_names, places, symbol_labels


class Nameable(Protocol):
    """What is stored of a brain once: the names of what it weighs and what it expects."""

    @property
    def output_names(self) -> Sequence[str]:
        """Name of each output."""

    @property
    def feature_names(self) -> Sequence[str]:
        """Name of each feature of the memory."""

    @property
    def node_names(self) -> Sequence[Any]:
        """Names or numbers of the hidden nodes."""

    @property
    def lesioned(self) -> Array:
        """Numbers of the hidden nodes that were taken away."""

    @property
    def activity(self) -> Array:
        """Activity of the hidden nodes."""

    @property
    def weights(self) -> Mapping[str, Any]:
        """Dense arrays, or CSR, by name."""


class Storable(Protocol):
    """What a checkpoint asks of a brain."""

    def to_arrays(self) -> NamedArrays:
        """Everything, as in a file."""


@dataclass(frozen=True)
class StoredSensor:
    """A sensor as a file knows it: where it is, and what its outputs stand for.

    ``n_symbols`` is 0 for values; ``columns``, ``outputs`` and ``values`` are its places among
    those of all sensors. ``in_column`` is the number that stands in rows for each symbol.
    """

    name: str
    n_symbols: int
    columns: slice
    outputs: slice
    values: slice
    labels: tuple[str, ...]
    in_column: Array

    def symbols(self, rows: Array) -> Array:
        """Number of the symbol in each row, -1 where it is missing or none of them."""
        same = rows[:, self.columns.start, None] == self.in_column
        return np.where(same.any(axis=1), same.argmax(axis=1), -1)


def begun_to_arrays(out: NamedArrays, stream: Stream, brain: Nameable) -> None:
    """Add what is known before the first step: source, sensors, names of weights, lesions."""
    known = {"rate": stream.rate, "bound": stream.bound, "frame_shape": stream.frame_shape}
    out.attributes["experiment"] = {"name": "stream"}
    out.attributes["result"] = {"stream": stream.name, "n_steps": 0}
    out.attributes["result"] |= {k: v for k, v in known.items() if v is not None}
    sensors_to_arrays(out, stream)
    names_to_arrays(out, brain)
    lesions_to_arrays(out, brain)


def unfinished(brain: Storable, process: StreamProcess) -> NamedArrays:
    """What readers find in an unfinished run, beside the state of the process."""
    about = brain.to_arrays().attributes
    return NamedArrays(attributes=about | {"result": {"n_steps": process.time}})


def closing(status: str, n_steps: int, speed: float, seconds: float) -> NamedArrays:
    """What is known at the end."""
    result = {"n_steps": n_steps, "steps_per_second": speed}
    return NamedArrays(
        attributes={"": {"status": status}, "experiment": {"seconds": seconds}, "result": result}
    )


def sensors_to_arrays(out: NamedArrays, stream: Stream) -> None:
    """Add the sensors: names, sizes, what their symbols stand for, known entropy rates."""
    where = places(stream.sensors)
    names = [p.sensor.name for p in where]
    out.add_coordinate("sensor", np.array(names), "1", "sensor")
    columns = [name for p in where for name in column_names(p.sensor)]
    out.add_coordinate("column", np.array(columns), "1", "column of the rows")
    if any(not p.symbols for p in where):
        values = [name for p in where if not p.symbols for name in column_names(p.sensor)]
        out.add_coordinate("value", np.array(values), "1", "column of a sensor of values")
        middle = (np.arange(N_PIT_BINS) + 0.5) / N_PIT_BINS
        out.add_coordinate("pit_bin", middle, "1", "middle of a bin of F(x_t | past)")
        out.add_coordinate("probability", np.array(QUANTILES), "1", "of a quantile")
    n_symbols = [p.sensor.n_symbols for p in where]
    out.add("n_symbols", ("sensor",), n_symbols, "1", "number of symbols; 0 for values")
    n_columns = [p.sensor.n_columns for p in where]
    out.add("n_columns", ("sensor",), n_columns, "1", "number of columns")
    labels = [label for p in where for label in _labels(p)]
    out.add("label", ("output",), np.array(labels), "1", "what a symbol stands for, or a value")
    numbers = np.concatenate([_in_column(p) for p in where])
    what = "number that stands in rows for a symbol; NaN for values"
    out.add("symbol_in_column", ("output",), numbers, "data", what)
    rates = stream.rates
    if rates is None and len(where) == 1 and stream.rate is not None:
        rates = (stream.rate,)
    known = np.full(len(where), np.nan) if rates is None else np.array(rates)
    out.add("sensor_rate", ("sensor",), known, "nat", "entropy rate; NaN where it is not known")


def names_to_arrays(out: NamedArrays, brain: Nameable) -> None:
    """Add what the dimensions of the weights are."""
    out.add_coordinate("output", np.array(brain.output_names), "1", "output: a symbol or a value")
    out.add_coordinate("feature", np.array(brain.feature_names), "1", "feature of the memory")
    if len(brain.activity):
        nodes = np.array(brain.node_names)
        out.add_coordinate("hidden", nodes, "1", "hidden node")
        out.add_coordinate("hidden_source", nodes, "1", "hidden node that is heard")
    for name, weights in brain.weights.items():
        if not sparse.issparse(weights):
            continue
        rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
        edge = f"{name}_edge"
        out.add_coordinate(edge, np.arange(weights.nnz), "1", "edge, sorted by target and source")
        out.add(f"{name}_target", (edge,), rows, "1", "node or output that it goes to")
        out.add(f"{name}_source", (edge,), weights.indices, "1", "where it comes from")


def stored_sensors(file: Trajectory) -> tuple[StoredSensor, ...]:
    """The sensors in a file."""
    labels = [str(label) for label in file.read("label")]
    out, column, output, value = [], 0, 0, 0
    n_symbols, n_columns = file.read("n_symbols"), file.read("n_columns")
    numbers = file.read("symbol_in_column")
    for j, name in enumerate(file.read("sensor")):
        n_values = 0 if n_symbols[j] else int(n_columns[j])
        ends = (
            column + int(n_columns[j]),
            output + (int(n_symbols[j]) or n_values),
            value + n_values,
        )
        outputs = slice(output, ends[1])
        out.append(
            StoredSensor(
                str(name),
                int(n_symbols[j]),
                slice(column, ends[0]),
                outputs,
                slice(value, ends[2]),
                tuple(labels[outputs]),
                numbers[outputs],
            )
        )
        column, output, value = ends
    return tuple(out)


def _labels(place: Place) -> Sequence[str]:
    if not place.symbols:
        return column_names(place.sensor)
    return [text_of(label) for label in symbol_labels(place.sensor)]


def _in_column(place: Place) -> Array:
    if not place.symbols:
        return np.full(place.n_outputs, np.nan)
    return column_values(symbol_labels(place.sensor))
