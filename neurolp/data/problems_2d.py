"""Problems whose true density is known: most in two dimensions, one in three, one on a ring."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array

_MIXING = np.array([[1.0, 0.6], [-0.4, 1.0]])
_FIELD_NODES, _FIELD_COUPLING = 16, 0.45
_PRODUCT_NOISE = 0.3
_MOON_NOISE, _RING_NOISE, _GAUSSIAN_SD = 0.1, 0.05, 0.2


def sample_problem(name: str, n: int, rng: np.random.Generator) -> Array:
    """Draw ``n`` points, shape (n, d), of the problem called ``name``; d is 2 unless stated.

    * ``two_moons``: with probability 1/2 each (cos t, sin t) or (1 - cos t, 1/2 - sin t), t uniform
      on (0, pi), plus noise of sd 0.1;
    * ``two_rings``: radius 1 or 1/2, uniform angle, noise of sd 0.05;
    * ``checkerboard``: uniform on 8 of the 16 unit cells of [-2, 2]^2, alternating;
    * ``eight_gaussians``: on a circle of radius 2, sd 0.2, equal weights;
    * ``mixed_sources``: two independent standard Laplace sources, (s_1 + 0.6 s_2, s_2 - 0.4 s_1),
      with the entropy 2 (1 + log 2) + log 1.24 = 3.6014 nats;
    * ``interaction``: three columns, the third the product of two standard normal ones plus noise
      of sd 0.3: no sum of functions of each; entropy 3/2 log(2 pi e) + log 0.3 = 3.0528 nats;
    * ``gaussian_field``: a Gaussian Markov random field on a ring of 16 nodes; the precision matrix
      has 1 on the diagonal and -0.45 between neighbours. Entropy: ``gaussian_field_entropy``.
    """
    return _SAMPLERS[name](n, rng)


def problem_log_density(name: str, points: Array) -> Array:
    """Exact log-density in nats at ``points`` (n, d), shape (n,); -inf outside the support.

    Moons and rings are mixtures over a curve parameter, summed at 2000 midpoints: the spacing is a
    thirtieth of the noise, where the midpoint rule for a Gaussian is exact to machine precision
    except at the open ends of the moons (relative error below 1e-6).
    """
    return _LOG_DENSITIES[name](np.asarray(points, dtype=np.float64))


def gaussian_field_entropy() -> float:
    """Entropy of ``gaussian_field``, d/2 log(2 pi e) - 1/2 log det precision, nats."""
    log_det = np.linalg.slogdet(_field_precision())[1]
    return float(0.5 * (_FIELD_NODES * np.log(2 * np.pi * np.e) - log_det))


def _moons(n: int, rng: np.random.Generator) -> Array:
    t = rng.uniform(0, np.pi, n)
    upper = rng.random(n) < 0.5
    x = np.where(upper, np.cos(t), 1 - np.cos(t))
    y = np.where(upper, np.sin(t), 0.5 - np.sin(t))
    noise: Array = _MOON_NOISE * rng.standard_normal((n, 2))
    return np.column_stack([x, y]) + noise


def _rings(n: int, rng: np.random.Generator) -> Array:
    radius = np.where(rng.random(n) < 0.5, 1.0, 0.5)
    angle = rng.uniform(0, 2 * np.pi, n)
    points: Array = radius * np.stack([np.cos(angle), np.sin(angle)])
    noise: Array = _RING_NOISE * rng.standard_normal((n, 2))
    return points.T + noise


def _checkerboard(n: int, rng: np.random.Generator) -> Array:
    column = rng.integers(0, 4, n)
    row = 2 * rng.integers(0, 2, n) + column % 2
    return np.column_stack([column, row]) + rng.random((n, 2)) - 2.0


def _eight_gaussians(n: int, rng: np.random.Generator) -> Array:
    angle = rng.integers(0, 8, n) * np.pi / 4
    centre: Array = 2 * np.stack([np.cos(angle), np.sin(angle)])
    noise: Array = _GAUSSIAN_SD * rng.standard_normal((n, 2))
    return centre.T + noise


def _mixed_sources(n: int, rng: np.random.Generator) -> Array:
    mixed: Array = rng.laplace(size=(n, 2)) @ _MIXING.T
    return mixed


def _interaction(n: int, rng: np.random.Generator) -> Array:
    x: Array = rng.standard_normal((n, 3))
    x[:, 2] = x[:, 0] * x[:, 1] + _PRODUCT_NOISE * x[:, 2]
    return x


def _field_precision() -> Array:
    ring = np.roll(np.eye(_FIELD_NODES), 1, axis=0)
    return np.asarray(np.eye(_FIELD_NODES) - _FIELD_COUPLING * (ring + ring.T))


def _gaussian_field(n: int, rng: np.random.Generator) -> Array:
    # With the precision L L^T, x = L^-T z has it as its own.
    factor = np.linalg.cholesky(_field_precision())
    return np.linalg.solve(factor.T, rng.standard_normal((_FIELD_NODES, n))).T


def _gaussian_field_log_density(points: Array) -> Array:
    precision = _field_precision()
    constant = np.linalg.slogdet(precision)[1] - _FIELD_NODES * np.log(2 * np.pi)
    return np.asarray(0.5 * (constant - np.einsum("ni,ij,nj->n", points, precision, points)))


def _mixture(points: Array, centres: Array, sd: float) -> Array:
    """Log-density of equally weighted round Gaussians."""
    out = np.empty(len(points))
    for start in range(0, len(points), 1000):  # bounds memory
        block = points[start : start + 1000]
        square = ((block[:, None, :] - centres) ** 2).sum(axis=2)
        out[start : start + 1000] = logsumexp(-0.5 * square / sd**2, axis=1)
    return out - float(np.log(len(centres) * 2 * np.pi * sd**2))


def _moons_log_density(points: Array) -> Array:
    t = (np.arange(1000) + 0.5) * np.pi / 1000
    upper = np.column_stack([np.cos(t), np.sin(t)])
    lower = np.column_stack([1 - np.cos(t), 0.5 - np.sin(t)])
    return _mixture(points, np.vstack([upper, lower]), _MOON_NOISE)


def _rings_log_density(points: Array) -> Array:
    t = np.arange(1000) * 2 * np.pi / 1000
    circle = np.column_stack([np.cos(t), np.sin(t)])
    return _mixture(points, np.vstack([circle, 0.5 * circle]), _RING_NOISE)


def _checkerboard_log_density(points: Array) -> Array:
    cell = np.floor(points).astype(np.int64) + 2
    inside = np.all((cell >= 0) & (cell < 4), axis=1) & (cell.sum(axis=1) % 2 == 0)
    return np.where(inside, -np.log(8.0), -np.inf)


def _eight_gaussians_log_density(points: Array) -> Array:
    angle = np.arange(8) * np.pi / 4
    return _mixture(points, 2 * np.column_stack([np.cos(angle), np.sin(angle)]), _GAUSSIAN_SD)


def _mixed_sources_log_density(points: Array) -> Array:
    sources = np.linalg.solve(_MIXING, points.T)
    constant = float(2 * np.log(2) + np.log(np.linalg.det(_MIXING)))
    distance: Array = np.abs(sources).sum(axis=0)
    return -distance - constant


def _interaction_log_density(points: Array) -> Array:
    noise: Array = (points[:, 2] - points[:, 0] * points[:, 1]) / _PRODUCT_NOISE
    square: Array = points[:, 0] ** 2 + points[:, 1] ** 2 + noise**2
    return -0.5 * square - float(1.5 * np.log(2 * np.pi) + np.log(_PRODUCT_NOISE))


_SAMPLERS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "two_moons": _moons,
    "two_rings": _rings,
    "checkerboard": _checkerboard,
    "eight_gaussians": _eight_gaussians,
    "mixed_sources": _mixed_sources,
    "interaction": _interaction,
    "gaussian_field": _gaussian_field,
}
_LOG_DENSITIES: dict[str, Callable[[Array], Array]] = {
    "two_moons": _moons_log_density,
    "two_rings": _rings_log_density,
    "checkerboard": _checkerboard_log_density,
    "eight_gaussians": _eight_gaussians_log_density,
    "mixed_sources": _mixed_sources_log_density,
    "interaction": _interaction_log_density,
    "gaussian_field": _gaussian_field_log_density,
}
PROBLEM_NAMES: tuple[str, ...] = tuple(_SAMPLERS)
