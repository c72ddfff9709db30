"""Time evolution: forward with its log-determinant, and its exact inverse.

Groups are updated one after another, each from the newest values of the others, so every update is
a triangular map and the log-determinant is the sum of the nodes' own log-derivatives, exactly, for
any weights and any number of slices (sequential scheme).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neurolp.brain.network import GroupUpdate, Network, Slice
from neurolp.brain.parallel import Block, Workers, column_blocks
from neurolp.kernels.coupling import couple, csr_product, transfer, uncouple
from neurolp.kernels.node_map import apply_node_maps, invert_node_maps

Array = npt.NDArray[Any]

_NOTHING = np.empty(0)


def evolve(
    network: Network,
    potential: Array,
    *,
    first: int = 0,
    n_slices: int | None = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """Run time forward: u(0) -> (u(T), log |det du(T)/du(0)|).

    Parameters
    ----------
    network : Network
        The brain.
    potential : array of shape (n_nodes, n_trajectories)
        Potentials at time 0. Not modified.
    first : int
        Start at this time instead of 0: the slices before it are skipped.
    n_slices : int, optional
        Stop after this many slices; all by default.
    n_threads : int, optional
        Threads to use, all available by default. The result does not depend on it.

    Returns
    -------
    potential : array of shape (n_nodes, n_trajectories)
        Potentials at time T.
    log_det : array of shape (n_trajectories,)
        Log-determinant in nats, always float64.

    Raises
    ------
    ValueError
        If ``potential`` has the wrong shape.
    """
    u = _own_copy(network, potential)
    log_det = np.zeros(u.shape[1])
    slices = network.slices[first:n_slices]

    def run(block: Block) -> None:
        for slice_ in slices:
            evolve_block(network, slice_, u, log_det, block)

    with Workers(n_threads) as workers:
        workers.map(run, _blocks(slices, u))
    return u, log_det


def rewind(
    network: Network, potential: Array, *, n_slices: int | None = None, n_threads: int | None = None
) -> Array:
    """Run time backward: u(T) -> u(0), the exact inverse of :func:`evolve`.

    Groups are undone in reverse order: invert the node maps, subtract the input, undo the gain;
    then the rotation, if any, is turned back.
    Parameters and errors as for :func:`evolve`.
    """
    u = _own_copy(network, potential)
    slices = network.slices[:n_slices]

    def run(block: Block) -> None:
        for slice_ in reversed(slices):
            for group in reversed(slice_.groups):
                _rewind_group(network, group, u, block)
            if slice_.rotation is not None:
                rotate(slice_.rotation.T, u, block)

    with Workers(n_threads) as workers:
        workers.map(run, _blocks(slices, u))
    return u


def evolve_slice(
    network: Network, slice_: Slice, potential: Array, log_det: Array, workers: Workers
) -> None:
    """Move ``potential`` (n_nodes, n_trajectories) through one slice, in place."""

    def run(block: Block) -> None:
        evolve_block(network, slice_, potential, log_det, block)

    workers.map(run, _blocks([slice_], potential))


def rotate(rotation: Array, potential: Array, block: Block) -> None:
    """Replace u by Q u on one block of trajectories, in place."""
    columns = slice(block[0], sum(block))
    potential[:, columns] = rotation.astype(potential.dtype) @ potential[:, columns]


def evolve_block(
    network: Network, slice_: Slice, potential: Array, log_det: Array, block: Block
) -> None:
    """Move one block of trajectories through one slice, in place."""
    if slice_.rotation is not None:
        rotate(slice_.rotation, potential, block)
    for group in slice_.groups:
        _evolve_group(network, group, potential, log_det, block)


def _evolve_group(
    network: Network, group: GroupUpdate, potential: Array, log_det: Array, block: Block
) -> None:
    start, width = block
    shift, log_gain = synaptic_input(network, group, potential, block)
    couple(potential, group.targets, start, shift, group.bias, log_gain, group.gain_bias, log_det)
    apply_node_maps(
        potential,
        group.targets,
        start,
        network.grid.low,
        network.grid.spacing,
        group.table,
        np.empty(width, dtype=potential.dtype),
        log_det,
        _NOTHING,
    )


def synaptic_input(
    network: Network, group: GroupUpdate, potential: Array, block: Block
) -> tuple[Array, Array]:
    """Shift and log-gain that the sources exert on the targets, each (n_targets, width)."""
    features = source_features(network, group, potential, block)
    shift = product(group.weights, features)
    if not network.gain:
        return shift, np.empty((0, 0), dtype=potential.dtype)
    return shift, product(group.gain_weights, features[len(group.sources) :])


def source_features(network: Network, group: GroupUpdate, potential: Array, block: Block) -> Array:
    """Transfer functions of the sources, (n_features, width)."""
    start, width = block
    features = np.empty((group.n_features, width), dtype=potential.dtype)
    synapse = network.synapse
    transfer(
        potential,
        group.sources,
        start,
        width,
        synapse.slope,
        np.array(synapse.thresholds),
        features,
    )
    return features


def _rewind_group(network: Network, group: GroupUpdate, potential: Array, block: Block) -> None:
    start, width = block
    invert_node_maps(
        potential, group.targets, start, width, network.grid.low, network.grid.spacing, group.table
    )
    shift, log_gain = synaptic_input(network, group, potential, block)
    uncouple(potential, group.targets, start, shift, group.bias, log_gain, group.gain_bias)


def product(weights: Any, features: Array) -> Array:
    """``weights @ features`` for dense or CSR weights."""
    if not sparse.issparse(weights):
        return np.asarray(weights @ features)
    out = np.empty((weights.shape[0], features.shape[1]), dtype=features.dtype)
    csr_product(weights.indptr, weights.indices, weights.data, features, out)
    return out


def _own_copy(network: Network, potential: Array) -> Array:
    u = np.array(potential, dtype=network.dtype, order="C", copy=True)
    if u.ndim != 2 or u.shape[0] != network.n_nodes:
        raise ValueError(
            f"argument `potential` must have shape ({network.n_nodes}, n_trajectories), "
            f"but has shape {u.shape}"
        )
    return u


def _blocks(slices: Any, potential: Array) -> list[Block]:
    widest = max((group.n_features for slice_ in slices for group in slice_.groups), default=1)
    return column_blocks(potential.shape[1], widest)
