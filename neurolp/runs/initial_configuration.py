"""A first configuration for a data file: TOML with comments that say what is in the file."""

from __future__ import annotations

import itertools
import json
import os
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from neurolp.data.column import Column
from neurolp.data.columns import Columns
from neurolp.data.csv_frame import MISSING
from neurolp.data.streams.opening import open_stream
from neurolp.data.table_split import load_table
from neurolp.data.tables import MIN_ROWS, TEXT_SUFFIXES, read_frame
from neurolp.errors import DataError
from neurolp.runs.kinds import configuration_of, run_kind
from neurolp.stream.sensors import column_names

_SHOWN = 4  # categories of a column
_LONGEST = 30  # letters of a name or a category
_MOST_NAMED = 50  # columns, all of which are listed in a key
_THE_SAME = 0.9  # share of the rows in which two columns agree that are one


def initial_configuration(
    data: Path, output: Path, *, stream: bool = False, dataset: str | None = None
) -> str:
    """The text of a configuration at ``output`` that learns ``data``, and runs as it is.

    Comments say of each column its kind, inferred as the run will infer it, the share of missing
    values, the number of different ones, and their range.

    Parameters
    ----------
    data : path
        A table: CSV, Parquet, NPY, NPZ or HDF5; with ``stream`` what
        :func:`neurolp.data.streams.open_stream` reads.
    output : path
        Where the text is to be written; paths in it are relative to its folder.
    stream : bool
        Whether rows are steps of a sequence, in their order, and not independent.
    dataset : str, optional
        Which array of an NPZ or HDF5 file.

    Raises
    ------
    DataError, ConfigurationError
        If the file cannot be used: what a run of the configuration would say.
    """
    folder = output.absolute().parent
    shown = os.path.relpath(data.absolute(), folder)
    try:
        shown.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{data!r}: its name is not UTF-8, which a configuration is") from error
    keys = {"file": shown} | ({} if dataset is None else {"dataset": dataset})
    describe = _stream if stream else _table
    further, comments = describe(data, dataset)
    lines = [
        f"# `neurolp run {_plain(output.name)}` learns the probability of {_plain(data.name)}.",
        f"# Every key, with its default: `neurolp keys {'stream' if stream else 'data'}`",
        f"title = {_toml(data.stem)}",
        "seed = 0",
        "",
        "[stream]" if stream else "[data]",
        *(f"{key} = {_toml(value)}" for key, value in (keys | further).items()),
        *(f"# {line}".rstrip() for line in comments),
    ]
    text = "\n".join(lines) + "\n"
    configuration = configuration_of(tomllib.loads(text), str(output), (), folder)
    run_kind(configuration.experiment).check(configuration)
    return text


# --- tables ---------------------------------------------------------------------------------------


def _table(data: Path, dataset: str | None) -> tuple[dict[str, Any], list[str]]:
    """No further keys, and comments on rows, columns, and what may be set."""
    table = load_table(file=data, dataset=dataset)
    frames = [pd.DataFrame(part) for part in (table.train, table.validation, table.test)]
    whole = pd.concat(frames, ignore_index=True)
    numbers = ", ".join(
        f"{len(part):,} {what}"
        for part, what in zip(frames, ("to learn from", "to choose by", "to judge by"), strict=True)
    )
    names = list(table.columns)
    comments = [
        f"{len(whole):,} rows ({numbers}), {_counted(len(names))}; kinds as in the first of them:",
        *_described(names, list(table.known), whole),
        *_repeated(names, whole),
        *_about_kinds(names, table.known),
        f"Missing are empty cells and {', '.join(MISSING[1:])} in any case;",
        'further values that are missing: missing_values = ["-999"]',
    ]
    if len(names) <= _MOST_NAMED:
        comments.append(f"To leave columns out, take them from: columns = {_toml(names)}")
    return {}, comments


def _repeated(names: list[str], whole: pd.DataFrame) -> list[str]:
    """Remarks on rows that are copies of others, and on columns that are nearly the same."""
    copies = int(whole.duplicated().sum())
    out = [f"{copies:,} of the rows are copies of rows above them"] if copies else []
    varying = [j for j in range(len(names)) if whole.iloc[:, j].nunique() > 2][:_MOST_NAMED]
    for a, b in itertools.combinations(varying, 2):
        one, other = whole.iloc[:, a], whole.iloc[:, b]
        if one.dtype != other.dtype:
            continue
        known = one.notna() & other.notna()
        share = float((one[known] == other[known]).mean()) if known.any() else 0.0
        if share > _THE_SAME:
            out.append(f"{names[b]} is {names[a]} again in {share:.1%} of the rows: leave one out")
    return out


def _about_kinds(names: list[str], known: Columns) -> list[str]:
    """How to declare a kind, with a column of this table as the example."""
    other = {"continuous": "ordinal", "ordinal": "continuous", "nominal": "ordinal"}
    for name, column in zip(names, known, strict=True):
        if column.kind in ("continuous", "ordinal") and column.family == "number":
            kinds = f"kinds = {{{_toml(name)} = {_toml(other[column.kind])}}}"
            return [f"To declare another kind (continuous, ordinal or nominal): {kinds}"]
    return []


def _described(
    names: list[str], columns: list[Column], whole: pd.DataFrame, kinds: list[str] | None = None
) -> list[str]:
    """A line for each column: name, kind (or that of ``kinds``), missing, different, values."""
    rows = [("column", "kind", "missing", "different", "values")]
    for j, (name, column) in enumerate(zip(names, columns, strict=True)):
        values = whole.iloc[:, j]
        missing = f"{values.isna().mean():.1%}" if values.isna().any() else "0"
        different = f"{values.nunique():,}"
        kind = column.kind if kinds is None else kinds[j]
        rows.append((_short(name), kind, missing, different, _values(column, values)))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    return [
        f"  {a.ljust(widths[0])}  {b.ljust(widths[1])}  {c.rjust(widths[2])}  "
        f"{d.rjust(widths[3])}  {e}"
        for a, b, c, d, e in rows
    ]


def _values(column: Column, values: pd.Series[Any]) -> str:
    """The range of a column, or its most frequent values."""
    present = values.dropna()
    if present.empty:
        return "none"
    if column.family in ("number", "date", "duration") and column.kind != "nominal":
        low, high = present.min(), present.max()
        if column.family == "number":
            low, high = f"{low:.6g}", f"{high:.6g}"
        elif column.family == "date":
            low, high = (str(day).removesuffix(" 00:00:00") for day in (low, high))
        return f"{low}" if low == high else f"{low} to {high}"
    counts = Counter(map(str, present))
    if len(counts) == len(present):
        return f"all different, such as {_short(next(iter(counts)))}: an identifier?"
    shown = ", ".join(_short(value) for value, _ in counts.most_common(_SHOWN))
    return shown + (", ..." if len(counts) > _SHOWN else "")


# --- streams --------------------------------------------------------------------------------------


def _stream(data: Path, dataset: str | None) -> tuple[dict[str, Any], list[str]]:
    """The columns that can be sensors, which of them hold symbols, and comments."""
    if data.suffix.lower() not in TEXT_SUFFIXES or data.suffix.lower() == ".txt":
        return {}, _opened(data, dataset)
    frame = read_frame(data)
    if len(frame) < MIN_ROWS:
        raise DataError(f"{data}: wanted at least {MIN_ROWS} rows, but it has {len(frame)}")
    names = [str(name) for name in frame.columns]
    columns = list(Columns.infer(frame, name=str(data)))
    left_out = {name: why for name, c in zip(names, columns, strict=True) if (why := _why_not(c))}
    used = [name for name in names if name not in left_out]
    if not used:
        raise DataError(f"{data}: has no column that a stream can have: all are {left_out}")
    labelled = [c.family in ("label", "boolean") or c.kind == "nominal" for c in columns]
    symbols = [name for name, label in zip(names, labelled, strict=True) if label and name in used]
    counted = [
        name
        for name, c in zip(names, columns, strict=True)
        if name in used and c.kind == "ordinal" and c.step == 1 and min(c.levels) >= 0
    ]
    keys: dict[str, Any] = {"columns": used} if left_out else {}
    keys |= {"symbols": symbols} if symbols else {}
    comments = [
        f"{len(frame):,} rows, a step each; the brain learns them in this order. Columns:",
        *_described(names, columns, frame, ["symbol" if n in symbols else "value" for n in names]),
        *(f"Left out: {_short(name)}, {why}." for name, why in left_out.items()),
        "Numbers have a density, symbols probabilities.",
    ]
    if counted:
        comments.append(
            f"Whole numbers are counts, with probabilities, if declared: counts = {_toml(counted)}"
        )
    return keys, comments


def _why_not(column: Column) -> str:
    """Why a column can be no sensor of a stream; empty if it can."""
    if column.kind == "constant":
        return "it is constant" if column.categories else "it is empty"
    if column.family in ("date", "duration"):
        return f"it holds {column.family}s"
    if column.kind == "nominal" and column.unseen > 0.5:
        return "nearly all of its values are different"
    return ""


def _opened(data: Path, dataset: str | None) -> list[str]:
    """Comments on a stream whose rows are all numbers, characters or frames."""
    stream = open_stream(data, dataset=dataset)
    n = stream.n_steps
    if n is not None and n < MIN_ROWS:
        raise DataError(f"{data}: wanted at least {MIN_ROWS} steps, but it has {n}")
    steps = "" if n is None else f"{n:,} steps; "
    sensors = [
        f"  {_short(sensor.name)}: {type(sensor).__name__}, {_counted(len(column_names(sensor)))}"
        for sensor in stream.sensors[:_MOST_NAMED]
    ]
    return [f"{steps}the brain learns them in their order. Sensors:", *sensors]


# --- text -----------------------------------------------------------------------------------------


def _toml(value: Any) -> str:
    """A text, or a list of texts, as TOML has it: as JSON, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    """A text for a comment, where no control characters are allowed."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _counted(n_columns: int) -> str:
    return f"{n_columns} column{'s' if n_columns > 1 else ''}"


def _short(text: str) -> str:
    text = _plain(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
