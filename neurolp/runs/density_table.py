"""What a brain simulation reads, and what it says of tables with columns of any kind."""

from __future__ import annotations

import time
from collections import Counter
from typing import NamedTuple

import numpy as np

from neurolp.arrays import Array, NamedArrays
from neurolp.config.sections import DataSection
from neurolp.data.columns import Columns
from neurolp.data.problems_2d import PROBLEM_NAMES
from neurolp.data.table_split import TableSplit, continuous_split, load_table
from neurolp.data.tables import LINE_NAMES, DataSplit, load_data
from neurolp.estimators.table_cells import moving_columns
from neurolp.evaluation.baselines import gaussian, gaussian_mixture
from neurolp.evaluation.table_baselines import table_baselines
from neurolp.runs.kinds import SummaryTable
from neurolp.storage.reader import Trajectory

_PARTS = ("train", "validation", "test")
_SHOWN_ROWS = 1000  # test rows that a file keeps, for the figures
_SHOWN_COLUMNS, _SHOWN_TEXT = 20, 60  # of the summary; letters of what a column holds


class Row(NamedTuple):
    """One row of the summary: nats per sample on test data."""

    model: str
    log_prob: float
    seconds: float


def read_data(section: DataSection, model: str) -> DataSplit | TableSplit:
    """The data that a section describes, for a brain of this ``model``.

    Frames for the model "density", whose columns may be of any kind, unless noise is added to them.

    Raises
    ------
    DataError, ConfigurationError
        One line that says what is wrong, where.
    """
    keys = section.model_dump()
    dequantise, kinds, texts = (keys.pop(k) for k in ("dequantise", "kinds", "missing_values"))
    if dequantise or section.name in PROBLEM_NAMES + LINE_NAMES:
        return load_data(**keys)
    table = load_table(**keys, kinds=kinds, missing_values=texts)
    return table if model == "density" else continuous_split(table, f"model '{model}'")


def all_continuous(columns: Columns, codes: dict[str, Array]) -> bool:
    """Whether all columns but constants are continuous, without atoms or holes."""
    possible = np.flatnonzero([kind != "constant" for kind in columns.kinds])
    moving = moving_columns(list(columns), codes["train"])
    holes = any(np.isnan(part[:, possible]).any() for part in codes.values())
    return len(possible) > 0 and len(moving) == len(possible) and not holes


def compare(train: Array, validation: Array, test: Array, seed: int) -> list[Row]:
    """A Gaussian and a Gaussian mixture, fitted to rows of numbers."""
    rows = []
    began = time.monotonic()
    plain = gaussian(train, test)
    if plain is not None:
        rows.append(Row(plain.name, plain.test_log_prob, time.monotonic() - began))
    began = time.monotonic()
    mixture = gaussian_mixture(train, validation, test, seed % 2**32)
    rows.append(Row(mixture.name, mixture.test_log_prob, time.monotonic() - began))
    return rows


def compare_codes(columns: Columns, codes: dict[str, Array], seed: int) -> list[Row]:
    """What fits the kinds of the columns, fitted to codes (n, n_columns) by split.

    As :func:`compare` where all columns but constants are continuous, without atoms or holes; else
    a mixture of products and a Chow-Liu tree. Test rows have to be possible.
    """
    if all_continuous(columns, codes):
        moving = moving_columns(list(columns), codes["train"])
        train, validation, test = (codes[part][:, moving] for part in _PARTS)
        return compare(train, validation, test, seed)
    train, validation, test = (codes[part] for part in _PARTS)
    found = table_baselines(list(columns), train, validation, test, seed)
    return [Row(baseline.name, baseline.test_log_prob, seconds) for baseline, seconds in found]


def table_to_arrays(names: tuple[str, ...], columns: Columns, test: Array) -> NamedArrays:
    """What the columns are, and the first test rows as codes (n, n_columns), as they are shown."""
    out = NamedArrays()
    shown = test[:_SHOWN_ROWS]
    table = columns.to_frame().assign(column=names)
    out.add_coordinate("column", np.arange(len(columns)), "1", "column of the data")
    out.add_coordinate("shown_row", np.arange(len(shown)), "1", "test row, in their order")
    for name, (key, what) in _COLUMN.items():
        out.add(name, ("column",), table[key].to_numpy(np.str_), "1", what)
    share = np.array([column.missing_share for column in columns])
    out.add("column_missing", ("column",), share, "1", "share of training rows without a value")
    what = "codes of test rows: numbers, places of categories, NaN where missing"
    out.add("shown_codes", ("shown_row", "column"), shown, "1", what)
    return out


def kinds_table(file: Trajectory) -> list[SummaryTable]:
    """The columns and their kinds; none where all are continuous, without atoms or holes."""
    if "column_kind" not in file:
        return []
    names, kinds, values = (file[f"column_{key}"].values for key in ("name", "kind", "values"))
    missing = [f"{share:.1%}" if share else "" for share in file["column_missing"].values]
    if {*kinds, *values, *missing} <= {"continuous", ""}:
        return []
    what = (f"{kind}, {text}" if text else kind for kind, text in zip(kinds, values, strict=True))
    rows = [
        (_short(str(name)), _short(text), share)
        for name, text, share in zip(names, what, missing, strict=True)
    ]
    title = f"The {len(rows)} columns, as training rows have them"
    if len(rows) > _SHOWN_COLUMNS:
        listed = ", ".join(f"{n} {kind}" for kind, n in Counter(kinds.tolist()).most_common())
        title = f"The first {_SHOWN_COLUMNS} of {len(rows)} columns ({listed})"
    return [SummaryTable(title, ("column", "kind", "missing"), rows[:_SHOWN_COLUMNS])]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else text[: _SHOWN_TEXT - 3] + "..."


_COLUMN = {
    "column_name": ("column", "name of a column"),
    "column_kind": ("kind", "kind of a column: continuous, ordinal, nominal or constant"),
    "column_dtype": ("dtype", "dtype of a column"),
    "column_values": ("values", "categories, levels or atoms of a column in a few words"),
}
