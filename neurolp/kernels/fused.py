"""Many slices of a network in one pass, over a tile of trajectories at a time.

A tile of ``TILE`` trajectories goes through all steps (a rotation or one group's update each) while
it stays in the cache. Every inner loop runs over the tile, whose width is a constant, so that it is
compiled to vector instructions; trajectories are padded to whole tiles, and what happens to one
depends neither on its place nor on its neighbours.

With z = exp(2 slope u) and k_m = exp(2 slope theta_m),

    tanh(slope (u - theta_m)) = 1 - 2 k_m / (z + k_m):

the features are 1 / (z + k_m), and what the 1 and the factor 2 k_m do is in the biases and weights
(``brain.fused`` writes them). Five features come from one division, hence thresholds in chunks of
``CHUNK``.

``steps`` (n_steps, 7) says of each: number of targets and of sources, where their nodes (targets,
then sources) begin in ``nodes``, and where its numbers begin in ``weights``, ``biases``, ``tables``
and ``rotations`` (-1: no rotation). Weights come by source, chunk and pair of targets: for each of
the two that of u and of the five features for the shift and, with a log-scale, of the five features
for it. Tables are those of ``kernels.node_map``.
"""

from __future__ import annotations

from math import log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import fused_kernel
from neurolp.kernels.exponential import exponential

TILE = 128
CHUNK = 5
# Beyond |slope u| = 40 every tanh is +-1 to the last bit; five factors (z + k) stay below exp(400).
_LARGEST_EXPONENT = 80.0
LARGEST_LOG_SCALE = 700.0
# Slopes lie in [2^-8, 2^8]: products of so many neither overflow nor vanish.
_SLOPES_PER_LOG = 100


@fused_kernel
def evolve_fused(
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
    log_det: Array,
) -> None:
    """Move ``potential`` (n_nodes, width) through steps ``first .. last``, in place.

    ``thresholds`` are k_m, a multiple of ``CHUNK`` of them; ``log_det`` (width,) is added to.
    """
    n_nodes, width = potential.shape
    u, turned = np.empty((n_nodes, TILE)), np.empty((n_nodes, TILE))
    received = np.empty(((n_nodes + 1) // 2, 4 * TILE))
    z, features = np.empty(TILE), np.empty((n_nodes, thresholds.shape[0] * TILE))
    is_known = np.zeros(n_nodes, np.int32)
    log_sum, product = np.empty(TILE), np.empty(TILE)
    place, offset = np.empty(TILE, np.int32), np.empty(TILE)
    beyond, pieces = np.empty(TILE), np.empty(4 * TILE)
    for start in range(0, width, TILE):
        read(potential, start, u)
        for c in range(TILE):
            log_sum[c] = 0.0
            product[c] = 1.0
        is_known[:] = 0
        pending = 0
        for step in range(first, last):
            n_targets, at = steps[step, 0], steps[step, 2]
            if steps[step, 6] >= 0:
                _rotate(rotations[steps[step, 6] :], u, turned)
                is_known[:] = 0
            receive(
                steps[step], nodes, weights, biases, thresholds, slope, log_scale, u, z, features,
                is_known, received,
            )  # fmt: skip
            for i in range(n_targets):
                row, mine = u[nodes[at + i]], received_by(i, log_scale, received)
                if log_scale:
                    _shift_and_scale(row, mine, log_sum)
                else:
                    _shift(row, mine)
                _locate(row, low, spacing, n_intervals, place, offset, beyond)
                look_up(tables[steps[step, 5] + 4 * n_intervals * i :], place, pieces)
                _apply_pieces(pieces, offset, beyond, row, product)
                is_known[nodes[at + i]] = 0
                pending += 1
                if pending == _SLOPES_PER_LOG:
                    _take_logarithms(product, log_sum)
                    pending = 0
        _take_logarithms(product, log_sum)
        write(u, start, potential)
        for c in range(min(TILE, width - start)):
            log_det[start + c] += log_sum[c]


@fused_kernel
def read(potential: Array, start: int, u: Array) -> None:
    """Copy a tile; columns beyond the last are zeros."""
    n = min(TILE, potential.shape[1] - start)
    for i in range(u.shape[0]):
        for c in range(n):
            u[i, c] = potential[i, start + c]
        for c in range(n, TILE):
            u[i, c] = 0.0


@fused_kernel
def write(u: Array, start: int, potential: Array) -> None:
    """Copy a tile back, without its padding."""
    for i in range(u.shape[0]):
        for c in range(min(TILE, potential.shape[1] - start)):
            potential[i, start + c] = u[i, c]


@fused_kernel
def _rotate(rotation: Array, u: Array, turned: Array) -> None:
    """U <- Q u, with Q in the first n^2 numbers of ``rotation``."""
    n = u.shape[0]
    for i in range(n):
        out = turned[i]
        for c in range(TILE):
            out[c] = 0.0
        for j in range(n):
            q, row = rotation[i * n + j], u[j]
            for c in range(TILE):
                out[c] += q * row[c]
    for i in range(n):
        row, out = u[i], turned[i]
        for c in range(TILE):
            row[c] = out[c]


@fused_kernel
def receive(
    step: Array,
    nodes: Array,
    weights: Array,
    biases: Array,
    thresholds: Array,
    slope: float,
    log_scale: bool,
    u: Array,
    z: Array,
    features: Array,
    is_known: Array,
    received: Array,
) -> None:
    """Shift and log-scale of all targets: a row of ``received`` is I, G, I', G' or I, I' of two.

    ``features`` (n_nodes, n_thresholds TILE) of nodes that have not moved since (``is_known``) are
    used again; z is scratch.
    """
    n_targets, n_sources, at, w, b = step[0], step[1], step[2], step[3], step[4]
    n_pairs, kinds = (n_targets + 1) // 2, 4 if log_scale else 2
    for pair in range(n_pairs):
        out = received[pair]
        for kind in range(kinds):
            bias, mine = biases[b + pair * kinds + kind], out[kind * TILE : (kind + 1) * TILE]
            for c in range(TILE):
                mine[c] = bias
    for j in range(n_sources):
        node = nodes[at + n_targets + j]
        row = u[node]
        if is_known[node] == 0:
            for c in range(TILE):
                exponent = min(max(2.0 * slope * row[c], -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
                z[c] = exponential(exponent)
            for chunk in range(thresholds.shape[0] // CHUNK):
                begin = chunk * CHUNK
                _write_features(z, thresholds[begin:], features[node, begin * TILE :])
            is_known[node] = 1
        for chunk in range(thresholds.shape[0] // CHUNK):
            f = features[node, chunk * CHUNK * TILE :]
            for pair in range(n_pairs):
                if log_scale:
                    if 2 * pair + 1 < n_targets:
                        _add_to_pair(row, f, weights[w:], received[pair])
                    else:
                        _add_to_one(row, f, weights[w:], received[pair])
                    w += 4 * CHUNK + 2
                else:
                    _add_to_shifts(row, f, weights[w:], received[pair])
                    w += 2 * CHUNK + 2


@fused_kernel
def _write_features(z: Array, k: Array, features: Array) -> None:
    """1 / (z + k_m) for five m by one division: the inverse of the product, times the others."""
    k1, k2, k3, k4, k5 = k[0], k[1], k[2], k[3], k[4]
    for c in range(TILE):
        a1, a2, a3, a4, a5 = z[c] + k1, z[c] + k2, z[c] + k3, z[c] + k4, z[c] + k5
        two = a1 * a2
        three = two * a3
        four = three * a4
        inverse = 1.0 / (four * a5)
        features[4 * TILE + c] = inverse * four
        inverse *= a5
        features[3 * TILE + c] = inverse * three
        inverse *= a4
        features[2 * TILE + c] = inverse * two
        inverse *= a3
        features[TILE + c] = inverse * a1
        features[c] = inverse * a2


@fused_kernel
def _add_to_pair(row: Array, f: Array, w: Array, out: Array) -> None:
    """Add what one source sends two targets: registers hold no more than these 22 weights."""
    a0, a1, a2, a3, a4, a5 = w[0], w[1], w[2], w[3], w[4], w[5]
    b1, b2, b3, b4, b5 = w[6], w[7], w[8], w[9], w[10]
    d0, d1, d2, d3, d4, d5 = w[11], w[12], w[13], w[14], w[15], w[16]
    e1, e2, e3, e4, e5 = w[17], w[18], w[19], w[20], w[21]
    for c in range(TILE):
        x = row[c]
        f1, f2, f3 = f[c], f[TILE + c], f[2 * TILE + c]
        f4, f5 = f[3 * TILE + c], f[4 * TILE + c]
        i1 = out[c] + a0 * x + a1 * f1 + a2 * f2 + a3 * f3 + a4 * f4 + a5 * f5
        g1 = out[TILE + c] + b1 * f1 + b2 * f2 + b3 * f3 + b4 * f4 + b5 * f5
        i2 = out[2 * TILE + c] + d0 * x + d1 * f1 + d2 * f2 + d3 * f3 + d4 * f4 + d5 * f5
        g2 = out[3 * TILE + c] + e1 * f1 + e2 * f2 + e3 * f3 + e4 * f4 + e5 * f5
        out[c] = i1
        out[TILE + c] = g1
        out[2 * TILE + c] = i2
        out[3 * TILE + c] = g2


@fused_kernel
def _add_to_one(row: Array, f: Array, w: Array, out: Array) -> None:
    """Add what one source sends the last of an odd number of targets."""
    a0, a1, a2, a3, a4, a5 = w[0], w[1], w[2], w[3], w[4], w[5]
    b1, b2, b3, b4, b5 = w[6], w[7], w[8], w[9], w[10]
    for c in range(TILE):
        f1, f2, f3 = f[c], f[TILE + c], f[2 * TILE + c]
        f4, f5 = f[3 * TILE + c], f[4 * TILE + c]
        i1 = out[c] + a0 * row[c] + a1 * f1 + a2 * f2 + a3 * f3 + a4 * f4 + a5 * f5
        g1 = out[TILE + c] + b1 * f1 + b2 * f2 + b3 * f3 + b4 * f4 + b5 * f5
        out[c] = i1
        out[TILE + c] = g1


@fused_kernel
def _add_to_shifts(row: Array, f: Array, w: Array, out: Array) -> None:
    """Add what one source sends two targets without a log-scale."""
    a0, a1, a2, a3, a4, a5 = w[0], w[1], w[2], w[3], w[4], w[5]
    d0, d1, d2, d3, d4, d5 = w[6], w[7], w[8], w[9], w[10], w[11]
    for c in range(TILE):
        x = row[c]
        f1, f2, f3 = f[c], f[TILE + c], f[2 * TILE + c]
        f4, f5 = f[3 * TILE + c], f[4 * TILE + c]
        i1 = out[c] + a0 * x + a1 * f1 + a2 * f2 + a3 * f3 + a4 * f4 + a5 * f5
        i2 = out[TILE + c] + d0 * x + d1 * f1 + d2 * f2 + d3 * f3 + d4 * f4 + d5 * f5
        out[c] = i1
        out[TILE + c] = i2


@fused_kernel
def received_by(i: int, log_scale: bool, received: Array) -> Array:
    """The rows of target i: shift and log-scale, or the shift."""
    kinds = 2 if log_scale else 1
    begin = (i % 2) * kinds * TILE
    return received[i // 2, begin : begin + kinds * TILE]


@fused_kernel
def _shift(row: Array, received: Array) -> None:
    for c in range(TILE):
        row[c] += received[c]


@fused_kernel
def _shift_and_scale(row: Array, received: Array, log_sum: Array) -> None:
    for c in range(TILE):
        g = min(max(received[TILE + c], -LARGEST_LOG_SCALE), LARGEST_LOG_SCALE)
        row[c] = exponential(g) * row[c] + received[c]
        log_sum[c] += g


@fused_kernel
def _locate(
    row: Array,
    low: float,
    spacing: float,
    n_intervals: int,
    place: Array,
    offset: Array,
    beyond: Array,
) -> None:
    """Interval of every value, its position in it, and how far it lies outside of all."""
    high, per_spacing, last = low + n_intervals * spacing, 1.0 / spacing, np.int32(n_intervals - 1)
    for c in range(TILE):
        inside = min(max(row[c], low), high)
        s = max(min(np.int32((inside - low) * per_spacing), last), np.int32(0))
        place[c] = s
        offset[c] = inside - (low + s * spacing)
        beyond[c] = row[c] - inside


@fused_kernel
def look_up(table: Array, place: Array, pieces: Array) -> None:
    """Copy (y, a, b, c) of every trajectory's interval: four numbers in one vector."""
    for c in range(TILE):
        at = np.uint64(4) * np.uint64(place[c])
        y, a = table[at], table[at + np.uint64(1)]
        b, d = table[at + np.uint64(2)], table[at + np.uint64(3)]
        pieces[4 * c] = y
        pieces[4 * c + 1] = a
        pieces[4 * c + 2] = b
        pieces[4 * c + 3] = d


@fused_kernel
def _apply_pieces(pieces: Array, offset: Array, beyond: Array, row: Array, product: Array) -> None:
    """G(v) into ``row``, and ``product`` times g'(v)."""
    for c in range(TILE):
        t = offset[c]
        y, a, b, d = pieces[4 * c], pieces[4 * c + 1], pieces[4 * c + 2], pieces[4 * c + 3]
        slope = a + t * (2.0 * b + 3.0 * d * t)
        row[c] = y + t * (a + t * (b + t * d)) + slope * beyond[c]
        product[c] *= slope


@fused_kernel
def _take_logarithms(product: Array, log_sum: Array) -> None:
    for c in range(TILE):
        log_sum[c] += log(product[c])
        product[c] = 1.0
