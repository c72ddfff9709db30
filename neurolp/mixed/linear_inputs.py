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

    def matrix(self, cells: Array) -> Array:
        """Inputs (n_rows, n_inputs) of ``cells`` (n_rows, n_columns), -1 where missing."""
        parts = [np.ones((len(cells), 1))]
        parts += [v[cells[:, j]] for j, v in zip(self.order, self.values, strict=True)]
        return np.ascontiguousarray(np.hstack(parts))


def linear_work(inputs: LinearInputs, given: Array, n_asked: Array) -> float:
    """About how many products the linear log-odds of all questions take, which is all their time.

    ``given`` (n_rows, n_inputs); ``n_asked`` (n_columns,) are the rows of all questions.
    """
    entries = np.concatenate([[0.0], np.cumsum((given != 0).mean(axis=0))])
    n_used = inputs.first[:-1]
    return float(_STEPS * n_asked[inputs.order] @ (entries[n_used] * n_used / 2))


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
