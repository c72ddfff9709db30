"""All slices of a network in contiguous arrays, as the fused kernels take them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from operator import is_
from typing import Any, cast

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.network import GroupUpdate, Network
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.workers import Block
from neurolp.kernels.fused import CHUNK, TILE, evolve_fused
from neurolp.kernels.fused_inverse import rewind_fused

# Tiles of a block: fewer where there are not many, so that all threads have some.
_TILES, _BLOCKS = 16, 16


@dataclass(frozen=True)
class FusedSlices:
    """The slices of a network at one time of its life, for :mod:`neurolp.kernels.fused`.

    Computed in double precision, whatever that of the network. Potentials differ from those of the
    groups one by one in rounding alone.
    """

    slice_steps: Array
    steps: Array
    nodes: Array
    weights: Array
    biases: Array
    tables: Array
    rotations: Array
    thresholds: Array
    slope: float
    low: float
    spacing: float
    n_intervals: int
    log_scale: bool

    def evolve(self, potential: Array, log_det: Array, first: int, last: int) -> None:
        """Move ``potential`` (n_nodes, width) through slices ``first .. last``, in place.

        ``log_det`` (width,) is added to, nats. Both are float64 and contiguous.
        """
        begin, end = int(self.slice_steps[first]), int(self.slice_steps[last])
        evolve_fused(*self._arguments(begin, end, potential, log_det))

    def rewind(self, potential: Array, first: int, last: int) -> None:
        """Undo :meth:`evolve`, in place."""
        begin, end = int(self.slice_steps[first]), int(self.slice_steps[last])
        rewind_fused(*self._arguments(begin, end, potential))

    def _arguments(self, *further: Any) -> tuple[Any, ...]:
        arrays = (self.steps, self.nodes, self.weights, self.biases, self.tables, self.rotations)
        grid = (self.low, self.spacing, self.n_intervals)
        return (*arrays, self.thresholds, self.slope, *grid, self.log_scale, *further)


def tile_blocks(n_columns: int) -> list[Block]:
    """Cut columns into blocks of whole tiles; depends on their number only.

    >>> tile_blocks(300)
    [(0, 128), (128, 128), (256, 44)]
    """
    width = TILE * min(max(n_columns // (TILE * _BLOCKS), 1), _TILES)
    return [(a, min(width, n_columns - a)) for a in range(0, n_columns, width)]


def fused_slices(network: Network) -> FusedSlices | None:
    """The slices of a network as the fused kernels take them; None where they cannot.

    They can where groups are dense and not sequential, and node maps are splines. The result is
    kept with the network until a slice is exchanged or the numbers of a group change.
    """
    groups = [group for slice_ in network.slices for group in slice_.groups]
    if not isinstance(network.grid, SplineGrid) or not all(map(_is_plain, groups)):
        return None
    slices, revisions = tuple(network.slices), [group.revision for group in groups]
    if network.fused is not None:
        then, revisions_then, fused = network.fused
        same = len(slices) == len(then) and all(map(is_, slices, then))
        if same and revisions == revisions_then:
            return cast(FusedSlices, fused)
    fused = _fuse(network, network.grid)
    network.fused = (slices, revisions, fused)
    return fused


def _is_plain(group: GroupUpdate) -> bool:
    return not group.sequential and isinstance(group.weights, np.ndarray)


def _fuse(network: Network, grid: SplineGrid) -> FusedSlices:
    theta = np.array(network.synapse.thresholds, dtype=np.float64)
    n_chunks = max(-(-len(theta) // CHUNK), 1)
    # Thresholds that nothing listens to fill the last chunk.
    k = np.ones(n_chunks * CHUNK)
    k[: len(theta)] = np.exp(2.0 * network.synapse.slope * theta)
    steps, slice_steps, parts = [], [0], _Parts()
    for slice_ in network.slices:
        rotation = -1
        if slice_.rotation is not None:
            rotation = parts.add("rotations", slice_.rotation)
        for group in slice_.groups:
            weights, biases = _pairs(group, k, len(theta))
            step = [len(group.targets), len(group.sources)]
            step.append(parts.add("nodes", np.concatenate([group.targets, group.sources])))
            step += [parts.add("weights", weights), parts.add("biases", biases)]
            steps.append([*step, parts.add("tables", group.table), rotation])
            rotation = -1
        if rotation >= 0:
            steps.append([0, 0, 0, 0, 0, 0, rotation])
        slice_steps.append(len(steps))
    return FusedSlices(
        slice_steps=np.array(slice_steps),
        steps=np.array(steps, dtype=np.int64).reshape(-1, 7),
        nodes=parts.joined("nodes").astype(np.int64),
        weights=parts.joined("weights"),
        biases=parts.joined("biases"),
        tables=parts.joined("tables"),
        rotations=parts.joined("rotations"),
        thresholds=k,
        slope=float(network.synapse.slope),
        low=float(grid.low),
        spacing=float(grid.spacing),
        n_intervals=grid.n_intervals,
        log_scale=network.log_scale,
    )


class _Parts:
    """Numbers of all steps, by name, one after another."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Array]] = defaultdict(list)
        self._lengths: dict[str, int] = defaultdict(int)

    def add(self, name: str, numbers: Array) -> int:
        """Append numbers; where they begin."""
        start = self._lengths[name]
        self._parts[name].append(np.asarray(numbers, dtype=np.float64).ravel())
        self._lengths[name] += numbers.size
        return start

    def joined(self, name: str) -> Array:
        """All numbers of this name."""
        return np.concatenate([np.empty(0), *self._parts[name]])


def _pairs(group: GroupUpdate, k: Array, n_thresholds: int) -> tuple[Array, Array]:
    """Weights by source, chunk and pair of targets, and biases by pair: see ``kernels.fused``.

    w tanh = w - 2 k w / (z + k): w goes to the bias, the rest is the weight of 1 / (z + k).
    """
    t, s = len(group.targets), len(group.sources)
    n_pairs, n_chunks = (t + 1) // 2, len(k) // CHUNK
    scaled = group.log_scale_weights is not None
    weights = np.zeros((s, n_chunks, n_pairs, 2, 1 + CHUNK * (2 if scaled else 1)))
    biases = np.zeros((n_pairs, 2, 2 if scaled else 1))
    shift = np.asarray(group.weights, dtype=np.float64).reshape(t, 1 + n_thresholds, s)

    def write(bounded: Array, bias: Array, kind: int) -> None:
        at_all = np.zeros((2 * n_pairs, len(k), s))
        at_all[:t, :n_thresholds] = -2.0 * k[:n_thresholds, None] * bounded
        by_pair = at_all.reshape(n_pairs, 2, n_chunks, CHUNK, s).transpose(4, 2, 0, 1, 3)
        weights[..., 1 + kind * CHUNK : 1 + (kind + 1) * CHUNK] = by_pair
        total = np.zeros(2 * n_pairs)
        total[:t] = bias + bounded.sum(axis=(1, 2))
        biases[..., kind] = total.reshape(n_pairs, 2)

    identity = np.zeros((2 * n_pairs, s))
    identity[:t] = shift[:, 0]
    weights[:, 0, :, :, 0] = identity.reshape(n_pairs, 2, s).transpose(2, 0, 1)
    write(shift[:, 1:], np.asarray(group.bias, dtype=np.float64), 0)
    if scaled:
        bounded = np.asarray(group.log_scale_weights, dtype=np.float64)
        write(bounded.reshape(t, n_thresholds, s), group.log_scale_bias.astype(np.float64), 1)
    return weights, biases
