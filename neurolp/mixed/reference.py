"""A smooth density of one column, which says how values are spread inside its cells.

    g(x) = (1 - a) sum_k w_k N(x; mu_k, s_k) + a t_2((x - m) / s) / s,

Student's t with two degrees of freedom for what lies far out. The number of Gaussians is chosen by
Schwarz's criterion (Annals of Statistics 6, 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr

from neurolp.arrays import Array
from neurolp.brain.heads.mixture import fit_mixture

_COMPONENTS = (1, 2, 3, 4, 6)
_PRIOR_ROWS = 1.0  # keeps a component of few rows from collapsing
_FAR, _FAR_SCALE = 0.01, 2.0
_MOST_ROWS = 5000
_HALVINGS = 60


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
        z = (values[:, None] - self.means) / self.scales
        near = np.log(self.weights / self.scales) - 0.5 * (z * z + np.log(2 * np.pi))
        t = (values - self.centre) / self.reach
        far = -1.5 * np.log(2 + t * t) - np.log(self.reach)
        together = logsumexp(near, axis=1)
        return np.asarray(np.logaddexp(np.log1p(-_FAR) + together, np.log(_FAR) + far))

    def mass(self, low: Array, high: Array) -> Array:
        """Integral of g from ``low`` to ``high`` (n,), each of which may be infinite."""
        a, b = ((end[:, None] - self.means) / self.scales for end in (low, high))
        # On the side where both are small, so that nothing cancels.
        flip = a + b > 0
        with np.errstate(invalid="ignore"):
            flip = np.where(np.isnan(a + b), False, flip)
        near = ndtr(np.where(flip, -a, b)) - ndtr(np.where(flip, -b, a))
        c, d = ((end - self.centre) / self.reach for end in (low, high))
        with np.errstate(invalid="ignore"):
            flip = np.where(np.isnan(c + d), False, c + d > 0)
        far = _student(np.where(flip, -c, d)) - _student(np.where(flip, -d, c))
        return np.asarray((1 - _FAR) * (near @ self.weights) + _FAR * far)

    def draw(self, low: Array, high: Array, uniform: Array) -> Array:
        """The values between ``low`` and ``high`` (n,) that leave shares ``uniform`` below them."""
        total = self.mass(low, high)
        a = np.where(np.isfinite(low), low, self.centre - 1e9 * self.reach)
        b = np.where(np.isfinite(high), high, self.centre + 1e9 * self.reach)
        for _ in range(2 * _HALVINGS):
            middle = 0.5 * (a + b)
            below = self.mass(low, middle) < uniform * total
            a, b = np.where(below, middle, a), np.where(below, b, middle)
        return np.asarray(np.clip(0.5 * (a + b), low, np.nextafter(high, -np.inf)))


def _student(t: Array) -> Array:
    """The distribution function of Student's t with two degrees of freedom."""
    with np.errstate(invalid="ignore", over="ignore"):
        root = np.sqrt(2 + t * t)
        small = 1.0 / (root * (root - t))  # = (1 + t / root) / 2 where t < 0
    return np.where(
        t < 0,
        np.where(np.isinf(t), 0.0, small),
        np.where(np.isinf(t), 1.0, 0.5 + 0.5 * t / np.where(np.isinf(t), 1.0, root)),
    )
