"""Gradients by reverse replay: run time backwards, recompute the states, carry the adjoint along.

For a group update (see ``network.GroupUpdate``) with lambda' = dL/du' after it, where
L = E(u(T)) - log |det du(T)/du(0)|, the adjoint before it and the gradients are

    delta = lambda' g'(v) - g''(v) / g'(v)               dL/dI, targets
    eta   = delta e^G u - 1                              dL/dG, targets
    lambda_target = delta e^G
    lambda_source = lambda'_source
                    + sum_m phi_m'(u_j) (weights^T delta + log_scale_weights^T eta)_mj
    d weights = delta f^T,  d log_scale_weights = eta f_bounded^T,
    d coefficient_k = lambda' phi_k(v) - phi_k'(v) / g'(v).

Everything on the right is known from the state, and the state before an update is found from the
state after it by exact inversion. So nothing is stored on the way forward, and memory does not grow
with the number of slices.

**Horizon.** With horizon h the parameters of a group update see the loss of a window of time: that
update and all up to the same place in the slice h - 1 slices later, E(u) - log_det at the end of
the window. h = 1 is the local rule (lambda' = psi(u')), h >= n_slices is the exact gradient. One
sweep serves all windows: the adjoints of those that are open are stacked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve_block, product, rotate, source_features
from neurolp.brain.network import GroupUpdate, Network, distinct_slices
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.workers import Block, Workers, column_blocks
from neurolp.errors import NetworkError
from neurolp.kernels.adjoint import (
    csr_outer,
    csr_transposed_product,
    node_map_adjoint,
    transfer_adjoint,
)
from neurolp.kernels.affine import undo_shift_and_scale
from neurolp.kernels.node_map import invert_node_maps

# Backward needs several feature matrices at once, and small batches should still use all cores.
_FINER = 4


def spline_grid(network: Network) -> SplineGrid:
    """The network's node maps, whose gradients are known for splines alone.

    Raises
    ------
    NetworkError
        If they are others.
    """
    if not isinstance(network.grid, SplineGrid):
        raise NetworkError("gradients need the node map 'spline', but the network has another")
    return network.grid


@dataclass(frozen=True)
class GroupGradient:
    """Gradients of the mean loss, each of the shape of the parameter it is named after.

    ``weights`` and ``log_scale_weights`` are zero on absent edges; for sparse connectivity they are
    CSR with the entries of the parameters. Without a log-scale ``log_scale_weights`` is None.
    """

    weights: Any
    bias: Array
    log_scale_weights: Any
    log_scale_bias: Array
    node_map: Array


@dataclass(frozen=True)
class Gradient:
    """What a reverse replay finds.

    ``loss`` is the mean over trajectories of L = E(u(T)) - log |det|, in nats. ``groups[k][g]``
    belongs to group g of the k-th of ``network.distinct_slices``: a slice that is repeated, the
    shared parameters of an autonomous brain, has the sum over its repetitions. ``potential`` is the
    gradient of each trajectory's own loss with respect to u(0), (n_nodes, n_trajectories); None
    for a truncated horizon.
    """

    loss: float
    groups: list[list[GroupGradient]]
    potential: Array | None


def gradient(
    network: Network, potential: Array, *, horizon: int | None = None, n_threads: int | None = None
) -> Gradient:
    """Return the loss of the trajectories that start at ``potential``, and its gradients.

    Parameters
    ----------
    network : Network
        The brain.
    potential : array of shape (n_nodes, n_trajectories)
        Potentials at time 0. Not modified.
    horizon : int, optional
        Length of the replay in slices; all slices, the exact gradient, by default.
    n_threads : int, optional
        Threads to use, all available by default. The result does not depend on it.

    Raises
    ------
    ValueError
        If ``horizon`` is below 1 or ``potential`` has the wrong shape.
    """
    if horizon is not None and horizon < 1:
        raise ValueError(f"argument `horizon` must be >= 1 or None, but is {horizon}")
    if potential.ndim != 2 or len(potential) != network.n_nodes:
        raise ValueError(
            f"argument `potential` must have shape ({network.n_nodes}, n_trajectories), "
            f"but has shape {potential.shape}"
        )
    with Workers(n_threads) as workers:
        return replay(network, potential, horizon, workers)


def replay(network: Network, potential: Array, horizon: int | None, workers: Workers) -> Gradient:
    """:func:`gradient` on threads that are there already, for calling it many times."""
    n_trajectories = potential.shape[1]
    widest = max((g.n_features for s in network.slices for g in s.groups), default=1)
    plan = _Plan.of(network, horizon)
    blocks = column_blocks(n_trajectories, _FINER * plan.n_open * widest)

    def run(block: Block) -> tuple[float, list[list[GroupGradient]], Array]:
        return _replay_block(network, plan, potential[:, block[0] : sum(block)])

    parts = workers.map(run, blocks)
    loss = sum(part[0] for part in parts) / n_trajectories
    groups = [
        [
            mean_gradient([part[1][k][g] for part in parts], n_trajectories)
            for g in range(len(slice_.groups))
        ]
        for k, slice_ in enumerate(plan.slices)
    ]
    start = np.concatenate([part[2] for part in parts], axis=1) if plan.exact else None
    return Gradient(loss, groups, start)


@dataclass(frozen=True)
class _Plan:
    """Which update ends the window of which: ``end[m]`` for the m-th update from time 0.

    At most ``n_open`` windows are open at once; the one that ends with update e uses the place
    e % n_open in the stack of adjoints, which is free again by the time it is needed.
    """

    slices: list[Any]
    which: list[int]
    end: list[int]
    n_open: int
    exact: bool
    local: bool

    @classmethod
    def of(cls, network: Network, horizon: int | None) -> _Plan:
        slices, which = distinct_slices(network)
        spline_grid(network)
        if any(group.sequential for slice_ in slices for group in slice_.groups):
            raise NetworkError(
                "replay undoes one group after another, but the network has sequential groups; "
                "brain.rules.local.copy_network takes them apart"
            )
        sizes = [len(slice_.groups) for slice_ in network.slices for _ in slice_.groups]
        last = len(sizes) - 1
        # With one slice, horizon 1 still is the local rule: its groups do not see one another.
        if horizon is None or not sizes or 1 < horizon >= len(network.slices):
            return cls(slices, which, [last] * len(sizes), 1, True, False)
        end = [min(m + (horizon - 1) * size, last) for m, size in enumerate(sizes)]
        n_open = max(e - m for m, e in enumerate(end)) + 1
        return cls(slices, which, end, n_open, False, n_open == 1)


def _replay_block(
    network: Network, plan: _Plan, start: Array
) -> tuple[float, list[list[GroupGradient]], Array]:
    u = np.array(start, dtype=network.dtype, order="C", copy=True)
    n, width = u.shape
    block = (0, width)
    log_det = np.zeros(width)
    for slice_ in network.slices:
        evolve_block(network, slice_, u, log_det, block)
    base = network.base_density
    loss = float(np.sum(base.energy(u).sum(axis=0, dtype=np.float64) - log_det))

    totals: list[list[GroupGradient | None]] = [[None] * len(s.groups) for s in plan.slices]
    adjoint = np.zeros((n, plan.n_open, width), dtype=u.dtype)
    if not plan.end:
        adjoint[:, 0] = base.psi(u)
    ends = set(plan.end)
    update = len(plan.end)
    for t in reversed(range(len(network.slices))):
        slice_, total = network.slices[t], totals[plan.which[t]]
        for g in reversed(range(len(slice_.groups))):
            update -= 1
            group = slice_.groups[g]
            if plan.local:
                adjoint[group.targets, 0] = base.psi(u[group.targets])
            elif update in ends:
                adjoint[:, update % plan.n_open] = base.psi(u)
            own = plan.end[update] % plan.n_open
            found = _group_backward(network, group, u, adjoint, own, carry=not plan.local)
            before = total[g]
            total[g] = found if before is None else add_gradients(before, found)
        if slice_.rotation is not None:
            rotate(slice_.rotation.T, u, block)
            if not plan.local:
                flat = adjoint.reshape(n, -1)
                rotate(slice_.rotation.T, flat, (0, flat.shape[1]))
    return loss, [[g for g in total if g is not None] for total in totals], adjoint[:, 0]


def _group_backward(
    network: Network, group: GroupUpdate, u: Array, adjoint: Array, own: int, *, carry: bool
) -> GroupGradient:
    """Undo one update in ``u``, carry ``adjoint`` back through it, return the sums for ``own``."""
    grid, width, n_open = spline_grid(network), u.shape[1], adjoint.shape[1]
    t, s = len(group.targets), len(group.sources)
    invert_node_maps(u, group.targets, 0, width, grid.low, grid.spacing, group.table)
    delta = np.empty((t, n_open, width), dtype=u.dtype)
    moments = np.empty((t, grid.n_intervals + 2, 7))
    node_map_adjoint(
        u, group.targets, grid.low, grid.spacing, group.table, adjoint, own, delta, moments
    )
    features = source_features(network, group, u, (0, width))
    shift = product(group.weights, features)
    log_scale = np.empty((0, 0), dtype=u.dtype)
    eta = np.empty((0, n_open, width), dtype=u.dtype)
    if network.log_scale:
        log_scale = product(group.log_scale_weights, features[s:])
        scaled = u[group.targets] - shift - group.bias[:, None]  # e^G u
        eta = delta * scaled[:, None] - 1
    found = parameter_sums(network, group, features, delta[:, own], eta[:, own], moments)
    undo_shift_and_scale(u, group.targets, 0, shift, group.bias, log_scale, group.log_scale_bias)
    if carry:
        back = transposed_product(group.weights, delta.reshape(t, -1), len(features))
        if network.log_scale:
            back[s:] += transposed_product(
                group.log_scale_weights, eta.reshape(t, -1), len(features) - s
            )
            delta *= np.exp(log_scale + group.log_scale_bias[:, None])[:, None]
        adjoint[group.targets] = delta
        back = back.reshape(len(features), n_open, width)
        transfer_adjoint(features, network.synapse.slope, group.sources, back, adjoint)
    return found


def parameter_sums(
    network: Network, group: GroupUpdate, features: Array, delta: Array, eta: Array, moments: Array
) -> GroupGradient:
    """Gradients of one group, summed over the trajectories of a block."""
    value, slope = spline_grid(network).newton_operators[:2]
    k, bins = len(value), moments.shape[1]
    value, slope = value.reshape(k, bins, 7)[:, :, :4], slope.reshape(k, bins, 7)[:, :, :3]
    node_map = np.tensordot(moments[:, :, :4], value, ([1, 2], [1, 2]))
    node_map -= np.tensordot(moments[:, :, 4:], slope, ([1, 2], [1, 2]))
    delta, eta = np.ascontiguousarray(delta), np.ascontiguousarray(eta)
    s = len(group.sources)
    return GroupGradient(
        weights=_outer(network, group, group.weights, delta, features),
        bias=delta.sum(axis=1, dtype=np.float64),
        log_scale_weights=(
            _outer(network, group, group.log_scale_weights, eta, features[s:])
            if network.log_scale
            else None
        ),
        log_scale_bias=eta.sum(axis=1, dtype=np.float64),
        node_map=node_map,
    )


def _outer(
    network: Network, group: GroupUpdate, weights: Any, delta: Array, features: Array
) -> Any:
    """``delta @ features.T`` on the edges that are there."""
    if sparse.issparse(weights):
        data = np.empty(len(weights.data))
        csr_outer(weights.indptr, weights.indices, delta, features, data)
        return sparse.csr_array((data, weights.indices, weights.indptr), shape=weights.shape)
    out = (delta @ features.T).astype(np.float64, copy=False)
    if network.connectivity.kind == "dense" and out.size:
        present = network.connectivity.matrix[np.ix_(group.targets, group.sources)]
        out *= np.tile(present, (1, out.shape[1] // len(group.sources)))
    return out


def transposed_product(weights: Any, delta: Array, n_features: int) -> Array:
    """``weights.T @ delta`` for dense or CSR weights."""
    if not sparse.issparse(weights):
        return np.asarray(weights.T @ delta)
    out = np.zeros((n_features, delta.shape[1]), dtype=delta.dtype)
    csr_transposed_product(weights.indptr, weights.indices, weights.data, delta, out)
    return out


def _arrays(group: GroupGradient) -> list[Array]:
    """The numbers of a gradient, without the structure of sparse ones."""
    both = [group.weights, group.log_scale_weights]
    numbers = [w.data if sparse.issparse(w) else w for w in both if w is not None]
    return [*numbers, group.bias, group.log_scale_bias, group.node_map]


def add_gradients(total: GroupGradient, more: GroupGradient) -> GroupGradient:
    """Add ``more`` to ``total``, in place."""
    for a, b in zip(_arrays(total), _arrays(more), strict=True):
        np.add(a, b, out=a)
    return total


def mean_gradient(parts: list[GroupGradient], n_trajectories: int) -> GroupGradient:
    """The sums of all blocks, divided by the number of trajectories. The first part is reused."""
    total = parts[0]
    for part in parts[1:]:
        total = add_gradients(total, part)
    for a in _arrays(total):
        np.divide(a, n_trajectories, out=a)
    return total
