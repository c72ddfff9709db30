"""Boosting of whole tables, round by round: least squares, and softmax with a tree per class."""

from __future__ import annotations

from math import exp, log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel
from neurolp.kernels.tree_growing import grow_tree, leaf_of


@kernel
def boost_squares(
    samples: Array,
    validation: Array,
    target: Array,
    score: Array,
    codes: Array,
    start: Array,
    bins: Array,
    offset: Array,
    usual: Array,
    missing: Array,
    n_features: int,
    patience: int,
    n_leaves: int,
    step: float,
    ridge: float,
    least_rows: float,
    tree: Array,
    value: Array,
    root: Array,
    error: Array,
) -> int:
    """Boost the prediction F of ``target`` (n_rows,) from ``score`` (n_rows,), which is changed.

    Round k fits a tree to F - target on the rows ``samples[k]``. ``error[k]`` becomes the mean
    square on the rows ``validation`` after it. Stops after all rounds, ``patience`` rounds after
    the least error, or where no split gains. Returns the number of trees; the nodes of tree k are
    ``tree[root[k]:root[k + 1]]``.
    """
    n_all, n_bins = score.shape[0], offset[n_features]
    moments = np.ones((n_all, 3))
    histograms = np.empty((n_leaves, n_bins, 3))
    rows = np.empty(samples.shape[1], dtype=np.int64)
    moved = np.empty(samples.shape[1], dtype=np.int64)
    leaves = np.empty((n_leaves, 3), dtype=np.int64)
    n_rounds, best, least = int(samples.shape[0]), -1, np.inf
    root[0] = 0
    for k in range(n_rounds):
        for r in range(rows.shape[0]):
            i = samples[k, r]
            rows[r] = i
            moments[i, 0] = score[i] - target[i]
        first = root[k]
        n_nodes = grow_tree(
            rows,
            moments,
            codes,
            start,
            bins,
            offset,
            usual,
            missing,
            n_features,
            n_leaves,
            step,
            ridge,
            least_rows,
            0.0,
            histograms,
            moved,
            leaves,
            tree[first:],
            value[first:],
        )
        if n_nodes == 1:
            return k
        root[k + 1] = first + n_nodes
        for i in range(n_all):
            score[i] += value[leaf_of(codes, i, tree, first, missing)]
        total = 0.0
        for r in range(validation.shape[0]):
            miss = score[validation[r]] - target[validation[r]]
            total += miss * miss
        error[k] = total / validation.shape[0]
        if error[k] < least:
            best, least = k, error[k]
        elif k - best >= patience:
            return k + 1
    return n_rounds


@kernel
def boost_softmax(
    samples: Array,
    validation: Array,
    label: Array,
    score: Array,
    codes: Array,
    start: Array,
    bins: Array,
    offset: Array,
    usual: Array,
    missing: Array,
    n_features: int,
    patience: int,
    n_leaves: int,
    step: float,
    ridge: float,
    least_rows: float,
    tree: Array,
    value: Array,
    root: Array,
    error: Array,
) -> int:
    """Boost the scores F of the classes from ``score`` (n_rows, n_classes), which is changed.

    p(c) = exp(F_c) / sum_c' exp(F_c'). Round k fits a tree for each class to g = p(c) - [label = c]
    and h = p(c) (1 - p(c)) on the rows ``samples[k]``. ``error[k]`` becomes the mean of -log
    p(label) on the rows ``validation`` after it. Stops after all rounds, ``patience`` rounds after
    the least error, or where no split gains. Returns the number of rounds; tree c of round k is
    number k n_classes + c.
    """
    n_all, n_classes, n_bins = score.shape[0], score.shape[1], offset[n_features]
    n_rounds, best, least = int(samples.shape[0]), -1, np.inf
    share = np.empty((n_all, n_classes))
    moments = np.ones((n_all, 3))
    histograms = np.empty((n_leaves, n_bins, 3))
    rows = np.empty(samples.shape[1], dtype=np.int64)
    moved = np.empty(samples.shape[1], dtype=np.int64)
    leaves = np.empty((n_leaves, 3), dtype=np.int64)
    root[0] = 0
    for k in range(n_rounds):
        for r in range(samples.shape[1]):
            i = samples[k, r]
            top = score[i, 0]
            for c in range(1, n_classes):
                top = max(top, score[i, c])
            total = 0.0
            for c in range(n_classes):
                share[i, c] = exp(score[i, c] - top)
                total += share[i, c]
            for c in range(n_classes):
                share[i, c] /= total
        grown = False
        for c in range(n_classes):
            for r in range(samples.shape[1]):
                i = samples[k, r]
                rows[r] = i
                p = share[i, c]
                moments[i, 0] = p - 1.0 if label[i] == c else p
                moments[i, 1] = p * (1.0 - p)
            number = k * n_classes + c
            first = root[number]
            n_nodes = grow_tree(
                rows,
                moments,
                codes,
                start,
                bins,
                offset,
                usual,
                missing,
                n_features,
                n_leaves,
                step,
                ridge,
                least_rows,
                1e-3,
                histograms,
                moved,
                leaves,
                tree[first:],
                value[first:],
            )
            grown |= n_nodes > 1
            root[number + 1] = first + n_nodes
            for i in range(n_all):
                score[i, c] += value[leaf_of(codes, i, tree, first, missing)]
        if not grown:
            return k
        loss = 0.0
        for r in range(validation.shape[0]):
            i = validation[r]
            top = score[i, 0]
            for c in range(1, n_classes):
                top = max(top, score[i, c])
            total = 0.0
            for c in range(n_classes):
                total += exp(score[i, c] - top)
            loss += log(total) + top - score[i, label[i]]
        error[k] = loss / validation.shape[0]
        if error[k] < least:
            best, least = k, error[k]
        elif k - best >= patience:
            return k + 1
    return n_rounds
