"""Columns of a file and their sensors: selection, coding of symbols, checks of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neurolp.arrays import Array
from neurolp.data.csv_file import is_number
from neurolp.data.streams.source import check_integer
from neurolp.data.tables import column_positions
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.count_sensor import CountSensor
from neurolp.stream.labels import Label, check_labels, text_of
from neurolp.stream.sensors import (
    CategoricalSensor,
    ContinuousSensor,
    Sensor,
    check_sensors,
    first_invalid,
)
from neurolp.stream.spike_sensor import SpikeSensor

Symbols = Mapping[str | int, int | Sequence[Label]] | Sequence[str | int]

_MAX_SYMBOLS = 100_000


@dataclass(frozen=True)
class Layout:
    """Columns of a file and the sensors that they form.

    ``positions`` are the columns of the file in the order of the rows of the stream, ``names``
    their names; ``counts[j]`` is None for numbers, else the number of symbols, 0 where the file
    decides; ``labels[j]`` are those of the symbols, empty where there are none, or none yet.
    """

    positions: tuple[int, ...]
    names: tuple[str, ...]
    counts: tuple[int | None, ...]
    sensors: tuple[Sensor, ...]

    @property
    def labels(self) -> tuple[tuple[Label, ...], ...]:
        """What the symbols in each column stand for."""
        return tuple(getattr(s, "labels", ()) for s in self.sensors for _ in range(s.n_columns))

    def labelled(self, found: Mapping[int, tuple[Label, ...]]) -> Layout:
        """The same with the labels that were found, by column of the rows."""
        sensors, start = list(self.sensors), 0
        for k, sensor in enumerate(self.sensors):
            if start in found:
                sensors[k] = CategoricalSensor(found[start], sensor.name)
            start += sensor.n_columns
        return replace(self, sensors=tuple(sensors))


def lay_out(
    title: str,
    names: tuple[str, ...],
    columns: Sequence[str | int] | None,
    symbols: Symbols,
    vector: bool | str,
    sensors: Sensor | Sequence[Sensor] | None,
    counts: Sequence[str | int] = (),
    spikes: Sequence[str | int] = (),
) -> Layout:
    """Layout with one sensor a column; ``vector`` joins the columns of numbers in one sensor.

    The one sensor has the position of its first column. ``sensors`` gives instead the
    sensors of the chosen columns, in their order.

    Raises
    ------
    ConfigurationError, DataError
        If a column does not exist, or the arguments contradict each other.
    """
    chosen = column_positions(names, range(len(names)) if columns is None else columns, title)
    if sensors is not None:
        if symbols or vector or counts or spikes:
            raise ConfigurationError(
                "argument `sensors` must not be given together with `symbols`, `counts`, `spikes` "
                "or `vector`"
            )
        given = check_sensors(sensors)
        width = sum(s.n_columns for s in given)
        if width != len(chosen):
            raise ConfigurationError(
                f"argument `sensors` must have {len(chosen)} columns in all, one for each column "
                f"of {title}, but has {width}"
            )
        sizes: list[int | None] = []
        for s in given:
            sizes += [s.n_symbols if isinstance(s, CategoricalSensor) else None] * s.n_columns
        return Layout(tuple(chosen), tuple(names[j] for j in chosen), tuple(sizes), given)
    declared = _declared(title, names, symbols)
    if set(declared) - set(chosen):
        raise ConfigurationError(
            f"argument `symbols` must name columns that are used, "
            f"but '{names[min(set(declared) - set(chosen))]}' is not"
        )
    events: dict[int, type[CountSensor | SpikeSensor]] = {}
    for argument, kind, which in (("counts", CountSensor, counts), ("spikes", SpikeSensor, spikes)):
        for j in _named(argument, title, names, which):
            if j not in chosen or j in declared or j in events:
                raise ConfigurationError(
                    f"argument `{argument}` must name columns that are used, and as nothing else, "
                    f"but '{names[j]}' is not"
                )
            events[j] = kind
    numeric = [j for j in chosen if j not in declared and j not in events]
    if vector and not numeric:
        raise ConfigurationError("argument `vector` needs columns of numbers, but there are none")
    order: list[int] = []
    found: list[Sensor] = []
    for j in chosen:
        if j in declared:
            n = declared[j]
            found.append(CategoricalSensor(n if isinstance(n, tuple) else max(n, 2), names[j]))
            order.append(j)
        elif j in events:
            found.append(events[j](names[j]))
            order.append(j)
        elif not vector:
            found.append(ContinuousSensor(1, names[j]))
            order.append(j)
        elif j == numeric[0]:
            name = vector if isinstance(vector, str) else "vector"
            found.append(ContinuousSensor([names[i] for i in numeric], name))
            order += numeric
    return Layout(
        tuple(order),
        tuple(names[j] for j in order),
        tuple(_count(declared.get(j)) for j in order),
        check_sensors(found),
    )


def _named(
    argument: str, title: str, names: tuple[str, ...], given: Sequence[str | int]
) -> list[int]:
    if isinstance(given, str):
        raise ConfigurationError(
            f"argument `{argument}` must be a list of columns, but is {given!r}"
        )
    return list(column_positions(names, list(given), title)) if len(given) else []


def _count(declared: int | tuple[Label, ...] | None) -> int | None:
    return len(declared) if isinstance(declared, tuple) else declared


def _declared(
    title: str, names: tuple[str, ...], symbols: Symbols
) -> dict[int, int | tuple[Label, ...]]:
    """Position -> number of symbols (0: the file decides), or their labels."""
    if not symbols:
        return {}
    if isinstance(symbols, str):
        raise ConfigurationError(
            f"argument `symbols` must be a list of columns, or give the number of symbols of each, "
            f"but is {symbols!r}"
        )
    positions = column_positions(names, list(symbols), title)
    if not isinstance(symbols, Mapping):
        return dict.fromkeys(positions, 0)
    return {
        j: check_labels(n)
        if isinstance(n, Sequence) and not isinstance(n, str)
        else check_integer(f"symbols[{column}]", n, 2)
        for j, (column, n) in zip(positions, symbols.items(), strict=True)
    }


class Cells:
    """The distinct cells of a column of symbols, collected over a file, and their coding."""

    def __init__(self, title: str, name: str, n_symbols: int) -> None:
        self.title, self.name, self.n_symbols = title, name, n_symbols
        self.seen: set[Any] = set()

    def add(self, cells: set[Any]) -> None:
        """Add cells, none of them missing."""
        self.seen |= cells
        if len(self.seen) > _MAX_SYMBOLS:
            raise DataError(
                f"{self.title}: column '{self.name}' has more than {_MAX_SYMBOLS} different "
                f"symbols; is it a column of numbers?"
            )

    def labels(self) -> tuple[Label, ...]:
        """The labels of the symbols; none where numbers are the symbols already.

        Numbers are in their order and equal ones (1 and 1.0) are the same label; else the order is
        that of the text. Numbers in a column of a given number of symbols stand for themselves.
        """
        numbers = all(is_number(str(cell)) for cell in self.seen)
        if numbers and self.n_symbols:
            return ()
        found = sorted({float(cell) for cell in self.seen} if numbers else self.seen)
        n = len(found)
        if self.n_symbols and n != self.n_symbols:
            hint = "; a list of the labels declares them" if n < self.n_symbols else ""
            raise DataError(
                f"{self.title}: column '{self.name}' has {n} different symbols, "
                f"but {self.n_symbols} were declared{hint}"
            )
        if n < 2:
            what = f"only one symbol, {text_of(found[0])!r}" if n else "no symbols"
            raise DataError(f"{self.title}: column '{self.name}' has {what}")
        return tuple(int(x) if numbers and x.is_integer() else x for x in found)


def check_values(
    title: str, layout: Layout, rows: Array, kind: str, numbers: Sequence[int]
) -> None:
    """Raise ``DataError`` that names column and position unless the rows are valid for all sensors.

    Row i is ``kind`` (line, row) ``numbers[i]`` of the file.
    """
    fault = first_invalid(rows, layout.sensors)
    if fault is not None:
        row, column, sensor = fault
        raise DataError(
            f"{title}: column '{layout.names[column]}', {kind} {numbers[row]}: "
            f"wanted {sensor.wanted.rstrip(',')}, but found {rows[row, column]:g}"
        )
