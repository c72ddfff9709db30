"""Interface of a time evolution and the density it claims; forms with learned parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self

import numpy as np
import numpy.typing as npt

from neurolp.arrays import Array, ArraySource, NamedArrays


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
    """A form whose parameters are shared by all times, and learned together.

    ``weights`` are (n_nodes, n_nodes), target by source; ``n_steps`` steps take ``duration``.
    """

    weights: Array
    duration: float
    n_steps: int

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.weights)

    @property
    def n_times(self) -> int:
        """Number of time steps."""
        return self.n_steps

    @abstractmethod
    def parameters(self) -> dict[str, Array]:
        """What is learned, by name; the first dimension counts nodes."""

    @abstractmethod
    def with_parameters(self, arrays: dict[str, Array]) -> Self:
        """The same form with what :meth:`parameters` gave of another one."""

    @abstractmethod
    def to_arrays(self) -> NamedArrays:
        """Parameters and the attributes of group ``brain``, for :meth:`from_arrays`."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, source: ArraySource) -> Self:
        """The form of these parameters, validated again."""

    def log_prob(self, potential: Array) -> Array:
        """Log Phi(u(0)) = log_det - sum_i E_i(u_i(T)), nats, shape (n_trajectories,)."""
        end, log_det = self.evolve(potential)
        return np.asarray(log_det - self.energy(end))

    def dream(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n end states and run time backwards, (n_nodes, n); NaN without a past."""
        return self.rewind(self.draw(n, rng))


def check_states(potential: Array, n_nodes: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """Return potentials (n_nodes, n_trajectories) as C-ordered numbers, or raise ValueError."""
    u = np.asarray(potential, dtype=dtype, order="C")
    if u.ndim != 2 or u.shape[0] != n_nodes:
        raise ValueError(
            f"argument `potential` must have shape ({n_nodes}, n_trajectories), "
            f"but has shape {u.shape}"
        )
    return u
