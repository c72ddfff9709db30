"""The bounded form: activities in (0, 1) whose drift diverges at the edges.

    da_i/dt = sum_j w_ij a_j + b_i(a_i),   b_i(a) = alpha_i log((1 - a) / a) + p_i(a),  alpha_i > 0
    Phi(a(0)) = exp( integral of sum_i b_i'(a_i(t)) dt ),   uniform base

with p_i' a quadratic B-spline, its shape learned. The divergence at the edges is that of the
logarithm, proved by alpha_i > 0. All nodes step at once from the activities of the others at the
start of the step; only the node's own drift is taken at its end, which keeps every activity inside
(0, 1) for any weights and any dt:

    a_i' - dt b_i(a_i') = a_i + dt sum_j w_ij a_j

The left side increases strictly from -inf to +inf as long as dt p_i' < 1, which the coefficients
prove. The form claims the product of the nodes' own derivatives as its determinant,

    claimed: sum over steps and nodes of -log(1 - dt b_i'(a_i'))    (= dt b_i' + O(dt^2))
    true:    claimed + n_steps log |det(I + dt W)|,

and it claims that the image of the cube is the cube, which it is not: the edges are entrances.

Source: T. Katayose, arXiv:2311.13341 (2023); the shape of b and the implicit step are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import numpy as np
from scipy.special import expit, logit

from neurolp.arrays import Array, ArraySource, NamedArrays
from neurolp.brain.base_density import Logistic
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.workers import check_states
from neurolp.errors import NetworkError
from neurolp.kernels.bounded import bounded_step
from neurolp.paper.form import TextbookForm

BARRIER_MIN = (
    5e-3  # alpha: small enough to cost little volume, large enough for the states to stay near
)
STEEPNESS_MAX = 0.9  # bound of dt p_i': a node's own map stays strictly monotone
SLOPE_MAX = 50.0


@final
@dataclass(frozen=True)
class BoundedForm(TextbookForm):
    """Parameters of the bounded form, shared by all times.

    ``weights`` (n, n) per unit of time, target by source, zero diagonal; ``barrier`` alpha (n,);
    ``shape`` (n, 1 + n_intervals) the value of p_i at a = 1/2, then the coefficients of p_i';
    ``duration`` T; ``n_steps`` steps of dt = T / n_steps.

    Trajectories are handled as potentials u = log(a / (1 - a)), in which the uniform density of an
    activity is the standard logistic density and no activity is lost by rounding to an edge.
    """

    base = "logistic"
    learned = ("weights", "barrier", "shape")

    weights: Array
    barrier: Array
    shape: Array
    duration: float = 1.0
    n_steps: int = 10

    def __post_init__(self) -> None:
        self._check_evolution()
        n = len(self.weights)
        if self.barrier.shape != (n,) or self.shape.ndim != 2 or len(self.shape) != n:
            raise NetworkError(
                f"arguments `barrier` and `shape` must have shapes ({n},) and ({n}, k), "
                f"but have shapes {self.barrier.shape} and {self.shape.shape}"
            )
        if not np.all(self.barrier >= BARRIER_MIN):
            raise NetworkError(
                f"argument `barrier` must be at least {BARRIER_MIN}, but reaches "
                f"{self.barrier.min()}"
            )
        low, high = -SLOPE_MAX, slope_limit(self.dt)
        if not np.all((self.shape[:, 1:] >= low) & (self.shape[:, 1:] <= high)):
            raise NetworkError(
                f"slope coefficients in `shape` must lie in [{low}, {high}], but do not"
            )
        if not np.all(np.isfinite(self.shape[:, 0])):
            raise NetworkError("argument `shape` must be finite, but is not")

    def to_arrays(self) -> NamedArrays:
        """Parameters and the attributes of group ``brain``, for :meth:`from_arrays`."""
        out, k = self._weight_arrays(form="bounded"), self.grid.n_intervals
        what = "0 the value at 1/2, k B-spline k"
        out.add_coordinate("coefficient", np.arange(k + 1), "1", what)
        out.add("barrier", ("node",), self.barrier, "1/time", "alpha_i of alpha log((1 - a) / a)")
        what = "value of p_i at 1/2 and coefficients of p_i', drift b_i = barrier + p_i"
        out.add("drift_shape", ("node", "coefficient"), self.shape, "1/time", what)
        return out

    @classmethod
    def from_arrays(cls, source: ArraySource) -> Self:
        """The form of these parameters, validated again."""
        about = source.attributes("brain")
        return cls(
            source.read("coupling"),
            source.read("barrier"),
            source.read("drift_shape"),
            float(about["duration"]),
            int(about["n_steps"]),
        )

    @property
    def name(self) -> str:
        """What this is, in words."""
        return "bounded form, synchronous steps"

    @property
    def dt(self) -> float:
        """Time step."""
        return self.duration / self.n_steps

    @cached_property
    def grid(self) -> SplineGrid:
        """The knots of p_i', in units of a - 1/2."""
        return SplineGrid(-0.5, 0.5, self.shape.shape[1] - 1)

    @cached_property
    def table(self) -> Array:
        """Cubic pieces of p_i, (n_nodes, n_intervals, 4)."""
        return self.grid.table(self.shape)

    def step(self, potential: Array) -> tuple[Array, Array]:
        """One time step, u -> (u', D): D = (1 - dt b'(a')) a'(1 - a') = d drive / d u'."""
        activity = expit(potential)
        drive = activity + self.dt * (self.weights @ activity)
        new, denominator = np.array(potential, order="C"), np.empty(potential.shape)
        bounded_step(drive, self.barrier, self.table, self.dt, new, denominator)
        return new, denominator

    def evolve(self, potential: Array) -> tuple[Array, Array]:
        """u(0) -> (u(T), claimed log |det du(T)/du(0)|), the product of the nodes' own maps."""
        u = check_states(potential, self.n_nodes)
        log_det = np.zeros(u.shape[1])
        for _ in range(self.n_steps):
            log_det += log_width(u).sum(axis=0)
            u, denominator = self.step(u)
            log_det -= np.log(denominator).sum(axis=0)
        return u, log_det

    def rewind(self, potential: Array) -> Array:
        """u(T) -> u(0): each step back is explicit in the nodes and a linear system in a.

        NaN where the way back leaves the cube: the image of the cube is only a part of it.
        """
        u = check_states(potential, self.n_nodes)
        system = np.eye(self.n_nodes) + self.dt * self.weights
        for _ in range(self.n_steps):
            drive = expit(u) - self.dt * self.drift(u)
            activity = np.linalg.solve(system, np.nan_to_num(drive))
            outside = ~np.all((activity > 0) & (activity < 1), axis=0) | np.isnan(drive).any(axis=0)
            activity[:, outside] = np.nan
            u = np.asarray(logit(activity))
        return u

    def drift(self, potential: Array) -> Array:
        """A node's own drift b_i(a_i), per unit of time, at potentials (n_nodes, m)."""
        k = self.grid.n_intervals
        position = np.nan_to_num(expit(potential)) * k
        s = np.minimum(position.astype(np.intp), k - 1)
        y, a, b, c = np.moveaxis(self.table[np.arange(self.n_nodes)[:, None], s], -1, 0)
        t = (position - s) / k
        return np.asarray(y + t * (a + t * (b + t * c)) - self.barrier[:, None] * potential)

    def energy(self, potential: Array) -> Array:
        """Return -log of the uniform density, in potentials: the standard logistic energy."""
        return np.asarray(Logistic().energy(potential).sum(axis=0))

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n end states with uniform activities, (n_nodes, n); some may have no past."""
        return np.asarray(logit(rng.uniform(np.finfo(float).tiny, 1.0, (self.n_nodes, n))))

    def step_jacobians(self, potential: Array) -> Iterator[Array]:
        """du'/du = diag(1 / D) (I + dt W) diag(a (1 - a)) of every time step."""
        u = check_states(potential, self.n_nodes)
        system = np.eye(self.n_nodes) + self.dt * self.weights
        for _ in range(self.n_steps):
            width = np.exp(log_width(u))
            u, denominator = self.step(u)
            yield system * width.T / denominator


def log_width(potential: Array) -> Array:
    """Return log da/du = log(a (1 - a)), without cancellation in the tails."""
    return -Logistic().energy(potential)


def slope_limit(dt: float) -> float:
    """Largest coefficient of p_i' for which a step of ``dt`` is provably monotone."""
    return min(STEEPNESS_MAX / dt, SLOPE_MAX)
