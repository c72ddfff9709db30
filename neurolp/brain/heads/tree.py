"""The tree head: the density of every node conditional on the bin of one other node.

    exp(-E(u)) = prod_i p_i(u_i | bin of u_parent(i)),

a Chow-Liu tree (Chow and Liu, IEEE Trans. Inf. Theory 14, 1968) whose conditional densities are
the maps of ``brain.marginal``, one for each bin of the parent. It describes what a mixture of
Gaussians cannot: uniform regions with sharp borders that differ from place to place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity
from neurolp.brain.marginal import MarginalMap, grow_marginal_map

_LEVELS = 16  # quantiles of a node that a gate looks at
_CANDIDATES = 64  # first cuts of a gate's bin, refined to a row afterwards
_LEAST_ROWS = 32


@dataclass(frozen=True)
class GatedNode:
    """p(u_node | u_parent): ``maps[k]`` is in force where u_parent lies in bin k of ``edges``.

    ``parent`` -1 and no edges: the node does not depend on others.
    """

    node: int
    parent: int
    edges: Array
    maps: tuple[MarginalMap, ...]

    def bins(self, potential: Array) -> Array:
        """Bin of the parent for every trajectory."""
        if self.parent < 0:
            return np.zeros(potential.shape[1], dtype=np.intp)
        return np.asarray(np.searchsorted(self.edges, potential[self.parent], side="right"))


@dataclass(frozen=True)
class TreeHead:
    """The gated nodes, parents before their children."""

    nodes: tuple[GatedNode, ...]

    def log_prob(self, potential: Array) -> Array:
        """-E(u) of potentials (n_nodes, n_trajectories), shape (n_trajectories,), nats."""
        potential = potential.astype(np.float64)
        out = np.zeros(potential.shape[1])
        for gated in self.nodes:
            bins = gated.bins(potential)
            for k, marginal_map in enumerate(gated.maps):
                mine = np.flatnonzero(bins == k)
                response, log_slope = marginal_map.forward(potential[gated.node, mine])
                out[mine] += log_slope - marginal_map.base.energy(response)
        return out

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Draw potentials, shape (n_nodes, n_samples): parents first."""
        out = np.empty((len(self.nodes), n_samples))
        for gated in self.nodes:
            activity = rng.uniform(np.finfo(np.float64).tiny, 1.0, n_samples)
            bins = gated.bins(out)
            for k, marginal_map in enumerate(gated.maps):
                mine = bins == k
                draws = marginal_map.base.potential(activity[mine])
                out[gated.node, mine] = marginal_map.inverse(draws)
        return out


def fit_tree(base: BaseDensity, potential: Array, *, ordered: bool = False) -> TreeHead:
    """Fit to potentials (n_nodes, n_trajectories): the spanning tree of largest gain, its gates.

    The gain of a gate is that of the evidence of the node's ranks in 16 levels (Dirichlet prior
    1/2) when the rows are divided by the bins of the parent; bins are cut one in two as long as
    that gains more than log n. Where the tree is ``ordered``, a node has the best parent among the
    nodes before it.
    """
    n_nodes = len(potential)
    ranks = potential.argsort(axis=1).argsort(axis=1)
    levels = ranks * _LEVELS // potential.shape[1]
    gates = {
        (i, j): _cut(potential[j], levels[i])
        for i in range(n_nodes)
        for j in range(n_nodes)
        if i != j and (j < i or not ordered)
    }
    # Prim's algorithm; the root is the parent of the best gate. In an ordered tree all nodes before
    # the next one are placed.
    root = max(gates, key=lambda ij: gates[ij][0])[1] if gates and not ordered else 0
    nodes = [GatedNode(root, -1, np.empty(0), (grow_marginal_map(base, potential[root]),))]
    placed = [root]
    while len(placed) < n_nodes:
        next_ = [len(placed)] if ordered else [i for i in range(n_nodes) if i not in placed]
        open_gates = [(i, j) for i, j in gates if i in next_ and j in placed]
        i, j = max(open_gates, key=lambda ij: gates[ij][0])
        edges = gates[i, j][1]
        bins = np.searchsorted(edges, potential[j], side="right")
        marginal_maps = [
            grow_marginal_map(base, potential[i, bins == k]) for k in range(len(edges) + 1)
        ]
        parent = j if len(edges) else -1
        nodes.append(GatedNode(i, parent, edges, tuple(marginal_maps)))
        placed.append(i)
    return TreeHead(tuple(nodes))


def _cut(parent: Array, levels: Array) -> tuple[float, Array]:
    """Gain of a gate and its edges: places in ``parent`` where the levels' shares change."""
    order = np.argsort(parent)
    x, n = parent[order], len(parent)
    counts = np.zeros((n + 1, _LEVELS))
    counts[np.arange(1, n + 1), levels[order]] = 1
    counts = counts.cumsum(axis=0)
    borders = np.flatnonzero(x[1:] > x[:-1]) + 1  # equal values stay together
    total, edges = 0.0, []
    bins = [(0, n)]
    while bins:
        first, last = bins.pop()
        inside = borders[np.searchsorted(borders, first, "right") : np.searchsorted(borders, last)]
        step = max((len(inside) + 1) // _CANDIDATES, 1)
        coarse = np.arange(step - 1, len(inside), step)
        if last - first < _LEAST_ROWS or not len(coarse):
            continue

        def gains(at: Array, first: int = first, last: int = last) -> Array:
            left, right = counts[at] - counts[first], counts[last] - counts[at]
            whole = _evidence(counts[last] - counts[first])
            return np.asarray(_evidence(left) + _evidence(right) - whole)

        near = int(coarse[np.argmax(gains(inside[coarse]))])
        fine = inside[max(near - step, 0) : near + step + 1]
        gain = gains(fine)
        best = int(np.argmax(gain))
        if gain[best] > np.log(n):
            place = int(fine[best])
            total += float(gain[best])
            middle = (x[place - 1] + x[place]) / 2
            edges.append(middle if middle > x[place - 1] else x[place])
            bins += [(first, place), (place, last)]
    return total, np.unique(edges)


def _evidence(counts: Array) -> Array:
    """Log-evidence of counts (..., levels) against equal shares, with a Dirichlet prior of 1/2."""
    n, levels = counts.sum(axis=-1), counts.shape[-1]
    out = gammaln(counts + 0.5).sum(axis=-1) - gammaln(n + levels / 2)
    return np.asarray(out + n * np.log(levels) + gammaln(levels / 2) - levels * gammaln(0.5))
