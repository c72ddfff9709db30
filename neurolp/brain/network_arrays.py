"""Networks as named arrays, and back: description, edges, parameters of all slices."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, ArraySource, NamedArrays, Variable
from neurolp.brain.base_density import BASES, base_density, describe_base
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.network import Network, Slice, Synapse, distinct_slices
from neurolp.brain.node_map import NodeMap, SplineGrid
from neurolp.brain.parts import NODE_MAPS
from neurolp.brain.update_order import one_after_another

# Dimensions, units and long name of each variable; first value, units and long name of dimensions.
# Where there are no sparse edges "edge" is "target source".
_LEARNED = {
    "weights": (
        "slice edge transfer",
        "1/slice",
        "w of every edge and transfer function; 0 inside a group",
    ),
    "bias": ("slice node", "1/slice", "constant input c_i"),
    "log_scale_weights": (
        "slice edge bounded_transfer",
        "1/slice",
        "log-scale weight of every edge and bounded transfer function",
    ),
    "log_scale_bias": ("slice node", "1/slice", "constant log-scale"),
    "node_map": (
        "slice node coefficient",
        "1",
        "offset and positive slope coefficients of the monotone node map",
    ),
}
_SLICES = _LEARNED | {
    "group": ("slice node", "1", "position of a node's group in the slice; -1: clamped"),
    "rotation": (
        "slice rotated_node node",
        "1",
        "orthogonal matrix applied to the potentials at the start of the slice",
    ),
    "slice_at": ("step", "1", "slice whose parameters are in use: they repeat"),
}
_CONNECTIVITY = {
    "position": ("node dimension", "1", "where the nodes are"),
    "edge_target": ("edge", "1", "node the edge enters"),
    "edge_source": ("edge", "1", "node the edge leaves"),
    "edges": ("edge", "1", "permitted edges"),
    "given_weights": ("edge", "1/slice", "weights as given, before learning"),
}
_DIMENSIONS = {
    "step": (1, "slice", "time in slices"),
    "transfer": (0, "1", "transfer function of an edge: 0 identity, m tanh_m"),
    "bounded_transfer": (1, "1", "transfer function, tanh only"),
    "coefficient": (0, "1", "coefficient of a node map: 0 offset, k slope of B-spline k"),
    "rotated_node": (0, "1", "node after the rotation"),
    "dimension": (0, "1", "dimension of space"),
    "edge": (0, "1", "edge, sorted by target and source"),
    "target": (0, "1", "node an edge enters"),
    "source": (0, "1", "node an edge leaves"),
}


def description_of(network: Network) -> dict[str, Any]:
    """Everything about a network that is not an array over nodes or slices."""
    about = {
        "base": describe_base(network.base),
        "log_scale": network.log_scale,
        "dtype": str(np.dtype(network.dtype)),
        "connectivity": network.connectivity.kind,
        "synapse_thresholds": np.array(network.synapse.thresholds),
        "synapse_slope": network.synapse.slope,
        "sequential": any(g.sequential for s in network.slices for g in s.groups),
    }
    if network.clamped:
        about["clamped"] = np.array(network.clamped)
    grid = network.grid
    if not isinstance(grid, SplineGrid):
        return about | {"node_map": json.dumps(NODE_MAPS.describe(grid))}
    spline = {"low": grid.low, "high": grid.high, "intervals": grid.n_intervals}
    return about | {f"spline_{name}": value for name, value in spline.items()}


def network_from_arrays(source: ArraySource) -> Network:
    """Rebuild the network in named arrays; every part of it is validated again."""
    about = source.attributes("brain")
    if "node_map" in about:
        node_map: NodeMap = NODE_MAPS.restore(json.loads(about["node_map"]))
    else:
        low, high, n = (about[f"spline_{name}"] for name in ("low", "high", "intervals"))
        node_map = SplineGrid(low, high, int(n))
    network = Network(
        connectivity_from_arrays(source),
        about["base"] if about["base"] in BASES.names else base_density(about["base"]),
        Synapse(tuple(float(t) for t in about["synapse_thresholds"]), about["synapse_slope"]),
        bool(about["log_scale"]),
        node_map,
        np.dtype(about["dtype"]),
        clamped=tuple(int(i) for i in about.get("clamped", ())),
    )
    arrays = {name: source.read(name) for name in _SLICES if name in source}
    # The same map, whose sums are rounded otherwise.
    network.slices = slices_from_arrays(network, arrays, apart=not about["sequential"])
    return network


def slices_from_arrays(
    network: Network, arrays: dict[str, Array], *, apart: bool = False
) -> list[Slice]:
    """The slices that :func:`slices_to_arrays` was given, validated again.

    With ``apart``, groups of one node each do not become one sequential group.
    """
    known = {
        name: values for name, values in arrays.items() if name in _SLICES.keys() - {"slice_at"}
    }
    keys = _edge_keys(network) if network.connectivity.kind == "sparse" else np.empty(0)
    slices = [
        _unpack_slice(network, {name: array[t] for name, array in known.items()}, keys, apart)
        for t in range(len(known["bias"]))
    ]
    which = arrays["slice_at"] - 1 if "slice_at" in arrays else range(len(slices))
    return [slices[k] for k in which]


def slices_to_arrays(network: Network) -> dict[str, Array]:
    """All parameters of the slices, by the names in a file; a repeated slice is there once."""
    slices, which = distinct_slices(network)
    shape, m = (len(slices), network.n_nodes), network.synapse.n_transfer
    out = {
        "group": np.full(shape, -1, dtype=np.int32),
        "bias": np.zeros(shape, network.dtype),
        "node_map": np.zeros((*shape, network.grid.n_coefficients), network.dtype),
        "weights": _all_weights(network, m, "weights"),
    }
    if network.log_scale:
        out["log_scale_bias"] = np.zeros(shape, network.dtype)
        out["log_scale_weights"] = _all_weights(network, m - 1, "log_scale_weights")
    for t, slice_ in enumerate(slices):
        first = 0
        for update in slice_.groups:
            # A sequential group is stored as what it stands for: groups of one node each.
            size = len(update.targets) if update.sequential else 1
            out["group"][t, update.targets] = first + np.arange(size)
            first += size
            for name in ("bias", "node_map", *(["log_scale_bias"] if network.log_scale else [])):
                out[name][t, update.targets] = getattr(update, name)
    if slices and slices[0].rotation is not None:
        out["rotation"] = np.array([slice_.rotation for slice_ in slices])
    if len(which) > len(slices):
        out["slice_at"] = np.array(which) + 1
    return out


def parameters_to_arrays(out: NamedArrays, network: Network) -> None:
    """Add connectivity, and weights, biases, node maps and groups of all slices."""
    connectivity, arrays = network.connectivity, slices_to_arrays(network)
    is_sparse, given = connectivity.kind == "sparse", connectivity.weights
    if connectivity.positions is not None:
        arrays["position"] = connectivity.positions
    if is_sparse:
        edges = connectivity.edges()
        arrays["edge_target"], arrays["edge_source"] = (k.astype(np.int64) for k in edges)
    elif connectivity.kind == "dense":
        arrays["edges"] = connectivity.matrix
    if given is not None:
        arrays["given_weights"] = given.data if is_sparse else given
    out.add_all(arrays, _with_edges(_SLICES | _CONNECTIVITY, network), _DIMENSIONS)


def learned_parameters(network: Network) -> dict[str, Variable]:
    """The variables of :func:`parameters_to_arrays` that learning changes, by name."""
    out = NamedArrays()
    out.add_all(slices_to_arrays(network), _with_edges(_LEARNED, network), {})
    return out.variables


def _with_edges(
    table: dict[str, tuple[str, str, str]], network: Network
) -> dict[str, tuple[str, str, str]]:
    edge = "edge" if network.connectivity.kind == "sparse" else "target source"
    return {k: (dims.replace("edge", edge), unit, what) for k, (dims, unit, what) in table.items()}


def _all_weights(network: Network, n_transfer: int, name: str) -> Array:
    """Weights of all slices: (slice, target, source, transfer), or (slice, edge, transfer).

    Those that the greedy rule learned are numbers of single precision, and are returned as such.
    """
    slices, _ = distinct_slices(network)
    n, n_slices = network.n_nodes, len(slices)
    shape: tuple[int, ...] = (n_slices, n, n, n_transfer)
    is_sparse = network.connectivity.kind == "sparse"
    if is_sparse:
        shape = (n_slices, network.connectivity.n_edges, n_transfer)
        keys = _edge_keys(network)
    out = np.zeros(shape, network.dtype)
    for t, slice_ in enumerate(slices):
        for update in slice_.groups:
            s = len(update.sources)
            weights = getattr(update, name)
            if is_sparse:
                coo = weights.tocoo()
                key = update.targets[coo.row] * n + update.sources[coo.col % s]
                out[t, np.searchsorted(keys, key), coo.col // s] = coo.data
            else:
                block = weights.reshape(len(weights), n_transfer, s).transpose(0, 2, 1)
                out[t][np.ix_(update.targets, update.sources)] = block
    single = out.astype(np.float32)
    return single if np.array_equal(single, out) else out


def _edge_keys(network: Network) -> Array:
    edges = network.connectivity.matrix.tocoo()
    return np.asarray(edges.row.astype(np.int64) * network.n_nodes + edges.col)


def connectivity_from_arrays(source: ArraySource) -> Connectivity:
    """Rebuild the permitted edges."""
    kind, n = source.attributes("brain")["connectivity"], len(source.read("mean"))
    positions = source.read("position") if "position" in source else None
    given = source.read("given_weights") if "given_weights" in source else None
    if kind == "full":
        return Connectivity.full(n)
    if kind == "dense":
        edges = source.read("edges").astype(np.bool_)
        return Connectivity.from_array(edges if given is None else given, n, positions)
    row, column = source.read("edge_target"), source.read("edge_source")
    values = np.ones(len(row), dtype=np.bool_) if given is None else given
    matrix = sparse.csr_array((values, (row, column)), (n, n))
    return Connectivity.from_array(matrix, n, positions)


def _unpack_slice(network: Network, at: dict[str, Array], keys: Array, apart: bool) -> Slice:
    updates, connectivity, n = [], network.connectivity, network.n_nodes
    group = at["group"][network.moving]
    order = network.moving[np.argsort(group, kind="stable")]
    parts = np.split(order, np.cumsum(np.bincount(group))[:-1])
    sequential = not apart and one_after_another(connectivity, parts)
    for targets in [order] if sequential else parts:
        sources = connectivity.sources_of(targets, sequential=sequential)

        def chosen(name: str, targets: Array = targets, sources: Array = sources) -> Any:
            if connectivity.kind != "sparse":
                blocks = at[name][targets[:, None], sources]
                return blocks.transpose(0, 2, 1).reshape(len(targets), -1)
            starts, position = connectivity.presynaptic_rows(targets, sources)
            row = np.repeat(np.arange(len(targets)), np.diff(starts))
            edge = np.searchsorted(keys, targets[row] * n + sources[position])
            shape = (len(targets), len(sources))
            matrices = [sparse.csr_array((w, position, starts), shape) for w in at[name][edge].T]
            return sparse.hstack([sparse.csr_array((len(targets), 0)), *matrices], format="csr")

        log_scale = (None, np.empty(0))
        if network.log_scale:
            log_scale = (chosen("log_scale_weights"), at["log_scale_bias"][targets])
        affine = (chosen("weights"), at["bias"][targets], *log_scale)
        node_map = at["node_map"][targets]
        updates.append(network.update(targets, sources, *affine, node_map, sequential=sequential))
    return Slice(tuple(updates), at.get("rotation"))
