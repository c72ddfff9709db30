"""Predictions of symbols from the counts after contexts: a chain of Kneser and Ney, and a sum.

The chain, for each context i beginning with the shortest, with discount d and prior strength theta,

    q_i(a) = (max(n_a - d, 0) + (theta + sum_b min(d, n_b)) q_parent(a)) / (sum_b n_b + theta),

and the sum P(a) = softmax(sum_i M_i(a) + B_i(N, n_a) + R_i(run) [a = latest]) + X(match) [a =
match]) of weights of entries, of magnitudes of counts, of how often the latest symbol followed in a
row, and of the match. Each learns from its own log loss.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_contexts import ABSENT
from neurolp.kernels.stream_match import match_length, matched
from neurolp.kernels.stream_mixing import softmax_of
from neurolp.kernels.stream_state import Contexts

N_BUCKETS = 12  # classes of magnitudes of counts
N_RUNS = 16
N_DISTINCT = 9  # classes of the number of different symbols after a context

_CHAIN_RATE = 0.02
_ENTRY_RATE, _ENTRY_DECAY = 0.3, -0.4
_BUCKET_RATE, _RUN_RATE = 0.002, 0.005


@ordered_kernel
def bucket(n: float) -> int:
    """Class of the magnitude of a count: two for each power of 2 of n + 1."""
    bits = np.float64(n + 1.0).view(np.int64) >> np.int64(51)
    return min(int(bits) - 2 * 1023, N_BUCKETS - 1)


@ordered_kernel
def predict_chain(contexts: Contexts, v: int, slots: Array, q: Array, logs: Array) -> None:
    """Write q_i (I, K) of all contexts, and log q_i; q of an absent one is that of its parent."""
    n_symbols = q.shape[1]
    for i in range(slots.shape[0]):
        parent, slot = contexts.parent[v, i], slots[i]
        rest = share = 1.0
        d = 0.0
        if slot != ABSENT:
            d, theta = _discount_and_prior(contexts, v, i, slot)
            n, rest = theta, theta
            entry = contexts.first[v, slot] - 1
            while entry >= 0:
                n += contexts.counts[v, entry]
                rest += min(d, contexts.counts[v, entry])
                entry = contexts.following[v, entry] - 1
            share = 1.0 / n
            rest *= share
        log_rest = log(rest)
        if parent >= 0:
            for a in range(n_symbols):
                q[i, a] = rest * q[parent, a]
                logs[i, a] = log_rest + logs[parent, a]
        else:
            for a in range(n_symbols):
                q[i, a] = rest / n_symbols
                logs[i, a] = log_rest - log(n_symbols)
        if slot != ABSENT:
            entry = contexts.first[v, slot] - 1
            while entry >= 0:
                excess = contexts.counts[v, entry] - d
                if excess > 0.0:
                    a = contexts.symbol[v, entry]
                    q[i, a] += excess * share
                    logs[i, a] = log(q[i, a])
                entry = contexts.following[v, entry] - 1


@ordered_kernel
def learn_chain(contexts: Contexts, v: int, slots: Array, q: Array, y: int) -> None:
    """Let the discount and prior of each context follow the gradient of its own log loss.

    In logit d and log theta; an absent context learns nothing.
    """
    for i in range(slots.shape[0]):
        slot, parent = slots[i], contexts.parent[v, i]
        if slot == ABSENT:
            continue
        d, theta = _discount_and_prior(contexts, v, i, slot)
        below = q[parent, y] if parent >= 0 else 1.0 / q.shape[1]
        n, n_discounted, counted = theta, 0.0, 0.0
        entry = contexts.first[v, slot] - 1
        while entry >= 0:
            n += contexts.counts[v, entry]
            if contexts.counts[v, entry] > d:
                n_discounted += 1.0
                if contexts.symbol[v, entry] == y:
                    counted = 1.0
            entry = contexts.following[v, entry] - 1
        scale = _CHAIN_RATE / (n * q[i, y])
        c = min(contexts.distinct[v, slot], N_DISTINCT - 1)
        contexts.discount[v, i, c] += scale * (n_discounted * below - counted) * d * (1.0 - d)
        contexts.prior[v, i, c] += scale * (below - q[i, y]) * theta


@ordered_kernel
def _discount_and_prior(contexts: Contexts, v: int, i: int, slot: int) -> tuple[float, float]:
    c = min(contexts.distinct[v, slot], N_DISTINCT - 1)
    d = 1.0 / (1.0 + exp(-contexts.discount[v, i, c]))
    return d, exp(contexts.prior[v, i, c])


@ordered_kernel
def predict_sum(contexts: Contexts, v: int, slots: Array, p: Array, logs: Array) -> None:
    """Write the softmax of the sum, and its logarithm, (K,)."""
    for a in range(p.shape[0]):
        p[a] = 0.0
    for i in range(slots.shape[0]):
        slot = slots[i]
        if slot == ABSENT:
            continue
        of_total = bucket(contexts.total[v, slot])
        entry = contexts.first[v, slot] - 1
        while entry >= 0:
            of_count = bucket(contexts.counts[v, entry])
            step = contexts.of_bucket[v, i, of_total, of_count]
            p[contexts.symbol[v, entry]] += contexts.weight[v, entry] + step
            entry = contexts.following[v, entry] - 1
        run = min(contexts.run[v, slot], N_RUNS - 1)
        p[contexts.latest[v, slot]] += contexts.of_run[v, i, run]
    found = matched(contexts, v)
    if found >= 0:
        p[found] += contexts.of_match[v, match_length(contexts, v)]
    softmax_of(p, logs)


@ordered_kernel
def learn_sum(contexts: Contexts, v: int, slots: Array, p: Array, y: int) -> None:
    """Let all weights of the sum follow the gradient of log P(y)."""
    for i in range(slots.shape[0]):
        slot = slots[i]
        if slot == ABSENT:
            continue
        contexts.visits[v, slot] += 1
        rate = _ENTRY_RATE * float(contexts.visits[v, slot]) ** _ENTRY_DECAY
        of_total = bucket(contexts.total[v, slot])
        entry = contexts.first[v, slot] - 1
        while entry >= 0:
            error = _error(p, contexts.symbol[v, entry], y)
            of_count = bucket(contexts.counts[v, entry])
            contexts.weight[v, entry] += rate * error
            contexts.of_bucket[v, i, of_total, of_count] += _BUCKET_RATE * error
            entry = contexts.following[v, entry] - 1
        run = min(contexts.run[v, slot], N_RUNS - 1)
        contexts.of_run[v, i, run] += _RUN_RATE * _error(p, contexts.latest[v, slot], y)
    found = matched(contexts, v)
    if found >= 0:
        length = match_length(contexts, v)
        contexts.of_match[v, length] += _RUN_RATE * _error(p, found, y)


@ordered_kernel
def _error(p: Array, a: int, y: int) -> float:
    return (1.0 if a == y else 0.0) - float(p[a])
