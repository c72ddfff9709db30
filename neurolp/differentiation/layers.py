"""Layers of a triangular network for rows whose columns come one after another."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
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
