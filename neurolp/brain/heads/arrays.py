"""Density heads and marginal maps as named arrays, and back."""

from __future__ import annotations

import json

import numpy as np

from neurolp.arrays import Array, ArraySource, NamedArrays
from neurolp.brain.base_density import BaseDensity, base_density
from neurolp.brain.heads.head import HEADS, DensityHead, WeightedHead
from neurolp.brain.heads.mixture import MixtureHead
from neurolp.brain.heads.tree import GatedNode, TreeHead
from neurolp.brain.marginal import MarginalMap, MarginalTransform

_TREE, _OWN = -1, -2  # in the place of a number of Gaussians


def heads_to_arrays(
    out: NamedArrays, heads: tuple[WeightedHead, ...] | None, transform: MarginalTransform | None
) -> None:
    """Add heads and marginal maps, where there are any."""
    if heads is not None:
        _pack_heads(out, heads)
    if transform is not None:
        _pack_marginal_transform(out, transform)


def _pack_heads(out: NamedArrays, heads: tuple[WeightedHead, ...]) -> None:
    out.add_coordinate("head", np.arange(len(heads)), "1", "head of the density")
    times = np.array([r.time for r in heads])
    out.add("head_time", ("head",), times, "slice", "when the density is read")
    weights = np.array([r.weight for r in heads])
    out.add("head_weight", ("head",), weights, "1", "weight in the average of densities")
    mixtures = [r.head for r in heads if isinstance(r.head, MixtureHead)]
    trees = [r.head for r in heads if isinstance(r.head, TreeHead)]
    count = np.array([_n_gaussians(r) for r in heads])
    what = "Gaussians; 0 base density, -1 tree, -2 a user's head"
    out.add("head_components", ("head",), count, "1", what)
    if trees:
        _pack_trees(out, trees)
    if np.any(count == _OWN):
        own = json.dumps([HEADS.describe(r.head) for r in heads if _n_gaussians(r) == _OWN])
        out.add_coordinate("own_head_byte", np.arange(len(own)), "1", "byte of a text")
        text = np.frombuffer(own.encode(), dtype=np.uint8)
        out.add("own_heads", ("own_head_byte",), text, "1", "users' heads, as JSON")
    if not mixtures:
        return
    count = count[count > 0]
    out.add_coordinate("component", np.arange(count.sum()), "1", "Gaussian, head by head")
    n_nodes = mixtures[0].means.shape[1]
    out.add_coordinate("other_node", np.arange(n_nodes), "1", "node, second index of a matrix")
    for name, dims, parts, about in (
        ("weight", (), [m.weights for m in mixtures], "weight of a Gaussian in its head"),
        ("mean", ("node",), [m.means for m in mixtures], "mean of a Gaussian"),
        (
            "factor",
            ("node", "other_node"),
            [m.factors for m in mixtures],
            "lower Cholesky factor of the covariance of a Gaussian",
        ),
    ):
        out.add(f"component_{name}", ("component", *dims), np.concatenate(parts), "1", about)


def heads_from_arrays(source: ArraySource) -> tuple[WeightedHead, ...] | None:
    """The heads that were added; None if there are none."""
    if "head_time" not in source:
        return None
    times, weights = source.read("head_time"), source.read("head_weight")
    count = source.read("head_components")
    ends = np.cumsum(np.maximum(count, 0))
    if ends[-1]:
        parts = [source.read(f"component_{name}") for name in ("weight", "mean", "factor")]
    trees = iter(_unpack_trees(source) if np.any(count == _TREE) else [])
    own = json.loads(source.read("own_heads").tobytes()) if np.any(count == _OWN) else []
    others = iter([HEADS.restore(head) for head in own])
    heads = []
    for time, weight, k, end in zip(times, weights, count, ends, strict=True):
        head: DensityHead | None = None
        if k > 0:
            head = MixtureHead(*(p[end - k : end] for p in parts))
        elif k < 0:
            head = next(trees if k == _TREE else others)
        heads.append(WeightedHead(int(time), float(weight), head))
    return tuple(heads)


def _n_gaussians(weighted: WeightedHead) -> int:
    if isinstance(weighted.head, MixtureHead):
        return weighted.head.n_components
    if weighted.head is None:
        return 0
    return _TREE if isinstance(weighted.head, TreeHead) else _OWN


def _pack_trees(out: NamedArrays, trees: list[TreeHead]) -> None:
    gated = [node for tree in trees for node in tree.nodes]
    marginal_maps = [marginal_map for node in gated for marginal_map in node.maps]
    out.add_coordinate("tree_node", np.arange(len(gated)), "1", "node of a tree, tree by tree")
    for name, values, about in (
        ("member", [g.node for g in gated], "node, parents first"),
        ("parent", [g.parent for g in gated], "node that it depends on; -1 is none"),
        ("gate_bins", [len(g.maps) for g in gated], "bins of the parent"),
    ):
        out.add(f"tree_{name}", ("tree_node",), np.array(values), "1", about)
    out.add_coordinate("tree_gate", np.arange(len(marginal_maps)), "1", "bin of a parent")
    ends = np.concatenate([np.append(g.edges, np.inf) for g in gated])
    out.add("tree_gate_edge", ("tree_gate",), ends, "1", "upper end of the bin of the parent")
    bins = np.array([len(r.masses) for r in marginal_maps])
    out.add("tree_bins", ("tree_gate",), bins, "1", "bins of the node there")
    out.add_coordinate("tree_bin", np.arange(bins.sum()), "1", "bin of the node")
    masses = np.concatenate([r.masses for r in marginal_maps])
    edges = np.concatenate([np.append(r.edges, np.inf) for r in marginal_maps])
    out.add("tree_mass", ("tree_bin",), masses, "1", "mass of the bin")
    out.add("tree_edge", ("tree_bin",), edges, "1", "upper end of the bin")


def _unpack_trees(source: ArraySource) -> list[TreeHead]:
    base = base_density(source.attributes("brain")["base"])
    marginal_maps = _marginal_maps(
        base, *(source.read(f"tree_{k}") for k in ("bins", "mass", "edge"))
    )
    gate_bins = source.read("tree_gate_bins")
    stops = np.cumsum(gate_bins)
    gate_edges = np.split(source.read("tree_gate_edge"), stops[:-1])
    nodes = [
        GatedNode(int(node), int(parent), edges[:-1], tuple(marginal_maps[stop - k : stop]))
        for node, parent, edges, k, stop in zip(
            source.read("tree_member"),
            source.read("tree_parent"),
            gate_edges,
            gate_bins,
            stops,
            strict=True,
        )
    ]
    n = len(source.read("mean"))
    return [TreeHead(tuple(nodes[k : k + n])) for k in range(0, len(nodes), n)]


def _marginal_maps(
    base: BaseDensity, bins: Array, masses: Array, edges: Array
) -> list[MarginalMap]:
    ends = np.cumsum(bins)[:-1]
    pairs = zip(np.split(edges, ends), np.split(masses, ends), strict=True)
    return [MarginalMap(base, e[:-1], m) for e, m in pairs]


def _pack_marginal_transform(out: NamedArrays, transform: MarginalTransform) -> None:
    masses = [r.masses for r in transform.nodes]
    bins = np.array([len(m) for m in masses])
    # The last bin of a node has no upper end: its place holds infinity.
    edges = [np.append(r.edges, np.inf) for r in transform.nodes]
    out.add(
        "marginal_bins", ("node",), bins, "1", "bins of a node's marginal map; 1 is the identity"
    )
    out.add_coordinate("marginal_bin", np.arange(bins.sum()), "1", "bin, node by node")
    out.add("marginal_mass", ("marginal_bin",), np.concatenate(masses), "1", "mass of a bin")
    out.add(
        "marginal_edge",
        ("marginal_bin",),
        np.concatenate(edges),
        "1",
        "upper end of a bin, standardised data; infinity for the last one of a node",
    )


def marginal_transform_from_arrays(source: ArraySource) -> MarginalTransform | None:
    """The marginal maps that were added, validated again; None if there are none."""
    if "marginal_bins" not in source:
        return None
    arrays = (source.read(f"marginal_{k}") for k in ("bins", "mass", "edge"))
    base = base_density(source.attributes("brain")["base"])
    return MarginalTransform(tuple(_marginal_maps(base, *arrays)))
