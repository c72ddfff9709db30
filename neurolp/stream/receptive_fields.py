"""Input weights of hidden nodes that hear windows of values and traces of symbols."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels.stream_state import VALUES, Senses

ReceptiveFields = Literal["lags", "windows"]

_LONGEST_WINDOW = 12  # lags of a value that a node hears
_SMOOTHED = 3  # lags over which the weights of a longer window are averaged
_TIME_CONSTANTS = (2.0, 20.0)  # of traces of symbols, steps
_TRACED = 0.5  # share of the nodes with a window that also hear symbols
_TRACE = 2.0  # size of the weights of a trace, in those of a window


class Drawn(Protocol):
    """What is asked of :class:`neurolp.stream.network.StreamDesign`."""

    @property
    def n_hidden(self) -> int:
        """Number of hidden nodes."""

    @property
    def n_lags(self) -> int:
        """Steps for which the input stays in the memory."""

    @property
    def strength(self) -> float:
        """Norm of the weights of a window."""


def draw_windows(design: Drawn, senses: Senses, rng: np.random.Generator) -> tuple[Array, Array]:
    """Weights (n_hidden, n_lags, n_outputs) from the past, and thresholds (n_hidden,).

    A node hears one value at 1 to 12 successive lags, with normal weights (those of a window of
    more than 3 lags are averaged over 3) of norm ``strength``. Half of the nodes, and all where
    there are no values, also hear a trace of one sensor of symbols: all lags, with weights
    a_y exp(-lag / tau) for the symbol y, tau uniform in 2 .. 20 steps, the a_y normal with sum 0.
    Thresholds are normal of size ``strength``, and make up for a past of nothing but the symbol 0.
    """
    n_lags, n_outputs = design.n_lags, len(senses.location)
    weights, bias = np.zeros((design.n_hidden, n_lags, n_outputs)), np.zeros(design.n_hidden)
    values = [
        senses.output[s] + i
        for s in range(len(senses.kind))
        if senses.kind[s] == VALUES
        for i in range(senses.size[s])
    ]
    symbols = np.flatnonzero(senses.kind != VALUES)
    for i in range(design.n_hidden if n_lags else 0):
        bias[i] = design.strength * rng.standard_normal()
        if values:
            value = values[int(rng.integers(len(values)))]
            n = int(rng.integers(1, min(_LONGEST_WINDOW, n_lags) + 1))
            start = int(rng.integers(n_lags - n + 1))
            window = rng.standard_normal(n)
            if n > _SMOOTHED:
                window = np.convolve(window, np.full(_SMOOTHED, 1 / _SMOOTHED), "same")
            weights[i, start : start + n, value] = design.strength * window / np.linalg.norm(window)
        if len(symbols) and (not values or rng.random() < _TRACED):
            s = int(symbols[rng.integers(len(symbols))])
            trace = np.exp(-np.arange(n_lags) / rng.uniform(*_TIME_CONSTANTS))
            each = _TRACE * design.strength * rng.standard_normal(senses.size[s])
            each -= each.mean()
            at = slice(senses.output[s], senses.output[s] + senses.size[s])
            weights[i, :, at] = trace[:, None] * each
            resting = -senses.location[at] / senses.scale[at]
            resting[0] += 1.0 / senses.scale[at][0]
            bias[i] -= trace.sum() * float(each @ resting)
    return weights, bias
