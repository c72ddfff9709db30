"""Sensors: what a stream brings at every step, symbols or values, and how nodes see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.errors import ConfigurationError, DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CategoricalSensor:
    """One symbol of 0 .. ``n_symbols`` - 1 at every step; NaN where none came."""

    n_symbols: int
    name: str = "symbol"

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not isinstance(self.n_symbols, Integral) or self.n_symbols < 2:
            raise ConfigurationError(
                f"argument `n_symbols` must be an integer >= 2, but is {self.n_symbols!r}"
            )

    @property
    def n_columns(self) -> int:
        """Columns of the rows of a stream that belong to this sensor."""
        return 1

    @property
    def n_outputs(self) -> int:
        """Nodes that tell it, and that predict it: one for each symbol."""
        return self.n_symbols


@dataclass(frozen=True)
class ContinuousSensor:
    """``n_values`` real values at every step, seen together; NaN where none came.

    ``location`` and ``scale`` (numbers, or one for each value) are the units that nodes see; where
    they are None the first steps of the stream fix them.
    """

    n_values: int = 1
    name: str = "value"
    location: float | Sequence[float] | None = None
    scale: float | Sequence[float] | None = None

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
        """Columns of the rows of a stream that belong to this sensor."""
        return self.n_values

    @property
    def n_outputs(self) -> int:
        """Nodes that tell it, and that predict it: one for each value."""
        return self.n_values


Sensor = CategoricalSensor | ContinuousSensor


def check_sensors(sensors: Sensor | Sequence[Sensor]) -> tuple[Sensor, ...]:
    """``sensors`` as a tuple; at least one, of different names."""
    all_ = (sensors,) if isinstance(sensors, CategoricalSensor | ContinuousSensor) else sensors
    all_ = tuple(all_)
    wrong = [s for s in all_ if not isinstance(s, CategoricalSensor | ContinuousSensor)]
    if not all_ or wrong:
        came = repr(wrong[0]) if wrong else "empty"
        raise ConfigurationError(
            f"argument `sensors` must hold CategoricalSensor or ContinuousSensor, but is {came}"
        )
    names = [s.name for s in all_]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"argument `sensors` must have different names, but has {names}")
    return all_


def check_rows(rows: npt.ArrayLike, sensors: Sequence[Sensor], first_step: int = 0) -> Array:
    """Rows of a stream (n_steps, n_columns), float64, NaN where a sensor brought nothing.

    One column may come as a vector. Errors count steps from ``first_step``.

    Raises
    ------
    DataError
        If the shape is wrong, a symbol does not exist, a value is infinite, or a part of a vector
        is missing.
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
    start = 0
    for sensor in sensors:
        part = out[:, start : start + sensor.n_columns]
        start += sensor.n_columns
        missing = np.isnan(part)
        if isinstance(sensor, CategoricalSensor):
            with np.errstate(invalid="ignore"):
                good = missing | (
                    (part >= 0) & (part < sensor.n_symbols) & (part == np.floor(part))
                )
            wanted = f"a symbol 0 .. {sensor.n_symbols - 1} or NaN"
        else:
            good = np.isfinite(part) | missing.all(axis=1, keepdims=True)
            wanted = "finite, or NaN in all values of the sensor at once"
        if not good.all():
            step, column = np.argwhere(~good)[0]
            raise DataError(
                f"argument `rows` must hold {wanted} for sensor '{sensor.name}', "
                f"but step {first_step + step} holds {part[step, column]}"
            )
    return out


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
