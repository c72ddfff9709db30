"""Sums over the entries of sparse rows of cells, for mixtures of products.

Every column has one bin per cell and a last one for missing values, in a common numbering. Rows
list only the bins that are not the usual one of their column: ``bins[start[i]:start[i + 1]]``.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel

_NOTHING = -50.0  # nats: less than the rounding of the sum
_IMPOSSIBLE = -30.0  # nats: classes that are so much less likely than another have no share


@kernel
def score_row(i: int, start: Array, bins: Array, base: Array, delta: Array, out: Array) -> None:
    """``out`` (K,) becomes ``base`` (K,) + the sum of ``delta`` (n_bins, K) over the row ``i``."""
    for k in range(base.shape[0]):
        out[k] = base[k]
    for p in range(start[i], start[i + 1]):
        b = bins[p]
        for k in range(base.shape[0]):
            out[k] += delta[b, k]


@kernel
def largest(values: Array) -> float:
    """The largest of ``values`` (K,)."""
    out = values[0]
    for k in range(1, values.shape[0]):
        out = max(out, values[k])
    return float(out)


@kernel
def class_scores(start: Array, bins: Array, base: Array, delta: Array, out: Array) -> None:
    """``out`` (n_rows, K) becomes log w_k + log P(row | k), nats: see ``score_row``."""
    for i in range(out.shape[0]):
        score_row(i, start, bins, base, delta, out[i])


@kernel
def class_log_prob(start: Array, bins: Array, base: Array, delta: Array, out: Array) -> None:
    """``out`` (n_rows,) becomes the log of the sum over k of w_k P(row | k), nats."""
    score = np.empty(base.shape[0])
    for i in range(out.shape[0]):
        score_row(i, start, bins, base, delta, score)
        top, norm = largest(score), 0.0
        for k in range(base.shape[0]):
            if score[k] - top > _NOTHING:
                norm += exp(score[k] - top)
        out[i] = log(norm) + top


@kernel
def expectation(
    first: int,
    last: int,
    start: Array,
    bins: Array,
    base: Array,
    delta: Array,
    weights: Array,
    counts: Array,
) -> float:
    """Log-likelihood of the rows ``first`` .. ``last - 1``, whose P(class | row) are added to sums.

    ``base`` and ``delta`` as in ``class_scores``, of log w_k + log P(row | k), nats. ``weights``
    (K,) gains the sum over the rows, ``counts`` (n_bins, K) that over the rows that list the bin.
    """
    n_classes = base.shape[0]
    share = np.empty(n_classes)
    likely = np.empty(n_classes, dtype=np.int64)
    total = 0.0
    for i in range(first, last):
        score_row(i, start, bins, base, delta, share)
        top, norm, n_likely = largest(share), 0.0, 0
        for k in range(n_classes):
            share[k] -= top
            if share[k] > _IMPOSSIBLE:
                share[k] = exp(share[k])
                norm += share[k]
                likely[n_likely] = k
                n_likely += 1
        total += log(norm) + top
        for c in range(n_likely):
            k = likely[c]
            share[k] /= norm
            weights[k] += share[k]
        for p in range(start[i], start[i + 1]):
            b = bins[p]
            for c in range(n_likely):
                counts[b, likely[c]] += share[likely[c]]
    return total


@kernel
def add_shares(start: Array, bins: Array, share: Array, counts: Array) -> None:
    """Add ``share`` (n_rows, K) of the rows to ``counts`` (n_bins, K) of the bins they list."""
    for i in range(share.shape[0]):
        for p in range(start[i], start[i + 1]):
            b = bins[p]
            for k in range(share.shape[1]):
                counts[b, k] += share[i, k]


@kernel
def draw_cells(
    cells: Array, chosen: Array, offset: Array, up_to: Array, uniform: Array, out: Array
) -> None:
    """Draw the missing entries (-1) of ``cells`` (n_rows, n_columns) from the class of each row.

    ``up_to`` (K, n_bins) are the cumulated probabilities of the cells of column j, the bins
    ``offset[j]`` .. ``offset[j + 1] - 1``; ``uniform`` (n_rows, n_columns) numbers in [0, 1).
    """
    for i in range(cells.shape[0]):
        k = chosen[i]
        for j in range(cells.shape[1]):
            if cells[i, j] >= 0:
                out[i, j] = cells[i, j]
                continue
            low, high = offset[j], offset[j + 1] - 1
            u = uniform[i, j] * up_to[k, high]
            while low < high:
                middle = (low + high) // 2
                if u < up_to[k, middle]:
                    high = middle
                else:
                    low = middle + 1
            out[i, j] = low - offset[j]
