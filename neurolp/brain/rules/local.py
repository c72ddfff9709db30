"""Online learning from one batch of rows after another; slices may share their parameters.

Three signals, one optimiser. For a group update of ``network.GroupUpdate`` all use the same
three-factor gradients, pre x post x signal (``replay`` has the equations); they differ in the
adjoint lambda' = dL/du' that the group is given, and in when:

* ``"local"``: lambda' = psi(u') at the node's own update, in every slice, and the parameters change
  at once, before the next group is updated. Nothing but the present is used.
* ``"final"``: the same, but in the last cycle of time only (the last slice of an autonomous brain).
  In the fixed point the Stein condition E[phi' - psi phi] = 0 holds where u is meant to have the
  density rho, and there alone; with the signal of every slice it would have to hold after each
  repetition of the same parameters. For a linear brain the fixed point is the whitening solution,
  reached like the set point of an integral controller.
* ``"replay"``: lambda' through the inverted dynamics, exact or over a horizon; the parameters
  change after the batch.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve_block, move_by_node_maps, rotate, source_features
from neurolp.brain.network import GroupUpdate, Network, Slice, distinct_slices
from neurolp.brain.network_arrays import slices_from_arrays
from neurolp.brain.rules.replay import GroupGradient, flat, group_gradient, mean_gradient, replay
from neurolp.brain.workers import Block, Workers, column_blocks
from neurolp.kernels.adam import adam_step
from neurolp.kernels.affine import shift_and_scale

Signal = Literal["local", "final", "replay"]

# Slopes stay in [1/10, 10], well inside the bounds that prove the node maps monotone.
_LOG_SLOPE_MAX = float(np.log(10.0))
_NO_LIMIT = np.inf
_FULL_TRUST = 100  # rows


@dataclass(frozen=True)
class OnlineRule:
    """Signal and rates of online learning.

    ``rate`` is the step of Adam for the weights of shift and log-scale, ``node_rate`` for biases,
    offsets and logarithms of slopes (a multiplicative step, so slopes stay positive); ``decay`` is
    the fraction of every parameter, slopes towards 1, forgotten at a step; ``average`` that of the
    running mean kept at a step. All four are meant for batches of 100 rows or more; a batch of r
    rows is noisier and counts sqrt(r / 100) as much. ``horizon`` is the length of a replay in
    slices, None for all.
    """

    signal: Signal = "final"
    horizon: int | None = None
    rate: float = 0.002
    node_rate: float = 0.02
    decay: float = 0.02
    average: float = 0.99


class Learner:
    """A network that learns from one batch after another.

    ``network`` is what learns, ``averaged`` the running mean of its parameters, which
    generalises better and changes less from one input to the next. Both are copies of the network
    given, and are changed in place by :meth:`step`. Memory is that of the distinct slices.
    A slice that is repeated in time is one set of parameters.
    """

    def __init__(self, network: Network, rule: OnlineRule) -> None:
        self.rule, self.n_steps = rule, 0
        self.network, self.averaged = copy_network(network), copy_network(network)
        self._remember()

    def _remember(self) -> None:
        """Tie the moments of Adam to the parameters of both networks: they change them in place."""
        slices, self._which = distinct_slices(self.network)
        averaged, _ = distinct_slices(self.averaged)
        self._memories = {
            (k, g): _GroupMemory(group, averaged[k].groups[g])
            for k, slice_ in enumerate(slices)
            for g, group in enumerate(slice_.groups)
        }

    def to_tree(self) -> dict[str, Any]:
        """What is stored, copied or pickled: memories hold views, which a copy would cut off."""
        kept = ("rule", "network", "averaged")
        return {name: getattr(self, name) for name in kept} | {"state": self.state()}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Self:
        """The learner that :meth:`to_tree` was called of, with its views tied again."""
        learner = cls.__new__(cls)
        learner.__setstate__(tree)
        return learner

    __getstate__ = to_tree

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Tie the views again, to the networks of the copy."""
        self.rule, self.network, self.averaged = (
            state[name] for name in ("rule", "network", "averaged")
        )
        for network in (self.network, self.averaged):  # their memory may be only for reading
            network.slices = copy_network(network).slices
        self._remember()
        self.restore(state["state"])

    def step(self, potential: Array, workers: Workers, *, pace: float = 1.0) -> None:
        """Learn from trajectories that start at ``potential`` (n_nodes, n_trajectories).

        ``pace`` scales the rates and the decay of this step.
        """
        self.n_steps += 1
        trust = min(1.0, math.sqrt(potential.shape[1] / _FULL_TRUST))
        pace *= trust
        if self.rule.signal == "replay":
            gradient = replay(self.network, potential, self.rule.horizon, workers)
            for (k, g), memory in self._memories.items():
                memory.learn(gradient.groups[k][g], self.rule, pace, trust, self.n_steps)
        else:
            self._step_locally(potential, workers, pace, trust)

    def state(self) -> dict[str, Array]:
        """All that the next step depends on: parameters, running mean, moments of Adam, steps."""
        parts = [part.ravel() for part in self._parts()]
        parameters = np.concatenate([np.empty(0), *parts])
        return {"parameters": parameters, "n_steps": np.array([self.n_steps])}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue from what :meth:`state` gave."""
        packed, start = arrays["parameters"], 0
        for part in self._parts():
            part[...] = packed[start : start + part.size].reshape(part.shape)
            start += part.size
        for memory in self._memories.values():
            memory.update_maps()
        self.n_steps = int(arrays["n_steps"][0])

    def sums(self) -> dict[str, Array]:
        """Sums over the parameters of a node, (n_nodes,), by name: one that is not finite shows."""
        slices, _ = distinct_slices(self.network)
        names = ("weights", "log_scale_weights", "bias", "log_scale_bias", "node_map")
        out = {}
        for name in names:
            worst = np.zeros(self.network.n_nodes)
            for group in (g for s in slices for g in s.groups):
                values = getattr(group, name)
                if values is None or not values.shape[0]:
                    continue
                dense = values.toarray() if sparse.issparse(values) else values
                worst[group.targets] += dense.reshape(len(group.targets), -1).sum(axis=1)
            out[name] = worst
        return out

    def _parts(self) -> list[Array]:
        return [part for memory in self._memories.values() for part in memory.parts()]

    def _step_locally(self, potential: Array, workers: Workers, pace: float, trust: float) -> None:
        network = self.network
        n_slices, period = len(network.slices), len(set(self._which))
        first = 0 if self.rule.signal == "local" else n_slices - period
        u = np.array(potential, dtype=network.dtype, order="C", copy=True)
        widest = max((g.n_features for s in network.slices for g in s.groups), default=1)
        blocks = column_blocks(u.shape[1], 4 * widest)

        def wait(block: Block) -> None:
            mine, nothing = np.ascontiguousarray(u[:, block[0] : sum(block)]), np.zeros(block[1])
            for slice_ in network.slices[:first]:
                evolve_block(network, slice_, mine, nothing, (0, block[1]))
            u[:, block[0] : sum(block)] = mine

        workers.map(wait, blocks)
        for t in range(first, n_slices):
            slice_ = network.slices[t]
            if slice_.rotation is not None:
                workers.map(partial(rotate, slice_.rotation, u), blocks)
            for g, group in enumerate(slice_.groups):
                parts = workers.map(partial(local_gradient, network, group, u), blocks)
                found, memory = mean_gradient(parts, u.shape[1]), self._memories[self._which[t], g]
                memory.learn(found, self.rule, pace, trust, self.n_steps)


def local_gradient(
    network: Network, group: GroupUpdate, potential: Array, block: Block
) -> GroupGradient:
    """Move a block through one group update, in place; return the sums of its local gradients.

    The local loss of node i is l_i = E(u_i') - G_i - log g_i'(v_i), up to what its parameters
    cannot change.
    """
    columns = slice(block[0], sum(block))
    features = source_features(network, group, potential, block)
    affine, nothing = group.affine(features), np.zeros(sum(block))
    shift_and_scale(potential, group.targets, block[0], *affine, nothing)
    v = np.ascontiguousarray(potential[group.targets, columns])
    move_by_node_maps(network, group, potential, nothing, block)
    psi = np.ascontiguousarray(network.base_density.psi(potential[group.targets, columns]))
    nodes = np.arange(len(group.targets))
    return group_gradient(network, group, v, nodes, features, affine, psi[:, None], 0)[0]


class _GroupMemory:
    """Parameters of one group update with the moments of Adam; changes them in place."""

    def __init__(self, group: GroupUpdate, averaged: GroupUpdate) -> None:
        self.group, self.averaged = group, averaged
        # The node maps are learned as offsets and logarithms of slopes.
        self._maps = _logarithms(group.node_map)
        self._average_maps = _logarithms(averaged.node_map)
        self._pairs = list(zip(flat(group)[:4], flat(averaged)[:4], strict=True))
        self._pairs.append((self._maps.ravel(), self._average_maps.ravel()))
        self._moments = [(np.zeros_like(p), np.zeros_like(p)) for p, _ in self._pairs]

    def learn(
        self, found: GroupGradient, rule: OnlineRule, pace: float, trust: float, count: int
    ) -> None:
        gradients, node_map = flat(found)[:4], found.node_map.copy()
        node_map[:, 1:] *= self.group.node_map[:, 1:]  # dL/d log c = c dL/dc
        gradients.append(node_map.ravel())
        keep = min(1.0 - trust * (1.0 - rule.average), count / (count + 10))
        for k, (gradient, (parameter, average), (m, s)) in enumerate(
            zip(gradients, self._pairs, self._moments, strict=True)
        ):
            rate = pace * (rule.rate if k < 2 else rule.node_rate)
            limit = _LOG_SLOPE_MAX if k == len(gradients) - 1 else _NO_LIMIT
            adam_step(
                gradient, rate, pace * rule.decay, count, keep, limit, m, s, average, parameter
            )
        self.update_maps()

    def parts(self) -> list[Array]:
        """Parameters, their running mean, and the moments of Adam; views."""
        return [a for pair in (*self._pairs, *self._moments) for a in pair]

    def update_maps(self) -> None:
        """Node maps from what is learned of them: offsets and logarithms of slopes."""
        for group, maps in ((self.group, self._maps), (self.averaged, self._average_maps)):
            group.node_map[:, 0] = maps[:, 0]
            np.exp(maps[:, 1:], out=group.node_map[:, 1:])
            group.changed()


def _logarithms(node_map: Array) -> Array:
    maps = node_map.copy()
    maps[:, 1:] = np.log(maps[:, 1:])
    return maps


def copy_network(network: Network) -> Network:
    """A network with arrays of its own; what is repeated stays repeated.

    Sequential groups become groups of one node each, the same map, which replay can undo.
    """
    slices, which = distinct_slices(network)
    names = ("weights", "bias", "log_scale_weights", "log_scale_bias", "node_map")

    def copied(group: GroupUpdate) -> GroupUpdate:
        return dataclasses.replace(group, **{name: _own(getattr(group, name)) for name in names})

    new = [
        Slice(tuple(copied(one) for g in s.groups for one in g.one_by_one()), s.rotation)
        for s in slices
    ]
    return dataclasses.replace(network, slices=[new[k] for k in which])


def _own(numbers: Any) -> Any:
    """A copy of the numbers, if there are any; sparse matrices share their indices."""
    if numbers is None or not sparse.issparse(numbers):
        return None if numbers is None else numbers.copy()
    return sparse.csr_array((numbers.data.copy(), numbers.indices, numbers.indptr), numbers.shape)


def identity_slices(network: Network, partitions: list[list[Array]], n_slices: int) -> list[Slice]:
    """``n_slices`` slices that are the identity: one set of parameters per partition, in turn.

    One partition makes an autonomous brain, ``n_slices`` of them parameters per slice. For sparse
    connectivity a zero is stored on every edge between the groups of a partition.
    """
    connectivity, m = network.connectivity, network.synapse.n_transfer
    n, n_distinct, is_sparse = network.n_nodes, len(partitions), connectivity.kind == "sparse"
    group = np.full((n_distinct, n), -1, dtype=np.intp)
    for k, partition in enumerate(partitions):
        for g, targets in enumerate(partition):
            group[k, targets] = g
    shape = (n_distinct, connectivity.n_edges) if is_sparse else (n_distinct, n, n)
    weights = np.zeros((*shape, m))
    if connectivity.weights is not None:
        weights[..., 0] = connectivity.weights.data if is_sparse else connectivity.weights
    arrays = {
        "group": group,
        "bias": np.zeros((n_distinct, n)),
        "node_map": np.tile(network.grid.identity(n), (n_distinct, 1, 1)),
        "weights": weights,
        "log_scale_bias": np.zeros((n_distinct, n)),
        "log_scale_weights": np.zeros((*shape, m - 1)),
        "slice_at": 1 + np.arange(n_slices) % n_distinct,
    }
    return slices_from_arrays(network, arrays, apart=True)
