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

**Ordinal nodes** are differenced instead of differentiated. A value is a cell from a to b, and

    P_ri = y_ri(b) - y_ri(a),   P_i = sum_r g_ri P_ri,   g_ri ~ w_r prod_j<i P_rj,

where P_rj stands for dy_rj/du_j if j is continuous. Every later node sees one potential of the
cell, its centre, whatever is in it; so what comes after a value is one function of that value, the
sum of P_ri over cells side by side telescopes to y_ri(inf) - y_ri(-inf) = 1, and sums over ordinal
and integrals over continuous nodes of prod_i P_i are 1, taken from the last node to the first. As
cells get narrow, P_i tends to (b - a) dy_i/du_i. Where values were seen in the cells from ``low``
to ``high`` only, those beyond keep a share s of what y gives them, and the outermost get the rest:
y becomes s y up to low, and 1 - s (1 - y) from high on (:class:`Support`).

**Clamped nodes** (see ``neurolp.brain.network``) have no unit: they are only seen by later nodes.
What the others give is their density given the clamped ones, each of which acts from its place in
the order on. With p_i = P(u_i | u_<i) of any origin for the clamped ones the whole is normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from neurolp.arrays import Array
from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.network import Network
from neurolp.brain.workers import single_threaded_blas
from neurolp.differentiation.conditionals import conditionals
from neurolp.differentiation.layers import KnownLayers, Layers
from neurolp.differentiation.solving import solve_increasing

Unit = tuple[Array, Array, Array]
# Potentials (n,) -> centre, lower and upper end of the cells that they lie in, (n,) each.
CellOf = Callable[[Array], tuple[Array, Array, Array]]

_BLOCK_ELEMENTS = 1 << 22  # of the input of all nodes in all layers: 64 MB with log-scales
_MOST_ROWS = 4096
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
_RESOLUTION = 1e-14  # of a potential
_FIRST_BRACKET, _WIDEST_BRACKET = 8.0, 1e150
_INSIDE = 1e-9  # as far from an end of its support is what lies inside, at least
# Differences of logarithms of y below which a difference of y has lost more digits than taking
# the slope in the middle of the cell for that all over it.
_NARROW = 1e-8


@dataclass(frozen=True)
class Support:
    """The ends ``low`` and ``high``, in potential, of the cells in which an ordinal node was seen.

    Cells below ``low`` have the share exp(``log_share_below``) of the probability that y leaves
    them, those above ``high`` likewise; the lowest and the highest cell inside get the rest.
    """

    low: float
    high: float
    log_share_below: float = -np.inf
    log_share_above: float = -np.inf


@dataclass(frozen=True)
class TriangularMap:
    """A triangular ``network`` and its ``heads``, which have positive weights of sum 1.

    ``supports`` are those of some ordinal nodes, by node; others have all of the line.
    """

    network: Network
    heads: tuple[WeightedHead, ...]
    supports: Mapping[int, Support] = field(default_factory=dict)

    def evaluate(
        self, potential: Array, lower: Array | None = None, upper: Array | None = None
    ) -> Units:
        """Log-densities or log-masses, and y, of all nodes given the earlier ones.

        ``potential`` is (n_nodes, n). ``lower`` and ``upper``, if given, are the ends of the cells
        of ordinal values, of the same shape, lower < upper; -inf and inf are allowed. Both are NaN
        where a value is continuous. Ends may differ from row to row: a value that is known only to
        lie between two others is such a cell too.
        """
        out = np.empty((3, *potential.shape))
        with single_threaded_blas():
            for columns in _blocks(potential.shape[1], len(potential) * 3 * (len(self.heads) + 2)):
                u = potential[:, columns]
                some: tuple[Array | None, Array | None] = (None, None)
                if lower is not None and upper is not None:
                    some = lower[:, columns], upper[:, columns]
                times = [weighted.time for weighted in self.heads]
                walk = Walk(self, u.shape[1], KnownLayers(self.network, times, u, *some))
                for i in range(len(u)):
                    cell = (None if end is None else end[i] for end in some)
                    out[:, i, columns] = walk.advance(u[i], *cell)
        return Units(*out)

    def probits(self, potential: Array) -> Array:
        """Z = Phi^-1(y), Phi the normal distribution function, (n_nodes, n); see :meth:`inverse`.

        From log y or log(1 - y), whichever is less, so that all digits count in both tails. Of
        rows drawn from the density of continuous nodes, z are independent standard normal. The
        potentials of clamped nodes stay as they are.
        """
        out = np.empty(potential.shape)
        with single_threaded_blas():
            for columns in self.blocks(potential.shape[1]):
                walk = Walk(self, columns.stop - columns.start)
                for i, u in enumerate(potential[:, columns]):
                    clamped = i in self.network.clamped
                    out[i, columns] = u if clamped else _probit(*walk.log_cdf(u))
                    walk.advance(u)
        return out

    def inverse(self, probit: Array, cells: Mapping[int, CellOf] | None = None) -> Array:
        """Phi^-1(y) (n_nodes, n) -> u, one node after another.

        For an ordinal node, ``cells`` says which cell a potential lies in: the result is the centre
        of the cell with y(lower) < y <= y(upper). What ``probit`` holds of a clamped node is taken
        as its potential.
        """
        out = np.empty(probit.shape)
        cells, clamped = {} if cells is None else cells, self.network.clamped
        with single_threaded_blas():
            for columns in self.blocks(probit.shape[1]):
                walk = Walk(self, columns.stop - columns.start)
                for i, z in enumerate(probit[:, columns]):
                    u = z if i in clamped else walk.quantile(z)
                    cell = cells[i](u) if i in cells else (u,)
                    out[i, columns] = cell[0]
                    walk.advance(*cell)
        return out

    def blocks(self, n_rows: int) -> list[slice]:
        """Rows that are walked through together, so that memory stays bounded."""
        n_layers = max(weighted.time for weighted in self.heads)
        return _blocks(n_rows, n_layers * self.network.n_nodes)


class Units(NamedTuple):
    """What each node contributes given the earlier ones, (n_nodes, n) each, or of one node (n,).

    ``log_prob`` is the log-density of a continuous value or the log-mass of an ordinal one, nats,
    and 0 for a clamped node. ``lower`` and ``upper`` are y at the ends of its cell, which for a
    continuous value are the same, and NaN for a clamped node: a number drawn uniformly between
    them is uniform for rows drawn from the density (randomised probability integral transform).
    """

    log_prob: Array
    lower: Array
    upper: Array


class Walk:
    """The average of the heads for n rows, node by node, given the earlier nodes.

    :meth:`advance` says what the next node contributes and moves on by one node. To draw it
    first, use :meth:`quantile`; with layers of ``known`` potentials nothing can be drawn. Work
    under ``single_threaded_blas``.
    """

    def __init__(self, map_: TriangularMap, n_rows: int, known: KnownLayers | None = None) -> None:
        self.heads, self.clamped = map_.heads, frozenset(map_.network.clamped)
        times = [weighted.time for weighted in self.heads]
        self.layers = known or Layers(map_.network, max(times), n_rows)
        self.places = self.layers.places(times)
        base = map_.network.base_density
        self.conditionals = [conditionals(base, r.head, n_rows) for r in self.heads]
        weights = np.array([weighted.weight for weighted in self.heads])
        self.log_gate = np.repeat(np.log(weights / weights.sum())[:, None], n_rows, axis=1)
        self.all_rows = np.arange(n_rows)
        self.supports = map_.supports
        self.node = 0

    def quantile(self, probit: Array) -> Array:
        """Potentials (n,) of the next node at which Phi^-1(y) is as given, (n,).

        Where a node with a support has y between those at both sides of an end, it is inside.
        """
        support = self.supports.get(self.node)
        if support is None:
            return _solve(self._evaluate, probit)
        inside = np.ones(len(probit), dtype=np.bool_)
        for end, sign in ((support.low, 1.0), (support.high, -1.0)):
            if np.isinf(end):
                continue
            sides = self.log_cdf(np.full(len(probit), end))
            log_share = support.log_share_below if sign > 0 else support.log_share_above
            log_left = log_ndtr(sign * probit) - log_share
            beyond = log_left < sides[0 if sign > 0 else 1]
            moved = sign * ndtri_exp(np.where(beyond, log_left, np.log(0.5)))
            probit, inside = np.where(beyond, moved, probit), inside & ~beyond
        u = _solve(self._evaluate, probit)
        margin = _INSIDE * min(support.high - support.low, 1.0)
        return np.where(inside, np.clip(u, support.low + margin, support.high - margin), u)

    def advance(self, u: Array, lower: Array | None = None, upper: Array | None = None) -> Units:
        """Units of the next node, (n,) each; then condition on ``u`` (n,) and move on by one node.

        ``lower`` and ``upper`` are as for :meth:`TriangularMap.evaluate`.
        """
        i = self.node
        self.node += 1
        if i in self.clamped:
            self.layers.clamp(i, u)
            return Units(np.zeros(len(u)), np.full(len(u), np.nan), np.full(len(u), np.nan))
        if lower is None or upper is None or np.all(np.isnan(lower)):
            path, log_slope, _ = self.layers.pass_cells(i, u, None, None)
            readings = self._readings(path, log_slope, self.all_rows)
            log_prob, log_y, log_rest = self._average(readings, self.all_rows)
            each, below = readings[0], _y(log_y, log_rest)
            above = below
        else:
            path, each, low, high = self._masses(i, u, lower, upper)
            log_prob = logsumexp(each + self.log_gate, axis=0)
            below, above = (_y(*logsumexp(y + self.log_gate, axis=1)) for y in (low, high))
        # Where all masses vanish, the gates no longer matter.
        self.log_gate += each - np.where(np.isneginf(log_prob), 0.0, log_prob)
        for place, unit in zip(self.places, self.conditionals, strict=True):
            unit.advance(path[place])
        self.layers.advance(i, path)
        return Units(log_prob, below, above)

    def log_cdf(self, u: Array) -> tuple[Array, Array]:
        """Log y and log(1 - y) of the next node at ``u`` (n,), whatever its support is."""
        _, log_y, log_rest = self._evaluate(u, self.all_rows)
        return log_y, log_rest

    def _evaluate(self, u: Array, rows: Array) -> Unit:
        """Log dy/du, log y and log(1 - y) of the next node at ``u`` (m,) for some of the rows."""
        moved = cast(Layers, self.layers).pass_through(self.node, u, rows)
        return self._average(self._readings(*moved, rows), rows)

    def _masses(
        self, i: int, u: Array, lower: Array, upper: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Paths of ``u``, and log-masses of every head, (n_heads, n), or densities without ends.

        Then log y_r and log(1 - y_r) at the lower and at the upper ends, (2, n_heads, n) each.
        """
        paths, log_slopes, parts = self.layers.pass_cells(i, u, lower, upper)
        n, m = len(u), len(u) + len(parts[1])
        path, log_slope = paths[:, :n], log_slopes[:, :n]
        shape = (2, len(self.heads), len(u))
        ends = np.empty(shape), np.empty(shape)
        continuous = np.isnan(lower)
        for k, infinite in enumerate(((-np.inf, 0), (0, -np.inf))):
            some = slice(n, m) if k == 0 else slice(m, None)
            ends[k][:] = np.array(infinite)[:, None, None]
            readings = self._readings(paths[:, some], log_slopes[:, some], parts[k + 1])
            ends[k][:, :, parts[k + 1]] = readings[1:]
        log_share = np.zeros(n)
        if i in self.supports:
            log_share = _confine(self.supports[i], lower, upper, ends)
        log_mass, narrow = _log_difference(*ends)
        narrow &= ~continuous
        rows = np.flatnonzero(continuous | narrow.any(axis=0))
        if len(rows):
            readings = self._readings(path[:, rows], log_slope[:, rows], rows)
            for y in ends:
                y[:, :, continuous] = readings[1:, :, continuous[rows]]
            with np.errstate(divide="ignore", invalid="ignore"):
                width = np.where(continuous, 0.0, np.log(upper - lower) + log_share)
            width = np.where(np.isneginf(log_share), -np.inf, width)[rows]
            density = readings[0] + width
            log_mass[:, rows] = np.where((continuous | narrow)[:, rows], density, log_mass[:, rows])
        return path, log_mass, *ends

    def _readings(self, path: Array, log_slope: Array, rows: Array) -> Array:
        """Log dy_r/du, log y_r and log(1 - y_r) of every head, (3, n_heads, m)."""
        out = np.empty((3, len(self.places), len(rows)))
        for r, (place, unit) in enumerate(zip(self.places, self.conditionals, strict=True)):
            out[:, r] = unit.evaluate(path[place], rows)
            out[0, r] += log_slope[place]
        return out

    def _average(self, readings: Array, rows: Array) -> Unit:
        log_slope, log_y, log_rest = logsumexp(readings + self.log_gate[:, rows], axis=1)
        return log_slope, log_y, log_rest


def _blocks(n_rows: int, elements_of_row: int) -> list[slice]:
    width = min(max(_BLOCK_ELEMENTS // max(elements_of_row, 1), 1), _MOST_ROWS)
    return [slice(a, min(a + width, n_rows)) for a in range(0, n_rows, width)]


def _y(log_y: Array, log_rest: Array) -> Array:
    """Y, from the smaller of y and 1 - y."""
    return np.where(log_y < log_rest, np.exp(log_y), -np.expm1(log_rest))


def _probit(log_y: Array, log_rest: Array) -> Array:
    """Phi^-1(y), from the smaller of y and 1 - y."""
    below = log_y < log_rest
    z = ndtri_exp(np.minimum(np.where(below, log_y, log_rest), np.log(0.5)))
    return np.asarray(np.where(below, z, -z))


def _confine(support: Support, lower: Array, upper: Array, ends: tuple[Array, Array]) -> Array:
    """Bring y at the ends (see ``Walk._masses``) to the support, in place.

    Returns the log-share of every row's cell, (n,): 0 inside.
    """
    for end, y in zip((lower, upper), ends, strict=True):
        below, above = end <= support.low, end >= support.high
        y[0, :, below] += support.log_share_below
        y[1, :, below] = _log_complement(y[0, :, below])
        y[1, :, above] += support.log_share_above
        y[0, :, above] = _log_complement(y[1, :, above])
    share = np.where(upper <= support.low, support.log_share_below, 0.0)
    return np.where(lower >= support.high, support.log_share_above, share)


def _log_complement(log_p: Array) -> Array:
    """Log(1 - p), accurate for all p."""
    log_p = np.minimum(log_p, 0.0)  # rounding
    with np.errstate(divide="ignore"):
        near, far = np.log(-np.expm1(log_p)), np.log1p(-np.exp(log_p))
    return np.where(log_p > -np.log(2), near, far)


def _log_difference(low: Array, high: Array) -> tuple[Array, Array]:
    """Log(y_high - y_low) from log y and log(1 - y), (2, ..) each, on the side where it is small.

    The second result says where the two are too near to each other for that.
    """
    below = high[0] < low[1]
    more, less = np.where(below, high[0], low[1]), np.where(below, low[0], high[1])
    with np.errstate(invalid="ignore"):
        ratio = np.minimum(less - more, 0.0)
        return more + _log_complement(ratio), ~(ratio < -_NARROW)


def _solve(at: Callable[[Array, Array], Unit], wanted: Array) -> Array:
    """Where the probit of y is ``wanted`` (n,).

    Probits have a positive slope in far tails too, and a constant one for a normal law.
    """

    def miss(u: Array, rows: Array) -> tuple[Array, Array]:
        """Differences of the probits from those wanted, and their slopes."""
        log_slope, log_y, log_rest = at(u, rows)
        z = _probit(log_y, log_rest)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # NaN: take the middle
            slope = np.exp(log_slope + 0.5 * z * z + _HALF_LOG_2PI)
        return z - wanted[rows], slope

    n = len(wanted)
    low, high = np.full(n, -_FIRST_BRACKET), np.full(n, _FIRST_BRACKET)
    for end, sign in ((low, 1.0), (high, -1.0)):
        rows = np.arange(n)
        while len(rows) and abs(end[rows[0]]) < _WIDEST_BRACKET:
            rows = rows[sign * miss(end[rows], rows)[0] > 0]
            end[rows] *= 2.0
    return solve_increasing(miss, np.clip(wanted, low, high), low, high, _RESOLUTION)
