"""Readable oracle of contexts and their mixing: dictionaries and NumPy, contexts by their content.

Nothing is forgotten here. Only where five symbols came last is told by the kernels' hash, so that
the same places are overwritten. Counts and weights of contexts are rounded to
single precision where the kernels keep them so.
"""

from collections import defaultdict
from functools import partial

import numpy as np

from neurolp.kernels.stream_contexts import first_hash, hashed

VOWEL, CONSONANT, DIGIT, SPACE, LINE_END, QUOTE, APOSTROPHE, SENTENCE_END, OTHER = range(9)
ORDERS, N_SINGLE, N_NEURONS, N_SECOND = 6, 2, 5, 3
SHARE = 2e-4
CHAIN, ENTRY, BUCKET, RUN, OF_SYMBOLS, SECOND = 0.02, 0.3, 0.002, 0.005, 5.0, 1 / 6


def softmax(f):
    p = np.exp(f - f.max())
    return p / p.sum()


def bucket(n):
    exponent = np.floor(np.log2(n + 1))
    return int(min(2 * exponent + ((n + 1) / 2**exponent >= 1.5), 11))


class Context:
    def __init__(self):
        self.count, self.weight = {}, {}
        self.total, self.visits, self.latest, self.run = np.float32(0), 0, 0, 0


class NaiveContexts:
    """Contexts of one sensor; ``classes`` of its symbols, or None if they are no characters.

    ``before`` are the contexts of the sensors of symbols before it in the row.
    """

    def __init__(self, n_symbols, design, first, classes=None, before=()):
        self.before, self.now = before, None
        self.k, self.characters, max_order = n_symbols, classes is not None, design.max_order
        self.rate, self.n_places, self.places = design.mixing_rate, first.places.shape[-1], {}
        self.classes = classes if self.characters else [3 + a % 6 for a in range(n_symbols)]
        orders = [r for r in range(max_order + 1) if r <= ORDERS or r % 2 == 0]
        self.parents = [i - 1 for i in range(len(orders))]
        self.orders = orders
        if self.characters:
            word = len(orders)
            one, two = orders.index(min(1, max_order)), orders.index(min(2, max_order))
            self.parents += [one, word, word, one, word, two, one]
        else:
            self.parents += [orders.index(min(1, max_order)), len(orders), len(orders)]
        beside, n = len(self.parents), len(before)
        self.parents += [0] * min(n, 3) + [beside] * (n > 0) + [beside] * (n > 1)
        self.frequency, self.separator = np.zeros(n_symbols, int), 0
        n = len(self.parents)
        self.tables = [defaultdict(Context) for _ in range(n)]
        self.logit, self.prior = np.zeros((n, 9)), np.full((n, 9), np.log(0.3))
        self.of_bucket, self.of_run = np.zeros((n, 12, 12)), np.full((n, 16), 0.1)
        self.of_match = np.ones(16)
        self.first = np.full(n + 2, 1 / (n + 2))
        self.first[n] = 0.5
        self.weights = [
            defaultdict(partial(np.zeros, (n + 2, n_symbols), [float, np.float32][j >= N_SINGLE]))
            for j in range(N_NEURONS)
        ]
        self.uses = [defaultdict(int) for _ in range(N_NEURONS)]
        self.second = [defaultdict(lambda: np.full(N_NEURONS, 1 / 5)) for _ in range(N_SECOND)]
        self.average = np.full(N_NEURONS + 1, 1 / (N_NEURONS + 1))
        self.stored, self.match = [], None
        self.lose()

    def lose(self):
        self.history, self.letters, self.match, self.quoted = [], [], None, 0
        self.now = None

    # --- what came before -------------------------------------------------------------------------

    def contexts(self):
        """Content of each context of this step, None of one that does not exist."""
        h = self.history
        out = [tuple(h[len(h) - r :]) if r <= len(h) else None for r in self.orders]
        beside = self.beside()
        if not h:
            return [*out, *[None] * (len(self.parents) - len(out) - len(beside)), *beside]
        return [*out, *self.of_words(), *beside]

    def beside(self):
        """Symbols of this step of the sensors before, nearest first."""
        now = [other.now for other in self.before][::-1]
        out = [None if a is None else (a,) for a in now[:3]]
        if now:
            both = bool(self.history) and now[0] is not None
            out.append((now[0], self.history[-1]) if both else None)
        if len(now) > 1:
            out.append(None if None in now else tuple(now))
        return out

    def of_words(self):
        """Content of the contexts of words and sentences."""
        h = self.history
        w = self.words()
        if not self.characters:
            return [w["now"], (w["now"], w["last"]), (w["now"], w["before"])]
        sentence, paragraph = min(w["sentence"], 3), min(w["paragraph"], 3)
        now, q, two = w["now"], self.quoted, (h[-2] if len(h) > 1 else 0, h[-1])
        out = [now, (now, w["last"]), (now, w["before"])]
        out += [(q, sentence, h[-1], w["length"]), (now, q, paragraph), (q, two)]
        return [*out, (w["vowels"], h[-1], min(w["length"], 6))]

    def words(self):
        """Words, sentences and paragraphs, read from the whole history."""
        h = self.history
        c = [self.classes[a] for a in h]
        words, start = [], None
        for t, letter in enumerate([*self.letters, False]):
            if letter and start is None:
                start = t
            elif not letter and start is not None:
                words.append((start, t))
                start = None
        inside = bool(h) and self.letters[-1]
        spelled = [("word", *h[a:b]) for a, b in words]
        done = spelled[:-1] if inside else spelled
        out = {"length": 0, "vowels": ()}
        out["last"] = done[-1] if done else None
        out["before"] = done[-2] if len(done) > 1 else None
        if inside:
            a, b = words[-1]
            out |= {"now": spelled[-1], "length": b - a, "vowels": tuple(c[a:b][-4:])}
        else:
            a = words[-1][1] if words else 0
            ends = [t for t in range(a, len(c)) if c[t] == LINE_END]
            begun = bool(words or ends)
            a = ends[-1] if ends else a
            out["now"] = ("gap", begun, *h[a:][:3])
        line = max([t for t in range(len(c)) if c[t] == LINE_END], default=-1)
        stop = max([t for t in range(len(c)) if c[t] in (SENTENCE_END, LINE_END)], default=-1)
        out["sentence"] = sum(a > stop for a, _ in words)
        out["paragraph"] = sum(a > line for a, _ in words)
        return out

    def matched(self):
        """Symbol after the match, and class of its length."""
        if self.match is None:
            return None, 0
        at, n = self.match
        return self.stored[at], max(n - 4, 1) if n < 14 else 10 + min(n // 16, 5)

    # --- prediction -------------------------------------------------------------------------------

    def predict(self, readout):
        """Probabilities, from those of the readout."""
        k, self.codes = self.k, self.contexts()
        n = len(self.codes)
        there = [c is not None and c in self.tables[i] for i, c in enumerate(self.codes)]
        self.mine = [self.tables[i][c] if there[i] else None for i, c in enumerate(self.codes)]
        self.q, self.grad, s = np.zeros((n, k)), [None] * n, np.zeros(k)
        for i, context in enumerate(self.mine):
            below = self.q[self.parents[i]] if self.parents[i] >= 0 else np.full(k, 1 / k)
            self.q[i] = below
            if context is None:
                continue
            counts = np.zeros(k)
            counts[list(context.count)] = list(context.count.values())
            c = min(len(context.count), 8)
            d, theta = 1 / (1 + np.exp(-self.logit[i, c])), np.exp(self.prior[i, c])
            total = counts.sum() + theta
            self.q[i] = (
                np.maximum(counts - d, 0) + (theta + np.minimum(counts, d).sum()) * below
            ) / total
            in_d = ((counts > d).sum() * below - (counts > d)) / total / self.q[i]
            self.grad[i] = c, in_d * d * (1 - d), (below - self.q[i]) / total / self.q[i] * theta
            for a, weight in context.weight.items():
                s[a] += weight + self.of_bucket[i, bucket(context.total), bucket(context.count[a])]
            s[context.latest] += self.of_run[i, min(context.run, 15)]
        found, length = self.matched()
        if found is not None:
            s[found] += self.of_match[length]
        self.sum = softmax(s)
        self.x = np.log(np.vstack([self.q, self.sum, readout]))
        self.use = np.array([*there, True, True])
        last = self.history[-1] if self.history else 0
        classes = 0
        for a in self.history[-3:]:
            classes = classes * 9 + self.classes[a]
        length_of_word = min(self.words()["length"], 7)
        longest = max((i for i in range(len(self.orders)) if there[i]), default=0)
        self.chosen = [longest, length, last, classes, length_of_word * 9 + self.classes[last]]
        self.above = [last, classes, longest * 16 + length]
        self.f = [
            softmax(((self.first[:, None] + self.weights[j][c]) * self.x)[self.use].sum(axis=0))
            for j, c in enumerate(self.chosen)
        ]
        logs = np.log(self.f)
        self.g = [softmax(self.second[j][c] @ logs) for j, c in enumerate(self.above)]
        self.all = np.array([*self.f, softmax(np.log(self.g).mean(axis=0))])
        return self.average @ self.all

    def learn(self, y):
        came = (np.arange(self.k) == y).astype(float)
        logs = np.log(self.f)
        self.average *= self.all[:, y] / (self.average @ self.all[:, y])
        self.average += SHARE * (1 / len(self.average) - self.average)
        for j, c in enumerate(self.above):
            self.second[j][c] += self.rate * SECOND * logs @ (came - self.g[j])
        for j, c in enumerate(self.chosen):
            step = self.rate * (0.05 + 1 / np.sqrt(1 + 0.02 * self.uses[j][c]))
            self.uses[j][c] += 1
            error = came - self.f[j]
            if j < N_SINGLE:
                change = step * (self.x @ error)[:, None] * np.ones(self.k)
            else:
                change = OF_SYMBOLS * step * error * self.x
            self.weights[j][c][self.use] += change[self.use]
        error = came - self.sum
        for i, context in enumerate(self.mine):
            if context is None:
                continue
            context.visits += 1
            for a in context.weight:
                context.weight[a] += np.float32(ENTRY * context.visits**-0.4 * error[a])
                at = i, bucket(context.total), bucket(context.count[a])
                self.of_bucket[at] += BUCKET * error[a]
            self.of_run[i, min(context.run, 15)] += RUN * error[context.latest]
            c, of_logit, of_prior = self.grad[i]
            self.logit[i, c] += CHAIN * of_logit[y]
            self.prior[i, c] += CHAIN * of_prior[y]
        found, length = self.matched()
        if found is not None:
            self.of_match[length] += RUN * error[found]
        for i, content in enumerate(self.codes):
            if content is None:
                continue
            context = self.tables[i][content]
            seen = y in context.count
            context.count[y] = np.float32(context.count.get(y, 0) + 1)
            context.weight.setdefault(y, np.float32(0))
            context.total += np.float32(1)
            parent = self.parents[i]
            if seen and parent >= 0 and self.codes[parent] is not None:
                below = self.tables[parent][self.codes[parent]]
                after = np.float32(max(below.count[y] - 0.375, 0.25))
                below.total += after - below.count[y]
                below.count[y] = after
            context.run = context.run + 1 if context.latest == y else 1
            context.latest = y

    def follow(self, y, learn):
        before = self.classes[self.history[-1]] if self.history else SPACE
        self.history.append(y)
        self.now = y
        c = self.classes[y]
        if learn:
            self.frequency[y] += 1
            if self.frequency[y] > self.frequency[self.separator]:
                self.separator = y
        self.letters.append(c <= DIGIT if self.characters else y != self.separator)
        if c == LINE_END:
            self.quoted = 0
        elif c in (QUOTE, APOSTROPHE) and before in (SPACE, LINE_END):
            self.quoted = 1
        elif c in (QUOTE, APOSTROPHE) and (before > DIGIT or c == QUOTE):
            self.quoted = 0
        if self.match is not None:
            at, n = self.match
            self.match = (at + 1, n + 1) if self.stored[at] == y else None
        if learn:
            self.stored.append(y)
        if self.match is not None and self.match[0] == len(self.stored):
            self.match = None
        if len(self.history) < 5:
            return
        code = first_hash(5)
        for a in self.history[:-6:-1]:
            code = hashed(np.uint64(code), a)
        five = int((np.uint64(code) >> np.uint64(20)) % np.uint64(self.n_places))
        if self.match is None and self.places.get(five, len(self.stored)) < len(self.stored):
            at, n = self.places[five], 0
            while n < min(len(self.history), 32) and at - 1 - n >= 0:
                if self.stored[at - 1 - n] != self.history[-1 - n]:
                    break
                n += 1
            if n >= 5:
                self.match = at, n
        if learn:
            self.places[five] = len(self.stored)
