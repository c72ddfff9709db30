"""Recursive least squares in square-root form: predictions of all leading blocks of features.

R is upper triangular with R' R = sum of w z z' + prior, and R' t = sum of w z y. With R' u = z the
regression on the first k features predicts sum_{j < k} u_j t_j, and the variance of that prediction
is sum_{j < k} u_j^2, in units of the noise: one factor serves the whole ladder of sizes.

Source: W. M. Gentleman, "Least squares computations by Givens transformations without square
roots", IMA Journal of Applied Mathematics 12 (1973).
"""

from __future__ import annotations

from math import sqrt

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel


@ordered_kernel
def predict_nested(
    factor: Array, target: Array, z: Array, u: Array, mean: Array, doubt: Array
) -> None:
    """Mean and variance, in units of the noise, of the prediction from the first 1 .. M features.

    ``u`` (M,) is scratch.
    """
    n = z.shape[0]
    for j in range(n):
        u[j] = z[j]
    total = variance = 0.0
    for i in range(n):
        ui = u[i] / factor[i, i]
        for j in range(i + 1, n):
            u[j] -= factor[i, j] * ui
        total += ui * target[i]
        variance += ui * ui
        mean[i] = total
        doubt[i] = variance


@ordered_kernel
def solve_coefficients(factor: Array, target: Array, out: Array) -> None:
    """Coefficients of all features: R out = t."""
    n = target.shape[0]
    for i in range(n - 1, -1, -1):
        total = target[i]
        for j in range(i + 1, n):
            total -= factor[i, j] * out[j]
        out[i] = total / factor[i, i]


@ordered_kernel
def add_row(
    factor: Array, target: Array, z: Array, y: float, weight: float, keep: float, w: Array
) -> None:
    """Forget all rows by ``keep``, and add the row (z, y) of this weight. ``w`` (M,) is scratch."""
    size = sqrt(weight)
    for j in range(z.shape[0]):
        w[j] = size * z[j]
    _rotate(factor, target, w, size * y, sqrt(keep), 0)


@ordered_kernel
def renew_prior(factor: Array, target: Array, prior: Array, share: float, k: int, w: Array) -> None:
    """Add what the prior of feature k loses in a round of all features, each step a feature.

    ``share`` is what a step forgets; ``w`` (M,) is scratch.
    """
    n = prior.shape[0]
    for j in range(n):
        w[j] = 0.0
    w[k] = sqrt(share * n * prior[k])
    _rotate(factor, target, w, 0.0, 1.0, k)


@ordered_kernel
def _rotate(factor: Array, target: Array, w: Array, y: float, old: float, first: int) -> None:
    """Givens rotations that bring the row w, zero before ``first``, into the factor."""
    n = w.shape[0]
    for i in range(first, n):
        a, b = old * factor[i, i], w[i]
        r = sqrt(a * a + b * b)
        c, s = a / r, b / r
        factor[i, i] = r
        for j in range(i + 1, n):
            x = old * factor[i, j]
            factor[i, j] = c * x + s * w[j]
            w[j] = c * w[j] - s * x
        x = old * target[i]
        target[i] = c * x + s * y
        y = c * y - s * x
