"""Sources of streams, step by step: a Markov chain, an oscillator, chaotic systems.

Random numbers come in as arrays and the state of a source is carried from call to call, so that a
sequence does not depend on how it is cut into blocks.
"""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def markov_walk(
    uniforms: Array, cumulative: Array, surprise: Array, context: int, rows: Array, truth: Array
) -> int:
    """Draw symbols k with P(k | context) = cumulative[context, k] - cumulative[context, k - 1].

    A context is the last symbols as digits, the newest last: the next one is
    (context n_symbols + k) mod n_contexts. ``rows`` (n, 1) gets the symbols, ``truth`` (n,) gets
    surprise[context, k] = -log P(k | context). Returns the context after the last step.
    """
    n_contexts, n_symbols = cumulative.shape
    for t in range(uniforms.shape[0]):
        k = 0
        while k < n_symbols - 1 and cumulative[context, k] <= uniforms[t]:
            k += 1
        rows[t, 0] = k
        truth[t] = surprise[context, k]
        context = (context * n_symbols + k) % n_contexts
    return context


@kernel
def autoregression(noise: Array, first: float, second: float, past: Array, rows: Array) -> None:
    """x_t = first x_{t-1} + second x_{t-2} + noise_t into ``rows`` (n, 1).

    ``past`` = (x_{-1}, x_{-2}) is replaced by the last two values.
    """
    x1, x2 = past[0], past[1]
    for t in range(noise.shape[0]):
        x = first * x1 + second * x2 + noise[t]
        x2 = x1
        x1 = x
        rows[t, 0] = x
    past[0] = x1
    past[1] = x2


@kernel
def mackey_glass_map(noise: Array, past: Array, rows: Array) -> None:
    """x_t = x_{t-1} + .2 x_{t-d} / (1 + x_{t-d}^10) - .1 x_{t-1} + noise_t into ``rows`` (n, 1).

    ``past`` (d,), the oldest value first, is replaced by the last d values.
    """
    n, delay = noise.shape[0], past.shape[0]
    x = past[delay - 1]
    for t in range(n):
        late = past[t] if t < delay else rows[t - delay, 0]
        square = late * late
        fourth = square * square
        x = x + 0.2 * late / (1.0 + fourth * fourth * square) - 0.1 * x + noise[t]
        rows[t, 0] = x
    if n >= delay:
        for j in range(delay):
            past[j] = rows[n - delay + j, 0]
    else:
        for j in range(delay - n):
            past[j] = past[j + n]
        for j in range(n):
            past[delay - n + j] = rows[j, 0]


@kernel
def mackey_glass_path(past: Array, n_substeps: int, rows: Array) -> None:
    """The equation x' = .2 x(t - d) / (1 + x(t - d)^10) - .1 x into ``rows`` (n,), one a unit of t.

    Euler's method with ``n_substeps`` steps a unit. ``past`` (d n_substeps + 1,) holds the values
    from t - d to t, and is replaced by the last ones.
    """
    size, step = past.shape[0], 1.0 / n_substeps
    x, at = past[size - 1], 0
    for t in range(rows.shape[0]):
        for _ in range(n_substeps):
            late = past[at]
            square = late * late
            fourth = square * square
            x = x + step * (0.2 * late / (1.0 + fourth * fourth * square) - 0.1 * x)
            past[at] = x
            at = (at + 1) % size
        rows[t] = x
    ordered = np.empty(size)
    for j in range(size):
        ordered[j] = past[(at + j) % size]
    for j in range(size):
        past[j] = ordered[j]


@kernel
def lorenz_path(state: Array, step: float, n_substeps: int, rows: Array) -> None:
    """The system x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z into ``rows`` (n, 3).

    Every row is ``n_substeps`` Runge-Kutta steps (classical, fourth order) of length ``step``
    after the row before it. ``state`` (3,) is replaced by the last row.
    """
    x, y, z = state[0], state[1], state[2]
    beta = 8.0 / 3.0
    half = 0.5 * step
    for t in range(rows.shape[0]):
        for _ in range(n_substeps):
            ax, ay, az = 10.0 * (y - x), x * (28.0 - z) - y, x * y - beta * z
            u, v, w = x + half * ax, y + half * ay, z + half * az
            bx, by, bz = 10.0 * (v - u), u * (28.0 - w) - v, u * v - beta * w
            u, v, w = x + half * bx, y + half * by, z + half * bz
            cx, cy, cz = 10.0 * (v - u), u * (28.0 - w) - v, u * v - beta * w
            u, v, w = x + step * cx, y + step * cy, z + step * cz
            dx, dy, dz = 10.0 * (v - u), u * (28.0 - w) - v, u * v - beta * w
            x += step / 6.0 * (ax + 2.0 * bx + 2.0 * cx + dx)
            y += step / 6.0 * (ay + 2.0 * by + 2.0 * cy + dy)
            z += step / 6.0 * (az + 2.0 * bz + 2.0 * cz + dz)
        rows[t, 0] = x
        rows[t, 1] = y
        rows[t, 2] = z
    state[0] = x
    state[1] = y
    state[2] = z
