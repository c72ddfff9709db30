"""The affine step of a group: shrunken ridge regression for shift and log-scale.

With f the features of the sources and a last 1, both are Newton steps from "do nothing" with the
curvature E[c f f^T] taken as E[c] E[f f^T], so that all nodes share one regression:

* shift: minimise E[E(u + w f)], w = -rate (E[f f^T] + ridge)^-1 E[psi f] / E[psi'];
* log-scale: minimise E[E(e^(w f) u) - w f], f bounded, with psi u - 1 and psi' u^2 + psi u instead.

Full connectivity solves one system for the group. A node that is a source itself (in a sequential
group) leaves its own features out, by the inverse of a partitioned matrix. With partial
connectivity each node solves its own system on its presynaptic nodes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import linalg, sparse

from neurolp.arrays import Array
from neurolp.brain.rules.rule import LocalStep, LocalView
from neurolp.brain.workers import Block
from neurolp.errors import ConfigurationError
from neurolp.kernels.regression import presynaptic_ridge

_TINY = np.finfo(np.float64).tiny
_NODES_TOGETHER = 64  # sparse: nodes per task, between two of which Ctrl-C is looked at
_TILE = 64  # sparse: trajectories whose features are held at once; must be divisible by eight


def affine_step(view: LocalView, *, rate: float, ridge: float) -> LocalStep:
    """A share ``rate`` of the Newton step of shift and log-scale of one group.

    ``ridge`` is in units of n_features / n_rows; biases are not penalised.

    Raises
    ------
    NeurolpError
        If the presynaptic potentials are linearly dependent and the ridge does not help.
    """
    network, targets, sources = view._network, view.targets, view.sources
    if network.connectivity.kind == "sparse":
        return _sparse_step(view, rate, ridge)
    n_rows = view.n_rows
    m, s, t = network.synapse.n_transfer, len(sources), len(targets)
    products, curvatures = view.sum(partial(regression_sums, view.base))
    products, curvatures = products / n_rows, _bounded_below(curvatures / n_rows, rate)
    k = m * s + 1
    gram, right = products[:, :k], products[:, k:].reshape(k, 2, t)
    weights, log_scale_weights = np.zeros((t, m * s)), np.zeros((t, (m - 1) * s))
    bias, log_scale_bias = np.zeros(t), np.zeros(t)
    # Shift from all transfer functions, log-scale from the bounded ones.
    solved = [(m, weights, bias), (m - 1, log_scale_weights, log_scale_bias)][
        : 1 + network.log_scale
    ]
    for q, (n_transfer, coefficients, constant) in enumerate(solved):
        first = (m - n_transfer) * s
        g, r = gram[first:, first:], right[first:, q]
        scale = -rate / curvatures[q]
        if network.connectivity.kind == "full":
            x = _ridge_solution(g, r, ridge, n_rows, _own_features(targets, sources, n_transfer))
            coefficients[:], constant[:] = (scale * x[:-1]).T, scale * x[-1]
        else:
            for i, near in enumerate(map(np.flatnonzero, view.edges)):
                rows = np.arange(n_transfer)[:, None] * s + near
                keep = np.append(rows.ravel(), n_transfer * s)
                x = scale[i] * _ridge_solution(g[np.ix_(keep, keep)], r[keep, i], ridge, n_rows)
                coefficients[i, keep[:-1]], constant[i] = x[:-1], x[-1]
    return LocalStep(weights, bias, log_scale_weights, log_scale_bias)


def regression_sums(base: Any, f: Array, u: Array) -> tuple[Array, Array]:
    """Sums f [f, psi, psi u - 1]^T and the two curvatures of each node, summed over a block."""
    psi, curvature = base.psi(u), base.curvature(u)
    products = f @ np.concatenate([f, psi, psi * u - 1.0]).T
    both = np.stack([curvature, curvature * u * u + psi * u])
    return products.astype(np.float64), both.sum(axis=2, dtype=np.float64)


def _bounded_below(curvatures: Array, rate: float) -> Array:
    """Curvatures (2, n_targets) of shift and log-scale that keep the latter's step near 1.

    A node whose potentials are nearly all 0 has almost no curvature there; the scale after a
    full Newton step would be exp(1 / E[2 u^2]), far beyond the minimum.
    """
    return np.asarray(np.maximum(curvatures, np.array([[_TINY], [max(rate, float(_TINY))]])))


# --- dense ----------------------------------------------------------------------------------------


def _own_features(targets: Array, sources: Array, n_transfer: int) -> Array | None:
    """Rows of every target's own features, (n_targets, n_transfer); None outside the sources."""
    if not np.isin(targets, sources).any():
        return None
    place = np.searchsorted(sources, targets)
    return place[:, None] + np.arange(n_transfer) * len(sources)


def _dependent() -> ConfigurationError:
    return ConfigurationError(
        "the presynaptic potentials are linearly dependent: shift_ridge must be larger"
    )


def _ridge_solution(
    gram: Array, right: Array, ridge: float, n_rows: int, own: Array | None = None
) -> Array:
    """Ridge solution of every target; the features in its row of ``own``, if given, get 0.

    With P the inverse of the whole matrix, S a node's own features and A all others,
    G_AA^-1 = P_AA - P_AS P_SS^-1 P_SA: one inverse serves all nodes.
    """
    n_features = len(gram) - (0 if own is None else own.shape[1])
    diagonal, penalised = np.arange(len(gram) - 1), gram.copy()
    penalised[diagonal, diagonal] += ridge * n_features / n_rows
    try:
        factor = linalg.cho_factor(penalised, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError as error:
        raise _dependent() from error
    if own is None:
        return np.asarray(linalg.cho_solve(factor, right, check_finite=False))
    inverse = linalg.cho_solve(factor, np.eye(len(gram)), check_finite=False)
    node = np.arange(right.shape[1])[:, None]
    others = right.copy()
    others[own, node] = 0.0
    x = inverse @ others
    inner = np.linalg.solve(inverse[own[:, :, None], own[:, None, :]], x[own, node][:, :, None])
    x -= np.einsum("ktm,tm->kt", inverse[:, own], inner[:, :, 0])
    x[own, node] = 0.0
    return np.asarray(x)


# --- sparse ---------------------------------------------------------------------------------------


def _sparse_step(view: LocalView, rate: float, ridge: float) -> LocalStep:
    """The same, node by node from its own presynaptic nodes only: memory linear in the edges."""
    network, targets, sources, potential = (
        view._network,
        view.targets,
        view.sources,
        view._potential,
    )
    synapse, m, s, t = network.synapse, network.synapse.n_transfer, len(sources), len(targets)
    n_rows, base = view.n_rows, view.base
    starts, near = network.connectivity.presynaptic_rows(targets, sources)
    shift = np.zeros(m * len(near) + t)
    log_scale = np.zeros((m - 1) * len(near) + t)
    curvatures, status = np.ones((2, t)), np.zeros(t, dtype=np.int8)
    presynaptic = sources[near]

    def learn(nodes: Block) -> None:
        some = slice(nodes[0], sum(nodes))
        u = potential[targets[some]]
        psi, curvature = base.psi(u), base.curvature(u)
        right = np.stack([psi, psi * u - 1.0][: 1 + network.log_scale])
        for q, values in enumerate([curvature, curvature * u * u + psi * u]):
            curvatures[q, some] = values.sum(axis=1, dtype=np.float64) / n_rows
        first, edges = starts[nodes[0]], starts[nodes[0] : sum(nodes) + 1]
        k = m * int(np.diff(edges).max()) + 1
        presynaptic_ridge(
            potential,
            presynaptic[first : edges[-1]],
            edges - first,
            right,
            synapse.slope,
            np.array(synapse.thresholds),
            ridge,
            np.empty((_TILE, k)),
            np.empty((k, k)),
            np.empty((k, k)),
            status[some],
            shift[m * first + nodes[0] : m * edges[-1] + sum(nodes)],
            log_scale[(m - 1) * first + nodes[0] : (m - 1) * edges[-1] + sum(nodes)],
        )

    tasks = range(0, t, _NODES_TOGETHER)
    view._workers.map(learn, [(k, min(_NODES_TOGETHER, t - k)) for k in tasks])
    if status.any():
        raise _dependent()
    scale = -rate / _bounded_below(curvatures, rate)
    weights, bias = _rows(shift, scale[0], starts, near, m, s)
    log_scale_weights, log_scale_bias = _rows(log_scale, scale[1], starts, near, m - 1, s)
    return LocalStep(weights, bias, log_scale_weights, log_scale_bias)


def _rows(
    packed: Array, scale: Array, starts: Array, near: Array, n_transfer: int, n_sources: int
) -> tuple[Any, Array]:
    """CSR rows and constants from the packed coefficients of the nodes, each row times its scale.

    Node i has n_transfer times its sources, function by function, and then its constant.
    """
    t, degree = len(scale), np.diff(starts)
    length = n_transfer * degree
    constants = n_transfer * starts[1:] + np.arange(t)
    indptr = n_transfer * starts
    node = np.repeat(np.arange(t), length)
    function, source = np.divmod(np.arange(indptr[-1]) - indptr[node], degree[node])
    columns = near[starts[node] + source] + function * n_sources
    data = np.delete(packed, constants) * scale[node]
    matrix = sparse.csr_array((data, columns, indptr), (t, n_transfer * n_sources))
    return matrix, packed[constants] * scale
