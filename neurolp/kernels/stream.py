"""Steps of the recurrent predictor in blocks: predict, learn, update the memory.

One step, with the memory z = (1, lagged input, hidden activity):

    predict    o = A z                      readout; k = P z, q = z' k its uncertainty
    learn      A <- A + error k / (1 + q),  P <- P - k k' / (1 + q)
               W <- W + post trace'         recurrent weights, by what the readout sends back
    remember   u = W h + V z + b,           h <- (1 - leak) h + leak tanh(u)

Learning and reading of a matrix are one pass: a row gets the update of the last step and is
multiplied for the next step while it is in the cache.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_cells import place_in_cell
from neurolp.kernels.stream_chain import hear_earlier, learn_from_earlier, say_nothing, tell_later
from neurolp.kernels.stream_experts import learn_value, meet_value, predict_value
from neurolp.kernels.stream_means import FIRST_VALUES, learn_means, remember
from neurolp.kernels.stream_moments import write_moments
from neurolp.kernels.stream_passes import (
    add,
    copy,
    dot,
    fill,
    fused_pass,
    read_pass,
    sparse_pass,
    squash,
)
from neurolp.kernels.stream_state import (
    DIAGONAL_RLS,
    NLMS,
    RLS,
    SYMBOLS,
    VALUES,
    Contexts,
    Experts,
    ExpertScratch,
    Injection,
    Memory,
    Outcome,
    Rates,
    Readout,
    Scratch,
    Senses,
    SymbolScratch,
)  # fmt: skip
from neurolp.kernels.stream_symbols import observe_symbol, receive_symbol
from neurolp.kernels.stream_values import observe_values, write_prediction

FARTHEST = 1e6  # units that nodes get of a value: the square of more would drown all others
CLIP = 3.0  # of errors from which hidden nodes learn, in standard deviations
_TINY = 1e-300


@ordered_kernel
def _gain(readout: Readout, which: int, rates: Rates, z: Array, turn: bool) -> float:
    """Gain k = P z and uncertainty q = z' k, for one kind of sensors."""
    k = readout.gain[which]
    p = readout.covariance_symbols if which == SYMBOLS else readout.covariance_values
    n = z.shape[0]
    q = 0.0
    if rates.rule == RLS:
        fused_pass(p, readout.pending[which], readout.left[which], z, k, turn)
        readout.left[which] = 0.0
        return max(dot(z, k), 0.0)
    for i in range(n):
        k[i] = z[i] * p[0, i] if rates.rule == DIAGONAL_RLS else z[i]
        q += k[i] * z[i]
    return q


@ordered_kernel
def _learn_readout(
    senses: Senses, readout: Readout, which: int, rates: Rates, z: Array, q: float, error: Array
) -> None:
    """A <- A + step error k; the update of P is left pending for its next use."""
    k = readout.gain[which]
    step = rates.readout / max(q, _TINY) if rates.rule == NLMS else 1.0 / (1.0 + q)
    for s in range(senses.kind.shape[0]):
        if senses.kind[s] == which:
            for i in range(senses.output[s], senses.output[s] + senses.size[s]):
                add(readout.weights[i], step * error[i], k)
    if which == VALUES:
        for i in range(readout.linear.shape[0]):
            add(readout.linear[i], step * readout.innovation[VALUES, i], k)
    if rates.rule == RLS:
        for i in range(z.shape[0]):
            readout.pending[which, i] = k[i]
            readout.left[which, i] = -step * k[i]
    elif rates.rule == DIAGONAL_RLS:
        p = readout.covariance_symbols if which == SYMBOLS else readout.covariance_values
        for i in range(z.shape[0]):
            p[0, i] /= 1.0 + p[0, i] * z[i] * z[i]


@ordered_kernel
def _add_process_noise(readout: Readout, which: int, rates: Rates) -> None:
    """P_ii <- P_ii + process noise (prior - P_ii): the weights may have changed since."""
    p = readout.covariance_symbols if which == SYMBOLS else readout.covariance_values
    prior = rates.prior_symbols if which == SYMBOLS else rates.prior_values
    for i in range(p.shape[0]):
        p[i, i] += rates.process_noise * max(prior - p[i, i], 0.0)


@ordered_kernel
def _learn_hidden(
    memory: Memory, senses: Senses, readout: Readout, error: Array, rates: Rates, energy: Array
) -> None:
    """Post-synaptic signal of each hidden node, and its update of thresholds and input weights.

    post_i = rate sum_k A_ki e_k tanh'(u_i) / (|A|^2 (|trace|^2 + |inputs|^2)): if nothing else
    changed, a step of rate 1 would cancel the errors, which are sent back along the readout's
    weights.
    """
    z, n = memory.features, memory.afferent_first.shape[0] - 1
    start = z.shape[0] - n
    recurrent = 0.0
    if memory.first.shape[0] > 0:
        recurrent = memory.weight.shape[0] / max(n * n, 1) * dot(memory.trace, memory.trace)
    elif memory.weights.shape[0] > 0:
        recurrent = dot(memory.trace, memory.trace)
    power = 1e-3
    fill(memory.post, 0.0)
    for s in range(senses.kind.shape[0]):
        for k in range(senses.output[s], senses.output[s] + senses.size[s]):
            e = error[k]
            if senses.kind[s] == VALUES:
                limit = CLIP * readout.factor[k, k]
                e = min(max(e, -limit), limit)
            if e != 0.0:
                back = readout.weights[k, start:]
                power += dot(back, back)
                for i in range(n):
                    memory.post[i] += e * back[i]
    # What runs over edges and what does not are loops of their own: these run in vector registers.
    for i in range(n):
        energy[i] = 1.0 + recurrent
        for e in range(memory.afferent_first[i], memory.afferent_first[i + 1]):
            energy[i] += z[memory.afferent_source[e]] ** 2
    for i in range(n):
        slope = 1.0 - memory.squashed[i] * memory.squashed[i]
        memory.post[i] *= rates.recurrent * slope / (power * energy[i])
    for i in range(n if rates.inputs else 0):
        memory.bias[i] += memory.post[i]
        for e in range(memory.afferent_first[i], memory.afferent_first[i + 1]):
            memory.afferent_weight[e] += memory.post[i] * z[memory.afferent_source[e]]


@ordered_kernel
def _remember(
    memory: Memory, received: Array, learn_hidden: bool, homeostasis: float, turn: bool,
    u: Array, power: Array, pairs: Array, injection: Injection, t: int,
) -> None:  # fmt: skip
    """Shift the lagged input, learn and read the weights, update the hidden nodes in step t."""
    z, width = memory.features, received.shape[0]
    n = memory.afferent_first.shape[0] - 1
    for j in range(memory.n_lags * width, width, -1):
        z[j] = z[j - width]
    if memory.n_lags > 0:
        copy(received, z[1 : 1 + width])
    if memory.weights.shape[0] > 0:
        if learn_hidden:
            fused_pass(memory.weights, memory.post, memory.trace, memory.activity, u, turn)
            for i in range(n):  # no node is connected to itself
                u[i] -= memory.weights[i, i] * memory.activity[i]
                memory.weights[i, i] = 0
        else:
            read_pass(memory.weights, memory.activity, u)
    else:
        fill(u, 0.0)
        if memory.first.shape[0] > 0:
            if not learn_hidden:
                fill(memory.post, 0.0)
            sparse_pass(
                memory.first, memory.source, memory.weight,
                memory.post, memory.trace, memory.activity, pairs, u,
            )  # fmt: skip
    for i in range(n):
        total = memory.bias[i]
        for e in range(memory.afferent_first[i], memory.afferent_first[i + 1]):
            total += memory.afferent_weight[e] * z[memory.afferent_source[e]]
        u[i] += total
    for k in range(injection.nodes.shape[0]):
        u[injection.nodes[k]] += injection.current[t, k]
    for i in range(n):
        memory.trace[i] += memory.leak[i] * (memory.activity[i] - memory.trace[i])
    squash(u, power, memory.squashed)
    start = z.shape[0] - n
    for i in range(n):
        memory.bias[i] -= homeostasis * memory.squashed[i]
        memory.activity[i] += memory.leak[i] * (memory.squashed[i] - memory.activity[i])
        z[start + i] = memory.activity[i]


@ordered_kernel
def observe_sensor(
    x: Array, s: int, senses: Senses, readout: Readout, experts: Experts,
    learn: bool, doubt: float, o: Array, error: Array, pit: Array, received: Array, mean: Array,
    own: Array, expected: Array, spread: Array, room: ExpertScratch,
) -> float:  # fmt: skip
    """Surprise of a sensor of values, by the readout and the experts, which learn.

    ``doubt`` is the variance of the readout's prediction, in units of the residuals'. ``received``
    takes the input of the memory: what is missing is replaced by its expectation.
    """
    d, missing, ready = x.shape[0], np.isnan(x[0]), senses.ready[s]
    first, v = senses.output[s], experts.value[s]
    if expected.shape[0] > 0:
        write_prediction(
            senses, readout, s, doubt, o,
            expected[0, first : first + d], spread[0, first : first + d],
        )  # fmt: skip
    if v >= 0:
        for i in range(d):
            a = first + i
            location = senses.location[a] + senses.scale[a] * o[i] if ready else np.nan
            predict_value(experts, v + i, location, doubt, room)
    if v >= 0 and expected.shape[0] > 0 and experts.seen[v] >= FIRST_VALUES:
        write_moments(
            experts, senses, readout, s, sqrt(1.0 + doubt),
            expected[0, first : first + d], spread[0, first : first + d], room,
        )  # fmt: skip
    surprise = np.nan
    place = place_in_cell(experts.end[v] if v >= 0 else senses.seen[s])
    if ready:
        surprise = observe_values(
            x, s, senses, readout, learn, doubt, o, error, pit, received, mean, own, place
        )
    else:
        fill(error, 0.0)
        fill(pit, np.nan)
        fill(mean, np.nan)
        fill(own, np.nan)
    if v >= 0 and not missing:
        surprise = 0.0
        for i in range(d):
            a = first + i
            shift = mean[i] - (senses.location[a] + senses.scale[a] * o[i])
            cell, opened = senses.cell[a], x[i] <= senses.least[a]
            pit[i] = meet_value(experts, v + i, x[i], shift, pit[i], cell, opened, place, room)
            surprise -= learn_value(experts, v + i, x[i], own[i], cell, opened, learn, room)
    for i in range(d):
        a = first + i
        received[i] = o[i]
        if v >= 0 and experts.seen[v + i] >= FIRST_VALUES:
            received[i] = (experts.now[v + i] - senses.location[a]) / senses.scale[a]
        elif not missing:
            received[i] = (x[i] - senses.location[a]) / senses.scale[a]
        received[i] = min(max(received[i], -FARTHEST), FARTHEST) if ready else 0.0
    return surprise


@ordered_kernel
def end_step(
    row: Array, senses: Senses, experts: Experts, learn: bool, room: ExpertScratch
) -> None:
    """Let all experts learn from the step, and only then remember it: none sees a part of it."""
    for s in range(senses.kind.shape[0]):
        if experts.value[s] >= 0 and learn and not np.isnan(row[senses.column[s]]):
            for v in range(experts.value[s], experts.value[s] + senses.size[s]):
                learn_means(experts, v, room)
    for s in range(senses.kind.shape[0]):
        if experts.value[s] >= 0:
            known = not np.isnan(row[senses.column[s]])
            for v in range(experts.value[s], experts.value[s] + senses.size[s]):
                remember(experts, v, known, learn, room)


@ordered_kernel
def stream_block(
    rows: Array, learn: bool, senses: Senses, memory: Memory, readout: Readout, contexts: Contexts,
    experts: Experts, rates: Rates, injection: Injection, outcome: Outcome, activity: Array,
    scratch: Scratch, room: ExpertScratch, symbol_room: SymbolScratch,
) -> int:  # fmt: skip
    """Present codes (T, n_codes), NaN where missing; return the number of steps done.

    It is less than T if the surprise of the next step is infinite or NaN. ``activity`` (T, n) takes
    the hidden nodes' activity before each step, or is empty. ``scratch`` and the rooms may hold
    anything.
    """
    n_steps: int = rows.shape[0]
    z, n_outputs = memory.features, readout.weights.shape[0]
    n_sensors = senses.kind.shape[0]
    (o, error, received, pit, mean, own, u, power, pairs, q, used, observed,
     shift, target, expected, chain_gain) = scratch  # fmt: skip
    # Both kinds of sensors by one loop: a kernel is compiled for each constant it is called with.
    used[SYMBOLS] = used[VALUES] = False
    q[SYMBOLS] = q[VALUES] = 0.0
    for s in range(n_sensors):
        used[senses.kind[s]] = True
    learn_hidden = learn and rates.recurrent > 0.0
    homeostasis = rates.homeostasis if learn else 0.0
    for t in range(n_steps):
        turn = t % 2 == 1
        # Predict from the memory, with its uncertainty.
        for which in range(2):
            if used[which]:
                q[which] = _gain(readout, which, rates, z, turn)
        for k in range(n_outputs):
            o[k] = dot(readout.weights[k], z)
        for k in range(readout.linear.shape[0]):
            expected[k] = dot(readout.linear[k], z)
        if activity.shape[0] > 0:
            copy(memory.activity, activity[t])
        # How surprising is the row, and what are the readout's errors?
        good = True
        observed[SYMBOLS] = observed[VALUES] = False
        wanted = t if outcome.prediction.shape[0] > 0 else 0
        for s in range(n_sensors):
            a, b, column = senses.output[s], senses.output[s] + senses.size[s], senses.column[s]
            hear_earlier(senses, readout, s, rates, o, shift, chain_gain)
            if senses.kind[s] == SYMBOLS:
                x = rows[t, column]
                surprise = observe_symbol(
                    x, s, contexts, rates, learn, o[a:b], error[a:b], symbol_room
                )
                if outcome.prediction.shape[0] > 0:
                    copy(o[a:b], outcome.prediction[t, a:b])
                receive_symbol(x, s, senses, contexts, learn, o[a:b], received[a:b])
                missing = np.isnan(x)
            else:
                part = rows[t, column : column + senses.size[s]]
                missing = np.isnan(part[0])
                doubt = (0.0 if rates.rule == NLMS else q[VALUES]) + readout.doubt[s]
                surprise = observe_sensor(
                    part, s, senses, readout, experts, learn, doubt,
                    o[a:b], error[a:b], pit[a:b], received[a:b], mean[a:b], own[a:b],
                    outcome.prediction[wanted:], outcome.spread[wanted:], room,
                )  # fmt: skip
            outcome.surprise[t, s] = surprise
            good &= missing or np.isfinite(surprise)
            readout.unknown[s] = missing or not senses.ready[s]
            if readout.unknown[s]:
                say_nothing(senses, readout, s)
            else:
                tell_later(senses, readout, s, learn, shift, error, received, expected, target)
                senses.seen[s] += 1 if learn else 0
                observed[senses.kind[s]] = True
        if outcome.pit.shape[0] > 0:
            copy(pit, outcome.pit[t])
        if not good:
            return t
        # Update the experts, hidden nodes and readout, then the memory.
        end_step(rows[t], senses, experts, learn, room)
        for s in range(n_sensors):
            if learn and not readout.unknown[s]:
                doubt = 0.0 if rates.rule == NLMS else q[senses.kind[s]]
                learn_from_earlier(senses, readout, s, rates, doubt, target, chain_gain)
        if learn_hidden:
            _learn_hidden(memory, senses, readout, error, rates, power)
        for which in range(2):
            if learn and observed[which]:
                _learn_readout(senses, readout, which, rates, z, q[which], error)
            if learn and used[which] and rates.rule == RLS and rates.process_noise > 0.0:
                _add_process_noise(readout, which, rates)
        _remember(
            memory, received, learn_hidden and rates.connectivity, homeostasis, turn,
            u, power, pairs, injection, t,
        )  # fmt: skip
    return n_steps
