"""Learning a monotone network of one variable: candidates, held-out scores, and their average.

A candidate is a transform (its ends estimated from the data), a prior of the widths and a number of
units. Each is learned by descent (``neurolp.kernels.units``) on the rows outside each fold, scored
on the fold, and learned again on all rows. The network is the average of the candidates, a convex
combination, which is exactly normalised. Its weights come from the held-out scores: with few rows
mostly the probability that a candidate is the best one (Bayesian bootstrap of the scores), with
many rows mostly those of the greatest held-out likelihood (stacking).

Sources: Yao, Vehtari, Simpson, Gelman, Bayesian Analysis 13 (2018): pseudo-BMA+ and stacking;
Runnalls, IEEE Trans. Aerosp. Electron. Syst. 43 (2007): the merging of units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.heads.head import stacking_weights
from neurolp.differentiation.univariate import (
    Arcsinh,
    Exponential,
    Identity,
    Log,
    MonotoneNetwork,
    Probit,
    Transform,
    Units,
    combine,
)
from neurolp.kernels.units import descend
from neurolp.progress import report

Kind = Literal["identity", "arcsinh", "log", "exponential", "probit"]

_FEW = 10  # below so many rows, none are held out and the prior decides
_GROUPED_FROM, _TAIL, _GROUPS = 2000, 200, 1600
_FLOOR = -50.0  # nats of a held-out row where a candidate has no density
_BOOTSTRAPS, _TEMPERATURE = 100, 0.7
_MANY = 300.0  # rows with which stacking gets half of the weight
_DECAY_OF_PRIOR = 1.5  # prior weight of K units is (1 + K)^-1.5
_PRIOR_ROWS = 2.0
_TINY = 1e-9  # in standard deviations of all rows
_STEPS, _MERGING_STEPS, _TOLERANCE = 30, 8, 1e-6
# Width of the prior, in variances of the rows over K^2: units that overlap, or fine structure.
_SMOOTH, _SHARP = 6.0, 0.6
_WIDEST_PRIOR = 2.0  # in variances of the rows


@dataclass(frozen=True)
class Candidate:
    """A kind of transform, before its ends are estimated.

    An end is known, infinite, or None: then it lies beyond the outermost row by ``margin`` mean
    distances between the outermost sqrt(n) rows. ``width`` is that of the prior, in variances of
    the rows over K^2.
    """

    kind: Kind
    prior: float
    width: float = _SMOOTH
    low: float | None = -np.inf
    high: float | None = np.inf
    margin: float = 1.0

    def fitted(self, x: Array, counts: Array) -> Transform:
        """Return the transform for increasing rows ``x`` with weights ``counts``."""
        present = counts > 0
        x, counts = x[present], counts[present]
        if self.kind == "identity":
            return Identity()
        if self.kind == "arcsinh":
            share = (np.cumsum(counts) - 0.5 * counts) / counts.sum()
            first, middle, third = np.interp([0.25, 0.5, 0.75], share, x)
            scale = float(third - first) / 2
            if scale <= 1e-9 * (x[-1] - x[0]):  # half of the rows are one value
                scale = float(x.std()) or 1.0
            return Arcsinh(float(middle), scale)
        low = self._end(x) if self.low is None else self.low
        high = -self._end(-x[::-1]) if self.high is None else self.high
        if self.kind == "probit":
            return Probit(low, high)
        if self.kind == "log":
            return Log(low, high)
        distance = x - low if np.isfinite(low) else high - x
        return Exponential(low, high, float(counts @ distance / counts.sum()))

    def _end(self, x: Array) -> float:
        """An estimate of the lower end, below the first of the increasing rows."""
        k = min(max(int(np.sqrt(len(x))), 1), len(x) - 1)
        spacing = max((x[k] - x[0]) / max(k, 1), 1e-3 * (x[-1] - x[0]) / len(x), _TINY)
        return float(x[0] - self.margin * spacing)


def candidates(support: tuple[float, float] | None) -> list[Candidate]:
    """Return candidates with prior weights that sum to 1; ``support`` None is to be inferred."""
    if support is not None:
        n_ends = np.isfinite(support).sum()
        if n_ends == 0:
            return _unbounded(1.0)
        kinds: tuple[Kind, ...] = ("probit",) if n_ends == 2 else _ONE_SIDED
        return [
            Candidate(kind, share / len(kinds), width, *support)
            for kind in kinds
            for share, width in ((0.7, _SMOOTH), (0.3, _SHARP))
        ]
    margins, share = (1.0, 3.0), 0.2 * 10 / 11
    bounded = [
        Candidate(kind, share / 10, _SMOOTH, low, high, margin)
        for margin in margins
        for kind in _ONE_SIDED
        for low, high in ((None, np.inf), (-np.inf, None))
    ]
    bounded += [Candidate("probit", share / 10, _SMOOTH, None, None, margin) for margin in margins]
    return [*_unbounded(1 - share), *bounded]


_ONE_SIDED: tuple[Kind, ...] = ("log", "exponential")


def _unbounded(prior: float) -> list[Candidate]:
    return [
        Candidate("identity", 0.75 * prior),
        Candidate("identity", 0.2 * prior, _SHARP),
        Candidate("arcsinh", 0.05 * prior),
    ]


def learn_network(
    x: Array, support: tuple[float, float] | None, rng: np.random.Generator
) -> MonotoneNetwork:
    """Return the network of rows ``x`` (n,), in units where they have mean 0 and variance 1.

    Two rows at least, not all equal. ``support`` (a, b) has infinite entries where it has no end,
    and all rows inside; None infers it.
    """
    x = np.sort(x)
    trial = candidates(support)
    if len(x) < _FEW:
        return _few_rows(x, trial)
    x, folds = _group(x, min(len(x), 10) if len(x) < 500 else 5, rng)
    counts = folds.sum(axis=0)
    sizes = [_sizes(candidate, int(counts.sum())) for candidate in trial]
    scores = np.concatenate([_score(x, folds, s, k) for s, k in zip(trial, sizes, strict=True)])
    prior = np.concatenate([_prior(s, k) for s, k in zip(trial, sizes, strict=True)])
    weights = _weigh(scores, counts, prior, rng)

    parts: list[tuple[float, Units]] = []
    start = 0
    for candidate, numbers in zip(trial, sizes, strict=True):
        mine = weights[start : start + len(numbers)]
        start += len(numbers)
        if mine.sum() > 1e-4:
            units = _fit(x, counts, candidate, numbers)
            parts += [(float(w), units[k]) for w, k in zip(mine, numbers, strict=True) if w > 1e-5]
    return combine(parts)


def _few_rows(x: Array, trial: list[Candidate]) -> MonotoneNetwork:
    """One unit for each transform without guessed ends, weighted by the prior."""
    known = [s for s in trial if s.width == _SMOOTH]
    if any(s.kind == "identity" for s in known):
        known = [s for s in known if s.kind == "identity"]
    ones = np.ones(len(x))
    return combine([(s.prior, _fit(x, ones, s, [1])[1]) for s in known])


def _group(x: Array, n_folds: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mean values of groups of rows, (g,), and numbers of rows of each fold, (n_folds, g).

    Many rows are pooled in groups of neighbours, except in the tails; a group is narrower than
    any unit that the rows support.
    """
    n = len(x)
    fold = rng.permutation(n) % n_folds
    if n <= _GROUPED_FROM:
        group = np.arange(n)
    else:
        middle = np.linspace(0, _GROUPS, n - 2 * _TAIL, endpoint=False).astype(np.int64)
        last = int(middle[-1])
        tail = np.arange(_TAIL)
        group = np.concatenate([tail, _TAIL + middle, _TAIL + last + 1 + tail])
    counts = np.zeros((n_folds, int(group[-1]) + 1))
    np.add.at(counts, (fold, group), 1.0)
    return np.bincount(group, x) / np.bincount(group), counts


def _sizes(candidate: Candidate, n: int) -> list[int]:
    """Return the numbers of units to try, decreasing; 0 stands for the standard unit."""
    most = 32 if n >= 5000 else 24 if n >= 1000 else 16
    known = [end for end in (candidate.low, candidate.high) if end is not None and np.isfinite(end)]
    plain = candidate.kind == "identity" or known
    numbers = [k for k in (32, 24, 16, 12) if k <= most] if plain else []
    numbers = [k for k in (*numbers, 8, 6, 5, 4, 3, 2, 1) if k <= max(n // 5, 1)]
    return numbers + [0] * (candidate.kind in ("exponential", "probit"))


def _prior(candidate: Candidate, sizes: list[int]) -> Array:
    prior = (1.0 + np.array(sizes)) ** -_DECAY_OF_PRIOR
    return np.asarray(candidate.prior * prior / prior.sum())


def _score(x: Array, folds: Array, candidate: Candidate, sizes: list[int]) -> Array:
    """Held-out log-density per candidate and group, (len(sizes), g)."""
    counts = folds.sum(axis=0)
    out = np.zeros((len(sizes), len(x)))
    for fold, held_out in enumerate(folds, 1):
        report(f"units after the transform {candidate.kind}", fold, len(folds), "fold")
        fitted = _fit(x, counts - held_out, candidate, sizes)
        mine = np.flatnonzero(held_out)
        u, log_slope = next(iter(fitted.values())).transform.apply(x[mine])
        for row, k in zip(out, sizes, strict=True):
            log_density = np.maximum(fitted[k].log_density(u) + log_slope, _FLOOR)
            row[mine] += held_out[mine] / counts[mine] * log_density
    return out


def _fit(x: Array, counts: Array, candidate: Candidate, sizes: list[int]) -> dict[int, Units]:
    """Units of one candidate for every number in ``sizes``, from many to few.

    Begins with units at equally spaced quantiles, and merges the two whose union costs least.
    """
    transform = candidate.fitted(x, counts)
    present = counts > 0
    u, counts = transform.apply(x[present])[0], counts[present]
    n = counts.sum()
    mean = counts @ u / n
    scale = np.sqrt(counts @ (u - mean) ** 2 / n)
    scale = scale if scale > 1e-9 * (1 + abs(mean)) else 1.0
    z = (u - mean) / scale
    out: dict[int, Units] = {}
    if 0 in sizes:
        out[0] = Units(transform, np.zeros(1), np.zeros(1), np.ones(1))
    most = max(sizes)
    share = (np.cumsum(counts) - 0.5 * counts) / n
    m = np.interp((np.arange(most) + 0.5) / most, share, z)
    s = np.maximum(np.gradient(m), 0.25 / most) if most > 1 else np.ones(1)
    log_w = np.full(most, -np.log(most))
    for k in range(most, 0, -1):
        prior_variance = min(candidate.width / k**2, _WIDEST_PRIOR)
        steps = _STEPS if k in sizes else _MERGING_STEPS
        descend(z, counts, log_w, m, s, steps, _PRIOR_ROWS, prior_variance, _TOLERANCE)
        if k in sizes:
            out[k] = Units(transform, log_w.copy(), mean + scale * m, scale * s)
        if k > 1:
            log_w, m, s = _merge(log_w, m, s)
    return out


def _merge(log_w: Array, m: Array, s: Array) -> tuple[Array, Array, Array]:
    """Replace the two units whose union, with their moments, raises the loss least (Runnalls)."""
    w, log_s = np.exp(log_w), np.log(s)
    i, j = np.triu_indices(len(w), 1)
    weight = w[i] + w[j] + 1e-300
    share = w[i] / weight
    mean = share * m[i] + (1 - share) * m[j]
    variance = (
        share * s[i] ** 2 + (1 - share) * s[j] ** 2 + share * (1 - share) * (m[i] - m[j]) ** 2
    )
    best = int(np.argmin(0.5 * weight * np.log(variance) - w[i] * log_s[i] - w[j] * log_s[j]))
    keep = np.arange(len(w)) != j[best]
    log_w, m, s = log_w.copy(), m.copy(), s.copy()
    k = i[best]
    log_w[k], m[k], s[k] = np.log(weight[best]), mean[best], np.sqrt(variance[best])
    return log_w[keep], m[keep], s[keep]


def _weigh(scores: Array, counts: Array, prior: Array, rng: np.random.Generator) -> Array:
    """Weights (J,) of the candidates from held-out log-densities (J, g) of groups of rows."""
    n = counts.sum()
    resampled = rng.gamma(np.broadcast_to(counts, (_BOOTSTRAPS, len(counts))))
    totals = _TEMPERATURE * n * (resampled / resampled.sum(axis=1, keepdims=True)) @ scores.T
    best = prior * np.exp(totals - totals.max(axis=1, keepdims=True))
    best = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)

    stacked = stacking_weights(scores, counts=counts, prior=prior, start=prior)  # worth one row
    share = _MANY / (_MANY + n)
    return np.asarray(share * best + (1 - share) * stacked)
