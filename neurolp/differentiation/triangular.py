"""Triangular maps: y_i = F_i(u_i | u_1 .. u_i-1), exact conditional distribution functions.

A network whose edges lead from earlier to later nodes only is triangular, layer by layer, and so is
its composition with the Rosenblatt map of a density head (``conditionals``). For head r at layer
t_r,

    Phi_r(u) = prod_i dy_ri/du_i,   y_ri = F_ri(u_i(t_r) | u_<i(t_r)).

The average of several heads, sum_r w_r Phi_r, is such a product again, in closed form:

    y_i = sum_r g_ri y_ri,   dy_i/du_i = sum_r g_ri dy_ri/du_i,   g_ri ~ w_r prod_j<i dy_rj/du_j,

for prod_i dy_i/du_i telescopes to sum_r w_r Phi_r. Everything is computed with logarithms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtri, ndtri_exp

from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.network import Network
from neurolp.brain.workers import single_threaded_blas
from neurolp.differentiation.conditionals import conditionals
from neurolp.differentiation.layers import Layers
from neurolp.differentiation.solving import solve_increasing

Array = npt.NDArray[Any]
Unit = tuple[Array, Array, Array]

_BLOCK_ELEMENTS = 1 << 22  # of the input of all nodes in all layers: 64 MB with log-scales
_MOST_ROWS = 4096
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
_RESOLUTION = 1e-14  # of a potential
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
