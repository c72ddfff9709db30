"""What the readout of many streams learns from all of them together."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from neurolp.arrays import Array
from neurolp.errors import DivergedError
from neurolp.kernels.stream_chain import HUBER
from neurolp.kernels.stream_state import DIAGONAL_RLS, NLMS, RLS, VALUES, Rates, Readout, Senses

_TINY = 1e-300


def learn_readout(
    readout: Readout, senses: Senses, rates: Rates, z: Array, gain: Array, q: Array, error: Array,
    observed: Array,
) -> Array | None:  # fmt: skip
    """Let the readout learn from the errors (B, K) of all streams together.

    Returns V (B, M), where the covariance P (M, M) is still to become P - V' V, or None.

    With G = P Z (M, B) and S = I + Z' G, least squares give A <- A + E' S^-1 G' and
    P <- P - G S^-1 G': the posterior that the rows give one after another, in any order. A sensor
    learns from the streams in which it was observed, as ``observed`` (B, S) says; P falls for those
    where any was. NLMS takes the mean step.
    """
    rows = observed.any(axis=1)
    if rates.rule == NLMS:
        step = rates.readout / np.maximum(q[rows], _TINY) / rows.sum()
        readout.weights[...] += (error[rows] * step[:, None]).T @ z[:, rows].T
        return None
    if not rows.all():
        z, gain, error, observed = z[:, rows], gain[:, rows], error[rows], observed[rows]
    shared = z.T @ gain
    np.einsum("bb->b", shared)[:] += 1.0
    inverse = _inverse_factor(shared)
    white = inverse @ gain.T  # (B, M)
    for s in range(len(senses.kind)):
        at = slice(senses.output[s], senses.output[s] + senses.size[s])
        here = observed[:, s]
        if here.all():
            readout.weights[at] += (inverse @ error[:, at]).T @ white
        elif here.any():
            mine = _inverse_factor(shared[np.ix_(here, here)])
            step = mine @ gain[:, here].T
            readout.weights[at] += (mine @ error[here, at]).T @ step
    if rates.rule == RLS:
        return white
    diagonal = readout.covariance_values[0]
    diagonal[:] = 1.0 / (1.0 / diagonal + np.einsum("mb,mb->m", z, z))
    return None


def learn_chain(
    readout: Readout, senses: Senses, rates: Rates, q: Array, error: Array, observed: Array
) -> None:
    """Let the chain across sensors learn from all streams together, as the readout does.

    ``error`` (B, K) is that of the memory alone and ``q`` (B,) its uncertainty; see
    :mod:`neurolp.kernels.stream_chain`.
    """
    for s, (n, size) in enumerate(zip(senses.output, senses.size, strict=True)):
        here, at = observed[:, s], slice(n, n + size)
        if n == 0 or not here.any():
            continue
        r, v = readout.innovation[here, VALUES, :n], 1.0 + q[here]
        p = readout.chain_covariance[s, :, :n]
        weights, p = readout.chain[at, :n], p[:n] if rates.rule == RLS else p
        gain = r @ p if rates.rule == RLS else r * p[0] if rates.rule == DIAGONAL_RLS else r
        left = error[here, at] - r @ weights.T
        doubt = np.einsum("bn,bn->b", r, gain)
        noise = (readout.factor[here, at, at] ** 2).sum(axis=2)
        usual = HUBER * np.sqrt((v + doubt)[:, None] * noise)
        trust = np.minimum((usual / np.maximum(abs(left), _TINY)).min(axis=1), 1.0)
        if rates.rule == NLMS:
            step = rates.readout * trust / (v + trust * doubt) / len(r)
            weights += (left * step[:, None]).T @ r
            continue
        root = np.sqrt(trust / v)[:, None]
        z, gain = r * root, gain * root
        inverse = _inverse_factor(np.eye(len(z)) + z @ gain.T)
        white = inverse @ gain
        weights += (inverse @ (left * root)).T @ white
        if rates.rule == RLS:
            p -= white.T @ white
            lost = np.maximum(rates.chain_values - np.diagonal(p), 0.0)
            np.einsum("ii->i", p)[:] += rates.process_noise * lost
        else:
            p[0] = 1.0 / (1.0 / p[0] + np.einsum("bn,bn->n", z, z))


def _inverse_factor(matrix: Array) -> Array:
    """L^-1 of L L' = matrix.

    Raises
    ------
    DivergedError
        If the matrix is not positive definite.
    """
    lower, fault = lapack.dpotrf(matrix, lower=1, clean=1)
    if fault:
        raise DivergedError("the covariance of the memory is no longer positive definite")
    return np.ascontiguousarray(lapack.dtrtri(lower, lower=1)[0])
