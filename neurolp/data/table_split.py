"""Tables of any columns, read as they are and split: frames for training, validation and test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.columns import Columns
from neurolp.data.tables import (
    MIN_ROWS,
    PARQUET_SUFFIXES,
    TEXT_SUFFIXES,
    DataSplit,
    named_table,
    read_frame,
    select,
    split_rows,
)
from neurolp.errors import DataError


@dataclass(frozen=True)
class TableSplit:
    """A table of any ``columns``: frames, or arrays where the columns have no names of their own.

    ``known`` are the columns as ``train`` has them, with the ``kinds`` that were asked for.
    ``image_shape`` is set where a row is an image.
    """

    title: str
    train: Any
    validation: Any
    test: Any
    columns: tuple[str, ...]
    known: Columns
    kinds: dict[str | int, str]
    image_shape: tuple[int, int] | None = None

    def codes(self) -> dict[str, Array]:
        """Codes (n, n_columns) of the rows by split, NaN where a value is missing."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: self.known.encode(frame, self.title) for name, frame in parts.items()}


def load_table(
    name: str | None = None,
    file: str | Path | None = None,
    *,
    dataset: str | None = None,
    columns: Sequence[str | int] | None = None,
    missing_values: Collection[str | float] = (),
    kinds: Mapping[str | int, str] | None = None,
    split_seed: int = 0,
) -> TableSplit:
    """Read a table and split it as :func:`neurolp.data.tables.load_data`, without adding noise.

    Parameters
    ----------
    name : str, optional
        A data set of scikit-learn, one of ``TABLE_NAMES``. Exactly one of it and ``file`` is given.
    file : path, optional
        Any file that :func:`neurolp.data.tables.read_frame` reads, with ``dataset``, ``columns``,
        ``missing_values`` and ``kinds`` as there.
    split_seed : int
        Seed of the split.

    Raises
    ------
    DataError
        If the file cannot be read, has fewer than ten rows, an infinite value or no values at all.
    ConfigurationError
        If ``kinds`` has an unknown column or kind, or one that a column cannot have.
    """
    if (name is None) == (file is None):
        raise DataError("data must be given by exactly one of `name` and `file`")
    image = None
    if name is not None:
        title = name
        table, names = select(*named_table(name), columns, name)
        frame = pd.DataFrame(table, columns=list(names))
        image = (8, 8) if name == "digits" and columns is None else None
    else:
        path = Path(str(file))
        title = str(path)
        frame = read_frame(path, dataset, columns, missing_values, kinds)
    _check_frame(frame, title)
    names, asked = tuple(frame.columns), dict(kinds or {})
    parts: list[Any] = [frame.iloc[rows] for rows in split_rows(len(frame), split_seed)]
    if file is not None and Path(file).suffix.lower() not in TEXT_SUFFIXES + PARQUET_SUFFIXES:
        parts = [part.to_numpy() for part in parts]
        asked = {names.index(str(c)) if c in names else c: kind for c, kind in asked.items()}
    known = Columns.infer(parts[0], kinds=asked, name=title)
    train, validation, test = parts
    return TableSplit(title, train, validation, test, names, known, asked, image)


def continuous_split(table: TableSplit, reader: str) -> DataSplit:
    """The numbers of a table whose columns are all continuous, for a model called ``reader``.

    Raises
    ------
    DataError
        If a column is of another kind or has missing values; it names the column.
    """
    for name, column in zip(table.columns, table.known, strict=True):
        what = f"{table.title}: column '{name}' is {column.kind}"
        if column.kind == "constant":
            raise DataError(f"{what} ({column.describe()}), it has no density")
        if column.kind == "nominal" and column.family != "number":
            raise DataError(f"{what}, but {reader} takes numbers; model 'density' takes any column")
        if column.kind != "continuous":
            raise DataError(
                f"{what}, but {reader} takes continuous columns; key 'data.dequantise' = true adds "
                f"noise to it, and 'data.kinds' = {{'{name}' = \"continuous\"}} takes it as "
                "it is"
            )
    parts = table.codes()
    for part in parts.values():
        for j in np.flatnonzero(np.isnan(part).any(axis=0)):
            raise DataError(
                f"{table.title}: column '{table.columns[j]}' has missing values, which {reader} "
                "does not take; model 'density' does"
            )
    steps = np.zeros(len(table.columns))
    return DataSplit(
        table.title, columns=table.columns, steps=steps, image_shape=table.image_shape, **parts
    )


def _check_frame(frame: pd.DataFrame, title: str) -> None:
    if len(frame) < MIN_ROWS:
        raise DataError(f"{title}: wanted at least {MIN_ROWS} rows, but it has {len(frame)}")
    if frame.shape[1] == 0:
        raise DataError(f"{title}: wanted at least one column, but it has none")
    for name, column in frame.items():
        if column.dtype.kind != "f":
            continue
        infinite = np.flatnonzero(np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan)))
        if len(infinite):
            more = f" (and {len(infinite) - 1} more)" if len(infinite) > 1 else ""
            row = infinite[0]
            raise DataError(f"{title}: column '{name}', row {row}: value is infinite{more}")
    if bool(frame.isna().all(axis=None)):
        raise DataError(f"{title}: wanted values, but all of {frame.shape} are missing")
