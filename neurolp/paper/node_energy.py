"""Learned energies of single nodes: Boltzmann factors whose partition function is computed.

    E_i(u) = integral from 0 to u of s_i + log Z_i,   s_i(u) = sum_k c_ik B_k(u)

with the tied quadratic B-splines of ``brain.node_map``, now of any sign inside. Beyond the knots
E_i is linear; it rises on both sides, because c_i1 < 0 < c_iK, so exp(-E_i) has an integral, and
log Z_i makes it one. Z_i is a sum of Gauss-Legendre rules, one per interval, where E_i is a cubic
that rises or falls by at most ``RISE_MAX``, and of the exact integrals of the exponential tails.

Learning is the Boltzmann machine's: d E[E_i] / d c_ik = <phi_k>_data - <phi_k>_model with
phi_k = integral of B_k, a convex problem; the Newton step divides by the model's covariance of phi.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.node_map import SplineGrid
from neurolp.errors import NetworkError

# Bounds on |s_i| in units of 1 / spacing: with at most 8 nats per interval the 16-point rule is
# exact to rounding (measured: 3e-15), and a tail of 0.05 nats per interval can still be summed.
RISE_MAX, RISE_MIN = 8.0, 0.05
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_TAIL_POINTS, _TAIL_WEIGHTS = np.polynomial.laguerre.laggauss(4)


@dataclass(frozen=True)
class NodeEnergies:
    """Normalised energies of n nodes: ``slopes`` are the c_ik, shape (n_nodes, n_intervals)."""

    grid: SplineGrid
    slopes: Array

    def __post_init__(self) -> None:
        n, h = self.grid.n_intervals, self.grid.spacing
        if self.slopes.ndim != 2 or self.slopes.shape[1] != n:
            raise NetworkError(
                f"energy slopes must have shape (n_nodes, {n}), but have shape {self.slopes.shape}"
            )
        if not np.all(np.abs(self.slopes) * h <= RISE_MAX):
            raise NetworkError(f"energy slopes must lie within +-{RISE_MAX / h}, but do not")
        if not (np.all(-self.slopes[:, 0] * h >= RISE_MIN) and np.all(self._right >= RISE_MIN)):
            raise NetworkError("energies must rise towards both tails, but one does not")

    @classmethod
    def standard(cls, grid: SplineGrid, n_nodes: int) -> NodeEnergies:
        """Energies of standard normal nodes inside the knots, E'(u) = u, with linear tails."""
        centres = grid.low + (np.arange(grid.n_intervals) + 0.5) * grid.spacing
        return cls(grid, np.tile(centres, (n_nodes, 1)))

    @property
    def _right(self) -> Array:
        return np.asarray(self.slopes[:, -1] * self.grid.spacing)

    @cached_property
    def _table(self) -> Array:
        return self.grid.table(np.hstack([np.zeros((len(self.slopes), 1)), self.slopes]))

    def _bare(self, u: Array) -> Array:
        """Energies without log Z."""
        return self.grid.evaluate(self._table, u)[0]

    def psi(self, u: Array) -> Array:
        """E_i'(u), for u of shape (n_nodes, m)."""
        return self.grid.evaluate(self._table, u)[1]

    def energy(self, u: Array) -> Array:
        """E_i(u) in nats, normalised, for u of shape (n_nodes, m)."""
        return np.asarray(self._bare(u) + self.log_partition[:, None])

    @cached_property
    def _quadrature(self) -> tuple[Array, Array]:
        """Points (n_nodes, q) and the logarithms of their weights times exp(-E), without log Z."""
        low, high, h = self.grid.low, self.grid.high, self.grid.spacing
        n = len(self.slopes)
        starts = low + h * np.arange(self.grid.n_intervals)
        inner = np.tile((starts[:, None] + 0.5 * h * (_POINTS + 1)).ravel(), (n, 1))
        log_inner = np.tile(np.log(0.5 * h * _WEIGHTS), self.grid.n_intervals) - self._bare(inner)
        points, logs = [inner], [log_inner]
        # Gauss-Laguerre is exact here: a tail is an exponential times a polynomial.
        for end, sign, slope in ((low, -1, -self.slopes[:, :1]), (high, 1, self.slopes[:, -1:])):
            points.append(end + sign * _TAIL_POINTS / slope)
            logs.append(np.log(_TAIL_WEIGHTS / slope) - self._bare(np.full((n, 1), end)))
        return np.hstack(points), np.hstack(logs)

    @cached_property
    def log_partition(self) -> Array:
        """Logarithms of the one-node integrals Z_i of exp(-E_i), shape (n_nodes,)."""
        return np.asarray(logsumexp(self._quadrature[1], axis=1))

    def features(self, u: Array) -> Array:
        """phi_k(u) = integral of B_k from 0 to u, for u (n_nodes, m): shape (n_nodes, m, K)."""
        low, high, h = self.grid.low, self.grid.high, self.grid.spacing
        inside = np.clip(u, low, high)
        s = np.minimum(((inside - low) / h).astype(np.intp), self.grid.n_intervals - 1)
        x = (inside - low) / h - s
        phi = np.einsum("imkp,imp->imk", self.grid.value_basis[s], x[..., None] ** np.arange(4))
        phi[..., 0] += np.minimum(u - low, 0)
        phi[..., -1] += np.maximum(u - high, 0)
        return np.asarray(phi)

    def learned(self, u: Array, rate: float, ridge: float) -> NodeEnergies:
        """Return the energies after a fraction ``rate`` of the Newton step on data u (n_nodes, m).

        ``ridge``, in nats per unit of squared slope times spacing squared, keeps the step finite
        where the model has no mass. Slopes are cut to the bounds that keep E_i normalisable.
        """
        points, logs = self._quadrature
        probability = np.exp(logs - self.log_partition[:, None])
        phi = self.features(points)
        mean = np.einsum("iq,iqk->ik", probability, phi)
        centred = phi - mean[:, None, :]
        covariance = np.einsum("iq,iqk,iql->ikl", probability, centred, centred)
        h, k = self.grid.spacing, self.grid.n_intervals
        covariance += ridge * h**2 * np.eye(k)
        gradient = self.features(u).mean(axis=1) - mean
        step = np.linalg.solve(covariance, gradient[..., None])[..., 0]
        slopes = np.clip(self.slopes - rate * step, -RISE_MAX / h, RISE_MAX / h)
        slopes[:, 0] = np.minimum(slopes[:, 0], -RISE_MIN / h)
        slopes[:, -1] = np.maximum(slopes[:, -1], RISE_MIN / h)
        return NodeEnergies(self.grid, slopes)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n potentials of every node from exp(-E_i), shape (n_nodes, n).

        The interval by its probability, the place in it by inverting the distribution function:
        bisection in the Gauss-Legendre integral from the start of the interval, to rounding.
        """
        low, high, h, k = self.grid.low, self.grid.high, self.grid.spacing, self.grid.n_intervals
        mass = np.exp(self._quadrature[1] - self.log_partition[:, None])
        inner = mass[:, : 16 * k].reshape(-1, k, 16).sum(axis=2)
        tails = mass[:, 16 * k :].reshape(-1, 2, 4).sum(axis=2)
        out = np.empty((len(self.slopes), n))
        for i in range(len(out)):
            share = np.concatenate([tails[i, :1], inner[i], tails[i, 1:]])
            part = rng.choice(k + 2, size=n, p=share / share.sum())
            uniform = rng.random(n)
            one = NodeEnergies(self.grid, self.slopes[i : i + 1])
            start = low + (np.clip(part, 1, k) - 1) * h
            left, right = np.zeros(n), np.full(n, h)
            for _ in range(54):
                width = 0.5 * (left + right)
                u = start[:, None] + 0.5 * width[:, None] * (_POINTS + 1)
                density = np.exp(-one.energy(u.reshape(1, -1))).reshape(u.shape)
                below = 0.5 * width * (density @ _WEIGHTS)
                too_far = below > uniform * share[part]
                left, right = np.where(too_far, left, width), np.where(too_far, width, right)
            out[i] = start + 0.5 * (left + right)
            beyond = -np.log1p(-uniform)
            out[i] = np.where(part == 0, low + beyond / self.slopes[i, 0], out[i])
            out[i] = np.where(part == k + 1, high + beyond / self.slopes[i, -1], out[i])
        return out
