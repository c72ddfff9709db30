"""Drawing pairs of nodes at random, at a cost linear in the pairs that are drawn.

Ordered pairs of different nodes are numbered 0 .. n (n - 1) - 1, target by target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from neurolp.arrays import Array
from neurolp.errors import NetworkError

REACH = 5.0  # length scales; exp(-5^2 / 2) = 4e-6
_MAX_CELLS = 1 << 20  # per dimension
_CANDIDATES = 1 << 22  # random numbers ranked together, which bounds memory


def nodes_of(pair: Array, n: Any) -> tuple[Array, Array]:
    """Target and source of the numbered ordered pairs of different nodes among n."""
    target, rest = np.divmod(pair, np.maximum(n - 1, 1))
    return target, rest + (rest >= target)


def bernoulli(n_trials: int, probability: float, rng: np.random.Generator) -> Array:
    """Sorted numbers of the successes among ``n_trials``, at a cost linear in the successes.

    The gaps between successes are geometric (Batagelj and Brandes, Phys. Rev. E 71, 036113).
    """
    if probability == 0:
        return np.empty(0, dtype=np.int64)
    parts, last = [], -1
    while last < n_trials:
        expected = (n_trials - last) * probability
        count = int(expected + 4 * np.sqrt(expected)) + 16
        # A gap that overshoots the end says no more than that: clipping it prevents an overflow.
        gaps = np.minimum(rng.geometric(probability, count), n_trials + 1)
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    hits = np.concatenate(parts)
    return np.asarray(hits[: np.searchsorted(hits, n_trials)])


def subsets(n: int, degree: int, rng: np.random.Generator) -> Array:
    """Pair numbers of ``degree`` distinct sources for each of n targets, uniformly drawn."""
    others = n - 1
    if 4 * degree >= others:  # edges are a good part of all pairs: rank random numbers
        rows = max(_CANDIDATES // max(others, 1), 1)
        parts = []
        for first in range(0, n, rows):
            keys = rng.random((min(rows, n - first), others))
            chosen = np.argsort(keys, axis=1)[:, :degree]
            parts.append((np.arange(first, first + len(keys))[:, None] * others + chosen).ravel())
        return np.concatenate(parts)
    pairs = np.empty(0, dtype=np.int64)
    missing = np.full(n, degree)
    while missing.any():  # who drew a source twice draws again; by symmetry, still uniform
        target = np.repeat(np.arange(n, dtype=np.int64), missing)
        pairs = np.sort(np.append(pairs, target * others + rng.integers(0, others, len(target))))
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
        missing = degree - np.bincount(pairs // others, minlength=n)
    return pairs


def near_pairs(
    where: Array,
    targets: Array,
    length_scale: float,
    chance: Callable[[Array], Array],
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """Draw pairs with probability chance(k(d)) each: (target, source, k), for some targets.

    Space is cut into cells. All pairs of cells with the same offset share an upper bound of
    k(d), hence of the chance: as many candidates as that bound asks for are drawn, and accepted
    with the ratio of their own chance to it. Far pairs cost no more than the edges they become.
    """
    size = length_scale * (1.0 if where.shape[1] == 3 else 0.5)  # measured: fewer cells in 3-D
    size = max(size, float(np.ptp(where, axis=0).max()) / _MAX_CELLS)  # keys of 63 bits
    reach = int(np.ceil(REACH * length_scale / size))
    cell = np.floor((where - where.min(axis=0)) / size).astype(np.int64)
    # Wide enough that an offset never leads around the edge into the next line of cells.
    stride = np.cumprod(np.append(1, (cell.max(axis=0) + 2 * reach + 1)[:-1]))
    key = cell @ stride
    order, cells, start, count = _by_cell(key)
    t_order, t_cells, t_start, t_count = _by_cell(key[targets])
    found = []
    for offset in np.ndindex(*[2 * reach + 1] * where.shape[1]):
        step = np.array(offset) - reach
        gap = np.maximum(np.abs(step) - 1, 0) * size / length_scale
        bound = float(chance(np.exp(-0.5 * gap @ gap)))
        if gap @ gap > REACH**2:
            continue
        partner = np.minimum(np.searchsorted(cells, t_cells + step @ stride), len(cells) - 1)
        n_pairs = t_count * np.where(cells[partner] == t_cells + step @ stride, count[partner], 0)
        ends = np.cumsum(n_pairs)
        pair = bernoulli(int(ends[-1]), bound, rng)
        m = np.searchsorted(ends, pair, side="right")
        a, b = np.divmod(pair - (ends - n_pairs)[m], count[partner[m]])
        target, source = targets[t_order[t_start[m] + a]], order[start[partner[m]] + b]
        distance = (where[target] - where[source]) / length_scale
        square = (distance * distance).sum(axis=1)
        k = np.exp(-0.5 * square)
        good = rng.random(len(k)) * bound < chance(k)
        good &= (square <= REACH**2) & (target != source)
        found.append((target[good], source[good], k[good]))
    target, source, k = (np.concatenate(column) for column in zip(*found, strict=True))
    return target, source, k


def _by_cell(key: Array) -> tuple[Array, Array, Array, Array]:
    """Members in the order of their cells; the cells; position of the first member, and count."""
    order = np.argsort(key, kind="stable")
    cells, start, count = np.unique(key[order], return_index=True, return_counts=True)
    return order, cells, start, count


def race(
    where: Array, length_scale: float, degree: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Give every target its first ``degree`` sources, which arrive at rate k(d): (target, source).

    The first arrivals of independent exponential clocks are a weighted sample without replacement
    (Efraimidis and Spirakis, Inf. Process. Lett. 97, 181). Clocks have no memory, so time is
    followed window by window, for those targets only that still wait.
    """
    n, dimensions = where.shape
    near = KDTree(where).query_ball_point(where, REACH * length_scale, return_length=True) - 1
    if near.min() < degree:
        node = int(near.argmin())
        raise NetworkError(
            f"argument `in_degree` must not exceed the number of nodes within {REACH:g} "
            f"length scales, but is {degree} and node {node} has only {near[node]}"
        )
    # Mean of k(d) over the ball of the reach, from its integral and the volume of the ball.
    ball = (2 * REACH, np.pi * REACH**2, 4 / 3 * np.pi * REACH**3)[dimensions - 1]
    arriving = max(float(near.mean()), 1.0) * (2 * np.pi) ** (dimensions / 2) / ball
    now, window = 0.0, 1.3 * degree / arriving
    done = [np.empty(0, dtype=np.int64)]
    pair, time = np.empty(0, np.int64), np.empty(0)
    waiting = np.arange(n if degree else 0)
    while len(waiting):

        def arrives(k: Array, window: float = window) -> Array:
            return np.asarray(-np.expm1(-window * k))

        target, source, k = near_pairs(where, waiting, length_scale, arrives, rng)
        # A source that came in an earlier window does not count again.
        new_pair = target * n + source
        new = ~np.isin(new_pair, pair) if len(pair) else np.ones(len(k), dtype=np.bool_)
        new_time = now - np.log1p(-rng.random(len(k)) * arrives(k)) / k
        pair, time = np.append(pair, new_pair[new]), np.append(time, new_time[new])
        order = np.lexsort((time, pair // n))
        pair, time = pair[order], time[order]
        target = pair // n
        ended = np.bincount(target, minlength=n) >= degree
        rank = np.arange(len(target)) - np.searchsorted(target, np.arange(n))[target]
        done.append(pair[ended[target] & (rank < degree)])
        still = ~ended[target]
        pair, time = pair[still], time[still]
        waiting, now, window = waiting[~ended[waiting]], now + window, 2 * window
    target, source = np.divmod(np.concatenate(done), n)
    return target, source
