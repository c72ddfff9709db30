"""Orders of the columns for chains."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array

_LOW_FIRST = (True, False, False, True)  # from order to order


def column_orders(
    information: Array, rank: Array, n_orders: int, rng: np.random.Generator
) -> list[Array]:
    """Up to ``n_orders`` orders of the columns: as given, reversed, greedy, then random ones.

    The greedy order begins with the column of most mutual ``information`` (n, n) with the others
    and goes on with the one of most with those so far. In half of the orders, and the first one,
    columns of lower ``rank`` (n,) come before those of higher: what is known of the former alone is
    the beginning of a chain. In the other half they come after them: a chain ends with what is
    known of a category given all else.
    """
    d = len(information)
    given = np.arange(d)
    orders = [given, given[::-1], _greedy(information)]
    orders += [rng.permutation(d) for _ in range(n_orders)]
    out: list[Array] = []
    for order in orders:
        first = 1 if _LOW_FIRST[len(out) % len(_LOW_FIRST)] else -1
        moved = order[np.argsort(first * rank[order], kind="stable")]
        if not any(np.array_equal(moved, other) for other in out):
            out.append(moved)
    return out[:n_orders]


def _greedy(information: Array) -> Array:
    order = [int(np.argmax(information.sum(axis=1)))]
    left = np.ones(len(information), dtype=np.bool_)
    left[order] = False
    total = information[order[0]].copy()
    while left.any():
        j = int(np.argmax(np.where(left, total, -1.0)))
        order.append(j)
        left[j] = False
        total += information[j]
    return np.array(order)
