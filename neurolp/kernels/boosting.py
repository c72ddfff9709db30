"""Boosted trees of yes/no answers on binned features, and sums of trees.

Features, bins and trees as in ``neurolp.kernels.tree_growing``.
"""

from __future__ import annotations

from math import log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel
from neurolp.kernels.exponential import exponential
from neurolp.kernels.tree_growing import grow_tree, leaf_of

_LARGEST_EXPONENT = 60.0  # eleven factors stay below the largest number


@kernel
def log_loss(score: Array, answer: Array) -> float:
    """Sum of -log p(answer), nats, for p(1) = 1 / (1 + exp(-score)); both (n,)."""
    n, total = score.shape[0], 0.0
    factor = np.empty(n)
    for r in range(n):
        z = -score[r] if answer[r] else score[r]
        factor[r] = 1.0 + exponential(min(max(z, -_LARGEST_EXPONENT), _LARGEST_EXPONENT))
    for first in range(0, n, 8):
        product = 1.0
        for r in range(first, min(first + 8, n)):
            product *= factor[r]
        total += log(product)
    return total


@kernel
def derivatives(score: Array, answer: Array, gradient: Array, hessian: Array) -> None:
    """First and second derivatives of ``log_loss``, sigma(F) - y and sigma(F) (1 - sigma(F))."""
    for r in range(score.shape[0]):
        z = min(max(-score[r], -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
        p = 1.0 / (1.0 + exponential(z))
        gradient[r] = p - answer[r]
        hessian[r] = p * (1.0 - p)


@kernel
def boost_logistic(
    rows: Array,
    validation: Array,
    answer: Array,
    base: float,
    codes: Array,
    start: Array,
    bins: Array,
    offset: Array,
    usual: Array,
    missing: Array,
    n_features: int,
    n_rounds: int,
    patience: int,
    n_leaves: int,
    step: float,
    ridge: float,
    least_rows: float,
    least_hessian: float,
    tree: Array,
    value: Array,
    root: Array,
) -> int:
    """Boost the log-odds F of ``answer`` (n_all,), 0 or 1, from ``base``.

    Each round fits a tree to the derivatives of the loss on ``rows``. Stops after ``n_rounds``,
    after ``patience`` rounds without a lower loss on the rows ``validation``, or where no split
    gains. Returns the number of trees of least validation loss, whose nodes are
    ``tree[root[k]:root[k + 1]]``; without validation rows all ``n_rounds``.
    """
    n, n_bins = rows.shape[0], offset[n_features]
    # What belongs to the rows, and to these features, one behind the other.
    inputs, target = codes[rows, :n_features], answer[rows]
    others, truth = codes[validation, :n_features], answer[validation]
    first_bin = np.zeros(n + 1, dtype=np.int64)
    for r in range(n):
        last = start[rows[r]]
        while last < start[rows[r] + 1] and bins[last] < n_bins:
            last += 1
        first_bin[r + 1] = first_bin[r] + last - start[rows[r]]
    own_bins = np.empty(first_bin[n], dtype=np.int32)
    for r in range(n):
        a = start[rows[r]]
        for p in range(first_bin[r], first_bin[r + 1]):
            own_bins[p] = bins[a + p - first_bin[r]]
    score, held_out = np.full(n, base), np.full(validation.shape[0], base)
    gradient, hessian = np.empty(n), np.empty(n)
    order = np.arange(n).astype(np.int32)
    histograms = np.empty((n_leaves, n_bins, 3))
    moved = np.empty(n, dtype=np.int32)
    leaves = np.empty((n_leaves, 3), dtype=np.int64)
    best, best_loss = 0, log_loss(held_out, truth)
    root[0] = 0
    for k in range(n_rounds):
        derivatives(score, target, gradient, hessian)
        first = root[k]
        n_nodes = grow_tree(
            order,
            gradient,
            hessian,
            inputs,
            first_bin,
            own_bins,
            offset,
            usual,
            missing,
            n_features,
            n_leaves,
            step,
            ridge,
            least_rows,
            least_hessian,
            histograms,
            moved,
            leaves,
            tree[first:],
            value[first:],
        )
        if n_nodes == 1:
            break
        root[k + 1] = first + n_nodes
        for c in range((n_nodes + 1) // 2):
            change = value[first + leaves[c, 2]]
            for r in range(leaves[c, 0], leaves[c, 1]):
                score[order[r]] += change
        if validation.shape[0] == 0:
            best = k + 1
            continue
        for r in range(validation.shape[0]):
            held_out[r] += value[leaf_of(others, r, tree, first, missing)]
        loss = log_loss(held_out, truth)
        if loss < best_loss - 1e-9:
            best, best_loss = k + 1, loss
        elif k + 1 - best >= patience:
            break
    return best


@kernel
def add_trees(
    codes: Array,
    tree: Array,
    value: Array,
    root: Array,
    first: int,
    last: int,
    missing: Array,
    out: Array,
) -> None:
    """Add the values of the trees ``first`` .. ``last - 1`` to ``out`` (n_rows,)."""
    for i in range(codes.shape[0]):
        total = 0.0
        for k in range(first, last):
            total += value[leaf_of(codes, i, tree, root[k], missing)]
        out[i] += total


@kernel
def add_trees_at(
    codes: Array,
    rows: Array,
    tree: Array,
    value: Array,
    root: Array,
    first: int,
    last: int,
    missing: Array,
    out: Array,
) -> None:
    """Add the values of the trees ``first`` .. ``last - 1`` at some ``rows`` to ``out`` (rows,).

    A tree serves some rows before the next one comes, so that it stays in the fastest cache.
    """
    n = rows.shape[0]
    for start in range(0, n, 256):
        for k in range(first, last):
            for r in range(start, min(start + 256, n)):
                out[r] += value[leaf_of(codes, rows[r], tree, root[k], missing)]
