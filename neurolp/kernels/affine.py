"""Synaptic input: transfer functions of the sources, sparse products, the affine update."""

from __future__ import annotations

from math import exp

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def transfer(
    potential: Array,
    sources: Array,
    start: int,
    width: int,
    slope: float,
    thresholds: Array,
    out: Array,
) -> None:
    """Transfer functions of the sources, ``out[m * n_sources + j, c] = phi_m(u_j)``.

    phi_0(u) = u;  phi_m(u) = tanh(slope (u - theta_m)) for m >= 1. One exponential serves all
    thresholds: with z = exp(2 slope u) and k = exp(2 slope theta), tanh = (z - k) / (z + k).
    Beyond |slope u| = 40 every tanh is +-1 to the last bit while z would overflow: hence the clip.
    """
    n_sources = sources.shape[0]
    limit = 40.0 / slope
    for j in range(n_sources):
        row = potential[sources[j]]
        for c in range(width):
            out[j, c] = row[start + c]
        if thresholds.shape[0] > 0:
            # The last block of rows holds z until it is overwritten by its own tanh.
            last = thresholds.shape[0] * n_sources + j
            for c in range(width):
                out[last, c] = exp(2.0 * slope * min(max(row[start + c], -limit), limit))
            for m in range(thresholds.shape[0]):
                k = exp(2.0 * slope * thresholds[m])
                here = (m + 1) * n_sources + j
                for c in range(width):
                    z = out[last, c]
                    out[here, c] = (z - k) / (z + k)


@kernel
def csr_product(indptr: Array, indices: Array, data: Array, features: Array, out: Array) -> None:
    """``out = A @ features`` for a CSR matrix A; absent edges cost nothing."""
    width = features.shape[1]
    for i in range(out.shape[0]):
        for c in range(width):
            out[i, c] = 0.0
        for e in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            weight = data[e]
            row = features[indices[e]]
            for c in range(width):
                out[i, c] += weight * row[c]


@kernel
def shift_and_scale(
    potential: Array,
    targets: Array,
    start: int,
    shift: Array,
    bias: Array,
    log_scale: Array,
    log_scale_bias: Array,
    log_det: Array,
) -> None:
    """Affine update in place, v_i = exp(G_i) u_i + I_i, and log_det += sum_i G_i.

    I = shift + bias, G = log_scale + log_scale_bias; ``log_scale_bias`` of length 0: no scale.
    """
    width = shift.shape[1]
    for i in range(targets.shape[0]):
        row = potential[targets[i]]
        b = bias[i]
        if log_scale_bias.shape[0] == 0:
            for c in range(width):
                row[start + c] += shift[i, c] + b
        else:
            g = log_scale_bias[i]
            for c in range(width):
                gain = log_scale[i, c] + g
                row[start + c] = exp(gain) * row[start + c] + (shift[i, c] + b)
                log_det[start + c] += gain


@kernel
def undo_shift_and_scale(
    potential: Array,
    targets: Array,
    start: int,
    shift: Array,
    bias: Array,
    log_scale: Array,
    log_scale_bias: Array,
) -> None:
    """Exact inverse of :func:`shift_and_scale`, u_i = (v_i - I_i) exp(-G_i), in place."""
    width = shift.shape[1]
    for i in range(targets.shape[0]):
        row = potential[targets[i]]
        b = bias[i]
        if log_scale_bias.shape[0] == 0:
            for c in range(width):
                row[start + c] -= shift[i, c] + b
        else:
            g = log_scale_bias[i]
            for c in range(width):
                row[start + c] = (row[start + c] - (shift[i, c] + b)) * exp(-(log_scale[i, c] + g))


@kernel
def propagate(
    fresh: Array,
    position: int,
    n_sources: int,
    weights: Array,
    log_scale_weights: Array,
    first: int,
    last: int,
    features: Array,
    shift: Array,
    log_scale: Array,
) -> None:
    """One source has moved: bring its features, and what nodes ``first .. last`` get, up to date.

    With delta_m = fresh_m - f_(m, position):  f_(m, position) = fresh_m,
    shift_i += sum_m w_(i, m, position) delta_m,  log_gain_i += sum_(m >= 1) gamma_(i, m, position)
    delta_m.  ``fresh`` (M, width) holds delta afterwards; ``log_scale`` of length 0: no scale
    modulation.
    """
    n_transfer, width = fresh.shape
    for m in range(n_transfer):
        row = features[m * n_sources + position]
        for c in range(width):
            new = fresh[m, c]
            fresh[m, c] = new - row[c]
            row[c] = new
    for i in range(first, last):
        for m in range(n_transfer):
            weight = weights[i, m * n_sources + position]
            if weight != 0.0:
                for c in range(width):
                    shift[i, c] += weight * fresh[m, c]
        if log_scale.shape[0] > 0:
            for m in range(1, n_transfer):
                weight = log_scale_weights[i, (m - 1) * n_sources + position]
                if weight != 0.0:
                    for c in range(width):
                        log_scale[i, c] += weight * fresh[m, c]
