"""Connectivity from a section of a configuration, and its size."""

from __future__ import annotations

import zipfile
from collections.abc import Callable

import numpy as np
from scipy import sparse

from neurolp.brain import wiring
from neurolp.brain.connectivity import Connectivity
from neurolp.config.sections import (
    CElegansSection,
    ConnectivitySection,
    DistanceSection,
    FileSection,
    FullSection,
    ModularSection,
    RandomSection,
    SmallWorldSection,
)
from neurolp.data.connectomes import c_elegans
from neurolp.data.edge_tables import HDF5_SUFFIXES, from_edge_table
from neurolp.data.tables import PARQUET_SUFFIXES, TEXT_SUFFIXES
from neurolp.errors import ConfigurationError, NetworkError
from neurolp.runs.memory import Memory, check_memory

_BUILDERS: dict[str, Callable[..., Connectivity]] = {
    "modular": wiring.modular,
    "random": wiring.random,
    "small_world": wiring.small_world,
}
_TABLES = (*TEXT_SUFFIXES, *PARQUET_SUFFIXES, *HDF5_SUFFIXES)
_EDGE = 24  # bytes: two ends and a number


def build_connectivity(
    section: ConnectivitySection, n_nodes: int, size_key: str | None = None
) -> Connectivity | None:
    """The connectivity of ``n_nodes`` nodes; None if it is full, the default of every model.

    ``size_key`` is the key of the configuration that says how many nodes there are, if one does.

    Raises
    ------
    ConfigurationError, NetworkError
        If it is too large for this machine, or its file cannot be used.
    """
    size = _EDGE * float(n_nodes) * (1 + mean_degree(section, n_nodes))
    if section.kind not in ("full", "file", "c_elegans"):
        check_memory(Memory(f"section connectivity, for {n_nodes} nodes,", size))
    if isinstance(section, FullSection):
        return None
    if isinstance(section, FileSection):
        found = _read(section, n_nodes)
        return _checked(found, n_nodes, f"file': {section.file}", size_key)
    if isinstance(section, CElegansSection):
        found = c_elegans(**section.model_dump(exclude={"kind"}))
        return _checked(found, n_nodes, "kind': c_elegans", size_key)
    settings = section.model_dump(exclude={"kind", "dimensions"})
    if isinstance(section, DistanceSection):
        positions = wiring.uniform_positions(n_nodes, section.dimensions, seed=section.seed)
        return wiring.distance_dependent(positions, **settings)
    return _BUILDERS[section.kind](n_nodes, **settings)


def mean_degree(section: ConnectivitySection, n: int) -> float:
    """Mean number of presynaptic nodes of ``n`` nodes; 0 where it is not known before."""
    degree: float = 0
    match section:
        case FullSection():
            degree = n
        case SmallWorldSection():
            degree = section.neighbours
        case DistanceSection():
            degree = section.in_degree or 0
        case RandomSection():
            degree = section.in_degree or n * float(section.probability or 0)
        case ModularSection():
            degree = n * (section.p_within / section.n_modules + section.p_between) / 2
    return float(min(degree, n))


def _checked(found: Connectivity, n_nodes: int, where: str, size_key: str | None) -> Connectivity:
    if found.n_nodes != n_nodes:
        fits = f": {size_key} = {found.n_nodes} fits" if size_key else ""
        raise ConfigurationError(
            f"key 'connectivity.{where}: there are {n_nodes} nodes, but the edges have "
            f"{found.n_nodes}{fits}"
        )
    return found


def _read(section: FileSection, n_nodes: int) -> Connectivity:
    path, of_table = section.file, ("dataset", "nodes", "source", "target", "weight")
    if not path.is_file():
        raise ConfigurationError(f"key 'connectivity.file': {path}: no such file")
    given = section.model_dump(include=set(of_table), exclude_none=True)
    if path.suffix.lower() in _TABLES:
        found = from_edge_table(path, **given)
        if found.names is None:  # the last nodes may have no edges
            found = from_edge_table(path, **given, nodes=n_nodes)
        return found
    for key in given:
        raise ConfigurationError(f"key 'connectivity.{key}' has no meaning for {path}")
    try:
        edges = (
            sparse.load_npz(path) if path.suffix == ".npz" else np.load(path, allow_pickle=False)
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"key 'connectivity.file': {path}: wanted an NPY matrix, a SciPy sparse NPZ matrix "
            "or a table of edges in CSV, Parquet or HDF5"
        ) from error
    try:
        return Connectivity.from_array(edges)
    except NetworkError as error:
        fault = str(error).removeprefix("argument `connectivity` ")
        raise ConfigurationError(f"key 'connectivity.file': {path}: {fault}") from error
