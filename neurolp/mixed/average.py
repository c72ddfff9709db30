"""The average of several models of the cells of a table, weighted on validation rows.

    Phi(x) = sum_m w_m P_m(cells of x) prod_j p(x_j | its cell),    sum_m w_m = 1

exactly normalised over the product measure: mass for discrete columns, density for continuous ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.heads.head import stacking_weights
from neurolp.brain.seeds import generator
from neurolp.data.column import Column
from neurolp.mixed.cells import ColumnCells, cells_of
from neurolp.mixed.chain import BoostingConfig, Chain, fit_chain
from neurolp.mixed.classes import fit_latent_classes, surely_better
from neurolp.mixed.dependence_tree import fit_dependence_tree, mutual_information
from neurolp.mixed.groups import CellGroups
from neurolp.mixed.orders import column_orders

_LEAVES = (4, 12, 96)  # of a tree; chosen for the whole table
_TRIAL_QUESTIONS, _MOST_LEFT_OUT = 16, 6  # of so many questions of all one is tried
# Steps for the chains of all orders: where a column is continuous, and where none is.
_WORK, _MORE_WORK = 6e9, 3.6e10
_QUICK, _SLOW = BoostingConfig(step=0.2, patience=10), BoostingConfig(step=0.1, patience=15)
_FEWEST_ORDERS, _MOST_ORDERS = 2, 6
_PRIOR_ROWS = 0.5  # keeps weights from vanishing
_LEAST_WEIGHT = 0.03  # of a model that is kept, as a share of the largest


class CellModel(Protocol):
    """A probability of the cells of all columns."""

    def log_prob(self, cells: Array) -> Array:
        """Log P of cells (n, n_columns), nats, (n,); what is missing, -1, is left out."""
        ...


@dataclass(frozen=True)
class CellAverage:
    """Cells of all ``columns``, ``models`` of them, and their ``weights`` (n_models,)."""

    columns: tuple[ColumnCells, ...]
    models: tuple[CellModel, ...]
    weights: Array

    def cells(self, values: Array) -> Array:
        """Cells (n, n_columns) of codes, -1 where a value is missing or has none."""
        parts = [c.cell(v) for c, v in zip(self.columns, values.T, strict=True)]
        return np.column_stack(parts).astype(np.int64)

    def log_inner(self, values: Array) -> Array:
        """Log p(value | cell) of each column, nats, (n, n_columns)."""
        parts = [c.log_inner(v) for c, v in zip(self.columns, values.T, strict=True)]
        return np.column_stack(parts)

    def joint(self, cells: Array) -> Array:
        """Log w_m P_m(cells), nats, (n_models, n)."""
        return np.stack([m.log_prob(cells) for m in self.models]) + np.log(self.weights)[:, None]

    def log_prob(self, values: Array) -> Array:
        """Log Phi of codes (n, n_columns), nats, (n,)."""
        inner = self.log_inner(values).sum(axis=1)
        return np.asarray(logsumexp(self.joint(self.cells(values)), axis=0) + inner)

    def draw_values(self, cells: Array, rng: np.random.Generator) -> Array:
        """Codes drawn inside the cells (n, n_columns)."""
        return np.column_stack(
            [c.draw(own, rng) for c, own in zip(self.columns, cells.T, strict=True)]
        )


def fit_cell_average(
    columns: Sequence[Column],
    train: Array,
    validation: Array,
    seed: int,
    *,
    last: Array | None = None,
    n_threads: int | None = None,
) -> CellAverage:
    """Learn all models from codes (n_rows, n_columns), NaN where missing, and average them.

    ``last`` (n_columns,): columns that follow the others in all orders of chains but the given one.
    """
    rng = generator(seed, "table")
    cells = cells_of(columns, train)
    n_cells = np.array([c.n_cells for c in cells])
    ordered = np.array([c.ordered for c in cells])
    average = CellAverage(cells, (), np.empty(0))
    mine, other = average.cells(train), average.cells(validation)
    groups = CellGroups.of(mine, n_cells, ordered)
    information = mutual_information(mine, groups)
    last = np.zeros(len(cells), dtype=np.bool_) if last is None else last
    orders = column_orders(information, last, _MOST_ORDERS, rng)

    widths = [c.widths for c in cells]
    continuous = any(c.kind == "continuous" for c in columns)
    boosting, most_work = (_QUICK, _WORK) if continuous else (_SLOW, _MORE_WORK)

    def learn(order: Array, n_leaves: int, every: int = 1) -> Chain:
        return fit_chain(
            mine, other, n_cells, ordered, order, replace(boosting, n_leaves=n_leaves),
            widths=widths, every=every, n_threads=n_threads,
        )  # fmt: skip

    n_leaves = _LEAVES[0]
    every = int(np.clip(np.sum(n_cells - 1) // _TRIAL_QUESTIONS, 1, _MOST_LEFT_OUT))
    old = np.empty(0)
    for count in _LEAVES:
        new = learn(orders[-1], count, every).log_prob(other)
        if len(old) and not surely_better(new, old):
            break
        old, n_leaves = new, count
    models: list[CellModel] = [
        fit_latent_classes(mine, other, groups, rng),
        fit_dependence_tree(mine, other, groups),
    ]
    spent = 0.0
    for k, order in enumerate(orders):
        if k >= _FEWEST_ORDERS and spent * (k + 1) / k > most_work:
            break
        chain = learn(order, n_leaves)
        spent += chain.work(mine)
        models.append(chain)
    return weighted(replace(average, models=tuple(models)), validation)


def weighted(average: CellAverage, validation: Array) -> CellAverage:
    """The same models with the weights of greatest validation likelihood; without the useless."""
    scores = np.stack([m.log_prob(average.cells(validation)) for m in average.models])
    weights = stacking_weights(scores, prior=_PRIOR_ROWS, n_steps=1000)
    kept = np.flatnonzero(weights >= _LEAST_WEIGHT * weights.max())
    weights = weights[kept] / weights[kept].sum()
    return replace(average, models=tuple(average.models[k] for k in kept), weights=weights)
