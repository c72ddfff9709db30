"""Mixing of predictions of a symbol by neurons that learn from their own surprise, in two layers.

A neuron mixes predictions p_i to f(a) = softmax(sum_i w_i log p_i(a)), with weights that a part of
what came before selects; after symbol y, with x_i = log p_i,

    w_i <- w_i + rate (x_i(y) - sum_a f(a) x_i(a)),       or, with weights of each symbol,
    w_i(a) <- w_i(a) + rate ([a = y] - f(a)) x_i(a).

No neuron sees another's error (gated linear networks: Veness et al., AAAI 2021). The second layer
mixes the neurons of the first, and its neurons have a geometric mean g. The result is the mean of
the f of the first layer and g, p = sum_e v_e p_e, with weights that follow the surprise of each,

    v_e <- (1 - share) v_e p_e(y) / p(y) + share / E.
"""

from __future__ import annotations

from math import log, sqrt

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.exponential import exponential
from neurolp.kernels.stream_passes import ordered_dot, total_of
from neurolp.kernels.stream_state import Contexts, SymbolScratch

# Neurons of the first layer: these have one weight for an input, the others one for each symbol.
N_SINGLE, N_OF_SYMBOLS = 2, 3
N_FIRST = N_SINGLE + N_OF_SYMBOLS
N_SECOND = 3

# Rates in units of that of the mixing: a part that stays, and one that falls with use.
_STAYS, _DECAY = 0.05, 0.02
_OF_SYMBOLS, _SECOND_RATE = 5.0, 1.0 / 6.0
_SHARE = 2e-4
_LOWEST = -700.0


@ordered_kernel
def softmax_of(f: Array, logs: Array) -> None:
    """Turn logits into probabilities, in place, and write their logarithms."""
    top = f[0]
    for a in range(f.shape[0]):
        top = max(top, f[a])
    for a in range(f.shape[0]):
        logs[a] = max(f[a] - top, _LOWEST)
        f[a] = exponential(logs[a])
    total = total_of(f)
    inverse, shift = 1.0 / total, log(total)
    for a in range(f.shape[0]):
        f[a] *= inverse
        logs[a] -= shift


@ordered_kernel
def mix(contexts: Contexts, v: int, room: SymbolScratch, p: Array) -> None:
    """Write the mean of all to ``p`` (K,), from the log-probabilities of the inputs.

    A context that is absent is no input. Weights are differences to the first ones.
    """
    n_symbols, n_inputs = p.shape[0], room.present.shape[0]
    for k in range(N_FIRST):
        f, chosen = room.neuron[k, :n_symbols], room.selected[k]
        for a in range(n_symbols):
            f[a] = 0.0
        for i in range(n_inputs):
            if not room.present[i]:
                continue
            x, first = room.logs[i, :n_symbols], contexts.first_weight[v, i]
            if k < N_SINGLE:
                w = first + contexts.single[v, k, chosen, i]
                for a in range(n_symbols):
                    f[a] += w * x[a]
            else:
                ws = contexts.of_symbols[v, k - N_SINGLE, chosen, i]
                for a in range(n_symbols):
                    f[a] += (first + ws[a]) * x[a]
        softmax_of(f, room.neuron_log[k, :n_symbols])
    g = room.mixed[N_SECOND, :n_symbols]
    for a in range(n_symbols):
        g[a] = 0.0
    for j in range(N_SECOND):
        f, chosen = room.mixed[j, :n_symbols], room.selected[N_FIRST + j]
        for a in range(n_symbols):
            f[a] = 0.0
        for k in range(N_FIRST):
            w, x = 1.0 / N_FIRST + contexts.second[v, j, chosen, k], room.neuron_log[k, :n_symbols]
            for a in range(n_symbols):
                f[a] += w * x[a]
        softmax_of(f, room.mixed_log)
        for a in range(n_symbols):
            g[a] += room.mixed_log[a] / N_SECOND
    softmax_of(g, room.mixed_log)
    for a in range(n_symbols):
        p[a] = contexts.average[v, N_FIRST] * g[a]
    for k in range(N_FIRST):
        for a in range(n_symbols):
            p[a] += contexts.average[v, k] * room.neuron[k, a]


@ordered_kernel
def learn_mixing(
    contexts: Contexts, v: int, room: SymbolScratch, y: int, n: int, rate: float
) -> None:
    """Let each neuron learn from symbol ``y`` of ``n``."""
    _learn_average(contexts.average[v], room, y)
    for j in range(N_SECOND):
        f, chosen = room.mixed[j, :n], room.selected[N_FIRST + j]
        for k in range(N_FIRST):
            x = room.neuron_log[k, :n]
            gradient = x[y] - ordered_dot(f, x)
            contexts.second[v, j, chosen, k] += rate * _SECOND_RATE * gradient
    for k in range(N_FIRST):
        f, chosen = room.neuron[k, :n], room.selected[k]
        step = rate * (_STAYS + 1.0 / sqrt(1.0 + _DECAY * contexts.uses[v, k, chosen]))
        contexts.uses[v, k, chosen] += 1.0
        if k >= N_SINGLE:
            for a in range(n):
                f[a] *= -_OF_SYMBOLS * step
            f[y] += _OF_SYMBOLS * step
        for i in range(room.present.shape[0]):
            if not room.present[i]:
                continue
            x = room.logs[i, :n]
            if k < N_SINGLE:
                contexts.single[v, k, chosen, i] += step * (x[y] - ordered_dot(f, x))
            else:
                ws = contexts.of_symbols[v, k - N_SINGLE, chosen, i]
                for a in range(n):
                    ws[a] += f[a] * x[a]


@ordered_kernel
def _learn_average(average: Array, room: SymbolScratch, y: int) -> None:
    total = 0.0
    for k in range(N_FIRST + 1):
        average[k] *= room.neuron[k, y] if k < N_FIRST else room.mixed[N_SECOND, y]
        total += average[k]
    for k in range(N_FIRST + 1):
        average[k] = (1.0 - _SHARE) * average[k] / total + _SHARE / (N_FIRST + 1)
