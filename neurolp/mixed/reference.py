"""A smooth density of one column, which says how values are spread inside its cells.

    g(x) = (1 - a) sum_k w_k N(x; mu_k, s_k) + a t_2((x - m) / s) / s,

Student's t with two degrees of freedom for what lies far out. The number of Gaussians is chosen by
Schwarz's criterion (Annals of Statistics 6, 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from neurolp.arrays import Array
from neurolp.brain.heads.mixture import fit_mixture
from neurolp.brain.marginal import log_interval, student_log_cdf, student_quantile

_COMPONENTS = (1, 2, 3, 4, 6)
_PRIOR_ROWS = 1.0  # keeps a component of few rows from collapsing
_FAR, _FAR_SCALE = 0.01, 2.0
_MOST_ROWS = 5000
_LEAST, _MOST = np.log(1e-18), -(2.0**-53)  # of what is below a value, that none is infinite
_NARROW = 1e-5  # in scales: differences of distribution functions have lost their digits


@dataclass(frozen=True)
class Reference:
    """The density; ``weights``, ``means`` and ``scales`` (K,) are those of the Gaussians."""

    weights: Array
    means: Array
    scales: Array
    centre: float
    reach: float

    @classmethod
    def of(cls, values: Array) -> Reference:
        """Fitted to values (n,), of which some may be equal; at least one."""
        if len(values) > _MOST_ROWS:
            values = values[:: len(values) // _MOST_ROWS + 1]
        centre, spread = float(values.mean()), float(values.std()) or 1.0
        potential = ((values - centre) / spread)[None]
        n = len(values)
        best, found = -np.inf, fit_mixture(potential, 1, _PRIOR_ROWS, 0)
        for k in _COMPONENTS:
            if 3 * k >= n:
                break
            mixture = fit_mixture(potential, k, _PRIOR_ROWS, 0)
            score = float(mixture.log_prob(potential).sum()) - 0.5 * (3 * k - 1) * np.log(n)
            if score <= best:
                break
            best, found = score, mixture
        return cls(
            found.weights,
            centre + spread * found.means[:, 0],
            spread * found.factors[:, 0, 0],
            centre,
            _FAR_SCALE * spread,
        )

    def log_density(self, values: Array) -> Array:
        """Log g, nats, (n,)."""
        with np.errstate(over="ignore"):  # what is beyond all numbers has the density 0
            parts = self._log_densities((values[:, None] - self._centres) / self._scales)
        return np.asarray(logsumexp(self._log_weights - np.log(self._scales) + parts, axis=1))

    def log_mass(self, low: Array, high: Array, width: Array | None = None) -> Array:
        """Log of the integral of g from ``low`` to ``high`` (n,), nats; each may be infinite.

        ``width`` is ``high - low``, where that is not exact.
        """
        return np.asarray(logsumexp(self._log_masses(low, high, width), axis=1))

    def draw(self, low: Array, high: Array, uniform: Array) -> Array:
        """Values of g between ``low`` and ``high`` (n,), from uniform numbers on (0, 1).

        A number says in which part of g a value is, and where in the part.
        """
        log_masses = self._log_masses(low, high)
        top = log_masses.max(axis=1, keepdims=True)
        mass = np.exp(log_masses - np.where(np.isfinite(top), top, 0.0))
        up_to = np.cumsum(mass, axis=1)
        wanted = uniform * up_to[:, -1]
        part = np.minimum(np.sum(up_to <= wanted[:, None], axis=1), len(self.weights))
        each, own = np.arange(len(low)), np.maximum(mass, np.finfo(np.float64).tiny)
        share = np.clip(1 - (up_to[each, part] - wanted) / own[each, part], 0.0, 1.0)

        centre, scale, is_far = self._centres[part], self._scales[part], part == len(self.weights)
        a, b = (low - centre) / scale, (high - centre) / scale
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            flip, narrow = a + b > 0, b - a < _NARROW  # to the side where both are small
            a, b = np.where(flip, -b, a), np.where(flip, -a, b)
            share = np.where(flip, 1 - share, share)
            below, above = (np.where(is_far, student_log_cdf(end), log_ndtr(end)) for end in (a, b))
            log_p = np.logaddexp(below + np.log1p(-share), above + np.log(share))
            log_p = np.clip(log_p, np.where(np.isinf(a), _LEAST, -np.inf), _MOST)
            z = np.where(is_far, student_quantile(log_p), ndtri_exp(log_p))
            even = low + uniform * (high - low)
            drawn = np.where(narrow, even, centre + scale * np.where(flip, -z, z))
        return np.asarray(np.clip(drawn, low, np.nextafter(high, -np.inf)))

    # --- inside: the Gaussians, then Student's t --------------------------------------------------

    @property
    def _log_weights(self) -> Array:
        return np.append(np.log1p(-_FAR) + np.log(self.weights), np.log(_FAR))

    @property
    def _centres(self) -> Array:
        return np.append(self.means, self.centre)

    @property
    def _scales(self) -> Array:
        return np.append(self.scales, self.reach)

    def _log_densities(self, z: Array) -> Array:
        """Of all parts in their own units, (n, K + 1), nats."""
        near, far = z[:, :-1], z[:, -1:]
        return np.hstack([-0.5 * (near * near + np.log(2 * np.pi)), -1.5 * np.log(2 + far * far)])

    def _log_masses(self, low: Array, high: Array, width: Array | None = None) -> Array:
        """Weights of the parts times their masses between the ends, (n, K + 1), nats."""
        a, b = ((end[:, None] - self._centres) / self._scales for end in (low, high))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            wide = (high - low if width is None else width)[:, None] / self._scales
            near = log_interval(log_ndtr, a[:, :-1], b[:, :-1])
            far = log_interval(student_log_cdf, a[:, -1:], b[:, -1:])
            # The error of the midpoint rule is of the order of the square of the width.
            narrow = np.log(wide) + self._log_densities(0.5 * (a + b))
            masses = np.where(wide < _NARROW, narrow, np.hstack([near, far]))
        return np.asarray(self._log_weights + masses)
