"""Frames from CSV files as people have them: numbers, text, booleans, dates and missing cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.csv_file import CsvFile
from neurolp.errors import DataError

MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")  # in small letters

_MOSTLY = 0.9  # of the cells: the others are taken for faults
_WHOLE = re.compile(r"[+-]?\d+")
_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?"
)
_BOOLEANS = {"true": True, "false": False}


def frame_of(
    file: CsvFile,
    columns: Sequence[int],
    missing_values: Collection[object] = (),
    text: Collection[int] = (),
) -> pd.DataFrame:
    """Columns of a CSV file as a frame.

    A column whose cells are all numbers (with decimal commas, where the delimiter is another)
    is int64 or float64; true and false, in any case, are booleans, dates of ISO 8601 datetimes, in
    UTC if they have zones. All other columns are text. Spaces around cells do not count; cells of
    ``MISSING`` and ``missing_values``, in any case, are missing.

    Parameters
    ----------
    file : CsvFile
        The file.
    columns : sequence of int
        Positions of the columns.
    missing_values : collection of str or number
        Further texts that stand for a missing value.
    text : collection of int
        Positions of columns that are text even where most of their cells are numbers.

    Raises
    ------
    DataError
        If there are no rows, or 9 of 10 cells of a column are numbers, or dates, but one is not; it
        names column, line and cell.
    """
    distinct: list[dict[str, int]] = [{} for _ in columns]
    codes: list[list[Array]] = [[] for _ in columns]
    for _, rows in file.pieces():
        for known, coded, j in zip(distinct, codes, columns, strict=True):
            coded.append(np.array([known.setdefault(row[j], len(known)) for row in rows]))
    if not codes[0]:
        raise DataError(f"{file.path}: has no rows below its header")
    own = {str(value).strip().lower() for value in missing_values}
    # -999 is missing also where it is written as -999.0.
    numbers = {number for word in own if (number := _number(word)) is not None}
    absent = {*MISSING, *own}
    out = {}
    for known, coded, j in zip(distinct, codes, columns, strict=True):
        cells = _Cells(
            file, j, [cell.strip() for cell in known], np.concatenate(coded), absent, numbers
        )
        out[file.names[j]] = cells.array(j in text)
    return pd.DataFrame(out)


def _number(text: str) -> float | None:
    """What a text is as a number, None if it is none."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


class _Cells:
    """The cells of one column: distinct ``texts`` and the ``codes`` of the rows."""

    def __init__(
        self,
        file: CsvFile,
        column: int,
        texts: list[str],
        codes: Array,
        absent: Collection[str],
        absent_numbers: Collection[float],
    ) -> None:
        self.file, self.column = file, column
        self.present = np.array([text.lower() not in absent for text in texts])
        if absent_numbers:
            self.present &= [self.number(text) not in absent_numbers for text in texts]
        self.texts, self.codes = texts, codes
        self.used = [text for text, there in zip(texts, self.present, strict=True) if there]

    def array(self, as_text: bool) -> Any:
        """The column as an array of the dtype that fits its cells."""
        if not self.used:
            return np.full(len(self.codes), np.nan)
        if all(text.lower() in _BOOLEANS for text in self.used):
            values = [_BOOLEANS[text.lower()] for text in self.used]
            return self.rows(values, "bool" if self.present.all() else "boolean")
        numbers = [self.number(text) for text in self.used]
        if None not in numbers:
            return self.of_numbers(numbers)
        dates = [_DATE.fullmatch(text) for text in self.used]
        real = [bool(date) for date in dates]
        zones = {bool(date and date[1]) for date in dates}
        if all(real) and len(zones) == 1:
            times = pd.to_datetime(
                self.used, format="ISO8601", utc=zones == {True}, errors="coerce"
            )
            real = list(times.notna())  # there may be no such day
            if all(real):
                return self.rows(times, times.dtype)
        if not as_text:
            self.check_mostly("a number", [number is not None for number in numbers])
            self.check_mostly("a date", real)
        return self.rows(self.used, "str")

    def number(self, text: str) -> float | None:
        """What a cell is as a number, None if it is none."""
        if self.file.delimiter != "," and text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        return _number(text)

    def of_numbers(self, numbers: Sequence[float | None]) -> Any:
        """The rows as integers, nullable if some are missing, or float64."""
        values = np.array(numbers, dtype=np.float64)
        if not np.isfinite(values).all():
            wrong = self.used[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise self.fault(lambda text: text == wrong, f"value is infinite ({wrong})")
        if all(_WHOLE.fullmatch(text) for text in self.used):
            whole = [int(text) for text in self.used]
            if max(map(abs, whole)) < 2**63:
                return self.rows(whole, "int64" if self.present.all() else "Int64")
            return self.rows(whole, "object")
        return self.rows(values, "float64")

    def rows(self, values: Any, dtype: Any) -> Any:
        """Values of the cells that are there, in the order of the rows."""
        places = np.where(self.present, np.cumsum(self.present) - 1, -1)[self.codes]
        return pd.api.extensions.take(pd.array(values, dtype=dtype), places, allow_fill=True)

    def check_mostly(self, what: str, fits: Sequence[bool]) -> None:
        """Raise ``DataError`` where nearly all cells fit, but not all."""
        counts = np.bincount(self.codes, minlength=len(self.texts))[self.present]
        share = counts[np.array(fits)].sum() / counts.sum()
        if share < _MOSTLY or all(fits):
            return
        words = {text for text, fit in zip(self.used, fits, strict=True) if not fit}
        word = next(text for text, fit in zip(self.used, fits, strict=True) if not fit)
        others = f" (and {len(words) - 1} other such values)" if len(words) > 1 else ""
        raise self.fault(
            lambda text: text == word,
            f"wanted {what}, as in {int(1000 * share) / 10:g}% of the rows, but found {word!r}"
            f"{others}; add it to `missing_values`, or declare the column nominal in `kinds`",
        )

    def fault(self, is_it: Callable[[str], bool], what: str) -> DataError:
        """What is wrong with the first such cell, with its line."""
        for lines, rows in self.file.pieces():
            for line, row in zip(lines, rows, strict=True):
                if is_it(row[self.column].strip()):
                    return self.file.fault(self.column, line, what)
        return DataError(f"{self.file.path}: has changed since it was opened")
