"""Prediction of symbols: contexts and the readout of the network, mixed by neurons."""

from __future__ import annotations

from math import log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_contexts import ABSENT, find, learn_counts
from neurolp.kernels.stream_counts import learn_chain, learn_sum, predict_chain, predict_sum
from neurolp.kernels.stream_match import N_LENGTHS, follow_match, lose_match, match_length
from neurolp.kernels.stream_mixing import N_FIRST, learn_mixing, mix, softmax_of
from neurolp.kernels.stream_passes import fill
from neurolp.kernels.stream_state import Contexts, Rates, Senses, SymbolScratch
from neurolp.kernels.stream_words import class_state, find_codes, follow, lose, word_state

# Curvature of -log softmax in a logit, p (1 - p), for the p that matter: between 0.05 and 0.3.
SYMBOL_CURVATURE = 0.15

_TINY = 1e-300


@ordered_kernel
def observe_symbol(
    x: float, s: int, contexts: Contexts, rates: Rates, learn: bool, o: Array, error: Array,
    room: SymbolScratch,
) -> float:  # fmt: skip
    """Surprise of one symbol, update of the contexts, and the readout's error in logits.

    ``o`` comes as the readout's logits and leaves as probabilities.
    """
    v, n = contexts.number[s], o.shape[0]
    logs = room.logs[room.logs.shape[0] - 1, :n]
    softmax_of(o, logs)
    for y in range(n):
        error[y] = -o[y] / SYMBOL_CURVATURE
    if v >= 0:
        _predict(contexts, v, room, o)
    if np.isnan(x):
        fill(error, 0.0)
        return np.nan
    seen = int(x)
    error[seen] += 1.0 / SYMBOL_CURVATURE
    if learn and v >= 0:
        learn_mixing(contexts, v, room, seen, n, rates.mixing)
        learn_sum(contexts, v, room.slots, room.sum[:n], seen)
        learn_chain(contexts, v, room.slots, room.q[:, :n], seen)
        learn_counts(contexts, v, room.code, room.slots, seen)
    return -log(max(o[seen], _TINY))


@ordered_kernel
def receive_symbol(
    x: float, s: int, senses: Senses, contexts: Contexts, learn: bool, expected: Array,
    received: Array,
) -> None:  # fmt: skip
    """Input of the memory from a symbol; a missing one is replaced by its probabilities."""
    a = senses.output[s]
    for y in range(received.shape[0]):
        here = expected[y] if np.isnan(x) else (1.0 if y == int(x) else 0.0)
        received[y] = (here - senses.location[a + y]) / senses.scale[a + y]
    v = contexts.number[s]
    if v >= 0:
        contexts.now[v] = -1 if np.isnan(x) else int(x)
    if v >= 0 and np.isnan(x):
        lose(contexts, v)
        lose_match(contexts, v)
    elif v >= 0:
        follow(contexts, v, int(x), learn)
        follow_match(contexts, v, int(x), learn)


@ordered_kernel
def _predict(contexts: Contexts, v: int, room: SymbolScratch, p: Array) -> None:
    """Mix the readout, whose log-probabilities are the last input already, with the contexts."""
    n, n_contexts = p.shape[0], room.slots.shape[0]
    find_codes(contexts, v, room.code)
    longest = 0
    for i in range(n_contexts):
        room.slots[i] = ABSENT
        if room.code[i] != np.uint64(0):
            room.slots[i] = find(contexts, v, room.code[i])
        room.present[i] = room.slots[i] != ABSENT
        if room.present[i] and contexts.kind[v, i] >= 0:
            longest = i
    room.present[n_contexts] = room.present[n_contexts + 1] = True
    predict_chain(contexts, v, room.slots, room.q[:, :n], room.logs[:n_contexts, :n])
    predict_sum(contexts, v, room.slots, room.sum[:n], room.logs[n_contexts, :n])
    _select(contexts, v, longest, room.selected)
    mix(contexts, v, room, p)


@ordered_kernel
def _select(contexts: Contexts, v: int, longest: int, selected: Array) -> None:
    """Which weights of each neuron are used; where there are too many, some share theirs."""
    last, classes = contexts.recent[v, 0], class_state(contexts, v)
    length = match_length(contexts, v)
    n_single, n_of_symbols = contexts.single.shape[2], contexts.of_symbols.shape[2]
    n_second = contexts.second.shape[2]
    selected[0], selected[1] = longest % n_single, length % n_single
    selected[2], selected[3] = last % n_of_symbols, classes % n_of_symbols
    selected[4] = word_state(contexts, v) % n_of_symbols
    selected[N_FIRST], selected[N_FIRST + 1] = last % n_second, classes % n_second
    selected[N_FIRST + 2] = (longest * N_LENGTHS + length) % n_second
