"""Monotone node maps: apply, invert, and the moments from which they are learned.

A map is a cubic spline on ``n_intervals`` equal intervals of width h from ``low``, with linear
tails. ``table[i, s]`` holds (y, a, b, c) of node i on interval s: with t = v - knot_s,
g(v) = y + t (a + t (b + t c)),  g'(v) = a + t (2 b + 3 c t).
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def apply_node_maps(
    potential: Array,
    targets: Array,
    start: int,
    low: float,
    spacing: float,
    table: Array,
    product: Array,
    log_det: Array,
    node_log_slope: Array,
) -> None:
    """Replace v_i by g_i(v_i) in place and add log g_i'(v_i) to ``log_det``.

    Logarithms are taken of products of eight slopes: the slopes lie in [2^-8, 2^8], so the
    product can neither overflow nor vanish, even in float32. ``product`` is scratch of the width of
    the block. ``node_log_slope``, when it has a length, receives the sum over the block per node.
    """
    width = product.shape[0]
    n_intervals = table.shape[1]
    high = low + n_intervals * spacing
    inverse_spacing = 1.0 / spacing
    for c in range(width):
        product[c] = 1.0
    pending = 0
    for i in range(targets.shape[0]):
        row = potential[targets[i]]
        rows = table[i]
        for c in range(width):
            v = row[start + c]
            inside = min(max(v, low), high)
            s = min(np.uint32((inside - low) * inverse_spacing), np.uint32(n_intervals - 1))
            t = inside - (low + s * spacing)
            y, a, b, d = rows[s, 0], rows[s, 1], rows[s, 2], rows[s, 3]
            slope = a + t * (2.0 * b + 3.0 * d * t)
            row[start + c] = y + t * (a + t * (b + t * d)) + slope * (v - inside)
            product[c] *= slope
        if node_log_slope.shape[0] > 0:
            # One node at a time: take the logarithms now, eight trajectories to a logarithm are not
            # worth a second pass because this branch runs only while learning.
            total = 0.0
            for c in range(width):
                logarithm = log(product[c])
                log_det[start + c] += logarithm
                total += logarithm
                product[c] = 1.0
            node_log_slope[i] = total
        else:
            pending += 1
            if pending == 8 or i == targets.shape[0] - 1:
                for c in range(width):
                    log_det[start + c] += log(product[c])
                    product[c] = 1.0
                pending = 0


@kernel
def invert_node_maps(
    potential: Array,
    targets: Array,
    start: int,
    width: int,
    low: float,
    spacing: float,
    table: Array,
) -> None:
    """Replace y_i by g_i^-1(y_i) in place.

    The interval is found by bisection in the knot values; inside it the monotone cubic is solved
    by Newton steps kept inside a shrinking bracket, until the step no longer changes the value.
    """
    n_intervals = table.shape[1]
    high = low + n_intervals * spacing
    for i in range(targets.shape[0]):
        row = potential[targets[i]]
        rows = table[i]
        last = rows[n_intervals - 1]
        top = last[0] + spacing * (last[1] + spacing * (last[2] + spacing * last[3]))
        top_slope = last[1] + spacing * (2.0 * last[2] + 3.0 * last[3] * spacing)
        for c in range(width):
            y = row[start + c]
            if y <= rows[0, 0]:
                row[start + c] = low + (y - rows[0, 0]) / rows[0, 1]
            elif y >= top:
                row[start + c] = high + (y - top) / top_slope
            elif not np.isnan(y):
                first, beyond = 0, n_intervals
                while beyond - first > 1:
                    middle = (first + beyond) // 2
                    if rows[middle, 0] <= y:
                        first = middle
                    else:
                        beyond = middle
                a, b, d = rows[first, 1], rows[first, 2], rows[first, 3]
                rise = y - rows[first, 0]
                left, right = 0.0, spacing
                # Start from the quadratic part, solved without cancellation.
                t = min(2.0 * rise / (a + sqrt(max(a * a + 4.0 * b * rise, 0.0))), spacing)
                for _ in range(60):
                    error = t * (a + t * (b + t * d)) - rise
                    if error > 0.0:
                        right = t
                    else:
                        left = t
                    step = t - error / (a + t * (2.0 * b + 3.0 * d * t))
                    if not left <= step <= right:
                        step = 0.5 * (left + right)
                    moved = abs(step - t)
                    t = step
                    if moved <= 1e-16 * spacing:
                        break
                row[start + c] = low + first * spacing + t


@kernel
def spline_moments(
    potential: Array,
    targets: Array,
    start: int,
    low: float,
    spacing: float,
    n_intervals: int,
    weight: Array,
    out: Array,
) -> None:
    """``out[i, bin, p] = sum_c weight[i, c] x^p`` with x the position inside the bin, p = 0..6.

    Bin 0 is the left tail (x measured from ``low``), bins 1..n_intervals the intervals, the last
    bin the right tail (from ``high``); x is in units of the spacing. Tails are linear, so only
    p <= 2 is needed and filled there, which also keeps outliers from overflowing. The whole Newton
    system of a node is linear in these sums: one pass over the data, no matter how many features.
    """
    high = low + n_intervals * spacing
    inverse_spacing = 1.0 / spacing
    width = weight.shape[1]
    for i in range(targets.shape[0]):
        row = potential[targets[i]]
        sums = out[i]
        for b in range(sums.shape[0]):
            for p in range(7):
                sums[b, p] = 0.0
        for c in range(width):
            v = float(row[start + c])
            w = float(weight[i, c])
            if v < low or v >= high:
                b = 0 if v < low else n_intervals + 1
                x = (v - (low if v < low else high)) * inverse_spacing
                sums[b, 0] += w
                sums[b, 1] += w * x
                sums[b, 2] += w * x * x
            else:
                position = (v - low) * inverse_spacing
                s = min(np.uint32(position), np.uint32(n_intervals - 1))
                x = position - s
                sums[s + 1, 0] += w
                for p in range(1, 7):
                    w *= x
                    sums[s + 1, p] += w
