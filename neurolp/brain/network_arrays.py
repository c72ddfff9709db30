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


def description_of(network: Network) -> dict[str, Any]:
    """Everything about a network that is not an array over nodes or slices."""
    return {
        "base": describe_base(network.base),
        "log_scale": network.log_scale,
        "dtype": str(np.dtype(network.dtype)),
        "connectivity": network.connectivity.kind,
        "synapse_thresholds": np.array(network.synapse.thresholds),
        "synapse_slope": network.synapse.slope,
    } | _describe_node_map(network.grid)


def _describe_node_map(node_map: NodeMap) -> dict[str, Any]:
    if not isinstance(node_map, SplineGrid):
        return {"node_map": json.dumps(NODE_MAPS.describe(node_map))}
    return {
        "spline_low": node_map.low,
        "spline_high": node_map.high,
        "spline_intervals": node_map.n_intervals,
    }


def _node_map(about: dict[str, Any]) -> NodeMap:
    if "node_map" in about:
        restored: NodeMap = NODE_MAPS.restore(json.loads(about["node_map"]))
        return restored
    return SplineGrid(about["spline_low"], about["spline_high"], int(about["spline_intervals"]))


def network_from_arrays(source: ArraySource) -> Network:
    """Rebuild the network in named arrays; every part of it is validated again."""
    about = source.attributes("brain")
    network = Network(
        connectivity_from_arrays(source),
        about["base"] if about["base"] in BASES.names else base_density(about["base"]),
        Synapse(tuple(float(t) for t in about["synapse_thresholds"]), about["synapse_slope"]),
        bool(about["log_scale"]),
        _node_map(about),
        np.dtype(about["dtype"]),
    )
    network.slices = slices_from_arrays(
        network, {name: source.read(name) for name in _SLICE_ARRAYS if name in source}
    )
    return network


_SLICE_ARRAYS = (
    "group", "bias", "node_map", "weights", "log_scale_bias", "log_scale_weights", "rotation",
    "slice_at",
)  # fmt: skip


def slices_to_arrays(network: Network) -> dict[str, Array]:
    """All parameters of the slices of a network, by the names they have in a file."""
    out = NamedArrays()
    parameters_to_arrays(out, network)
    return {name: out.variables[name].values for name in _SLICE_ARRAYS if name in out.variables}


def slices_from_arrays(
    network: Network, arrays: dict[str, Array], *, apart: bool = False
) -> list[Slice]:
    """The slices that :func:`slices_to_arrays` was given, validated again.

    With ``apart``, groups of one node each do not become one sequential group.
    """
    known = {name: arrays[name] for name in _SLICE_ARRAYS[:-1] if name in arrays}
    slices = [
        _unpack_slice(network, {name: array[t] for name, array in known.items()}, apart)
        for t in range(len(known["bias"]))
    ]
    which = arrays["slice_at"] - 1 if "slice_at" in arrays else range(len(slices))
    return [slices[k] for k in which]


def parameters_to_arrays(out: NamedArrays, network: Network) -> None:
    """Add weights, biases, node maps and groups of all slices; a repeated slice is stored once."""
    slices, which = distinct_slices(network)
    n, m, n_slices = network.n_nodes, network.synapse.n_transfer, len(slices)
    group, bias = np.zeros((n_slices, n), dtype=np.int32), np.zeros((n_slices, n), network.dtype)
    log_scale_bias = np.zeros_like(bias)
    node_map = np.zeros((n_slices, n, network.grid.n_coefficients), network.dtype)
    for t, slice_ in enumerate(slices):
        first = 0
        for update in slice_.groups:
            # A sequential group is stored as what it stands for: groups of one node each.
            size = len(update.targets) if update.sequential else 1
            group[t, update.targets] = first + np.arange(size)
            first += size
            bias[t, update.targets] = update.bias
            node_map[t, update.targets] = update.node_map
            if network.log_scale:
                log_scale_bias[t, update.targets] = update.log_scale_bias
    if len(which) > n_slices:
        out.add_coordinate("step", np.arange(1, len(which) + 1), "slice", "time in slices")
        what = "slice whose parameters are in use: they repeat"
        out.add("slice_at", ("step",), np.array(which) + 1, "1", what)
    out.add_coordinate(
        "transfer", np.arange(m), "1", "transfer function of an edge: 0 identity, m tanh_m"
    )
    out.add_coordinate("bounded_transfer", np.arange(1, m), "1", "transfer function, tanh only")
    out.add_coordinate(
        "coefficient",
        np.arange(network.grid.n_coefficients),
        "1",
        "coefficient of a node map: 0 offset, k slope of B-spline k",
    )
    out.add("group", ("slice", "node"), group, "1", "position of a node's group in the slice")
    out.add("bias", ("slice", "node"), bias, "1/slice", "constant input c_i")
    out.add(
        "node_map",
        ("slice", "node", "coefficient"),
        node_map,
        "1",
        "offset and positive slope coefficients of the monotone node map",
    )
    if slices and slices[0].rotation is not None:
        rotations = np.array([slice_.rotation for slice_ in slices])
        out.add_coordinate("rotated_node", np.arange(n), "1", "node after the rotation")
        out.add(
            "rotation",
            ("slice", "rotated_node", "node"),
            rotations,
            "1",
            "orthogonal matrix applied to the potentials at the start of the slice",
        )
    if network.connectivity.positions is not None:
        where = network.connectivity.positions
        out.add_coordinate("dimension", np.arange(where.shape[1]), "1", "dimension of space")
        out.add("position", ("node", "dimension"), where, "1", "where the nodes are")
    dims: tuple[str, ...] = ("target", "source")
    if network.connectivity.kind == "sparse":
        edges = network.connectivity.matrix.tocoo()
        out.add_coordinate("edge", np.arange(edges.nnz), "1", "edge, sorted by target and source")
        out.add("edge_target", ("edge",), edges.row.astype(np.int64), "1", "node the edge enters")
        out.add("edge_source", ("edge",), edges.col.astype(np.int64), "1", "node the edge leaves")
        dims = ("edge",)
    else:
        out.add_coordinate("target", np.arange(n), "1", "node an edge enters")
        out.add_coordinate("source", np.arange(n), "1", "node an edge leaves")
        if network.connectivity.kind == "dense":
            out.add("edges", dims, network.connectivity.matrix, "1", "permitted edges")
    if network.connectivity.weights is not None:
        given = network.connectivity.weights
        given = given.data if network.connectivity.kind == "sparse" else given
        out.add("given_weights", dims, given, "1/slice", "weights as given, before learning")
    out.add(
        "weights",
        ("slice", *dims, "transfer"),
        _all_weights(network, m, "weights"),
        "1/slice",
        "w of every edge and transfer function; 0 inside a group",
    )
    if network.log_scale:
        out.add(
            "log_scale_bias", ("slice", "node"), log_scale_bias, "1/slice", "constant log-scale"
        )
        out.add(
            "log_scale_weights",
            ("slice", *dims, "bounded_transfer"),
            _all_weights(network, m - 1, "log_scale_weights"),
            "1/slice",
            "log-scale weight of every edge and bounded transfer function",
        )


def learned_parameters(network: Network) -> dict[str, Variable]:
    """The variables of :func:`parameters_to_arrays` that learning changes, by name."""
    out = NamedArrays()
    parameters_to_arrays(out, network)
    names = ("weights", "bias", "log_scale_weights", "log_scale_bias", "node_map")
    return {name: out.variables[name] for name in names if name in out.variables}


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


def _unpack_slice(network: Network, at: dict[str, Array], apart: bool) -> Slice:
    updates, connectivity, n = [], network.connectivity, network.n_nodes
    order = np.argsort(at["group"], kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(at["group"]))[:-1])
    sequential = not apart and one_after_another(connectivity, parts)
    keys = _edge_keys(network) if connectivity.kind == "sparse" else np.empty(0)
    for targets in [order] if sequential else parts:
        sources = connectivity.sources_of(targets, sequential=sequential)

        def chosen(name: str, targets: Array = targets, sources: Array = sources) -> Any:
            if connectivity.kind != "sparse":
                blocks = at[name][targets[:, None], sources]
                return blocks.transpose(0, 2, 1).reshape(len(targets), -1)
            starts, position = connectivity.presynaptic_rows(targets, sources)
            row = np.repeat(np.arange(len(targets)), np.diff(starts))
            edge = np.searchsorted(keys, targets[row] * n + sources[position])
            k, s = at[name].shape[1], len(sources)
            columns = (np.arange(k)[:, None] * s + position).ravel()
            entries = at[name][edge].T.ravel(), (np.tile(row, k), columns)
            return sparse.csr_array(entries, (len(targets), k * s))

        log_scale = (None, np.empty(0))
        if network.log_scale:
            log_scale = (chosen("log_scale_weights"), at["log_scale_bias"][targets])
        affine = (chosen("weights"), at["bias"][targets], *log_scale)
        node_map = at["node_map"][targets]
        updates.append(network.update(targets, sources, *affine, node_map, sequential=sequential))
    return Slice(tuple(updates), at.get("rotation"))
