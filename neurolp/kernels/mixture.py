"""The log-density of a Gaussian mixture, over a tile of trajectories at a time.

log sum_k exp(c_k - |z_k|^2 / 2) with z_k = L_k^-1 (u - mu_k): the rows of L_k^-1 in pairs, their
columns, as many as stand left of the diagonal, in chunks of ``CHUNK``, so that every inner loop is
compiled to vector instructions. What happens to one trajectory depends neither on its place nor on
its neighbours.
"""

from __future__ import annotations

from math import log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import fused_kernel
from neurolp.kernels.exponential import exponential

TILE = 128
CHUNK = 4
_LEAST_EXPONENT = -700.0


@fused_kernel
def mixture_log_prob(
    potential: Array, means: Array, whitening: Array, constants: Array, out: Array
) -> None:
    """Write the log-density, nats, of ``potential`` (n_nodes, width) to ``out`` (width,).

    ``means`` are (K, n_nodes), ``constants`` c_k (K,); ``whitening`` (K, n_chunks, 2 CHUNK) holds
    the chunks of every pair of rows, one pair after another, zeros where nothing is.
    """
    n_nodes, width = potential.shape
    n_components, n_pairs = means.shape[0], (n_nodes + 1) // 2
    # Whole chunks of columns: those beyond the last node stay zero.
    centred = np.zeros((n_nodes + CHUNK) * TILE)
    u, z, square = np.zeros((n_nodes, TILE)), np.empty(2 * TILE), np.empty(TILE)
    joint, top, total = np.empty((n_components, TILE)), np.empty(TILE), np.empty(TILE)
    for start in range(0, width, TILE):
        n = min(TILE, width - start)
        for i in range(n_nodes):
            for c in range(n):
                u[i, c] = potential[i, start + c]
        for c in range(TILE):
            top[c] = -np.inf
            total[c] = 0.0
        for k in range(n_components):
            for i in range(n_nodes):
                _centre(u[i], means[k, i], centred[i * TILE :])
            for c in range(TILE):
                square[c] = 0.0
            chunk = 0
            for pair in range(n_pairs):
                for c in range(2 * TILE):
                    z[c] = 0.0
                for column in range(0, min(2 * pair + 2, n_nodes), CHUNK):
                    _add_chunk(whitening[k, chunk], centred[column * TILE :], z)
                    chunk += 1
                _add_squares(z, square)
            _log_component(square, constants[k], joint[k], top)
        for k in range(n_components):
            _add_exponentials(joint[k], top, total)
        for c in range(n):
            known = square[c] == square[c]
            out[start + c] = top[c] + log(total[c]) if known else np.nan


@fused_kernel
def _centre(row: Array, mean: float, out: Array) -> None:
    for c in range(TILE):
        out[c] = row[c] - mean


@fused_kernel
def _add_chunk(w: Array, y: Array, z: Array) -> None:
    a0, a1, a2, a3 = w[0], w[1], w[2], w[3]
    b0, b1, b2, b3 = w[4], w[5], w[6], w[7]
    for c in range(TILE):
        y0, y1, y2, y3 = y[c], y[TILE + c], y[2 * TILE + c], y[3 * TILE + c]
        first = z[c] + a0 * y0 + a1 * y1 + a2 * y2 + a3 * y3
        second = z[TILE + c] + b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3
        z[c] = first
        z[TILE + c] = second


@fused_kernel
def _add_squares(z: Array, square: Array) -> None:
    for c in range(TILE):
        square[c] += z[c] * z[c] + z[TILE + c] * z[TILE + c]


@fused_kernel
def _log_component(square: Array, constant: float, joint: Array, top: Array) -> None:
    for c in range(TILE):
        joint[c] = constant - 0.5 * square[c]
        top[c] = max(top[c], joint[c])


@fused_kernel
def _add_exponentials(joint: Array, top: Array, total: Array) -> None:
    for c in range(TILE):
        total[c] += exponential(max(joint[c] - top[c], _LEAST_EXPONENT))
