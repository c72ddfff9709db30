"""Monotone node maps g_i: cubic splines whose derivative has positive B-spline coefficients.

g_i(v) = o_i + integral from 0 to v of s_i,   s_i(v) = sum_k c_ik B_k(v),   c_ik > 0.

The B_k are uniform quadratic B-splines on ``low .. high``; the first two and the last two are
tied together, so that s_i is flat at both ends and continues as a constant: linear tails. Because
sum_k B_k = 1 and B_k >= 0, every slope lies between the smallest and the largest coefficient.
Positive coefficients therefore *prove* that g_i is a strictly increasing bijection of the line,
twice continuously differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.errors import NetworkError

Array = npt.NDArray[Any]

# A product of eight slopes within these bounds neither overflows nor vanishes in float32.
SLOPE_MIN = 2.0**-8
SLOPE_MAX = 2.0**8


@dataclass(frozen=True)
class SplineGrid:
    """The knots shared by all node maps: ``n_intervals`` equal intervals from ``low`` to ``high``.

    The coefficients of a map are (o, c_1 .. c_K) with K = ``n_intervals``; (0, 1, .., 1) is the
    identity.
    """

    low: float
    high: float
    n_intervals: int

    def __post_init__(self) -> None:
        if not (self.low < 0 < self.high and np.isfinite(self.high - self.low)):
            raise NetworkError(
                f"spline grid must satisfy low < 0 < high, but has low={self.low}, high={self.high}"
            )
        if self.n_intervals < 2:
            raise NetworkError(
                f"spline grid must have n_intervals >= 2, but has {self.n_intervals}"
            )

    @property
    def spacing(self) -> float:
        """Width h of an interval, in units of potential."""
        return (self.high - self.low) / self.n_intervals

    @property
    def n_coefficients(self) -> int:
        """Coefficients of one map: the offset and one slope per interval."""
        return self.n_intervals + 1

    def identity(self, n_nodes: int) -> Array:
        """Coefficients of n identity maps, shape (n_nodes, n_coefficients)."""
        coefficients = np.ones((n_nodes, self.n_coefficients))
        coefficients[:, 0] = 0.0
        return coefficients

    def check(self, coefficients: Array) -> None:
        """Raise :class:`NetworkError` unless the coefficients prove monotone maps."""
        if coefficients.ndim != 2 or coefficients.shape[1] != self.n_coefficients:
            raise NetworkError(
                f"node-map coefficients must have shape (n_nodes, {self.n_coefficients}), "
                f"but have shape {coefficients.shape}"
            )
        slopes = coefficients[:, 1:]
        if not np.all((slopes >= SLOPE_MIN) & (slopes <= SLOPE_MAX)):
            raise NetworkError(
                f"slope coefficients of node maps must lie in [{SLOPE_MIN}, {SLOPE_MAX}], "
                f"but range from {slopes.min()} to {slopes.max()}"
            )

    @cached_property
    def slope_basis(self) -> Array:
        """B_k on every interval as powers of x = t / h, shape (n_intervals, K, 3)."""
        n = self.n_intervals
        pieces = 0.5 * np.array([[1.0, -2.0, 1.0], [1.0, 2.0, -2.0], [0.0, 0.0, 1.0]])
        basis = np.zeros((n, n, 3))
        for s in range(n):
            for j in range(3):
                basis[s, min(max(s + j - 1, 0), n - 1)] += pieces[j]
        return basis

    @cached_property
    def value_basis(self) -> Array:
        """The integral of B_k from 0, as powers of x, shape (n_intervals, K, 4)."""
        n, h = self.n_intervals, self.spacing
        integral = h * self.slope_basis / np.arange(1, 4)
        rise = integral.sum(axis=2)  # over each interval
        start = np.vstack([np.zeros(n), np.cumsum(rise, axis=0)[:-1]])
        basis = np.concatenate([start[:, :, None], integral], axis=2)
        s = min(int(-self.low / h), n - 1)
        x = (-self.low - s * h) / h
        basis[:, :, 0] -= basis[s] @ x ** np.arange(4)
        return basis

    def table(self, coefficients: Array) -> Array:
        """Cubic pieces (y, a, b, c) of every node and interval, shape (n_nodes, n_intervals, 4)."""
        n, h = self.n_intervals, self.spacing
        slopes = coefficients[:, 1:]
        table = np.empty((len(coefficients), n, 4))
        table[:, :, 0] = slopes @ self.value_basis[:, :, 0].T + coefficients[:, :1]
        for p in range(3):
            table[:, :, p + 1] = slopes @ self.slope_basis[:, :, p].T / ((p + 1) * h**p)
        return table

    @cached_property
    def newton_operators(self) -> tuple[Array, Array, Array, Array]:
        """Linear maps from moments to the Newton system of the local loss.

        With phi = (1, integral of B_k) the features and bins and powers as in
        ``kernels.node_map.spline_moments``, flattened to columns:
        E[psi phi] = value @ M(psi), E[phi'] = slope @ M(1),
        E[psi' phi phi^T] = value_pairs @ M(psi'), E[phi' phi'^T] = slope_pairs @ M(1).
        """
        n, k, h = self.n_intervals, self.n_coefficients, self.spacing
        value = np.zeros((k, n + 2, 7))
        slope = np.zeros((k, n + 2, 7))
        value[0, :, 0] = 1.0
        value[1:, 1:-1, :4] = self.value_basis.transpose(1, 0, 2)
        slope[1:, 1:-1, :3] = self.slope_basis.transpose(1, 0, 2)
        # Linear tails: B_1 (left) and B_K (right) alone are 1 there.
        slope[1, 0, 0] = slope[k - 1, -1, 0] = 1.0
        value[1:, 0, 0] = self.value_basis[0, :, 0]
        value[1:, -1, 0] = self.value_basis[-1].sum(axis=1)
        value[1, 0, 1] = value[k - 1, -1, 1] = h

        def pairs(f: Array) -> Array:
            out = np.zeros((k, k, n + 2, 7))
            for p in range(4):
                for q in range(4):
                    out[:, :, :, p + q] += f[:, None, :, p] * f[None, :, :, q]
            return out.reshape(k * k, -1)

        return value.reshape(k, -1), slope.reshape(k, -1), pairs(value), pairs(slope)
