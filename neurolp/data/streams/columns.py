"""Columns of a file and their sensors: selection, coding of symbols, checks of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.column import Column, encoded
from neurolp.data.csv_file import is_number
from neurolp.data.streams.source import check_integer
from neurolp.data.tables import column_positions
from neurolp.data.values import Values
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import (
    CategoricalSensor,
    ContinuousSensor,
    Sensor,
    check_sensors,
    first_invalid,
)

Symbols = Mapping[str | int, int] | Sequence[str | int]

_MAX_SYMBOLS = 100_000


@dataclass(frozen=True)
class Layout:
    """Columns of a file and the sensors that they form.

    ``positions`` are the columns of the file in the order of the rows of the stream, ``names``
    their names; ``counts[j]`` is None for numbers, else the number of symbols, 0 where the file
    decides.
    """

    positions: tuple[int, ...]
    names: tuple[str, ...]
    counts: tuple[int | None, ...]
    sensors: tuple[Sensor, ...]

    def coded(self, codings: Mapping[int, Column | None]) -> Layout:
        """The same with as many symbols as were found, by column of the rows."""
        sensors, start = list(self.sensors), 0
        for k, sensor in enumerate(self.sensors):
            coding = codings.get(start)
            if self.counts[start] == 0 and coding:
                sensors[k] = CategoricalSensor(len(coding.categories), sensor.name)
            start += sensor.n_columns
        return replace(self, sensors=tuple(sensors))

    def alphabets(self, codings: Mapping[int, Column | None]) -> dict[str, tuple[str, ...]] | None:
        """Sensor name -> what its symbols stand for, where they stand for something else."""
        out, start = {}, 0
        for sensor in self.sensors:
            coding = codings.get(start)
            if coding is not None:
                out[sensor.name] = tuple(map(_text, coding.categories))
            start += sensor.n_columns
        return out or None


def lay_out(
    title: str,
    names: tuple[str, ...],
    columns: Sequence[str | int] | None,
    symbols: Symbols,
    vector: bool | str,
    sensors: Sensor | Sequence[Sensor] | None,
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
        if symbols or vector:
            raise ConfigurationError(
                "argument `sensors` must not be given together with `symbols` or `vector`"
            )
        given = check_sensors(sensors)
        width = sum(s.n_columns for s in given)
        if width != len(chosen):
            raise ConfigurationError(
                f"argument `sensors` must have {len(chosen)} columns in all, one for each column "
                f"of {title}, but has {width}"
            )
        counts: list[int | None] = []
        for s in given:
            counts += [s.n_symbols or None] * s.n_columns
        return Layout(tuple(chosen), tuple(names[j] for j in chosen), tuple(counts), given)
    declared = _declared(title, names, symbols)
    if set(declared) - set(chosen):
        raise ConfigurationError(
            f"argument `symbols` must name columns that are used, "
            f"but '{names[min(set(declared) - set(chosen))]}' is not"
        )
    numeric = [j for j in chosen if j not in declared]
    if vector and not numeric:
        raise ConfigurationError("argument `vector` needs columns of numbers, but there are none")
    order: list[int] = []
    found: list[Sensor] = []
    for j in chosen:
        if j in declared:
            found.append(CategoricalSensor(max(declared[j], 2), names[j]))
            order.append(j)
        elif not vector:
            found.append(ContinuousSensor(1, names[j]))
            order.append(j)
        elif j == numeric[0]:
            name = vector if isinstance(vector, str) else "vector"
            found.append(ContinuousSensor(len(numeric), name))
            order += numeric
    return Layout(
        tuple(order),
        tuple(names[j] for j in order),
        tuple(declared.get(j) for j in order),
        check_sensors(found),
    )


def _declared(title: str, names: tuple[str, ...], symbols: Symbols) -> dict[int, int]:
    """Position -> number of symbols (0: the file decides)."""
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
        j: check_integer(f"symbols[{column}]", n, 2)
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

    def coding(self) -> Column | None:
        """The column whose categories are the symbols; None where numbers are them already.

        Numbers are in their order and equal ones (1 and 1.0) are the same symbol; else the order is
        that of the text. Numbers in a column of a given number of symbols stand for themselves.
        """
        numbers = all(is_number(str(cell)) for cell in self.seen)
        if numbers and self.n_symbols:
            return None
        categories = tuple(sorted({float(cell) for cell in self.seen} if numbers else self.seen))
        n = len(categories)
        if self.n_symbols and n > self.n_symbols:
            raise DataError(
                f"{self.title}: column '{self.name}' has {n} different symbols, "
                f"but {self.n_symbols} were declared"
            )
        if n < 2:
            what = f"only one symbol, {_text(categories[0])!r}" if n else "no symbols"
            raise DataError(f"{self.title}: column '{self.name}' has {what}")
        dtype = "float64" if numbers else "object"
        return Column(self.name, "nominal", dtype, categories=categories)


def symbols_of(title: str, coding: Column, cells: Array) -> Array:
    """Symbols (n,) of cells that are numbers or texts; NaN where these are NaN or None."""
    values = Values(coding.family, coding.dtype, cells, None, np.asarray(pd.isna(cells)))
    out = encoded(coding, values, coding.name, title)
    if np.any(out == len(coding.categories)):
        raise DataError(f"{title}: has changed since it was opened")
    return out


def _text(symbol: str | float) -> str:
    whole = isinstance(symbol, float) and symbol.is_integer()
    return str(int(symbol) if whole else symbol)


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
