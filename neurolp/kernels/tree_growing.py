"""Regression trees on binned features, grown leaf by leaf from histograms of gradients.

Features are small integers, ``codes`` (n_rows, n_features). Feature f has the bins ``offset[f]`` ..
``offset[f + 1] - 1`` of a common numbering; ``missing[f]`` is its bin of missing values, the last
one, or -1. Most entries of a sparse table are one value, the bin ``usual[f]``: rows list only their
other bins, ``bins[start[i]:start[i + 1]]`` in increasing order, and the histogram of the usual one
is what is left over. Where all ``usual`` are -1 the rows list all their bins. A tree goes left
where the code is at most ``threshold``, or is missing and ``missing_left``; the right child follows
the left one. Leaves have feature -1.

Source: J. H. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of
Statistics 29 (2001); second-order gains as in T. Chen and C. Guestrin, arXiv:1603.02754.
"""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def histogram(
    rows: Array,
    first: int,
    last: int,
    moments: Array,
    start: Array,
    bins: Array,
    offset: Array,
    usual: Array,
    n_features: int,
    out: Array,
) -> None:
    """Sums of ``moments`` (n, 3) per bin over ``rows[first:last]``, into ``out`` (n_bins, 3)."""
    end = offset[n_features]
    out[:end] = 0.0
    if usual[0] < 0:
        for r in range(first, last):
            i = rows[r]
            g, h, w = moments[i, 0], moments[i, 1], moments[i, 2]
            for p in range(start[i], start[i] + n_features):
                b = bins[p]
                out[b, 0] += g
                out[b, 1] += h
                out[b, 2] += w
        return
    total_g, total_h, total_n = 0.0, 0.0, 0.0
    for r in range(first, last):
        i = rows[r]
        g, h, w = moments[i, 0], moments[i, 1], moments[i, 2]
        total_g += g
        total_h += h
        total_n += w
        for p in range(start[i], start[i + 1]):
            b = bins[p]
            if b >= end:
                break
            out[b, 0] += g
            out[b, 1] += h
            out[b, 2] += w
    for f in range(n_features):
        g, h, n = total_g, total_h, total_n
        for b in range(offset[f], offset[f + 1]):
            g -= out[b, 0]
            h -= out[b, 1]
            n -= out[b, 2]
        b = offset[f] + usual[f]
        out[b, 0], out[b, 1], out[b, 2] = g, h, n


@kernel
def best_split(
    bins: Array,
    offset: Array,
    missing: Array,
    n_features: int,
    total: Array,
    ridge: float,
    least_rows: float,
    least_hessian: float,
    out: Array,
) -> float:
    """Gain of the best split of a node; ``out`` (6,): feature, threshold, missing left, left sums.

    The gain is G_l^2 / (H_l + ridge) + G_r^2 / (H_r + ridge) - G^2 / (H + ridge); 0 where no split
    leaves ``least_rows`` and ``least_hessian`` on both sides. ``bins`` (n_bins, 3) is the histogram
    and ``total`` (3,) its sum.
    """
    g, h, n = total[0], total[1], total[2]
    whole = g * g / (h + ridge)
    best = 1e-9 * (1.0 + whole)
    found = 0.0
    for f in range(n_features):
        first, last = offset[f], offset[f + 1]
        gm, hm, nm = 0.0, 0.0, 0.0
        if missing[f] >= 0:
            last -= 1
            gm, hm, nm = bins[last, 0], bins[last, 1], bins[last, 2]
        gl, hl, nl = 0.0, 0.0, 0.0
        for b in range(first, last):
            if bins[b, 2] < 0.5:
                continue
            gl += bins[b, 0]
            hl += bins[b, 1]
            nl += bins[b, 2]
            for side in range(2 if nm > 0.5 else 1):
                # Missing values go right at first; where there are none, with the larger side.
                a, c, m = (gl + gm, hl + hm, nl + nm) if side == 1 else (gl, hl, nl)
                if m < least_rows or n - m < least_rows:
                    continue
                if c < least_hessian or h - c < least_hessian:
                    continue
                left, right = c + ridge, h - c + ridge
                gain = (a * a * right + (g - a) * (g - a) * left) / (left * right) - whole
                if gain > best:
                    best, found = gain, gain
                    out[0], out[1] = f, b - first
                    out[2] = 1.0 if side == 1 or (nm < 0.5 and 2.0 * nl > n) else 0.0
                    out[3], out[4], out[5] = a, c, m
    return found


@kernel
def goes_left(code: int, threshold: int, missing: int, missing_left: int) -> bool:
    """Whether a row goes to the left child; the code of missing values exceeds all thresholds."""
    return (code <= threshold) | ((code == missing) & (missing_left != 0))


@kernel
def grow_tree(
    rows: Array,
    moments: Array,
    codes: Array,
    start: Array,
    bins: Array,
    offset: Array,
    usual: Array,
    missing: Array,
    n_features: int,
    n_leaves: int,
    step: float,
    ridge: float,
    least_rows: float,
    least_hessian: float,
    histograms: Array,
    moved: Array,
    leaves: Array,
    tree: Array,
    value: Array,
) -> int:
    """Grow one tree of at most ``n_leaves``, always splitting the leaf of largest gain.

    Leaves have the value -step G / (H + ridge). ``rows`` is reordered: those of leaf k are
    ``rows[leaves[k, 0]:leaves[k, 1]]``, and ``leaves[k, 2]`` is its node. Nodes are rows of
    ``tree`` (feature, threshold, missing left, left child) with their ``value``. ``moments`` (n, 3)
    of each row: gradient, hessian, and how many rows it stands for. Scratch:
    ``histograms`` (n_leaves, n_bins, 3), ``moved`` (n_rows,). Returns the number of nodes;
    there are (nodes + 1) / 2 leaves.
    """
    n = rows.shape[0]
    total = np.empty((n_leaves, 3))
    split = np.empty((n_leaves, 6))
    gain = np.zeros(n_leaves)
    slot = np.arange(n_leaves)  # of the histogram of each leaf
    histogram(rows, 0, n, moments, start, bins, offset, usual, n_features, histograms[0])
    g, h, w = 0.0, 0.0, 0.0
    for r in range(n):
        g += moments[rows[r], 0]
        h += moments[rows[r], 1]
        w += moments[rows[r], 2]
    total[0, 0], total[0, 1], total[0, 2] = g, h, w
    leaves[0, 0], leaves[0, 1], leaves[0, 2] = 0, n, 0
    tree[0] = -1  # all of it: what is stored has no accidental numbers
    value[0] = -step * g / (h + ridge)
    gain[0] = best_split(
        histograms[0],
        offset,
        missing,
        n_features,
        total[0],
        ridge,
        least_rows,
        least_hessian,
        split[0],
    )
    n_nodes, count = 1, 1
    while count < n_leaves:
        k = 0
        for c in range(1, count):
            if gain[c] > gain[k]:
                k = c
        if gain[k] <= 0.0:
            break
        f, t, m = int(split[k, 0]), int(split[k, 1]), int(split[k, 2])
        first, last = leaves[k, 0], leaves[k, 1]
        # A stable partition keeps the rows of each leaf in increasing order.
        left, right = first, 0
        for r in range(first, last):
            i = rows[r]
            stays = 1 if goes_left(codes[i, f], t, missing[f], m) else 0
            rows[left] = i  # without a branch that nobody can predict
            moved[right] = i
            left += stays
            right += 1 - stays
        for r in range(right):
            rows[left + r] = moved[r]
        new = count
        leaves[new, 0], leaves[new, 1] = left, last
        leaves[k, 1] = left
        node = leaves[k, 2]
        tree[node, 0], tree[node, 1], tree[node, 2], tree[node, 3] = f, t, m, n_nodes
        tree[n_nodes : n_nodes + 2] = -1
        leaves[k, 2], leaves[new, 2] = n_nodes, n_nodes + 1
        n_nodes += 2
        for c in range(3):
            total[new, c] = total[k, c] - split[k, 3 + c]
            total[k, c] = split[k, 3 + c]
        value[leaves[k, 2]] = -step * total[k, 0] / (total[k, 1] + ridge)
        value[leaves[new, 2]] = -step * total[new, 0] / (total[new, 1] + ridge)
        count += 1
        if count == n_leaves:
            break
        gain[k], gain[new] = 0.0, 0.0
        splits = False
        for c in (k, new):
            splits |= total[c, 2] >= 2.0 * least_rows and total[c, 1] >= 2.0 * least_hessian
        if not splits:
            continue
        # Count the smaller child; the larger one is the rest of its parent.
        small, large = (k, new) if 2 * (left - first) < last - first else (new, k)
        if large == new:
            slot[k], slot[new] = slot[new], slot[k]
        a, b = leaves[small, 0], leaves[small, 1]
        own, rest = histograms[slot[small]], histograms[slot[large]]
        histogram(rows, a, b, moments, start, bins, offset, usual, n_features, own)
        for c in range(offset[n_features]):
            rest[c, 0] -= own[c, 0]
            rest[c, 1] -= own[c, 1]
            rest[c, 2] -= own[c, 2]
        for c in (k, new):
            if total[c, 2] >= 2.0 * least_rows and total[c, 1] >= 2.0 * least_hessian:
                gain[c] = best_split(
                    histograms[slot[c]],
                    offset,
                    missing,
                    n_features,
                    total[c],
                    ridge,
                    least_rows,
                    least_hessian,
                    split[c],
                )
    return n_nodes


@kernel
def leaf_of(codes: Array, i: int, tree: Array, root: int, missing: Array) -> int:
    """The leaf of row ``i`` in the tree whose first node is ``root``."""
    node = root
    while tree[node, 0] >= 0:
        f = tree[node, 0]
        step = 0 if goes_left(codes[i, f], tree[node, 1], missing[f], tree[node, 2]) else 1
        node = root + tree[node, 3] + step
    return node
