"""Random draws of a slice: its ordered partition into groups of nodes, and its rotation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.connectivity import Connectivity
from neurolp.errors import NetworkError

UpdateOrder = str | Sequence[Sequence[int]]

UPDATE_ORDERS = ("random_halves", "sequential", "coloring")


def ordered_partition(
    order: UpdateOrder,
    connectivity: Connectivity,
    rng: np.random.Generator,
    clamped: Sequence[int] = (),
) -> list[Array]:
    """Draw the groups of one slice, in the order of their updates.

    All nodes of a group are updated at once, from the nodes outside it. Nodes that are ``clamped``
    are in no group.

    * ``"random_halves"``: two random halves, so a slice is two matrix products; edges inside a
      half are not used in that slice.
    * ``"sequential"``: one node after another in random order; every edge is used. Where the edges
      are sparse, nodes without an edge between them that may as well be updated together are, which
      changes nothing else.
    * ``"coloring"``: the colors of the connectivity in random order. No edge is inside a color, so
      every edge is used, and a sparse network takes few groups. With full connectivity every node
      has its own color.
    * a sequence of sequences of nodes: these groups in this order, in every slice.

    Groups are never empty; node numbers are sorted inside a group.

    >>> ordered_partition("random_halves", Connectivity.full(5), np.random.default_rng(1))
    [array([0, 4]), array([1, 2, 3])]

    Raises
    ------
    NetworkError
        If ``order`` is neither one of the names nor an ordered partition of the moving nodes.
    """
    moving = np.setdiff1d(np.arange(connectivity.n_nodes), np.array(clamped, dtype=np.intp))
    n = len(moving)
    if not isinstance(order, str):
        return _given(order, connectivity.n_nodes, clamped)
    if order == "coloring":
        color = np.full(connectivity.n_nodes, -1)
        color[moving] = connectivity.coloring[moving]
        parts = _members(color)
        return [parts[k] for k in rng.permutation(len(parts))]
    nodes = moving[rng.permutation(n)]
    if order == "random_halves":
        parts = [np.sort(nodes[: n // 2]), np.sort(nodes[n // 2 :])]
    elif order == "sequential":
        if connectivity.kind == "sparse":
            return _members(connectivity.levels(nodes))
        parts = [nodes[k : k + 1] for k in range(n)]
    else:
        raise NetworkError(
            f"argument `update_order` must be one of {UPDATE_ORDERS} or a list of lists of nodes, "
            f"but is {order!r}"
        )
    return [part for part in parts if len(part)]


def one_after_another(connectivity: Connectivity, parts: list[Array]) -> bool:
    """Whether a partition into single nodes can be run as one sequential group, the same map.

    Not where edges are sparse: each node then reads little, and nothing is gained.
    """
    single = len(parts) > 1 and all(len(part) == 1 for part in parts)
    return single and connectivity.kind != "sparse"


def _members(label: Array) -> list[Array]:
    """Nodes with label 0, 1, .. in turn, where there are any; -1 is no label."""
    nodes = np.flatnonzero(label >= 0)
    order = nodes[np.argsort(label[nodes], kind="stable")]
    parts = np.split(order, np.cumsum(np.bincount(label[order]))[:-1])
    return [part for part in parts if len(part)]


def _given(groups: Sequence[Sequence[int]], n_nodes: int, clamped: Sequence[int]) -> list[Array]:
    """The user's own partition, checked."""
    try:
        parts = [np.asarray(group) for group in groups]
        all_nodes = np.concatenate(parts)
    except (TypeError, ValueError) as error:
        raise NetworkError(
            f"argument `update_order` must be a list of lists of nodes, but is {groups!r}"
        ) from error
    if all_nodes.dtype.kind not in "iu" or any(part.ndim != 1 or not len(part) for part in parts):
        raise NetworkError(
            "argument `update_order` must have groups of integers, none of them empty"
        )
    wrong = all_nodes[(all_nodes < 0) | (all_nodes >= n_nodes)]
    if len(wrong):
        raise NetworkError(
            f"argument `update_order` must have nodes in [0, {n_nodes - 1}], but has {wrong[0]}"
        )
    often = np.bincount(all_nodes, minlength=n_nodes)
    wanted = np.ones(n_nodes, dtype=np.intp)
    wanted[list(clamped)] = 0
    if np.any(often != wanted):
        node = int(np.flatnonzero(often != wanted)[0])
        every = "every node once" if not len(clamped) else "every node that moves once, no other"
        raise NetworkError(
            f"argument `update_order` must have {every}, but has node {node} {often[node]} times"
        )
    return [np.sort(part).astype(np.intp) for part in parts]


def random_rotation(n_nodes: int, rng: np.random.Generator, clamped: Sequence[int] = ()) -> Array:
    """Draw a rotation uniformly: an orthogonal (n, n) matrix with determinant 1.

    The QR factors of a Gaussian matrix, with the signs fixed so that Q is Haar-distributed
    (Mezzadri, arXiv:math-ph/0609050). Nodes that are ``clamped`` are not turned: there Q is exactly
    the identity.
    """
    moving = np.setdiff1d(np.arange(n_nodes), np.array(clamped, dtype=np.intp))
    q, r = np.linalg.qr(rng.standard_normal((len(moving), len(moving))))
    q *= np.sign(np.diagonal(r))
    if np.linalg.det(q) < 0:
        q[:, 0] *= -1
    if not len(clamped):
        return np.asarray(q)
    out = np.eye(n_nodes)
    out[np.ix_(moving, moving)] = q
    return out
