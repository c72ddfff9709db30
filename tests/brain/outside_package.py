"""Parts of a brain as another package would write them, with public names of neurolp alone."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit, logit

import neurolp


@dataclass(frozen=True)
class SlowRule:
    """Plain gradient steps on the local loss; no log-scale."""

    rate: float = 0.02
    node_rate: float = 0.3

    def learn(self, view: neurolp.LocalView, rng: np.random.Generator) -> neurolp.LocalStep:
        f, psi = view.features(), view.base.psi(view.potential)
        allowed = np.tile(view.edges, (1, view.transfer.n_transfer))
        weights = -self.rate * (psi @ f.T) / view.n_rows * allowed
        return neurolp.LocalStep(weights, -self.rate * psi.mean(axis=1))


@dataclass(frozen=True)
class AffineMap:
    """g(v) = o + e^s v: the smallest node map there is."""

    n_coefficients: int = 2

    def identity(self, n_nodes):
        return np.zeros((n_nodes, 2))

    def check(self, coefficients):
        if not np.all(np.abs(coefficients[:, 1]) < 5):
            raise neurolp.NetworkError("logarithms of slopes must lie within 5")

    def forward(self, coefficients, v):
        offset, log_slope = coefficients.T[:, :, None]
        return offset + np.exp(log_slope) * v, np.broadcast_to(log_slope, v.shape)

    def inverse(self, coefficients, u):
        offset, log_slope = coefficients.T[:, :, None]
        return (u - offset) * np.exp(-log_slope)

    def learn(self, v, base, rate):
        log_slope = -0.5 * rate * np.log(np.mean(v**2, axis=1))
        return np.stack([-rate * v.mean(axis=1), log_slope], axis=1)


class WideLogistic(neurolp.BaseDensity):
    """A logistic density of scale 2."""

    name = "wide logistic"
    std = 2 * np.pi / np.sqrt(3)

    def energy(self, u):
        return -log_expit(u / 2) - log_expit(-u / 2) + np.log(2)

    def psi(self, u):
        return np.tanh(u / 4) / 2

    def curvature(self, u):
        return (1 - np.tanh(u / 4) ** 2) / 8

    def activity(self, u):
        return expit(u / 2)

    def potential(self, a):
        return 2 * logit(a)

    def log_activity(self, u):
        return log_expit(u / 2)

    def potential_of_log(self, log_a):
        return 2 * (log_a - np.log(-np.expm1(log_a)))


@dataclass(frozen=True)
class GaussianHead:
    """One Gaussian with full covariance."""

    mean: np.ndarray | None = None
    factor: np.ndarray | None = None

    def fit(self, potential, rng):
        covariance = np.cov(potential) + 1e-6 * np.eye(len(potential))
        return GaussianHead(potential.mean(axis=1), np.linalg.cholesky(covariance))

    def log_prob(self, potential):
        z = np.linalg.solve(self.factor, potential - self.mean[:, None])
        volume = np.log(np.diagonal(self.factor)).sum() + len(self.mean) / 2 * np.log(2 * np.pi)
        return -0.5 * (z**2).sum(axis=0) - volume

    def sample(self, n_samples, rng):
        noise = rng.standard_normal((len(self.mean), n_samples))
        return self.mean[:, None] + self.factor @ noise
