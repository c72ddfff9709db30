"""Baselines for tables of any columns: a mixture of products, a Chow-Liu tree; with holes too.

Both are laws of the cells of all columns, with the fixed law of the values inside each cell (see
``neurolp.mixed.cells``): a mass for discrete columns, a density for continuous ones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.column import Column
from neurolp.evaluation.baselines import Baseline
from neurolp.mixed.average import CellAverage, CellModel
from neurolp.mixed.cells import cells_of
from neurolp.mixed.classes import fit_latent_classes
from neurolp.mixed.dependence_tree import fit_dependence_tree
from neurolp.mixed.groups import CellGroups


def table_baselines(
    columns: Sequence[Column], train: Array, validation: Array, test: Array, seed: int
) -> list[tuple[Baseline, float]]:
    """A mixture of products and a Chow-Liu tree, and the seconds that each took.

    Rows are codes (n, n_columns), NaN where a value is missing: such a row counts by its marginal,
    which is exact. The number of products, and the smoothing of the tree, are chosen on validation
    rows.
    """
    began = time.monotonic()
    cells = CellAverage(cells_of(columns, train, validation), (), {}, ())
    mine, other, judged = (cells.cells(part) for part in (train, validation, test))
    inner = cells.log_inner(test).sum(axis=1)
    n_cells = np.array([column.n_cells for column in cells.columns])
    ordered = np.array([column.ordered for column in cells.columns])
    groups = CellGroups.of(mine, n_cells, ordered)

    def judge(name: str, model: CellModel) -> tuple[Baseline, float]:
        score = float((model.log_prob(judged) + inner).mean())
        return Baseline(name, score), time.monotonic() - began

    mixture = fit_latent_classes(mine, other, groups, generator(seed, "table", 1))
    products = len(mixture.weights)
    found = [judge(f"mixture of products ({products})", mixture)]
    began = time.monotonic()
    return [*found, judge("Chow-Liu tree", fit_dependence_tree(mine, other, groups))]
