"""Rows as people have them, frames, mappings, arrays of objects, as rows of numbers and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.data.columns import Columns
from neurolp.data.containers import Container, read_container
from neurolp.data.values import Values, read_values
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.labels import are_texts, column_values, positions_of
from neurolp.stream.sensors import (
    CategoricalSensor,
    ContinuousSensor,
    Sensor,
    check_rows,
    column_names,
    places,
)


def read_rows(
    rows: Any, sensors: Sequence[Sensor], first_step: int = 0, argument: str = "rows"
) -> Array:
    """Rows of a stream (n_steps, n_columns) as float64, NaN where a sensor is missing.

    Columns of frames (of pandas, or known to narwhals) are found by their names, in any order; see
    :func:`neurolp.stream.sensors.column_names`. Frames and arrays of texts or objects hold labels,
    arrays of numbers the positions of labels that are texts. One column may come as a vector.
    Errors count steps from ``first_step`` and name the ``argument``.

    Raises
    ------
    DataError
        If a column is missing or not known, the shape is wrong, or an entry is invalid for its
        sensor.
    """
    about = first_step, argument
    if _is_frame(rows):
        return check_rows(_of_frame(rows, sensors, *about), sensors, *about)
    if any(are_texts(getattr(s, "labels", ())) for s in sensors) and not _of_numbers(rows):
        return check_rows(_of_objects(rows, sensors, *about), sensors, *about)
    return check_rows(rows, sensors, *about)


def row_of(x: Any, sensors: Sequence[Sensor], argument: str = "x") -> Array:
    """One row (1, n_columns) of its values, or of a mapping from names of sensors or columns.

    What a mapping leaves out is missing. Texts stand for their labels.
    Errors name the ``argument``.

    Raises
    ------
    DataError
        If there is no sensor or column of a name, or a number of values is wrong.
    """
    if not isinstance(x, Mapping):
        cells: Array = np.asarray(x) if _of_numbers(x) else np.array(x, dtype=object)
        return read_rows(cells.reshape(1, -1), sensors, 0, argument)
    parts: list[Any] = []
    known = set(x)
    for sensor in sensors:
        names = column_names(sensor)
        if sensor.name in x:
            values = list(np.ravel(np.array(x[sensor.name], dtype=object)))
            if len(values) != sensor.n_columns:
                raise DataError(
                    f"argument `{argument}` must hold {sensor.n_columns} numbers for sensor "
                    f"'{sensor.name}', but holds {len(values)}"
                )
        else:
            values = [x.get(name) for name in names]
        parts += values
        known -= {sensor.name, *names}
    if known:
        there = [name for sensor in sensors for name in column_names(sensor)]
        raise DataError(
            f"argument `{argument}` must have keys among {there}, but has {sorted(map(str, known))}"
        )
    row: Array = np.empty((1, len(parts)), dtype=object)
    row[0] = [np.nan if value is None else value for value in parts]
    if any(isinstance(value, str) for value in parts):
        return check_rows(_of_objects(row, sensors, 0, argument), sensors, 0, argument)
    return read_rows(row, sensors, 0, argument)


def rows_to_frame(rows: Array, sensors: Sequence[Sensor]) -> pd.DataFrame:
    """Rows of numbers as a frame with the names of the columns, and labels as categories."""
    out: dict[str, Any] = {}
    for place in places(sensors):
        labels = getattr(place.sensor, "labels", ())
        for name, column in zip(column_names(place.sensor), rows[:, place.columns].T, strict=True):
            if labels:
                code, _ = place.sensor.encode(column[:, None])
                number = np.where(np.isnan(code[:, 0]), -1, code[:, 0]).astype(np.int64)
                out[name] = pd.Categorical.from_codes(number, categories=list(labels))
            else:
                out[name] = column
    return pd.DataFrame(out)


def as_columns(drawn: Array, sensor: Sensor) -> Array:
    """One sample of a prediction as it stands in a row of numbers, (n_columns,)."""
    labels = getattr(sensor, "labels", ())
    if are_texts(labels):
        return positions_of(labels, np.ravel(drawn), f"sensor '{sensor.name}' predicts")
    return np.reshape(drawn, -1)


def sensors_of(frame: Any) -> tuple[Sensor, ...]:
    """A sensor for each column of a frame, of the same name, for :class:`neurolp.StreamBrain`.

    Numbers become a :class:`ContinuousSensor`. Texts, booleans, categories and numbers of which all
    are 0 or 1 become a :class:`CategoricalSensor` with their labels: in the order of the categories
    where there are any, else sorted. The kinds are those of tables, see
    :func:`neurolp.data.column_inference.infer_column`.

    Raises
    ------
    DataError
        If it is no frame, or a column holds dates, nothing, or only one label.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"wind": [3.5, 1.0, 4.2], "sky": ["sun", "rain", "sun"]})
    >>> [sensor.name for sensor in sensors_of(frame)]
    ['wind', 'sky']
    >>> sensors_of(frame)[1].labels
    ('rain', 'sun')
    """
    table = read_container(frame, "frame")
    if table.names is None:
        raise DataError("argument `frame` must be a frame, whose columns have names")
    values = [read_values(cells, table.label(j), "frame") for j, cells in enumerate(table.columns)]
    columns = Columns.infer(table, name="frame")
    pairs = zip(columns, values, strict=True)
    return tuple(_sensor_of(column, v, table.label(j)) for j, (column, v) in enumerate(pairs))


def _sensor_of(column: Column, values: Values, label: str) -> Sensor:
    if values.family in ("date", "duration") or values.missing.all():
        what = "nothing" if values.missing.all() else f"{values.family}s"
        raise DataError(
            f"argument `frame` must hold numbers or labels, but column {label} holds {what}"
        )
    labelled = values.family in ("label", "boolean") or column.kind == "nominal"
    if not labelled:
        return ContinuousSensor(1, column.name)
    labels = [False, True] if values.family == "boolean" else values.declared
    if labels is None:
        labels = sorted(set(column.categories))
    try:
        return CategoricalSensor(labels, column.name)
    except ConfigurationError as error:
        raise DataError(f"argument `frame`: column {label} can be no symbols: {error}") from error


def _is_frame(rows: Any) -> bool:
    kind = type(rows)
    return isinstance(rows, pd.DataFrame | Container) or (
        hasattr(kind, "columns") or hasattr(kind, "__dataframe__")
    )


def _of_numbers(rows: Any) -> bool:
    """Whether an array, or lists, hold numbers only."""
    try:
        return np.asarray(rows).dtype.kind in "biuf"
    except (TypeError, ValueError):
        return False


def _of_frame(frame: Any, sensors: Sequence[Sensor], first_step: int, argument: str) -> Array:
    names = [name for sensor in sensors for name in column_names(sensor)]
    if hasattr(frame, "__len__") and not len(frame):
        return np.empty((0, len(names)))
    table = read_container(frame, argument)
    there = table.names or ()
    lacking = [name for name in names if name not in there]
    further = [name for name in there if name not in names]
    if lacking or further:
        what = f"lacks {lacking[0]!r}" if lacking else f"also has {further[0]!r}"
        if lacking and further:
            what += (
                f" and has {further[0]!r}: a sensor finds its column by its `name` (several by "
                "`columns`), and sensors_of(frame) makes the sensors of a frame"
            )
        raise DataError(
            f"argument `{argument}` must have the columns {', '.join(names)}, but {what}"
        )
    columns = [table.columns[there.index(name)] for name in names]
    return np.column_stack(list(_numbers(columns, sensors, first_step, argument)))


def _of_objects(rows: Any, sensors: Sequence[Sensor], first_step: int, argument: str) -> Array:
    array = np.asarray(rows, dtype=object)
    width = sum(s.n_columns for s in sensors)
    if array.ndim == 1 and width == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] != width:
        raise DataError(
            f"argument `{argument}` must have shape (n_steps, {width}), but has shape {array.shape}"
        )
    return np.column_stack(list(_numbers(list(array.T), sensors, first_step, argument)))


def _numbers(
    columns: Sequence[Any], sensors: Sequence[Sensor], first_step: int, argument: str
) -> Iterator[Array]:
    for place in places(sensors):
        sensor, labels = place.sensor, getattr(place.sensor, "labels", ())
        names = column_names(sensor)
        for name, cells in zip(names, columns[place.columns], strict=True):
            values = read_values(cells, repr(name), argument)
            if labels and (values.family == "label" or are_texts(labels)):
                yield _from_labels(values, sensor, labels, first_step, argument)
            elif values.numbers is None or values.family not in ("number", "boolean"):
                what = {"label": "texts", "number": "too large numbers"}.get(values.family)
                raise DataError(
                    f"argument `{argument}` must hold {sensor.wanted} for sensor '{sensor.name}', "
                    f"but column {name!r} holds {what or values.family + 's'}"
                )
            else:
                yield values.numbers


def _from_labels(
    values: Values, sensor: Sensor, labels: Sequence[Any], first_step: int, argument: str
) -> Array:
    """What stands in the rows for the labels of a column."""
    codes, distinct = values.labelled()
    out = np.full(len(codes), np.nan)
    for k, label in enumerate(distinct):
        here = codes == k
        step = first_step + int(np.argmax(here))
        whose = (
            f"argument `{argument}` must hold labels of sensor '{sensor.name}', "
            f"but step {step} holds"
        )
        (place,) = positions_of(labels, [label], whose)
        out[here] = column_values(labels)[int(place)]
    return out
