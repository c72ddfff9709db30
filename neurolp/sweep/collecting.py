"""One tidy table of a sweep: a row for each job, settings and results in columns."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.errors import ConfigurationError, OutputError
from neurolp.storage.writer import write_trajectory
from neurolp.sweep.state import DONE, JobState, read_folder, write_text

Array = npt.NDArray[Any]

_ABOUT = ("state", "attempts", "reason", "message", "seconds", "host", "began")
_INTEGERS = ("replicate", "seed", "attempts")


@dataclass(frozen=True)
class Table:
    """A row for each job of a sweep, in the order of its design.

    ``columns`` maps a name to its values, None where there is none: ``job``, the keys that were
    varied (``settings``), ``replicate``, ``seed``, numbers that were found (``results``), and how
    it went. ``how`` says for a setting whether it is of a grid, a list or drawn at random.
    """

    title: str
    how: dict[str, str]
    results: tuple[str, ...]
    columns: dict[str, list[Any]]

    @property
    def settings(self) -> tuple[str, ...]:
        """The keys that were varied."""
        return tuple(self.how)

    @property
    def headline(self) -> str | None:
        """The most important result, which each kind of run names first."""
        return next(iter(self.results), None)

    def __len__(self) -> int:
        return len(self.columns["job"])

    def __getitem__(self, name: str) -> Array:
        """A column as an array: numbers with NaN where there is none, or strings."""
        if name not in self.columns:
            raise KeyError(f"the table has no column {name!r}; it has {list(self.columns)}")
        return _array(self.columns[name])

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as CSV (RFC 4180, UTF-8, a line of names first)."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.columns)
        writer.writerows(zip(*(map(_cell, v) for v in self.columns.values()), strict=True))
        try:
            write_text(Path(path), text.getvalue())
        except OSError as error:
            raise OutputError(f"{path}: cannot write the table, {error.strerror}") from error
        return Path(path)

    def to_hdf5(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as HDF5: a variable for each column, along the dimension ``job``."""
        out = NamedArrays()
        out.attributes[""] = {"title": self.title, "status": "complete"}
        out.attributes["configuration"] = {"json": "{}"}
        out.add_coordinate("job", self.columns["job"], "1", "hash of the configuration")
        for name in self.columns:
            if name != "job":
                said = f"{self.how[name]}, varied" if name in self.how else "found"
                values = self[name]
                if name in _INTEGERS:
                    values = np.array(self.columns[name], dtype=np.int64)
                out.add(name.replace("/", "|"), ("job",), values, _units(name), said)
        write_trajectory(path, out, overwrite=True)
        return Path(path)


def collect(path: str | os.PathLike[str]) -> Table:
    """The table of the sweep in the folder ``path``, as far as it has come.

    Raises
    ------
    DataError, FormatError
        If there is no sweep in it, or it is damaged.
    """
    folder = read_folder(Path(path))
    states = folder.states()
    results: dict[str, None] = {}
    for state in states.values():
        results |= dict.fromkeys(state.result)
    columns: dict[str, list[Any]] = {"job": [p["identity"] for p in folder.jobs]}
    for key in folder.how:
        columns[key] = [p["settings"].get(key) for p in folder.jobs]
    for key in ("replicate", "seed"):
        if key not in columns:
            columns[key] = [p[key] for p in folder.jobs]
    for name in results:
        columns[_free(name, columns)] = [_found(state, name) for state in states.values()]
    for name in _ABOUT:
        columns[_free(name, columns)] = [getattr(state, name) for state in states.values()]
    return Table(folder.title, folder.how, tuple(_free(n, folder.how) for n in results), columns)


def write_table(table: Table, path: Path) -> Path:
    """Write a table as its file name says: ``.csv``, ``.h5`` or ``.hdf5``."""
    if path.suffix == ".csv":
        return table.to_csv(path)
    if path.suffix in (".h5", ".hdf5"):
        return table.to_hdf5(path)
    raise ConfigurationError(f"{path}: a table is written as .csv or .h5")


def _found(state: JobState, name: str) -> float | None:
    return state.result.get(name) if state.state == DONE else None


def _free(name: str, taken: Any) -> str:
    """Results have the seconds of a brain's learning, jobs those of everything."""
    return name if name not in taken else f"job_{name}"


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value


def _array(values: list[Any]) -> Array:
    numbers = [v for v in values if v is not None]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers):
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return np.array(["" if v is None else str(_cell(v)) for v in values])


def _units(name: str) -> str:
    if name in ("surprise", "surprise_error", "iid_baseline", "excess_nll", "rate", "bound"):
        return "nat"
    if name.startswith(("surprise[", "test_log_prob")):
        return "nat"
    return "s" if name.endswith("seconds") else "1"
