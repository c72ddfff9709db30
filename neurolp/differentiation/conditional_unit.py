"""p(t | x) of one target: an average of perceptrons whose outputs are mixtures, and boosted trees.

    y(t | x) = sum_r w_r y_r(t | x),    p(t | x) = dy/dt = sum_r w_r p_r(t | x)

The perceptrons start as the ridge regression of t on x with Gaussian noise, and stay there where
the held-out likelihood does not improve. A target on a grid has the differences of y between the
ends of its cells as probabilities, and all parts are learned and judged by these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from neurolp.arrays import Array
from neurolp.differentiation.averages import Average, Distributions, Places, Warp, WarpedMixtures
from neurolp.differentiation.axes import GridAxis
from neurolp.differentiation.boosted_unit import BoostedUnit, learn_boosted
from neurolp.differentiation.cells import cell_loss
from neurolp.differentiation.ensemble import (
    Ensemble,
    EnsembleConfig,
    Folds,
    assign_folds,
    fit_ensemble,
    stack,
)
from neurolp.differentiation.gridded import Gridded
from neurolp.differentiation.mixture_unit import Mixtures, gaussian_outputs, mixture_loss
from neurolp.differentiation.perceptron import Loss

_RIDGES = np.geomspace(1e-3, 1e6, 37)  # in units of one row's variance
_SHARE_ROWS = 4000  # from which expected numbers beyond the values seen are found
_GIVE_UP = 0.3  # nats a row: the weight of a strength so much worse is about 0
_SMALLEST_NOISE = 1e-2  # of a standardised target; a member may learn less, but not begin with it


@dataclass(frozen=True)
class ConditionalUnit:
    """The conditional density of a target given inputs, in the units of the data.

    The ``ensemble`` is of standardised targets, ``warp``(t); the trees, if any, have the weight
    ``share``. ``held_out_score`` is the mean log p(t | x), nats, of rows held out. With an ``axis``
    the target has values on its grid, and a mass in place of a density; ``shares`` are those of
    what lies beyond the values seen (see :class:`Gridded`).
    """

    ensemble: Ensemble
    component: str
    warp: Warp
    boosted: BoostedUnit | None
    share: float
    held_out_score: float
    axis: GridAxis | None = None
    shares: tuple[float, float] = (1.0, 1.0)

    def log_prob(self, inputs: Array, target: Array) -> Array:
        """Log p(t | x) in nats: ``inputs`` (n, n_inputs), ``target`` (n,) -> (n,)."""
        parts = [d.log_prob(target[rows]) for rows, d in self.distributions(inputs)]
        return np.concatenate(parts)

    def cdf(self, inputs: Array, target: Array) -> Array:
        """y(t | x), (n,)."""
        return np.concatenate([d.cdf(target[rows]) for rows, d in self.distributions(inputs)])

    def quantile(self, inputs: Array, level: Array) -> Array:
        """The t with y(t | x) = ``level`` (n,) in [0, 1], (n,)."""
        return np.concatenate([d.quantile(level[rows]) for rows, d in self.distributions(inputs)])

    def merged_quantile(self, inputs: Array, size: int, levels: Array) -> Array:
        """Quantiles of the average over each ``size`` successive rows: (n / size, n_levels)."""
        parts = []
        for rows, each in self.distributions(inputs, size):
            average = each.merge(size)
            n = len(inputs[rows]) // size
            columns = [average.quantile(np.full(n, level)) for level in levels]
            parts.append(np.column_stack(columns))
        return np.concatenate(parts)

    def expectation(self, inputs: Array) -> Array:
        """E[t | x], (n,)."""
        return np.concatenate([d.mean() for _, d in self.distributions(inputs)])

    def draw(self, inputs: Array, uniform: Array) -> Array:
        """One draw of t for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1)."""
        return np.concatenate([d.draw(uniform[rows]) for rows, d in self.distributions(inputs)])

    def distributions(
        self, inputs: Array, multiple: int = 1
    ) -> Iterator[tuple[slice, Distributions]]:
        """Blocks of a ``multiple`` of rows of ``inputs``, and their distributions of t."""
        weights = self.ensemble.weights
        for rows, outputs in self.ensemble.blocks(inputs, multiple):
            mixtures = Mixtures.from_outputs(outputs, weights, self.component)
            out: Places = WarpedMixtures(mixtures, self.warp)
            if self.boosted is not None:
                steps = self.boosted.distributions(inputs[rows])
                out = Average((out, steps), (1.0 - self.share, self.share))
            yield rows, out if self.axis is None else Gridded(out, self.axis, self.shares)


def learn_conditional(
    inputs: Array,
    target: Array,
    config: EnsembleConfig,
    seed: int,
    *,
    n_components: int = 6,
    component: str = "normal",
    trees: bool = True,
    n_validation: int = 0,
    axis: GridAxis | None = None,
) -> ConditionalUnit:
    """Learn p(t | x) from ``inputs`` (n, n_inputs) and ``target`` (n,), which must vary.

    Without inputs it is a density of t. The last ``n_validation`` rows are for early stopping and
    the weights; without them the rows are split into folds, see ``assign_folds``. ``trees`` says
    whether boosted trees are in the average. With an ``axis`` targets are values on its grid.
    """
    n_train, rng = len(target) - n_validation, np.random.default_rng(seed)
    warp = Warp().standardised(target[:n_train])
    folds = assign_folds(n_train, n_validation, config, rng)
    ensemble = _learn_smooth(
        inputs, target, warp, axis, config, n_components, component, folds, rng
    )
    rows = np.unique(np.concatenate(folds.validation))
    smooth = ensemble.held_out
    if axis is None:
        smooth = smooth + warp.log_slope(target[rows])
    learned = learn_boosted(inputs, target, folds.of_one_strength(), rng, axis) if trees else None
    boosted, share, score = None, 0.0, stack(smooth)[1]
    if learned is not None:
        boosted, steps = learned
        weights, score = stack(np.vstack([smooth, steps]))
        ensemble = ensemble.weighted(weights[:-1] / weights[:-1].sum())
        share = float(weights[-1])
    unit = ConditionalUnit(ensemble, component, warp, boosted, share, score, axis)
    if axis is None or axis.closed or not axis.step:
        return unit
    return replace(unit, shares=_shares(unit, axis, inputs, target))


def _shares(
    unit: ConditionalUnit, axis: GridAxis, inputs: Array, target: Array
) -> tuple[float, float]:
    """Shares of the probabilities of values beyond those seen that stay there.

    With s of n rows below and tau n expected there it is (s + 1/2) / (tau n + 1/2), 1 at most.
    """
    some = inputs[:: -(-len(inputs) // _SHARE_ROWS)]
    each = [cast(Gridded, d).beyond(len(some[rows])) for rows, d in unit.distributions(some)]
    left, right = (len(target) * float(np.concatenate(p).mean()) for p in zip(*each, strict=True))
    low, high = axis.seen
    pairs = ((np.sum(target < low), left), (np.sum(target > high), right))
    below, above = (float(min((s + 0.5) / (expected + 0.5), 1.0)) for s, expected in pairs)
    return below, above


def _learn_smooth(
    inputs: Array,
    target: Array,
    warp: Warp,
    axis: GridAxis | None,
    config: EnsembleConfig,
    n_components: int,
    component: str,
    folds: Folds,
    rng: np.random.Generator,
) -> Ensemble:
    """The perceptrons, for a ``target`` (n,) that ``warp`` standardises."""
    t = t_or_cell = warp(target)
    known: dict[int, tuple[Array, float, float]] = {}  # members may have the same rows

    def begin(views: list[Array], r: int, rows: Array, x: Array) -> None:
        if id(rows) not in known:
            known[id(rows)] = ridge_regression(x[rows], t[rows])
        slope, constant, noise = known[id(rows)]
        *_, biases, linear = views
        linear[r, :, n_components : 2 * n_components] = slope[:, None]
        biases[r, 0] = gaussian_outputs(constant, max(noise, _SMALLEST_NOISE), n_components)

    loss: Loss = partial(mixture_loss, component)
    if axis is not None:  # the target is then the number of its cell
        values, t_or_cell = np.unique(target, return_inverse=True)
        lower, upper = (warp(end) for end in axis.cells(values)[1:])
        loss = partial(cell_loss, component, lower, upper)
    n_outputs = 3 * n_components
    return fit_ensemble(inputs, t_or_cell, n_outputs, loss, begin, config, folds, rng, _GIVE_UP)


def ridge_regression(x: Array, t: Array) -> tuple[Array, float, float]:
    """Slope (d,), constant and standard deviation of the errors of leaving one out.

    The ridge is the one that makes the errors least; with a single row the slope is 0, the error 1.
    """
    n = len(t)
    if n < 2:
        return np.zeros(x.shape[1]), float(t.mean()), 1.0
    x_mean, t_mean = x.mean(axis=0), float(t.mean())
    u, s, vt = np.linalg.svd(x - x_mean, full_matrices=False)
    along = u.T @ (t - t_mean)
    best, slope = np.inf, np.zeros(x.shape[1])
    for ridge in _RIDGES:
        kept = s * s / (s * s + ridge)
        left = 1.0 - 1.0 / n - (u * u) @ kept  # 1 - the diagonal of the hat matrix
        error = float(np.mean(((t - t_mean - u @ (kept * along)) / np.maximum(left, 1e-9)) ** 2))
        if error < best:
            best, slope = error, vt.T @ (s / (s * s + ridge) * along)
    return slope, t_mean - float(x_mean @ slope), float(np.sqrt(best))
