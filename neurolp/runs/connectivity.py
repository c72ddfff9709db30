"""The connectivity that a configuration asks for."""

from __future__ import annotations

import zipfile

import numpy as np
from scipy import sparse

from neurolp.brain import wiring
from neurolp.brain.connectivity import Connectivity
from neurolp.config.sections import (
    ConnectivitySection,
    DistanceSection,
    FileSection,
    FullSection,
    ModularSection,
    SmallWorldSection,
)
from neurolp.errors import ConfigurationError
from neurolp.runs.memory import check_edges


def build_connectivity(section: ConnectivitySection, n_nodes: int) -> Connectivity | None:
    """The connectivity that a configuration asks for; None is full, which every model has."""
    check_edges(section, n_nodes)
    settings = section.model_dump(exclude={"kind"})
    if isinstance(section, FullSection):
        return None
    if isinstance(section, FileSection):
        return _read_connectivity(section, n_nodes)
    if isinstance(section, DistanceSection):
        dimensions = settings.pop("dimensions")
        where = wiring.uniform_positions(n_nodes, dimensions, seed=section.seed)
        return wiring.distance_dependent(where, **settings)
    if isinstance(section, ModularSection):
        return wiring.modular(n_nodes, **settings)
    if isinstance(section, SmallWorldSection):
        return wiring.small_world(n_nodes, **settings)
    return wiring.random(n_nodes, **settings)


def _read_connectivity(section: FileSection, n_nodes: int) -> Connectivity:
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
            f"key 'connectivity.file': {path}: wanted a boolean NPY, a SciPy sparse NPZ matrix "
            "or an HDF5 edge table"
        ) from error
    return Connectivity.from_array(edges, n_nodes)
