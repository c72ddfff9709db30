"""A smooth density of one column, which says how values are spread inside its cells.

    g(x) = (1 - a) sum_k w_k N(x; mu_k, s_k) + a t_2((x - m) / s) / s,

Student's t with two degrees of freedom for what lies far out. The number of Gaussians is chosen by
Schwarz's criterion (Annals of Statistics 6, 1978).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from neurolp.arrays import Array
from neurolp.brain.heads.mixture import fit_mixture

_COMPONENTS = (1, 2, 3, 4, 6)
_PRIOR_ROWS = 1.0  # keeps a component of few rows from collapsing
_FAR, _FAR_SCALE = 0.01, 2.0
_MOST_ROWS = 5000
_LEAST = 1e-18  # probability below a drawn value: no value is infinite
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
            z = (values[:, None] - self.means) / self.scales
            near = np.log(self.weights / self.scales) - 0.5 * (z * z + np.log(2 * np.pi))
            t = (values - self.centre) / self.reach
            far = -1.5 * np.log(2 + t * t) - np.log(self.reach)
        together = logsumexp(near, axis=1)
        return np.asarray(np.logaddexp(np.log1p(-_FAR) + together, np.log(_FAR) + far))

    def mass(self, low: Array, high: Array) -> Array:
        """Integral of g from ``low`` to ``high`` (n,), each of which may be infinite."""
        near = _between(*self._standard(low[:, None], high[:, None]), ndtr)
        c, d = ((end - self.centre) / self.reach for end in (low, high))
        far = _between(c, d, _student)
        return np.asarray((1 - _FAR) * (near @ self.weights) + _FAR * far)

    def log_mass(self, low: Array, high: Array, width: Array | None = None) -> Array:
        """Log of :meth:`mass`, nats, (n,), also of intervals that are narrow beside the scales.

        ``width`` is ``high - low``, where that is not exact.
        """
        with np.errstate(invalid="ignore"):
            width = high - low if width is None else width
        ends = self._standard(low[:, None], high[:, None])
        near = _log_between(*ends, width[:, None] / self.scales, ndtr, _log_normal)
        c, d = ((end - self.centre) / self.reach for end in (low, high))
        far = _log_between(c, d, width / self.reach, _student, _log_student)
        together = logsumexp(near + np.log(self.weights), axis=1)
        return np.asarray(np.logaddexp(np.log1p(-_FAR) + together, np.log(_FAR) + far))

    def draw(self, low: Array, high: Array, uniform: Array) -> Array:
        """Values of g between ``low`` and ``high`` (n,), from uniform numbers on (0, 1).

        A number says in which part of g a value is, and where in the part.
        """
        with np.errstate(invalid="ignore"):
            width = high - low
        ends = self._standard(low[:, None], high[:, None])
        near = _log_between(*ends, width[:, None] / self.scales, ndtr, _log_normal)
        c, d = ((end - self.centre) / self.reach for end in (low, high))
        far = _log_between(c, d, width / self.reach, _student, _log_student)
        weights = np.append((1 - _FAR) * self.weights, _FAR)
        parts = np.column_stack([near, far])
        top = parts.max(axis=1, keepdims=True)
        mass = weights * np.exp(parts - np.where(np.isfinite(top), top, 0.0))
        up_to = np.cumsum(mass, axis=1)
        place = uniform * up_to[:, -1]
        part = np.minimum(np.sum(up_to <= place[:, None], axis=1), len(self.weights))
        each, own = np.arange(len(low)), np.maximum(mass, np.finfo(np.float64).tiny)
        share = np.clip(1 - (up_to[each, part] - place) / own[each, part], 0.0, 1.0)

        centre = np.append(self.means, self.centre)[part]
        scale = np.append(self.scales, self.reach)[part]
        a, b = (low - centre) / scale, (high - centre) / scale
        with np.errstate(invalid="ignore"):
            flip, narrow = a + b > 0, b - a < _NARROW
        a, b = np.where(flip, -b, a), np.where(flip, -a, b)
        share = np.where(flip, 1 - share, share)
        is_far = part == len(self.weights)
        below, above = (np.where(is_far, _student(end), ndtr(end)) for end in (a, b))
        p = np.clip(below + share * (above - below), _LEAST, 1 - 2.0**-53)
        z = np.where(is_far, (2 * p - 1) / np.sqrt(2 * p * (1 - p)), ndtri(p))
        with np.errstate(invalid="ignore"):
            even = low + uniform * width
        drawn = np.where(narrow, even, centre + scale * np.where(flip, -z, z))
        return np.asarray(np.clip(drawn, low, np.nextafter(high, -np.inf)))

    def _standard(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Ends (n, 1) in the units of each Gaussian, (n, K)."""
        return (low - self.means) / self.scales, (high - self.means) / self.scales


def _between(low: Array, high: Array, distribution: Callable[[Array], Array]) -> Array:
    """Probability between two ends of a law that is symmetric about 0."""
    with np.errstate(invalid="ignore"):
        flip = low + high > 0  # to the side where both are small, so that nothing cancels
    return np.asarray(
        distribution(np.where(flip, -low, high)) - distribution(np.where(flip, -high, low))
    )


def _log_between(
    low: Array,
    high: Array,
    width: Array,
    distribution: Callable[[Array], Array],
    log_density: Callable[[Array], Array],
) -> Array:
    """Log of :func:`_between`, also where the ``width`` is small."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        wide = _between(low, high, distribution)
        # The error of the midpoint rule is of the order of the square of the width.
        narrow = np.log(width) + log_density(0.5 * (low + high))
        return np.where(width < _NARROW, narrow, np.log(wide))


def _log_normal(z: Array) -> Array:
    return np.asarray(-0.5 * (z * z + np.log(2 * np.pi)))


def _log_student(t: Array) -> Array:
    return np.asarray(-1.5 * np.log(2 + t * t))


def _student(t: Array) -> Array:
    """The distribution function of Student's t with two degrees of freedom."""
    with np.errstate(over="ignore"):
        root = np.sqrt(2 + t * t)
        small = 1.0 / (root * (root + np.abs(t)))  # = (1 - |t| / root) / 2
    return np.asarray(np.where(t < 0, small, 1.0 - small))
