"""The inverse of ``kernels.fused``: many slices of a network backward, a tile at a time."""

from __future__ import annotations

from math import sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import fused_kernel
from neurolp.kernels.exponential import exponential
from neurolp.kernels.fused import (
    LARGEST_LOG_SCALE,
    TILE,
    look_up,
    read,
    receive,
    received_by,
    write,
)

_MOST_STEPS = 60
# In intervals. After a Newton step so short the next would change nothing, for errors are squared;
# when a bracket is halved they are not.
_SHORT_STEP, _NO_STEP = 1e-11, 1e-16


@fused_kernel
def rewind_fused(
    steps: Array,
    nodes: Array,
    weights: Array,
    biases: Array,
    tables: Array,
    rotations: Array,
    thresholds: Array,
    slope: float,
    low: float,
    spacing: float,
    n_intervals: int,
    log_scale: bool,
    first: int,
    last: int,
    potential: Array,
) -> None:
    """Undo :func:`evolve_fused`: the same steps in reverse order, each inverted."""
    n_nodes, width = potential.shape
    u, turned = np.empty((n_nodes, TILE)), np.empty((n_nodes, TILE))
    received = np.empty(((n_nodes + 1) // 2, 4 * TILE))
    z, features = np.empty(TILE), np.empty((n_nodes, thresholds.shape[0] * TILE))
    is_known = np.zeros(n_nodes, np.int32)
    place, is_open = np.empty(TILE, np.int32), np.empty(TILE, np.int32)
    pieces, solving = np.empty(4 * TILE), np.empty(4 * TILE)
    for start in range(0, width, TILE):
        read(potential, start, u)
        is_known[:] = 0
        for step in range(last - 1, first - 1, -1):
            n_targets, at = steps[step, 0], steps[step, 2]
            for i in range(n_targets):
                row, table = u[nodes[at + i]], tables[steps[step, 5] + 4 * n_intervals * i :]
                _find_pieces(row, n_intervals, table, place)
                look_up(table, place, pieces)
                _invert_pieces(
                    row, place, pieces, table, low, spacing, n_intervals, is_open, solving
                )
            receive(
                steps[step], nodes, weights, biases, thresholds, slope, log_scale, u, z, features,
                is_known, received,
            )  # fmt: skip
            for i in range(n_targets):
                row, mine = u[nodes[at + i]], received_by(i, log_scale, received)
                is_known[nodes[at + i]] = 0
                if log_scale:
                    _undo_shift_and_scale(row, mine)
                else:
                    _undo_shift(row, mine)
            if steps[step, 6] >= 0:
                _rotate_back(rotations[steps[step, 6] :], u, turned)
                is_known[:] = 0
        write(u, start, potential)


@fused_kernel
def _rotate_back(rotation: Array, u: Array, turned: Array) -> None:
    """U <- Q^T u."""
    n = u.shape[0]
    for i in range(n):
        out = turned[i]
        for c in range(TILE):
            out[c] = 0.0
        for j in range(n):
            q, row = rotation[j * n + i], u[j]
            for c in range(TILE):
                out[c] += q * row[c]
    for i in range(n):
        row, out = u[i], turned[i]
        for c in range(TILE):
            row[c] = out[c]


@fused_kernel
def _undo_shift(row: Array, received: Array) -> None:
    for c in range(TILE):
        row[c] -= received[c]


@fused_kernel
def _undo_shift_and_scale(row: Array, received: Array) -> None:
    for c in range(TILE):
        g = min(max(received[TILE + c], -LARGEST_LOG_SCALE), LARGEST_LOG_SCALE)
        row[c] = (row[c] - received[c]) * exponential(-g)


@fused_kernel
def _find_pieces(row: Array, n_intervals: int, table: Array, place: Array) -> None:
    """Interval in which g takes every value: how many inner knots are not above it."""
    for c in range(TILE):
        place[c] = np.int32(0)
    for s in range(1, n_intervals):
        y = table[4 * s]
        for c in range(TILE):
            place[c] += np.int32(row[c] >= y)


@fused_kernel
def _invert_pieces(
    row: Array,
    place: Array,
    pieces: Array,
    table: Array,
    low: float,
    spacing: float,
    n_intervals: int,
    is_open: Array,
    solving: Array,
) -> None:
    """G^-1 of every value: Newton steps inside a shrinking bracket, until all have come to rest.

    One that rests is not moved any more, however many steps its neighbours take.
    """
    last = 4 * (n_intervals - 1)
    y, a, b, d = table[last], table[last + 1], table[last + 2], table[last + 3]
    bottom, bottom_slope = table[0], table[1]
    top = y + spacing * (a + spacing * (b + spacing * d))
    top_slope = a + spacing * (2.0 * b + 3.0 * d * spacing)
    short, none = _SHORT_STEP * spacing, _NO_STEP * spacing
    for c in range(TILE):
        a, b = pieces[4 * c + 1], pieces[4 * c + 2]
        rise = min(max(row[c], bottom), top) - pieces[4 * c]
        # Start from the quadratic part, solved without cancellation.
        t = min(2.0 * rise / (a + sqrt(max(a * a + 4.0 * b * rise, 0.0))), spacing)
        solving[c] = t
        solving[TILE + c] = 0.0
        solving[2 * TILE + c] = spacing
        solving[3 * TILE + c] = rise
        is_open[c] = np.int32(1)
    for _ in range(_MOST_STEPS):
        n_open = np.int32(0)
        for c in range(TILE):
            t, left, right = solving[c], solving[TILE + c], solving[2 * TILE + c]
            a, b, d = pieces[4 * c + 1], pieces[4 * c + 2], pieces[4 * c + 3]
            error = t * (a + t * (b + t * d)) - solving[3 * TILE + c]
            left = t if error <= 0.0 else left
            right = t if error > 0.0 else right
            step = t - error / (a + t * (2.0 * b + 3.0 * d * t))
            outside = (step < left) | (step > right)
            step = 0.5 * (left + right) if outside else step
            goes_on = abs(step - t) > (none if outside else short)
            solving[c] = step if is_open[c] > 0 else t
            solving[TILE + c] = left
            solving[2 * TILE + c] = right
            is_open[c] = is_open[c] & np.int32(goes_on)
            n_open += is_open[c]
        if n_open == 0:
            break
    for c in range(TILE):
        beyond = row[c] - min(max(row[c], bottom), top)
        beyond = beyond / (bottom_slope if beyond < 0.0 else top_slope)
        row[c] = low + place[c] * spacing + solving[c] + beyond
