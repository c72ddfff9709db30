"""The greedy local rule: each group of each slice is fitted once, and never changed again.

A node minimises its own local loss, l_i = E(u_i') - E(u_i) - G_i - log g_i'(v_i), from what it sees
itself: its own potential and the transfer functions of its presynaptic nodes. Three convex (or
locally quadratic) problems in a row, each started at "do nothing" and each taken by a fraction of
its Newton step, the shrinkage that lets many small slices generalise, as in boosting:

* shift: minimise E[E(u + w f)], Newton step w = -(H + ridge)^-1 E[psi f], H = E[psi'] E[f f^T]
  (for the normal base exactly the ridge regression of u on the features f: predictive coding);
* log-scale: minimise E[E(e^G u) - G], G = w f, whose quadratic model at 0 has gradient
  E[(psi u - 1) f] and curvature E[psi' u^2 + psi u] E[f f^T];
* node map: minimise E[E(g(v)) - log g'(v)], convex in the spline coefficients of g; one Newton
  step, shortened further where a slope coefficient would leave its bounds.

No gradient travels from one slice or one node to another: there is no back-propagation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve_sequential, move_by_node_maps, rotate, synaptic_input
from neurolp.brain.network import GroupUpdate, Network, Slice
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.affine import affine_step
from neurolp.brain.rules.linear_start import LinearStart
from neurolp.brain.rules.rule import GivenWeights, LearningRule, LocalStep, LocalView, arrays_of
from neurolp.brain.update_order import one_after_another, ordered_partition
from neurolp.brain.workers import Block, Workers, column_blocks
from neurolp.kernels.affine import shift_and_scale


@dataclass(frozen=True)
class GreedyRule:
    """Rates are fractions of a Newton step; the ridge is in units of n_parameters / n_rows."""

    shift_rate: float = 0.03
    node_rate: float = 0.5
    shift_ridge: float = 20.0

    def learn(self, view: LocalView, rng: np.random.Generator) -> LocalStep:
        """A share of the ridge regression of shift and log-scale; draws nothing."""
        return affine_step(view, rate=self.shift_rate, ridge=self.shift_ridge)


def learn_slice(
    network: Network,
    rule: LearningRule,
    groups: list[Array],
    rotation: Array | None,
    potential: Array,
    log_det: Array,
    workers: Workers,
    rng: np.random.Generator | None = None,
) -> tuple[Slice, Array]:
    """Learn one slice on the training trajectories while they move through it.

    ``groups`` is an ordered partition of the moving nodes; groups of one node each, unless the
    connectivity is sparse, become one sequential group, whose nodes all learn from the potentials
    before it moves. ``potential`` (n_nodes, n_trajectories) and ``log_det`` are moved in place.
    ``rng`` is for rules that draw; the built-in one does not.

    The second result is the mean local loss of each node in nats, (n_nodes,): its sum is the change
    of the mean surprise. The change of a node's energy by the rotation is counted as its own; that
    of a clamped node is 0.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    if network.connectivity.weights is not None and not network.slices:
        # The first slice has the weights that were given, and uses every one of them.
        rule = GivenWeights(rule.node_rate)
        groups = ordered_partition("sequential", network.connectivity, rng, network.clamped)
    elif len(network.clamped) and not network.slices and _is_greedy_on_all(network, rule):
        rule, groups = LinearStart(rule.node_rate), [network.moving]
    updates = []
    local_loss = np.zeros(network.n_nodes)
    if rotation is not None:
        moving = network.moving
        blocks = column_blocks(potential.shape[1], 2 * network.n_nodes)
        local_loss[moving] -= _energy(network, moving, potential, blocks, workers)
        workers.map(lambda block: rotate(rotation, potential, block), blocks)
        local_loss[moving] += _energy(network, moving, potential, blocks, workers)
    sequential = one_after_another(network.connectivity, groups)
    for targets in [np.concatenate(groups)] if sequential else groups:
        sources = network.connectivity.sources_of(targets, sequential=sequential)
        update, loss = _learn_group(
            network, rule, targets, sources, sequential, potential, log_det, workers, rng
        )
        local_loss[targets] += loss
        updates.append(update)
    return Slice(tuple(updates), rotation), local_loss


def _is_greedy_on_all(network: Network, rule: LearningRule) -> bool:
    return isinstance(rule, GreedyRule) and network.connectivity.kind == "full"


def _learn_group(
    network: Network,
    rule: LearningRule,
    targets: Array,
    sources: Array,
    sequential: bool,
    potential: Array,
    log_det: Array,
    workers: Workers,
    rng: np.random.Generator,
) -> tuple[GroupUpdate, Array]:
    n_rows = potential.shape[1]
    view = LocalView(network, targets, sources, potential, workers)
    blocks, maps = view.blocks, network.grid

    # 1. Affine step: move by a small part of what the sources predict.
    before = _energy(network, targets, potential, blocks, workers)
    step, shape = rule.learn(view, rng), (len(targets), view.n_features)
    affine = arrays_of(network, step, shape, rounded=not isinstance(rule, GivenWeights))

    def with_map(node_map: Array) -> GroupUpdate:
        return network.update(targets, sources, *affine, node_map, sequential=sequential)

    draft = with_map(maps.identity(len(targets)))

    # A sequential group moves only when its node maps are known: they are learned from where all
    # of its nodes would be if they moved at once, on a copy.
    def move(block: Block) -> tuple[Array, Array]:
        shift, bias, log_scale, log_scale_bias = synaptic_input(network, draft, potential, block)
        columns = slice(block[0], sum(block))
        u, change = potential[targets, columns], np.zeros(block[1])
        all_nodes = np.arange(len(targets))
        shift_and_scale(u, all_nodes, 0, shift, bias, log_scale, log_scale_bias, change)
        # Splines learn from moments, which are sums; other maps from the potentials themselves.
        seen = maps.moments(u, view.base) if isinstance(maps, SplineGrid) else u
        if sequential:
            return np.zeros(len(targets)), seen
        potential[targets, columns] = u
        log_det[columns] += change
        log_scales = log_scale.sum(axis=1, dtype=np.float64) + block[1] * log_scale_bias
        return log_scales if network.log_scale else np.zeros(len(targets)), seen

    moved = workers.map(move, blocks)
    log_scale = np.sum([g for g, _ in moved], axis=0)

    # 2. Node maps: reshape the marginals of the targets.
    if isinstance(maps, SplineGrid):
        node_map = maps.newton_step(sum(m for _, m in moved), n_rows, rule.node_rate)
    else:
        v = np.concatenate([v for _, v in moved], axis=1).astype(np.float64)
        node_map = np.asarray(maps.learn(v, view.base, rule.node_rate))
    update = with_map(node_map)

    def reshape(block: Block) -> tuple[Array, Array]:
        log_scales, log_slope = np.zeros(len(targets)), np.empty(len(targets))
        if sequential:
            evolve_sequential(network, update, potential, log_det, block, log_scales, log_slope)
            return log_scales, log_slope
        move_by_node_maps(network, update, potential, log_det, block, log_slope)
        return log_scales, log_slope

    reshaped = workers.map(reshape, blocks)
    log_scale += np.sum([g for g, _ in reshaped], axis=0)
    log_slope = sum(s for _, s in reshaped)
    after = _energy(network, targets, potential, blocks, workers)
    return update, after - before - (log_scale + log_slope) / n_rows


def _energy(
    network: Network, nodes: Array, potential: Array, blocks: list[Block], workers: Workers
) -> Array:
    """Mean energy E(u) of each of the nodes, nats."""

    def energy(block: Block) -> Array:
        u = potential[nodes, block[0] : sum(block)]
        return np.asarray(network.base_density.energy(u).sum(axis=1, dtype=np.float64))

    return np.asarray(sum(workers.map(energy, blocks)) / potential.shape[1])
