"""Gaussian mixtures of potentials as density heads, and their fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.cluster import kmeans_plusplus

from neurolp.arrays import Array
from neurolp.kernels.mixture import CHUNK, mixture_log_prob

_LOG_2PI = float(np.log(2 * np.pi))
_LEAST_VARIANCE = 1e-6  # of standardised rows; exact functions of others would have none
_ROUNDING = 64 * np.finfo(np.float64).eps  # of sums of squares
_BLOCK_ELEMENTS = 1 << 21
_SHARE_ELEMENTS = 1 << 16  # shares of a block stay in the cache (four times as many cost 60 %)
_KEPT_ELEMENTS = 1 << 22  # 32 MB: several mixtures are fitted at once


@dataclass(frozen=True)
class MixtureHead:
    """exp(-E(u)) = sum_k pi_k N(u; mu_k, Sigma_k): a Boltzmann form whose energy is learned.

    ``weights`` (K,) sum to 1, ``means`` (K, n_nodes), ``factors`` (K, n_nodes, n_nodes) are the
    lower Cholesky factors of the covariances.
    """

    weights: Array
    means: Array
    factors: Array

    @property
    def n_components(self) -> int:
        """Number K of components."""
        return len(self.weights)

    @cached_property
    def _whitening(self) -> Array:
        """Inverses of the factors, transposed: (x - mu) W is standard normal."""
        return np.asarray(np.linalg.inv(self.factors).transpose(0, 2, 1))

    def joint_log_prob(self, rows: Array) -> Array:
        """Log pi_k + log N(u; mu_k, Sigma_k) of rows (n, n_nodes), shape (n, K), nats."""
        out = np.empty((len(rows), self.n_components))
        for k, whitening in enumerate(self._whitening):
            z = (rows - self.means[k]) @ whitening
            out[:, k] = -0.5 * np.einsum("ij,ij->i", z, z)
        return np.asarray(out + self._log_constants)

    @cached_property
    def _log_constants(self) -> Array:
        """Log of weight and peak of every component, (K,)."""
        volume = np.log(np.diagonal(self.factors, axis1=1, axis2=2)).sum(axis=1)
        return np.asarray(np.log(self.weights) - volume - 0.5 * self.means.shape[1] * _LOG_2PI)

    @cached_property
    def _whitening_chunks(self) -> Array:
        """The whitening as :func:`mixture_log_prob` takes it."""
        d = self.means.shape[1]
        rows = np.zeros((self.n_components, d + 1, d + CHUNK))
        rows[:, :d, :d] = self._whitening.transpose(0, 2, 1)
        chunks = [
            rows[:, i : i + 2, column : column + CHUNK].reshape(self.n_components, 2 * CHUNK)
            for i in range(0, d, 2)
            for column in range(0, min(i + 2, d), CHUNK)
        ]
        return np.ascontiguousarray(np.stack(chunks, axis=1))

    def log_prob(self, potential: Array) -> Array:
        """-E(u) of potentials (n_nodes, n_trajectories), shape (n_trajectories,), nats."""
        out = np.empty(potential.shape[1])
        u = np.ascontiguousarray(potential, dtype=np.float64)
        mixture_log_prob(u, self.means, self._whitening_chunks, self._log_constants, out)
        return out

    def sample(self, n_samples: int, rng: np.random.Generator) -> Array:
        """Draw potentials, shape (n_nodes, n_samples)."""
        component = rng.choice(self.n_components, n_samples, p=self.weights)
        noise = rng.standard_normal((n_samples, self.means.shape[1]))
        return np.asarray(
            (self.means[component] + np.einsum("nij,nj->ni", self.factors[component], noise)).T
        )


def fit_mixture(
    potential: Array,
    n_components: int,
    prior_rows: float,
    seed: int,
    *,
    scale: float = 1.0,
    pooled: bool = False,
    max_iterations: int = 100,
    tolerance: float = 5e-4,
) -> MixtureHead:
    """Fit a mixture to potentials (n_nodes, n_trajectories) by MAP expectation-maximisation.

    Each covariance is drawn towards a round one as by ``prior_rows`` further observations,
    Sigma_k = (S_k + prior_rows s^2 I) / (N_k + prior_rows) with s^2 = scale^2 K^(-2 / n_nodes), for
    the K components share the volume that the base density would fill (conjugate prior; Fraley and
    Raftery, J. Classification 24, 2007); the weights as by one further row each. ``pooled`` puts
    the covariance of all rows in the place of scale^2 I: nodes may be nearly functions of others,
    and what a fit finds is the same in any units and directions. Starts from k-means++ centres and
    stops when a step gains less than ``tolerance`` nats per parameter, over all rows: a small part
    of the half nat per parameter that fitting noise gains.
    """
    if pooled:
        centre = potential.mean(axis=1, dtype=np.float64)
        covariance = np.cov(potential, bias=True, dtype=np.float64)
        # Of far values the rounding errors are larger than the least variance.
        least = _LEAST_VARIANCE + _ROUNDING * np.trace(covariance)
        whitening = np.linalg.cholesky(covariance + least * np.eye(len(centre)))
        white = solve_triangular(whitening, potential - centre[:, None], lower=True)
        found = fit_mixture(
            white,
            n_components,
            prior_rows,
            seed,
            max_iterations=max_iterations,
            tolerance=tolerance,
        )
        return MixtureHead(
            found.weights, centre + found.means @ whitening.T, whitening @ found.factors
        )
    rows = np.ascontiguousarray(potential.T, dtype=np.float64)
    n, d = rows.shape
    centres, _ = kmeans_plusplus(rows, n_components, random_state=seed)
    square = np.einsum("kd,kd->k", centres, centres)
    nearest = np.argmin(square - 2 * rows @ centres.T, axis=1)
    share = (np.arange(n_components)[:, None] == nearest).astype(np.float64)
    round_ = prior_rows * scale**2 * n_components ** (-2 / d)
    last = -np.inf
    blocks = _moment_blocks(rows, _SHARE_ELEMENTS // n_components)
    sums: Any = sum(share[:, block] @ moments.T for block, moments in blocks())
    for _ in range(max_iterations):
        energy = _maximise(sums, n, round_, prior_rows)
        quadratic, log_prob, sums = _quadratic(energy), 0.0, 0.0
        for _, moments in blocks():
            joint = quadratic @ moments
            top = joint.max(axis=0)
            joint -= top
            # Shares of a component to seven digits are enough, in a third of the time.
            np.exp(joint, out=joint, dtype=np.float32, casting="same_kind")
            total = joint.sum(axis=0)
            log_prob += float(top.sum() + np.log(total).sum())
            sums = sums + joint @ (moments / total).T
        if log_prob - last < tolerance * n_components * (d + 1) * (d + 2) / 2:
            break
        last = log_prob
    return energy


@cache
def _pairs(d: int) -> tuple[Array, Array]:
    """Indices i <= j of the products of ``d`` columns."""
    return np.triu_indices(d)


def _moment_blocks(rows: Array, most_rows: int) -> Callable[[], Iterator[tuple[slice, Array]]]:
    """Blocks of rows with their moments 1, x_i and x_i x_j (i <= j), (n_moments, width) each.

    They are kept where memory allows.

    With them both halves of expectation-maximisation are matrix products.
    """
    n, d = rows.shape
    upper = _pairs(d)
    n_moments = len(upper[0]) + d + 1
    width = max(min(_BLOCK_ELEMENTS // n_moments, most_rows), 64)
    blocks = [slice(start, start + width) for start in range(0, n, width)]

    def moments(block: slice) -> Array:
        x = np.ascontiguousarray(rows[block].T)
        return np.concatenate([np.ones((1, x.shape[1])), x, x[upper[0]] * x[upper[1]]])

    if n * n_moments > _KEPT_ELEMENTS:
        return lambda: ((block, moments(block)) for block in blocks)
    kept = [(block, moments(block)) for block in blocks]
    return lambda: iter(kept)


def _maximise(sums: Any, n: int, round_: float, prior_rows: float) -> MixtureHead:
    """Weights, means and covariances from the sums of the moments, shape (K, n_moments)."""
    k = len(sums)
    d = int((np.sqrt(8 * sums.shape[1] + 1) - 3) / 2)
    upper = _pairs(d)
    count = sums[:, 0]
    means = sums[:, 1 : d + 1] / np.maximum(count, np.finfo(np.float64).tiny)[:, None]
    scatter = np.empty((k, d, d))
    scatter[:, upper[0], upper[1]] = scatter[:, upper[1], upper[0]] = sums[:, d + 1 :]
    # Sums of squares are rounded: without their errors a singular covariance may become indefinite.
    rounding = _ROUNDING * np.diagonal(scatter, axis1=1, axis2=2)
    scatter -= count[:, None, None] * means[:, :, None] * means[:, None, :]
    scatter[:, np.arange(d), np.arange(d)] += round_ + rounding
    factors = np.linalg.cholesky(scatter / (count + prior_rows)[:, None, None])
    return MixtureHead((count + 1) / (n + k), means, factors)


def _quadratic(energy: MixtureHead) -> Array:
    """Coefficients of log pi_k + log N(x; mu_k, Sigma_k) on the moments, (K, n_moments)."""
    w = energy._whitening
    d = w.shape[1]
    upper = _pairs(d)
    precision = w @ w.transpose(0, 2, 1)
    linear = np.einsum("kij,kj->ki", precision, energy.means)
    pairs = -precision[:, upper[0], upper[1]]
    pairs[:, upper[0] == upper[1]] *= 0.5
    constant = (
        np.log(energy.weights)
        - np.log(np.diagonal(energy.factors, axis1=1, axis2=2)).sum(axis=1)
        - 0.5 * np.einsum("ki,ki->k", linear, energy.means)
        - 0.5 * d * _LOG_2PI
    )
    return np.concatenate([constant[:, None], linear, pairs], axis=1)
