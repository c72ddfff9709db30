"""Readable oracle of a brain in a stream: the equations of one step, in NumPy, no tricks.

It starts from the arrays that a ``StreamBrain`` drew and keeps its own copies.
"""

import numpy as np
from scipy.stats import norm

from neurolp.stream.contexts import are_characters, class_of
from neurolp.stream.sensors import places
from tests.naive_symbols import NaiveContexts

CURVATURE, SHAPE_PRIOR, CLIP, OUTLIER = 0.15, 200.0, 3.0, 30.0
PRIOR = {"symbols": 0.015, "values": 3.0}
CHAIN_PRIOR = {"symbols": 1.0, "values": 30.0}


def _classes(sensor):
    labels = getattr(sensor, "labels", ())
    return [class_of(label) for label in labels] if are_characters(labels) else None


class NaiveStreamBrain:
    """One step of time after another; sensors, rule and rates as in ``StreamBrain``."""

    def __init__(self, brain):
        state, design = brain._state, brain._design
        memory, readout = state.memory, state.readout
        self.sensors, self.design = brain.sensors, design
        self.places = places(self.sensors)
        self.q = self.places[-1].outputs.stop
        self.location, self.scale = state.senses.location.copy(), state.senses.scale.copy()
        self.pad = len(memory.features) - len(memory.activity)
        n, m = len(memory.activity), len(memory.features)
        self.past = [np.zeros(self.q) for _ in range(design.n_lags)]
        self.h, self.h_before, self.trace, self.squashed = (np.zeros(n) for _ in range(4))
        self.leak, self.bias = memory.leak.astype(float), memory.bias.astype(float)
        self.V = np.zeros((n, m))
        for i in range(n):
            edges = slice(memory.afferent_first[i], memory.afferent_first[i + 1])
            self.V[i, memory.afferent_source[edges]] = memory.afferent_weight[edges]
        self.V_edges = self.V != 0
        self.W = np.zeros((n, n))
        if memory.weights.size:
            self.W = memory.weights.astype(float)
            self.W_edges = ~np.eye(n, dtype=bool)
        else:
            for i in range(n if memory.first.size else 0):
                edges = slice(memory.first[i], memory.first[i + 1])
                self.W[i, memory.source[edges]] = memory.weight[edges]
            self.W_edges = self.W != 0
        self.recurrent_share = 1.0 if memory.weights.size else self.W_edges.mean()
        self.A = np.zeros((self.q, m))
        self.P = {kind: prior * np.eye(m) for kind, prior in PRIOR.items()}
        self.S = [np.eye(p.n_outputs) for p in self.places]
        self.kinds = ["symbols" if p.symbols else "values" for p in self.places]
        self.B, self.linear, self.power = np.zeros((self.q,) * 2), np.zeros((self.q, m)), {}
        self.P_chain = [
            CHAIN_PRIOR[kind] * np.eye(p.outputs.start)
            for kind, p in zip(self.kinds, self.places, strict=True)
        ]
        self.shape, self.moments = readout.shape.copy(), readout.moments.copy()
        self.seen = np.zeros(len(self.sensors))
        self.contexts, before = [], []
        for p in self.places:
            here = NaiveContexts(p.n_outputs, design, state.contexts, _classes(p.sensor), before)
            self.contexts.append(here)
            before = [*before, here] if p.symbols else before

    def features(self):
        """z = (1, past, padding, h)."""
        z = np.concatenate([[1.0], *self.past])
        return np.concatenate([z, np.zeros(self.pad - len(z)), self.h])

    def gain(self, kind, z):
        """k, q of one kind of sensors, and how far a prediction moves towards what came."""
        if self.design.rule == "nlms":
            return z, 0.0, self.design.rate / (z @ z)
        k = self.P[kind] @ z
        return k, z @ k, 1 / (1 + z @ k)

    def learn_covariance(self, kind, z, observed):
        P = self.P[kind]
        if self.design.rule == "rls" and observed:
            self.P[kind] = P - np.outer(P @ z, P @ z) / (1 + z @ P @ z)
        if self.design.rule == "rls":
            regained = np.maximum(PRIOR[kind] - np.diag(P), 0)
            self.P[kind] = self.P[kind] + self.design.process_noise * np.diag(regained)
        if self.design.rule == "diagonal_rls" and observed:
            self.P[kind] = np.diag(1 / (1 / np.diag(P) + z**2))

    def step(self, row, learn=True):
        """Surprise of each sensor."""
        z, out = self.features(), []
        self.A_next = self.A.copy()
        received, error, observed = np.zeros(self.q), np.zeros(self.q), {}
        self.r = {"symbols": np.zeros(self.q), "values": np.zeros(self.q)}
        self.p, self.missing = np.zeros(self.q), np.zeros(self.q, bool)
        for s, p in enumerate(self.places):
            at, x = np.arange(p.outputs.start, p.outputs.stop), row[p.codes]
            kind = self.kinds[s]
            observed[kind] = observed.get(kind, False) or not np.isnan(x[0])
            meet = self.symbol if p.symbols else self.values
            surprise, received[at], error[at] = meet(s, p.sensor, at, x, z, learn)
            out.append(surprise)
            self.missing[at] = np.isnan(x[0])
            self.seen[s] += learn and not np.isnan(x[0])
        if learn:
            k, _, step = self.gain("values", z)
            if observed.get("values", False):
                for p in self.places:
                    if p.symbols:
                        self.linear[p.outputs] += step * np.outer(self.r["values"][p.outputs], k)
            for kind, seen in observed.items():
                self.learn_covariance(kind, z, seen)
            self.learn_hidden(z, error)
        self.A = self.A_next
        self.remember(received, learn)
        return np.array(out)

    # --- the chain across sensors -----------------------------------------------------------------

    def hear(self, s, at):
        """What sensors before bring to the outputs of sensor s, and how uncertain that is."""
        n = at[0]
        r, weights = self.r[self.kinds[s]][:n], self.B[at, :n]
        doubt = r @ self.P_chain[s] @ r if self.design.rule != "nlms" else 0.0
        if self.kinds[s] == "values":
            # Values that are missing err together; symbols have their covariance.
            variance, together = np.zeros(len(at)), np.zeros(len(at))
            for place in self.places[:s]:
                w, hidden = self.B[at][:, place.outputs], self.missing[place.outputs.start]
                if hidden and place.symbols:
                    p = self.p[place.outputs]
                    spread = place.n_outputs * (np.diag(p) - np.outer(p, p))
                    variance += np.einsum("ij,jk,ik->i", w, spread, w)
                elif hidden:
                    size = [self.power.get(k, 1.0) for k in np.arange(self.q)[place.outputs]]
                    together += abs(w) @ np.sqrt(size)
            doubt += ((variance + together**2) / np.diag(self.S[s])).max(initial=0)
        return weights @ r, doubt

    def learn_chain(self, s, at, target, q):
        """Weighted least squares of what the memory did not say, on what the sensors before did."""
        n, rule = at[0], self.design.rule
        r, P = self.r[self.kinds[s]][:n], self.P_chain[s]
        P = np.eye(n) if rule == "nlms" else P
        error, k, doubt, w = target - self.B[at, :n] @ r, P @ r, r @ P @ r, 1.0
        if self.kinds[s] == "values":
            usual = np.sqrt((1 + q + doubt) * np.diag(self.S[s]))
            w = min(1.0, (5 * usual / np.maximum(abs(error), 1e-300)).min())
        step = w / (1 + q + w * doubt)
        if rule == "nlms":
            self.B[at, :n] += self.design.rate * step * np.outer(error, r)
            return
        self.B[at, :n] += step * np.outer(error, k)
        if rule == "diagonal_rls":
            self.P_chain[s] = np.diag(1 / (1 / np.diag(P) + w * r**2 / (1 + q)))
            return
        P = P - step * np.outer(k, k)
        regained = np.maximum(CHAIN_PRIOR[self.kinds[s]] - np.diag(P), 0)
        self.P_chain[s] = P + self.design.process_noise * np.diag(regained)

    # --- symbols ----------------------------------------------------------------------------------

    def symbol(self, s, sensor, at, x, z, learn):
        k, q, step = self.gain("symbols", z)
        shift, _ = self.hear(s, at)
        logits = self.A[at] @ z + shift
        p_readout = np.exp(logits - logits.max())
        p_readout /= p_readout.sum()
        p, contexts = p_readout, self.contexts[s]
        if self.design.n_contexts:
            p = contexts.predict(p_readout)
        self.p[at] = p
        if np.isnan(x[0]):
            contexts.lose()
            return np.nan, (p - self.location[at]) / self.scale[at], 0.0
        y = int(x[0])
        came = (np.arange(sensor.n_symbols) == y).astype(float)
        error = (came - p_readout) / CURVATURE
        received = (came - self.location[at]) / self.scale[at]
        self.r["symbols"][at] = np.sqrt(len(at)) * (came - p_readout)
        self.r["values"][at] = received - self.linear[at] @ z
        if learn:
            self.learn_chain(s, at, error + shift, q)
            self.A_next[at] += step * np.outer(error, k)
            if self.design.n_contexts:
                contexts.learn(y)
        contexts.follow(y, learn)
        return -np.log(p[y]), received, error

    # --- values -----------------------------------------------------------------------------------

    def values(self, s, sensor, at, x, z, learn):
        k, q, step = self.gain("values", z)
        shift, doubt = self.hear(s, at)
        mean = self.A[at] @ z + shift
        if np.isnan(x[0]):
            return np.nan, mean, 0.0
        wide = np.sqrt(1 + q + doubt)
        L = np.linalg.cholesky(self.S[s])
        seen = (x - self.location[at]) / self.scale[at]
        r = seen - mean
        e = np.linalg.solve(L, r / wide)
        w, m, sd = np.moveaxis(self.shape[at], -1, 0)
        parts = w * norm.pdf(e[:, None], m, sd)
        volume = np.log(np.diag(L)) + np.log(self.scale[at] * wide)
        surprise = (volume - np.log(parts.sum(axis=1))).sum()
        near = min(1.0, OUTLIER / max(abs(e).max(), 1e-300))
        r, e = near * r, near * e
        parts = w * norm.pdf(e[:, None], m, sd)
        alone = r + shift  # the error of the memory
        for a, u in zip(at, alone, strict=True):
            self.r["values"][a] = self.r["symbols"][a] = u
            before, rate = self.power.get(a, 1.0), max(1 / (self.seen[s] + 1), 0.003)
            self.power[a] = before + learn * rate * (u**2 - before)
        if learn:
            self.A_next[at] += step * np.outer(alone, k)
            share = parts / parts.sum(axis=1, keepdims=True)
            target = share[..., None] * np.stack([np.ones_like(e), e, e * e], -1)[:, None, :]
            self.moments[at] += 2 * (target - self.moments[at]) / (self.seen[s] + 2 * SHAPE_PRIOR)
            m0, m1, m2 = np.moveaxis(self.moments[at], -1, 0)
            self.shape[at] = np.stack([m0, m1 / m0, np.sqrt(m2 / m0 - (m1 / m0) ** 2)], axis=-1)
            self.shape[at, 0, 1:] = [0, 1]
            rate = 2 / (self.seen[s] + 4)
            self.S[s] = (1 - rate) * self.S[s] + rate * np.outer(r, r) / wide**2
            self.learn_chain(s, at, alone, q)
        limit = CLIP * np.sqrt(np.diag(np.linalg.cholesky(self.S[s]) ** 2))
        return surprise, np.clip(seen, -1e6, 1e6), np.clip(alone, -limit, limit)

    # --- hidden nodes -----------------------------------------------------------------------------

    def learn_hidden(self, z, error):
        """Each weight by what its target could mend, times what its source just said."""
        back = self.A[:, self.pad :]
        sent = np.where(error[:, None] != 0, back, 0)
        power = 1e-3 + (sent**2).sum()
        energy = 1 + self.recurrent_share * (self.trace**2).sum() + self.V_edges @ z**2
        slope = 1 - self.squashed**2
        post = self.design.recurrent_rate * (error @ back) * slope / (power * energy)
        self.V += np.where(self.V_edges, np.outer(post, z), 0)
        self.bias += post
        self.W += np.where(self.W_edges, np.outer(post, self.trace), 0)

    def remember(self, received, learn):
        self.past = [received, *self.past][: self.design.n_lags]
        z = self.features()
        u = self.W @ self.h + self.V @ z + self.bias
        self.trace += self.leak * (self.h - self.trace)
        self.squashed = np.tanh(u)
        self.bias -= learn * self.design.homeostasis * self.squashed
        self.h = self.h + self.leak * (self.squashed - self.h)
