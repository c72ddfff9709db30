"""Steps of the bounded form: each node solves its own implicit equation, and replays it.

State s = log(a / (1 - a)), so that no activity reaches an edge. A node's drift is
b(a) = -alpha s + p(a), with p the cubic pieces (y, c1, c2, c3) of ``table`` on equal intervals
of [0, 1]: with t = a - knot, p = y + t (c1 + t (c2 + t c3)).
"""

from __future__ import annotations

from math import exp

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def _sigmoid(s: float) -> tuple[float, float]:
    """A = 1 / (1 + exp(-s)) and da/ds; 1 - a, which vanishes at the upper edge, is never formed."""
    z = exp(-abs(s))
    small = z / (1.0 + z)
    return small if s < 0.0 else 1.0 - small, z / ((1.0 + z) * (1.0 + z))


@kernel
def bounded_step(
    drive: Array, barrier: Array, table: Array, dt: float, potential: Array, denominator: Array
) -> None:
    """Solve a' - dt b(a') = drive for every node and trajectory, a' = 1 / (1 + exp(-s')).

    ``potential`` holds a first guess and receives s'; ``denominator`` receives
    D = d(left side) / ds' = a'(1 - a')(1 - dt p'(a')) + dt alpha > 0. The left side increases
    strictly in s', from -inf to +inf: Newton steps inside a bracket that only shrinks.
    """
    n_intervals = table.shape[1]
    for i in range(drive.shape[0]):
        strength = dt * barrier[i]
        rows = table[i]
        # |p| on [0, 1] is at most `reach`, so the root lies where dt alpha s can balance the rest.
        reach = 0.0
        for k in range(n_intervals):
            size = abs(rows[k, 0]) + (abs(rows[k, 1]) + abs(rows[k, 2]) + abs(rows[k, 3]))
            reach = max(reach, size)
        for c in range(drive.shape[1]):
            r = drive[i, c]
            left = (r - 1.0 - dt * reach) / strength
            right = (r + dt * reach) / strength
            s = min(max(potential[i, c], left), right)
            done = False
            for _ in range(201):
                a, q = _sigmoid(s)
                piece = min(np.uint32(a * n_intervals), np.uint32(n_intervals - 1))
                t = a - piece / n_intervals
                c1, c2, c3 = rows[piece, 1], rows[piece, 2], rows[piece, 3]
                slope = q * (1.0 - dt * (c1 + t * (2.0 * c2 + 3.0 * c3 * t))) + strength
                if done:
                    break
                error = a + strength * s - dt * (rows[piece, 0] + t * (c1 + t * (c2 + t * c3))) - r
                if error > 0.0:
                    right = s
                else:
                    left = s
                moved = s - error / slope
                if not left <= moved <= right:
                    moved = 0.5 * (left + right)
                done = abs(moved - s) <= 4e-16 * (1.0 + abs(s))
                s = moved
            potential[i, c] = s
            denominator[i, c] = slope


@kernel
def bounded_replay(
    potential: Array,
    denominator: Array,
    barrier: Array,
    table: Array,
    dt: float,
    post: Array,
    barrier_gradient: Array,
    moments: Array,
) -> None:
    """Take the derivative of a node's own loss backwards through one step.

    ``potential`` and ``denominator`` are s' and D of :func:`bounded_step`. ``post`` comes as
    lambda' = d(losses of later steps) / da' and leaves as M, the derivative of the losses from this
    step on by the drive. With q = a'(1 - a'), g' = q / D and the loss of the step l = -log g',

        M = lambda' g' - dt (alpha (1 - 2 a') + p''(a') q^2) / D^2
        d / d theta_k = dt (M phi_k(a') - g' phi_k'(a'))          for b = sum_k theta_k phi_k

    which is added up as moments of x = t / spacing: ``moments[i, k, 0, :]`` of dt M (powers 0..3),
    ``moments[i, k, 1, :]`` of -dt g' (powers 0..2), and ``barrier_gradient[i]`` for phi = -s'.
    """
    n_intervals = table.shape[1]
    for i in range(potential.shape[0]):
        alpha = barrier[i]
        rows = table[i]
        for c in range(potential.shape[1]):
            s, d = potential[i, c], denominator[i, c]
            a, q = _sigmoid(s)
            piece = min(np.uint32(a * n_intervals), np.uint32(n_intervals - 1))
            x = a * n_intervals - piece
            bend = 2.0 * rows[piece, 2] + 6.0 * rows[piece, 3] * x / n_intervals
            m = post[i, c] * q / d - dt * (alpha * (1.0 - 2.0 * a) + bend * q * q) / (d * d)
            post[i, c] = m
            barrier_gradient[i] += dt * (1.0 / d - m * s)
            m *= dt
            g = -dt * q / d
            sums = moments[i, piece]
            sums[0, 0] += m
            sums[0, 1] += m * x
            sums[0, 2] += m * x * x
            sums[0, 3] += m * x * x * x
            sums[1, 0] += g
            sums[1, 1] += g * x
            sums[1, 2] += g * x * x
