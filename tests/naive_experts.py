"""Readable oracle of the experts for values: the equations of one step, no tricks.

One sensor of d values before its units are known to the network: the experts alone predict.
"""

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from neurolp.kernels.stream_laws import LOG_TAIL, NODE_RATES, RATES, RUNGS, TAIL_SCALES, TAIL_SHARE
from neurolp.kernels.stream_means import FIRST_VALUES, KEEP, LEVEL_RATES, SEASON_SIZES

GOLDEN = 0.6180339887498949
FLOOR, CLIP, LEAST = 2e-6, 10.0, 1e-24
CYCLES, CHANGES, LONGEST = 4, 12, 400


class Regression:
    """Least squares with weights, forgetting and a prior that is renewed in turns."""

    def __init__(self, prior, keep):
        self.prior, self.keep = prior, keep
        self.precision, self.moment = np.diag(prior), np.zeros(len(prior))

    def predict(self, z, size):
        """Mean and doubt from the first features."""
        p = self.precision[:size, :size]
        return z[:size] @ np.linalg.solve(p, self.moment[:size]), z[:size] @ np.linalg.solve(
            p, z[:size]
        )

    def learn(self, z, y, weight, turn):
        self.precision = self.keep * self.precision + weight * np.outer(z, z)
        self.moment = self.keep * self.moment + weight * z * y
        if self.keep < 1:
            k = turn % len(z)
            self.precision[k, k] += (1 - self.keep) * len(z) * self.prior[k]


def log_masses(x, mean, std, cell, least):
    """Log-densities of normal components; on a grid, of the masses of the cell of x a unit."""
    if not cell:
        return norm.logpdf(x, mean, std)
    low = np.where(x <= least, -np.inf, (x - cell / 2 - mean) / std)
    high = (x + cell / 2 - mean) / std
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
    with np.errstate(divide="ignore"):
        return np.log(norm.cdf(high) - norm.cdf(low)) - np.log(cell)


class Law:
    """Scales and shapes of the residuals of one mean."""

    def __init__(self, variance):
        octave = np.log2(RUNGS)
        ladder = np.exp(-0.5 * octave**2) + 1e-3 * (octave != 0)
        mean = np.linspace(-1.6, 1.6, 7)
        weight = np.exp(-0.5 * mean**2)
        weight = np.append(0.98 * weight / weight.sum(), 0.02)
        spread = np.append(np.full(7, 1 - weight[:7] @ mean**2 / 0.98), 6.25)
        mean = np.append(mean, 0)
        moments = np.array([weight, weight * mean, weight * (mean**2 + spread)])
        self.variance = np.full(len(RATES) + 1, variance)
        self.average = np.full(len(NODE_RATES), variance)
        self.blend = np.full(len(NODE_RATES), 1 / len(NODE_RATES))
        self.ladder = [ladder / ladder.sum() for _ in self.variance]
        self.moments = [moments.copy() for _ in self.variance]

    def scales(self, least, most):
        self.variance[-1] = np.clip(self.blend @ self.average, least, most)
        return np.sqrt(self.variance)

    def parts(self, k):
        """Weights, offsets and scales of the components of the three shapes."""
        w, first, second = self.moments[k]
        mean = first / np.maximum(w, 1e-12)
        std = np.sqrt(np.maximum(second / np.maximum(w, 1e-12) - mean**2, 1e-3))
        even = np.ones
        return (
            (even(1), np.zeros(1), even(1)),
            ((1 - FLOOR) * self.ladder[k] + FLOOR / len(RUNGS), np.zeros(len(RUNGS)), RUNGS),
            ((1 - FLOOR) * w + FLOOR / len(w), mean, std),
        )

    def learn(self, e, scale, n, least, most, cell=0.0, lowest=False):
        for k in range(len(scale)):
            z, grid = e / scale[k], (cell / scale[k], np.inf if lowest else -np.inf)
            near = np.clip(z, -3 * CLIP, 3 * CLIP)
            shares = []
            for w, mean, std in self.parts(k)[1:]:
                log_p = np.log(w) + log_masses(z, mean, std, *grid)
                log_p[-1] = np.logaddexp(log_p[-1], np.log(1e-290))  # what is far is of the last
                shares.append(np.exp(log_p - logsumexp(log_p)))
            self.ladder[k] += max(1 / (n + 20), 0.003) * (shares[0] - self.ladder[k])
            target = shares[1] * np.array([1, near, near**2])[:, None]
            self.moments[k] += max(2 / (n + 100), 0.001) * (target - self.moments[k])
        slope = max(0.5 * (1 - min(e**2 / scale[-1] ** 2, CLIP**2)), -3.0)
        self.blend *= np.exp(-0.05 * slope * self.blend * self.average / scale[-1] ** 2)
        near = min(e**2, CLIP**2 * self.variance[-1])
        rate = np.maximum(1 / (n + 4), NODE_RATES)
        self.average = np.clip(self.average + rate * (near - self.average), least, most)
        for k, r in enumerate(RATES):
            near = min(e**2, CLIP**2 * self.variance[k])
            self.variance[k] += max(1 / (n + 4), r) * (near - self.variance[k])
            self.variance[k] = min(max(self.variance[k], least), most)


class NaiveExperts:
    """Experts of the values of one sensor, or of several, with ``first`` of each of the values."""

    def __init__(self, d, lags=(1, 3, 10, 20), grid=(0.0, -np.inf), first=None):
        self.d, self.lags, self.grid = d, lags, grid
        self.first = first or [0] * d  # value of the sensor of each value
        self.past = [[] for _ in range(d)]
        self.compared = 0
        self.due = 24 - FIRST_VALUES

    def wake(self):
        first = np.array(self.past)
        self.location = first.mean(axis=1)
        self.unit = first.std(axis=1)
        self.change = np.maximum(np.sqrt((np.diff(first) ** 2).mean(axis=1)), 1e-3 * self.unit)
        self.level = np.tile(self.location[:, None], (1, 1 + len(LEVEL_RATES)))
        for k, rate in enumerate(LEVEL_RATES):
            level = first[:, 0]
            for j in range(1, FIRST_VALUES):
                level = level + max(rate, 1 / (j + 1)) * (first[:, j] - level)
            self.level[:, 1 + k] = level
        self.others = [
            [(w, True) for w in range(i - 1, -1, -1)][:10]
            + [(w, False) for w in sorted(range(self.d), key=lambda w: abs(w - i)) if w != i]
            for i in range(self.d)
        ]
        n_other = max(map(len, self.others))
        self.sizes = [1, *(1 + k for k in self.lags)]
        self.n = 1 + self.lags[-1] + n_other
        self.sizes += [self.n] if n_other else []
        ratio = (self.change / self.unit) ** 2
        lag = np.array([0, *range(1, 1 + self.lags[-1]), *[5] * n_other])
        self.regressions, self.period, self.seasons = [], np.zeros((self.d, 2), int), []
        for i in range(self.d):
            value = np.where(lag > 0, 0.1 * lag, 1.0)
            change = np.where(lag > 0, 0.1 * lag * ratio[i], 10.0)
            self.regressions.append(
                [Regression(value if r < 2 else change, keep) for r, keep in enumerate(KEEP)]
            )
            self.seasons.append([None, None])
        self.n_means = 5 + 4 * len(self.sizes) + 10
        self.laws = [
            [Law(self.unit[i] ** 2 if m == 0 else self.change[i] ** 2) for m in range(self.n_means)]
            for i in range(self.d)
        ]
        # The readout of the network, which sleeps, has weights too.
        self.weight = np.full((self.d, (self.n_means + 1) * 15 + 1), 1.0)
        self.weight /= self.weight.shape[1]
        self.differences = np.zeros((self.d, 2, LONGEST + 1))

    def features(self, i, now):
        """Of values and of changes."""
        x = self.past[i]
        z = np.zeros((2, self.n))
        z[:, 0] = 1
        for j in range(1, 1 + self.lags[-1]):
            if j <= len(x):
                z[0, j] = (x[-j] - self.location[i]) / self.unit[i]
            if j + 1 <= len(x):
                z[1, j] = (x[-j] - x[-j - 1]) / self.unit[i]
        for o, (w, same) in enumerate(self.others[i]):
            theirs = [*self.past[w], now[w]] if same else self.past[w]
            z[0, 1 + self.lags[-1] + o] = (theirs[-1] - self.location[w]) / self.unit[w]
            z[1, 1 + self.lags[-1] + o] = (theirs[-1] - theirs[-2]) / self.unit[w]
        return z

    def told(self, i):
        """Values of this step: of the sensors before, and what was expected of its own."""
        return np.where(np.arange(self.d) < self.first[i], self.row, self.expected)

    def season(self, x, period, unit):
        cycles = max(min(CYCLES, (len(x) - 1) // period), 1)
        same = np.array([x[-c * period] for c in range(1, cycles + 1)])
        before = np.array([x[-c * period - 1] for c in range(1, cycles + 1)])
        z = [1.0, (same - before).mean() / unit, (same - x[-1]).mean() / unit]
        z.append((x[-period] - x[-1]) / unit)
        z += [(x[-1 - j] - x[-2 - j]) / unit if j + 2 <= len(x) else 0.0 for j in range(CHANGES)]
        return np.array(z)

    def means(self, i, now):
        """Means and doubts of all experts, NaN of those that sleep."""
        x = self.past[i]
        out = [(self.level[i, 0], 1 / len(x)), (x[-1], 0), *((v, 0) for v in self.level[i, 1:])]
        z, expected = self.features(i, now), self.features(i, self.told(i))
        for r, regression in enumerate(self.regressions[i]):
            base = self.location[i] if r < 2 else x[-1]
            for size in self.sizes:
                mean, _ = regression.predict(z[r // 2], size)
                _, doubt = regression.predict(expected[r // 2], size)
                out.append((base + self.unit[i] * mean, doubt))
        for kind in range(2):
            for size in SEASON_SIZES:
                if self.seasons[i][kind] is None:
                    out.append((np.nan, 0))
                else:
                    z = self.season(x, self.period[i, kind], self.unit[i])
                    mean, doubt = self.seasons[i][kind].predict(z, size)
                    out.append((x[-1] + self.unit[i] * mean, doubt))
        return np.array(out).T

    def step(self, row):
        """Surprise and P(values <= row) of one step; NaN while the experts sleep."""
        if len(self.past[0]) < FIRST_VALUES:
            for x, past in zip(row, self.past, strict=True):
                past.append(x)
            if len(self.past[0]) == FIRST_VALUES:
                self.wake()
            return np.nan, np.full(self.d, np.nan)
        surprise, pit, self.expected = 0.0, np.zeros(self.d), np.zeros(self.d)
        self.row = row
        spread, told = np.zeros(self.d), []
        for i in range(self.d):
            free, doubt = self.means(i, self.told(i))
            doubt, width = np.minimum(doubt, 1e12), np.ptp(self.past[i])
            mean = np.clip(free, min(self.past[i]) - width, max(self.past[i]) + width)
            w = self.of_pairs(i)
            awake = np.isfinite(mean)
            limits = LEAST * self.unit[i] ** 2, max(self.unit[i], width) ** 2
            scale = np.array([law.scales(*limits) for law in self.laws[i]])  # (M, 5)
            share = w[:, :, awake] / w[:, :, awake].sum()
            square = mean[awake] ** 2 + scale[awake].T ** 2 * (1 + doubt[awake])
            self.expected[i] = (share * mean[awake]).sum()
            spread[i] = np.sqrt((share * square).sum() - self.expected[i] ** 2)
            told.append((scale, doubt, mean - free, share))
        for i, x in enumerate(row):
            scale, doubt, clipped, share = told[i]
            mean = self.means(i, row)[0] + clipped
            awake, wide = np.isfinite(mean), np.sqrt(1 + doubt)
            density, below = np.zeros((3, 5, self.n_means)), np.zeros((3, 5, self.n_means))
            for m in np.flatnonzero(awake):
                for k in range(5):
                    s = scale[m, k] * wide[m]
                    for law, (w, o, h) in enumerate(self.laws[i][m].parts(k)):
                        at = x, mean[m] + s * o, s * h
                        density[law, k, m] = w @ np.exp(log_masses(*at, *self.grid))
                        below[law, k, m] = w @ self.below(*at)
            mixture = (1 - TAIL_SHARE) * (share * density[:, :, awake]).sum()
            centre = self.expected[i], spread[i] * TAIL_SCALES
            tail = TAIL_SHARE * np.exp(LOG_TAIL) @ np.exp(log_masses(x, *centre, *self.grid))
            surprise -= np.log(mixture + tail)
            pit[i] = (1 - TAIL_SHARE) * (share * below[:, :, awake]).sum()
            pit[i] += TAIL_SHARE * np.exp(LOG_TAIL) @ self.below(x, *centre)
            self.learn(i, x, row, mean, doubt, scale, density, mixture, mixture + tail)
        for i, x in enumerate(row):
            self.level[i, 0] += (x - self.level[i, 0]) / (len(self.past[i]) + 1)
            self.level[i, 1:] += LEVEL_RATES * (x - self.level[i, 1:])
        for x, past in zip(row, self.past, strict=True):
            past.append(x)
        self.compared += 1
        for i in range(self.d):
            self.seek(i)
        self.due = self.due if self.compared < self.due else int(self.due * 1.25) + 1
        return surprise, pit

    def below(self, x, mean, std):
        """P(components <= x), on a grid at a place in the cell of x that depends on the step."""
        cell, least = self.grid
        if not cell:
            return norm.cdf(x, mean, std)
        low = 0.0 if x <= least else norm.cdf(x - cell / 2, mean, std)
        place = (len(self.past[0]) + 1) * GOLDEN % 1
        return low + place * (norm.cdf(x + cell / 2, mean, std) - low)

    def of_pairs(self, i):
        """Weights (3, 5, M) without those of the readout."""
        return self.weight[i, :-1].reshape(3, 5, -1)[:, :, :-1]

    def learn(self, i, x, now, mean, doubt, scale, density, mixture, p):
        awake, n = np.isfinite(mean), len(self.past[i]) - FIRST_VALUES
        total, w = self.of_pairs(i)[:, :, awake].sum(), self.of_pairs(i)
        ratio = density * (1 - TAIL_SHARE) / mixture
        moved = w * (1 + mixture / p * (ratio - 1))  # what the tail explains says nothing
        share = max(2e-4, min(0.01, 1 / (n + 1)))
        moved = (1 - share) * moved + share * total / self.weight.shape[1]
        w[:, :, awake] = moved[:, :, awake]
        self.weight[i] /= self.weight[i].sum()
        for m in np.flatnonzero(awake):
            e = (x - mean[m]) / np.sqrt(1 + doubt[m])
            most = max(self.unit[i], np.ptp(self.past[i])) ** 2
            cell = self.grid[0] / np.sqrt(1 + doubt[m])
            least = LEAST * self.unit[i] ** 2
            self.laws[i][m].learn(e, scale[m], n, least, most, cell, x <= self.grid[1])

        def row_weight(m):
            usual = np.sqrt(self.laws[i][m].variance[1] * (1 + doubt[m]))
            return min(1, 10 / doubt[m]) * min(1, 5 * usual / max(abs(x - mean[m]), 1e-300))

        z, turn = self.features(i, now), len(self.past[i])
        for r, regression in enumerate(self.regressions[i]):
            base = self.location[i] if r < 2 else self.past[i][-1]
            w = row_weight(5 + (r + 1) * len(self.sizes) - 1)
            regression.learn(z[r // 2], (x - base) / self.unit[i], w, turn)
        for kind in range(2):
            if self.seasons[i][kind] is not None:
                w = row_weight(5 + 4 * len(self.sizes) + 5 * kind + 4)
                season = self.season(self.past[i], self.period[i, kind], self.unit[i])
                y = (x - self.past[i][-1]) / self.unit[i]
                self.seasons[i][kind].learn(season, y, w, turn)

    def seek(self, i):
        x, u = self.past[i], self.unit[i]
        for p in range(2, min(LONGEST, len(x) - 2) + 1):
            d = abs(x[-1] - x[-1 - p])
            self.differences[i, 0, p] += d / (d + u)
            d = abs((x[-1] - x[-2]) - (x[-1 - p] - x[-2 - p]))
            self.differences[i, 1, p] += d / (d + u)
        if self.compared < self.due:
            return
        for kind in range(2):
            p = np.arange(2, min(LONGEST, self.compared // 2 - 2) + 1)
            each = self.differences[i, kind, p] / (self.compared - p)
            best = p[np.argmax(each <= 1.03 * each.min())]
            if best == self.period[i, kind]:
                continue
            prior = 0.01 * (self.change[i] / u) ** 2 * np.maximum(np.arange(16.0) - 3, 1)
            prior[0] = 1.0
            regression = Regression(prior, 1.0)
            for t in range(best + 2, len(x)):
                z = self.season(x[:t], best, u)
                regression.learn(z, (x[t] - x[t - 1]) / u, 1.0, 0)
            if self.seasons[i][kind] is None:
                first = 5 + 4 * len(self.sizes) + 5 * kind
                for m in range(first, first + 5):
                    law, last = self.laws[i][m], self.laws[i][1]
                    law.variance = last.variance.copy()
                    law.average = last.average.copy()
            self.period[i, kind], self.seasons[i][kind] = best, regression
