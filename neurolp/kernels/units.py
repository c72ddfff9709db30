"""Sigmoid units of one variable: the loss of their network, its gradient, and steps down it.

    y(u) = sum_k w_k S((u - m_k) / s_k),   p(u) = dy/du = sum_k w_k S'((u - m_k) / s_k) / s_k,

with S the standard normal distribution function and weights w_k > 0 that sum to 1. Rows ``u`` (n,)
have weights ``counts`` (n,); ``log_w``, ``m`` and ``s`` are (K,).
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel

_HALF_LOG_2PI = 0.9189385332046727
_NEGLIGIBLE = -36.0  # exp of it is below the rounding error of a sum that holds 1


@kernel
def unit_gradient(
    u: Array, counts: Array, log_w: Array, m: Array, s: Array, scratch: Array, out: Array
) -> float:
    """Return -sum_n counts_n log p(u_n) in nats, and its gradient in ``out`` (3, K).

    Rows of ``out``: with respect to log w (free, before they are made to sum to 1), m and log s,

        -sum_n c_n r_nk,   -sum_n c_n r_nk z_nk / s_k,   -sum_n c_n r_nk (z_nk^2 - 1),

    r_nk the share of unit k in p(u_n) and z_nk = (u_n - m_k) / s_k. ``scratch`` is (3, K).
    """
    n_units = m.shape[0]
    share, height, steepness = scratch[0], scratch[1], scratch[2]
    for k in range(n_units):
        height[k] = log_w[k] - log(s[k]) - _HALF_LOG_2PI
        steepness[k] = 1.0 / s[k]
        out[0, k] = out[1, k] = out[2, k] = 0.0
    loss = 0.0
    for i in range(u.shape[0]):
        if counts[i] == 0.0:
            continue
        top = -np.inf
        for k in range(n_units):
            z = (u[i] - m[k]) * steepness[k]
            share[k] = height[k] - 0.5 * z * z
            top = max(top, share[k])
        total = 0.0
        for k in range(n_units):
            relative = share[k] - top
            share[k] = exp(relative) if relative > _NEGLIGIBLE else 0.0
            total += share[k]
        loss -= counts[i] * (top + log(total))
        scale = counts[i] / total
        for k in range(n_units):
            if share[k] > 0.0:
                r = scale * share[k]
                z = (u[i] - m[k]) * steepness[k]
                out[0, k] -= r
                out[1, k] -= r * z * steepness[k]
                out[2, k] -= r * (z * z - 1.0)
    return loss


@kernel
def descend(
    u: Array,
    counts: Array,
    log_w: Array,
    m: Array,
    s: Array,
    n_steps: int,
    prior_rows: float,
    prior_variance: float,
    tolerance: float,
) -> float:
    """Take up to ``n_steps`` steps down the gradient, in place; return the last loss per row.

    The step of each unit has the length that solves its own problem when the shares are held
    fixed (expectation-maximisation), so no step ever goes up and there is no rate to choose. Widths
    have a prior worth ``prior_rows`` rows of ``prior_variance``: no unit collapses. Stops when a
    step gains less than ``tolerance`` nats per row.
    """
    n_units = m.shape[0]
    gradient, scratch = np.empty((3, n_units)), np.empty((3, n_units))
    n_rows = counts.sum()
    old = np.inf
    loss = old
    for _ in range(n_steps):
        loss = unit_gradient(u, counts, log_w, m, s, scratch, gradient) / n_rows
        for k in range(n_units):
            rows = -gradient[0, k]
            square = s[k] * s[k]
            shift = -gradient[1, k] * square / (rows + 1e-9)
            spread = square * (rows - gradient[2, k]) - shift * shift * rows
            s[k] = sqrt((max(spread, 0.0) + prior_rows * prior_variance) / (rows + prior_rows))
            m[k] += shift
            log_w[k] = log(max(rows / n_rows, 1e-300))
        if old - loss < tolerance:
            break
        old = loss
    return loss


@kernel
def unit_log_density(u: Array, log_w: Array, m: Array, s: Array, out: Array) -> None:
    """Log p(u), nats, into ``out`` (n,); -inf where ``u`` is infinite."""
    n_units = m.shape[0]
    term, height = np.empty(n_units), np.empty(n_units)
    for k in range(n_units):
        height[k] = log_w[k] - log(s[k]) - _HALF_LOG_2PI
    for i in range(u.shape[0]):
        top = -np.inf
        for k in range(n_units):
            z = (u[i] - m[k]) / s[k]
            term[k] = height[k] - 0.5 * z * z
            top = max(top, term[k])
        if top == -np.inf:
            out[i] = top
            continue
        total = 0.0
        for k in range(n_units):
            if term[k] - top > _NEGLIGIBLE:
                total += exp(term[k] - top)
        out[i] = top + log(total)
