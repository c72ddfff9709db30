"""Density heads at given times: the density that is computed from an evolving brain.

One brain gives a density at every time t of its evolution, rho_t(u(t)) |det du(t)/du(0)|. Any
average of normalised densities is normalised, so that

    Phi(x) = sum_r w_r exp(-E_r(u(t_r))) |det du(t_r)/du(0)|,   sum_r w_r = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve, rewind
from neurolp.brain.network import Network
from neurolp.registry import Registry


class DensityHead(Protocol):
    """A density of the potentials (n_nodes, n_trajectories) at one time."""

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
        """-E(u) of potentials (n_nodes, n_trajectories) at the time, (n_trajectories,), nats."""
        if self.head is not None:
            return self.head.log_prob(potential)
        energy = network.base_density.energy(potential)
        return np.asarray(-energy.sum(axis=0, dtype=np.float64))


def joint_log_prob(
    network: Network,
    heads: tuple[WeightedHead, ...],
    potential: Array,
    n_threads: int | None = None,
) -> Array:
    """Log w_r Phi_r(u(0)) of every head, shape (n_heads, n_trajectories), nats.

    Time runs forward once, from head to head.
    """
    out = np.empty((len(heads), potential.shape[1]))
    now, log_det = 0, np.zeros(potential.shape[1])
    for r in sorted(range(len(heads)), key=lambda r: heads[r].time):
        time = heads[r].time
        if time > now:
            potential, change = evolve(
                network, potential, first=now, n_slices=time - now, n_threads=n_threads
            )
            now, log_det = time, log_det + change
        out[r] = np.log(heads[r].weight) + heads[r].log_prob(network, potential) + log_det
    return out


def log_prob(
    network: Network,
    heads: tuple[WeightedHead, ...],
    potential: Array,
    n_threads: int | None = None,
) -> Array:
    """Log Phi of potentials (n_nodes, n_trajectories) at time 0, (n_trajectories,), nats."""
    return np.asarray(logsumexp(joint_log_prob(network, heads, potential, n_threads), axis=0))


def dream(
    network: Network,
    heads: tuple[WeightedHead, ...],
    n_samples: int,
    rng: np.random.Generator,
    n_threads: int | None = None,
) -> Array:
    """Draw potentials at time 0, (n_nodes, n_samples): draw u(t) at a head, run time back."""
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
            activity = rng.uniform(np.finfo(np.float64).tiny, 1.0, (len(mine), network.n_nodes))
            u = network.base_density.potential(activity).T
        out[:, mine] = rewind(network, u, n_slices=weighted.time, n_threads=n_threads)
    return out
