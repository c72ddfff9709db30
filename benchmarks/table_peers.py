"""Peers of the benchmark of tables: what they see of a table, and mixtures of products.

They are written independently of the package, except for the kinds of columns, and score log p(row)
in nats over the same measure: a mass for discrete columns and for atoms, a density for other
values. `Parts` turns the codes of a table into symbols and numbers, with NaN where a value is
missing; every model leaves missing parts out, which is the exact marginal. Settings are chosen on
validation rows.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from scipy.special import log_ndtr, logsumexp
from scipy.stats import yeojohnson

from neurolp.data.column import Column
from neurolp.data.column_inference import unseen_share
from neurolp.data.columns import Columns

Array = np.ndarray[Any, Any]


class Model(Protocol):
    """A fitted density of rows of codes."""

    @property
    def setting(self) -> str:
        """What was chosen on validation rows."""

    def score(self, codes: Array) -> Array:
        """Log p of rows (n, n_columns) of codes, nats, (n,)."""


@dataclass(frozen=True)
class Part:
    """What a model sees of a column: a symbol 0 .. n_symbols - 1, or a number (n_symbols = 0).

    ``step``: numbers are on the grid ``origin + i step`` and have a mass; 0: they have a density.
    """

    column: int
    n_symbols: int
    step: float = 0.0
    origin: float = 0.0


class Parts:
    """Codes of a table as symbols and numbers.

    Nominal columns and ordinal ones of at most ``most_levels`` values are symbols; other ordinal
    columns and continuous ones are numbers. A continuous column with atoms is two parts: which atom
    or none, and the number, which is missing at an atom. A symbol that was not seen is missing for
    the models, and has a fixed probability: Ewens' share of the unseen, which is that of the column
    for categories, and for levels is spread over the grid by a two-sided geometric law.
    """

    def __init__(self, columns: Columns, train: Array, most_levels: int) -> None:
        self.columns = columns
        self.parts: list[Part] = []
        self.levels: dict[int, Array] = {}
        self.unseen: dict[int, float] = {}
        self.median: dict[int, tuple[float, float]] = {}
        for j, column in enumerate(columns):
            known = train[~np.isnan(train[:, j]), j]
            if column.kind == "nominal":
                self.levels[j] = np.arange(float(len(column.categories)))
                self.unseen[j] = column.unseen
            elif column.kind == "ordinal" and len(column.levels) <= most_levels:
                self.levels[j] = column.levels
                closed = bool(column.categories) or not column.step
                self.unseen[j] = 0.0 if closed else unseen_share(len(column.levels), len(known))
                middle = float(np.median(known))
                self.median[j] = (middle, float(np.abs(known - middle).mean()))
            elif column.kind == "continuous" and column.atoms:
                self.levels[j] = np.array(column.atoms)
            if j in self.levels:
                extra = 1 if column.kind == "continuous" else 0
                self.parts.append(Part(j, len(self.levels[j]) + extra))
            if column.kind == "continuous":
                self.parts.append(Part(j, 0))
            elif column.kind == "ordinal" and j not in self.levels:
                step = column.step or float(np.diff(column.levels).min())
                self.parts.append(Part(j, 0, step, float(column.levels[0])))
        self.is_symbol = np.array([part.n_symbols > 0 for part in self.parts])

    def split(self, codes: Array) -> tuple[Array, Array]:
        """Values of the parts (n, n_parts), NaN where missing, and log p of what they leave out."""
        out = np.full((len(codes), len(self.parts)), np.nan)
        rest = np.zeros(len(codes))
        for p, part in enumerate(self.parts):
            j, x = part.column, codes[:, part.column]
            if not part.n_symbols:
                out[:, p] = np.where(np.isin(x, self.levels.get(j, [])), np.nan, x)
                continue
            levels = self.levels[j]
            place = np.minimum(np.searchsorted(levels, x), len(levels) - 1)
            seen = levels[place] == x
            if self.columns[j].kind == "continuous":
                symbol = np.where(seen, place, len(levels))
                out[:, p] = np.where(np.isnan(x), np.nan, symbol)
                continue
            out[:, p] = np.where(seen, place, np.nan)
            unseen = self.unseen[j]
            rest += np.where(seen, np.log1p(-unseen), 0.0)
            new = ~seen & ~np.isnan(x)
            with np.errstate(divide="ignore"):
                rest[new] += np.log(unseen) + self._log_share(j, self.columns[j], x[new])
        for j, column in enumerate(self.columns):
            if column.kind == "constant":
                rest[codes[:, j] == 1] = -np.inf
        return out, rest

    def _log_share(self, j: int, column: Column, x: Array) -> Array:
        """Log of the share of one value of all that were not seen."""
        if column.kind == "nominal" or not column.step:
            return np.zeros(len(x))
        middle, spread = self.median[j]
        steps = np.abs(np.rint((np.append(x, column.levels) - middle) / column.step))
        q = (spread / column.step + 0.5) / (spread / column.step + 1.5)
        log_g = np.log((1 - q) / (1 + q)) + steps * np.log(q)
        return log_g[: len(x)] - np.log1p(-np.exp(log_g[len(x) :]).sum())


def log_mass(lower: Array, upper: Array) -> Array:
    """Log(Phi(upper) - Phi(lower)) of the standard normal, without cancellation in the tails."""
    flip = lower > 0
    a, b = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    high = log_ndtr(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return high + np.log1p(-np.exp(np.minimum(log_ndtr(a) - high, 0.0)))


class Scale:
    """A monotone map of a column of numbers onto the line: linear, or Yeo and Johnson's power."""

    def __init__(self, x: Array, step: float, powers: bool) -> None:
        known = x[~np.isnan(x)]
        if not len(known):
            known = np.array([0.0, 1.0])
        self.start, self.unit, self.power = float(known.mean()), float(known.std()) or 1.0, 1.0
        if powers:
            self.start = float(known.min())
            self.unit = float(np.median(known)) - self.start or float(known.std()) or 1.0
            some = (known[:: max(len(known) // 2000, 1)] - self.start) / self.unit
            if len(np.unique(some)) > 2:
                self.power = float(np.clip(yeojohnson(some)[1], 0.0, 2.0))
        raw = self._raw(known)
        self.mean, self.deviation = float(raw.mean()), float(raw.std()) or 1.0
        self.step = step

    def _raw(self, x: Array) -> Array:
        u = (x - self.start) / self.unit
        return u if self.power == 1 else yeojohnson(u, self.power)

    def to_line(self, x: Array) -> Array:
        """Values on the line, of mean 0 and variance 1 in training."""
        return (self._raw(x) - self.mean) / self.deviation

    def log_slope(self, x: Array) -> Array:
        """Log of the derivative of ``to_line``."""
        u = (x - self.start) / self.unit
        slope = (self.power - 1) * np.sign(u) * np.log1p(np.abs(u))
        return slope - np.log(self.unit * self.deviation)


@dataclass(frozen=True)
class Products:
    """A mixture of products: categorical symbols, normal numbers on their scales."""

    parts: list[Part]
    scales: dict[int, Scale]
    log_weight: Array
    log_theta: dict[int, Array]
    mean: dict[int, Array]
    variance: dict[int, Array]

    def log_factors(self, x: Array) -> Array:
        """Log p(x_i, class) (n, K)."""
        out = np.tile(self.log_weight, (len(x), 1))
        for p, part in enumerate(self.parts):
            known = np.flatnonzero(~np.isnan(x[:, p]))
            v = x[known, p]
            if part.n_symbols:
                out[known] += self.log_theta[p][v.astype(np.int64)]
                continue
            scale, deviation = self.scales[p], np.sqrt(self.variance[p])
            if part.step:
                a, b = (scale.to_line(v + s * part.step / 2)[:, None] for s in (-1, 1))
                mean = self.mean[p]
                out[known] += log_mass((a - mean) / deviation, (b - mean) / deviation)
            else:
                z = (scale.to_line(v)[:, None] - self.mean[p]) / deviation
                log_normal = -0.5 * z * z - np.log(deviation) - 0.5 * np.log(2 * np.pi)
                out[known] += log_normal + scale.log_slope(v)[:, None]
        return out

    def log_prob(self, x: Array) -> Array:
        """Log p of rows of parts."""
        blocks = [logsumexp(self.log_factors(x[i : i + 4096]), axis=1)
                  for i in range(0, len(x), 4096)]  # fmt: skip
        return np.concatenate(blocks) if blocks else np.empty(0)


def fit_products(
    x: Array, valid: Array, parts: list[Part], n_classes: int, powers: bool, seed: int
) -> Products:
    """Expectation-maximisation, stopped where the validation rows stop to gain."""
    rng = np.random.default_rng(seed)
    scales = {p: Scale(x[:, p], part.step, powers)
              for p, part in enumerate(parts) if not part.n_symbols}  # fmt: skip
    offset = np.cumsum([0, *(part.n_symbols for part in parts)])

    def design(rows: Array) -> tuple[Array, Array]:
        """One column a symbol; z^2, z and 1 of numbers (0 where missing)."""
        bins, moments = np.zeros((len(rows), offset[-1])), []
        for p, part in enumerate(parts):
            known = np.flatnonzero(~np.isnan(rows[:, p]))
            if part.n_symbols:
                bins[known, offset[p] + rows[known, p].astype(np.int64)] = 1.0
                continue
            z, one = np.zeros(len(rows)), np.zeros(len(rows))
            z[known], one[known] = scales[p].to_line(rows[known, p]), 1.0
            moments += [z * z, z, one]
        return bins, np.stack(moments, axis=1) if moments else np.empty((len(rows), 0))

    bins, moments = design(x)
    bins_valid, moments_valid = design(valid)
    marginal = np.empty(offset[-1])
    for a, b in pairwise(offset):
        total = bins[:, a:b].sum(axis=0) + 0.5
        marginal[a:b] = total / total.sum()
    numbers = [p for p, part in enumerate(parts) if not part.n_symbols]
    floor = np.zeros(len(numbers))  # deviations of less than .3 steps are none
    for k, p in enumerate(numbers):
        middle = np.array([np.nanmedian(x[:, p])])
        floor[k] = (0.3 * parts[p].step * np.exp(scales[p].log_slope(middle)[0])) ** 2
    responsibility = rng.dirichlet(np.full(n_classes, 0.1), len(x))
    best: tuple[float, Any] = (-np.inf, None)
    waiting = 0
    for step in range(200):
        # M step, with one row of the marginals for each class.
        size = responsibility.sum(axis=0)
        log_weight = np.log((size + 0.5) / (size + 0.5).sum())
        counts = responsibility.T @ bins + marginal
        for a, b in pairwise(offset):
            counts[:, a:b] /= np.maximum(counts[:, a:b].sum(axis=1, keepdims=True), 1e-300)
        log_theta = np.log(np.maximum(counts, 1e-300))
        sums = responsibility.T @ moments
        s2, s1, s0 = sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]
        mean = s1 / (s0 + 0.1)
        variance = np.maximum(s2 - 2 * mean * s1 + mean**2 * s0, 0.0) + 0.1 + 0.1 * mean**2
        variance = np.maximum(variance / (s0 + 1.0), floor)
        # E step, by matrix products.
        coefficients = np.empty((moments.shape[1], n_classes))
        coefficients[0::3] = (-0.5 / variance).T
        coefficients[1::3] = (mean / variance).T
        coefficients[2::3] = (-0.5 * (mean**2 / variance + np.log(2 * np.pi * variance))).T
        joint = bins @ log_theta.T + moments @ coefficients + log_weight
        norm = logsumexp(joint, axis=1, keepdims=True)
        responsibility = np.exp(joint - norm)
        if step % 5 == 4 or n_classes == 1:
            held_out = bins_valid @ log_theta.T + moments_valid @ coefficients + log_weight
            score = float(logsumexp(held_out, axis=1).mean())
            waiting += 1
            if score > best[0] + 1e-4:
                waiting = 0
            if score > best[0]:
                best = (score, (log_weight, log_theta, mean, variance))
            if waiting == 3 or n_classes == 1:
                break
    log_weight, log_theta, mean, variance = best[1]
    return Products(
        parts,
        scales,
        log_weight,
        {p: log_theta[:, offset[p] : offset[p + 1]].T
         for p, part in enumerate(parts) if part.n_symbols},
        {p: mean[:, k] for k, p in enumerate(numbers)},
        {p: variance[:, k] for k, p in enumerate(numbers)},
    )  # fmt: skip


@dataclass(frozen=True)
class Mixture:
    """A mixture of products over a table."""

    parts: Parts
    products: Products
    setting: str

    def score(self, codes: Array) -> Array:
        """Log p of rows, nats."""
        x, rest = self.parts.split(codes)
        return self.products.log_prob(x) + rest


def fit_mixture(columns: Columns, train: Array, valid: Array, seed: int) -> Mixture:
    """Scales, free or normal ordinals, then the number of classes, by validation."""
    best: tuple[float, Any] = (-np.inf, None)

    def attempt(n_classes: int, most_levels: int, powers: bool) -> tuple[float, int, bool]:
        nonlocal best
        parts = Parts(columns, train, most_levels)
        x = parts.split(train)[0]
        fitted = fit_products(x, parts.split(valid)[0], parts.parts, n_classes, powers, seed)
        setting = f"{n_classes} classes, {most_levels} levels, {'power' if powers else 'linear'}"
        model = Mixture(parts, fitted, setting)
        score = finite_mean(model.score(valid))
        if score > best[0]:
            best = (score, model)
        return score, most_levels, powers

    first = max(attempt(8, levels, powers) for levels in (12, 128) for powers in (False, True))
    highest, waiting = -np.inf, 0
    for n_classes in (1, 2, 4, 16, 32, 64):
        score = attempt(n_classes, *first[1:])[0]
        waiting = 0 if score > highest else waiting + 1
        highest = max(score, highest)
        if waiting == 2:
            break
    return best[1]


def finite_mean(scores: Array) -> float:
    """Mean of the scores that are finite: values that no model can have are left out."""
    return float(scores[np.isfinite(scores)].mean())
