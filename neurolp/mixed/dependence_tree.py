"""Chow-Liu trees over groups of cells: P(g) = prod_j P(g_j | g_parent(j)), the parents of a tree.

Source: C. K. Chow and C. N. Liu, "Approximating discrete probability distributions with dependence
trees", IEEE Transactions on Information Theory 14 (1968).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from neurolp.arrays import Array
from neurolp.brain.workers import Workers, single_threaded_blas
from neurolp.kernels.dependence_tree import tree_draw, tree_log_prob
from neurolp.mixed.classes import row_blocks
from neurolp.mixed.groups import CellGroups

_PRIORS = (0.5, 2.0, 8.0, 32.0)  # rows of the frequencies of a column in each cell of its parent


@dataclass(frozen=True)
class DependenceTree:
    """``parent`` (n_columns,) of each column, -1 of the first; columns in an ``order`` from it.

    ``log_table[j]`` (groups of the parent or 1, groups of j) are log P(g_j | g_parent), nats; the
    ``groups`` are those of the cells.
    """

    groups: CellGroups
    parent: Array
    order: Array
    log_table: tuple[Array, ...]

    def log_prob(self, cells: Array) -> Array:
        """Log P of cells (n, n_columns) of which those that are -1 are summed over, (n,), nats."""
        out, layout = np.empty(len(cells)), self._layout()

        def run(rows: slice) -> None:
            tree_log_prob(self.groups.coarse(cells[rows]), *layout, out[rows])
            out[rows] += self.groups.log_inner(cells[rows])

        with Workers() as workers:
            workers.map(run, row_blocks(len(cells)))
        return out

    def sample(self, cells: Array, rng: np.random.Generator) -> Array:
        """Rows whose cells -1 are drawn given all others."""
        uniform, out, layout = rng.random(cells.shape), np.empty_like(cells), self._layout()

        def run(rows: slice) -> None:
            tree_draw(self.groups.coarse(cells[rows]), *layout, uniform[rows], out[rows])

        with Workers() as workers:
            workers.map(run, row_blocks(len(cells)))
        return self.groups.draw(cells, out, rng)

    def _layout(self) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Order, parents, cells, first bins, and tables one behind the other, for the kernels."""
        n_cells = np.array([table.shape[1] for table in self.log_table])
        return (
            np.asarray(self.order, dtype=np.int64),
            np.asarray(self.parent, dtype=np.int64),
            n_cells,
            np.concatenate([[0], np.cumsum(n_cells)]),
            np.concatenate([[0], np.cumsum([table.size for table in self.log_table])]),
            np.exp(np.concatenate([table.ravel() for table in self.log_table])),
        )


def fit_dependence_tree(train: Array, validation: Array, groups: CellGroups) -> DependenceTree:
    """The tree of greatest mutual information; its smoothing is chosen on validation rows."""
    n_cells = groups.n_groups
    offset = np.concatenate([[0], np.cumsum(n_cells)]).astype(np.int64)
    counts = _pair_counts(groups.coarse(train), offset)
    information = _mutual_information(counts, offset)
    d = len(n_cells)
    if d == 1:
        parent, order = np.array([-1]), np.array([0])
    else:
        # The spanning tree needs positive weights: from the largest information downwards.
        distance = information.max() + 1.0 - information
        np.fill_diagonal(distance, 0.0)
        tree = minimum_spanning_tree(distance)
        root = int(np.argmax(information.sum(axis=1)))
        order, parent = breadth_first_order(tree, root, directed=False)
        parent = np.where(parent < 0, -1, parent)
    found = []
    for prior in _PRIORS:
        tables = tuple(_log_table(counts, offset, j, int(parent[j]), prior) for j in range(d))
        model = DependenceTree(groups, parent, order, tables)
        found.append((float(model.log_prob(validation).mean()), model))
    return max(found, key=lambda pair: pair[0])[1]


def mutual_information(cells: Array, groups: CellGroups) -> Array:
    """Mutual information of the groups of every two columns, nats, (n_columns, n_columns).

    From rows where both are known; less its mean where they are independent, at least 0. It is 0 on
    the diagonal.
    """
    offset = np.concatenate([[0], np.cumsum(groups.n_groups)]).astype(np.int64)
    return _mutual_information(_pair_counts(groups.coarse(cells), offset), offset)


def _pair_counts(cells: Array, offset: Array) -> Array:
    """Rows in which a cell of one column goes with a cell of another, (n_bins, n_bins)."""
    out = np.zeros((int(offset[-1]),) * 2)
    with single_threaded_blas():
        for rows in row_blocks(len(cells)):
            hot = _one_hot(cells[rows], offset)
            out += hot.T @ hot
    return out


def _one_hot(cells: Array, offset: Array) -> Array:
    """1 in the bin of every cell, (n, n_bins), float32; nothing where a cell is -1."""
    out = np.zeros((len(cells), int(offset[-1])), dtype=np.float32)
    row, column = np.nonzero(cells >= 0)
    out[row, offset[column] + cells[row, column]] = 1.0
    return out


def _mutual_information(counts: Array, offset: Array) -> Array:
    d = len(offset) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        term = np.where(counts > 0, counts * np.log(counts), 0.0)
    starts = offset[:-1]

    def blocks(values: Array) -> Array:
        rows = np.add.reduceat(values, starts, axis=0)
        return np.asarray(np.add.reduceat(rows, starts, axis=1))

    n = np.maximum(blocks(counts), 1.0)
    first = np.add.reduceat(counts, starts, axis=1)  # of a cell, where the other column is known
    with np.errstate(divide="ignore", invalid="ignore"):
        marginal = np.where(first > 0, first * np.log(first), 0.0)
    one = np.add.reduceat(marginal, starts, axis=0)
    out = (blocks(term) - one - one.T) / n + np.log(n)
    width = np.diff(offset)
    bias = np.outer(width - 1, width - 1) / (2.0 * n)
    out = np.maximum(out - bias, 0.0)
    out[np.arange(d), np.arange(d)] = 0.0
    return np.asarray(out)


def _log_table(counts: Array, offset: Array, j: int, parent: int, prior: float) -> Array:
    a, b = offset[j], offset[j + 1]
    own = np.diagonal(counts)[a:b] + 0.5
    own = own / own.sum()
    if parent < 0:
        return np.asarray(np.log(own)[None])
    pairs = counts[offset[parent] : offset[parent + 1], a:b] + prior * own
    return np.asarray(np.log(pairs / pairs.sum(axis=1, keepdims=True)))
