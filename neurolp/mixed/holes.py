"""Rows with holes: marginals by importance sampling, draws of what is missing by Markov chains.

A proposal q draws what is missing given what is known, with a density that is known exactly:

    Phi(x_o) = E[Phi(x) / q(x_m | x_o)],    x = (x_o, x_m),  x_m ~ q(x_m | x_o),

without bias for any normalised Phi. Draws from Phi(x_m | x_o) begin with one of some draws of q,
chosen with probability ~ Phi / q (resampling), and go on with moves that draw a random part B of
what is missing anew from q(x_B | the rest), accepted with
min(1, [Phi(x') / q(x_B' | the rest)] / [Phi(x) / q(x_B | the rest)]).

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


def draws_for(n_values: int) -> int:
    """Draws of the holes of a row for each of ``n_values`` points of a distribution function.

    The function is a sum over the points, whose errors are independent: with an eighth of the draws
    for each of 128 points or more, it has the draws of 16 points together, or more.
    """
    return max(N_DRAWS * min(16, n_values) // n_values, N_DRAWS // 8)


class Proposal(Protocol):
    """What draws missing codes of rows (n, n_columns) given the others."""

    def draw(self, values: Array, rng: np.random.Generator) -> Array:
        """The rows with their NaN drawn."""
        ...

    def log_conditional(self, rows: Array, missing: Array) -> Array:
        """Log q(x_m | x_o) of rows without NaN, nats, (n,); ``missing`` says which are x_m."""
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
        every = np.repeat(values[mine], n_draws, axis=0)
        drawn = proposal.draw(every, rng)
        log_ratio = log_prob(drawn) - proposal.log_conditional(drawn, np.isnan(every))
        log_ratio = log_ratio.reshape(len(mine), n_draws)
        log_mean = logsumexp(log_ratio, axis=1) - np.log(n_draws)
        out[mine] = log_mean
        usable = np.isfinite(log_mean)
        ratio = np.exp(log_ratio[usable] - log_mean[usable, None])
        error[mine[usable]] = ratio.std(axis=1, ddof=1) / np.sqrt(n_draws)
    return out, error


def draw_missing(
    log_prob: LogProb,
    proposal: Proposal,
    values: Array,
    rng: np.random.Generator,
    *,
    candidates: int = _CANDIDATES,
    moves: bool = True,
) -> Array:
    """Rows whose NaN are drawn from Phi(missing | known), each by a Markov chain of its own.

    Without ``moves`` they are the first states, chosen among so many ``candidates``.
    """
    out = values.copy()
    holes = np.isnan(values)
    rows = np.flatnonzero(holes.any(axis=1))
    # Rows with as many holes go together: they take as many moves.
    rows = rows[np.argsort(holes[rows].sum(axis=1), kind="stable")]
    step = max(_ROWS_AT_ONCE // candidates, 1)
    for start in range(0, len(rows), step):
        mine = rows[start : start + step]
        out[mine] = _run(log_prob, proposal, values[mine], rng, candidates, moves)
    return out


def _run(
    log_prob: LogProb,
    proposal: Proposal,
    values: Array,
    rng: np.random.Generator,
    candidates: int,
    moves: bool,
) -> Array:
    missing = np.isnan(values)
    count = missing.sum(axis=1)
    n = len(values)

    drawn = proposal.draw(np.repeat(values, candidates, axis=0), rng)
    log_phi = log_prob(drawn)
    log_q = proposal.log_conditional(drawn, np.repeat(missing, candidates, axis=0))
    weight = (log_phi - log_q).reshape(n, candidates)
    first = np.argmax(weight + rng.gumbel(size=weight.shape), axis=1)
    every = np.arange(n)
    x, now = drawn.reshape(n, candidates, -1)[every, first], log_phi.reshape(n, -1)[every, first]
    n_moves = _MOVES + _MOVES_PER_HOLE * int(count.max()) if moves else 0
    for _ in range(n_moves):
        size = np.ceil(count * rng.random(n) ** 2)  # small parts more often
        keys = np.where(missing, rng.random(missing.shape), 2.0)
        part = np.argsort(np.argsort(keys, axis=1), axis=1) < size[:, None]
        new = proposal.draw(np.where(part, np.nan, x), rng)
        then = log_prob(new)
        change = proposal.log_conditional(x, part) - proposal.log_conditional(new, part)
        with np.errstate(invalid="ignore"):  # -inf - -inf: a comparison with NaN rejects
            accepted = np.log(rng.random(n)) < then - now + change
        x[accepted], now[accepted] = new[accepted], then[accepted]
    return np.asarray(x)
