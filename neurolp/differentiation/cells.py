"""Probabilities of cells under mixtures: y(b) - y(a) of conditional CDFs y, loss and derivative.

    P(a < t < b) = sum_k pi_k (F((b - m_k) / s_k) - F((a - m_k) / s_k))

Values on a grid, whose cells cover the line, so have probabilities of sum 1: normalisation by
differentiation, differenced. See :mod:`neurolp.differentiation.mixture_unit` for F, pi, m and s.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.differentiation.mixture_unit import SMALLEST_WIDTH, log_cell, log_slope

_LARGEST = 1e15  # derivative, of cells far out; its square is finite in single precision
_STEEPEST = 60.0  # log of a slope over a probability: more are rounding errors, far in the tails


def cell_loss(
    component: str, lower: Array, upper: Array, outputs: Array, cell: Array
) -> tuple[Array, Array]:
    """-log P(cell) in nats, and its derivative by the outputs.

    Cell number c goes from ``lower[c]`` to ``upper[c]``; ``outputs`` (..., 3 K) are a, m, r;
    ``cell`` (...) are numbers; loss (...), derivative (..., 3 K). With z_a, z_b the ends in units
    of a component, D_k = F(z_b) - F(z_a), and the responsibilities q_k = pi_k D_k / P:

        dl/da_k = pi_k - q_k,   dl/dm_k = q_k (rho(z_b) - rho(z_a)) / (D_k s_k),
        dl/dr_k = q_k (rho(z_b) z_b - rho(z_a) z_a) / (D_k s_k) ds/dr
    """
    k = outputs.shape[-1] // 3
    given = outputs.astype(np.float64)
    a, m, r = given[..., :k], given[..., k : 2 * k], given[..., 2 * k :]
    softplus = np.logaddexp(0.0, r)
    width = softplus + SMALLEST_WIDTH
    low = (lower[cell][..., None] - m) / width
    high = (upper[cell][..., None] - m) / width
    inside = log_cell(component, low, high)
    share = a - logsumexp(a, axis=-1, keepdims=True)
    joint = share + inside
    log_mass = logsumexp(joint, axis=-1, keepdims=True)
    q = np.exp(joint - log_mass)
    at_low, at_high = (
        np.exp(np.minimum(log_slope(component, z) - inside, _STEEPEST)) for z in (low, high)
    )
    low, high = (np.where(np.isfinite(z), z, 0.0) for z in (low, high))
    change = np.empty_like(outputs)
    change[..., :k] = np.exp(share) - q
    q /= width
    change[..., k : 2 * k] = q * (at_high - at_low)
    widening = q * (at_high * high - at_low * low) * -np.expm1(-softplus)
    change[..., 2 * k :] = np.clip(widening, -_LARGEST, _LARGEST)
    return -log_mass[..., 0], change
