"""Time evolution: forward with its log-determinant, and its exact inverse.

Groups are updated one after another, each from the newest values of the others, so every update is
a triangular map and the log-determinant is the sum of the nodes' own log-derivatives, exactly, for
any weights and any number of slices (sequential scheme).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.fused import FusedSlices, fused_slices, tile_blocks
from neurolp.brain.network import GroupUpdate, Network, Slice
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.workers import Block, Workers, check_states, column_blocks
from neurolp.kernels.affine import propagate, shift_and_scale, transfer, undo_shift_and_scale
from neurolp.kernels.node_map import apply_node_maps, invert_node_maps

_NOTHING = np.empty(0)
_ALL = slice(None)
# Nodes of a sequential group whose input is one matrix product: fewer make it inefficient, more
# leave more to the recursion inside.
_CHUNK = 16


def evolve(
    network: Network,
    potential: Array,
    *,
    first: int = 0,
    n_slices: int | None = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """Run time forward: u(0) -> u(T), and log |det du(T)/du(0)| in nats, float64.

    ``potential`` (n_nodes, n_trajectories) is not modified. Time starts at slice ``first`` and goes
    on through ``n_slices`` slices, all that follow by default. The result does not depend on the
    number of threads, all available by default.

    Raises
    ------
    ValueError
        If ``potential`` has the wrong shape.
    """
    u = check_states(potential, network.n_nodes, network.dtype).copy()
    log_det = np.zeros(u.shape[1])
    passage = Passage.of(network)
    last = len(network.slices[: None if n_slices is None else first + n_slices])

    def run(block: Block) -> None:
        columns = slice(block[0], sum(block))
        u[:, columns] = passage.forward(u[:, columns], log_det[columns], first, last)

    with Workers(n_threads) as workers:
        workers.map(run, passage.blocks(u.shape[1]))
    return u, log_det


def rewind(
    network: Network, potential: Array, *, n_slices: int | None = None, n_threads: int | None = None
) -> Array:
    """Run time backward: u(T) -> u(0), the exact inverse of :func:`evolve`.

    Groups are undone in reverse order: invert the node maps, subtract the input, undo the scale;
    then the rotation, if any, is turned back.
    Parameters and errors as for :func:`evolve`.
    """
    u = check_states(potential, network.n_nodes, network.dtype).copy()
    passage = Passage.of(network)
    last = len(network.slices[:n_slices])

    def run(block: Block) -> None:
        columns = slice(block[0], sum(block))
        u[:, columns] = passage.backward(u[:, columns], 0, last)

    with Workers(n_threads) as workers:
        workers.map(run, passage.blocks(u.shape[1]))
    return u


@dataclass(frozen=True)
class Passage:
    """The slices of a network as they move a block of trajectories, either way.

    ``fused`` does so in one pass, where the network allows it; otherwise it is group by group.
    """

    network: Network
    fused: FusedSlices | None

    @classmethod
    def of(cls, network: Network) -> Passage:
        """The fastest passage of this network."""
        return cls(network, fused_slices(network))

    def blocks(self, n_columns: int) -> list[Block]:
        """Blocks of trajectories for threads; they depend on the shape of the problem alone."""
        if self.fused is not None:
            return tile_blocks(n_columns)
        return _blocks(self.network.slices, n_columns)

    def forward(self, potential: Array, log_det: Array, first: int, last: int) -> Array:
        """Potentials (n_nodes, width) after slices ``first .. last``; ``log_det`` is added to.

        They are float64 where the slices are fused, else of the network's precision.
        """
        if self.fused is not None:
            u = np.array(potential, dtype=np.float64, order="C")
            self.fused.evolve(u, log_det, first, last)
            return u
        u = np.array(potential, dtype=self.network.dtype, order="C")
        for slice_ in self.network.slices[first:last]:
            evolve_block(self.network, slice_, u, log_det, (0, u.shape[1]))
        return u

    def backward(self, potential: Array, first: int, last: int) -> Array:
        """The inverse of :meth:`forward`."""
        if self.fused is not None:
            u = np.array(potential, dtype=np.float64, order="C")
            self.fused.rewind(u, first, last)
            return u
        u = np.array(potential, dtype=self.network.dtype, order="C")
        for slice_ in reversed(self.network.slices[first:last]):
            for group in reversed(slice_.groups):
                _rewind_group(self.network, group, u, (0, u.shape[1]))
            if slice_.rotation is not None:
                rotate(slice_.rotation.T, u, (0, u.shape[1]))
        return u


def evolve_slices(
    network: Network, slices: Sequence[Slice], potential: Array, log_det: Array, workers: Workers
) -> None:
    """Move ``potential`` (n_nodes, n_trajectories) through slices, in place."""

    def run(block: Block) -> None:
        for slice_ in slices:
            evolve_block(network, slice_, potential, log_det, block)

    workers.map(run, _blocks(slices, potential.shape[1]))


def _blocks(slices: Sequence[Slice], n_columns: int) -> list[Block]:
    widest = max((group.n_features for slice_ in slices for group in slice_.groups), default=1)
    return column_blocks(n_columns, widest)


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
        if group.sequential:
            evolve_sequential(network, group, potential, log_det, block)
            continue
        affine = synaptic_input(network, group, potential, block)
        shift_and_scale(potential, group.targets, block[0], *affine, log_det)
        move_by_node_maps(network, group, potential, log_det, block)


def move_by_node_maps(
    network: Network,
    group: GroupUpdate,
    potential: Array,
    log_det: Array,
    block: Block,
    node_log_slope: Array = _NOTHING,
    rows: slice = _ALL,
) -> None:
    """Replace v_i by g_i(v_i) for the targets in ``rows``, in place, and add to ``log_det``.

    ``node_log_slope``, when it has a length, receives the sums of log g_i' over the block.
    """
    (start, width), targets, maps = block, group.targets[rows], network.grid
    if isinstance(maps, SplineGrid):
        product, table = np.empty(width, dtype=potential.dtype), group.table[rows]
        low, spacing = maps.low, maps.spacing
        apply_node_maps(
            potential, targets, start, low, spacing, table, product, log_det, node_log_slope
        )
        return
    columns = slice(start, start + width)
    v = potential[targets, columns].astype(np.float64)
    potential[targets, columns], log_slope = maps.forward(group.node_map[rows], v)
    log_det[columns] += log_slope.sum(axis=0)
    if len(node_log_slope):
        node_log_slope[:] = log_slope.sum(axis=1)


def undo_node_maps(
    network: Network, group: GroupUpdate, potential: Array, block: Block, rows: slice = _ALL
) -> None:
    """Replace u_i by g_i^-1(u_i) for the targets in ``rows``, in place."""
    (start, width), targets, maps = block, group.targets[rows], network.grid
    if isinstance(maps, SplineGrid):
        table = group.table[rows]
        invert_node_maps(potential, targets, start, width, maps.low, maps.spacing, table)
        return
    columns = slice(start, start + width)
    u = potential[targets, columns].astype(np.float64)
    potential[targets, columns] = maps.inverse(group.node_map[rows], u)


def synaptic_input(
    network: Network, group: GroupUpdate, potential: Array, block: Block
) -> tuple[Array, Array, Array, Array]:
    """:meth:`GroupUpdate.affine` of the sources as they are."""
    return group.affine(source_features(network, group, potential, block))


def source_features(network: Network, group: GroupUpdate, potential: Array, block: Block) -> Array:
    """Transfer functions of the sources, (n_features, width)."""
    out = np.empty((group.n_features, block[1]), dtype=potential.dtype)
    write_features(network, group.sources, potential, block, out)
    return out


def write_features(
    network: Network, sources: Array, potential: Array, block: Block, out: Array
) -> None:
    """Write the transfer functions of the sources to the first rows of ``out`` (.., width)."""
    synapse, thresholds = network.synapse, np.array(network.synapse.thresholds)
    transfer(potential, sources, *block, synapse.slope, thresholds, out)


def _rewind_group(network: Network, group: GroupUpdate, potential: Array, block: Block) -> None:
    if group.sequential:
        _rewind_sequential(network, group, potential, block)
        return
    undo_node_maps(network, group, potential, block)
    affine = synaptic_input(network, group, potential, block)
    undo_shift_and_scale(potential, group.targets, block[0], *affine)


def evolve_sequential(
    network: Network,
    group: GroupUpdate,
    potential: Array,
    log_det: Array,
    block: Block,
    node_log_scale: Array = _NOTHING,
    node_log_slope: Array = _NOTHING,
) -> None:
    """Move a sequential group, a chunk of nodes at a time.

    The input of a chunk is a matrix product; what its nodes change for one another on the way is
    a triangular recursion.

    ``node_log_scale`` and ``node_log_slope``, when they have lengths, receive the sums of G_i and
    of log g_i' over the block of trajectories for every target.
    """
    inputs = _SequentialInput(network, group, potential, block)
    for nodes in inputs.chunks():
        inputs.start(nodes)
        for i in nodes:
            one, (target, affine) = slice(i, i + 1), inputs.of(i)
            shift_and_scale(potential, target, block[0], *affine, log_det)
            move_by_node_maps(network, group, potential, log_det, block, node_log_slope[one], one)
            inputs.moved(i, range(i + 1, nodes.stop))
            if len(node_log_scale) and network.log_scale:
                _, _, log_scale, log_scale_bias = affine
                log_scales = log_scale.sum(dtype=np.float64) + block[1] * log_scale_bias.sum()
                node_log_scale[i] = log_scales


def _rewind_sequential(
    network: Network, group: GroupUpdate, potential: Array, block: Block
) -> None:
    inputs = _SequentialInput(network, group, potential, block)
    for nodes in reversed(inputs.chunks()):
        inputs.start(nodes)
        for i in reversed(nodes):
            target, affine = inputs.of(i)
            undo_node_maps(network, group, potential, block, slice(i, i + 1))
            undo_shift_and_scale(potential, target, block[0], *affine)
            inputs.moved(i, range(nodes.start, i))


class _SequentialInput:
    """What the targets of a sequential group receive while they move, in either direction.

    The features of all sources are kept up to date, and so is the input of the chunk at hand.
    """

    def __init__(
        self, network: Network, group: GroupUpdate, potential: Array, block: Block
    ) -> None:
        self._network, self._group = network, group
        self._potential, self._block = potential, block
        scaled = group.log_scale_weights
        self._log_scale_weights = np.empty((0, 0)) if scaled is None else scaled
        self._features = source_features(network, group, potential, block)
        self._fresh = np.empty((network.synapse.n_transfer, block[1]), dtype=potential.dtype)

    def chunks(self) -> list[range]:
        """Targets whose input is computed together."""
        t = len(self._group.targets)
        return [range(k, min(k + _CHUNK, t)) for k in range(0, t, _CHUNK)]

    def start(self, nodes: range) -> None:
        """Compute the input of the targets in ``nodes`` from the newest potentials."""
        rows = self._rows = slice(nodes.start, nodes.stop)
        self._shift = self._group.weights[rows] @ self._features
        self._log_scale = np.empty((0, 0), dtype=self._shift.dtype)
        if len(self._log_scale_weights):
            bounded = self._features[len(self._group.sources) :]
            self._log_scale = self._log_scale_weights[rows] @ bounded

    def of(self, i: int) -> tuple[Array, tuple[Array, Array, Array, Array]]:
        """Target i as an array, and its affine step as of :meth:`GroupUpdate.affine`."""
        group, one, row = self._group, slice(i, i + 1), i - self._rows.start
        here = slice(row, row + 1)
        shift, log_scale = self._shift[here], self._log_scale[here]
        return group.targets[one], (shift, group.bias[one], log_scale, group.log_scale_bias[one])

    def moved(self, i: int, waiting: range) -> None:
        """Update the input of the targets that are ``waiting`` after target i has moved."""
        group, rows, target = self._group, self._rows, self._group.targets[i : i + 1]
        if group.own[i] < 0:
            return
        write_features(self._network, target, self._potential, self._block, self._fresh)
        propagate(
            self._fresh,
            group.own[i],
            len(group.sources),
            group.weights[rows],
            self._log_scale_weights[rows],
            waiting.start - rows.start,
            waiting.stop - rows.start,
            self._features,
            self._shift,
            self._log_scale,
        )
