"""Backward through one group update: node maps, transfer functions, sparse products.

Adjoints are stacked, ``adjoint[i, a, c] = dL_a / du_i`` of trajectory c: several losses (windows of
time) are carried back together along the same states. All arrays are those of one block.
"""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def node_map_adjoint(
    potential: Array,
    targets: Array,
    low: float,
    spacing: float,
    table: Array,
    adjoint: Array,
    own: int,
    delta: Array,
    moments: Array,
) -> None:
    """Back through u' = g(v), log_det += log g'(v), with v in ``potential`` and dL/du' known.

    ``delta[i, a, c] = adjoint g'(v) - g''(v) / g'(v)`` is dL/dv. For the one loss ``own``,
    ``moments[i, bin, p]`` receives the sums over trajectories of adjoint x^p (p = 0..3) and, at
    4 + p, of x^p / g'(v) (p = 0..2), bins and x as in ``node_map.spline_moments``: the gradient
    with respect to the coefficients is linear in them.
    """
    n_intervals = table.shape[1]
    high = low + n_intervals * spacing
    inverse_spacing = 1.0 / spacing
    width = delta.shape[2]
    slope = np.empty(width)
    bend = np.empty(width)
    for i in range(targets.shape[0]):
        row = potential[targets[i]]
        rows = table[i]
        mine = adjoint[targets[i], own]
        sums = moments[i]
        for b in range(n_intervals + 2):
            for p in range(7):
                sums[b, p] = 0.0
        for c in range(width):
            v = float(row[c])
            inside = min(max(v, low), high)
            s = min(np.uint32((inside - low) * inverse_spacing), np.uint32(n_intervals - 1))
            t = inside - (low + s * spacing)
            a, b1, d = float(rows[s, 1]), float(rows[s, 2]), float(rows[s, 3])
            slope[c] = a + t * (2.0 * b1 + 3.0 * d * t)
            weight = float(mine[c])
            inverse = 1.0 / slope[c]
            if v < low or v >= high:
                outer = 0 if v < low else n_intervals + 1
                sums[outer, 0] += weight
                sums[outer, 1] += weight * (v - inside) * inverse_spacing
                sums[outer, 4] += inverse
                bend[c] = 0.0
            else:
                x = t * inverse_spacing
                bend[c] = (2.0 * b1 + 6.0 * d * t) * inverse
                sums[s + 1, 0] += weight
                sums[s + 1, 1] += weight * x
                sums[s + 1, 2] += weight * x * x
                sums[s + 1, 3] += weight * x * x * x
                sums[s + 1, 4] += inverse
                sums[s + 1, 5] += inverse * x
                sums[s + 1, 6] += inverse * x * x
        for k in range(delta.shape[1]):
            for c in range(width):
                delta[i, k, c] = adjoint[targets[i], k, c] * slope[c] - bend[c]


@kernel
def transfer_adjoint(
    features: Array, slope: float, sources: Array, feature_adjoint: Array, adjoint: Array
) -> None:
    """Back through the transfer functions, ``adjoint_j += sum_m phi_m'(u_j) feature_adjoint_mj``.

    phi_0' = 1 and phi_m' = slope (1 - phi_m^2), with row m * n_sources + j of ``features`` phi_m.
    """
    n_sources = sources.shape[0]
    width = features.shape[1]
    for j in range(n_sources):
        for k in range(adjoint.shape[1]):
            out = adjoint[sources[j], k]
            first = feature_adjoint[j, k]
            for c in range(width):
                out[c] += first[c]
            for m in range(1, features.shape[0] // n_sources):
                f = features[m * n_sources + j]
                df = feature_adjoint[m * n_sources + j, k]
                for c in range(width):
                    out[c] += slope * (1.0 - f[c] * f[c]) * df[c]


@kernel
def csr_transposed_product(
    indptr: Array, indices: Array, data: Array, delta: Array, out: Array
) -> None:
    """``out += A^T @ delta`` for a CSR matrix A."""
    width = delta.shape[1]
    for i in range(delta.shape[0]):
        row = delta[i]
        for e in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            weight = data[e]
            target = out[indices[e]]
            for c in range(width):
                target[c] += weight * row[c]


@kernel
def csr_outer(indptr: Array, indices: Array, delta: Array, features: Array, out: Array) -> None:
    """``out[e] = sum_c delta[i, c] features[j, c]`` for the edges e = (i, j) of a CSR matrix."""
    width = delta.shape[1]
    for i in range(delta.shape[0]):
        row = delta[i]
        for e in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            f = features[indices[e]]
            total = 0.0
            for c in range(width):
                total += row[c] * f[c]
            out[e] = total
