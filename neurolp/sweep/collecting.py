"""One tidy table of a sweep: a row for each job, settings and results in columns."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurolp.arrays import NamedArrays
from neurolp.errors import ConfigurationError, OutputError
from neurolp.storage.atomic import write_whole
from neurolp.storage.writer import write_trajectory
from neurolp.sweep.state import DONE, read_folder

_ABOUT = ("state", "attempts", "reason", "message", "seconds", "host", "began")
_NATS = ("surprise", "test_log_prob", "iid_baseline", "excess_nll", "rate", "bound")


def collect(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of the sweep in the folder ``path``, as far as it has come.

    A row for each job, in the order of the design; columns are ``job`` (its hash), the keys that
    were varied, ``replicate``, ``seed``, the results, and how the job went. Columns have the type
    of their values: integers, floats, Booleans, texts, and times for ``began``; tables and lists
    are JSON texts. What is not there is missing (``pandas.isna``); integers and Booleans then have
    the types "Int64" and "boolean" of pandas. ``attrs`` has the ``title``, ``how`` (for every key
    that was varied ``"grid"``, ``"list"`` or ``"random"``) and the names of the ``results``, the
    most important one first.

    Raises
    ------
    DataError, FormatError
        If there is no sweep in it, or it is damaged.
    """
    folder = read_folder(Path(path))
    states = folder.states().values()
    columns: dict[str, list[Any]] = {"job": [job["identity"] for job in folder.jobs]}
    for key in folder.how:
        columns[key] = [_cell(job["settings"].get(key)) for job in folder.jobs]
    for key in ("replicate", "seed"):
        columns.setdefault(key, [job[key] for job in folder.jobs])
    results = {name: _free(name, columns) for state in states for name in state.result}
    for name, column in results.items():
        found = [state.result.get(name) if state.state == DONE else None for state in states]
        columns[column] = found if any(v is not None for v in found) else [math.nan] * len(found)
    for name in _ABOUT:
        about = [getattr(state, name) for state in states]
        columns[_free(name, columns)] = [None if value == "" else value for value in about]
    table = pd.DataFrame({name: _typed(values) for name, values in columns.items()})
    *_, began = table.columns
    table[began] = pd.to_datetime(table[began], utc=True)
    table.attrs = {"title": folder.title, "how": folder.how, "results": list(results.values())}
    return table


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as its file name says: ``.csv``, ``.h5`` or ``.hdf5``.

    Raises
    ------
    ConfigurationError, OutputError
        If the name ends otherwise, or the file cannot be written.
    """
    if path.suffix == ".csv":
        text = table.to_csv(index=False, lineterminator="\r\n")  # RFC 4180
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise OutputError(f"{path}: cannot write the table, {error.strerror}") from error
    elif path.suffix in (".h5", ".hdf5"):
        _write_hdf5(table, path)
    else:
        raise ConfigurationError(f"{path}: a table is written as .csv or .h5")
    return path


def _write_hdf5(table: pd.DataFrame, path: Path) -> None:
    """Write a variable for each column, along the dimension ``job``."""
    out = NamedArrays()
    out.attributes[""] = {"title": table.attrs["title"], "status": "complete"}
    out.attributes["configuration"] = {"json": "{}"}
    out.add_coordinate("job", table["job"].to_numpy(str), "1", "hash of the configuration")
    how = table.attrs["how"]
    for name in table.columns.drop("job"):
        values = table[name]
        if not pd.api.types.is_numeric_dtype(values):
            array = values.astype("string").fillna("").to_numpy(str)
        elif values.isna().any():
            array = values.to_numpy(np.float64, na_value=np.nan)
        else:
            array = values.to_numpy()
        what = f"{how[name]}, varied" if name in how else "found"
        out.add(name.replace("/", "|"), ("job",), array, _units(name), what)
    write_trajectory(path, out, overwrite=True)


def _free(name: str, taken: Any) -> str:
    """The name, or one for the whole job where a setting or a result has it."""
    return name if name not in taken else f"job_{name}"


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _typed(values: list[Any]) -> pd.Series:
    """A column of the type of its values, some of which may be None."""
    known = {type(value) for value in values} - {type(None)}
    missing = None in values
    if known == {int}:
        return pd.Series(values, dtype="Int64" if missing else "int64")
    if known == {bool}:
        return pd.Series(values, dtype="boolean" if missing else "bool")
    if known and known <= {int, float}:
        return pd.Series(values, dtype="float64")
    return pd.Series([None if v is None else str(v) for v in values], dtype="string")


def _units(name: str) -> str:
    if name.startswith(_NATS):
        return "nat"
    return "s" if name.endswith("seconds") else "1"
