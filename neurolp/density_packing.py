"""Readouts and receptors <-> the labelled arrays of a trajectory file."""

from __future__ import annotations

import numpy as np

from neurolp.brain.base_density import base_density
from neurolp.brain.energy import MixtureEnergy
from neurolp.brain.readout import Readout
from neurolp.brain.receptors import Receptor, Receptors
from neurolp.trajectory.format import Contents
from neurolp.trajectory.reader import Trajectory


def pack_density(
    out: Contents, readouts: tuple[Readout, ...] | None, receptors: Receptors | None
) -> None:
    """Add readouts and receptors, where there are any."""
    if readouts is not None:
        _pack_readouts(out, readouts)
    if receptors is not None:
        _pack_receptors(out, receptors)


def _pack_readouts(out: Contents, readouts: tuple[Readout, ...]) -> None:
    out.add_coordinate("readout", np.arange(len(readouts)), "1", "readout of the density")
    times = np.array([r.time for r in readouts])
    out.add("readout_time", ("readout",), times, "slice", "when the density is read")
    weights = np.array([r.weight for r in readouts])
    out.add("readout_weight", ("readout",), weights, "1", "weight in the average of densities")
    count = np.array([r.energy.n_components if r.energy else 0 for r in readouts])
    out.add("readout_components", ("readout",), count, "1", "Gaussians; 0 is the base density")
    mixtures = [r.energy for r in readouts if r.energy is not None]
    if not mixtures:
        return
    out.add_coordinate("component", np.arange(count.sum()), "1", "Gaussian, readout by readout")
    for name, dims, parts, about in (
        ("weight", (), [m.weights for m in mixtures], "weight of a Gaussian in its readout"),
        ("mean", ("node",), [m.means for m in mixtures], "mean of a Gaussian"),
        (
            "factor",
            ("node", "node"),
            [m.factors for m in mixtures],
            "lower Cholesky factor of the covariance of a Gaussian",
        ),
    ):
        out.add(f"component_{name}", ("component", *dims), np.concatenate(parts), "1", about)


def unpack_readouts(file: Trajectory) -> tuple[Readout, ...] | None:
    """Rebuild the readouts of a file."""
    if "readout_time" not in file:
        return None
    times, weights = file["readout_time"].values, file["readout_weight"].values
    count = file["readout_components"].values
    ends = np.cumsum(count)
    if ends[-1]:
        parts = [file[f"component_{name}"].values for name in ("weight", "mean", "factor")]
    readouts = []
    for time, weight, k, end in zip(times, weights, count, ends, strict=True):
        energy = MixtureEnergy(*(part[end - k : end] for part in parts)) if k else None
        readouts.append(Readout(int(time), float(weight), energy))
    return tuple(readouts)


def _pack_receptors(out: Contents, receptors: Receptors) -> None:
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
    base = base_density(file.brain["base"])
    ends = np.cumsum(file["receptor_bins"].values)[:-1]
    masses = np.split(file["receptor_mass"].values, ends)
    edges = np.split(file["receptor_edge"].values, ends)
    return Receptors(tuple(Receptor(base, e[:-1], m) for e, m in zip(edges, masses, strict=True)))
