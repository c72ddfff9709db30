"""Prediction of symbols: a softmax readout mixed with counts after contexts of all orders."""

from __future__ import annotations

from math import log, log1p, sqrt
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import vector_kernel
from neurolp.kernels.stream_passes import fill, softmax
from neurolp.kernels.stream_state import Contexts, Rates, Senses

# Curvature of -log softmax in a logit, p (1 - p), for the p that matter: between 0.05 and 0.3.
SYMBOL_CURVATURE = 0.15
BACK_OFF = 2.0  # how many counts of a longer context outweigh the next shorter one
SLOTS_TRIED = 4
MIXING_BUCKETS = 12

_TINY = 1e-300


@vector_kernel
def observe_symbol(
    x: float, s: int, contexts: Contexts, rates: Rates, learn: bool,
    o: Array, error: Array, slots: Array, bucket: Array, logs: Array,
) -> float:  # fmt: skip
    """Surprise of one symbol, update of the counts, and the readout's error in logits.

    ``o`` comes as the readout's logits and leaves as probabilities.
    """
    has_contexts = contexts.counts.shape[1] > 0
    softmax(o)
    for y in range(o.shape[0]):
        error[y] = -o[y] / SYMBOL_CURVATURE
    if has_contexts:
        mix(contexts, s, o, slots, bucket, logs)
    if np.isnan(x):
        fill(error, 0.0)
        return np.nan
    seen = int(x)
    error[seen] += 1.0 / SYMBOL_CURVATURE
    if learn and has_contexts:
        learn_contexts(contexts, s, seen, o, slots, bucket, logs, rates.mixing)
    return -log(max(o[seen], _TINY))


@vector_kernel
def receive_symbol(
    x: float, s: int, senses: Senses, contexts: Contexts, expected: Array, received: Array
) -> None:
    """Input of the memory from a symbol; a missing one is replaced by its probabilities."""
    a = senses.output[s]
    for y in range(received.shape[0]):
        here = expected[y] if np.isnan(x) else (1.0 if y == int(x) else 0.0)
        received[y] = (here - senses.location[a + y]) / senses.scale[a + y]
    depth = contexts.history.shape[1]
    if depth > 0:
        if np.isnan(x):
            contexts.known[s] = 0
            return
        for k in range(depth - 1, 0, -1):
            contexts.history[s, k] = contexts.history[s, k - 1]
        contexts.history[s, 0] = int(x)
        contexts.known[s] = min(contexts.known[s] + 1, depth)


@vector_kernel
def mix(contexts: Contexts, s: int, dense: Array, slots: Array, bucket: Array, logs: Array) -> None:
    """Mix the readout's probabilities in ``dense`` with those of the contexts of a sensor.

    The context of order r predicts p_r = (c + b p_{r-1}) / (n + b), c its counts, n their sum, b
    the back-off; p = softmax(sum_r w_r log p_r), with weights for each order and magnitude of n.
    """
    n_symbols = dense.shape[0]
    n_orders = contexts.counts.shape[1]
    last = contexts.counts.shape[3] - 1
    for y in range(n_symbols):
        logs[n_orders, y] = log(max(dense[y], _TINY))
        dense[y] = 1.0 / n_symbols
    bucket[n_orders] = 0
    for r in range(n_orders):
        slots[r] = -1
        if r == 0:
            slots[0] = 0
        elif r <= contexts.known[s]:
            slots[r] = _find(contexts.key[s, r - 1], contexts.counts[s, r], contexts.history[s], r)
        bucket[r] = 0
        if slots[r] >= 0:
            count = contexts.counts[s, r, slots[r]]
            n = count[last]
            for y in range(n_symbols):
                dense[y] = (count[y] + BACK_OFF * dense[y]) / (n + BACK_OFF)
            bucket[r] = min(int(2.0 * log1p(n)), MIXING_BUCKETS - 1)
        for y in range(n_symbols):
            logs[r, y] = log(dense[y])
    for y in range(n_symbols):
        total = 0.0
        for r in range(n_orders + 1):
            total += contexts.mixing[s, r, bucket[r]] * logs[r, y]
        dense[y] = total
    softmax(dense)


@vector_kernel
def learn_contexts(
    contexts: Contexts,
    s: int,
    x: int,
    p: Array,
    slots: Array,
    bucket: Array,
    logs: Array,
    rate: float,
) -> None:
    """Update each mixing weight by log p_r(x) - E[log p_r]; the present contexts count x."""
    n_symbols = p.shape[0]
    n_orders = contexts.counts.shape[1]
    last = contexts.counts.shape[3] - 1
    for r in range(n_orders + 1):
        error = logs[r, x]
        for y in range(n_symbols):
            error -= p[y] * logs[r, y]
        contexts.slopes[s, r, bucket[r]] += error * error
        contexts.mixing[s, r, bucket[r]] += rate * error / sqrt(contexts.slopes[s, r, bucket[r]])
    for r in range(min(n_orders, contexts.known[s] + 1)):
        slot = slots[r]
        if slot < 0:
            slot = -1 - slot
            contexts.key[s, r - 1, slot] = _context_code(contexts.history[s], r)
            contexts.counts[s, r, slot] = 0
        contexts.counts[s, r, slot, x] += 1
        contexts.counts[s, r, slot, last] += 1


@vector_kernel
def _find(key: Array, count: Array, history: Array, order: int) -> int:
    """Slot of the context of the last ``order`` symbols; -1 - (slot to be taken) if new.

    A context is identified by a hash of 64 bits. It may be in ``SLOTS_TRIED`` slots; a new one
    takes a free slot, or that of the context counted least.
    """
    code = _context_code(history, order)
    start = int((code >> np.uint64(20)) % np.uint64(key.shape[0])) & ~(SLOTS_TRIED - 1)
    least, fired = start, np.inf
    for s in range(start, start + SLOTS_TRIED):
        if key[s] == code:
            return s
        total = 0.0 if key[s] == 0 else count[s, count.shape[1] - 1]
        if total < fired:
            least, fired = s, total
    return -1 - least


@vector_kernel
def _context_code(history: Array, order: int) -> Any:
    code = np.uint64(0x9E3779B97F4A7C15)
    for k in range(order):
        code = (code ^ np.uint64(history[k] + 1)) * np.uint64(0xBF58476D1CE4E5B9)
        code ^= code >> np.uint64(27)
    return code | np.uint64(1)
