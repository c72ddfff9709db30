"""Ridge regression of every node on its own presynaptic nodes only."""

from __future__ import annotations

from math import exp, sqrt

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def solve(
    gram: Array,
    first: int,
    last: int,
    ridge: float,
    n_rows: int,
    factor: Array,
    status: Array,
    node: int,
    x: Array,
    start: int,
) -> None:
    """Replace sums in ``x[start ..]`` by the ridge solution, features ``first .. last`` of a node.

    Cholesky factor of the lower triangle, then the two triangular systems. A feature of which
    the others leave no more than a rounding error is dependent on them: ``status[node]`` = 1.
    """
    k = last - first
    for a in range(k):
        row = factor[a]
        for b in range(a + 1):
            value = gram[first + a, first + b] / n_rows
            if a == b and a < k - 1:
                value += ridge * k / n_rows
            other = factor[b]
            for c in range(b):
                value -= row[c] * other[c]
            if a > b:
                row[b] = value / other[b]
            elif value > 1e-14 * gram[first + a, first + a] / n_rows:
                row[a] = sqrt(value)
            else:
                status[node] = 1
                return
    for a in range(k):
        value = x[start + a] / n_rows
        for b in range(a):
            value -= factor[a, b] * x[start + b]
        x[start + a] = value / factor[a, a]
    for a in range(k - 1, -1, -1):
        value = x[start + a] / factor[a, a]
        x[start + a] = value
        for b in range(a):
            x[start + b] -= factor[a, b] * value


@kernel
def presynaptic_ridge(
    potential: Array,
    sources: Array,
    starts: Array,
    right: Array,
    slope: float,
    thresholds: Array,
    ridge: float,
    features: Array,
    gram: Array,
    factor: Array,
    status: Array,
    shift: Array,
    log_scale: Array,
) -> None:
    """Regress every node on its presynaptic nodes, f = (phi_0 .. phi_M-1 of its sources, 1).

    With K features and N trajectories,

        shift_i    = (E[f f^T] + ridge K / N)^-1 E[f right_0i]    all K features,
        log_gain_i = (E[f f^T] + ridge K / N)^-1 E[f right_1i]    without phi_0,

    and no ridge on the constant. Node i has the sources ``starts[i] .. starts[i + 1]``; its
    coefficients follow those of node i - 1 in ``shift`` and ``log_scale``, the constant last.

    ``right`` is (2, nodes, N), of which the second part may be empty (no gain). ``status[i]``
    becomes 1 where a matrix is not positive definite. Scratch: ``features`` (tile, >= K) with a
    tile divisible by eight, ``gram`` and ``factor`` (>= K, >= K). Sums run over whole rows of
    trajectories in one order, eight products at a time, whatever thread calls.
    """
    n_rows = potential.shape[1]
    n_transfer = thresholds.shape[0] + 1
    tile = features.shape[0]
    limit = 40.0 / slope
    for i in range(starts.shape[0] - 1):
        degree = starts[i + 1] - starts[i]
        k = n_transfer * degree + 1
        first_shift = n_transfer * starts[i] + i
        first_gain = (n_transfer - 1) * starts[i] + i
        gain = right.shape[0] > 1
        for a in range(k):
            shift[first_shift + a] = 0.0
            for b in range(a + 1):
                gram[a, b] = 0.0
        if gain:
            for a in range(k - degree):
                log_scale[first_gain + a] = 0.0

        # Sums over trajectories, a tile at a time.
        for begin in range(0, n_rows, tile):
            width = min(tile, n_rows - begin)
            padded = (width + 7) // 8 * 8
            for j in range(degree):
                row = potential[sources[starts[i] + j]]
                for r in range(width):
                    features[r, j] = row[begin + r]
                if n_transfer > 1:
                    # The last function's place holds z until it is overwritten.
                    last = (n_transfer - 1) * degree + j
                    for r in range(width):
                        z = exp(2.0 * slope * min(max(features[r, j], -limit), limit))
                        features[r, last] = z
                    for m in range(1, n_transfer):
                        e = exp(2.0 * slope * thresholds[m - 1])
                        for r in range(width):
                            z = features[r, last]
                            features[r, m * degree + j] = (z - e) / (z + e)
            for r in range(width):
                features[r, k - 1] = 1.0
            for r in range(width, padded):
                for a in range(k):
                    features[r, a] = 0.0
            for r in range(0, padded, 8):
                f0, f1, f2, f3 = features[r], features[r + 1], features[r + 2], features[r + 3]
                f4, f5, f6, f7 = features[r + 4], features[r + 5], features[r + 6], features[r + 7]
                for a in range(k):
                    g0, g1, g2, g3 = f0[a], f1[a], f2[a], f3[a]
                    g4, g5, g6, g7 = f4[a], f5[a], f6[a], f7[a]
                    sums = gram[a]
                    for b in range(a + 1):
                        first_half = (g0 * f0[b] + g1 * f1[b]) + (g2 * f2[b] + g3 * f3[b])
                        other_half = (g4 * f4[b] + g5 * f5[b]) + (g6 * f6[b] + g7 * f7[b])
                        sums[b] += first_half + other_half
            for r in range(width):
                f0 = features[r]
                y = float(right[0, i, begin + r])
                for a in range(k):
                    shift[first_shift + a] += y * f0[a]
                if gain:
                    y = float(right[1, i, begin + r])
                    for a in range(k - degree):
                        log_scale[first_gain + a] += y * f0[degree + a]

        solve(gram, 0, k, ridge, n_rows, factor, status, i, shift, first_shift)
        if gain:
            solve(gram, degree, k, ridge, n_rows, factor, status, i, log_scale, first_gain)
