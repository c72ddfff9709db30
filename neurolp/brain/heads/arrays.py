"""Density heads and marginal maps as named arrays, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from neurolp.arrays import Array, ArraySource, NamedArrays
from neurolp.brain.base_density import BaseDensity, base_density
from neurolp.brain.heads.head import HEADS, DensityHead, WeightedHead
from neurolp.brain.heads.mixture import MixtureHead
from neurolp.brain.heads.tree import GatedNode, TreeHead
from neurolp.brain.marginal import MarginalMap, MarginalTransform

_TREE, _OWN = -1, -2  # in the place of a number of Gaussians

# Dimensions, units and long name of each variable; first value, units and long name of dimensions.
_VARIABLES = {
    "head_time": ("head", "slice", "when the density is read"),
    "head_weight": ("head", "1", "weight in the average of densities"),
    "head_components": ("head", "1", "Gaussians; 0 base density, -1 tree, -2 a user's head"),
    "tree_member": ("tree_node", "1", "node, parents first"),
    "tree_parent": ("tree_node", "1", "node that it depends on; -1 is none"),
    "tree_gate_bins": ("tree_node", "1", "bins of the parent"),
    "tree_gate_edge": ("tree_gate", "1", "upper end of the bin of the parent"),
    "tree_bins": ("tree_gate", "1", "bins of the node there"),
    "tree_mass": ("tree_bin", "1", "mass of the bin"),
    "tree_edge": ("tree_bin", "1", "upper end of the bin"),
    "own_heads": ("own_head_byte", "1", "users' heads, as JSON"),
    "component_weight": ("component", "1", "weight of a Gaussian in its head"),
    "component_mean": ("component node", "1", "mean of a Gaussian"),
    "component_factor": (
        "component node other_node",
        "1",
        "lower Cholesky factor of the covariance of a Gaussian",
    ),
    "marginal_bins": ("node", "1", "bins of a node's marginal map; 1 is the identity"),
    "marginal_mass": ("marginal_bin", "1", "mass of a bin"),
    "marginal_edge": (
        "marginal_bin",
        "1",
        "upper end of a bin, standardised data; infinity for the last one of a node",
    ),
}
_DIMENSIONS = {
    "head": (0, "1", "head of the density"),
    "tree_node": (0, "1", "node of a tree, tree by tree"),
    "tree_gate": (0, "1", "bin of a parent"),
    "tree_bin": (0, "1", "bin of the node"),
    "own_head_byte": (0, "1", "byte of a text"),
    "component": (0, "1", "Gaussian, head by head"),
    "moving_node": (0, "1", "node that is not clamped"),
    "other_node": (0, "1", "node, second index of a matrix"),
    "marginal_bin": (0, "1", "bin, node by node"),
}


def heads_to_arrays(
    out: NamedArrays, heads: tuple[WeightedHead, ...] | None, transform: MarginalTransform | None
) -> None:
    """Add heads and marginal maps, where there are any."""
    arrays = {} if transform is None else _maps_to_arrays("marginal", transform.nodes)
    if heads is not None:
        count = np.array([_n_gaussians(r) for r in heads])
        arrays["head_time"] = np.array([r.time for r in heads])
        arrays["head_weight"] = np.array([r.weight for r in heads])
        arrays["head_components"] = count
        trees = [node for r in heads if isinstance(r.head, TreeHead) for node in r.head.nodes]
        if trees:
            arrays["tree_member"] = np.array([g.node for g in trees])
            arrays["tree_parent"] = np.array([g.parent for g in trees])
            arrays["tree_gate_bins"] = np.array([len(g.maps) for g in trees])
            arrays["tree_gate_edge"] = np.concatenate([np.append(g.edges, np.inf) for g in trees])
            arrays |= _maps_to_arrays("tree", [one for g in trees for one in g.maps])
        if np.any(count == _OWN):
            own = [HEADS.describe(r.head) for r in heads if _n_gaussians(r) == _OWN]
            arrays["own_heads"] = np.frombuffer(json.dumps(own).encode(), dtype=np.uint8)
        mixtures = [r.head for r in heads if isinstance(r.head, MixtureHead)]
        if mixtures:
            arrays["component_weight"] = np.concatenate([m.weights for m in mixtures])
            arrays["component_mean"] = np.concatenate([m.means for m in mixtures])
            arrays["component_factor"] = np.concatenate([m.factors for m in mixtures])
    variables = _VARIABLES
    if "clamped" in out.attributes.get("brain", {}):  # which no head knows of
        variables = {
            name: (dims.replace("component node", "component moving_node"), units, what)
            for name, (dims, units, what) in variables.items()
        }
    out.add_all(arrays, variables, _DIMENSIONS)


def heads_from_arrays(source: ArraySource) -> tuple[WeightedHead, ...] | None:
    """The heads that were added; None if there are none."""
    if "head_time" not in source:
        return None
    times, weights = source.read("head_time"), source.read("head_weight")
    count = source.read("head_components")
    ends = np.cumsum(np.maximum(count, 0))
    if ends[-1]:
        parts = [source.read(f"component_{name}") for name in ("weight", "mean", "factor")]
    trees = iter(_trees(source) if np.any(count == _TREE) else [])
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


def _trees(source: ArraySource) -> list[TreeHead]:
    maps = _maps(source, "tree")
    gate_bins = source.read("tree_gate_bins")
    stops = np.cumsum(gate_bins)
    members, parents = source.read("tree_member"), source.read("tree_parent")
    gates = np.split(source.read("tree_gate_edge"), stops[:-1])
    nodes = [
        GatedNode(int(node), int(parent), edges[:-1], tuple(maps[stop - k : stop]))
        for node, parent, edges, k, stop in zip(
            members, parents, gates, gate_bins, stops, strict=True
        )
    ]
    n = len(source.read("mean")) - len(source.attributes("brain").get("clamped", ()))
    return [TreeHead(tuple(nodes[k : k + n])) for k in range(0, len(nodes), n)]


def _maps_to_arrays(group: str, maps: Sequence[MarginalMap]) -> dict[str, Array]:
    """Bins of all maps, one map after another; the last bin of each ends at infinity."""
    return {
        f"{group}_bins": np.array([len(m.masses) for m in maps]),
        f"{group}_mass": np.concatenate([m.masses for m in maps]),
        f"{group}_edge": np.concatenate([np.append(m.edges, np.inf) for m in maps]),
    }


def _maps(source: ArraySource, group: str) -> list[MarginalMap]:
    base: BaseDensity = base_density(source.attributes("brain")["base"])
    ends = np.cumsum(source.read(f"{group}_bins"))[:-1]
    edges, masses = (np.split(source.read(f"{group}_{k}"), ends) for k in ("edge", "mass"))
    return [MarginalMap(base, e[:-1], m) for e, m in zip(edges, masses, strict=True)]


def marginal_transform_from_arrays(source: ArraySource) -> MarginalTransform | None:
    """The marginal maps that were added, validated again; None if there are none."""
    return (
        MarginalTransform(tuple(_maps(source, "marginal"))) if "marginal_bins" in source else None
    )
