"""Readouts and receptors <-> the labelled arrays of a trajectory file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.brain.base_density import BaseDensity, base_density
from neurolp.brain.heads.head import Readout
from neurolp.brain.heads.mixture import MixtureEnergy
from neurolp.brain.heads.tree import GatedNode, TreeEnergy
from neurolp.brain.marginal import Receptor, Receptors
from neurolp.storage.reader import Trajectory

Array = npt.NDArray[Any]


def pack_density(
    out: NamedArrays, readouts: tuple[Readout, ...] | None, receptors: Receptors | None
) -> None:
    """Add readouts and receptors, where there are any."""
    if readouts is not None:
        _pack_readouts(out, readouts)
    if receptors is not None:
        _pack_receptors(out, receptors)


def _pack_readouts(out: NamedArrays, readouts: tuple[Readout, ...]) -> None:
    out.add_coordinate("readout", np.arange(len(readouts)), "1", "readout of the density")
    times = np.array([r.time for r in readouts])
    out.add("readout_time", ("readout",), times, "slice", "when the density is read")
    weights = np.array([r.weight for r in readouts])
    out.add("readout_weight", ("readout",), weights, "1", "weight in the average of densities")
    mixtures = [r.energy for r in readouts if isinstance(r.energy, MixtureEnergy)]
    trees = [r.energy for r in readouts if isinstance(r.energy, TreeEnergy)]
    count = np.array([_n_gaussians(r) for r in readouts])
    out.add("readout_components", ("readout",), count, "1", "Gaussians; 0 base density, -1 tree")
    if trees:
        _pack_trees(out, trees)
    if not mixtures:
        return
    count = count[count > 0]
    out.add_coordinate("component", np.arange(count.sum()), "1", "Gaussian, readout by readout")
    n_nodes = mixtures[0].means.shape[1]
    out.add_coordinate("other_node", np.arange(n_nodes), "1", "node, second index of a matrix")
    for name, dims, parts, about in (
        ("weight", (), [m.weights for m in mixtures], "weight of a Gaussian in its readout"),
        ("mean", ("node",), [m.means for m in mixtures], "mean of a Gaussian"),
        (
            "factor",
            ("node", "other_node"),
            [m.factors for m in mixtures],
            "lower Cholesky factor of the covariance of a Gaussian",
        ),
    ):
        out.add(f"component_{name}", ("component", *dims), np.concatenate(parts), "1", about)


def unpack_readouts(file: Trajectory) -> tuple[Readout, ...] | None:
    """Rebuild the readouts of a file."""
    if "readout_time" not in file:
        return None
    times, weights = file.read("readout_time"), file.read("readout_weight")
    count = file.read("readout_components")
    ends = np.cumsum(np.maximum(count, 0))
    if ends[-1]:
        parts = [file.read(f"component_{name}") for name in ("weight", "mean", "factor")]
    trees = iter(_unpack_trees(file) if np.any(count < 0) else [])
    readouts = []
    for time, weight, k, end in zip(times, weights, count, ends, strict=True):
        energy: MixtureEnergy | TreeEnergy | None = None
        if k:
            energy = next(trees) if k < 0 else MixtureEnergy(*(p[end - k : end] for p in parts))
        readouts.append(Readout(int(time), float(weight), energy))
    return tuple(readouts)


def _n_gaussians(readout: Readout) -> int:
    if isinstance(readout.energy, MixtureEnergy):
        return readout.energy.n_components
    return 0 if readout.energy is None else -1


def _pack_trees(out: NamedArrays, trees: list[TreeEnergy]) -> None:
    gated = [node for tree in trees for node in tree.nodes]
    receptors = [receptor for node in gated for receptor in node.receptors]
    out.add_coordinate("tree_node", np.arange(len(gated)), "1", "node of a tree, tree by tree")
    for name, values, about in (
        ("member", [g.node for g in gated], "node, parents first"),
        ("parent", [g.parent for g in gated], "node that it depends on; -1 is none"),
        ("gate_bins", [len(g.receptors) for g in gated], "bins of the parent"),
    ):
        out.add(f"tree_{name}", ("tree_node",), np.array(values), "1", about)
    out.add_coordinate("tree_gate", np.arange(len(receptors)), "1", "bin of a parent")
    ends = np.concatenate([np.append(g.edges, np.inf) for g in gated])
    out.add("tree_gate_edge", ("tree_gate",), ends, "1", "upper end of the bin of the parent")
    bins = np.array([len(r.masses) for r in receptors])
    out.add("tree_bins", ("tree_gate",), bins, "1", "bins of the node there")
    out.add_coordinate("tree_bin", np.arange(bins.sum()), "1", "bin of the node")
    masses = np.concatenate([r.masses for r in receptors])
    edges = np.concatenate([np.append(r.edges, np.inf) for r in receptors])
    out.add("tree_mass", ("tree_bin",), masses, "1", "mass of the bin")
    out.add("tree_edge", ("tree_bin",), edges, "1", "upper end of the bin")


def _unpack_trees(file: Trajectory) -> list[TreeEnergy]:
    base = base_density(file.brain["base"])
    receptors = _receptors(base, *(file.read(f"tree_{k}") for k in ("bins", "mass", "edge")))
    gate_bins = file.read("tree_gate_bins")
    stops = np.cumsum(gate_bins)
    gate_edges = np.split(file.read("tree_gate_edge"), stops[:-1])
    nodes = [
        GatedNode(int(node), int(parent), edges[:-1], tuple(receptors[stop - k : stop]))
        for node, parent, edges, k, stop in zip(
            file.read("tree_member"),
            file.read("tree_parent"),
            gate_edges,
            gate_bins,
            stops,
            strict=True,
        )
    ]
    n = len(file.read("mean"))
    return [TreeEnergy(tuple(nodes[k : k + n])) for k in range(0, len(nodes), n)]


def _receptors(base: BaseDensity, bins: Array, masses: Array, edges: Array) -> list[Receptor]:
    ends = np.cumsum(bins)[:-1]
    pairs = zip(np.split(edges, ends), np.split(masses, ends), strict=True)
    return [Receptor(base, e[:-1], m) for e, m in pairs]


def _pack_receptors(out: NamedArrays, receptors: Receptors) -> None:
    masses = [r.masses for r in receptors.nodes]
    bins = np.array([len(m) for m in masses])
    # The last bin of a node has no upper end: its place holds infinity.
    edges = [np.append(r.edges, np.inf) for r in receptors.nodes]
    out.add("receptor_bins", ("node",), bins, "1", "bins of a node's receptor; 1 is the identity")
    out.add_coordinate("receptor_bin", np.arange(bins.sum()), "1", "bin, node by node")
    out.add("receptor_mass", ("receptor_bin",), np.concatenate(masses), "1", "mass of a bin")
    out.add(
        "receptor_edge",
        ("receptor_bin",),
        np.concatenate(edges),
        "1",
        "upper end of a bin, standardised data; infinity for the last one of a node",
    )


def unpack_receptors(file: Trajectory) -> Receptors | None:
    """Rebuild the receptors of a file; each is validated again."""
    if "receptor_bins" not in file:
        return None
    arrays = (file.read(f"receptor_{k}") for k in ("bins", "mass", "edge"))
    return Receptors(tuple(_receptors(base_density(file.brain["base"]), *arrays)))
