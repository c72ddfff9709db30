"""Streams from CSV files, a row a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.data.csv_file import CsvFile, Piece
from neurolp.data.streams.columns import Cells, Layout, Symbols, check_values, lay_out, symbols_of
from neurolp.data.streams.source import CHUNK, Chunk, Stream
from neurolp.errors import DataError
from neurolp.stream.sensors import Sensor

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
    file = CsvFile.open(path, header)
    layout = lay_out(str(path), file.names, columns, symbols, vector, sensors)
    table = _Table(file, layout)
    cells = {
        c: Cells(str(path), layout.names[c], n)
        for c, n in enumerate(layout.counts)
        if n is not None
    }
    n_steps = 0
    for piece in file.pieces(most_rows=CHUNK):
        table.values(piece, None)
        rows = piece[1]
        for c, gathered in cells.items():
            column = {row[layout.positions[c]].strip() for row in rows}
            gathered.add({cell for cell in column if cell.lower() not in _MISSING})
        n_steps += len(rows)
    if not n_steps:
        raise DataError(f"{path}: has no rows below its header")
    codings = {c: gathered.coding() for c, gathered in cells.items()}
    layout = layout.coded(codings)
    table = _Table(file, layout)

    def chunks(start: int) -> Iterator[Chunk]:
        for piece in file.pieces(start, CHUNK):
            yield table.values(piece, codings), None

    if None in codings.values():  # symbols that are numbers are checked here
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
    """A CSV file and the layout of its columns."""

    file: CsvFile
    layout: Layout

    def values(self, piece: Piece, codings: dict[int, Column | None] | None) -> Array:
        """Rows of the stream, checked; without ``codings`` all symbols are still missing."""
        lines, rows = piece
        out = np.full((len(rows), len(self.layout.positions)), np.nan)
        for c, position in enumerate(self.layout.positions):
            coding = codings[c] if codings is not None and c in codings else None
            if coding is not None and coding.family == "label":
                cells: Array = np.array([row[position].strip() for row in rows], dtype=object)
                cells[[cell.lower() in _MISSING for cell in cells]] = None
                out[:, c] = symbols_of(str(self.file.path), coding, cells)
            elif self.layout.counts[c] is None or codings is not None:
                hint = " (columns of text are to be declared as `symbols`)"
                out[:, c] = self.file.numbers(piece, position, missing=_MISSING, hint=hint)
                if coding is not None:
                    out[:, c] = symbols_of(str(self.file.path), coding, out[:, c])
        check_values(str(self.file.path), self.layout, out, "line", lines)
        return out
