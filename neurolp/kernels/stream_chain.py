"""The triangular chain across sensors: what those before in a row say of the next one.

The readout A z of sensor s is moved by what the sensors before it in the row brought,

    o = A z + B r,     g = P r,     v = 1 + q + r' g,
    B <- B + (t - A z - B r) g' / v,     P <- P - g g' / v

with the innovations r = x - A z of values, and q the uncertainty of A z. Where A is learned by
recursive least squares this is that of z and x together, by blocks: A need not know of B
(R. Frisch and F. V. Waugh, Econometrica 1, 1933). Symbols bring, to values, what least squares did
not expect of their indicators; to other symbols sqrt(K) (1[x = y] - p_y), of K symbols with the
probabilities p of the readout. What is missing brings 0.
"""

from __future__ import annotations

from math import sqrt

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_passes import add, ordered_dot
from neurolp.kernels.stream_state import (
    DIAGONAL_RLS,
    NLMS,
    RLS,
    SYMBOLS,
    VALUES,
    Rates,
    Readout,
    Senses,
)
from neurolp.kernels.stream_symbols import SYMBOL_CURVATURE

_POWER_RATE = 0.003
HUBER = 5.0  # rows whose errors are larger, in standard deviations, count less
_TINY = 1e-300


@ordered_kernel
def hear_earlier(
    senses: Senses, readout: Readout, s: int, rates: Rates, o: Array, shift: Array, gain: Array
) -> None:
    """Move the outputs ``o`` (K,) of sensor ``s`` by ``shift`` (K,), and write its doubt.

    The doubt is the variance of the prediction beyond that of the residuals, in units of theirs:
    r' P r, and what missing sensors might have brought.
    """
    n, first, size = senses.output[s], senses.output[s], senses.size[s]
    readout.doubt[s] = 0.0
    for k in range(first, first + size):
        shift[k] = 0.0
    if n == 0:
        return
    r = readout.innovation[senses.kind[s], :n]
    if rates.rule != NLMS:
        readout.doubt[s] = _gain(readout, r, s, rates, gain)
    missed = 0.0
    for k in range(first, first + size):
        shift[k] = ordered_dot(readout.chain[k, :n], r)
        o[k] += shift[k]
        if senses.kind[s] == VALUES:
            variance = _variance_of_missing(senses, readout, s, k, o)
            missed = max(missed, variance / _noise(readout, first, k))
    readout.doubt[s] += missed


@ordered_kernel
def tell_later(
    senses: Senses, readout: Readout, s: int, learn: bool, shift: Array, error: Array,
    received: Array, expected: Array, target: Array,
) -> None:  # fmt: skip
    """Innovations of a sensor that was observed, for those after it.

    All arrays are (K,): ``error`` of the prediction, ``received`` by the memory, ``expected`` of
    indicators by least squares. ``target`` takes what the sensors before have to explain. Of values
    ``error`` becomes that of the memory alone. A softmax has no such parts: of symbols it stays
    that of both.
    """
    first, size = senses.output[s], senses.size[s]
    for k in range(first, first + size):
        target[k] = error[k] + shift[k]
        if senses.kind[s] == VALUES:
            error[k] = target[k]
            readout.innovation[SYMBOLS, k] = readout.innovation[VALUES, k] = error[k]
            rate = max(1.0 / (senses.seen[s] + 1.0), _POWER_RATE) if learn else 0.0
            readout.power[k] += rate * (error[k] * error[k] - readout.power[k])
        else:
            readout.innovation[SYMBOLS, k] = sqrt(size) * SYMBOL_CURVATURE * error[k]
            if readout.linear.shape[0] > 0:
                readout.innovation[VALUES, k] = received[k] - expected[k]


@ordered_kernel
def say_nothing(senses: Senses, readout: Readout, s: int) -> None:
    """Let a sensor that is missing, or has no units yet, bring nothing to those after it."""
    for k in range(senses.output[s], senses.output[s] + senses.size[s]):
        readout.innovation[SYMBOLS, k] = readout.innovation[VALUES, k] = 0.0


@ordered_kernel
def learn_from_earlier(
    senses: Senses, readout: Readout, s: int, rates: Rates, q: float, target: Array, gain: Array
) -> None:
    """Learn how the outputs of sensor ``s`` differ from what the memory said, ``target`` (K,).

    ``q`` is the uncertainty of what the memory said; 0 with NLMS. An outlier counts as much as an
    error of 5 standard deviations.
    """
    n = senses.output[s]
    if n == 0:
        return
    r, last = readout.innovation[senses.kind[s], :n], n + senses.size[s]
    doubt = _gain(readout, r, s, rates, gain)
    weight = 1.0
    if senses.kind[s] == VALUES:
        for k in range(n, last):
            noise = (1.0 + q + doubt) * _noise(readout, n, k)
            error = abs(target[k] - ordered_dot(readout.chain[k, :n], r))
            weight = min(weight, HUBER * sqrt(noise) / max(error, _TINY))
    step = weight / (1.0 + q + weight * doubt)
    share = rates.readout if rates.rule == NLMS else 1.0
    for k in range(n, last):
        error = target[k] - ordered_dot(readout.chain[k, :n], r)
        add(readout.chain[k, :n], share * step * error, gain[:n])
    if rates.rule == NLMS:
        return
    p = readout.chain_covariance[s]
    if rates.rule == RLS:
        for i in range(n):
            add(p[i, :n], -step * gain[i], gain[:n])
    else:
        for i in range(n):
            p[0, i] /= 1.0 + weight * p[0, i] * r[i] * r[i] / (1.0 + q)
    if rates.rule == RLS and rates.process_noise > 0.0:
        prior = rates.chain_symbols if senses.kind[s] == SYMBOLS else rates.chain_values
        for i in range(n):
            p[i, i] += rates.process_noise * max(prior - p[i, i], 0.0)


@ordered_kernel
def _noise(readout: Readout, first: int, k: int) -> float:
    """Variance of the residuals of output ``k`` of a sensor with this first one."""
    row = readout.factor[k, first : k + 1]
    return ordered_dot(row, row)


@ordered_kernel
def _gain(readout: Readout, r: Array, s: int, rates: Rates, gain: Array) -> float:
    """Gain P r of sensor ``s``, and r' P r; of NLMS r and its square."""
    n = r.shape[0]
    for i in range(n):
        if rates.rule == RLS:
            gain[i] = ordered_dot(readout.chain_covariance[s, i, :n], r)
        elif rates.rule == DIAGONAL_RLS:
            gain[i] = readout.chain_covariance[s, 0, i] * r[i]
        else:
            gain[i] = r[i]
    return max(ordered_dot(gain[:n], r), 0.0)


@ordered_kernel
def _variance_of_missing(senses: Senses, readout: Readout, s: int, k: int, o: Array) -> float:
    """Variance of output ``k`` of sensor ``s`` from the missing sensors before it.

    Values count as if all of them erred together; ``o`` holds the probabilities of symbols.
    """
    total = together = 0.0
    for j in range(s):
        if not readout.unknown[j]:
            continue
        a, b = senses.output[j], senses.output[j] + senses.size[j]
        weight = readout.chain[k, a:b]
        if senses.kind[j] == VALUES:
            for i in range(b - a):
                together += abs(weight[i]) * sqrt(readout.power[a + i])
        else:
            first = second = 0.0
            for y in range(b - a):
                first += weight[y] * o[a + y]
                second += weight[y] * weight[y] * o[a + y]
            total += (b - a) * max(second - first * first, 0.0)
    return total + together * together
