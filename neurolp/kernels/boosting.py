"""Boosted trees of yes/no answers on binned features, and sums of trees.

Features, bins and trees as in ``neurolp.kernels.tree_growing``.
"""

from __future__ import annotations

from math import exp, log1p

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel
from neurolp.kernels.logistic import derivatives, log_loss
from neurolp.kernels.tree_growing import grow_tree, leaf_of

_FEWEST_BINS, _ROWS_PER_BIN = 128, 2
# Rows after which it is decided whether to search for equal ones, and the share that must differ.
_FIRST_ROWS, _MOSTLY = 2048, 0.9
# Hash of Fowler, Noll and Vo, "FNV-1a", with 32 bits.
_HASH_START, _HASH_FACTOR, _HASH_BITS = 2166136261, 16777619, 0xFFFFFFFF


@kernel
def narrowed(
    codes: Array, rows: Array, offset: Array, missing: Array, n_features: int
) -> tuple[Array, Array, Array, Array]:
    """Codes of some ``rows`` with neighbours in one bin where it would have too few rows.

    Returns the new codes (n, n_features), ``upper``: the last old code of every new bin, and the
    ``offset`` and ``missing`` of the new ones. Few rows need few cuts: searching them is most of
    the time.
    """
    n, n_codes = rows.shape[0], offset[n_features]
    counts, place = np.zeros(n_codes), np.zeros(n_codes, dtype=codes.dtype)
    upper = np.zeros(n_codes, dtype=np.int32)
    own_offset = np.zeros(n_features + 1, dtype=np.int64)
    own_missing = np.full(n_features, -1)
    for r in range(n):
        for f in range(n_features):
            counts[offset[f] + codes[rows[r], f]] += 1.0
    for f in range(n_features):
        first = offset[f]
        last = offset[f + 1] if missing[f] < 0 else offset[f + 1] - 1
        known = counts[first:last].sum()
        least = max(1.0, known / max(_FEWEST_BINS, known // _ROWS_PER_BIN))
        b, here = 0, 0.0
        for c in range(first, last):
            if here >= least and counts[c] > 0.0:
                b += 1
                here = 0.0
            place[c] = b
            upper[own_offset[f] + b] = c - first
            here += counts[c]
        b += 1
        if missing[f] >= 0:
            place[last] = own_missing[f] = b
            b += 1
        own_offset[f + 1] = own_offset[f] + b
    out = np.empty((n, n_features), dtype=codes.dtype)
    for r in range(n):
        for f in range(n_features):
            out[r, f] = place[offset[f] + codes[rows[r], f]]
    return out, upper, own_offset, own_missing


@kernel
def distinct(codes: Array, answer: Array, start: Array) -> tuple[Array, Array]:
    """Rows that differ from all earlier ones, and how many are like each, both (n_distinct,).

    By ``codes`` (n, n_features), ``answer`` and ``start`` (n,). Where hardly any of the first ones
    are alike all rows are taken for different, which saves the search.
    """
    n, n_features = codes.shape
    size = 1
    while size < 2 * n:
        size *= 2
    slots = np.full(size, -1, dtype=np.int32)
    rows, times = np.empty(n, dtype=np.int32), np.ones(n)
    bits = start.view(np.int64)
    m = 0
    for r in range(n):
        if r == _FIRST_ROWS and m > _MOSTLY * r:
            return np.arange(n).astype(np.int32), np.ones(n)
        key = (_HASH_START ^ bits[r] ^ (bits[r] >> 32) ^ np.int64(answer[r])) & _HASH_BITS
        for f in range(n_features):
            key = ((key ^ np.int64(codes[r, f])) * _HASH_FACTOR) & _HASH_BITS
        place = (key ^ (key >> 16)) & (size - 1)
        while slots[place] >= 0:
            i = rows[slots[place]]
            same = answer[i] == answer[r] and bits[i] == bits[r]
            f = 0
            while same and f < n_features:
                same = codes[i, f] == codes[r, f]
                f += 1
            if same:
                times[slots[place]] += 1.0
                break
            place = (place + 1) & (size - 1)
        if slots[place] < 0:
            slots[place], rows[m] = m, r
            m += 1
    return rows[:m].copy(), times[:m].copy()


@kernel
def listed(codes: Array, offset: Array, usual: Array) -> tuple[Array, Array, Array]:
    """``usual``, ``start`` and ``bins`` of ``codes`` (n, n_features), as trees want them.

    All bins are listed where the given ``usual`` is -1.
    """
    n, n_features = codes.shape
    most = np.full(n_features, -1)
    if n_features and usual[0] >= 0:
        counts = np.zeros(offset[n_features])
        for r in range(n):
            for f in range(n_features):
                counts[offset[f] + codes[r, f]] += 1.0
        for f in range(n_features):
            most[f] = np.argmax(counts[offset[f] : offset[f + 1]])
    start = np.zeros(n + 1, dtype=np.int64)
    for r in range(n):
        start[r + 1] = start[r]
        for f in range(n_features):
            start[r + 1] += 1 if codes[r, f] != most[f] else 0
    bins = np.empty(start[n], dtype=np.int32)
    for r in range(n):
        p = start[r]
        for f in range(n_features):
            if codes[r, f] != most[f]:
                bins[p] = offset[f] + codes[r, f]
                p += 1
    return most, start, bins


@kernel
def boost_logistic(
    rows: Array,
    validation: Array,
    answer: Array,
    start: Array,
    codes: Array,
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
    least_gain: float,
    tree: Array,
    value: Array,
    root: Array,
) -> int:
    """Boost the log-odds F of ``answer`` (n_all,), 0 or 1, from ``start`` (n_all,).

    Each round fits a tree to the derivatives of the loss on ``rows``. Stops after ``n_rounds``,
    after ``patience`` rounds without a lower loss on the rows ``validation``, or where no split
    gains. Returns the number of trees of least validation loss, whose nodes are
    ``tree[root[k]:root[k + 1]]``; 0 where it is not lower than the first by ``least_gain``, nats,
    which the best of many rounds reaches by chance. Without validation rows all trees are kept.
    Equal rows are one that counts as often as it occurs (:func:`distinct`).
    """
    inputs, upper, own_offset, own_missing = narrowed(codes, rows, offset, missing, n_features)
    mine, times = distinct(inputs, answer[rows], start[rows])
    inputs, target, score = inputs[mine], answer[rows[mine]], start[rows[mine]]
    others = codes[validation, :n_features]
    other, other_times = distinct(others, answer[validation], start[validation])
    others, truth, held_out = others[other], answer[validation[other]], start[validation[other]]
    n = mine.shape[0]
    own_usual, first_bin, own_bins = listed(inputs, own_offset, usual)
    n_bins = own_offset[n_features]
    gradient, hessian, moments = np.empty(n), np.empty(n), np.empty((n, 3))
    order = np.arange(n).astype(np.int32)
    histograms = np.empty((n_leaves, n_bins, 3))
    moved = np.empty(n, dtype=np.int32)
    leaves = np.empty((n_leaves, 3), dtype=np.int64)
    first_loss = log_loss(held_out, truth, other_times)
    best, best_loss = 0, first_loss
    root[0] = 0
    for k in range(n_rounds):
        derivatives(score, target, gradient, hessian)
        for r in range(n):
            moments[r, 0], moments[r, 1] = times[r] * gradient[r], times[r] * hessian[r]
            moments[r, 2] = times[r]
        first = root[k]
        n_nodes = grow_tree(
            order,
            moments,
            inputs,
            first_bin,
            own_bins,
            own_offset,
            own_usual,
            own_missing,
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
        for node in range(first, root[k + 1]):
            if tree[node, 0] >= 0:
                tree[node, 1] = upper[own_offset[tree[node, 0]] + tree[node, 1]]
        for c in range((n_nodes + 1) // 2):
            change = value[first + leaves[c, 2]]
            for r in range(leaves[c, 0], leaves[c, 1]):
                score[order[r]] += change
        if validation.shape[0] == 0:
            best = k + 1
            continue
        for r in range(other.shape[0]):
            held_out[r] += value[leaf_of(others, r, tree, first, missing)]
        loss = log_loss(held_out, truth, other_times)
        if loss < best_loss - 1e-9:
            best, best_loss = k + 1, loss
        elif k + 1 - best >= patience:
            break
    return best if first_loss - best_loss >= least_gain or validation.shape[0] == 0 else 0


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


@kernel
def add_log_prob(
    codes: Array,
    rows: Array,
    position: Array,
    span: Array,
    base: Array,
    linear: Array,
    first_tree: Array,
    tree: Array,
    value: Array,
    root: Array,
    missing: Array,
    out: Array,
) -> None:
    """Add log P(answer) of all questions of a column to ``out`` (n_rows,), nats.

    ``rows`` are in the order of the leaves of the questions' tree: those of leaf c are
    ``rows[position[c]:position[c + 1]]``. Question q is asked where the leaf is one of ``span[q,
    0]`` .. ``span[q, 2] - 1``, and answered with yes from ``span[q, 1]`` on. Its log-odds are
    ``base[q]``, ``linear`` (n_rows, n_questions), unless that has no rows, and the trees from
    ``first_tree[q]`` up to ``first_tree[q + 1]``.
    """
    score = np.empty(256)
    for q in range(span.shape[0]):
        yes, last = position[span[q, 1]], position[span[q, 2]]
        for start in range(position[span[q, 0]], last, 256):
            end = min(start + 256, last)
            score[:] = base[q]
            if linear.shape[0]:
                for r in range(start, end):
                    score[r - start] += linear[rows[r], q]
            for k in range(first_tree[q], first_tree[q + 1]):
                for r in range(start, end):
                    score[r - start] += value[leaf_of(codes, rows[r], tree, root[k], missing)]
            for r in range(start, end):
                z = score[r - start] if r >= yes else -score[r - start]
                out[rows[r]] -= log1p(exp(-z)) if z > 0.0 else log1p(exp(z)) - z
