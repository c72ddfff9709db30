"""Mixture densities whose parameters are the outputs of a network: loss, CDF, quantiles, draws.

    y(t) = sum_k pi_k F((t - m_k) / s_k),      p(t) = dy/dt = sum_k pi_k rho((t - m_k) / s_k) / s_k

with pi = softmax(a) and s_k = SMALLEST_WIDTH + log(1 + exp(r_k)), so that y runs from exactly 0 to
exactly 1 for any outputs (a, m, r), and its slope is the normalised density. F is the CDF of the
standard normal or of the logistic law, rho its density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit, log_ndtr, logit, logsumexp, ndtr, ndtri

from neurolp.arrays import Array
from neurolp.differentiation.solving import solve_increasing

SMALLEST_WIDTH = 1e-3  # of a standardised target
_NARROW = 1e-5  # there the slope in the middle is accurate to 1e-10, the difference is not
_HALF_LOG_2PI = float(0.5 * np.log(2 * np.pi))


def mixture_loss(component: str, outputs: Array, target: Array) -> tuple[Array, Array]:
    """-log p(t) in nats, and its derivative by the outputs.

    ``outputs`` (..., 3 K) are a, m, r; ``target`` (...); loss (...), derivative (..., 3 K).
    With the responsibilities q_k, z = (t - m) / s and psi = -rho'/rho:

        dl/da_k = pi_k - q_k,   dl/dm_k = -q_k psi / s,   dl/dr_k = q_k (1 - psi z) / s ds/dr
    """
    k = outputs.shape[-1] // 3
    a, m, r = outputs[..., :k], outputs[..., k : 2 * k], outputs[..., 2 * k :]
    change = np.empty_like(outputs)
    softplus = np.logaddexp(0.0, r)
    inverse = 1.0 / (softplus + SMALLEST_WIDTH)
    z = (target[..., None] - m) * inverse
    top = a.max(axis=-1, keepdims=True)
    weight = np.exp(a - top)
    total = weight.sum(axis=-1, keepdims=True)
    joint = a + np.log(inverse)
    if component == "normal":
        psi = z
        joint -= 0.5 * z * z + _HALF_LOG_2PI
    else:
        psi = np.tanh(0.5 * z)
        joint -= np.abs(z) + 2.0 * np.log1p(np.exp(-np.abs(z)))
    highest = joint.max(axis=-1, keepdims=True)
    q = np.exp(joint - highest)
    mass = q.sum(axis=-1, keepdims=True)
    q /= mass
    loss = (top + np.log(total) - highest - np.log(mass))[..., 0]
    np.subtract(weight / total, q, out=change[..., :k])
    q *= inverse
    np.multiply(-q, psi, out=change[..., k : 2 * k])
    np.multiply(q * (1.0 - psi * z), -np.expm1(-softplus), out=change[..., 2 * k :])
    return loss, change


def log_slope(component: str, z: Array) -> Array:
    """Log rho(z) in nats; -inf at infinity."""
    if component == "normal":
        return np.asarray(-0.5 * z * z - _HALF_LOG_2PI)
    return np.asarray(log_expit(z) + log_expit(-z))


def log_cell(component: str, low: Array, high: Array) -> Array:
    """Log(F(high) - F(low)) in nats, for low <= high, which may be infinite."""
    low, high = np.broadcast_arrays(low, high)
    width = high - low
    if component == "logistic":  # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))
        with np.errstate(divide="ignore"):
            return np.asarray(log_expit(high) + log_expit(-low) + np.log(-np.expm1(-width)))
    with np.errstate(divide="ignore", invalid="ignore"):
        flip = low + high > 0.0  # the smaller tails are known accurately
        a, b = np.where(flip, -high, low), np.where(flip, -low, high)
        log_b = log_ndtr(b)
        out = log_b + np.log(-np.expm1(log_ndtr(a) - log_b))
        middle = 0.5 * (low + high)
        narrow = -0.5 * middle * middle - _HALF_LOG_2PI + np.log(width)
    return np.asarray(np.where(width * np.maximum(abs(middle), 1.0) < _NARROW, narrow, out))


def gaussian_outputs(mean: float, sd: float, n_components: int) -> Array:
    """Outputs (3 K,) whose mixture is about N(mean, sd^2), with spread components."""
    out = np.zeros(3 * n_components)
    z = ndtri((np.arange(n_components) + 0.5) / n_components)
    spread = 0.7  # half of the variance lies between the centres
    width = sd * np.sqrt(1.0 - spread**2 * (z * z).mean())
    out[n_components : 2 * n_components] = mean + spread * sd * z
    out[2 * n_components :] = np.log(np.expm1(max(width - SMALLEST_WIDTH, SMALLEST_WIDTH)))
    return out


@dataclass(frozen=True)
class Mixtures:
    """One mixture for each of n rows: ``log_weights``, ``centres``, ``widths``, each (n, K).

    The weights of a row sum to 1, the widths are positive.
    """

    log_weights: Array
    centres: Array
    widths: Array
    component: str = "normal"

    @classmethod
    def from_outputs(cls, outputs: Array, weights: Array, component: str) -> Mixtures:
        """The average of members' mixtures: outputs (n_members, n, 3 K), weights (n_members,)."""
        n_members, n, width = outputs.shape
        k = width // 3
        a = outputs[..., :k]
        with np.errstate(divide="ignore"):  # a member of weight 0
            log_weight_of_member = np.log(weights)[:, None, None]
        log_weights = a - logsumexp(a, axis=-1, keepdims=True) + log_weight_of_member
        widths = np.logaddexp(0.0, outputs[..., 2 * k :]) + SMALLEST_WIDTH
        a, m, s = (
            v.transpose(1, 0, 2).reshape(n, n_members * k)
            for v in (log_weights, outputs[..., k : 2 * k], widths)
        )
        return cls(a, m, s, component)

    def log_prob(self, target: Array) -> Array:
        """Log p(t) in nats at ``target`` (n,), shape (n,)."""
        z = (target[:, None] - self.centres) / self.widths
        normal = self.component == "normal"
        each = -0.5 * z * z - _HALF_LOG_2PI if normal else 2.0 * log_expit(z) - z
        return np.asarray(logsumexp(self.log_weights - np.log(self.widths) + each, axis=1))

    def log_cell(self, lower: Array, upper: Array) -> Array:
        """Log(y(``upper``) - y(``lower``)) in nats, (n,) each; infinite ends are allowed."""
        low = (lower[:, None] - self.centres) / self.widths
        high = (upper[:, None] - self.centres) / self.widths
        each = self.log_weights + log_cell(self.component, low, high)
        return np.asarray(logsumexp(each, axis=1))

    def cdf(self, target: Array) -> Array:
        """y(t) at ``target`` (n,), shape (n,)."""
        z = (target[:, None] - self.centres) / self.widths
        share = np.exp(self.log_weights)
        y = np.einsum("nk,nk->n", share, ndtr(z) if self.component == "normal" else expit(z))
        return np.asarray(np.clip(y / share.sum(axis=1), 0.0, 1.0))

    def quantile(self, level: Array) -> Array:
        """The t with y(t) = ``level`` (n,) in [0, 1]; -inf and inf at 0 and 1.

        It lies between the lowest and the highest of the components' own quantiles.
        """
        out = np.where(level <= 0.0, -np.inf, np.inf)
        inside = np.flatnonzero((level > 0.0) & (level < 1.0))
        part, q = self.select(inside), level[inside]
        z = ndtri(q) if self.component == "normal" else logit(q)
        each = np.where(part.log_weights > -np.inf, part.centres + part.widths * z[:, None], np.nan)
        low, high = np.nanmin(each, axis=1), np.nanmax(each, axis=1)

        def miss(t: Array, rows: Array) -> tuple[Array, Array]:
            some = part.select(rows)
            return some.cdf(t) - q[rows], np.exp(some.log_prob(t))

        resolution = 1e-15 * np.maximum(abs(low), abs(high))
        out[inside] = solve_increasing(miss, 0.5 * (low + high), low, high, resolution)
        return out

    def mean(self) -> Array:
        """Expectation of t, shape (n,)."""
        return np.asarray(np.einsum("nk,nk->n", np.exp(self.log_weights), self.centres))

    def partial_mean(self, lower: Array, upper: Array) -> Array:
        """Integral of t p(t) from ``lower`` to ``upper``, (n,) each; infinite ends are allowed."""
        low, high = ((t[:, None] - self.centres) / self.widths for t in (lower, upper))
        inside = np.exp(log_cell(self.component, low, high))
        slope = self._primitive(high) - self._primitive(low)
        each = self.centres * inside + self.widths * slope
        return np.asarray(np.einsum("nk,nk->n", np.exp(self.log_weights), each))

    def _primitive(self, z: Array) -> Array:
        """A primitive of z rho(z); 0 at both infinities."""
        if self.component == "normal":
            return -np.exp(log_slope("normal", z))
        x = np.where(np.isfinite(z), z, 0.0)
        return np.where(np.isfinite(z), x * expit(x) + log_expit(-x), 0.0)

    def draw(self, uniform: Array) -> Array:
        """One draw of t for each row, (n,), from numbers ``uniform`` (n, 2) in (0, 1).

        The first chooses a component, the second a value of it.
        """
        up_to = np.cumsum(np.exp(self.log_weights), axis=1)
        k = np.sum(up_to < uniform[:, :1] * up_to[:, -1:], axis=1)
        z = ndtri(uniform[:, 1]) if self.component == "normal" else logit(uniform[:, 1])
        i = np.arange(len(k))
        return np.asarray(self.centres[i, k] + self.widths[i, k] * z)

    def select(self, rows: Array) -> Mixtures:
        """Those of some ``rows``."""
        a, m, s = (v[rows] for v in (self.log_weights, self.centres, self.widths))
        return Mixtures(a, m, s, self.component)

    def merge(self, size: int) -> Mixtures:
        """The average of each ``size`` successive rows: n / size mixtures."""
        n = len(self.centres) // size
        a, m, s = (v.reshape(n, -1) for v in (self.log_weights, self.centres, self.widths))
        return Mixtures(a - np.log(size), m, s, self.component)
