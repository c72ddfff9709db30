"""Averages of several models of the cells of a table, weighted on validation rows.

    Phi(x) = sum_m w_m P_m(cells of x) prod_j p(x_j | its cell),    sum_m w_m = 1

exactly normalised over the product measure: mass for discrete columns, density for continuous ones.
The law of some of the columns alone has weights of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.heads.head import stacking_weights
from neurolp.brain.seeds import generator
from neurolp.data.column import Column
from neurolp.kernels.boosting import distinct
from neurolp.mixed.cells import ColumnCells, cells_of
from neurolp.mixed.chain import Chain
from neurolp.mixed.chain_learning import BoostingConfig, fit_chain, refit_chain
from neurolp.mixed.classes import LatentClasses, fit_latent_classes, surely_better
from neurolp.mixed.dependence_tree import DependenceTree, fit_dependence_tree, mutual_information
from neurolp.mixed.groups import CellGroups
from neurolp.mixed.orders import column_orders

_LEAVES = (4, 12, 96)  # of a tree; chosen for the whole table
_TRIAL_QUESTIONS, _MOST_LEFT_OUT = 16, 9
# Steps for the chains of all orders: where a column has more cells than these, and where none has.
_FEW_CELLS, _WORK, _MORE_WORK = 64, 6e9, 1e11
_QUICK, _SLOW = BoostingConfig(step=0.2, patience=10), BoostingConfig(step=0.1, patience=15)
_FEWEST_ORDERS, _MOST_ORDERS = 2, 8
_PRIOR_ROWS = 0.5  # keeps weights from vanishing
_APART = 0.2  # of the draws of what is missing
_LEAST_WEIGHT = 0.03  # of a model that is kept, as a share of the largest


class CellModel(Protocol):
    """A probability of the cells of all columns."""

    def log_prob(self, cells: Array) -> Array:
        """Log P of cells (n, n_columns), nats, (n,); what is missing, -1, is left out."""
        ...

    def sample(self, cells: Array, rng: np.random.Generator) -> Array:
        """Rows whose cells -1 are drawn."""
        ...


@dataclass(frozen=True)
class CellLaw:
    """The probability of the ``kept`` columns (n_columns,): ``weights`` (n_models,) of models."""

    kept: Array
    weights: Array


@dataclass(frozen=True)
class CellAverage:
    """Cells of all ``columns``, ``models`` of them, and ``laws`` by name.

    ``frequency`` (n_columns) are the shares of the cells of each column.

    The law "all" is that of all columns. The law "exact" has only models whose marginals are exact,
    and so are its conditional draws.
    """

    columns: tuple[ColumnCells, ...]
    models: tuple[CellModel, ...]
    laws: Mapping[str, CellLaw]
    frequency: tuple[Array, ...]

    def cells(self, values: Array) -> Array:
        """Cells (n, n_columns) of codes, -1 where a value is missing or has none."""
        out = np.empty((len(self.columns), len(values)), dtype=np.int64)
        for j, column in enumerate(self.columns):
            out[j] = column.cell(values[:, j])
        return out.T  # most of what follows goes through them column by column

    def log_inner(self, values: Array) -> Array:
        """Log p(value | cell) of each column, nats, (n, n_columns)."""
        parts = [c.log_inner(v) for c, v in zip(self.columns, values.T, strict=True)]
        return np.column_stack(parts)

    def log_prob(self, values: Array, law: str = "all") -> Array:
        """Log Phi of codes (n, n_columns), nats, (n,)."""
        return CellScores(self, values).log_prob(law)

    def sample(self, n: int, rng: np.random.Generator, law: str = "all") -> Array:
        """Codes (n, n_columns) drawn from a law; NaN in the columns that it does not keep."""
        kept, weights = self.laws[law].kept, self.laws[law].weights
        cells = np.full((n, len(self.columns)), -1)
        chosen = rng.choice(len(weights), n, p=weights)
        for m, model in enumerate(self.models):
            mine = np.flatnonzero(chosen == m)
            if len(mine) and isinstance(model, Chain):
                cells[mine] = model.sample(cells[mine], rng, kept)
            elif len(mine):
                cells[mine] = model.sample(cells[mine], rng)
        out = np.full(cells.shape, np.nan)
        for j in np.flatnonzero(kept):
            out[:, j] = self.columns[j].draw(cells[:, j], rng)
        return out

    def draw(self, values: Array, rng: np.random.Generator) -> Array:
        """Codes whose NaN are drawn from the law "exact" given all others, (n, n_columns)."""
        weights = self.laws["exact"].weights
        cells = self.cells(values)
        used = np.flatnonzero(weights)
        joint = np.stack([self.models[m].log_prob(cells) for m in used], axis=1)
        joint += np.log(weights[used])
        chosen = used[np.argmax(joint + rng.gumbel(size=joint.shape), axis=1)]
        for m in used:
            mine = np.flatnonzero(chosen == m)
            if len(mine):
                cells[mine] = self.models[m].sample(cells[mine], rng)
        out = values.copy()
        for j, column in enumerate(self.columns):
            gap = np.flatnonzero(np.isnan(values[:, j]))
            if len(gap):
                out[gap, j] = column.draw(cells[gap, j], rng)
        return out


@dataclass(frozen=True)
class ExactCells:
    """The law "exact" of ``cells`` as a proposal for what is missing (``mixed.holes``).

    It is mixed with a share of independent draws of every missing column, which go where that law
    would hardly ever, so that no row weighs too much.
    """

    cells: CellAverage

    def draw(self, values: Array, rng: np.random.Generator) -> Array:
        """The rows with their NaN drawn."""
        out = self.cells.draw(values, rng)
        apart = np.flatnonzero(rng.random(len(values)) < _APART)
        for j, column in enumerate(self.cells.columns):
            gap = apart[np.isnan(values[apart, j])]
            if len(gap):
                cells = rng.choice(column.n_cells, len(gap), p=self.cells.frequency[j])
                out[gap, j] = column.draw(cells, rng)
        return out

    def log_conditional(self, rows: Array, missing: Array) -> Array:
        """Log q(x_m | x_o) of rows without NaN, nats, (n,)."""
        known = np.where(missing, np.nan, rows)
        given = self.cells.log_prob(known, "exact")
        together = np.full(len(rows), -np.inf)  # given what is impossible, draws are independent
        possible = np.isfinite(given)
        together[possible] = self.cells.log_prob(rows[possible], "exact") - given[possible]
        apart = np.zeros(len(rows))
        for j, column in enumerate(self.cells.columns):
            mine = np.flatnonzero(missing[:, j])
            if len(mine):
                values = rows[mine, j]
                share = self.cells.frequency[j][np.maximum(column.cell(values), 0)]
                apart[mine] += np.log(share) + column.log_inner(values)
        return np.asarray(np.logaddexp(np.log1p(-_APART) + together, np.log(_APART) + apart))


class CellScores:
    """What all laws share for the same rows: their cells, and the terms of the chains."""

    def __init__(self, average: CellAverage, values: Array) -> None:
        self._average = average
        self._cells = average.cells(values)
        self._inner = average.log_inner(values)
        self._terms: dict[int | np.intp, Array] = {}

    def of_model(self, m: int | np.intp, kept: Array) -> Array:
        """Log P of the kept columns by a model, (n,), nats; for a chain they come first in it."""
        model = self._average.models[m]
        if isinstance(model, Chain):
            if m not in self._terms:
                self._terms[m] = model.conditional(self._cells)
            return np.asarray(self._terms[m][:, kept].sum(axis=1))
        return model.log_prob(np.where(kept, self._cells, -1))

    def log_prob(self, law: str) -> Array:
        """Log Phi of the columns that a law keeps, (n,), nats."""
        kept, weights = self._average.laws[law].kept, self._average.laws[law].weights
        used = np.flatnonzero(weights)
        joint = [self.of_model(m, kept) + np.log(weights[m]) for m in used]
        return np.asarray(logsumexp(joint, axis=0) + self._inner[:, kept].sum(axis=1))


@dataclass(frozen=True)
class FittedCells:
    """An average that no validation row was learned from, by which others are weighed beside it.

    ``final`` is the one for use: the same, or learned again from all rows.
    """

    chosen: CellAverage
    final: CellAverage


def fit_cell_average(
    columns: Sequence[Column],
    train: Array,
    validation: Array,
    seed: int,
    *,
    rank: Array | None = None,
    laws: Mapping[str, Array] | None = None,
    refit: bool = False,
    n_threads: int | None = None,
) -> FittedCells:
    """Learn all models from codes (n_rows, n_columns), NaN where missing, and average them.

    ``rank`` (n_columns,): see :func:`column_orders`. ``laws``: further sets of columns (n_columns,)
    by name, each with all columns of a lower rank than one in it. ``refit``: whether chains are
    learned again from validation rows too.
    """
    rng = generator(seed, "table")
    cells = cells_of(columns, train, validation)
    n_cells = np.array([c.n_cells for c in cells])
    ordered = np.array([c.ordered for c in cells])
    average = CellAverage(cells, (), {}, ())
    mine, other = average.cells(train), average.cells(validation)
    counts = (np.bincount(c[c >= 0], minlength=k) for c, k in zip(mine.T, n_cells, strict=True))
    frequency = tuple((count + 0.5) / (count + 0.5).sum() for count in counts)
    average = replace(average, frequency=frequency)
    groups = CellGroups.of(mine, n_cells, ordered)
    information = mutual_information(mine, groups)
    rank = np.zeros(len(cells), dtype=np.intp) if rank is None else rank
    orders = column_orders(information, rank, _MOST_ORDERS, rng)

    widths = [c.widths for c in cells]
    many = int(n_cells.max()) > _FEW_CELLS
    boosting, most_work = (_QUICK, _WORK) if many else (_SLOW, _MORE_WORK)

    def learn(k: int, n_leaves: int, asked: tuple[int, int] = (0, 1)) -> Chain:
        return fit_chain(
            mine, other, n_cells, ordered, orders[k], replace(boosting, n_leaves=n_leaves),
            widths=widths, asked=asked, linear=k % 2 == 0, n_threads=n_threads,
        )  # fmt: skip

    every = int(np.clip(np.sum(n_cells - 1) // _TRIAL_QUESTIONS, 1, _MOST_LEFT_OUT))
    tried = range(len(orders))[1:3] or (0,)  # the gain of larger trees hangs on the order

    def score(count: int) -> Array:
        parts = [learn(k, count, (k, every)) for k in tried]
        return np.asarray(np.sum([chain.log_prob(other) for chain in parts], axis=0))

    n_leaves = _chosen_leaves(score)
    models: list[CellModel] = [
        fit_latent_classes(mine, other, groups, rng),
        fit_dependence_tree(mine, other, groups),
    ]
    different = _different(mine)
    spent = 0.0
    for k in range(len(orders)):
        if k >= _FEWEST_ORDERS and spent * (k + 1) / k > most_work:
            break
        chain = learn(k, n_leaves)
        spent += chain.work(different)
        models.append(chain)
    whole = np.ones(len(cells), dtype=np.bool_)
    sets = {"all": whole, "exact": whole, **(laws or {})}
    chosen = _weighted(replace(average, models=tuple(models)), sets, validation)
    if not refit:
        return FittedCells(chosen, chosen)
    rows, config = np.vstack([mine, other]), replace(boosting, n_leaves=n_leaves)
    smooth = [w is not None for w in widths]
    final = tuple(
        refit_chain(m, rows, config, smooth=smooth, n_threads=n_threads)
        if isinstance(m, Chain)
        else m
        for m in chosen.models
    )
    return FittedCells(chosen, replace(chosen, models=final))


def _different(cells: Array) -> Array:
    """The rows of ``cells`` (n, n_columns) that differ from all earlier ones."""
    nothing = np.zeros(len(cells), np.int8), np.zeros(len(cells))
    rows, _ = distinct(cells.astype(np.uint16), *nothing)  # the codes of features are of that kind
    return np.asarray(cells[rows])


def _chosen_leaves(score: Callable[[int], Array]) -> int:
    """Leaves of the trees of best ``score(n_leaves)``, log P of validation rows, (n,).

    More of them must be better by more than a standard error.
    """
    chosen, best = _LEAVES[0], score(_LEAVES[0])
    for count in _LEAVES[1:]:
        new = score(count)
        if not surely_better(new, best):
            break
        chosen, best = count, new
    return chosen


def _begins(model: CellModel, kept: Array) -> bool:
    """Whether a model is a chain in which the ``kept`` columns (n_columns,) come first."""
    return isinstance(model, Chain) and bool(kept[model.layout.order[: kept.sum()]].all())


def _weighted(average: CellAverage, sets: Mapping[str, Array], validation: Array) -> CellAverage:
    """Laws with the weights of greatest validation likelihood; without the useless models."""
    scores = CellScores(average, validation)
    exact = np.array([isinstance(m, LatentClasses | DependenceTree) for m in average.models])
    laws = {}
    for name, kept in sets.items():
        possible = exact if name == "exact" else exact | [_begins(m, kept) for m in average.models]
        used = np.flatnonzero(possible)
        log_prob = np.stack([scores.of_model(m, kept) for m in used])
        found = stacking_weights(log_prob, prior=_PRIOR_ROWS, n_steps=1000)
        found = np.where(found >= _LEAST_WEIGHT * found.max(), found, 0.0)
        weights = np.zeros(len(exact))
        weights[used] = found / found.sum()
        laws[name] = CellLaw(kept, weights)
    used = np.flatnonzero(np.any([law.weights > 0 for law in laws.values()], axis=0))
    return replace(
        average,
        models=tuple(average.models[m] for m in used),
        laws={name: replace(law, weights=law.weights[used]) for name, law in laws.items()},
    )
