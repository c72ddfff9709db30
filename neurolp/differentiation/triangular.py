"""Triangular maps: y_i = F_i(u_i | u_1 .. u_i-1), exact conditional distribution functions.

A network whose edges lead from earlier to later nodes only is triangular, layer by layer, and so is
its composition with the Rosenblatt map of a density head (``conditionals``). For head r at layer
t_r,

    Phi_r(u) = prod_i dy_ri/du_i,   y_ri = F_ri(u_i(t_r) | u_<i(t_r)).

In layer t node i moves by a map that is monotone in itself and depends on earlier nodes alone,

    v_i = exp(G_i) u_i + I_i,   u_i' = g_i(v_i),   log du_i'/du_i = G_i + log g_i'(v_i),

I_i and G_i functions of u_j, j < i (see ``neurolp.brain.network``). Once the earlier columns are
known in all layers, so are I_i and G_i, and a whole column is a function of one variable: that is
what its distribution function and its quantile need.

The average of several heads, sum_r w_r Phi_r, is such a product again, in closed form:

    y_i = sum_r g_ri y_ri,   dy_i/du_i = sum_r g_ri dy_ri/du_i,   g_ri ~ w_r prod_j<i dy_rj/du_j,

for prod_i dy_i/du_i telescopes to sum_r w_r Phi_r. Everything is computed with logarithms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtri, ndtri_exp
from scipy.stats import rankdata

from neurolp.arrays import Array
from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.network import GroupUpdate, Network
from neurolp.brain.rules.replay import spline_grid
from neurolp.brain.workers import single_threaded_blas
from neurolp.differentiation.conditionals import conditionals
from neurolp.differentiation.solving import solve_increasing
from neurolp.kernels.affine import shift_and_scale, transfer
from neurolp.kernels.node_map import apply_node_maps

Unit = tuple[Array, Array, Array]

_BLOCK_ELEMENTS = 1 << 22  # of the input of all nodes in all layers: 64 MB with log-scales
_MOST_ROWS = 4096
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
_PRIOR_ROWS = 0.3  # per column: draws correlations of a candidate order towards zero
_RESOLUTION = 1e-14  # of a potential
_ONE, _NOTHING = np.zeros(1, dtype=np.intp), np.empty(0)
_FIRST_BRACKET, _WIDEST_BRACKET = 8.0, 1e150


@dataclass(frozen=True)
class TriangularMap:
    """A triangular ``network`` and its ``heads``, which have positive weights of sum 1."""

    network: Network
    heads: tuple[WeightedHead, ...]

    def evaluate(self, potential: Array) -> tuple[Array, Array]:
        """U (n_nodes, n) -> log dy_i/du_i and y_i, both (n_nodes, n); nats."""
        log_slope, y = np.empty(potential.shape), np.empty(potential.shape)
        with single_threaded_blas():
            for columns in self._blocks(potential.shape[1]):
                walk = _Walk(self, columns.stop - columns.start)
                for i, u in enumerate(potential[:, columns]):
                    log_slope[i, columns], log_y, log_rest = walk.advance(u)
                    y[i, columns] = np.where(log_y < log_rest, np.exp(log_y), -np.expm1(log_rest))
        return log_slope, y

    def inverse(self, y: Array) -> Array:
        """Y (n_nodes, n) in (0, 1) -> u, one node after another."""
        out = np.empty(y.shape)
        probit = ndtri(y)
        with single_threaded_blas():
            for columns in self._blocks(y.shape[1]):
                walk = _Walk(self, columns.stop - columns.start)
                for i, wanted in enumerate(probit[:, columns]):
                    out[i, columns] = u = _solve(walk.evaluate, wanted)
                    walk.advance(u)
        return out

    def _blocks(self, n_rows: int) -> list[slice]:
        n_layers = max(weighted.time for weighted in self.heads)
        elements = max(n_layers * self.network.n_nodes, 1)
        width = min(max(_BLOCK_ELEMENTS // elements, 1), _MOST_ROWS)
        return [slice(a, min(a + width, n_rows)) for a in range(0, n_rows, width)]


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
                # A group updated after the node's own sees where it has gone.
                seen = path[t + 1 : t + 2] if g > self.home[t][i][0] else path[t : t + 1]
                transfer(seen, _ONE, 0, n, synapse.slope, thresholds, features)
                later = group.targets > i
                columns = position + len(group.sources) * np.arange(synapse.n_transfer)
                weights = group.weights[later][:, columns]
                self.shift[t, group.targets[later]] += weights @ features
                if self.network.log_scale:
                    weights = group.log_scale_weights[later][:, columns[:-1]]
                    self.log_scale[t, group.targets[later]] += weights @ features[1:]


class _Walk:
    """The average of the heads for n rows, node by node, given the earlier nodes."""

    def __init__(self, map_: TriangularMap, n_rows: int) -> None:
        self.heads = map_.heads
        self.times = [weighted.time for weighted in self.heads]
        self.layers = Layers(map_.network, max(self.times), n_rows)
        base = map_.network.base_density
        self.conditionals = [conditionals(base, r.head, n_rows) for r in self.heads]
        weights = np.array([weighted.weight for weighted in self.heads])
        self.log_gate = np.repeat(np.log(weights / weights.sum())[:, None], n_rows, axis=1)
        self.all_rows = np.arange(n_rows)
        self.node = 0

    def evaluate(self, u: Array, rows: Array) -> Unit:
        """Log dy/du, log y and log(1 - y) of the next node at ``u`` (m,) for some of the rows."""
        return self._average(
            self._readings(*self.layers.pass_through(self.node, u, rows), rows), rows
        )

    def advance(self, u: Array) -> Unit:
        """The same for all rows at ``u`` (n,); then condition on ``u`` and move on by one node."""
        path, log_slope = self.layers.pass_through(self.node, u, self.all_rows)
        readings = self._readings(path, log_slope, self.all_rows)
        out = self._average(readings, self.all_rows)
        self.log_gate += readings[0] - out[0]
        for time, unit in zip(self.times, self.conditionals, strict=True):
            unit.advance(path[time])
        self.layers.advance(self.node, path)
        self.node += 1
        return out

    def _readings(self, path: Array, log_slope: Array, rows: Array) -> Array:
        """Log dy_r/du, log y_r and log(1 - y_r) of every head, (3, n_heads, m)."""
        out = np.empty((3, len(self.times), len(rows)))
        for r, (time, unit) in enumerate(zip(self.times, self.conditionals, strict=True)):
            out[:, r] = unit.evaluate(path[time], rows)
            out[0, r] += log_slope[time]
        return out

    def _average(self, readings: Array, rows: Array) -> Unit:
        log_slope, log_y, log_rest = logsumexp(readings + self.log_gate[:, rows], axis=1)
        return log_slope, log_y, log_rest


def _solve(at: Callable[[Array, Array], Unit], wanted: Array) -> Array:
    """Where the probit of y is ``wanted`` (n,).

    Probits have a positive slope in far tails too, and a constant one for a normal law.
    """

    def miss(u: Array, rows: Array) -> tuple[Array, Array]:
        """Differences of the probits from those wanted, and their slopes."""
        log_slope, log_y, log_rest = at(u, rows)
        below = log_y < log_rest
        z = ndtri_exp(np.minimum(np.where(below, log_y, log_rest), np.log(0.5)))
        with np.errstate(over="ignore", under="ignore"):
            slope = np.exp(log_slope + 0.5 * z * z + _HALF_LOG_2PI)
        return np.where(below, z, -z) - wanted[rows], slope

    n = len(wanted)
    low, high = np.full(n, -_FIRST_BRACKET), np.full(n, _FIRST_BRACKET)
    for end, sign in ((low, 1.0), (high, -1.0)):
        rows = np.arange(n)
        while len(rows) and abs(end[rows[0]]) < _WIDEST_BRACKET:
            rows = rows[sign * miss(end[rows], rows)[0] > 0]
            end[rows] *= 2.0
    return solve_increasing(miss, np.clip(wanted, low, high), low, high, _RESOLUTION)


# --- orders of the columns -----------------------------------------------------------------------


def candidate_orders(potential: Array) -> list[Array]:
    """Candidate orders of the columns of potentials (n_columns, n_rows), the given one first.

    All are exact, some are easier to learn.

    The given one, its reverse, and two that follow the correlations of the ranks: from the column
    most correlated with the others always to the one that is predicted best by those before; and
    the reverse of always going to the one that is predicted worst. The last two do not depend on
    how the columns are numbered, which matters where that says nothing: on two splits of
    breast_cancer the validation log-likelihood is 2.3 nats in the given order, 1.9 in the one
    chosen of the four, and 1.0 in orders drawn at random; on five splits the first two tie (3.6).
    """
    d, n = potential.shape
    given = np.arange(d)
    if d == 1:
        return [given]
    if d == 2:
        return [given, given[::-1]]
    scores = ndtri((rankdata(potential, axis=1) - 0.5) / n)
    prior = _PRIOR_ROWS * d
    covariance = (scores @ scores.T + prior * np.eye(d)) / (n + prior)
    out = [given]
    for order in (given[::-1], _chain(covariance, 1.0), _chain(covariance, -1.0)[::-1]):
        if not any(np.array_equal(order, other) for other in out):
            out.append(order)
    return out


def _chain(covariance: Array, sign: float) -> Array:
    """Pivoted Cholesky factorisation: the next pivot has the least (sign 1) or most variance."""
    rest = covariance.copy()
    left = np.ones(len(rest), dtype=np.bool_)
    scale = np.sqrt(np.diagonal(rest))
    pivot = int(np.argmax(np.square(rest / np.outer(scale, scale)).sum(axis=1)))
    order = []
    while True:
        order.append(pivot)
        left[pivot] = False
        if not left.any():
            return np.array(order)
        rest -= np.outer(rest[:, pivot], rest[pivot]) / rest[pivot, pivot]
        pivot = int(np.argmin(np.where(left, sign * np.diagonal(rest), np.inf)))
