"""Writing of networks as SONATA files (Dai et al., PLoS Comput. Biol. 16, 2020)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.errors import OutputError
from neurolp.estimators.stream import StreamBrain
from neurolp.exchange.network import Edges, Network, network_of_brain, network_of_file
from neurolp.exchange.sonata_reading import WEIGHT
from neurolp.storage.atomic import write_whole
from neurolp.storage.disk import write_hdf5
from neurolp.storage.reader import open_trajectory

NODES, EDGES, CONFIG = "nodes.h5", "edges.h5", "circuit_config.json"
NODE_TYPES, EDGE_TYPES = "node_types.csv", "edge_types.csv"

_MAGIC, _VERSION = 0x0A7A, (0, 1)
_MODELS = {
    "hidden": ("point_neuron", "neurolp:tanh"),
    "features": ("virtual", "NULL"),
    "outputs": ("point_neuron", "neurolp:readout"),
}


def to_sonata(
    source: StreamBrain | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write the network of a brain for streams as a SONATA circuit; the folder that it is in.

    Populations of nodes are "hidden" (names, ``leak`` and ``bias``), "features" (the constant and
    the lagged input, with their lag) and "outputs"; populations of edges "hidden__hidden",
    "features__hidden", "features__outputs", "hidden__outputs" and "outputs__outputs" (from sensors
    before in a row), those that there are, with the attribute ``syn_weight`` and an index of both
    directions. :func:`neurolp.from_sonata` reads it.

    Parameters
    ----------
    source : StreamBrain or path
        A brain, or a file of one or of a run with ``[stream]``: its weights at the end. Those of a
        run are written in blocks, whatever their number.
    folder : path
        Folder for nodes.h5, edges.h5, their types and circuit_config.json; made if it is not there.
    overwrite : bool
        Whether such files may be replaced.

    Raises
    ------
    DataError
        If there is no network in the file.
    OutputError
        If the files exist, or cannot be written.
    """
    target = Path(folder)
    files = (NODES, EDGES, NODE_TYPES, EDGE_TYPES, CONFIG)
    _check_folder(target, files, overwrite)
    if isinstance(source, StreamBrain):
        _write_circuit(network_of_brain(source), target, files)
    else:
        with open_trajectory(source) as file:
            _write_circuit(network_of_file(file), target, files)
    return target


def _check_folder(target: Path, files: tuple[str, ...], overwrite: bool) -> None:
    try:
        is_file, there = target.is_file(), [name for name in files if (target / name).exists()]
    except OSError as error:  # a name that is too long
        raise OutputError(f"{target}: cannot write the network, {error.strerror}") from error
    if is_file:
        raise OutputError(f"{target}: cannot write the network, it is a file, wanted a folder")
    if there and not overwrite:
        raise OutputError(
            f"{target / there[0]}: exists already; --force (overwrite=True) replaces it"
        )
    if not target.absolute().parent.is_dir():
        raise OutputError(f"{target}: cannot write the network, its folder does not exist")


def _write_circuit(network: Network, target: Path, files: tuple[str, ...]) -> None:
    try:
        with _beside(target) as folder:
            _write_nodes(network, folder)
            _write_edges(network, folder)
            _write_config(network, folder)
            target.mkdir(exist_ok=True)
            for name in files:  # the configuration, which names the others, is the last
                os.replace(folder / name, target / name)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{target}: cannot write the network, {reason}") from error


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary folder on the same disk."""
    folder = Path(tempfile.mkdtemp(prefix=".neurolp-", dir=target.absolute().parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_sonata(path: Path, fill: Callable[[Any], None]) -> None:
    """Write one file; nothing is compressed, as libsonata's own HDF5 has no filters."""

    def all_of_it(file: Any, check: Callable[[], None]) -> None:
        file.attrs["magic"] = np.uint32(_MAGIC)
        file.attrs["version"] = np.array(_VERSION, np.uint32)
        fill(file)

    write_hdf5(path, all_of_it, checksum=False)


def _write_nodes(network: Network, folder: Path) -> None:
    n_outputs, n_past = len(network.outputs), len(network.features)
    past = np.arange(n_past) - 1  # without the constant
    lag, output = past // n_outputs + 1, np.where(past < 0, -1, past % n_outputs)
    attributes: dict[str, tuple[int, dict[str, Any]]] = {
        "hidden": (network.n_hidden, {} if network.names is None else {"name": network.names}),
        "features": (n_past, {"name": network.features, "lag": lag, "output": output}),
        "outputs": (n_outputs, {"name": network.outputs}),
    }
    known = {"leak": network.leak, "bias": network.bias}
    dynamics = {name: values for name, values in known.items() if values is not None}

    def fill(file: Any) -> None:
        for kind, (population, (n, values)) in enumerate(attributes.items()):
            if not n:
                continue
            nodes = file.create_group(f"nodes/{population}")
            nodes["node_type_id"] = np.full(n, kind, np.int64)
            nodes["node_group_id"] = np.zeros(n, np.uint32)
            nodes["node_group_index"] = np.arange(n, dtype=np.uint32)
            group = nodes.create_group("0")
            for name, column in values.items():
                group[name] = column
            if population == "hidden":
                for name, column in dynamics.items():
                    group[f"dynamics_params/{name}"] = column.astype(np.float64)

    _write_sonata(folder / NODES, fill)
    lines = [
        f"{kind} {name} {model} {template}"
        for kind, (name, (model, template)) in enumerate(_MODELS.items())
    ]
    _write_table(folder / NODE_TYPES, "node_type_id pop_name model_type model_template", lines)


def _write_edges(network: Network, folder: Path) -> None:
    def fill(file: Any) -> None:
        for kind, edges in enumerate(network.edges):
            _write_population(file.create_group(f"edges/{edges.name}"), edges, kind)

    _write_sonata(folder / EDGES, fill)
    lines = [f"{kind} {edges.name}" for kind, edges in enumerate(network.edges)]
    _write_table(folder / EDGE_TYPES, "edge_type_id pop_name", lines)


def _write_population(group: Any, edges: Edges, kind: int) -> None:
    n = edges.n_edges

    def column(name: str, dtype: Any) -> Any:
        return group.create_dataset(name, (n,), dtype, chunks=(min(n, 2**16),))

    source, target = column("source_node_id", np.uint64), column("target_node_id", np.uint64)
    source.attrs["node_population"], target.attrs["node_population"] = edges.source, edges.target
    types, groups = column("edge_type_id", np.int64), column("edge_group_id", np.uint32)
    index, weights = column("edge_group_index", np.uint64), column(f"0/{WEIGHT}", np.float64)
    first, start = np.zeros(edges.shape[0] + 1, np.uint64), 0
    for ends, begins, values in edges.blocks():
        part = slice(start, start + len(values))
        target[part], source[part], weights[part] = ends, begins, values
        types[part], groups[part] = kind, 0
        index[part] = np.arange(part.start, part.stop)
        first[1:] += np.bincount(ends, minlength=edges.shape[0]).astype(np.uint64)
        start = part.stop
    ends_at = np.cumsum(first, dtype=np.uint64)
    _write_index(group, "target_to_source", [np.stack([ends_at[:-1], ends_at[1:]], axis=1)])
    _write_scattered_index(group, "source_to_target", edges)


def _write_index(group: Any, name: str, ranges: list[Array]) -> None:
    """Index of nodes whose edges are consecutive: one range each."""
    index = group.create_group(f"indices/{name}")
    of_node = np.arange(len(ranges[0]), dtype=np.uint64)
    index["node_id_to_ranges"] = np.stack([of_node, of_node + 1], axis=1)
    index["range_to_edge_id"] = ranges[0]


def _write_scattered_index(group: Any, name: str, edges: Edges) -> None:
    """Index of nodes whose edges are anywhere: a range for each edge."""
    index = group.create_group(f"indices/{name}")
    shape = (edges.n_edges, 2)
    chunks = (min(edges.n_edges, 2**15), 2)
    ranges = index.create_dataset("range_to_edge_id", shape, np.uint64, chunks=chunks)
    counts, start = [], 0
    for count, numbers in edges.of_sources():
        counts.append(count)
        ranges[start : start + len(numbers)] = np.stack([numbers, numbers + 1], axis=1)
        start += len(numbers)
    ends = np.cumsum(np.concatenate([[0], *counts])).astype(np.uint64)
    index["node_id_to_ranges"] = np.stack([ends[:-1], ends[1:]], axis=1)


def _write_table(path: Path, header: str, lines: list[str]) -> None:
    write_whole(path, "\n".join([header, *lines, ""]).encode())


def _write_config(network: Network, folder: Path) -> None:
    there = ["hidden"] * (network.n_hidden > 0) + ["features", "outputs"]
    nodes = {name: {"type": _MODELS[name][0]} for name in there}
    edges = {edges.name: {"type": "point_neuron"} for edges in network.edges}
    config = {
        "version": 2.4,
        "manifest": {"$BASE": "."},
        "networks": {
            "nodes": [
                {
                    "nodes_file": f"$BASE/{NODES}",
                    "node_types_file": f"$BASE/{NODE_TYPES}",
                    "populations": nodes,
                }
            ],
            "edges": [
                {
                    "edges_file": f"$BASE/{EDGES}",
                    "edge_types_file": f"$BASE/{EDGE_TYPES}",
                    "populations": edges,
                }
            ],
        },
    }
    write_whole(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
