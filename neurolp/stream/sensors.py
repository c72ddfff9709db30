"""Sensors: which columns of a stream belong together, and how they become symbols or values.

Any class with the members of :class:`Sensor` can be used. :class:`CategoricalSensor` and
:class:`ContinuousSensor` are the built-in ones, without a special role.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError, DataError
from neurolp.registry import Registry
from neurolp.stream.prediction import CodePrediction, Prediction


class Sensor(Protocol):
    """Some columns of a stream, observed together, and their code, which is predicted.

    The code is one symbol 0 .. ``n_symbols`` - 1, or ``n_columns`` real values; it is NaN where
    the sensor is missing. The density of the columns is that of the code times a known factor:

        log p(columns | past) = log p(code | past) + log_factor(columns)

    For a smooth invertible code log_factor = log |det d code / d columns|; for symbols of several
    observations each, it is log P(columns | symbol). All members can be attributes of
    the class. A sensor whose class is a dataclass of plain values can be stored in files.
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


class _Uncoded:
    """A sensor whose code is its columns."""

    def encode(self, columns: Array) -> tuple[Array, Array]:
        """The columns themselves, factor 1."""
        return columns, np.zeros(len(columns))

    def express(self, prediction: CodePrediction) -> CodePrediction:
        """The prediction itself."""
        return prediction


@dataclass(frozen=True)
class CategoricalSensor(_Uncoded):
    """One symbol 0 .. ``n_symbols`` - 1 at every step; NaN is missing."""

    n_symbols: int
    name: str = "symbol"

    n_columns: ClassVar[int] = 1
    units: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not isinstance(self.n_symbols, Integral) or self.n_symbols < 2:
            raise ConfigurationError(
                f"argument `n_symbols` must be an integer >= 2, but is {self.n_symbols!r}"
            )

    @property
    def wanted(self) -> str:
        """What an entry must be."""
        return f"a symbol 0 .. {self.n_symbols - 1} or NaN"

    def valid(self, columns: Array) -> Array:
        """Whether each entry is a symbol or missing."""
        with np.errstate(invalid="ignore"):
            symbol = (columns >= 0) & (columns < self.n_symbols) & (columns == np.floor(columns))
        return np.asarray(np.isnan(columns) | symbol)


@dataclass(frozen=True)
class ContinuousSensor(_Uncoded):
    """``n_values`` real values at every step, observed together; NaN is missing.

    ``location`` and ``scale`` (a number, or one for each value) are the units of the
    nodes' input; None takes them from the first observations.
    """

    n_values: int = 1
    name: str = "value"
    location: float | Sequence[float] | None = None
    scale: float | Sequence[float] | None = None

    n_symbols: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not isinstance(self.n_values, Integral) or self.n_values < 1:
            raise ConfigurationError(
                f"argument `n_values` must be an integer >= 1, but is {self.n_values!r}"
            )
        if (self.location is None) != (self.scale is None):
            raise ConfigurationError(
                "arguments `location` and `scale` must be given together or not at all"
            )
        for name in ("location", "scale"):
            given = getattr(self, name)
            if given is None:
                continue
            numbers = [given] if isinstance(given, Real) else list(given)
            right = len(numbers) in (1, self.n_values) and np.isfinite(numbers).all()
            if not right or (name == "scale" and min(numbers) <= 0):
                wanted = "positive" if name == "scale" else "finite"
                raise ConfigurationError(
                    f"argument `{name}` must be one {wanted} number or {self.n_values}, "
                    f"but is {given!r}"
                )

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
    return all_


def check_rows(rows: npt.ArrayLike, sensors: Sequence[Sensor], first_step: int = 0) -> Array:
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
        raise DataError(f"argument `rows` must hold numbers: {error}") from error
    if out.ndim == 1 and width == 1:
        out = out[:, None]
    if out.ndim != 2 or out.shape[1] != width:
        raise DataError(
            f"argument `rows` must have shape (n_steps, {width}), but has shape {out.shape}"
        )
    fault = first_invalid(out, sensors)
    if fault is not None:
        step, column, sensor = fault
        raise DataError(
            f"argument `rows` must hold {sensor.wanted} for sensor '{sensor.name}', "
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


def row_of(x: Any, sensors: Sequence[Sensor]) -> Array:
    """One row (1, n_columns) of a number, of its values, or of a mapping from names of sensors.

    Sensors that a mapping leaves out are missing.
    """
    if not isinstance(x, Mapping):
        try:
            return np.reshape(np.asarray(x, dtype=np.float64), (1, -1))
        except (TypeError, ValueError) as error:
            raise DataError(f"argument `x` must hold numbers: {error}") from error
    names = [sensor.name for sensor in sensors]
    if wrong := sorted(set(x) - set(names)):
        raise DataError(f"argument `x` must have keys among {names}, but has {wrong}")
    parts = []
    for sensor in sensors:
        values = np.ravel(x.get(sensor.name, np.full(sensor.n_columns, np.nan)))
        if len(values) != sensor.n_columns:
            raise DataError(
                f"argument `x` must hold {sensor.n_columns} numbers for sensor '{sensor.name}', "
                f"but holds {len(values)}"
            )
        parts.append(values)
    return np.concatenate(parts)[None].astype(np.float64)


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
