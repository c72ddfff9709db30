"""Generator of a random Markov chain, whose entropy rate is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat
from scipy.special import entr

from neurolp.arrays import Array
from neurolp.data.streams.source import CHUNK, Chunk, Count, Positive, Stream, from_the_start
from neurolp.errors import ConfigurationError
from neurolp.kernels import sources
from neurolp.stream.sensors import CategoricalSensor

_MAX_ENTRIES = 10_000_000  # probabilities of all contexts together: 80 MB


def markov3(
    *,
    seed: int = 0,
    table_seed: Count = 0,
    n_symbols: Annotated[int, Field(ge=2)] = 8,
    order: Positive = 3,
    concentration: PositiveFloat = 0.3,
) -> Stream:
    """P(x_t | x_{t-1} .. x_{t-order}) = table[context, x_t], the rows of the table Dirichlet draws.

    The table is ``default_rng(table_seed).dirichlet(full(n_symbols, concentration), n_contexts)``
    with one context for each ``order`` symbols; the walk starts in context 0. With ``seed`` 0 the
    generator that drew the table draws the walk too; another ``seed`` walks otherwise through the
    same table.
    """
    if order * np.log(n_symbols) + np.log(n_symbols) > np.log(_MAX_ENTRIES):
        raise ConfigurationError(
            f"arguments `n_symbols` and `order` must give at most {_MAX_ENTRIES} probabilities, "
            f"but give {n_symbols}^{order + 1}"
        )
    rng = np.random.default_rng(table_seed)
    table = rng.dirichlet(np.full(n_symbols, concentration), n_symbols**order)
    after_table = rng.bit_generator.state
    cumulative = np.cumsum(table, axis=1)
    cumulative /= cumulative[:, -1:]
    with np.errstate(divide="ignore"):
        surprise = -np.log(table)

    def make() -> Iterator[Chunk]:
        rng = np.random.default_rng([table_seed, seed])
        if seed == 0:
            rng.bit_generator.state = after_table
        context = 0
        while True:
            rows, truth = np.empty((CHUNK, 1)), np.empty(CHUNK)
            context = sources.markov_walk(
                rng.random(CHUNK), cumulative, surprise, context, rows, truth
            )
            yield rows, truth

    rate = entropy_rate(table)
    return Stream(
        name="markov3",
        sensors=(CategoricalSensor(n_symbols, "symbol"),),
        chunks=from_the_start(make),
        rate=rate,
        rates=None if rate is None else (rate,),
        has_truth=True,
        description=f"Markov chain of order {order}, {n_symbols} symbols, every context a "
        f"Dirichlet({concentration:g}) draw",
    )


def entropy_rate(table: Array) -> float | None:
    """Entropy rate in nats a step of the chain that starts in context 0.

    sum_c pi_c H(table[c]), where the distribution pi of the contexts is the limit of
    pi <- (pi + pi P) / 2, which converges for periodic chains too; None where it has not come
    within 1e-12 after 20,000 rounds, as the chain is then too slow for a rate to mean much.
    """
    n_contexts, n_symbols = table.shape
    pi = np.zeros(n_contexts)
    pi[0] = 1.0
    for _ in range(20_000):
        # Contexts that differ in their oldest symbol only lead to the same ones.
        joint = (pi[:, None] * table).reshape(n_symbols, n_contexts // n_symbols, n_symbols)
        new = 0.5 * (pi + joint.sum(axis=0).ravel())
        change = np.abs(new - pi).sum()
        pi = new
        if change < 1e-12:
            return float(pi @ entr(table).sum(axis=1))
    return None
