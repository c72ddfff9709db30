"""p(t | x) by boosted trees: a warped target, its location, and a law of the residuals.

    z(t) = m(x) + s(x) e,      p(t | x) = p_e((z(t) - m(x)) / s(x)) / s(x) dz/dt

m is an average of boosted trees, log s a polynomial of m and boosted trees, e has a normal scale
mixture. Warp, size of the trees and form of s are those of greatest likelihood on held-out rows. Of
a target on a grid this is the probability of its cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurolp.arrays import Array
from neurolp.differentiation.averages import Warp, WarpedMixtures
from neurolp.differentiation.axes import GridAxis
from neurolp.differentiation.boosted_trees import (
    FEWEST_ROWS,
    BinnedRows,
    Binning,
    BoostedTrees,
    Fold,
    Growth,
    folds_of,
    grow_trees,
)
from neurolp.differentiation.gridded import Gridded
from neurolp.differentiation.mixture_unit import Mixtures
from neurolp.differentiation.scale_law import ScaleLaw, fit_scale_law
from neurolp.progress import report

_FEWEST_HELD_OUT = 10
_DEGREES = (0, 1, 3)
_STRENGTHS = (0.5, 1.0)  # of the trees of the log-scale
_LEAVES = (8, 16, 64)
_RACE = Growth(n_leaves=8, n_rounds=100, step=0.2, patience=20)
_SIZE_RACE = Growth(n_rounds=100, step=0.2, patience=20)
_SPREAD = Growth(n_leaves=8, n_rounds=150, step=0.05, ridge=10.0, least_rows=10, patience=30)
_MOST_RACERS, _MOST_LAW_ROWS, _N_PARTS, _RACE_PARTS = 2000, 2000, 5, 3


@dataclass(frozen=True)
class BoostedUnit:
    """The conditional density of a target given inputs (n, n_inputs), which may be NaN.

    ``location`` is the mean of z = ``warp``(t); ``spread`` times ``strength`` is added to the
    log-scale of ``law``.
    """

    warp: Warp
    location: BoostedTrees
    law: ScaleLaw
    spread: BoostedTrees | None
    strength: float

    def distributions(self, inputs: Array) -> WarpedMixtures:
        """The distribution of t for each row of ``inputs``."""
        location = self.location.predict(inputs)
        offset = 0.0 if self.spread is None else self.strength * self.spread.predict(inputs)
        return WarpedMixtures(self.law.mixtures(location, offset), self.warp)


@dataclass(frozen=True)
class _Residuals:
    """Residuals (n,) z - location of held-out rows; ``ends`` are those of their cells, if any."""

    location: Array
    residual: Array
    ends: tuple[Array, Array] | None

    def log_prob(self, rows: Array, mixtures: Mixtures) -> Array:
        """Log of the density of z, or of the mass of its cell, nats, of some ``rows``."""
        if self.ends is None:
            return mixtures.log_prob(self.location[rows] + self.residual[rows])
        return mixtures.log_cell(self.ends[0][rows], self.ends[1][rows])


def learn_boosted(
    inputs: Array,
    target: Array,
    folds: Sequence[Fold],
    rng: np.random.Generator,
    axis: GridAxis | None = None,
) -> tuple[BoostedUnit, Array] | None:
    """A unit and the log p(t | x), nats, of its held-out rows; None where there are too few rows.

    There is a member of each average of trees for each of ``folds``. Held-out rows, in increasing
    order, are all those that are held out in one of these. With an ``axis`` targets are values on
    its grid.
    """
    held = np.unique(np.concatenate([held_out for _, held_out in folds]))
    known = np.unique(np.concatenate([learned for learned, _ in folds]))
    fewest = min(len(learned) for learned, _ in folds)
    if fewest < FEWEST_ROWS or len(held) < _FEWEST_HELD_OUT or not inputs.shape[1]:
        return None
    report("growing trees")
    binning = Binning.of(inputs[known])
    rows = BinnedRows.of(binning, inputs)
    some = rng.permutation(known)[:_MOST_RACERS]
    warp = _best_warp(binning, inputs[some], target[some], _warps(target[known]), axis, rng)
    z = warp(target)
    growth = replace(Growth(), n_leaves=_best_size(rows, z, known, rng))
    location, predicted = grow_trees(rows, z, folds, growth, rng)
    m, r = predicted[held], (z - predicted)[held]
    parts = np.array_split(rng.permutation(len(held)), _N_PARTS)
    ends = None
    if axis is not None:
        _, lower, upper = axis.cells(target[held])
        ends = warp(lower), warp(upper)
    found = _Residuals(m, r, ends)
    scores = [_held_out(found, degree, parts) for degree in _DEGREES]
    best = int(np.argmax([score.mean() for score in scores]))
    degree, score = _DEGREES[best], scores[best]
    law, spread, strength = fit_scale_law(m, r, degree), None, 0.0
    if len(held) >= 4 * _SPREAD.least_rows:
        spread, offset = _spread(rows, held, r, law.log_scale(m), parts, rng)
        for trial in _STRENGTHS:
            other = _held_out(found, degree, parts, trial * offset)
            if other.mean() > score.mean():
                score, strength = other, trial
        law = fit_scale_law(m, r, degree, strength * offset)
    unit = BoostedUnit(warp, location, law, spread if strength else None, strength)
    return unit, score if axis is not None else score + warp.log_slope(target[held])


def _spread(
    rows: BinnedRows,
    held: Array,
    residual: Array,
    log_scale: Array,
    parts: Sequence[Array],
    rng: np.random.Generator,
) -> tuple[BoostedTrees, Array]:
    """Trees for what is left of log |r|, of mean 0, and their prediction of rows held out."""
    size = abs(residual)
    left = np.log(size + 1e-3 * np.sqrt(np.mean(size**2)) + 1e-12) - log_scale
    target = np.zeros(len(rows.codes))
    target[held] = left - left.mean()
    growth = replace(_SPREAD, least_rows=max(_SPREAD.least_rows, len(held) // 200))
    folds = folds_of([held[part] for part in parts])
    trees, predicted = grow_trees(rows, target, folds, growth, rng)
    return trees, predicted[held]


def _held_out(
    found: _Residuals, degree: int, parts: Sequence[Array], offset: Array | float = 0.0
) -> Array:
    """Log-probability, nats, of each row under the law of the other ``parts``, (n,)."""
    location, residual = found.location, found.residual
    out = np.empty(len(residual))
    offset = np.broadcast_to(offset, out.shape)
    for k, part in enumerate(parts):
        others = np.concatenate([*parts[:k], *parts[k + 1 :]])[:_MOST_LAW_ROWS]
        law = fit_scale_law(location[others], residual[others], degree, offset[others])
        out[part] = found.log_prob(part, law.mixtures(location[part], offset[part]))
    return out


def _warps(target: Array) -> list[Warp]:
    """Candidates: straight; logarithmic above the least, below the greatest, on both sides."""
    low, high, middle = float(target.min()), float(target.max()), float(np.median(target))
    above = float(np.median(target[target > low])) - low
    below = high - float(np.median(target[target < high]))
    quarter = float(np.subtract(*np.quantile(target, [0.75, 0.25])))
    bent = [(low, 0.2 * above), (low, 0.02 * above), (high, 0.2 * below), (high, 0.02 * below)]
    bent.append((middle, 0.5 * quarter))
    least = 1e-9 * float(target.std())
    straight = [Warp().standardised(target)]
    return straight + [Warp(*pair).standardised(target) for pair in bent if pair[1] > least]


def _best_warp(
    binning: Binning,
    inputs: Array,
    target: Array,
    warps: Sequence[Warp],
    axis: GridAxis | None,
    rng: np.random.Generator,
) -> Warp:
    """The one under which small trees and a scale that follows them are most likely.

    The first of ``warps`` is straight.
    """
    rows = BinnedRows.of(binning, inputs)
    parts = np.array_split(rng.permutation(len(target)), _RACE_PARTS)
    scores = []
    for warp in warps:
        z = warp(target)
        _, m = grow_trees(rows, z, folds_of(parts), _RACE, rng)
        known = WarpedMixtures(fit_scale_law(m, z - m, 1).mixtures(m), warp)
        # Tails so long that the mean says less than that of all rows are not admitted.
        useful = np.mean((known.mean() - target) ** 2) < target.var() or warp is warps[0]
        log_prob = known.log_prob(target) if axis is None else Gridded(known, axis).log_prob(target)
        scores.append(float(log_prob.mean()) if useful else -np.inf)
    return warps[int(np.argmax(scores))]


def _best_size(rows: BinnedRows, z: Array, known: Array, rng: np.random.Generator) -> int:
    """The number of leaves of least error on held-out rows; many rows need not take turns."""
    folds = folds_of(np.array_split(rng.permutation(known), _RACE_PARTS))
    folds = folds if len(known) <= _MOST_RACERS else folds[:1]
    errors = []
    for n_leaves in _LEAVES:
        _, m = grow_trees(rows, z, folds, replace(_SIZE_RACE, n_leaves=n_leaves), rng)
        errors.append(float(np.nanmean((m - z) ** 2)))
    return _LEAVES[int(np.argmin(errors))]
