"""Sensors: which columns of a stream belong together, and how they become symbols or values.

Any class with the members of :class:`Sensor` can be used. :class:`CategoricalSensor` and
:class:`ContinuousSensor` are the built-in ones, without a special role.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError, DataError
from neurolp.registry import Registry
from neurolp.stream.labels import Label, are_texts, codes_of, column_values, listed, read_labels
from neurolp.stream.prediction import CodePrediction, Prediction, SymbolPrediction


class Sensor(Protocol):
    """Some columns of a stream, observed together, and their code, which is predicted.

    The code is one symbol 0 .. ``n_symbols`` - 1, or ``n_columns`` real values; it is NaN where
    the sensor is missing. The density of the columns is that of the code times a known factor:

        log p(columns | past) = log p(code | past) + log_factor(columns)

    For a smooth invertible code log_factor = log |det d code / d columns|; for symbols of several
    observations each, it is log P(columns | symbol). All members can be attributes of
    the class. A sensor whose class is a dataclass of plain values can be stored in files.
    A sensor may also have ``columns``, the names of its columns in frames, and ``labels``, what
    stands for its symbols in frames.
    """

    @property
    def name(self) -> str:
        """Name of the sensor in predictions and results; different for each sensor."""

    @property
    def n_columns(self) -> int:
        """Number of columns in the rows of a stream."""

    @property
    def n_symbols(self) -> int:
        """Number of symbols of the code; 0 if the code is real values."""

    @property
    def units(self) -> tuple[npt.ArrayLike, npt.ArrayLike] | None:
        """Location and scale of the values of the code, numbers or (n_columns,).

        None for symbols, and if they are to be taken from the first observations.
        """

    @property
    def wanted(self) -> str:
        """What each entry of a column must be, for messages: "a positive number or NaN"."""

    def valid(self, columns: Array) -> Array:
        """Whether each entry of (n, n_columns) can be used, boolean; NaN is missing."""

    def encode(self, columns: Array) -> tuple[Array, Array]:
        """Code (n, 1) or (n, n_columns), NaN where missing, and log_factor (n,) in nats."""

    def express(self, prediction: CodePrediction) -> Prediction:
        """Distribution of the columns, from that of the code.

        :class:`neurolp.stream.prediction.EncodedPrediction` does this for most codes.
        """


_LARGEST = 1e100  # of values


@dataclass(frozen=True, init=False)
class CategoricalSensor:
    """One symbol at every step; NaN is missing.

    Parameters
    ----------
    n_symbols : int or sequence of labels
        Symbols are 0 .. ``n_symbols`` - 1, or the ``labels``.
    name : str
        Name of the sensor, and of its column.
    labels : sequence
        What the symbols stand for: texts, booleans or numbers. Rows of numbers hold labels that are
        numbers or booleans, and the positions of texts; frames, mappings and rows of objects hold
        the labels.
    """

    n_symbols: int
    name: str = "symbol"
    labels: tuple[Label, ...] = ()

    n_columns: ClassVar[int] = 1
    units: ClassVar[None] = None

    def __init__(
        self,
        n_symbols: int | Iterable[Label] | None = None,
        name: str = "symbol",
        labels: Iterable[Label] = (),
    ) -> None:
        n, labels = read_labels(n_symbols, labels)
        values = {"n_symbols": n, "name": name, "labels": labels}
        for field, value in values.items():
            object.__setattr__(self, field, value)

    @property
    def wanted(self) -> str:
        """What an entry must be."""
        if not self.labels or are_texts(self.labels):
            labels = f" ({listed(self.labels)})" if self.labels else ""
            return f"a symbol 0 .. {self.n_symbols - 1}{labels} or NaN"
        return f"one of the labels {listed(self.labels)} or NaN"

    def valid(self, columns: Array) -> Array:
        """Whether each entry is a symbol or missing."""
        if self._coded:
            return np.asarray(np.isnan(columns) | np.isin(columns, column_values(self.labels)))
        with np.errstate(invalid="ignore"):
            symbol = (columns >= 0) & (columns < self.n_symbols) & (columns == np.floor(columns))
        return np.asarray(np.isnan(columns) | symbol)

    def encode(self, columns: Array) -> tuple[Array, Array]:
        """Positions of the labels, or the columns themselves; factor 1."""
        code = codes_of(self.labels, columns) if self._coded else columns
        return code, np.zeros(len(columns))

    def express(self, prediction: CodePrediction) -> Prediction:
        """The prediction, which knows the labels."""
        if not self.labels or not isinstance(prediction, SymbolPrediction):
            return prediction
        return SymbolPrediction(prediction.probabilities, self.labels)

    @property
    def _coded(self) -> bool:
        return len(self.labels) > 0 and not are_texts(self.labels)


@dataclass(frozen=True, init=False)
class ContinuousSensor:
    """Real values at every step, observed together; NaN is missing.

    Parameters
    ----------
    n_values : int or sequence of str
        How many values, or the names of their columns.
    name : str
        Name of the sensor.
    location, scale : float, or one for each value
        Units of the nodes' input; None takes them from the first observations.
    columns : sequence of str
        Names of the columns in frames; by default the name of the sensor, or ``name[0]``, ..
    """

    n_values: int = 1
    name: str = "value"
    location: float | Sequence[float] | None = None
    scale: float | Sequence[float] | None = None
    columns: tuple[str, ...] = ()

    n_symbols: ClassVar[int] = 0

    def __init__(
        self,
        n_values: int | Iterable[str] = 1,
        name: str = "value",
        location: float | Sequence[float] | None = None,
        scale: float | Sequence[float] | None = None,
        columns: Iterable[str] = (),
    ) -> None:
        columns = (columns,) if isinstance(columns, str) else tuple(columns)
        if not isinstance(n_values, Integral | Real | str) and isinstance(n_values, Iterable):
            if columns:
                raise ConfigurationError(
                    "argument `columns` must not be given where `n_values` holds names"
                )
            columns = tuple(n_values)
            n_values = len(columns)
        if not isinstance(n_values, Integral) or n_values < 1:
            hint = f"; the name of a sensor is name={n_values!r}"
            raise ConfigurationError(
                f"argument `n_values` must be an integer >= 1, or names, but is {n_values!r}"
                f"{hint if isinstance(n_values, str) else ''}"
            )
        different = len(set(columns)) == n_values and all(isinstance(c, str) for c in columns)
        if columns and not (different and len(columns) == n_values):
            raise ConfigurationError(
                f"argument `columns` must be {n_values} different names, but is {columns!r}"
            )
        if (location is None) != (scale is None):
            raise ConfigurationError(
                "arguments `location` and `scale` must be given together or not at all"
            )
        for what, given in (("location", location), ("scale", scale)):
            if given is None:
                continue
            numbers = [given] if isinstance(given, Real) else list(given)
            right = len(numbers) in (1, n_values) and np.isfinite(numbers).all()
            if not right or (what == "scale" and min(numbers) <= 0):
                wanted = "positive" if what == "scale" else "finite"
                raise ConfigurationError(
                    f"argument `{what}` must be one {wanted} number or {n_values}, but is {given!r}"
                )
        values = {"n_values": int(n_values), "name": name, "columns": columns}
        for field, value in (values | {"location": location, "scale": scale}).items():
            object.__setattr__(self, field, value)

    @property
    def n_columns(self) -> int:
        """Number of columns, one for each value."""
        return self.n_values

    @property
    def units(self) -> tuple[npt.ArrayLike, npt.ArrayLike] | None:
        """Location and scale, if they were given."""
        return None if self.location is None or self.scale is None else (self.location, self.scale)

    @property
    def wanted(self) -> str:
        """What an entry must be."""
        if self.n_values == 1:
            return "a number of at most 1e100 or NaN"
        return "numbers of at most 1e100, or NaN in all values at once,"

    def valid(self, columns: Array) -> Array:
        """Whether each entry has a square that is finite, or all of its row are missing."""
        missing = np.isnan(columns).all(axis=1, keepdims=True)
        return np.asarray((abs(columns) <= _LARGEST) | missing)

    def encode(self, columns: Array) -> tuple[Array, Array]:
        """The columns themselves, factor 1."""
        return columns, np.zeros(len(columns))

    def express(self, prediction: CodePrediction) -> Prediction:
        """The prediction itself."""
        return prediction


def column_names(sensor: Sensor) -> tuple[str, ...]:
    """Names of the columns of a sensor in frames: its ``columns``, its name, or ``name[k]``."""
    named: tuple[str, ...] = getattr(sensor, "columns", ())
    if named or sensor.n_columns == 1:
        return named or (sensor.name,)
    return tuple(f"{sensor.name}[{k}]" for k in range(sensor.n_columns))


def symbol_labels(sensor: Sensor) -> tuple[Label, ...]:
    """What the symbols of a sensor stand for; their numbers where it says nothing else."""
    return tuple(getattr(sensor, "labels", ())) or tuple(range(sensor.n_symbols))


SENSORS = Registry(
    "sensors",
    {},
    ("name", "n_columns", "n_symbols", "units", "wanted", "valid", "encode", "express"),
)


@dataclass(frozen=True)
class Place:
    """Columns, codes, outputs and values (none for symbols) of a sensor, as slices of those of all.

    Outputs are what is predicted: each symbol, each value.
    """

    sensor: Sensor
    columns: slice
    codes: slice
    outputs: slice
    values: slice

    @property
    def symbols(self) -> bool:
        """Whether the code is a symbol."""
        return self.sensor.n_symbols > 0

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.sensor.n_symbols or self.sensor.n_columns


def places(sensors: Sequence[Sensor]) -> tuple[Place, ...]:
    """Place of each sensor, in the order of the columns."""
    out: list[Place] = []
    ends = [0, 0, 0, 0]
    for s in sensors:
        n, k = s.n_columns, s.n_symbols
        starts, sizes = ends, (n, 1 if k else n, k or n, 0 if k else n)
        ends = [start + size for start, size in zip(starts, sizes, strict=True)]
        out.append(Place(s, *map(slice, starts, ends)))
    return tuple(out)


def check_sensors(sensors: Sensor | Sequence[Sensor]) -> tuple[Sensor, ...]:
    """``sensors`` as a tuple; at least one, of different names."""
    all_: tuple[Sensor, ...] = (
        (cast("Sensor", sensors),) if hasattr(sensors, "encode") else tuple(sensors)
    )
    for sensor in all_:
        lacks = [name for name in SENSORS.asked if not hasattr(sensor, name)]
        if lacks:
            raise ConfigurationError(
                f"argument `sensors` must hold sensors, but {sensor!r} has no `{lacks[0]}`"
            )
    if not all_:
        raise ConfigurationError("argument `sensors` must hold at least one sensor, but is empty")
    names = [s.name for s in all_]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"argument `sensors` must have different names, but has {names}")
    columns = [name for s in all_ for name in column_names(s)]
    if twice := [name for k, name in enumerate(columns) if name in columns[:k]]:
        raise ConfigurationError(f"argument `sensors` has two columns that are named {twice[0]!r}")
    return all_


def check_rows(
    rows: npt.ArrayLike, sensors: Sequence[Sensor], first_step: int = 0, argument: str = "rows"
) -> Array:
    """Rows of a stream (n_steps, n_columns) as float64, NaN where a sensor is missing.

    One column may come as a vector. Errors count steps from ``first_step``.

    Raises
    ------
    DataError
        If the shape is wrong, or an entry is invalid for its sensor.
    """
    width = sum(s.n_columns for s in sensors)
    try:
        out = np.array(rows, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise DataError(f"argument `{argument}` must hold numbers: {error}") from error
    if out.ndim == 1 and width == 1:
        out = out[:, None]
    if out.ndim != 2 or out.shape[1] != width:
        many = "; neurolp.StreamBatch takes many streams" if out.ndim == 3 else ""
        raise DataError(
            f"argument `{argument}` must have shape (n_steps, {width}), "
            f"but has shape {out.shape}{many}"
        )
    fault = first_invalid(out, sensors)
    if fault is not None:
        step, column, sensor = fault
        raise DataError(
            f"argument `{argument}` must hold {sensor.wanted} for sensor '{sensor.name}', "
            f"but step {first_step + step} holds {out[step, column]}"
        )
    return out


def first_invalid(rows: Array, sensors: Sequence[Sensor]) -> tuple[int, int, Sensor] | None:
    """Row, column and sensor of the first entry that cannot be used, if there is one."""
    for place in places(sensors):
        wrong = ~place.sensor.valid(rows[:, place.columns])
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            return int(row), place.columns.start + int(column), place.sensor
    return None


def encode_rows(rows: Array, sensors: Sequence[Sensor]) -> tuple[Array, Array]:
    """Codes (n_steps, n_codes) of all sensors, and their log_factor (n_steps, n_sensors)."""
    parts = [p.sensor.encode(rows[:, p.columns]) for p in places(sensors)]
    codes = np.concatenate([code for code, _ in parts], axis=1, dtype=np.float64)
    return np.ascontiguousarray(codes), np.stack([factor for _, factor in parts], axis=1)


def sensors_to_json(sensors: Sequence[Sensor]) -> str:
    """Text that :func:`sensors_from_json` reads: class and fields of each sensor.

    Raises
    ------
    OutputError
        If a sensor cannot be made again from its class and its fields.
    """
    return json.dumps([SENSORS.describe(sensor) for sensor in sensors])


def sensors_from_json(text: str) -> tuple[Sensor, ...]:
    """Sensors that :func:`sensors_to_json` described.

    Raises
    ------
    FormatError
        If a class is not known; the module of a user's sensor has to be imported before.
    """
    return check_sensors([SENSORS.restore(described) for described in json.loads(text)])
