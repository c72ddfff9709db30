"""Many streams at once: memories of their own, shared weights, matrix products instead of passes.

The state is a :class:`neurolp.stream.network.StreamState` whose arrays have more axes, see
:mod:`neurolp.kernels.stream_batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.workers import Workers
from neurolp.errors import ConfigurationError
from neurolp.kernels.stream_batch import (
    excite_nodes,
    learn_nodes,
    observe_streams,
    send_back,
    settle_nodes,
)
from neurolp.kernels.stream_state import (
    DIAGONAL_RLS,
    NLMS,
    RLS,
    ExpertScratch,
    Outcome,
    Rates,
    Readout,
    Scratch,
    empty,
    scratch_for,
)
from neurolp.stream.batch_readout import learn_chain, learn_readout
from neurolp.stream.experts import scratch_of
from neurolp.stream.network import LARGEST_STATE, StreamState

OWN = {
    "senses": ("location", "scale", "seen", "ready"),
    "readout": ("factor", "shape", "moments", "innovation", "power", "unknown", "doubt"),
}  # of a stream, beside all experts; streams are the first axis
COLUMNS = ("features", "activity", "trace", "squashed", "post")  # streams are the last axis
_PRODUCTS = 10_000_000  # of two numbers, that a part of a matrix costs at least


def check_size(state: StreamState, n_streams: int, shared: bool) -> None:
    """Raise an error before anything is allocated if so many states would be too large."""
    each = sum(values.nbytes for values in state.to_arrays().values())
    if shared:
        parts = [getattr(getattr(state, part), name) for part in OWN for name in OWN[part]]
        parts += [getattr(state.memory, name) for name in COLUMNS]
        each = sum(values.nbytes for values in (*parts, *state.experts))
    if n_streams * each > LARGEST_STATE:
        raise ConfigurationError(
            f"argument `n_streams` needs {n_streams * each / 1e9:.0f} GB of memory, more than "
            f"{LARGEST_STATE / 1e9:.0f}, but is {n_streams}"
        )


def stacked(state: StreamState, n_streams: int) -> StreamState:
    """The state of ``n_streams`` streams that all begin with the memory of ``state``."""

    def own(values: Array) -> Array:
        out = empty(n_streams, *values.shape, dtype=values.dtype)
        out[...] = values
        return out

    def column(values: Array) -> Array:
        out = empty(*values.shape, n_streams, dtype=values.dtype)
        out[...] = values[:, None]
        return out

    state = state.copy()
    readout = _without_pending(state.readout)
    memory: Any = state.memory
    return StreamState(
        state.senses._replace(**{k: own(getattr(state.senses, k)) for k in OWN["senses"]}),
        memory._replace(**{k: column(getattr(memory, k)) for k in COLUMNS}),
        readout._replace(**{k: own(getattr(readout, k)) for k in OWN["readout"]}),
        state.contexts,
        type(state.experts)(*map(own, state.experts)),
    )


def of_stream(state: StreamState, b: int) -> StreamState:
    """The state of stream ``b``, in views."""
    senses = {k: getattr(state.senses, k)[b] for k in OWN["senses"]}
    readout = {k: getattr(state.readout, k)[b] for k in OWN["readout"]}
    memory: Any = {k: getattr(state.memory, k)[:, b] for k in COLUMNS}
    return StreamState(
        state.senses._replace(**senses),
        state.memory._replace(**memory),
        state.readout._replace(**readout),
        state.contexts,
        type(state.experts)(*(values[b] for values in state.experts)),
    )


def _without_pending(readout: Readout) -> Readout:
    """The readout with the update of its last step done, which one stream leaves to the next."""
    for which, p in enumerate((readout.covariance_symbols, readout.covariance_values)):
        if len(p) > 1:
            np.add(p, np.outer(readout.pending[which], readout.left[which]), out=p)
    readout.pending[:] = readout.left[:] = 0.0
    return readout


@dataclass(frozen=True)
class Part:
    """Streams first .. last - 1, and work arrays for them."""

    first: int
    last: int
    scratch: Scratch
    room: ExpertScratch


def parts_of(state: StreamState, n_streams: int, n_threads: int) -> list[Part]:
    """The streams in as many parts as there are threads; in one if they have no experts."""
    one = of_stream(state, 0)
    n_parts = min(n_threads, n_streams) if one.experts.seen.size else 1
    ends = [k * n_streams // n_parts for k in range(n_parts + 1)]
    largest = int(state.senses.size.max())
    return [
        Part(
            first, last, scratch_for(one.memory, one.readout),
            scratch_of(one.experts, largest),
        )
        for first, last in pairwise(ends)
    ]  # fmt: skip


class Steps:
    """Steps of all streams; ``workers`` do their parts.

    A context: at its end the covariance of the memory gets the update of the last step, which the
    next step does while it reads the matrix.
    """

    def __init__(
        self, state: StreamState, rates: Rates, outcome: Outcome, activity: Array,
        workers: Workers, parts: Sequence[Part],
    ) -> None:  # fmt: skip
        self.state, self.rates, self.workers, self.parts = state, rates, workers, parts
        self.outcome = outcome  # streams are the first axis
        self.activity = activity  # (B, n_steps or 0, n)
        self._pending: Array | None = None  # V (B, M) of the update P <- P - V' V

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            p = self.state.readout.covariance_values
            self._over(len(p), lambda rows: _subtract(p[rows], pending, rows))

    def present(self, codes: Array, learn: bool, t: int) -> int:
        """Present codes (B, n_codes) of step ``t``; the first stream with a bad surprise, or -1."""
        state, rates = self.state, self.rates
        memory, readout, senses = state.memory, state.readout, state.senses
        n_streams, n_outputs = len(codes), len(readout.weights)
        z = memory.features
        gain, q = self._gain(z)
        o = np.ascontiguousarray((readout.weights @ z).T)
        error, received = np.zeros((n_streams, n_outputs)), np.zeros((n_streams, n_outputs))
        observed = np.zeros((n_streams, len(senses.kind)), np.bool_)
        if self.activity.shape[1]:
            self.activity[:, t] = memory.activity.T
        doubt = np.zeros(n_streams) if rates.rule == NLMS else q
        bad = self._observe(t, codes, learn, doubt, o, error, received, observed)
        if bad >= 0:
            return bad
        n_learning = int(observed.any(axis=1).sum())
        weight = 1.0 / n_learning if learn and n_learning else 0.0
        hidden = weight if rates.recurrent > 0.0 else 0.0
        if hidden:
            self._learn_hidden(error, hidden)
        regained = None
        if learn and rates.rule == RLS and rates.process_noise > 0.0:
            lost = rates.prior_values - np.diagonal(readout.covariance_values)
            regained = rates.process_noise * np.maximum(lost, 0.0)
        if learn and n_learning:
            self._pending = learn_readout(readout, senses, rates, z, gain, q, error, observed)
            learn_chain(readout, senses, rates, doubt, error, observed)
        if regained is not None:
            np.einsum("ii->i", readout.covariance_values)[:] += regained
        counts = observed.any(axis=1) if n_learning else np.ones(n_streams, np.bool_)
        homeostasis = np.asarray(counts * (rates.homeostasis / counts.sum() if learn else 0.0))
        self._remember(received, hidden if rates.connectivity else 0.0, homeostasis)
        return -1

    def _gain(self, z: Array) -> tuple[Array, Array]:
        """Gains (M, B) and uncertainties (B,)."""
        p, pending = self.state.readout.covariance_values, self._pending
        if self.rates.rule == RLS:
            gain = np.empty_like(z)

            def read(rows: slice) -> None:
                if pending is not None:
                    _subtract(p[rows], pending, rows)
                np.dot(p[rows], z, out=gain[rows])

            self._over(len(z), read)
            self._pending = None
        else:
            gain = z * p[0][:, None] if self.rates.rule == DIAGONAL_RLS else z
        return gain, np.maximum(np.einsum("mb,mb->b", z, gain), 0.0)

    def _observe(
        self, t: int, codes: Array, learn: bool, q: Array, o: Array, error: Array,
        received: Array, observed: Array,
    ) -> int:  # fmt: skip
        state = self.state

        def observe(part: Part) -> int:
            return observe_streams(
                part.first, part.last, t, codes, learn, state.senses, state.readout,
                state.experts, self.rates, q, o, error, received, observed, self.outcome,
                part.scratch, part.room,
            )  # fmt: skip

        found = self.workers.map(observe, self.parts)
        return next((bad for bad in found if bad >= 0), -1)

    def _learn_hidden(self, error: Array, weight: float) -> None:
        """Learning signals of all nodes, and the mean step of thresholds and input weights."""
        state = self.state
        memory, n = state.memory, len(state.memory.activity)
        if not n:
            return
        back = state.readout.weights[:, -n:]
        sent, power = np.empty(error.T.shape), np.empty(len(error))
        norm = np.einsum("kn,kn->k", back, back)
        send_back(state.senses, state.readout.factor, error, norm, sent, power)
        share = 0.0
        if memory.first.size:
            share = memory.weight.size / (n * n)
        elif memory.weights.size:
            share = 1.0
        recurrent = share * np.einsum("nb,nb->b", memory.trace, memory.trace)
        received = back.T @ sent
        learn_nodes(
            0, n, memory, received, power, recurrent, weight, self.rates, np.empty(len(error))
        )

    def _remember(self, received: Array, weight: float, homeostasis: Array) -> None:
        """Shift the lagged input, learn and read recurrent weights, update the hidden nodes."""
        memory = self.state.memory
        z, width, n = memory.features, received.shape[1], len(memory.activity)
        if memory.n_lags:
            z[1 + width : 1 + memory.n_lags * width] = z[1 : 1 + (memory.n_lags - 1) * width].copy()
            z[1 : 1 + width] = received.T
        if not n:
            return
        u = np.zeros_like(memory.activity)
        if memory.weights.size:
            if weight:
                signal = memory.post * memory.post.dtype.type(weight)

            def read(rows: slice) -> None:
                part = memory.weights[rows]
                if weight:
                    np.add(part, signal[rows] @ memory.trace.T, out=part)
                    part[np.arange(len(part)), np.arange(n)[rows]] = 0.0  # none feeds itself
                np.dot(part, memory.activity, out=u[rows])

            self._over(n, read)
        excite_nodes(0, n, memory, weight, u)
        settle_nodes(0, n, memory, u, np.empty(u.shape[1]), homeostasis)

    def _over(self, n: int, do: Callable[[slice], Any]) -> None:
        """Call ``do`` for parts of the rows 0 .. n - 1 of a square matrix.

        Parts do not depend on the number of threads, and there is one where the product of the
        matrix with a vector of each stream is done before another thread would begin.
        """
        n_parts = min(max(n * n * len(self.outcome.surprise) // _PRODUCTS, 1), n)
        ends = [k * n // n_parts for k in range(n_parts + 1)]
        self.workers.map(do, [slice(*part) for part in pairwise(ends)])


def _subtract(part: Array, white: Array, rows: slice) -> None:
    """Let P <- P - V' V in some rows, ``part`` of P, given V (B, M)."""
    np.subtract(part, white[:, rows].T @ white, out=part)
