"""Interface of all forms of the brain: evolve, rewind, and the energy at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.errors import NetworkError

Array = npt.NDArray[Any]


class Form(ABC):
    """A time evolution u(0) -> u(T) of n nodes, and the probability it *claims*.

        log Phi(u(0)) = log_det - sum_i E_i(u_i(T)),     E_i normalised: integral of exp(-E_i) = 1

    with ``log_det`` the log-determinant as the form claims it, which need not be the true one:
    ``neurolp.audit`` measures the difference. Arrays are node-major, (n_nodes, n_trajectories).
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What this is, in words."""

    @property
    @abstractmethod
    def n_nodes(self) -> int:
        """Number of nodes."""

    @property
    @abstractmethod
    def n_times(self) -> int:
        """Number of time steps, or slices."""

    @abstractmethod
    def evolve(self, potential: Array) -> tuple[Array, Array]:
        """Run time forward: u(0) -> (u(T), claimed log |det du(T)/du(0)| in nats)."""

    @abstractmethod
    def rewind(self, potential: Array) -> Array:
        """Run time backward: u(T) -> u(0); NaN in trajectories that no input leads to."""

    @abstractmethod
    def energy(self, potential: Array) -> Array:
        """Energies sum_i E_i(u_i), normalised, nats, shape (n_trajectories,)."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n end states u(T) from exp(-sum_i E_i), shape (n_nodes, n)."""

    @abstractmethod
    def step_jacobians(self, potential: Array) -> Iterator[Array]:
        """Jacobians of every time step along the path of one u(0) of shape (n_nodes, 1).

        Each is dense, (n_nodes, n_nodes), by the chain rule through the whole step: nothing of
        what makes the form's claim cheap is used here.
        """

    @abstractmethod
    def log_prob(self, potential: Array) -> Array:
        """Return log Phi(u(0)) as the form claims it, nats, shape (n_trajectories,)."""

    @abstractmethod
    def dream(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n states u(0) from Phi, (n_nodes, n); NaN where an end state has no past."""


class LearnedForm(Form):
    """A form whose parameters are shared by all times, and learned together."""

    @abstractmethod
    def parameters(self) -> dict[str, Array]:
        """What is learned, by name; the first dimension counts nodes."""

    @abstractmethod
    def with_parameters(self, arrays: dict[str, Array]) -> Self:
        """The same form with what :meth:`parameters` gave of another one."""


def log_prob_at_end(form: Form, potential: Array) -> Array:
    """Log Phi(u(0)) = log_det - sum_i E_i(u_i(T)), nats, shape (n_trajectories,)."""
    end, log_det = form.evolve(potential)
    return np.asarray(log_det - form.energy(end))


def dream_from_end(form: Form, n: int, rng: np.random.Generator) -> Array:
    """Draw n end states and run time backwards, (n_nodes, n)."""
    return form.rewind(form.draw(n, rng))


def check_evolution(weights: Array, duration: float, n_steps: int) -> None:
    """Raise :class:`NetworkError` unless weights and times describe an evolution of a form."""
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise NetworkError(
            f"argument `weights` must have shape (n, n), but has shape {weights.shape}"
        )
    if np.diagonal(weights).any():
        node = int(np.flatnonzero(np.diagonal(weights))[0])
        raise NetworkError(
            f"argument `weights` must be zero on the diagonal, but node {node} has a self-edge"
        )
    if not np.all(np.isfinite(weights)):
        raise NetworkError("argument `weights` must be finite, but is not")
    if not (duration > 0 and np.isfinite(duration)):
        raise NetworkError(f"argument `duration` must be positive, but is {duration}")
    if n_steps < 1:
        raise NetworkError(f"argument `n_steps` must be >= 1, but is {n_steps}")


def check_states(potential: Array, n_nodes: int) -> Array:
    """Return potentials as float64 (n_nodes, n_trajectories), or raise ValueError."""
    u = np.asarray(potential, dtype=np.float64)
    if u.ndim != 2 or u.shape[0] != n_nodes:
        raise ValueError(
            f"argument `potential` must have shape ({n_nodes}, n_trajectories), "
            f"but has shape {u.shape}"
        )
    return u


def weight_arrays(weights: Array) -> NamedArrays:
    """Weights (target, source) that all times share, with the coordinates of nodes and edges."""
    out, nodes = NamedArrays(), np.arange(len(weights))
    out.add_coordinate("node", nodes, "1", "node, in the order of the columns of the data")
    out.add_coordinate("target", nodes, "1", "node an edge enters")
    out.add_coordinate("source", nodes, "1", "node an edge leaves")
    what = "w of every edge, at all times"
    out.add("coupling", ("target", "source"), weights, "1/time", what)
    return out
