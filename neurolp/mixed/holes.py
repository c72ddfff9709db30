"""Rows with holes: marginals by importance sampling, draws of what is missing by Markov chains.

A proposal q whose marginals and conditionals are exact draws what is missing given what is known:

    Phi(x_o) = q(x_o) E[Phi(x) / q(x)],    x = (x_o, x_m),  x_m ~ q(x_m | x_o),

without bias for any normalised Phi. Draws from Phi(x_m | x_o) begin with one of some draws of q,
chosen with probability ~ Phi / q (resampling), and go on with moves that draw a random part B of
what is missing anew from q(x_B | the rest), accepted with min(1, [Phi' / q'] / [Phi / q]).

Sources: Hastings, Biometrika 57, 1970; Rubin, Bayesian Statistics 3, 1988 (resampling).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array

N_DRAWS = 128  # for a marginal
_CANDIDATES = 32  # for the first state of a chain
_MOVES, _MOVES_PER_HOLE = 16, 4
_ROWS_AT_ONCE = 1 << 15

LogProb = Callable[[Array], Array]


class Proposal(Protocol):
    """A density of rows of codes (n, n_columns) whose marginals and conditionals are exact."""

    def log_prob(self, values: Array) -> Array:
        """Log q of what is known in each row, nats, (n,); NaN is integrated out."""
        ...

    def draw(self, values: Array, rng: np.random.Generator) -> Array:
        """The rows with their NaN drawn given all others."""
        ...


def log_marginal(
    log_prob: LogProb,
    proposal: Proposal,
    values: Array,
    rng: np.random.Generator,
    n_draws: int = N_DRAWS,
) -> tuple[Array, Array]:
    """Log of the integral of Phi over the NaN of each row, and its standard error, nats, (n,) each.

    ``log_prob`` gives log Phi of rows without NaN. Of rows without NaN the error is 0, and of rows
    that are wholly missing the integral is 1.
    """
    missing = np.isnan(values)
    out, error = np.zeros(len(values)), np.zeros(len(values))
    whole, partly = ~missing.any(axis=1), missing.any(axis=1) & ~missing.all(axis=1)
    if whole.any():
        out[whole] = log_prob(values[whole])
    rows = np.flatnonzero(partly)
    step = max(_ROWS_AT_ONCE // n_draws, 1)
    for start in range(0, len(rows), step):
        mine = rows[start : start + step]
        drawn = proposal.draw(np.repeat(values[mine], n_draws, axis=0), rng)
        log_ratio = (log_prob(drawn) - proposal.log_prob(drawn)).reshape(len(mine), n_draws)
        log_mean = logsumexp(log_ratio, axis=1) - np.log(n_draws)
        out[mine] = proposal.log_prob(values[mine]) + log_mean
        usable = np.isfinite(log_mean)
        ratio = np.exp(log_ratio[usable] - log_mean[usable, None])
        error[mine[usable]] = ratio.std(axis=1, ddof=1) / np.sqrt(n_draws)
    return out, error


def draw_missing(
    log_prob: LogProb, proposal: Proposal, values: Array, rng: np.random.Generator
) -> Array:
    """Rows whose NaN are drawn from Phi(missing | known), each by a Markov chain of its own."""
    out = values.copy()
    holes = np.isnan(values)
    rows = np.flatnonzero(holes.any(axis=1))
    # Rows with as many holes go together: they take as many moves.
    rows = rows[np.argsort(holes[rows].sum(axis=1), kind="stable")]
    step = max(_ROWS_AT_ONCE // _CANDIDATES, 1)
    for start in range(0, len(rows), step):
        mine = rows[start : start + step]
        out[mine] = _run(log_prob, proposal, values[mine], rng)
    return out


def _run(log_prob: LogProb, proposal: Proposal, values: Array, rng: np.random.Generator) -> Array:
    missing = np.isnan(values)
    count = missing.sum(axis=1)
    n = len(values)

    def log_ratio(x: Array) -> Array:
        with np.errstate(invalid="ignore"):  # -inf - -inf: such a state is never gone to
            return np.asarray(np.nan_to_num(log_prob(x) - proposal.log_prob(x), nan=-np.inf))

    drawn = proposal.draw(np.repeat(values, _CANDIDATES, axis=0), rng)
    weight = log_ratio(drawn).reshape(n, _CANDIDATES)
    first = np.argmax(weight + rng.gumbel(size=weight.shape), axis=1)
    every = np.arange(n)
    x, now = drawn.reshape(n, _CANDIDATES, -1)[every, first], weight[every, first]
    for _ in range(_MOVES + _MOVES_PER_HOLE * int(count.max())):
        size = np.ceil(count * rng.random(n) ** 2)  # small parts more often
        keys = np.where(missing, rng.random(missing.shape), 2.0)
        part = np.argsort(np.argsort(keys, axis=1), axis=1) < size[:, None]
        new = proposal.draw(np.where(part, np.nan, x), rng)
        then = log_ratio(new)
        with np.errstate(invalid="ignore"):
            accepted = np.log(rng.random(n)) < then - now
        x[accepted], now[accepted] = new[accepted], then[accepted]
    return np.asarray(x)
