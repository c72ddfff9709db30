"""Cells of earlier columns as inputs of linear log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from neurolp.arrays import Array

_STEPS = 10  # of Newton's method, of all penalties together


@dataclass(frozen=True)
class LinearInputs:
    """Inputs of columns in an ``order``: the first one is 1, and then come those of each column.

    An ordered column is one input, the normal score of its cell: Phi^-1 of the share of the
    training rows below the middle of the cell, with mean 0 and variance 1. A nominal column is one
    input for each cell, 0 or 1, and of two cells for the rarer one. All are 0 where it is missing.

    ``values`` (n_columns): by position in the order, (n_cells + 1, n_inputs) of every cell, the
    last row of what is missing. ``first`` (n_columns + 1,): columns order[0] .. order[k - 1] have
    the inputs below first[k].
    """

    order: Array
    first: Array
    values: tuple[Array, ...]

    @classmethod
    def of(cls, order: Array, counts: Sequence[Array], ordered: Array) -> LinearInputs:
        """Inputs for columns with ``counts`` (n_cells,) of training rows each."""
        values = tuple(_scores(counts[j], bool(ordered[j])) for j in order)
        first = 1 + np.concatenate([[0], np.cumsum([v.shape[1] for v in values])])
        return cls(np.asarray(order), first.astype(np.int64), values)

    @property
    def n_inputs(self) -> int:
        """Number of inputs of all columns."""
        return int(self.first[-1])

    def work(self, counts: Sequence[Array], n_rows: Array, n_questions: Array) -> float:
        """About how many products it takes to learn the weights of all questions.

        ``n_rows`` and ``n_questions`` (n_columns,) are those that are asked about each column, all
        questions together.
        """
        filled = [1.0]  # share of the rows where an input is not 0
        for j, values in zip(self.order, self.values, strict=True):
            share = counts[j] / max(counts[j].sum(), 1)
            filled += (share @ (values[:-1] != 0)).tolist()
        used = self.first[:-1]
        entries = np.cumsum(filled)[used - 1]
        of_rows = n_rows[self.order] * entries * used / 2
        return float(_STEPS * np.sum(of_rows + n_questions[self.order] * used**3 / 3))

    def matrix(self, cells: Array) -> Array:
        """Inputs (n_rows, n_inputs) of ``cells`` (n_rows, n_columns), -1 where missing."""
        parts = [np.ones((len(cells), 1))]
        parts += [v[cells[:, j]] for j, v in zip(self.order, self.values, strict=True)]
        return np.ascontiguousarray(np.hstack(parts))


def _scores(counts: Array, ordered: bool) -> Array:
    k = len(counts)
    if k < 2:
        return np.zeros((k + 1, 0))
    if not ordered:
        kept = np.array([np.argmin(counts)]) if k == 2 else np.arange(k)
        return np.vstack([np.eye(k)[:, kept], np.zeros((1, len(kept)))])
    share = (counts + 1e-3) / (counts + 1e-3).sum()
    score = ndtri(np.cumsum(share) - 0.5 * share)
    score -= share @ score
    score /= np.sqrt(share @ score**2)
    return np.append(score, 0.0)[:, None]
