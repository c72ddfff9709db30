"""Parameters of a network <-> the labelled arrays of a trajectory file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neurolp.arrays import NamedArrays, Variable
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.interneurons import Interneurons
from neurolp.brain.network import Network, Slice, Synapse, distinct_slices
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.update_order import one_after_another
from neurolp.storage.reader import Trajectory

Array = npt.NDArray[Any]


def pack_description(network: Network) -> dict[str, Any]:
    """Everything about a network that is not an array over nodes or slices."""
    return {
        "base": network.base,
        "gain": network.gain,
        "dtype": str(np.dtype(network.dtype)),
        "connectivity": network.connectivity.kind,
        "synapse_thresholds": np.array(network.synapse.thresholds),
        "synapse_slope": network.synapse.slope,
        "spline_low": network.grid.low,
        "spline_high": network.grid.high,
        "spline_intervals": network.grid.n_intervals,
    }


def unpack_network(file: Trajectory) -> Network:
    """Rebuild the network in a trajectory file; every part of it is validated again."""
    about = file.brain
    network = Network(
        unpack_connectivity(file),
        about["base"],
        Synapse(tuple(float(t) for t in about["synapse_thresholds"]), about["synapse_slope"]),
        bool(about["gain"]),
        SplineGrid(about["spline_low"], about["spline_high"], int(about["spline_intervals"])),
        np.dtype(about["dtype"]),
    )
    network.slices = slices_from_arrays(
        network, {name: file[name].values for name in _SLICE_ARRAYS if name in file}
    )
    return network


_SLICE_ARRAYS = (
    "group", "bias", "node_map", "weights", "gain_bias", "gain_weights", "rotation",
    "interneuron_input", "interneuron_bias", "interneuron_weights", "interneuron_gain_weights",
    "slice_at",
)  # fmt: skip


def slices_to_arrays(network: Network) -> dict[str, Array]:
    """All parameters of the slices of a network, by the names they have in a file."""
    out = NamedArrays()
    pack_parameters(out, network)
    return {name: out.variables[name].values for name in _SLICE_ARRAYS if name in out.variables}


def slices_from_arrays(network: Network, arrays: dict[str, Array]) -> list[Slice]:
    """The slices that :func:`slices_to_arrays` was given, validated again."""
    known = {name: arrays[name] for name in _SLICE_ARRAYS[:-1] if name in arrays}
    keys = _edge_keys(network) if network.connectivity.kind == "sparse" else np.empty(0)
    slices = [
        _unpack_slice(network, {name: array[t] for name, array in known.items()}, keys)
        for t in range(len(known["bias"]))
    ]
    which = arrays["slice_at"] - 1 if "slice_at" in arrays else range(len(slices))
    return [slices[k] for k in which]


def pack_parameters(out: NamedArrays, network: Network) -> None:
    """Add weights, biases, node maps and groups of all slices; a repeated slice is stored once."""
    slices, which = distinct_slices(network)
    n, m, n_slices = network.n_nodes, network.synapse.n_transfer, len(slices)
    group, bias = np.zeros((n_slices, n), dtype=np.int32), np.zeros((n_slices, n), network.dtype)
    gain_bias = np.zeros_like(bias)
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
            if network.gain:
                gain_bias[t, update.targets] = update.gain_bias
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
    _pack_interneurons(out, slices, n)
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
    out.add(
        "weights",
        ("slice", "transfer", *dims),
        _all_weights(network, m, "weights"),
        "1/slice",
        "w of every edge and transfer function; 0 inside a group",
    )
    if network.gain:
        out.add("gain_bias", ("slice", "node"), gain_bias, "1/slice", "constant log-gain")
        out.add(
            "gain_weights",
            ("slice", "bounded_transfer", *dims),
            _all_weights(network, m - 1, "gain_weights"),
            "1/slice",
            "gain modulation gamma of every edge and bounded transfer function",
        )


def learned_parameters(network: Network) -> dict[str, Variable]:
    """The variables of :func:`pack_parameters` that learning changes, by name."""
    out = NamedArrays()
    pack_parameters(out, network)
    names = ("weights", "bias", "gain_weights", "gain_bias", "node_map")
    return {name: out.variables[name] for name in names if name in out.variables}


def _all_weights(network: Network, n_transfer: int, name: str) -> Array:
    """Weights of all slices: (slice, transfer, target, source), or (slice, transfer, edge)."""
    slices, _ = distinct_slices(network)
    n, n_slices = network.n_nodes, len(slices)
    shape: tuple[int, ...] = (n_slices, n_transfer, n, n)
    is_sparse = network.connectivity.kind == "sparse"
    if is_sparse:
        shape = (n_slices, n_transfer, network.connectivity.n_edges)
        keys = _edge_keys(network)
    out = np.zeros(shape, network.dtype)
    for t, slice_ in enumerate(slices):
        for update in slice_.groups:
            s = len(update.sources)
            weights = getattr(update, name)
            if is_sparse:
                coo = weights.tocoo()
                key = update.targets[coo.row] * n + update.sources[coo.col % s]
                out[t, coo.col // s, np.searchsorted(keys, key)] = coo.data
            else:
                for k in range(n_transfer):
                    block = weights[:, k * s : (k + 1) * s]
                    out[t, k][np.ix_(update.targets, update.sources)] = block
    return out


def _pack_interneurons(out: NamedArrays, slices: list[Slice], n_nodes: int) -> None:
    """Add the interneurons of all groups, and who listens to them; most brains have none."""
    groups = [(t, g, u) for t, s in enumerate(slices) for g, u in enumerate(s.groups)]
    counts = [len(u.interneurons) for _, _, u in groups if u.interneurons is not None]
    if not counts:
        return
    n_slices, n_groups, h = len(slices), 1 + max(g for _, g, _ in groups), max(counts)
    reads = np.zeros((n_slices, n_groups, h, n_nodes))
    bias = np.zeros((n_slices, n_groups, h))
    weights, gain_weights = np.zeros((2, n_slices, h, n_nodes))
    for t, g, update in groups:
        between = update.interneurons
        if between is None:
            continue
        reads[t, g][:, update.sources] = between.weights
        bias[t, g] = between.bias
        weights[t][:, update.targets] = update.weights[:, -h:].T
        if update.gain_weights is not None:
            gain_weights[t][:, update.targets] = update.gain_weights[:, -h:].T
    out.add_coordinate("group_position", np.arange(n_groups), "1", "position of a group in a slice")
    out.add_coordinate("interneuron", np.arange(h), "1", "interneuron of a group")
    dims = ("slice", "group_position", "interneuron")
    out.add("interneuron_input", (*dims, "node"), reads, "1", "R of h = tanh(R u + r)")
    out.add("interneuron_bias", dims, bias, "1", "r of h = tanh(R u + r)")
    to = ("slice", "interneuron", "node")
    what = "of an interneuron of the node's group on the node"
    out.add("interneuron_weights", to, weights, "1/slice", f"shift weight {what}")
    if slices[0].groups[0].gain_weights is not None:
        out.add("interneuron_gain_weights", to, gain_weights, "1/slice", f"gain weight {what}")


def _edge_keys(network: Network) -> Array:
    edges = network.connectivity.matrix.tocoo()
    return np.asarray(edges.row.astype(np.int64) * network.n_nodes + edges.col)


def unpack_connectivity(file: Trajectory) -> Connectivity:
    """Rebuild the permitted edges in a trajectory file."""
    kind, n = file.brain["connectivity"], len(file["mean"])
    positions = file["position"].values if "position" in file else None
    if kind == "full":
        return Connectivity.full(n)
    if kind == "dense":
        return Connectivity.from_array(file["edges"].values.astype(np.bool_), n, positions)
    row, column = file["edge_target"].values, file["edge_source"].values
    ones = np.ones(len(row), dtype=np.bool_)
    matrix = sparse.csr_array((ones, (row, column)), (n, n))
    return Connectivity.from_array(matrix, n, positions)


def _unpack_slice(network: Network, at: dict[str, Array], keys: Array) -> Slice:
    updates = []
    n = network.n_nodes
    order = np.argsort(at["group"], kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(at["group"]))[:-1])
    mediated = "interneuron_bias" in at
    sequential = one_after_another(network.connectivity, parts) and not mediated
    for g, targets in enumerate([order] if sequential else parts):
        outside = np.ones(n, dtype=np.bool_)
        outside[targets] = sequential
        sources = network.connectivity.sources_of(targets, outside)

        def chosen(name: str, targets: Array = targets, sources: Array = sources) -> Any:
            if network.connectivity.kind != "sparse":
                blocks = at[name][:, targets[:, None], sources]
                return blocks.transpose(1, 0, 2).reshape(len(targets), -1)
            near = [network.connectivity.presynaptic(int(i), sources) for i in targets]
            row = np.repeat(np.arange(len(targets)), [len(k) for k in near])
            position = np.concatenate(near) if near else np.empty(0, np.intp)
            edge = np.searchsorted(keys, targets[row] * n + sources[position])
            k, s = len(at[name]), len(sources)
            columns = (np.arange(k)[:, None] * s + position).ravel()
            return sparse.csr_array(
                (at[name][:, edge].ravel(), (np.tile(row, k), columns)), (len(targets), k * s)
            )

        weights = chosen("weights")
        gain_weights = chosen("gain_weights") if network.gain else None
        between = None
        if mediated and len(sources):
            between = Interneurons(
                at["interneuron_input"][g][:, sources], at["interneuron_bias"][g]
            )
            weights = np.hstack([weights, at["interneuron_weights"][:, targets].T])
            if gain_weights is not None:
                heard = at["interneuron_gain_weights"][:, targets].T
                gain_weights = np.hstack([gain_weights, heard])
        updates.append(
            network.update(
                targets,
                sources,
                weights,
                at["bias"][targets],
                gain_weights,
                at["gain_bias"][targets] if network.gain else np.empty(0),
                at["node_map"][targets],
                sequential=sequential,
                interneurons=between,
            )
        )
    return Slice(tuple(updates), at.get("rotation"))
