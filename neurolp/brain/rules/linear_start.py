"""The first slice of a brain with clamped nodes: a linear regression of the others on them.

Greedy slices are small steps, and their ridge grows with the number of features: of few rows they
would need hundreds of slices for what is linear. This is one step,

    v_i = u_i + w_i . u_clamped + b_i,
    w_i = -(S + ridge_i)^-1 cov(u_clamped, psi(u_i)) / E[psi'(u_i)],

S the covariance of the clamped potentials: Newton's, which for the normal base is the ridge
regression of u_i. Each ridge is the one of least generalised cross-validation on training rows.

Source: Golub, Heath and Wahba, Technometrics 21, 1979.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.rules.rule import LocalStep, LocalView

_RIDGES = np.append(10.0 ** np.arange(-5.0, 2.5, 0.5), np.inf)  # in units of the mean variance
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class LinearStart:
    """A rule for a group of all moving nodes, which sees the clamped ones."""

    node_rate: float

    def learn(self, view: LocalView, rng: np.random.Generator) -> LocalStep:
        """The regression on phi_0(u) = u of sources that are no targets; no scale."""
        others = np.flatnonzero(~np.isin(view.sources, view.targets))

        def sums(f: Array, u: Array) -> tuple[Array, ...]:
            z = np.concatenate([f[others], f[-1:]]).astype(np.float64)
            psi = view.base.psi(u).astype(np.float64)
            curvature = view.base.curvature(u).sum(axis=1, dtype=np.float64)
            return z @ z.T, z @ psi.T, np.sum(psi * psi, axis=1), curvature

        gram, right, square, curvature = (part / view.n_rows for part in view.sum(sums))
        mean, psi = gram[-1, :-1], right[-1]
        covariance = gram[:-1, :-1] - np.outer(mean, mean)
        slope = ridge_slopes(
            covariance, right[:-1] - np.outer(mean, psi), square - psi**2, view.n_rows
        )
        scale = -1.0 / np.maximum(curvature, _TINY)
        weights = np.zeros((len(view.targets), view.n_features))
        weights[:, others] = (scale * slope).T
        return LocalStep(weights, scale * (psi - mean @ slope))


def ridge_slopes(covariance: Array, products: Array, variance: Array, n_rows: int) -> Array:
    """Slopes (n_inputs, n_targets) of ridge regressions, each with a ridge of its own.

    ``covariance`` (n_inputs, n_inputs) of the inputs, their ``products`` (n_inputs, n_targets) with
    the targets, and the ``variance`` (n_targets,) of these. A ridge is that of least

        (residual sum of squares / n) / (1 - degrees of freedom / n)^2.
    """
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ products
    best = np.full(len(variance), np.inf)
    out = np.zeros_like(products)
    if not values.sum() > _TINY:  # inputs that are constant
        return out
    for ridge in _RIDGES * values.mean():
        share = 1.0 / (values + ridge)  # 0 where the ridge is infinite
        explained = (turned**2 * (share * (2.0 - values * share))[:, None]).sum(axis=0)
        left = 1.0 - (1.0 + np.sum(values * share)) / n_rows
        score = (variance - explained) / left**2 if left > 0.0 else np.full(len(variance), np.inf)
        better = score < best
        best[better] = score[better]
        out[:, better] = (vectors @ (share[:, None] * turned))[:, better]
    return out
