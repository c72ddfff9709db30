"""Orders of the nodes of a sparse network: which of them may be updated together.

A network is given by its edges twice, as CSR rows of presynaptic and of postsynaptic nodes. Two
nodes are in conflict when there is an edge between them in either direction.
"""

from __future__ import annotations

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def greedy_colours(
    in_start: Array,
    in_nodes: Array,
    out_start: Array,
    out_nodes: Array,
    order: Array,
    taken: Array,
    out: Array,
) -> None:
    """``out[i]`` = the smallest colour that no node in conflict with i has, i in ``order``.

    ``out`` must come filled with -1 (no colour yet), ``taken`` with -1 and longer than the largest
    number of conflicts of a node; it marks the colours seen around the node at hand.
    """
    for k in range(order.shape[0]):
        i = order[k]
        for e in range(in_start[i], in_start[i + 1]):
            if out[in_nodes[e]] >= 0:
                taken[out[in_nodes[e]]] = i
        for e in range(out_start[i], out_start[i + 1]):
            if out[out_nodes[e]] >= 0:
                taken[out[out_nodes[e]]] = i
        colour = 0
        while taken[colour] == i:
            colour += 1
        out[i] = colour


@kernel
def sequential_levels(
    in_start: Array, in_nodes: Array, out_start: Array, out_nodes: Array, order: Array, out: Array
) -> None:
    """``out[i]`` = 1 + the largest level among the nodes in conflict with i that come before it.

    Two nodes in conflict are on different levels, in the order in which they come. Updating level
    after level is therefore the same as updating one node after another in ``order``. ``out`` must
    come filled with -1 (not come yet).
    """
    for k in range(order.shape[0]):
        i = order[k]
        level = -1
        for e in range(in_start[i], in_start[i + 1]):
            level = max(level, out[in_nodes[e]])
        for e in range(out_start[i], out_start[i + 1]):
            level = max(level, out[out_nodes[e]])
        out[i] = level + 1
