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
from functools import reduce
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve_block, rotate, source_features, undo_node_maps
from neurolp.brain.network import GroupUpdate, Network, distinct_slices
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.workers import Block, Workers, check_states, column_blocks
from neurolp.errors import NetworkError
from neurolp.kernels.adjoint import (
    csr_outer,
    csr_transposed_product,
    node_map_adjoint,
    transfer_adjoint,
)
from neurolp.kernels.affine import undo_shift_and_scale

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


def replay(network: Network, potential: Array, horizon: int | None, workers: Workers) -> Gradient:
    """The loss of the trajectories that start at ``potential``, and its gradients.

    ``potential`` (n_nodes, n_trajectories) is not modified; ``horizon`` is the length of the replay
    in slices, None for all slices, the exact gradient. The result does not depend on the number of
    threads.

    Raises
    ------
    ValueError
        If ``potential`` has the wrong shape.
    """
    n_trajectories = check_states(potential, network.n_nodes, network.dtype).shape[1]
    widest = max((g.n_features for s in network.slices for g in s.groups), default=1)
    plan = _Plan.of(network, horizon)
    blocks = column_blocks(n_trajectories, _FINER * plan.n_open * widest)

    def run(block: Block) -> tuple[float, dict[tuple[int, int], GroupGradient], Array]:
        return _replay_block(network, plan, potential[:, block[0] : sum(block)])

    losses, found, starts = zip(*workers.map(run, blocks), strict=True)
    groups = [
        [
            mean_gradient([of_block[k, g] for of_block in found], n_trajectories)
            for g in range(len(slice_.groups))
        ]
        for k, slice_ in enumerate(plan.slices)
    ]
    start = np.concatenate(starts, axis=1) if plan.exact else None
    return Gradient(sum(losses) / n_trajectories, groups, start)


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
) -> tuple[float, dict[tuple[int, int], GroupGradient], Array]:
    """Loss, sums of gradients by distinct slice and group, and adjoint at time 0, of one block."""
    u = np.array(start, dtype=network.dtype, order="C", copy=True)
    n, width = u.shape
    block = (0, width)
    log_det = np.zeros(width)
    for slice_ in network.slices:
        evolve_block(network, slice_, u, log_det, block)
    base = network.base_density
    energy = base.energy(network.moving_rows(u)).sum(axis=0, dtype=np.float64)
    loss = float(np.sum(energy - log_det))

    totals: dict[tuple[int, int], GroupGradient] = {}
    adjoint = np.zeros((n, plan.n_open, width), dtype=u.dtype)
    if not plan.end:
        adjoint[:, 0] = _psi(network, u)
    ends = set(plan.end)
    update = len(plan.end)
    for k, slice_ in zip(reversed(plan.which), reversed(network.slices), strict=True):
        for g, group in reversed(list(enumerate(slice_.groups))):
            update -= 1
            if plan.local:
                adjoint[group.targets, 0] = base.psi(u[group.targets])
            elif update in ends:
                adjoint[:, update % plan.n_open] = _psi(network, u)
            own = plan.end[update] % plan.n_open
            found = _group_backward(network, group, u, adjoint, own, carry=not plan.local)
            totals[k, g] = add_gradients(totals[k, g], found) if (k, g) in totals else found
        if slice_.rotation is not None:
            rotate(slice_.rotation.T, u, block)
            if not plan.local:
                flat = adjoint.reshape(n, -1)
                rotate(slice_.rotation.T, flat, (0, flat.shape[1]))
    return loss, totals, adjoint[:, 0]


def _psi(network: Network, u: Array) -> Array:
    """dE/du at the end of a window; a clamped node has no energy."""
    psi = network.base_density.psi(u)
    if network.clamped:
        psi = psi.copy()
        psi[list(network.clamped)] = 0.0
    return psi


def _group_backward(
    network: Network, group: GroupUpdate, u: Array, adjoint: Array, own: int, *, carry: bool
) -> GroupGradient:
    """Undo one update in ``u``, carry ``adjoint`` back through it, return the sums for ``own``."""
    t, s, block = len(group.targets), len(group.sources), (0, u.shape[1])
    undo_node_maps(network, group, u, block)
    features = source_features(network, group, u, block)
    affine = group.affine(features)
    found, delta, eta = group_gradient(
        network, group, u, group.targets, features, affine, adjoint, own
    )
    undo_shift_and_scale(u, group.targets, 0, *affine)
    if carry:
        back = _transposed_product(group.weights, delta.reshape(t, -1), len(features))
        if network.log_scale:
            _, _, log_scale, bias = affine
            back[s:] += _transposed_product(
                group.log_scale_weights, eta.reshape(t, -1), len(features) - s
            )
            delta *= np.exp(log_scale + bias[:, None])[:, None]
        adjoint[group.targets] = delta
        back = back.reshape(len(features), *adjoint.shape[1:])
        transfer_adjoint(features, network.synapse.slope, group.sources, back, adjoint)
    return found


def group_gradient(
    network: Network,
    group: GroupUpdate,
    v: Array,
    nodes: Array,
    features: Array,
    affine: tuple[Array, ...],
    adjoint: Array,
    own: int,
) -> tuple[GroupGradient, Array, Array]:
    """Sums over a block of the gradients of loss ``own``; dL/dI and dL/dG of all losses.

    Rows ``nodes`` of ``v`` are the targets before their node maps, those of ``adjoint`` (..,
    losses, width) are dL/du' after them. The other two results are (n_targets, losses, width).
    """
    grid, shape = spline_grid(network), (len(nodes), *adjoint.shape[1:])
    delta, eta = np.empty(shape, dtype=v.dtype), np.empty((0, *shape[1:]), dtype=v.dtype)
    moments = np.empty((len(nodes), grid.n_intervals + 2, 7))
    node_map_adjoint(v, nodes, grid.low, grid.spacing, group.table, adjoint, own, delta, moments)
    if network.log_scale:
        shift, bias, _, _ = affine
        eta = delta * (v[nodes] - shift - bias[:, None])[:, None] - 1  # delta e^G u - 1
    value, slope = grid.gradient_operators
    node_map = moments[:, :, :4].reshape(len(nodes), -1) @ value
    node_map -= moments[:, :, 4:].reshape(len(nodes), -1) @ slope
    d, e, scaled = delta[:, own].copy(), eta[:, own].copy(), group.log_scale_weights
    bounded = features[len(group.sources) :]
    found = GroupGradient(
        weights=_outer(network, group, group.weights, d, features),
        bias=d.sum(axis=1, dtype=np.float64),
        log_scale_weights=None if scaled is None else _outer(network, group, scaled, e, bounded),
        log_scale_bias=e.sum(axis=1, dtype=np.float64),
        node_map=node_map,
    )
    return found, delta, eta


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
        present = network.connectivity.between(group.targets, group.sources)
        out *= np.tile(present, (1, out.shape[1] // len(group.sources)))
    return out


def _transposed_product(weights: Any, delta: Array, n_features: int) -> Array:
    """``weights.T @ delta`` for dense or CSR weights."""
    if not sparse.issparse(weights):
        return np.asarray(weights.T @ delta)
    out = np.zeros((n_features, delta.shape[1]), dtype=delta.dtype)
    csr_transposed_product(weights.indptr, weights.indices, weights.data, delta, out)
    return out


def flat(parameters: GroupUpdate | GroupGradient) -> list[Array]:
    """Weights, log-scale weights, bias, log-scale bias and node maps as flat views."""
    both = (parameters.weights, parameters.log_scale_weights)
    weights = [
        np.empty(0) if w is None else w.data if sparse.issparse(w) else w.ravel() for w in both
    ]
    return [*weights, parameters.bias, parameters.log_scale_bias, parameters.node_map.ravel()]


def add_gradients(total: GroupGradient, more: GroupGradient) -> GroupGradient:
    """Add ``more`` to ``total``, in place."""
    for a, b in zip(flat(total), flat(more), strict=True):
        np.add(a, b, out=a)
    return total


def mean_gradient(parts: list[GroupGradient], n_trajectories: int) -> GroupGradient:
    """The sums of all blocks, divided by the number of trajectories. The first part is reused."""
    total = reduce(add_gradients, parts)
    for a in flat(total):
        np.divide(a, n_trajectories, out=a)
    return total
