"""Steps of many streams whose memories are their own and whose weights are shared.

Named tuples are those of one stream, with more axes: what each stream has of its own (units, laws
of residuals, experts) has the streams first; features and hidden nodes (n, B) have them last, so
that an edge is read once for all of them. What is learned of shared weights is the mean over the B
streams.
"""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel, vector_kernel
from neurolp.kernels.stream import CLIP, end_step, observe_sensor
from neurolp.kernels.stream_chain import hear_earlier, say_nothing, tell_later
from neurolp.kernels.stream_passes import squash
from neurolp.kernels.stream_state import (
    VALUES,
    Experts,
    ExpertScratch,
    Memory,
    Outcome,
    Rates,
    Readout,
    Scratch,
    Senses,
)


@ordered_kernel
def experts_of(e: Experts, b: int) -> Experts:
    """The experts of stream b, views."""
    return Experts(
        e.value[b], e.seen[b], e.stored[b], e.end[b], e.past[b], e.unit[b], e.level[b], e.other[b],
        e.same_step[b], e.size[b], e.factor[b], e.target[b], e.prior[b], e.period[b],
        e.compared[b], e.due[b], e.differences[b], e.season_factor[b], e.season_target[b],
        e.season_prior[b], e.scale[b], e.average[b], e.blend[b], e.ladder[b], e.moments[b],
        e.weight[b], e.awake[b], e.share[b], e.bounds[b], e.mean[b], e.doubt[b], e.slope[b],
        e.expected[b], e.now[b], e.known[b], e.spread[b],
    )  # fmt: skip


@ordered_kernel
def senses_of(s: Senses, b: int) -> Senses:
    """The sensors of stream b, views."""
    return Senses(
        s.kind, s.column, s.output, s.size, s.location[b], s.scale[b], s.seen[b], s.ready[b],
        s.cell, s.least,
    )  # fmt: skip


@ordered_kernel
def readout_of(r: Readout, b: int) -> Readout:
    """The readout with the laws of residuals of stream b, views."""
    return Readout(
        r.weights, r.covariance_symbols, r.covariance_values, r.gain, r.pending, r.left,
        r.factor[b], r.shape[b], r.moments[b], r.chain, r.chain_covariance, r.innovation[b],
        r.power[b], r.linear,
        r.unknown[b], r.doubt[b],
    )  # fmt: skip


@ordered_kernel
def observe_streams(
    first: int, last: int, t: int, rows: Array, learn: bool, senses: Senses, readout: Readout,
    experts: Experts, rates: Rates, q: Array, o: Array, error: Array, received: Array,
    observed: Array, outcome: Outcome, scratch: Scratch, room: ExpertScratch,
) -> int:  # fmt: skip
    """Surprise of the rows (B, n_codes) of step t of the streams first .. last - 1.

    Their experts and laws of residuals learn. ``o``, ``error`` and ``received`` are (B, K), ``q``
    (B,), ``observed`` (B, S): which sensors the readout can learn from. Returns the first stream
    with a surprise that is infinite or NaN, -1 if there is none.
    """
    bad = -1
    wanted = t if outcome.prediction.shape[1] > 0 else 0
    for b in range(first, last):
        mine, law, own = senses_of(senses, b), readout_of(readout, b), experts_of(experts, b)
        good = True
        for s in range(mine.kind.shape[0]):
            i, j, column = mine.output[s], mine.output[s] + mine.size[s], mine.column[s]
            part = rows[b, column : column + mine.size[s]]
            missing = np.isnan(part[0])
            hear_earlier(mine, law, s, rates, o[b], scratch.shift, scratch.gain)
            surprise = observe_sensor(
                part, s, mine, law, own, learn, q[b] + law.doubt[s], o[b, i:j], error[b, i:j],
                scratch.pit[i:j], received[b, i:j], scratch.mean[i:j], scratch.log_density[i:j],
                outcome.prediction[b, wanted:], outcome.spread[b, wanted:], room,
            )  # fmt: skip
            outcome.surprise[b, t, s] = surprise
            good &= missing or np.isfinite(surprise)
            law.unknown[s] = missing or not mine.ready[s]
            observed[b, s] = not law.unknown[s]
            if law.unknown[s]:
                say_nothing(mine, law, s)
            else:
                tell_later(
                    mine, law, s, learn, scratch.shift, error[b], received[b], scratch.expected,
                    scratch.target,
                )  # fmt: skip
            if observed[b, s] and learn:
                mine.seen[s] += 1
        for k in range(o.shape[1]):
            outcome.pit[b, t, k] = scratch.pit[k]
        if good:
            end_step(rows[b], mine, own, learn, room)
        elif bad < 0:
            bad = b
    return bad


@ordered_kernel
def send_back(
    senses: Senses, factor: Array, error: Array, norm: Array, sent: Array, power: Array
) -> None:
    """Errors (B, K) as they are sent back to hidden nodes, into (K, B), and their power (B,).

    ``norm`` (K,) holds the squared norms of the weights along which they are sent.
    """
    for b in range(error.shape[0]):
        power[b] = 1e-3
        for s in range(senses.kind.shape[0]):
            for k in range(senses.output[s], senses.output[s] + senses.size[s]):
                e = error[b, k]
                if senses.kind[s] == VALUES:
                    limit = CLIP * factor[b, k, k]
                    e = min(max(e, -limit), limit)
                sent[k, b] = e
                if e != 0.0:
                    power[b] += norm[k]


@vector_kernel
def learn_nodes(
    first: int, last: int, memory: Memory, back: Array, power: Array, recurrent: Array,
    weight: float, rates: Rates, energy: Array,
) -> None:  # fmt: skip
    """Learning signals of the nodes first .. last - 1, and what their thresholds and inputs learn.

    ``back`` (n, B) is what was sent back, ``recurrent`` (B,) the power of recurrent input,
    ``weight`` that of a stream in the mean; ``energy`` (B,) is scratch.
    """
    z, n_streams = memory.features, back.shape[1]
    for i in range(first, last):
        edges = range(memory.afferent_first[i], memory.afferent_first[i + 1])
        for b in range(n_streams):
            energy[b] = 1.0 + recurrent[b]
        for e in edges:
            j = memory.afferent_source[e]
            for b in range(n_streams):
                energy[b] += z[j, b] * z[j, b]
        total = 0.0
        for b in range(n_streams):
            slope = 1.0 - memory.squashed[i, b] * memory.squashed[i, b]
            memory.post[i, b] = back[i, b] * rates.recurrent * slope / (power[b] * energy[b])
            total += memory.post[i, b]
        if rates.inputs:
            memory.bias[i] += weight * total
            for e in edges:
                j, total = memory.afferent_source[e], 0.0
                for b in range(n_streams):
                    total += memory.post[i, b] * z[j, b]
                memory.afferent_weight[e] += weight * total


@vector_kernel
def excite_nodes(first: int, last: int, memory: Memory, weight: float, u: Array) -> None:
    """Add to the potentials ``u`` (n, B) of nodes first .. last - 1 what all their edges bring.

    Recurrent weights on edges learn before: by ``weight`` times the sum over streams of learning
    signal times trace; 0 if they do not learn.
    """
    z, h, n_streams = memory.features, memory.activity, u.shape[1]
    for i in range(first, last):
        if memory.first.shape[0] > 0:
            for e in range(memory.first[i], memory.first[i + 1]):
                j, w = memory.source[e], memory.weight[e]
                if weight > 0.0:
                    total = 0.0
                    for b in range(n_streams):
                        total += memory.post[i, b] * memory.trace[j, b]
                    w += weight * total
                    memory.weight[e] = w
                for b in range(n_streams):
                    u[i, b] += w * h[j, b]
        for b in range(n_streams):
            u[i, b] += memory.bias[i]
        for e in range(memory.afferent_first[i], memory.afferent_first[i + 1]):
            j, v = memory.afferent_source[e], memory.afferent_weight[e]
            for b in range(n_streams):
                u[i, b] += v * z[j, b]


@vector_kernel
def settle_nodes(
    first: int, last: int, memory: Memory, u: Array, power: Array, homeostasis: Array
) -> None:
    """Let nodes first .. last - 1 take the activity that their potentials ``u`` (n, B) ask for.

    ``power`` (B,) is scratch; ``homeostasis`` (B,) are the rates of the streams in the mean.
    """
    z, n_streams = memory.features, u.shape[1]
    start = z.shape[0] - memory.activity.shape[0]
    for i in range(first, last):
        leak = memory.leak[i]
        squash(u[i], power, memory.squashed[i])
        for b in range(n_streams):
            memory.trace[i, b] += leak * (memory.activity[i, b] - memory.trace[i, b])
            memory.bias[i] -= homeostasis[b] * memory.squashed[i, b]
            memory.activity[i, b] += leak * (memory.squashed[i, b] - memory.activity[i, b])
            z[start + i, b] = memory.activity[i, b]
