"""Reading of connectivity from SONATA files (Dai et al., PLoS Comput. Biol. 16, 2020)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurolp.arrays import Array
from neurolp.brain.connectivity import Connectivity
from neurolp.errors import DataError

WEIGHT = "syn_weight"  # attribute of edges


def from_sonata(
    edges: str | os.PathLike[str],
    nodes: str | os.PathLike[str] | None = None,
    *,
    population: str | None = None,
    weight: str | None = None,
) -> Connectivity:
    """Connectivity with the edges and weights of a SONATA file, for ``StreamBrain(connectivity=)``.

    Weights of several edges between the same nodes add up.

    Parameters
    ----------
    edges : path
        File of edges (HDF5).
    nodes : path, optional
        File of nodes: how many there are, and their attribute "name" if they have it. Without,
        there are as many nodes as edges need.
    population : str, optional
        Which population of edges; by default "hidden__hidden", which brains are written with, or
        the only one that leads from a population of nodes to itself.
    weight : str, optional
        Attribute of edges that is their weight; by default "syn_weight" if there is one. Without,
        there are edges only.

    Raises
    ------
    DataError
        If a file cannot be read or lacks what is asked for; the message names it.
    NetworkError
        If an edge leads from a node to itself.
    """
    with _opened(edges) as file:
        group, name = _population(file, edges, population)
        source, target = (group[f"{end}_node_id"] for end in ("source", "target"))
        ends = {str(_text(end.attrs["node_population"])) for end in (source, target)}
        if len(ends) > 1:
            raise DataError(
                f"{edges}: edges {name!r} must lead from a population of nodes to itself, "
                f"but join {' and '.join(sorted(ends))}"
            )
        values = _weights(group, edges, name, weight)
        begins, stops = source[()].astype(np.int64), target[()].astype(np.int64)
    n, names = int(max(begins.max(initial=-1), stops.max(initial=-1))) + 1, None
    if nodes is not None:
        with _opened(nodes) as file:
            n_known, names = _nodes(file, nodes, next(iter(ends)))
        if n > n_known:
            raise DataError(f"{edges}: an edge names node {n - 1}, but {nodes} has {n_known}")
        n = n_known
    return Connectivity.from_edges(stops, begins, max(n, 1), values, names)


_OF_BRAINS = "hidden__hidden"


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        reason = "not a readable HDF5 file" if Path(path).is_file() else "no such file"
        raise DataError(f"{path}: {reason}") from error
    except KeyError as error:
        raise DataError(f"{path}: not a SONATA file, {error.args[0]}") from error


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _population(file: Any, path: Any, wanted: str | None) -> tuple[Any, str]:
    if "edges" not in file:
        raise DataError(f"{path}: has no edges as in SONATA, but {', '.join(file) or 'nothing'}")
    found = file["edges"]
    if wanted is not None and wanted not in found:
        raise DataError(f"{path}: has no population {wanted!r}, but {', '.join(found)}")
    if wanted is not None:
        return found[wanted], wanted

    def ends(name: str) -> set[Any]:
        ids = (found[name][f"{end}_node_id"] for end in ("source", "target"))
        return {_text(one.attrs["node_population"]) for one in ids}

    own = [name for name in found if len(ends(name)) == 1]
    if _OF_BRAINS in own:
        own = [_OF_BRAINS]
    if len(own) != 1:
        raise DataError(
            f"{path}: argument `population` must be one of {', '.join(found)}, of which "
            f"{len(own)} lead from a population of nodes to itself"
        )
    return found[own[0]], own[0]


def _weights(group: Any, path: Any, name: str, wanted: str | None) -> Array | None:
    """Weights of all edges, from the groups of attributes that they are in."""
    groups = [key for key in group if key.isdecimal()]
    attributes = sorted({key for k in groups for key in group[k]})
    if wanted is None and WEIGHT not in attributes:
        return None
    attribute = wanted or WEIGHT
    missing = [key for key in groups if attribute not in group[key]]
    if missing or not groups:
        raise DataError(
            f"{path}: edges {name!r} have no attribute {attribute!r}"
            f"{f' in group {missing[0]}' if attribute in attributes else ''}, "
            f"but {', '.join(attributes) or 'none'}"
        )
    for key in groups:
        dtype = group[key][attribute].dtype
        if dtype.kind not in "fiu":
            raise DataError(f"{path}: attribute {attribute!r} must be numbers, but is {dtype}")
    if len(groups) == 1:
        values = np.asarray(group[groups[0]][attribute][()])
    else:
        which, place = group["edge_group_id"][()], group["edge_group_index"][()]
        values = np.empty(len(which))
        for key in groups:
            mine = which == int(key)
            values[mine] = group[key][attribute][()][place[mine]]
    return values.astype(np.float64)


def _nodes(file: Any, path: Any, population: str) -> tuple[int, tuple[str, ...] | None]:
    if "nodes" not in file or population not in file["nodes"]:
        there = ", ".join(file["nodes"]) if "nodes" in file else "none"
        raise DataError(f"{path}: has no population of nodes {population!r}, but {there}")
    group = file["nodes"][population]
    n = len(group["node_type_id"])
    if "0" not in group or "name" not in group["0"] or len(group["0"]["name"]) != n:
        return n, None
    names = tuple(str(_text(name)) for name in group["0"]["name"][()])
    if len(set(names)) < n:
        raise DataError(f"{path}: names of nodes {population!r} must differ, but do not")
    return n, names
