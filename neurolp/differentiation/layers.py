"""Layers of a triangular network: for rows whose columns come one after another, or all at once.

Both classes say where a node is before and after the layers, and the ends of its cell with it.
"""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.evolution import synaptic_input
from neurolp.brain.network import GroupUpdate, Network
from neurolp.brain.rules.replay import spline_grid
from neurolp.kernels.affine import shift_and_scale, transfer
from neurolp.kernels.node_map import apply_node_maps

_ONE, _NOTHING = np.zeros(1, dtype=np.intp), np.empty(0)


class Layers:
    """The layers of ``network`` up to ``n_layers``, for n rows whose columns are given in order.

    Edges must lead from earlier to later nodes only.
    """

    def __init__(self, network: Network, n_layers: int, n_rows: int) -> None:
        self.network, self.n_layers = network, n_layers
        shape = (n_layers, network.n_nodes, n_rows)
        self.shift = np.zeros(shape)
        self.log_scale = np.zeros(shape if network.log_scale else (n_layers, network.n_nodes, 0))
        # Per layer: the groups in their order, and for each node its group and its row there.
        self.groups: list[list[GroupUpdate]] = []
        self.home: list[dict[int, tuple[int, int]]] = []
        for slice_ in network.slices[:n_layers]:
            groups = [one for group in slice_.groups for one in group.one_by_one()]
            self.groups.append(groups)
            self.home.append(
                {
                    int(i): (g, k)
                    for g, group in enumerate(groups)
                    for k, i in enumerate(group.targets)
                }
            )

    def places(self, times: list[int]) -> list[int]:
        """Which rows of paths are those of the ``times``."""
        return times

    def pass_cells(
        self, i: int, u: Array, lower: Array | None, upper: Array | None
    ) -> tuple[Array, Array, list[Array]]:
        """:meth:`pass_through` of all rows of node ``i``, and of the ends that are finite.

        They follow one another in the columns of the paths; the last result has their rows.
        """
        rows = [np.arange(len(u))]
        if lower is None or upper is None:
            return *self.pass_through(i, u, rows[0]), rows
        # All three at once: the way through many layers is what costs.
        rows += [np.flatnonzero(np.isfinite(end)) for end in (lower, upper)]
        starts = np.concatenate([u, lower[rows[1]], upper[rows[2]]])
        return *self.pass_through(i, starts, np.concatenate(rows)), rows

    def clamp(self, i: int, u: Array) -> None:
        """Let later nodes see a clamped one at ``u`` (n,)."""
        self.advance(i, np.broadcast_to(u, (self.n_layers + 1, len(u))))

    def pass_through(self, i: int, u: Array, rows: Array) -> tuple[Array, Array]:
        """Move node ``i`` from ``u`` (m,) at the start through all layers, for some of the rows.

        Returns its potentials before every layer and at the end, and the sums so far of
        log du'/du, both (n_layers + 1, m).
        """
        path = np.empty((self.n_layers + 1, len(u)))
        log_slope = np.zeros((self.n_layers + 1, len(u)))
        path[0] = u
        scratch, grid = np.empty(len(u)), spline_grid(self.network)
        for t in range(self.n_layers):
            g, k = self.home[t][i]
            group, one = self.groups[t][g], slice(k, k + 1)
            now, change = path[t + 1 : t + 2], log_slope[t + 1]
            now[0], change[:] = path[t], log_slope[t]
            shift = self.shift[t, i, rows][None]
            log_scale = (
                self.log_scale[t, i, rows][None] if self.network.log_scale else self.log_scale[t]
            )
            shift_and_scale(
                now, _ONE, 0, shift, group.bias[one], log_scale, group.log_scale_bias[one], change
            )
            table = group.table[one]
            apply_node_maps(now, _ONE, 0, grid.low, grid.spacing, table, scratch, change, _NOTHING)
        return path, log_slope

    def advance(self, i: int, path: Array) -> None:
        """Add the input from node ``i``, with its ``path`` (n_layers + 1, n), to its targets."""
        synapse, n = self.network.synapse, path.shape[1]
        features, thresholds = np.empty((synapse.n_transfer, n)), np.array(synapse.thresholds)
        for t, groups in enumerate(self.groups):
            for g, group in enumerate(groups):
                position = int(np.searchsorted(group.sources, i))
                if position == len(group.sources) or group.sources[position] != i:
                    continue
                # A group updated after the node's own sees where it has gone; a clamped node
                # stays where it is.
                moved = i in self.home[t] and g > self.home[t][i][0]
                seen = path[t + 1 : t + 2] if moved else path[t : t + 1]
                transfer(seen, _ONE, 0, n, synapse.slope, thresholds, features)
                later = group.targets > i
                columns = position + len(group.sources) * np.arange(synapse.n_transfer)
                weights = group.weights[later][:, columns]
                self.shift[t, group.targets[later]] += weights @ features
                if self.network.log_scale:
                    weights = group.log_scale_weights[later][:, columns[:-1]]
                    self.log_scale[t, group.targets[later]] += weights @ features[1:]


class KnownLayers:
    """The same for rows all of whose columns are known, which move through the layers together.

    ``potential``, ``lower`` and ``upper`` are as for ``TriangularMap.evaluate``. What a group
    receives is one matrix product, of the potentials themselves; the ends of the cells of its nodes
    receive the same. Paths hold the ``times`` alone.
    """

    def __init__(
        self,
        network: Network,
        times: list[int],
        potential: Array,
        lower: Array | None,
        upper: Array | None,
    ) -> None:
        self.n = potential.shape[1]
        self.times = sorted(set(times))
        ends = [] if lower is None or upper is None else [lower, upper]
        state = np.ascontiguousarray(np.hstack([potential, *ends]), dtype=np.float64)
        # Ends that are not finite go along as 0 and are left out later.
        state[:, self.n :][~np.isfinite(state[:, self.n :])] = 0.0
        celled: Array = np.zeros(len(potential), dtype=np.bool_)
        if ends:
            celled = np.asarray(~np.isnan(ends[0]).all(axis=1))
        log_slope = np.zeros_like(state)
        self._at, self._slopes = [], []
        for t in range(self.times[-1] + 1):
            if t in self.times:
                self._at.append(state.copy())
                self._slopes.append(log_slope.copy())
            if t < self.times[-1]:
                for group in network.slices[t].groups:
                    for one in group.one_by_one():
                        self._move(network, one, state, log_slope, celled)

    def places(self, times: list[int]) -> list[int]:
        """Which rows of paths are those of the ``times``."""
        return [self.times.index(time) for time in times]

    def pass_cells(
        self, i: int, u: Array, lower: Array | None, upper: Array | None
    ) -> tuple[Array, Array, list[Array]]:
        """As of :class:`Layers`; the potentials are those given before."""
        rows = [np.arange(self.n)]
        if lower is not None and upper is not None:
            rows += [np.flatnonzero(np.isfinite(end)) for end in (lower, upper)]
        columns = np.concatenate([k * self.n + some for k, some in enumerate(rows)])
        path = np.array([state[i, columns] for state in self._at])
        return path, np.array([slopes[i, columns] for slopes in self._slopes]), rows

    def clamp(self, i: int, u: Array) -> None:
        """Nothing: it is known."""

    def advance(self, i: int, path: Array) -> None:
        """Nothing: it is known."""

    def _move(
        self, network: Network, group: GroupUpdate, state: Array, log_slope: Array, celled: Array
    ) -> None:
        """Move the targets of one group and the ends of their cells, in place."""
        shift, bias, log_scale, log_scale_bias = synaptic_input(network, group, state, (0, self.n))
        grid = spline_grid(network)
        for k, i in enumerate(group.targets):
            row = slice(k, k + 1)
            copies = state.shape[1] // self.n if celled[i] else 1
            given = [np.tile(part[row], copies) for part in (shift, log_scale)]
            now, change = state[i : i + 1], log_slope[i]
            shift_and_scale(
                now, _ONE, 0, given[0], bias[row], given[1], log_scale_bias[row], change
            )
            scratch, table = np.empty(copies * self.n), group.table[row]
            apply_node_maps(now, _ONE, 0, grid.low, grid.spacing, table, scratch, change, _NOTHING)
