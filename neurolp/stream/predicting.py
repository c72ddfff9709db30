"""Predictions of sensors of values, from what the kernels leave in their arrays."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels.stream_experts import write_components
from neurolp.kernels.stream_laws import LOG_TAIL, N_FREE, N_RUNGS, SCALES, TAIL_SCALES, TAIL_SHARE
from neurolp.kernels.stream_means import FIRST_VALUES, IN_SENSOR, REGRESSIONS, SIMPLE
from neurolp.kernels.stream_state import VALUES, Experts
from neurolp.stream.experts import scratch_of
from neurolp.stream.network import StreamState
from neurolp.stream.prediction import ValuePrediction


def predict_values(
    state: StreamState, shown: StreamState, s: int, at: slice, nlms: bool
) -> ValuePrediction:
    """Prediction of sensor ``s``, whose outputs are ``at``.

    ``state`` is that before the step, ``shown`` as the kernel left it when it was shown what is
    known of the row, without this sensor. The rule ``nlms`` knows no doubt of the memory.
    """
    readout, senses, z = shown.readout, state.senses, state.memory.features
    experts = shown.experts
    by_readout = None
    if senses.ready[s]:
        q = 0.0 if nlms else float(max(z @ readout.gain[VALUES], 0.0))
        scale, n = senses.scale[at], at.start
        mean = readout.weights[at] @ z + readout.chain[at, :n] @ readout.innovation[VALUES, :n]
        by_readout = ValuePrediction.of_chain(
            senses.location[at] + scale * mean,
            scale[:, None] * readout.factor[at, at] * np.sqrt(1 + q + readout.doubt[s]),
            readout.shape[at].copy(),
        )
    v = experts.value[s]
    if by_readout is not None and (v < 0 or experts.seen[v] < FIRST_VALUES):
        return by_readout
    return _of_experts(experts, s, at.stop - at.start, by_readout)


def _of_experts(
    experts: Experts, s: int, d: int, readout: ValuePrediction | None
) -> ValuePrediction:
    """Distribution of the d values of sensor ``s``, from the means that the kernel has written.

    ``readout`` is the prediction of the readout with its own law, if there is one.
    """
    at = slice(experts.value[s], experts.value[s] + d)
    reference, means = experts.expected[at].copy(), experts.mean[at].copy()
    n_means = means.shape[1]
    means = np.concatenate([means, reference[:, None]], axis=1)  # the last is that of the tail
    slope = np.zeros((d, n_means + 1, d))
    n_sizes = len(experts.size)
    for i in range(d):
        v = experts.value[s] + i
        for r in range(REGRESSIONS):
            for o in np.flatnonzero(experts.same_step[v] == IN_SENSOR):
                j = experts.other[v, o] - experts.value[s]
                slope[i, SIMPLE + (r + 1) * n_sizes - 1, j] = experts.slope[v, r, o]
        if readout is not None:
            slope[i, n_means - 1] = readout.slope[i, 0]
            before = reference[:i] - readout.reference[:i]
            means[i, n_means - 1] += readout.slope[i, 0, :i] @ before
    parts = [_components(experts, experts.value[s] + i, i, readout) for i in range(d)]
    n = max(len(part) for part in parts)
    component = np.zeros((d, n, 4))
    component[..., 3] = 1.0
    for i, part in enumerate(parts):
        component[i, : len(part)] = part
    return ValuePrediction(reference, means, slope, component)


def _components(experts: Experts, v: int, i: int, readout: ValuePrediction | None) -> Array:
    """Mean's number, weight, offset and scale of all components of a value, (C, 4)."""
    n_means = experts.awake.shape[1]
    rows = np.zeros((n_means * SCALES * (1 + N_RUNGS + N_FREE), 4))
    own = write_components(experts, v, scratch_of(experts, 1), rows)
    out = [rows[rows[:, 1] > 0]]
    if readout is not None:
        law = readout.component[i].copy()
        law[:, 0] = n_means - 1
        law[:, 1] *= own / law[:, 1].sum()
        out.append(law)
    tail = np.zeros((len(TAIL_SCALES), 4))
    tail[:, 0] = n_means
    tail[:, 1] = TAIL_SHARE * np.exp(LOG_TAIL)
    tail[:, 3] = experts.spread[v] * TAIL_SCALES
    return np.concatenate([*out, tail])
