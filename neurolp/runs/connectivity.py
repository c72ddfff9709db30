"""Connectivity from a section of a configuration, and its size."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.brain import wiring
from neurolp.brain.connectivity import Connectivity
from neurolp.config.sections import (
    ConnectivitySection,
    DistanceSection,
    FileSection,
    ModularSection,
    RandomSection,
    SmallWorldSection,
)
from neurolp.errors import ConfigurationError
from neurolp.runs.memory import Memory, check_memory

_EDGE = 24  # bytes: two ends and a number


def build_connectivity(section: ConnectivitySection, n_nodes: int) -> Connectivity | None:
    """The connectivity of ``n_nodes`` nodes; None if it is full, the default of every model.

    Raises
    ------
    ConfigurationError, NetworkError
        If it is too large for this machine, or its file cannot be used.
    """
    size = _EDGE * float(n_nodes) * (1 + mean_degree(section, n_nodes))
    if section.kind not in ("full", "file"):
        check_memory(Memory(f"section connectivity, for {n_nodes} nodes,", size))
    return _BUILDERS[section.kind](section, n_nodes)


def mean_degree(section: ConnectivitySection, n: int) -> float:
    """Mean number of presynaptic nodes of ``n`` nodes; 0 where it is not known before."""
    return _DEGREES[section.kind](section, n)


def _settings(section: ConnectivitySection) -> dict[str, Any]:
    return section.model_dump(exclude={"kind", "dimensions"})


def _in_space(section: DistanceSection, n_nodes: int) -> Connectivity:
    positions = wiring.uniform_positions(n_nodes, section.dimensions, seed=section.seed)
    return wiring.distance_dependent(positions, **_settings(section))


def _read(section: FileSection, n_nodes: int) -> Connectivity:
    path = section.file
    if not path.is_file():
        raise ConfigurationError(f"key 'connectivity.file': {path}: no such file")
    if path.suffix in (".h5", ".hdf5"):
        return wiring.from_edge_table(path, dataset=section.dataset, n_nodes=n_nodes)
    try:
        edges = (
            sparse.load_npz(path) if path.suffix == ".npz" else np.load(path, allow_pickle=False)
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"key 'connectivity.file': {path}: wanted an NPY matrix, a SciPy sparse NPZ matrix "
            "or an HDF5 edge table"
        ) from error
    return Connectivity.from_array(edges, n_nodes)


_BUILDERS: dict[str, Callable[[Any, int], Connectivity | None]] = {
    "full": lambda section, n: None,
    "file": _read,
    "distance": _in_space,
    "modular": lambda section, n: wiring.modular(n, **_settings(section)),
    "small_world": lambda section, n: wiring.small_world(n, **_settings(section)),
    "random": lambda section, n: wiring.random(n, **_settings(section)),
}


def _counted(section: RandomSection, n: int) -> float:
    if section.in_degree is not None:
        return float(min(section.in_degree, n))
    return n * float(section.probability or 0)


def _in_modules(section: ModularSection, n: int) -> float:
    return n * (section.p_within / section.n_modules + section.p_between) / 2


def _of_ring(section: SmallWorldSection, n: int) -> float:
    return float(min(section.neighbours, n))


_DEGREES: dict[str, Callable[[Any, int], float]] = {
    "full": lambda section, n: float(n),
    "file": lambda section, n: 0.0,
    "distance": lambda section, n: float(min(section.in_degree or 0, n)),
    "modular": _in_modules,
    "small_world": _of_ring,
    "random": _counted,
}
