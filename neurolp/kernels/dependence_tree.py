"""Messages in a tree of discrete columns: marginals of rows with missing cells, and draws of those.

Column j has the cells 0 .. ``n_cells[j] - 1``, the bins from ``offset[j]`` on, and P(c_j |
c_parent) is ``table[first[j] + c_parent n_cells[j] + c_j]``; the root's parent has one cell. The
columns are in an ``order`` from the root: every parent before its children.
"""

from __future__ import annotations

from math import log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel

_SMALL = 1e-100  # beliefs below are divided by their largest


@kernel
def send_messages(
    row: Array,
    order: Array,
    parent: Array,
    n_cells: Array,
    offset: Array,
    first: Array,
    table: Array,
    belief: Array,
    informed: Array,
) -> float:
    """Log P of the known cells of a ``row`` (n_columns,), nats; the missing ones are -1.

    For a missing column j ``belief[offset[j] + c]`` becomes P(what is known below j | c_j = c), up
    to a factor; where nothing is known below it is not written, and ``informed[j]`` is False.
    """
    total = 0.0
    for j in order:
        informed[j] = False
    for at in range(order.shape[0] - 1, -1, -1):
        j = order[at]
        p, c, k, a = parent[j], row[j], n_cells[j], offset[j]
        above = row[p] if p >= 0 else 0
        if c < 0 and not informed[j]:
            continue
        if above >= 0:
            # The parent is known: the columns below it are independent of all others.
            b = first[j] + above * k
            mass = 0.0
            if c >= 0:
                mass = table[b + c]
            else:
                for x in range(k):
                    mass += table[b + x] * belief[a + x]
            total += log(mass)
            continue
        b, largest = offset[p], 0.0
        if not informed[p]:
            informed[p] = True
            for y in range(n_cells[p]):
                belief[b + y] = 1.0
        for y in range(n_cells[p]):
            mass = 0.0
            if c >= 0:
                mass = table[first[j] + y * k + c]
            else:
                for x in range(k):
                    mass += table[first[j] + y * k + x] * belief[a + x]
            belief[b + y] *= mass
            largest = max(largest, belief[b + y])
        if 0.0 < largest < _SMALL:
            total += log(largest)
            for y in range(n_cells[p]):
                belief[b + y] /= largest
    return total


@kernel
def tree_log_prob(
    cells: Array,
    order: Array,
    parent: Array,
    n_cells: Array,
    offset: Array,
    first: Array,
    table: Array,
    out: Array,
) -> None:
    """``out`` (n_rows,) becomes log P of ``cells``, nats, those that are -1 summed over."""
    belief = np.empty(offset[-1])
    informed = np.zeros(order.shape[0], dtype=np.bool_)
    for i in range(cells.shape[0]):
        out[i] = send_messages(
            cells[i], order, parent, n_cells, offset, first, table, belief, informed
        )


@kernel
def tree_draw(
    cells: Array,
    order: Array,
    parent: Array,
    n_cells: Array,
    offset: Array,
    first: Array,
    table: Array,
    uniform: Array,
    out: Array,
) -> None:
    """``out`` becomes ``cells`` with those that are -1 drawn given all others of the row.

    ``uniform`` (n_rows, n_columns): numbers in [0, 1).
    """
    belief = np.empty(offset[-1])
    informed = np.zeros(order.shape[0], dtype=np.bool_)
    for i in range(cells.shape[0]):
        send_messages(cells[i], order, parent, n_cells, offset, first, table, belief, informed)
        for j in order:
            if cells[i, j] >= 0:
                out[i, j] = cells[i, j]
                continue
            k, a = n_cells[j], offset[j]
            b = first[j] + (out[i, parent[j]] * k if parent[j] >= 0 else 0)
            total = 0.0
            for x in range(k):
                total += table[b + x] * (belief[a + x] if informed[j] else 1.0)
            left = uniform[i, j] * total
            drawn = 0
            for x in range(k):
                mass = table[b + x] * (belief[a + x] if informed[j] else 1.0)
                if mass > 0.0:
                    drawn = x
                    left -= mass
                    if left < 0.0:
                        break
            out[i, j] = drawn
