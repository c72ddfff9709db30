"""The law of residuals whose scale depends on where they are: normal scale mixtures, fitted by EM.

    r / s(m) ~ sum_k w_k N(0, b_k^2),      log s(m) = c_0 + c_1 u + ... + c_d u^d + offset

with u the location m in standard units, held at the ends of its range. The widths b_k are fixed;
their weights give short or long tails, all of whose exponential moments are finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array
from neurolp.differentiation.mixture_unit import SMALLEST_WIDTH, Mixtures

WIDTHS = np.geomspace(0.2, 3.0, 7)
_LOWEST, _HIGHEST = float(np.log(SMALLEST_WIDTH)), float(np.log(1.5))  # of log s, standardised
_MOST_STEPS, _RIDGE = 30, 1.0  # the ridge is on c_1 ..., in rows
_ENOUGH = 1e-3  # a step of the coefficients that does not matter


@dataclass(frozen=True)
class ScaleLaw:
    """Coefficients c (degree + 1,) of the log-scale and log-weights (n_widths,) of the mixture.

    ``centre``, ``spread``, ``low`` and ``high`` are of the locations that it was fitted to.
    """

    coefficients: Array
    log_weights: Array
    centre: float
    spread: float
    low: float
    high: float

    def log_scale(self, location: Array, offset: Array | float = 0.0) -> Array:
        """Log s at ``location`` (n,), (n,)."""
        powers = self._powers(location)
        return np.clip(powers @ self.coefficients + offset, _LOWEST, _HIGHEST)

    def mixtures(self, location: Array, offset: Array | float = 0.0) -> Mixtures:
        """Distributions of location + residual, for ``location`` (n,)."""
        scale = np.exp(self.log_scale(location, offset))
        shape = (len(location), len(WIDTHS))
        return Mixtures(
            np.broadcast_to(self.log_weights, shape),
            np.broadcast_to(location[:, None], shape),
            np.maximum(scale[:, None] * WIDTHS, SMALLEST_WIDTH),
        )

    def _powers(self, location: Array) -> Array:
        u = (np.clip(location, self.low, self.high) - self.centre) / self.spread
        return u[:, None] ** np.arange(len(self.coefficients))


def fit_scale_law(
    location: Array, residual: Array, degree: int, offset: Array | float = 0.0
) -> ScaleLaw:
    """The law of greatest likelihood, but for priors of a row or so, of ``residual`` (n,).

    EM: q_ik are the shares of the widths in each residual, v_i = sum_k q_ik / b_k^2 (r_i / s_i)^2.
    The coefficients take Newton steps on sum_i log s_i + v_i / 2.
    """
    spread = float(location.std())
    spread = spread if spread > 0.0 else 1.0
    start = np.zeros(degree + 1)
    start[0] = np.log(np.sqrt(np.mean((residual * np.exp(-offset)) ** 2)) + SMALLEST_WIDTH)
    even = np.full(len(WIDTHS), -np.log(len(WIDTHS)))
    ends = float(location.min()), float(location.max())
    law = ScaleLaw(start, even, float(location.mean()), spread, *ends)
    powers = law._powers(location)
    pull = np.append(0.0, np.full(degree, _RIDGE))
    c, log_weights = start, even
    for _ in range(_MOST_STEPS):
        z2 = (residual * np.exp(-np.clip(powers @ c + offset, _LOWEST, _HIGHEST))) ** 2
        share = (log_weights - np.log(WIDTHS)) - 0.5 * z2[:, None] * WIDTHS**-2.0
        share = np.exp(share - share.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        log_weights = np.log((share.sum(axis=0) + 1.0) / (len(z2) + len(WIDTHS)))
        v = (share @ WIDTHS**-2.0) * z2
        # A bounded curvature: outliers and exact hits give no wild steps.
        curvature = 2.0 * np.clip(v, 0.1, 10.0)
        hessian = (powers * curvature[:, None]).T @ powers + np.diag(pull + 1e-9)
        step = np.linalg.solve(hessian, powers.T @ (v - 1.0) - pull * c)
        c = c + np.clip(step, -1.0, 1.0)
        if abs(step).max() < _ENOUGH:
            break
    return ScaleLaw(c, log_weights, law.centre, spread, *ends)
