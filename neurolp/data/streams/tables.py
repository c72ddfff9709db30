"""Streams from CSV files, a row a step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from neurolp.arrays import Array
from neurolp.data.csv_file import CsvFile, Piece
from neurolp.data.streams.columns import Cells, Layout, Symbols, check_values, lay_out
from neurolp.data.streams.source import CHUNK, Chunk, Stream
from neurolp.errors import DataError
from neurolp.stream.labels import are_texts, listed
from neurolp.stream.sensors import Sensor

_MISSING = ("", "nan", "na")


def open_csv(
    path: Path,
    *,
    columns: Sequence[str | int] | None = None,
    symbols: Symbols = (),
    vector: bool | str = False,
    sensors: Sensor | Sequence[Sensor] | None = None,
    counts: Sequence[str | int] = (),
    spikes: Sequence[str | int] = (),
    header: bool | None = None,
) -> Stream:
    """Rows of a CSV file; see :func:`neurolp.data.streams.open_stream`.

    The file is read through once at the start, in pieces: to count its rows, to learn its symbols,
    and to find what cannot be used before a long run rather than in it.
    """
    file = CsvFile.open(path, header)
    layout = lay_out(str(path), file.names, columns, symbols, vector, sensors, counts, spikes)
    unknown = [c for c, n in enumerate(layout.counts) if n is not None and not layout.labels[c]]
    cells = {c: Cells(str(path), layout.names[c], layout.counts[c] or 0) for c in unknown}
    n_steps = 0
    for piece in file.pieces(most_rows=CHUNK):
        _values(file, layout, piece, unknown)
        rows = piece[1]
        for c, gathered in cells.items():
            column = {row[layout.positions[c]].strip() for row in rows}
            gathered.add({cell for cell in column if cell.lower() not in _MISSING})
        n_steps += len(rows)
    if not n_steps:
        raise DataError(f"{path}: has no rows below its header")
    found = {c: labels for c, gathered in cells.items() if (labels := gathered.labels())}
    layout = layout.labelled(found)

    def chunks(start: int) -> Iterator[Chunk]:
        for piece in file.pieces(start, CHUNK):
            yield _values(file, layout, piece), None

    if len(found) < len(cells):  # symbols that are numbers are checked here
        for _ in chunks(0):
            pass
    return Stream(
        name=str(path),
        sensors=layout.sensors,
        chunks=chunks,
        n_steps=n_steps,
        description=f"rows of {path}",
    )


def _values(file: CsvFile, layout: Layout, piece: Piece, unknown: Collection[int] = ()) -> Array:
    """Rows of the stream, checked; the symbols of ``unknown`` columns are still missing."""
    lines, rows = piece
    out = np.full((len(rows), len(layout.positions)), np.nan)
    for c, position in enumerate(layout.positions):
        if c in unknown:
            continue
        if are_texts(labels := layout.labels[c]):
            place = {label: float(k) for k, label in enumerate(labels)}
            for i, row in enumerate(rows):
                cell = row[position].strip()
                number = np.nan if cell.lower() in _MISSING else place.get(cell)
                if number is None:
                    wanted = f"wanted one of the labels {listed(labels)}, but found {cell!r}"
                    raise file.fault(position, lines[i], wanted)
                out[i, c] = number
        else:
            hint = " (columns of text are to be declared as `symbols`)"
            out[:, c] = file.numbers(piece, position, missing=_MISSING, hint=hint)
    check_values(str(file.path), layout, out, "line", lines)
    return out
