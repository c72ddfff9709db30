"""Hidden nodes: beyond the columns of the data, seeded at random, and integrated out by a bound.

A network of n_visible + n_hidden nodes has a normalised density Phi(x, h) of the data and of
the seeds h ~ r(h) = prod rho(h_i), the base density at time 0. That of x alone is an integral,

    p(x) = integral of Phi(x, h) dh = E_h[Phi(x, h) / r(h)],

which is bounded from below, on average, with K seeds for each x:

    log p(x) >= E log (1/K) sum_k Phi(x, h_k) / r(h_k),

by Jensen's inequality. The right side rises with K and tends to log p(x). One seed gives
E[log Phi(x, h)] + H(r): learning from freshly seeded nodes as if they were data raises it.

Source: Y. Burda, R. Grosse, R. Salakhutdinov, arXiv:1509.00519 (2015), with r in place of a
recognition model.
"""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve
from neurolp.brain.network import Network


def seed_hidden(network: Network, visible: Array, rng: np.random.Generator) -> Array:
    """Append h ~ r to the potentials of the visible nodes, (n_visible, m) -> (n_nodes, m).

    A network without hidden nodes draws nothing and gets ``visible`` itself back.
    """
    n_hidden = network.n_nodes - len(visible)
    if n_hidden == 0:
        return visible
    hidden = network.base_density.sample((n_hidden, visible.shape[1]), rng).astype(network.dtype)
    return np.ascontiguousarray(np.vstack([visible, hidden]))


def log_bound(
    network: Network,
    visible: Array,
    n_seeds: int,
    rng: np.random.Generator,
    *,
    n_threads: int | None = None,
) -> Array:
    """Return log (1/K) sum_k Phi(x, h_k) / r(h_k) with K = ``n_seeds``, nats, shape (m,).

    ``visible`` holds the potentials at time 0, (n_visible, m), in whose units Phi is. Without
    hidden nodes it is log Phi(x), for any K. Clamped nodes are among the visible ones.
    """
    n_visible = len(visible)
    if n_visible == network.n_nodes:
        n_seeds = 1
    base = network.base_density
    total = np.full(visible.shape[1], -np.inf)
    for _ in range(n_seeds):
        start = seed_hidden(network, visible, rng)
        end, log_det = evolve(network, start, n_threads=n_threads)
        log_joint = log_det + base.log_prob(network.moving_rows(end))
        total = np.logaddexp(total, log_joint - base.log_prob(start[n_visible:]))
    return np.asarray(total - np.log(n_seeds))
