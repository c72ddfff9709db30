"""Builders of partial connectivity: free functions with an explicit seed, memory linear in edges.

All of them return a sparse :class:`neurolp.Connectivity` without self-edges; the same arguments
give the same edges. "In-degree" is the number of presynaptic nodes of a node.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.pairs import bernoulli, near_pairs, nodes_of, race, subsets
from neurolp.errors import NetworkError

_ROUNDS = 100  # attempts at a free partner; half of all partners free leaves 2^-100 without


def random(
    n_nodes: int, *, seed: int, probability: float | None = None, in_degree: int | None = None
) -> Connectivity:
    """Random edges: each with ``probability`` (Erdos-Renyi), or ``in_degree`` into every node.

    With ``in_degree`` the presynaptic nodes are a uniformly drawn subset of the others.

    Raises
    ------
    NetworkError
        If not exactly one of the two is given, or an argument is out of range.

    >>> random(1000, in_degree=10, seed=1).n_edges
    10000
    """
    n, rng = _count("n_nodes", n_nodes, 1), _generator(seed)
    if _either(probability, in_degree):
        return _from_pairs(n, bernoulli(n * (n - 1), _share("probability", probability), rng))
    degree = _count("in_degree", in_degree, 0, n - 1)
    return _from_pairs(n, subsets(n, degree, rng))


def small_world(n_nodes: int, *, neighbours: int, rewiring: float, seed: int) -> Connectivity:
    """Ring of ``neighbours`` nearest neighbours, rewired with probability ``rewiring``.

    Every undirected edge of the ring keeps its first node and, with that probability, gets a new
    second one, drawn uniformly without self-edges and doubles; a node connected to all others keeps
    its edge. Edges are stored in both directions, so there are always n_nodes * neighbours.

    Raises
    ------
    NetworkError
        If ``neighbours`` is odd or not below ``n_nodes``, or an argument is out of range.

    References
    ----------
    D. J. Watts, S. H. Strogatz, Nature 393 (1998) 440.

    >>> small_world(20, neighbours=4, rewiring=0.1, seed=1).n_edges
    80
    """
    n, rng = _count("n_nodes", n_nodes, 1), _generator(seed)
    k = _count("neighbours", neighbours, 0, n - 1)
    if k % 2:
        raise NetworkError(f"argument `neighbours` must be even, but is {k}")
    share = _share("rewiring", rewiring)
    first = np.repeat(np.arange(n), k // 2)
    second = (first + np.tile(np.arange(1, k // 2 + 1), n)) % n
    waiting = np.flatnonzero(rng.random(len(first)) < share)
    for _ in range(_ROUNDS):
        if not len(waiting):
            break
        candidate = rng.integers(0, n, len(waiting))
        taken = np.sort(_undirected(n, first, second))
        key = _undirected(n, first[waiting], candidate)
        place = np.minimum(np.searchsorted(taken, key), len(taken) - 1)
        free = (candidate != first[waiting]) & (taken[place] != key)
        once = np.zeros(len(key), dtype=np.bool_)
        once[np.unique(key, return_index=True)[1]] = True
        good = free & once
        second[waiting[good]] = candidate[good]
        waiting = waiting[~good]
    return _from_edges(n, np.append(first, second), np.append(second, first))


def distance_dependent(
    positions: Any,
    *,
    length_scale: float,
    seed: int,
    probability: float | None = None,
    in_degree: int | None = None,
) -> Connectivity:
    """Edges between near nodes: weight k(d) = exp(-d^2 / (2 length_scale^2)) at distance d.

    With ``probability`` p each edge exists with probability p k(d); with ``in_degree`` every node
    draws so many presynaptic nodes without replacement, with probability proportional to k(d). Five
    length scales is as far as an edge reaches. The positions stay with the connectivity.

    Parameters
    ----------
    positions : array of shape (n_nodes, dimensions)
        In one to three dimensions; see :func:`uniform_positions`.

    Raises
    ------
    NetworkError
        If an argument is out of range, or a node has fewer than ``in_degree`` others in reach.

    >>> distance_dependent([[0.0], [1.0], [9.0]], length_scale=1.0, in_degree=0, seed=1).n_edges
    0
    """
    where, rng = _positions(positions), _generator(seed)
    if not (_is_real(length_scale) and 0 < length_scale < np.inf):
        raise NetworkError(
            f"argument `length_scale` must be positive and finite, but is {length_scale!r}"
        )
    n = len(where)
    if _either(probability, in_degree):
        peak = _share("probability", probability)
        all_nodes = np.arange(n)
        target, source, _ = near_pairs(where, all_nodes, length_scale, lambda k: peak * k, rng)
    else:
        degree = _count("in_degree", in_degree, 0, n - 1)
        target, source = race(where, length_scale, degree, rng)
    return _from_edges(n, target, source, where)


def uniform_positions(n_nodes: int, dimensions: int, *, seed: int) -> Array:
    """Positions drawn uniformly from the unit interval, square or cube, (n_nodes, dimensions).

    Raises
    ------
    NetworkError
        If ``dimensions`` is not 1, 2 or 3.
    """
    size = _count("n_nodes", n_nodes, 1), _count("dimensions", dimensions, 1, 3)
    return _generator(seed).random(size)


def modular(
    n_nodes: int, n_modules: int, *, p_within: float, p_between: float, seed: int
) -> Connectivity:
    """Modules of consecutive nodes: edges with ``p_within`` inside one, ``p_between`` across.

    The sizes of the modules differ by one at most (planted partition model).

    Raises
    ------
    NetworkError
        If an argument is out of range.
    """
    n, rng = _count("n_nodes", n_nodes, 1), _generator(seed)
    modules = _count("n_modules", n_modules, 1, n)
    within_share, between_share = _share("p_within", p_within), _share("p_between", p_between)
    first = np.arange(modules + 1) * n // modules  # first node of each module, and n
    module = np.repeat(np.arange(modules), np.diff(first))

    size = np.diff(first)
    ends = np.cumsum(size * (size - 1))
    pair = bernoulli(int(ends[-1]), within_share, rng)
    m = np.searchsorted(ends, pair, side="right")
    target, source = nodes_of(pair - (ends - size * (size - 1))[m], size[m])
    target, source = target + first[m], source + first[m]

    far_target, far_source = nodes_of(bernoulli(n * (n - 1), between_share, rng), n)
    far = module[far_target] != module[far_source]
    return _from_edges(n, np.append(target, far_target[far]), np.append(source, far_source[far]))


# --- pairs and edges ------------------------------------------------------------------------------


def _undirected(n: int, a: Array, b: Array) -> Array:
    return np.asarray(np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b))


def _from_pairs(n: int, pair: Array) -> Connectivity:
    return _from_edges(n, *nodes_of(pair, n))


def _from_edges(
    n: int, target: Array, source: Array, positions: Array | None = None
) -> Connectivity:
    ones = np.ones(len(target), dtype=np.bool_)
    matrix = sparse.coo_array((ones, (target, source)), (n, n))
    return Connectivity.from_array(matrix, positions=positions)


# --- arguments ------------------------------------------------------------------------------------


def _either(probability: float | None, in_degree: int | None) -> bool:
    """Whether the edges are drawn by probability rather than by in-degree."""
    if (probability is None) == (in_degree is None):
        came = "neither" if probability is None else "both"
        raise NetworkError(f"wanted exactly one of `probability` and `in_degree`, but got {came}")
    return probability is not None


def _count(name: str, value: Any, low: int, high: int | None = None) -> int:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        wanted = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise NetworkError(f"argument `{name}` must be an integer {wanted}, but is {value!r}")
    return int(value)


def _share(name: str, value: Any) -> float:
    if not _is_real(value) or not 0 <= value <= 1:
        raise NetworkError(f"argument `{name}` must lie in [0, 1], but is {value!r}")
    return float(value)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _generator(seed: Any) -> np.random.Generator:
    return np.random.default_rng(_count("seed", seed, 0))


def _positions(positions: Any) -> Array:
    where = np.asarray(positions, dtype=np.float64)
    if where.ndim != 2 or not 1 <= where.shape[1] <= 3 or not len(where):
        raise NetworkError(
            f"argument `positions` must have shape (n_nodes, 1 to 3), but has shape {where.shape}"
        )
    if not np.all(np.isfinite(where)):
        raise NetworkError("argument `positions` must be finite, but is not")
    return where
