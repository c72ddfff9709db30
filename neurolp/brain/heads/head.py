"""Density heads at given times: the density that is computed from an evolving brain.

One brain gives a density at every time t of its evolution, rho_t(u(t)) |det du(t)/du(0)|. Any
average of normalised densities is normalised, so that

    Phi(x) = sum_r w_r exp(-E_r(u(t_r))) |det du(t_r)/du(0)|,   sum_r w_r = 1.

Where nodes are clamped, u are the potentials of the moving nodes alone, in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.evolution import Passage, rewind
from neurolp.brain.network import Network
from neurolp.brain.workers import Block, Workers, check_states
from neurolp.errors import NetworkError
from neurolp.registry import Registry


class DensityHead(Protocol):
    """A density of the potentials (n_nodes, n_trajectories) of all moving nodes at one time."""

    def log_prob(self, potential: Array) -> Array:
        """Log-density of every trajectory, nats, (n_trajectories,); exp of it integrates to 1."""
        ...

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Draw potentials, (n_nodes, n_samples)."""
        ...


class LearnedHead(DensityHead, Protocol):
    """A density head that a user wrote, as the argument ``head`` takes it."""

    def fit(self, potential: Array, rng: np.random.Generator) -> DensityHead:
        """A head fitted to potentials (n_nodes, n_trajectories); the object does not change."""
        ...


HEADS = Registry(
    "head",
    {"auto": lambda: "auto", "mixture": lambda: "mixture", "base": lambda: "base"},
    ("fit", "log_prob", "sample"),
)


@dataclass(frozen=True)
class WeightedHead:
    """A density head at ``time`` with its ``weight``; None is the product of the bases."""

    time: int
    weight: float
    head: DensityHead | None = None

    def log_prob(self, network: Network, potential: Array) -> Array:
        """-E(u) of potentials (n_nodes, n_trajectories) at the time, (n_trajectories,), nats.

        Clamped nodes are among ``potential``, and have no energy.
        """
        moving = network.moving_rows(potential)
        if self.head is not None:
            return self.head.log_prob(moving)
        return network.base_density.log_prob(moving)


def joint_log_prob(
    network: Network,
    heads: tuple[WeightedHead, ...],
    potential: Array,
    n_threads: int | None = None,
) -> Array:
    """Log w_r Phi_r(u(0)) of every head, shape (n_heads, n_trajectories), nats.

    Time runs forward once, from head to head, for a block of trajectories at a time.
    """
    potential = check_states(potential, network.n_nodes, network.dtype)
    passage = Passage.of(network)
    out = np.empty((len(heads), potential.shape[1]))
    in_time = sorted(range(len(heads)), key=lambda r: heads[r].time)

    def read(block: Block) -> None:
        columns = slice(block[0], sum(block))
        u, now, log_det = potential[:, columns], 0, np.zeros(block[1])
        for r in in_time:
            if heads[r].time > now:
                u = passage.forward(u, log_det, now, heads[r].time)
                now = heads[r].time
            out[r, columns] = np.log(heads[r].weight) + heads[r].log_prob(network, u) + log_det

    with Workers(n_threads) as workers:
        workers.map(read, passage.blocks(potential.shape[1]))
    return out


def log_prob(
    network: Network,
    heads: tuple[WeightedHead, ...],
    potential: Array,
    n_threads: int | None = None,
) -> Array:
    """Log Phi of potentials (n_nodes, n_trajectories) at time 0, (n_trajectories,), nats.

    With clamped nodes, that of the moving ones given those.
    """
    return np.asarray(logsumexp(joint_log_prob(network, heads, potential, n_threads), axis=0))


def dream(
    network: Network,
    heads: tuple[WeightedHead, ...],
    n_samples: int,
    rng: np.random.Generator,
    n_threads: int | None = None,
    *,
    clamped: Array | None = None,
) -> Array:
    """Draw potentials at time 0, (n_nodes, n_samples): draw u(t) at a head, run time back.

    ``clamped`` (n_clamped, n_samples) are the potentials of the clamped nodes, if there are any, in
    the order of ``network.clamped``.

    Raises
    ------
    NetworkError
        If ``clamped`` has another shape.
    """
    wanted = (len(network.clamped), n_samples)
    given = np.empty((0, n_samples)) if clamped is None else np.asarray(clamped)
    if given.shape != wanted:
        raise NetworkError(f"argument `clamped` must have shape {wanted}, but has {given.shape}")
    weights = np.array([r.weight for r in heads])
    chosen = rng.choice(len(heads), n_samples, p=weights / weights.sum())
    out = np.empty((network.n_nodes, n_samples))
    for r, weighted in enumerate(heads):
        mine = np.flatnonzero(chosen == r)
        if not len(mine):
            continue
        if weighted.head is not None:
            u = weighted.head.sample(len(mine), rng)
        else:
            u = network.base_density.sample((len(mine), len(network.moving)), rng).T
        if network.clamped:
            all_nodes = np.empty((network.n_nodes, len(mine)))
            all_nodes[network.moving], all_nodes[list(network.clamped)] = u, given[:, mine]
            u = all_nodes
        out[:, mine] = rewind(network, u, n_slices=weighted.time, n_threads=n_threads)
    return out


def stacking_weights(
    log_prob: Array,
    *,
    counts: Array | None = None,
    prior: Array | float = 0.0,
    start: Array | None = None,
    n_steps: int = 300,
) -> Array:
    """Weights (n_densities,) of the greatest held-out likelihood, of sum 1.

    argmax_w of sum_i n_i log sum_c w_c exp(log_prob_ci) + sum_c a_c log w_c, a concave function, by
    expectation-maximisation:

        w_c <- (sum_i n_i w_c p_ci / sum_c' w_c' p_c'i + a_c) / (sum_i n_i + sum_c a_c)

    ``log_prob`` (n_densities, n_rows) in nats; ``counts`` n_i (n_rows,), each 1 by default;
    ``prior`` a_c in rows, which keeps weights from vanishing; ``start`` (n_densities,), uniform by
    default. Source: P. Smyth and D. Wolpert, "Linearly combining density estimators via stacking",
    Machine Learning 36 (1999).
    """
    n_densities, n_rows = log_prob.shape
    counts = np.ones(n_rows) if counts is None else counts
    prior = np.broadcast_to(np.asarray(prior, dtype=np.float64), n_densities)
    weights = np.full(n_densities, 1.0 / n_densities) if start is None else start / start.sum()
    total = counts.sum() + prior.sum()
    ratio = np.exp(log_prob - log_prob.max(axis=0))
    for _ in range(n_steps):
        weights = (weights * (ratio @ (counts / (weights @ ratio))) + prior) / total
    return np.asarray(weights / weights.sum())
