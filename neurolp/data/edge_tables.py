"""Connectivity from tables of edges: frames, CSV, Parquet and HDF5 files."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.brain.connectivity import Connectivity
from neurolp.data.containers import read_container
from neurolp.data.csv_file import CsvFile
from neurolp.data.tables import TEXT_SUFFIXES, read_frame
from neurolp.errors import DataError

HDF5_SUFFIXES = (".h5", ".hdf5")
_MOST_NODES = 2**31 - 1


@dataclass(frozen=True)
class _Ends:
    """Ends of edges as they are called in ``where``: int64 numbers, or texts; weights, if any."""

    where: str
    source: Array
    target: Array
    weight: Array | None


def from_edge_table(
    table: Any,
    *,
    nodes: int | Sequence[Any] | None = None,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    dataset: str | None = None,
) -> Connectivity:
    """Connectivity with the edges of a table, one a row, and their weights and names if it has any.

    Weights of an edge that is listed several times add up. An edge of weight 0 is an edge.

    Parameters
    ----------
    table : frame or path
        A frame of pandas, Polars, ..., or a CSV, TSV, Parquet or HDF5 file. An HDF5 file holds an
        array (n_edges, 2) of source and target, or a group with an array for each column.
    nodes : int or sequence, optional
        How many nodes there are; or the names of all, in their order. By default nodes are as many
        as the largest number needs, counted from 0, or, if the ends of edges are texts, all that
        occur, sorted.
    source, target : str
        Columns of the presynaptic and of the postsynaptic node.
    weight : str, optional
        Column of the weights; by default "weight" if there is one. Without, there are edges only.
    dataset : str, optional
        Which array or group of an HDF5 file; by default its root, or its only member.

    Raises
    ------
    DataError
        If the table cannot be read, lacks a column, or names no such nodes; the message says where.
    NetworkError
        If an edge leads from a node to itself: networks have no autapses.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"source": ["ALM", "AVD"], "target": ["AVD", "AVA"], "weight": [1, 2]})
    >>> connectivity = from_edge_table(frame)
    >>> connectivity.names
    ('ALM', 'AVA', 'AVD')
    >>> connectivity.weights.toarray()
    array([[0., 0., 0.],
           [0., 0., 2.],
           [1., 0., 0.]])
    """
    columns = (source, target, weight)
    if not isinstance(table, str | os.PathLike):
        if dataset is not None:
            raise DataError("argument `dataset` is for HDF5 files, and has no meaning for a frame")
        ends = _of_frame(table, "argument `table`", *columns)
    else:
        path = Path(table)
        hdf5 = path.suffix.lower() in HDF5_SUFFIXES
        if dataset is not None and not hdf5:
            raise DataError(f"{path}: argument `dataset` is for HDF5 files")
        ends = _of_hdf5(path, dataset, *columns) if hdf5 else _of_file(path, *columns)
    return _connectivity(ends, nodes)


def _connectivity(ends: _Ends, nodes: int | Sequence[Any] | None) -> Connectivity:
    """Edges between numbered nodes."""
    both = np.concatenate([ends.source, ends.target])
    numbered = both.dtype.kind == "i"
    if nodes is None and not numbered:
        nodes = [str(name) for name in np.unique(both)]
    if nodes is None or (isinstance(nodes, Integral) and not isinstance(nodes, bool)):
        n = _n_nodes(ends, both, numbered, nodes)
        return Connectivity.from_edges(ends.target, ends.source, n, ends.weight)
    if isinstance(nodes, str | bool) or not np.iterable(nodes):
        raise DataError(
            f"argument `nodes` must be a number of nodes or their names, but is {nodes!r:.60}"
        )
    names = tuple(str(name) for name in nodes)
    place = pd.Index(names)
    if not place.is_unique:
        twice = place[place.duplicated()][0]
        raise DataError(f"argument `nodes` must have names that differ, but has {twice!r} twice")
    found = place.get_indexer(both.astype(str))
    if (found < 0).any():
        unknown = str(both[np.argmax(found < 0)])
        raise DataError(
            f"{ends.where}: an edge names the node {unknown!r}, which is not in `nodes`"
        )
    start, end = np.split(found, 2)
    return Connectivity.from_edges(end, start, len(names), ends.weight, names)


def _n_nodes(ends: _Ends, both: Array, numbered: bool, nodes: Any) -> int:
    if not numbered:
        raise DataError(
            f"{ends.where}: edges name their nodes, such as {str(both[0])!r}: argument `nodes` "
            f"must be their names, but is {nodes}"
        )
    highest, lowest = int(both.max(initial=-1)), int(both.min(initial=0))
    n = max(highest + 1, 1) if nodes is None else int(nodes)
    if n < 1:
        raise DataError(f"argument `nodes` must be at least 1, but is {n}")
    if n > _MOST_NODES:
        raise DataError(
            f"{ends.where}: node numbers must be below {_MOST_NODES}, but one is {highest}; "
            "if they are identifiers, list them in `nodes`"
        )
    if lowest < 0 or highest >= n:
        wrong = lowest if lowest < 0 else highest
        raise DataError(f"{ends.where}: node numbers must lie in [0, {n - 1}], but one is {wrong}")
    return n


# --- frames and text ------------------------------------------------------------------------------


def _of_file(path: Path, source: str, target: str, weight: str | None) -> _Ends:
    is_text = path.suffix.lower() in TEXT_SUFFIXES
    if not is_text or not path.is_file():
        return _of_frame(read_frame(path), str(path), source, target, weight)
    names = CsvFile.open(path).names
    weight = _weight_column(weight, names)
    wanted = [name for name in (source, target, weight) if name is not None]
    _check_columns(wanted, names, str(path))
    frame = read_frame(path, columns=wanted, kinds={source: "nominal", target: "nominal"})
    return _of_frame(frame, str(path), source, target, weight, is_text)


def _of_frame(
    table: Any, where: str, source: str, target: str, weight: str | None, is_text: bool = False
) -> _Ends:
    container = read_container(table, "table")
    names = container.names or ()
    weight = _weight_column(weight, names)
    _check_columns([name for name in (source, target, weight) if name is not None], names, where)

    def column(name: str) -> Any:
        return pd.Series(container.columns[names.index(name)])

    start, end = (_end(column(name), where, name, is_text) for name in (source, target))
    if start.dtype.kind != end.dtype.kind:  # numbers here and texts there: all are texts
        start, end = start.astype(np.str_), end.astype(np.str_)
    values = None if weight is None else _weights(column(weight), where, weight)
    return _Ends(where, start, end, values)


def _weight_column(weight: str | None, names: Collection[str]) -> str | None:
    return "weight" if weight is None and "weight" in names else weight


def _check_columns(wanted: Sequence[str], names: Collection[str], where: str) -> None:
    for name in wanted:
        if name not in names:
            raise DataError(
                f"{where}: has no column {name!r}, but has {', '.join(names)}; "
                "`source`, `target` and `weight` say what its columns are called"
            )


def _end(cells: Any, where: str, name: str, is_text: bool) -> Array:
    """Numbers or names of nodes; whole numbers in a text file are numbers."""
    if cells.isna().any():
        row = int(np.argmax(cells.isna()))
        raise DataError(f"{where}: column {name!r} names no node in row {row}")
    if pd.api.types.is_integer_dtype(cells.dtype):
        return np.asarray(cells, dtype=np.int64)
    if pd.api.types.is_float_dtype(cells.dtype) or pd.api.types.is_bool_dtype(cells.dtype):
        raise DataError(
            f"{where}: column {name!r} must hold integers or names of nodes, but has dtype "
            f"{cells.dtype}"
        )
    texts = np.asarray(cells.astype(str), dtype=np.str_)
    if is_text and all(text.isdecimal() for text in np.unique(texts)):
        return texts.astype(np.int64)
    return texts


def _weights(cells: Any, where: str, name: str) -> Array:
    numeric = pd.api.types.is_numeric_dtype(cells.dtype)
    values = np.asarray(cells, dtype=np.float64) if numeric else np.full(1, np.nan)
    if not np.isfinite(values).all():
        raise DataError(f"{where}: column {name!r} must hold finite numbers, but does not")
    return values


# --- HDF5 -----------------------------------------------------------------------------------------


def _of_hdf5(
    path: Path, dataset: str | None, source: str, target: str, weight: str | None
) -> _Ends:
    try:
        with h5py.File(path, "r") as file:
            columns = _columns(file, path, dataset, (source, target))
            if isinstance(columns, h5py.Group):
                weight = _weight_column(weight, columns)
                if weight is not None:
                    _check_columns([weight], sorted(columns), str(path))
                start, end = _array(columns[source]), _array(columns[target])
                values = None if weight is None else _array(columns[weight])
            elif weight is not None:
                raise DataError(f"{path}: '{columns.name}' has no column {weight!r}")
            else:
                table = columns[()]
                if table.ndim != 2 or table.shape[1] != 2:
                    raise DataError(
                        f"{path}: '{columns.name}' must have shape (n_edges, 2), "
                        f"but has shape {table.shape}"
                    )
                start, end, values = table[:, 0], table[:, 1], None
    except OSError as error:
        reason = "not a readable HDF5 file" if path.is_file() else "no such file"
        raise DataError(f"{path}: {reason}") from error
    for column in (start, end):
        if column.dtype.kind not in "iuU" or column.ndim != 1:
            raise DataError(
                f"{path}: node numbers must be integers in one dimension, or names, but have dtype "
                f"{column.dtype} and shape {column.shape}"
            )
    lengths = [len(column) for column in (start, end, values) if column is not None]
    if len(set(lengths)) > 1:
        raise DataError(
            f"{path}: {source!r}, {target!r} and weights must be as long as each other, "
            f"but have lengths {', '.join(map(str, lengths))}"
        )
    if start.dtype.kind != "U":
        start, end = start.astype(np.int64), end.astype(np.int64)
    weights = None if values is None else _weights(pd.Series(values), str(path), str(weight))
    return _Ends(str(path), start, end, weights)


def _array(data: Any) -> Array:
    values: Array = data.asstr()[()] if h5py.check_string_dtype(data.dtype) else data[()]
    return values.astype(np.str_) if values.dtype.kind in "OS" else values


def _columns(file: Any, path: Path, dataset: str | None, wanted: tuple[str, str]) -> Any:
    node = file if dataset is None else file.get(dataset)
    if node is None:
        raise DataError(f"{path}: has no '{dataset}', but has {sorted(file)}")
    if isinstance(node, h5py.Group) and not {*wanted} <= set(node):
        if dataset is not None or len(node) != 1:
            raise DataError(
                f"{path}: wanted a group with '{wanted[0]}' and '{wanted[1]}' (`source` and "
                f"`target` say what they are called) or the name of one in `dataset`, "
                f"but it has {sorted(node)}"
            )
        return _columns(file, path, next(iter(node)), wanted)
    return node
