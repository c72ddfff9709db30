"""Time evolutions and the densities they claim: interface, learned forms, the exact form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve, evolve_slices, rewind
from neurolp.brain.heads.head import WeightedHead, dream, log_prob
from neurolp.brain.network import GroupUpdate, Network, Synapse
from neurolp.brain.workers import Workers, check_states
from neurolp.errors import NetworkError


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

    def log_prob(self, potential: Array) -> Array:
        """Log Phi(u(0)) as the form claims it, nats, shape (n_trajectories,)."""
        end, log_det = self.evolve(potential)
        return np.asarray(log_det - self.energy(end))

    def dream(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n states u(0) from Phi, (n_nodes, n); NaN where an end state has no past."""
        return self.rewind(self.draw(n, rng))


@final
@dataclass(frozen=True)
class ExactForm(Form):
    """A network whose groups are updated one after another: claimed and true determinant agree.

    ``n_slices`` slices are used and ``n_threads`` threads, all of them when None. The density is
    read from ``heads``; when None, from the product of the bases at the end.
    """

    network: Network
    n_slices: int | None = None
    n_threads: int | None = None
    heads: tuple[WeightedHead, ...] | None = None

    @property
    def name(self) -> str:
        """What this is, in words."""
        return f"exact form, {self.network.connectivity.kind} connectivity"

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.network.n_nodes

    @property
    def n_times(self) -> int:
        """Number of slices in use."""
        return len(self.network.slices[: self.n_slices])

    def evolve(self, potential: Array) -> tuple[Array, Array]:
        """u(0) -> (u(T), log |det du(T)/du(0)|)."""
        return evolve(self.network, potential, n_slices=self.n_slices, n_threads=self.n_threads)

    def rewind(self, potential: Array) -> Array:
        """u(T) -> u(0)."""
        return rewind(self.network, potential, n_slices=self.n_slices, n_threads=self.n_threads)

    def energy(self, potential: Array) -> Array:
        """Return the base energies sum_i E(u_i), nats, shape (n_trajectories,)."""
        return -self.network.base_density.log_prob(self.network.moving_rows(potential))

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n end states from the base density, shape (n_nodes, n).

        Raises
        ------
        NetworkError
            If nodes are clamped: nothing here says what their potentials are.
        """
        if self.network.clamped:
            raise NetworkError("a network with clamped nodes is drawn from by `dream` alone")
        return self.network.base_density.sample((self.n_nodes, n), rng)

    def log_prob(self, potential: Array) -> Array:
        """Return log Phi(u(0)) of the heads, nats, shape (n_trajectories,)."""
        return log_prob(self.network, self._heads, potential, self.n_threads)

    def dream(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n states u(0) from the heads, shape (n_nodes, n)."""
        return dream(self.network, self._heads, n, rng, self.n_threads)

    @property
    def _heads(self) -> tuple[WeightedHead, ...]:
        return self.heads or (WeightedHead(self.n_times, 1.0),)

    def step_jacobians(self, potential: Array) -> Iterator[Array]:
        """Jacobian of every slice, along the path that the kernels take.

        The whole n x n Jacobian goes through each group's equations by the chain rule,

            dv = exp(G) (J_targets + u dG) + dI,  dI = W F' J_sources,  J_targets <- g'(v) dv,

        in plain NumPy and double precision. That it is triangular up to the order of nodes, which
        makes the form's own determinant a product, is not used. One slice at a time, because the
        product of hundreds of ill-conditioned Jacobians would lose the digits to be audited.
        """
        u = check_states(potential, self.n_nodes).astype(self.network.dtype)
        with Workers(1) as workers:
            for slice_ in self.network.slices[: self.n_slices]:
                state = u[:, 0].astype(np.float64)
                jacobian = np.eye(self.n_nodes)
                if slice_.rotation is not None:
                    state, jacobian = slice_.rotation @ state, slice_.rotation @ jacobian
                for group in slice_.groups:
                    for one in group.one_by_one():
                        self._pass_group(one, state, jacobian)
                yield jacobian
                evolve_slices(self.network, [slice_], u, np.zeros(1), workers)

    def _pass_group(self, group: GroupUpdate, state: Array, jacobian: Array) -> None:
        """Move one state (n,) and its Jacobian (n, n) through the update of a group, in place."""
        f, slopes = _transfer(self.network.synapse, state[group.sources])
        before = jacobian[group.sources]
        held = state[group.targets]
        v = held + group.weights @ f + group.bias
        d_v = _through(group.weights, slopes) @ before
        own = np.ones(len(held))
        if self.network.log_scale:
            s = len(group.sources)
            own = np.exp(group.log_scale_weights @ f[s:] + group.log_scale_bias)
            v += (own - 1) * held
            d_gain = _through(group.log_scale_weights, slopes[1:]) @ before
            d_v += (own * held)[:, None] * d_gain
        d_v += own[:, None] * jacobian[group.targets]
        u, log_slope = self.network.grid.forward(group.node_map, v[:, None])
        state[group.targets] = u[:, 0]
        jacobian[group.targets] = np.exp(log_slope) * d_v


def form_of(model: Any) -> Form:
    """Return the form inside a model: a Form itself, a Network, or a fitted estimator.

    Raises
    ------
    TypeError
        If there is none.
    """
    if isinstance(model, Form):
        return model
    if isinstance(model, Network):
        return ExactForm(model)
    if hasattr(model, "form_"):
        return form_of(model.form_)
    if hasattr(model, "network_"):
        heads = getattr(model, "heads_", None)
        return ExactForm(model.network_, model.n_slices_, model.n_threads, heads)
    raise TypeError(
        f"argument `model` must be a form, a network or a fitted estimator, "
        f"but is {type(model).__name__}"
    )


def _transfer(synapse: Synapse, u: Array) -> tuple[Array, Array]:
    """Features (M * sources,) and their derivatives (M, sources)."""
    tanh = np.tanh(synapse.slope * (u - np.array(synapse.thresholds)[:, None]))
    slopes = np.vstack([np.ones_like(u), synapse.slope * (1 - tanh**2)])
    return np.concatenate([u, tanh.ravel()]), slopes


def _through(weights: Any, slopes: Array) -> Array:
    """Derivative of a synaptic input by the potentials of its sources: sum_m W_m diag(phi_m')."""
    dense = weights.toarray() if sparse.issparse(weights) else weights
    return np.asarray((dense.reshape(len(dense), *slopes.shape) * slopes).sum(axis=1))
