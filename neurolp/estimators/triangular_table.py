"""A triangular map of a table of any columns: densities, masses, draws, given its nominal ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from scipy.special import ndtri

from neurolp.arrays import Array
from neurolp.brain.base_density import base_density
from neurolp.brain.heads.head import dream, log_prob
from neurolp.brain.marginal import MarginalMap, learn_marginal_transform
from neurolp.brain.rules.greedy import GreedyRule
from neurolp.brain.seeds import generator
from neurolp.brain.workers import single_threaded_blas
from neurolp.data.column import Column
from neurolp.differentiation.axes import Axis, GridAxis
from neurolp.differentiation.column_orders import candidate_orders
from neurolp.differentiation.triangular import CellOf, Support, TriangularMap, Units, Walk
from neurolp.errors import ConfigurationError
from neurolp.estimators.table_axes import axis_of, frequent_categories, has_cells, n_copies, spread
from neurolp.estimators.triangular_learning import learn_triangular_map, trial_surprise
from neurolp.simulation.signals import Stop

# Column j and codes (n, n_columns) -> log P of each of its categories given the columns that come
# before it in the order, (n, n_categories); codes of others may be NaN, and are not to be read.
NominalUnit = Callable[[int, Array], Array]

_SUPPORT_ROWS = 1000
_NARROW = 1e-8  # standard deviations: of narrower cells the mass is density times width
# Rows times nodes squared that a layer may cost before fewer, larger steps are taken. Steps three
# times as large lose 1 % on digits (1.2e6, in half of the time), and nothing where rows abound.
_WORK, _LARGE_STEPS, _LARGE_STEPS_PATIENCE = 2e7, 0.1, 12


@dataclass(frozen=True)
class TriangularTable:
    """prod_i p(x_i | x_<i) over the columns of ``order``, without the units of nominal columns.

    Rows are codes (n, n_columns) of ``neurolp.data.columns``, without NaN. A continuous column
    contributes a density, an ordinal value or an atom a mass (``differentiation.triangular``), a
    constant nothing. A nominal column is a source of later ones: clamped nodes, one for each of its
    frequent categories; its own unit, of whatever origin, is given to the methods that need it.

    ``axes`` (n_columns) are None for nominal and constant columns, ``nodes`` the numbers of the
    nodes of each column. ``mean`` and ``scale`` (n_columns,) standardise places on the axes, then
    come ``marginals``.
    """

    order: Array
    axes: tuple[Axis | None, ...]
    frequent: tuple[Array, ...]
    nodes: tuple[Array, ...]
    mean: Array
    scale: Array
    marginals: tuple[MarginalMap | None, ...]
    map_: TriangularMap | None

    @classmethod
    def fit(
        cls,
        train: Array,
        validation: Array,
        columns: Sequence[Column],
        *,
        order: Array | None = None,
        max_layers: int = 400,
        patience: int = 25,
        seed: int = 0,
        n_threads: int | None = None,
        stop: Stop | None = None,
    ) -> TriangularTable:
        """Learn from codes (n, n_columns) each; the latter make the choices.

        ``order`` has every column once; by default nominal columns come first, and of a few orders
        of the others the one that is learned best by a few layers. Values with a mass are spread
        over their cells; of few rows several times, each of which is another row to learn from (on
        digits three times gain 3 nats, or 3 %, over once).
        """
        d = len(columns)
        axes = tuple(axis_of(c, train[:, j]) for j, c in enumerate(columns))
        frequent = tuple(frequent_categories(c, train[:, j]) for j, c in enumerate(columns))
        valued = np.array([j for j in range(d) if axes[j] is not None], dtype=np.intp)
        rng = generator(seed, "spread over cells")
        copies = n_copies(train, axes)
        rows = {
            name: np.concatenate([spread(codes, axes, rng) for _ in range(copies)])
            for name, codes in (("train", train), ("validation", validation))
        }
        mean, scale = rows["train"].mean(axis=0), rows["train"].std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        potential = {name: ((x - mean) / scale).T for name, x in rows.items()}
        marginals: list[MarginalMap | None] = [None] * d
        if len(valued):
            once = {"train": len(train), "validation": len(validation)}
            first = [potential[name][valued, :n] for name, n in once.items()]
            transform = learn_marginal_transform(
                base_density("normal"), first[0], first[1], n_threads
            )
            if transform is not None:
                for j, one in zip(valued, transform.nodes, strict=True):
                    marginals[j] = one
                    for u in potential.values():
                        u[j] = one.forward(u[j])[0]
        nominal = np.array([j for j, c in enumerate(columns) if c.kind == "nominal"], dtype=np.intp)
        if order is not None:
            candidates = [np.array([j for j in order if columns[j].kind != "constant"])]
        elif len(valued):
            ranked = candidate_orders(potential["train"][valued])
            candidates = [np.concatenate([nominal, valued[one]]) for one in ranked]
        else:
            candidates = [nominal]

        def laid_out(order: Array) -> TriangularTable:
            nodes, start = [np.empty(0, dtype=np.intp)] * d, 0
            for j in order:
                size = 1 if axes[j] is not None else len(frequent[j])
                nodes[j] = np.arange(start, start + size)
                start += size
            return cls(order, axes, frequent, tuple(nodes), mean, scale, tuple(marginals), None)

        def parts(table: TriangularTable) -> dict[str, Array]:
            return {
                name: table._in_nodes(potential[name], np.tile(codes, (copies, 1)))
                for name, codes in (("train", train), ("validation", validation))
            }

        tables = [laid_out(candidate) for candidate in candidates]
        table = tables[0]
        if not len(valued):
            return table
        if len(tables) > 1:
            surprise = [trial_surprise(parts(t), seed, n_threads, t._clamped) for t in tables]
            table = tables[int(np.argmin(surprise))]
        mine = parts(table)
        n_nodes, n_rows = mine["train"].shape
        rule = GreedyRule()
        if n_rows * n_nodes**2 > _WORK:
            rule, patience = GreedyRule(_LARGE_STEPS), min(patience, _LARGE_STEPS_PATIENCE)
        map_ = learn_triangular_map(
            mine, max_layers, patience, seed, n_threads, table._clamped, rule, stop
        )
        table = replace(table, map_=map_)
        some = validation[rng.permutation(len(validation))[:_SUPPORT_ROWS]]
        return replace(table, map_=replace(map_, supports=table._supports(some)))

    def units(self, codes: Array) -> Units:
        """Log-densities in nats per unit or log-masses of all columns, and y, (n, n_columns) each.

        0 and NaN for nominal and constant columns.
        """
        out = Units(np.zeros(codes.shape), *np.full((2, *codes.shape), np.nan))
        if self.map_ is None:
            return out
        potential, lower, upper, log_slope = self._placed(codes)
        nodes = [self._in_nodes(u, codes) for u in (potential, lower, upper)]
        found = self.map_.evaluate(*nodes)
        for j in self._valued:
            node = self.nodes[j][0]
            out.log_prob[:, j] = found.log_prob[node] + log_slope[j]
            out.lower[:, j], out.upper[:, j] = found.lower[node], found.upper[node]
        return out

    def log_prob(
        self, codes: Array, nominal: NominalUnit | None = None, n_threads: int | None = None
    ) -> Array:
        """Log Phi of rows, (n,): all but the nominal columns given those, or with ``nominal``."""
        if self.map_ is None or self._has_cells:
            out = self.units(codes).log_prob.sum(axis=1)
        else:  # without units one by one, which takes a twentieth of the time
            potential, _, _, log_slope = self._placed(codes)
            nodes = self._in_nodes(potential, codes)
            out = log_prob(self.map_.network, self.map_.heads, nodes, n_threads)
            out = out + log_slope.sum(axis=0)
        if nominal is not None:
            every = np.arange(len(codes))
            for j in self.order:
                if self.axes[j] is None:
                    out += nominal(int(j), codes)[every, codes[:, j].astype(np.intp)]
        return np.asarray(out)

    def probits(self, codes: Array) -> Array:
        """Phi^-1(y), Phi the normal distribution function, (n, n_columns), without lost digits.

        For columns that all have densities: then it has an inverse; see :meth:`inverse`.
        """
        out = np.full(codes.shape, np.nan)
        if self.map_ is not None:
            nodes = self.map_.probits(self._in_nodes(self._placed(codes)[0], codes))
            for j in self._valued:
                out[:, j] = nodes[self.nodes[j][0]]
        return out

    def inverse(self, probit: Array) -> Array:
        """Codes (n, n_columns) whose Phi^-1(y) are as given, of columns none of which is nominal.

        Of values with a mass the one whose cell y lies in; of constants 0.
        """
        codes = np.zeros(probit.shape)
        if self.map_ is None:
            return codes

        def cell_of(j: int) -> CellOf:
            axis = cast(Axis, self.axes[j])
            return lambda u: self._placed_column(j, axis.values(self._place(j, u)))[:3]

        cells = {int(self.nodes[j][0]): cell_of(j) for j in self._valued if has_cells(self.axes[j])}
        self._write(codes, self.map_.inverse(probit.T[self.order], cells))
        return codes

    def draw(
        self,
        codes: Array,
        rng: np.random.Generator,
        nominal: NominalUnit | None = None,
        n_threads: int | None = None,
    ) -> tuple[Array, Array]:
        """Rows whose NaN are drawn one column after another, and their log-weights (n,), nats.

        The weight of a row is prod p(x_j | earlier columns) over the values that were given: its
        mean over draws is the density of these, and draws with such weights are from the density
        given these. Where only the last columns are drawn weights do not differ between draws.

        Raises
        ------
        ConfigurationError
            If nominal values are to be drawn, or come after drawn ones, without ``nominal``.
        """
        codes, log_weight = codes.copy(), np.zeros(len(codes))
        if self.map_ is None:
            self._draw_block(codes, log_weight, rng, nominal, None)
            return codes, log_weight
        if nominal is None and self._all_drawn(codes):
            network, heads = self.map_.network, self.map_.heads
            clamped = self._in_nodes(np.zeros(codes.T.shape), codes)[list(self._clamped)]
            drawn = dream(network, heads, len(codes), rng, n_threads, clamped=clamped)
            self._write(codes, drawn)
            return codes, log_weight
        with single_threaded_blas():
            for rows in self.map_.blocks(len(codes)):
                walk = Walk(self.map_, rows.stop - rows.start)
                self._draw_block(codes[rows], log_weight[rows], rng, nominal, walk)
        return codes, log_weight

    # --- inside -----------------------------------------------------------------------------------

    def _all_drawn(self, codes: Array) -> bool:
        """Whether all columns with an axis are to be drawn, have densities, and no others lack."""
        valued = np.array([self.axes[j] is not None for j in self.order])
        return not self._has_cells and bool(np.all(np.isnan(codes[:, self.order]) == valued))

    @property
    def _has_cells(self) -> bool:
        return any(has_cells(axis) for axis in self.axes)

    def _write(self, codes: Array, potential: Array) -> None:
        """Set the columns with an axis to the values of potentials (n_nodes, n), in place."""
        for j in self._valued:
            place = self._place(j, potential[self.nodes[j][0]])
            codes[:, j] = cast(Axis, self.axes[j]).values(place)

    def _draw_block(
        self,
        codes: Array,
        log_weight: Array,
        rng: np.random.Generator,
        nominal: NominalUnit | None,
        walk: Walk | None,
    ) -> None:
        """Fill in ``codes`` and add to ``log_weight``, in place."""
        every, tiny = np.arange(len(codes)), np.finfo(np.float64).tiny
        drawn = False
        for j in self.order:
            gap = np.isnan(codes[:, j])
            drawn |= bool(np.any(gap))
            axis = self.axes[j]
            if axis is None:
                if nominal is not None:
                    log_p = nominal(int(j), codes)
                    up_to = np.cumsum(np.exp(log_p), axis=1)
                    level = rng.random((len(codes), 1)) * up_to[:, -1:]
                    codes[gap, j] = np.sum(level >= up_to, axis=1)[gap]
                    given = log_p[every, codes[:, j].astype(np.intp)]
                    log_weight += np.where(gap, 0.0, given)
                elif drawn:
                    raise ConfigurationError(
                        f"argument `nominal` is needed to draw or weigh column {j}, but is None"
                    )
                if walk is not None:
                    for k in range(len(self.nodes[j])):
                        walk.advance(self._indicator(j, k, codes[:, j]))
                continue
            walk = cast(Walk, walk)  # there is a map where a column has an axis
            level = rng.uniform(tiny, 1.0, len(codes))
            if np.any(gap):
                place = self._place(j, walk.quantile(ndtri(level)))
                codes[gap, j] = axis.values(place)[gap]
            u, low, high, log_slope = self._placed_column(int(j), codes[:, j])
            log_prob = walk.advance(u, low, high).log_prob + log_slope
            log_weight += np.where(gap, 0.0, log_prob)

    @property
    def _valued(self) -> Iterator[int]:
        return (int(j) for j in self.order if self.axes[j] is not None)

    @property
    def _clamped(self) -> tuple[int, ...]:
        each = (self.nodes[j] for j in self.order if self.axes[j] is None)
        return tuple(int(node) for nodes in each for node in nodes)

    def _indicator(self, j: int, k: int, codes: Array) -> Array:
        """Whether column j has its k-th frequent category, (n,), as 0 and 1."""
        return np.asarray((codes == self.frequent[j][k]).astype(np.float64))

    def _in_nodes(self, potential: Array, codes: Array) -> Array:
        """Potentials of the nodes, of those of the columns (n_columns, n) and nominal codes."""
        rows = []
        for j in self.order:
            if self.axes[j] is not None:
                rows.append(potential[j])
            else:
                rows += [self._indicator(j, k, codes[:, j]) for k in range(len(self.nodes[j]))]
        return np.ascontiguousarray(rows)

    def _placed(self, codes: Array) -> tuple[Array, Array, Array, Array]:
        """:meth:`_placed_column` of all columns, (n_columns, n) each; NaN and 0 without axis."""
        out = np.full((4, codes.shape[1], len(codes)), np.nan)
        out[3] = 0.0
        for j in self._valued:
            out[:, j] = self._placed_column(j, codes[:, j])
        return out[0], out[1], out[2], out[3]

    def _placed_column(self, j: int, values: Array) -> tuple[Array, Array, Array, Array]:
        """Potential, ends of the cell, and log du/dx for densities (0 for masses), (n,) each."""
        axis, marginal = cast(Axis, self.axes[j]), self.marginals[j]
        places = axis.cells(values)
        with np.errstate(over="ignore"):
            u, low, high = ((place - self.mean[j]) / self.scale[j] for place in places)
        log_slope = np.full(len(u), -np.log(self.scale[j]))
        if self._is_narrow(j):
            low, high = np.full((2, len(u)), np.nan)
            log_slope += np.log(cast(GridAxis, axis).step)
        if marginal is not None:
            u, change = marginal.forward(u)
            log_slope += change
            low, high = (self._through(marginal, end) for end in (low, high))
        return u, low, high, np.where(np.isnan(low), log_slope, 0.0)

    def _is_narrow(self, j: int) -> bool:
        """Whether the cells of column j are too narrow for differences of probabilities."""
        axis = self.axes[j]
        return isinstance(axis, GridAxis) and 0.0 < axis.step < _NARROW * self.scale[j]

    @staticmethod
    def _through(marginal: MarginalMap, ends: Array) -> Array:
        out, finite = ends.copy(), np.isfinite(ends)
        out[finite] = marginal.forward(ends[finite])[0]
        return out

    def _place(self, j: int, u: Array) -> Array:
        """Places on the axis of column j that have these potentials."""
        marginal = self.marginals[j]
        u = u if marginal is None else marginal.inverse(u)
        return np.asarray(u * self.scale[j] + self.mean[j])

    def _supports(self, validation: Array) -> dict[int, Support]:
        """Shares of the cells beyond those seen, from validation rows.

        With s of n rows beyond an end, where y leaves tau n on average: (s + 1/2) / (tau n + 1/2),
        1 at most.
        """
        map_ = cast(TriangularMap, self.map_)
        potential, lower, upper, _ = self._placed(validation)
        u, low, high = (self._in_nodes(x, validation) for x in (potential, lower, upper))
        ends: dict[int, tuple[float, float]] = {}
        for j in self._valued:
            axis = cast(Axis, self.axes[j])
            if np.all(np.isfinite(axis.seen)) and not self._is_narrow(j):
                seen = (np.array(axis.seen) - self.mean[j]) / self.scale[j]
                one = self.marginals[j]
                seen = seen if one is None else self._through(one, seen)
                ends[int(self.nodes[j][0])] = float(seen[0]), float(seen[1])
        left = {node: np.zeros(2) for node in ends}
        with single_threaded_blas():
            for rows in map_.blocks(len(validation)):
                walk = Walk(map_, rows.stop - rows.start)
                for node in range(len(u)):
                    for side, end in enumerate(ends.get(node, ())):
                        log_y, log_rest = walk.log_cdf(np.full(rows.stop - rows.start, end))
                        left[node][side] += np.exp(log_y if side == 0 else log_rest).sum()
                    walk.advance(u[node, rows], low[node, rows], high[node, rows])
        out = {}
        for node, (a, b) in ends.items():
            beyond = np.array([np.sum(u[node] < a), np.sum(u[node] > b)])
            share = np.log(np.minimum((beyond + 0.5) / (left[node] + 0.5), 1.0))
            out[node] = Support(a, b, float(share[0]), float(share[1]))
        return out
