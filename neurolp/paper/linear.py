"""The linear form: a zero-diagonal linear flow that ends in a Boltzmann distribution.

    du/dt = W u + b,  w_ii = 0        det du(T)/du(0) = exp(T tr W) = 1
    Phi(u(0)) = prod_i exp(-E_i(u_i(T))) / Z_i

The flow itself is exact by the matrix exponential. With synchronous (Euler) steps,
u <- u + dt (W u + b) for all nodes at once, the form still claims a determinant of 1; the true one
is det(I + dt W)^n_steps = exp(-T dt tr(W^2) / 2 + O(dt^2)).

Source: T. Katayose, arXiv:2311.13341 (2023); the learned energies are those of ``node_energy``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Literal, Self, final

import numpy as np
from scipy.linalg import expm

from neurolp.arrays import Array, ArraySource, NamedArrays
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.workers import check_states
from neurolp.errors import NetworkError
from neurolp.paper.form import TextbookForm
from neurolp.paper.node_energy import NodeEnergies

Stepping = Literal["exact", "synchronous"]
STEPPING_NAMES: tuple[str, ...] = ("exact", "synchronous")


@final
@dataclass(frozen=True)
class LinearForm(TextbookForm):
    """Parameters of the linear form, shared by all times.

    ``weights`` (n, n) per unit of time, target by source, zero diagonal; ``bias`` (n,);
    ``slopes`` (n, n_intervals) of the energies on the knots of ``grid``;
    ``duration`` T; ``n_steps`` time steps of dt = T / n_steps, which the exact flow does not depend
    on; ``stepping`` is "exact" or "synchronous".
    """

    base = "normal"
    learned = ("weights", "bias", "slopes")

    weights: Array
    bias: Array
    slopes: Array
    grid: SplineGrid
    duration: float = 1.0
    n_steps: int = 10
    stepping: str = "exact"

    def __post_init__(self) -> None:
        self._check_evolution()
        n = len(self.weights)
        if self.bias.shape != (n,) or len(self.energies.slopes) != n:
            raise NetworkError(
                f"argument `bias` must have shape ({n},) and `energies` {n} nodes, "
                f"but have {self.bias.shape} and {len(self.energies.slopes)}"
            )
        if self.stepping not in STEPPING_NAMES:
            raise NetworkError(
                f"argument `stepping` must be one of {STEPPING_NAMES}, but is {self.stepping!r}"
            )

    @cached_property
    def energies(self) -> NodeEnergies:
        """The energies E_i, of which psi_i = E_i' has the coefficients ``slopes``."""
        return NodeEnergies(self.grid, self.slopes)

    def to_arrays(self) -> NamedArrays:
        """Parameters and the attributes of group ``brain``, for :meth:`from_arrays`."""
        grid = self.grid
        knots = {"spline_low": grid.low, "spline_high": grid.high}
        out = self._weight_arrays(form="linear", stepping=self.stepping, **knots)
        out.add_coordinate("coefficient", np.arange(1, grid.n_intervals + 1), "1", "B-spline")
        out.add("drift", ("node",), self.bias, "1/time", "constant drift b_i")
        what = "coefficients of psi_i = E_i'"
        out.add("energy", ("node", "coefficient"), self.slopes, "nat", what)
        return out

    @classmethod
    def from_arrays(cls, source: ArraySource) -> Self:
        """The form of these parameters, validated again."""
        about, slopes = source.attributes("brain"), source.read("energy")
        return cls(
            source.read("coupling"),
            source.read("drift"),
            slopes,
            SplineGrid(about["spline_low"], about["spline_high"], slopes.shape[1]),
            float(about["duration"]),
            int(about["n_steps"]),
            str(about["stepping"]),
        )

    @property
    def name(self) -> str:
        """What this is, in words."""
        return f"linear form, {self.stepping} steps"

    @cached_property
    def _step(self) -> tuple[Array, Array]:
        """Matrix A and shift c of one time step, u <- A u + c."""
        n, dt = self.n_nodes, self.duration / self.n_steps
        if self.stepping == "synchronous":
            return np.eye(n) + dt * self.weights, dt * self.bias
        generator = np.zeros((n + 1, n + 1))
        generator[:n, :n], generator[:n, n] = self.weights, self.bias
        flow = expm(dt * generator)
        return np.ascontiguousarray(flow[:n, :n]), np.ascontiguousarray(flow[:n, n])

    def evolve(self, potential: Array) -> tuple[Array, Array]:
        """u(0) -> (u(T), 0): the claimed log-determinant is T tr W = 0."""
        u = check_states(potential, self.n_nodes)
        a, c = self._step
        for _ in range(self.n_steps):
            u = a @ u + c[:, None]
        return u, np.zeros(u.shape[1])

    def rewind(self, potential: Array) -> Array:
        """u(T) -> u(0): each step is a linear system."""
        u = check_states(potential, self.n_nodes)
        a, c = self._step
        for _ in range(self.n_steps):
            u = np.linalg.solve(a, u - c[:, None])
        return u

    def energy(self, potential: Array) -> Array:
        """Return sum_i E_i(u_i), normalised, nats, shape (n_trajectories,)."""
        return np.asarray(self.energies.energy(potential).sum(axis=0))

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n end states from the Boltzmann distribution, shape (n_nodes, n)."""
        return self.energies.draw(n, rng)

    def step_jacobians(self, potential: Array) -> Iterator[Array]:
        """The matrix of every time step."""
        return repeat(self._step[0], self.n_steps)
