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
from typing import Any, Protocol

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity, Normal
from neurolp.errors import ConfigurationError, NetworkError
from neurolp.kernels.node_map import invert_node_maps, spline_moments

# A product of eight slopes within these bounds neither overflows nor vanishes in float32.
SLOPE_MIN = 2.0**-8
SLOPE_MAX = 2.0**8
# A step of learning brings no slope coefficient out of these, well inside the bounds.
_SLOPE_FLOOR, _SLOPE_CEILING = 0.1, 10.0


class NodeMap(Protocol):
    """A family of strictly increasing maps u' = g_i(v) of the whole line onto itself.

    Each node has a row of ``n_coefficients`` coefficients; potentials are (n_nodes, n_rows).
    ``neurolp.check_node_map`` certifies an implementation.
    """

    @property
    def n_coefficients(self) -> int:
        """Coefficients of one map."""
        ...

    def identity(self, n_nodes: int) -> Array:
        """Coefficients of the identity, (n_nodes, n_coefficients)."""
        ...

    def check(self, coefficients: Array) -> None:
        """Raise ``NetworkError`` unless every row of coefficients gives an increasing map."""
        ...

    def forward(self, coefficients: Array, v: Array) -> tuple[Array, Array]:
        """g_i(v) and log g_i'(v), each of the shape of ``v``."""
        ...

    def inverse(self, coefficients: Array, u: Array) -> Array:
        """g_i^-1(u), of the shape of ``u``."""
        ...

    def learn(self, v: Array, base: BaseDensity, rate: float) -> Array:
        """Coefficients that lower the mean of E(g(v)) - log g'(v), by a share ``rate`` of a step.

        The local loss of every node, nats; ``rate`` 0 gives the identity.
        """
        ...


@dataclass(frozen=True)
class SplineGrid:
    """The knots shared by all node maps: ``n_intervals`` equal intervals from ``low`` to ``high``.

    The coefficients of a map are (o, c_1 .. c_K) with K = ``n_intervals``; (0, 1, .., 1) is the
    identity. ``ridge`` is that of learning, in units of n_coefficients / n_rows.
    """

    low: float
    high: float
    n_intervals: int
    ridge: float = 8.0

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
        operator, unit = self._table_operator
        # Not a matrix product, whose rounding of a map depends on how many maps there are.
        flat = np.einsum("mk,kj->mj", coefficients[:, 1:], operator)
        table: Array = flat.reshape(-1, self.n_intervals, 4)
        table[:, :, 0] += coefficients[:, :1]
        table /= unit
        return table

    @cached_property
    def _table_operator(self) -> tuple[Array, Array]:
        """Slopes to cubic pieces, (K, n_intervals * 4), and the divisors of y, a, b and c."""
        powers = np.concatenate([self.value_basis[:, :, :1], self.slope_basis], axis=2)
        operator = np.ascontiguousarray(powers.transpose(1, 0, 2)).reshape(self.n_intervals, -1)
        return operator, np.array([1.0, *((p + 1) * self.spacing**p for p in range(3))])

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

    @cached_property
    def gradient_operators(self) -> tuple[Array, Array]:
        """The first two of :attr:`newton_operators`, transposed, without columns that are zero.

        For moments of powers 0 to 3 and 0 to 2, (n_bins * 4, K + 1) and (n_bins * 3, K + 1).
        """
        value, slope = (
            operator.T.reshape(-1, 7, len(operator)) for operator in self.newton_operators[:2]
        )
        k = self.n_coefficients
        return value[:, :4].reshape(-1, k), slope[:, :3].reshape(-1, k)

    def forward(self, coefficients: Array, v: Array) -> tuple[Array, Array]:
        """g_i(v) and log g_i'(v) from the cubic pieces, (n_nodes, n_rows) each."""
        value, slope = self.evaluate(self.table(coefficients), v)
        return value, np.log(slope)

    def evaluate(self, table: Array, v: Array) -> tuple[Array, Array]:
        """Values and slopes of the cubic pieces in a :meth:`table`, at v (n_nodes, n_rows)."""
        inside = np.clip(v, self.low, self.high)
        s = ((inside - self.low) / self.spacing).astype(np.intp)
        s = np.minimum(s, self.n_intervals - 1)
        y, a, b, c = np.moveaxis(table[np.arange(len(v))[:, None], s], -1, 0)
        t = inside - (self.low + s * self.spacing)
        slope = a + t * (2 * b + 3 * c * t)
        return y + t * (a + t * (b + t * c)) + slope * (v - inside), slope

    def inverse(self, coefficients: Array, u: Array) -> Array:
        """g_i^-1(u), (n_nodes, n_rows)."""
        out = np.array(u, order="C")
        table = self.table(coefficients).astype(out.dtype)
        invert_node_maps(out, np.arange(len(out)), 0, out.shape[1], self.low, self.spacing, table)
        return out

    def learn(self, v: Array, base: BaseDensity, rate: float) -> Array:
        """A share ``rate`` of the Newton step from the identity, for each node."""
        return self.newton_step(self.moments(v, base), v.shape[1], rate)

    def moments(self, v: Array, base: BaseDensity) -> Array:
        """Moments of 1, psi and psi' in every spline interval, of v (n_nodes, width).

        Returns (3, n_nodes, bins, 7), sums over the width; see ``kernels.node_map.spline_moments``.
        """
        nodes = np.arange(len(v))
        out = np.empty((3, len(v), self.n_intervals + 2, 7))
        for k, weight in enumerate((np.ones_like(v), base.psi(v), base.curvature(v))):
            if k == 2 and isinstance(base, Normal):
                out[2] = out[0]  # psi' = 1
                break
            spline_moments(v, nodes, 0, self.low, self.spacing, self.n_intervals, weight, out[k])
        return out

    def newton_step(self, moments: Any, n_rows: int, rate: float) -> Array:
        """Coefficients after a share ``rate`` of the Newton step from the identity, for each node.

        E[E(g(v)) - log g'(v)] is convex in the coefficients, and its whole Newton system is linear
        in the ``moments``, summed over ``n_rows``. The step is shortened further where a slope
        coefficient would leave its bounds.
        """
        value, slope, value_pairs, slope_pairs = self.newton_operators
        k = self.n_coefficients
        one, psi, curvature = moments.reshape(3, moments.shape[1], -1) / n_rows
        gradient = psi @ value.T - one @ slope.T
        hessian = (curvature @ value_pairs.T + one @ slope_pairs.T).reshape(-1, k, k)
        hessian[:, np.arange(k), np.arange(k)] += self.ridge * k / n_rows
        try:
            step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError as error:
            raise ConfigurationError(
                "a spline interval holds no potentials: node_ridge must be larger"
            ) from error
        lowest = np.minimum(step[:, 1:].min(axis=1), -1e-300)
        highest = np.maximum(step[:, 1:].max(axis=1), 1e-300)
        share = np.minimum(rate, (1.0 - _SLOPE_FLOOR) / -lowest)
        share = np.minimum(share, (_SLOPE_CEILING - 1.0) / highest)
        return np.asarray(self.identity(len(step)) + share[:, None] * step)
