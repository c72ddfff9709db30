"""p(t | x) of one target by an ensemble of perceptrons whose outputs are mixture parameters.

    y(t | x) = sum_r w_r y_r(t | x),    p(t | x) = dy/dt = sum_r w_r p_r(t | x)

The members start as the ridge regression of t on x with Gaussian noise, and stay there where the
held-out likelihood does not improve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from neurolp.arrays import Array
from neurolp.differentiation.ensemble import Ensemble, EnsembleConfig, fit_ensemble
from neurolp.differentiation.mixture_unit import Mixtures, gaussian_outputs, mixture_loss

_RIDGES = np.geomspace(1e-3, 1e6, 37)  # in units of one row's variance
_SMALLEST_NOISE = 1e-2  # of a standardised target; a member may learn less, but not begin with it


@dataclass(frozen=True)
class ConditionalUnit:
    """The conditional density of a target given inputs, in the units of the data.

    The ``ensemble`` is of standardised targets, (t - ``mean``) / ``scale``.
    """

    ensemble: Ensemble
    component: str
    mean: float
    scale: float

    def log_prob(self, inputs: Array, target: Array) -> Array:
        """Log p(t | x) in nats: ``inputs`` (n, n_inputs), ``target`` (n,) -> (n,)."""
        z = (target - self.mean) / self.scale
        parts = [m.log_prob(z[rows]) for rows, m in self.mixtures(inputs)]
        return np.asarray(np.concatenate(parts) - np.log(self.scale))

    def cdf(self, inputs: Array, target: Array) -> Array:
        """y(t | x), (n,)."""
        z = (target - self.mean) / self.scale
        return np.concatenate([m.cdf(z[rows]) for rows, m in self.mixtures(inputs)])

    def quantile(self, inputs: Array, level: Array) -> Array:
        """The t with y(t | x) = ``level`` (n,) in [0, 1], (n,)."""
        parts = [m.quantile(level[rows]) for rows, m in self.mixtures(inputs)]
        return np.concatenate(parts) * self.scale + self.mean

    def expectation(self, inputs: Array) -> Array:
        """E[t | x], (n,)."""
        parts = [m.mean() for _, m in self.mixtures(inputs)]
        return np.concatenate(parts) * self.scale + self.mean

    def draw(self, inputs: Array, uniform: Array) -> Array:
        """One draw of t for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1)."""
        parts = [m.draw(uniform[rows]) for rows, m in self.mixtures(inputs)]
        return np.concatenate(parts) * self.scale + self.mean

    def mixtures(self, inputs: Array) -> Iterator[tuple[slice, Mixtures]]:
        """Blocks of rows of ``inputs`` and their mixtures, in standardised units of the target."""
        weights = self.ensemble.weights
        for rows, outputs in self.ensemble.blocks(inputs):
            yield rows, Mixtures.from_outputs(outputs, weights, self.component)


def learn_conditional(
    inputs: Array,
    target: Array,
    config: EnsembleConfig,
    seed: int,
    *,
    n_components: int = 6,
    component: str = "normal",
    n_validation: int = 0,
) -> ConditionalUnit:
    """Learn p(t | x) from ``inputs`` (n, n_inputs) and ``target`` (n,), which must vary.

    Without inputs it is a density of t; ``n_validation`` as of :func:`fit_ensemble`.
    """
    n_train = len(target) - n_validation
    mean, scale = float(target[:n_train].mean()), float(target[:n_train].std())
    t = (target - mean) / scale
    known: dict[int, tuple[Array, float, float]] = {}  # members may have the same rows

    def begin(views: list[Array], r: int, rows: Array, x: Array) -> None:
        if id(rows) not in known:
            known[id(rows)] = ridge_regression(x[rows], t[rows])
        slope, constant, noise = known[id(rows)]
        *_, biases, linear = views
        linear[r, :, n_components : 2 * n_components] = slope[:, None]
        biases[r, 0] = gaussian_outputs(constant, max(noise, _SMALLEST_NOISE), n_components)

    loss = partial(mixture_loss, component)
    ensemble = fit_ensemble(inputs, t, 3 * n_components, loss, begin, config, seed, n_validation)
    return ConditionalUnit(ensemble, component, mean, scale)


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
