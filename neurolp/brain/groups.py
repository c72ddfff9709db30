"""What is drawn at random for a slice: who is updated together, and the rotation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

GROUP_NAMES = ("halves", "each")


def ordered_partition(groups: str, n_nodes: int, rng: np.random.Generator) -> list[Array]:
    """Draw the ordered partition of one slice; a group is updated at once from the others.

    ``"halves"``: two random halves, so a slice is two matrix products. ``"each"``: every node
    alone, in random order, the fully sequential scheme. Groups are never empty; node numbers are
    sorted inside a group.

    >>> ordered_partition("halves", 5, np.random.default_rng(1))
    [array([0, 4]), array([1, 2, 3])]

    Raises
    ------
    ValueError
        If ``groups`` is not one of the names.
    """
    order = rng.permutation(n_nodes)
    if groups == "halves":
        parts = [np.sort(order[: n_nodes // 2]), np.sort(order[n_nodes // 2 :])]
    elif groups == "each":
        parts = [order[k : k + 1] for k in range(n_nodes)]
    else:
        raise ValueError(f"argument `groups` must be one of {GROUP_NAMES}, but is {groups!r}")
    return [part for part in parts if len(part)]


def random_rotation(n_nodes: int, rng: np.random.Generator) -> Array:
    """Draw a rotation uniformly: an orthogonal (n, n) matrix with determinant 1.

    The QR factors of a Gaussian matrix, with the signs fixed so that Q is Haar-distributed
    (Mezzadri, arXiv:math-ph/0609050).
    """
    q, r = np.linalg.qr(rng.standard_normal((n_nodes, n_nodes)))
    q *= np.sign(np.diagonal(r))
    if np.linalg.det(q) < 0:
        q[:, 0] *= -1
    return np.asarray(q)
