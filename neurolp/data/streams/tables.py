"""Streams from CSV files, a row a step."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.data.streams.columns import Cells, Coding, Layout, Symbols, check_values, lay_out
from neurolp.data.streams.source import CHUNK, Chunk, Stream
from neurolp.data.tables import csv_header, is_number, wrong_width
from neurolp.errors import DataError
from neurolp.stream.sensors import Sensor

Array = npt.NDArray[Any]

_CELLS = 1 << 17  # read at once
_MISSING = ("", "nan", "na")


def open_csv(
    path: Path,
    *,
    columns: Sequence[str | int] | None = None,
    symbols: Symbols = (),
    vector: bool | str = False,
    sensors: Sensor | Sequence[Sensor] | None = None,
    header: bool | None = None,
) -> Stream:
    """Rows of a CSV file; see :func:`neurolp.data.streams.open_stream`.

    The file is read through once at the start, in pieces: to count its rows, to learn its symbols,
    and to find what cannot be used before a long run rather than in it.
    """
    names, delimiter, has_header = csv_header(path, header)
    layout = lay_out(str(path), names, columns, symbols, vector, sensors)
    table = _Table(path, delimiter, has_header, len(names), layout)
    cells = {
        c: Cells(str(path), layout.names[c], n)
        for c, n in enumerate(layout.counts)
        if n is not None
    }
    n_steps = 0
    for lines, rows in table.pieces():
        table.values(lines, rows, None)
        for c, gathered in cells.items():
            column = {row[layout.positions[c]].strip() for row in rows}
            gathered.add({cell for cell in column if cell.lower() not in _MISSING})
        n_steps += len(rows)
    if not n_steps:
        raise DataError(f"{path}: has no rows below its header")
    codings = {c: gathered.coding() for c, gathered in cells.items()}
    layout = layout.coded(codings)
    table = _Table(path, delimiter, has_header, len(names), layout)

    def chunks(start: int) -> Iterator[Chunk]:
        for lines, rows in table.pieces(start):
            yield table.values(lines, rows, codings), None

    if None in codings.values():  # symbols that are numbers: only now can they be looked at
        for _ in chunks(0):
            pass
    return Stream(
        name=str(path),
        sensors=layout.sensors,
        chunks=chunks,
        n_steps=n_steps,
        description=f"rows of {path}",
        alphabets=layout.alphabets(codings),
    )


@dataclass(frozen=True)
class _Table:
    """A CSV file, and what its columns mean."""

    path: Path
    delimiter: str
    has_header: bool
    n_columns: int
    layout: Layout

    def pieces(self, start: int = 0) -> Iterator[tuple[list[int], list[list[str]]]]:
        """Lines of the file, and rows of cells, from row ``start`` on; empty lines are skipped."""
        size = max(1, min(CHUNK, _CELLS // self.n_columns))
        lines: list[int] = []
        rows: list[list[str]] = []
        skip = start + self.has_header
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as stream:
                reader = csv.reader(stream, delimiter=self.delimiter)
                for row in reader:
                    if not row:
                        continue
                    if len(row) != self.n_columns:
                        raise DataError(
                            wrong_width(self.path, reader.line_num, len(row), self.n_columns)
                        )
                    if skip:
                        skip -= 1
                        continue
                    rows.append(row)
                    lines.append(reader.line_num)
                    if len(rows) == size:
                        yield lines, rows
                        lines, rows = [], []
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: not a text file in UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{self.path}: line {reader.line_num}: {error}") from error
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read, {error.strerror}") from error
        if rows:
            yield lines, rows

    def values(
        self, lines: list[int], rows: list[list[str]], codings: dict[int, Coding | None] | None
    ) -> Array:
        """Rows of the stream, checked; without ``codings`` all symbols are still missing."""
        out = np.full((len(rows), len(self.layout.positions)), np.nan)
        for c, position in enumerate(self.layout.positions):
            cells = [row[position] for row in rows]
            coding = codings[c] if codings is not None and c in codings else None
            if coding is not None:
                out[:, c] = [self._symbol(cell.strip(), coding) for cell in cells]
            elif self.layout.counts[c] is None or codings is not None:
                try:
                    out[:, c] = np.fromiter(map(float, cells), np.float64, len(cells))
                except ValueError:
                    out[:, c] = [self._number(c, n, s) for n, s in zip(lines, cells, strict=True)]
        check_values(str(self.path), self.layout, out, "line", lines)
        return out

    def _symbol(self, cell: str, coding: Coding) -> float:
        if cell.lower() in _MISSING:
            return np.nan
        if cell not in coding.number:
            raise DataError(f"{self.path}: has changed since it was opened")
        return coding.number[cell]

    def _number(self, column: int, line: int, cell: str) -> float:
        if cell.strip().lower() in _MISSING:
            return np.nan
        if not is_number(cell):
            raise DataError(
                f"{self.path}: column '{self.layout.names[column]}', line {line}: wanted a number, "
                f"but found {cell!r} (columns of text are to be declared as `symbols`)"
            )
        return float(cell)
