"""CSV files, read in pieces: cells, numbers, and errors that name the line and the column."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from neurolp.arrays import Array
from neurolp.errors import DataError

Piece = tuple[list[int], list[list[str]]]

_CELLS = 1 << 17  # read at once


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, the ``names`` of its columns, its delimiter, and whether it has a header."""

    path: Path
    names: tuple[str, ...]
    delimiter: str
    has_header: bool

    @classmethod
    def open(cls, path: Path, header: bool | None = None) -> Self:
        """Open a file; the delimiter is the most frequent of , ; and tab in its first line.

        ``header``: whether the first line is one; by default, whether no field is a number.

        Raises
        ------
        DataError
            If the file is not text, is empty, or two columns have the same name.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                first = stream.readline()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not a text file in UTF-8") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read, {error.strerror}") from error
        if not first.strip():
            raise DataError(f"{path}: is empty")
        delimiter = max(",;\t", key=first.count)
        fields = [field.strip() for field in next(csv.reader([first], delimiter=delimiter))]
        has_header = not any(is_number(field) for field in fields) if header is None else header
        names = tuple(fields) if has_header else tuple(f"column {j}" for j in range(len(fields)))
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{path}: two columns are named {twice!r}")
        return cls(path, names, delimiter, has_header)

    def pieces(self, start: int = 0, most_rows: int = 4096) -> Iterator[Piece]:
        """Line numbers, and rows of cells, from row ``start`` on; empty lines are skipped.

        Raises
        ------
        DataError
            If the file cannot be read, or a line has more or fewer fields than the first.
        """
        size = max(1, min(most_rows, _CELLS // len(self.names)))
        lines: list[int] = []
        rows: list[list[str]] = []
        skip = start + self.has_header
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as stream:
                reader = csv.reader(stream, delimiter=self.delimiter)
                for row in reader:
                    if not row:
                        continue
                    if len(row) != len(self.names):
                        raise DataError(
                            f"{self.path}: line {reader.line_num} has {len(row)} fields, "
                            f"but the first line has {len(self.names)}"
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

    def numbers(
        self, piece: Piece, column: int, *, missing: Sequence[str] = (), hint: str = ""
    ) -> Array:
        """One column of a piece as float64, NaN where its cell is, in small letters, ``missing``.

        Raises
        ------
        DataError
            If a cell is empty or no number, with the line, the column and ``hint``.
        """
        lines, rows = piece
        cells = [row[column] for row in rows]
        try:
            return np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            pass
        out = np.full(len(cells), np.nan)
        for i, cell in enumerate(cells):
            if cell.strip().lower() in missing:
                continue
            if not is_number(cell):
                wrong = f"wanted a number, but found {cell!r}{hint}"
                fault = wrong if cell.strip() else "value is missing"
                raise self.fault(column, lines[i], fault)
            out[i] = float(cell)
        return out

    def table(self, columns: Sequence[int]) -> Array:
        """Columns of numbers as a whole, (n_rows, n_columns); other columns may hold text."""
        parts = [
            np.column_stack([self.numbers(piece, j) for j in columns]) for piece in self.pieces()
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(columns)))

    def text(self, column: int) -> list[str]:
        """One column as text, no cell of which may be empty."""
        out = []
        for lines, rows in self.pieces():
            for line, row in zip(lines, rows, strict=True):
                if not row[column].strip():
                    raise self.fault(column, line, "value is missing")
                out.append(row[column].strip())
        return out

    def fault(self, column: int, line: int, what: str) -> DataError:
        """What is wrong in a line, as an error that names column and line."""
        return DataError(f"{self.path}: column '{self.names[column]}', line {line}: {what}")


def is_number(text: str) -> bool:
    """Whether a cell of a table can be read as a number, NaN among them."""
    try:
        float(text)
    except ValueError:
        return False
    return True
