"""Local learning of the paper's forms: shared parameters, minibatches, one rule per form.

**Linear form.** A synapse multiplies what its target would change of its own energy by what its
source holds, at the end of time:

    d w_ij  ~  -E[ psi_i(u_i(T)) u_j(T) ],     d b_i ~ -E[ psi_i(u_i(T)) ],    psi_i = E_i'

It is the gradient of the local loss E_i of one *further* slice. Where it vanishes for all i != j,
and E_i has learned its own scale (E[psi_i u_i] = 1, but for what its spline cannot represent),
E[psi u^T] = I, and the loss is
stationary under every linear change u(T) <- (I + A) u(T) with tr A = 0. So for the exact flow its
rest points are rest points of -log Phi itself, though nothing was propagated back through time.
(The rule summed over all slices has no such property: it decorrelates the average over time, and
overshoots.)

**Bounded form.** Node i has the local loss -log da_i'/da_i in each slice. Its total over the slices
is minimised with the others' activities held as they were, so the error M_i travels back in time
inside the node alone (``kernels.bounded.bounded_replay``), never along an edge:

    dL_i / d w_ij = sum over slices of dt M_i a_j          pre times post
    dL_i / d theta_ik = sum over slices of dt (M_i phi_k - g_i' phi_k')

It is exact for uncoupled nodes; with coupling it leaves out what a node does to the others' losses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar, final

import numpy as np
from scipy.special import expit

from neurolp.arrays import Array
from neurolp.brain.form import LearnedForm
from neurolp.brain.workers import Workers
from neurolp.kernels.adam import adam_step
from neurolp.kernels.bounded import bounded_replay
from neurolp.paper.bounded import BARRIER_MIN, SLOPE_MAX, BoundedForm, log_width, slope_limit
from neurolp.paper.linear import LinearForm
from neurolp.simulation.batch import Batch
from neurolp.simulation.checkpoint import with_prefix, without_prefix

F = TypeVar("F", bound=LearnedForm)


@final
class Adam:
    """The moments of Adam for arrays of parameters known by name."""

    def __init__(self) -> None:
        self._moments: dict[str, tuple[Array, Array]] = {}
        self._counts: Counter[str] = Counter()

    def step(self, name: str, gradient: Array, rate: float) -> Array:
        """Return the change of the parameters called ``name`` for this gradient."""
        flat = gradient.ravel()
        moments = self._moments.setdefault(name, (np.zeros_like(flat), np.zeros_like(flat)))
        self._counts[name] += 1
        change = np.zeros_like(flat)  # from 0, forgetting nothing, without a running mean
        adam_step(flat, rate, 0.0, self._counts[name], 0.0, np.inf, *moments, change, change)
        return change.reshape(gradient.shape)

    def state(self) -> dict[str, Array]:
        """Both moments of every array, and how often it was changed."""
        return {
            name: np.concatenate([*moments, [self._counts[name]]])
            for name, moments in self._moments.items()
        }

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue from what :meth:`state` gave."""
        self._moments.clear()
        self._counts.clear()
        for name, values in arrays.items():
            first, second = np.split(values[:-1], 2)
            self._moments[name] = first.copy(), second.copy()
            self._counts[name] = int(values[-1])


def learn_linear(
    form: LinearForm, potential: Array, adam: Adam, rate: float, energy_rate: float, ridge: float
) -> tuple[LinearForm, Array]:
    """One step on a minibatch u(0), (n_nodes, m): the new form, mean local losses (n_nodes,).

    ``rate`` is Adam's for the synapses, ``energy_rate`` the fraction of a Newton step of the
    energies, ``ridge`` theirs.
    """
    end, _ = form.evolve(potential)
    loss = (form.energies.energy(end) - form.energies.energy(potential)).mean(axis=1)
    psi = form.energies.psi(end)
    correlation = psi @ end.T / potential.shape[1]
    np.fill_diagonal(correlation, 0.0)
    weights = form.weights + adam.step("weights", correlation, rate)
    np.fill_diagonal(weights, 0.0)
    bias = form.bias + adam.step("bias", psi.mean(axis=1), rate)
    energies = form.energies.learned(end, energy_rate, ridge)
    return replace(form, weights=weights, bias=bias, slopes=energies.slopes), loss


def bounded_gradient(form: BoundedForm, potential: Array) -> tuple[Array, dict[str, Array]]:
    """Every node's own loss over all slices (n_nodes,), and its gradient by parameter.

    ``potential`` is u(0), (n_nodes, m). Means over trajectories, nats; the others' activities are
    held fixed.
    """
    n, m, k = *potential.shape, form.grid.n_intervals
    paths, denominators = [np.asarray(potential, dtype=np.float64)], []
    for _ in range(form.n_steps):
        new, denominator = form.step(paths[-1])
        paths.append(new)
        denominators.append(denominator)
    loss = np.zeros(n)
    weights, barrier = np.zeros((n, n)), np.zeros(n)
    post, moments = np.zeros((n, m)), np.zeros((n, k, 2, 4))
    for t in range(form.n_steps, 0, -1):
        loss += (np.log(denominators[t - 1]) - log_width(paths[t])).mean(axis=1)
        bounded_replay(
            paths[t], denominators[t - 1], form.barrier, form.table, form.dt, post, barrier, moments
        )
        weights += form.dt * post @ expit(paths[t - 1]).T
    np.fill_diagonal(weights, 0.0)
    shape = np.empty_like(form.shape)
    shape[:, 0] = moments[:, :, 0, 0].sum(axis=1)
    shape[:, 1:] = np.einsum("isp,skp->ik", moments[:, :, 0, :], form.grid.value_basis)
    shape[:, 1:] += np.einsum("isp,skp->ik", moments[:, :, 1, :3], form.grid.slope_basis)
    return loss, {"weights": weights / m, "barrier": barrier / m, "shape": shape / m}


def learn_bounded(
    form: BoundedForm, potential: Array, adam: Adam, rate: float
) -> tuple[BoundedForm, Array]:
    """One step on a minibatch u(0), (n_nodes, m): the new form, mean local losses (n_nodes,).

    ``rate`` is Adam's. Parameters are cut to what keeps the form bounded and monotone.
    """
    loss, gradient = bounded_gradient(form, potential)
    weights = form.weights + adam.step("weights", gradient["weights"], rate)
    np.fill_diagonal(weights, 0.0)
    barrier = form.barrier + adam.step("barrier", gradient["barrier"], 0.1 * rate)
    shape = form.shape + adam.step("shape", gradient["shape"], rate)
    shape[:, 1:] = np.clip(shape[:, 1:], -SLOPE_MAX, slope_limit(form.dt))
    new = replace(form, weights=weights, barrier=np.maximum(barrier, BARRIER_MIN), shape=shape)
    return new, loss


@final
class FormLearner(Generic[F]):
    """A form as a learner of mini-batches, for ``simulation.epochs.EpochProcess``.

    ``step(form, batch, adam, pace)`` returns the form after a batch u(0), (n_nodes, m), and the
    mean local loss of every node.
    """

    def __init__(
        self, form: F, step: Callable[[F, Array, Adam, float], tuple[F, Array]], validation: Batch
    ) -> None:
        self._form, self._step, self._adam = form, step, Adam()
        self._validation = validation
        self._losses: list[Array] = []

    def step(
        self, potential: Array, pace: float, rng: np.random.Generator, workers: Workers
    ) -> None:
        """One step of the form's own rule."""
        self._form, loss = self._step(self._form, potential, self._adam, pace)
        self._losses.append(loss)

    @property
    def model(self) -> F:
        """The form, which is never changed in place."""
        return self._form

    def frame(self, time: int) -> Array:
        """Potentials of the validation data (n_nodes, n_trajectories) at the end of time.

        After ``time`` epochs; before the first, the batch itself.
        """
        start = self._validation.potential
        return self._form.evolve(start)[0] if time else start

    def surprise(self, batch: Batch) -> float:
        """Mean of -log Phi(x) as the form claims it."""
        return float(-np.mean(self._form.log_prob(batch.potential) + batch.log_det))

    def take_local_loss(self) -> Array:
        """Mean local loss of each node since the last call; zero before the first step."""
        losses, self._losses = self._losses, []
        return np.mean(losses, axis=0) if losses else np.zeros(self._form.n_nodes)

    def state(self) -> dict[str, Array]:
        """Parameters of the form and moments of Adam; none of them is changed in place."""
        return self._form.parameters() | with_prefix("adam_", self._adam.state())

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue."""
        self._form = self._form.with_parameters(arrays)
        self._adam.restore(without_prefix("adam_", arrays))

    def model_to_arrays(self, model: F) -> dict[str, Array]:
        """Its parameters."""
        return with_prefix("best_", model.parameters())

    def model_from_arrays(self, arrays: dict[str, Array]) -> F:
        """The form of these parameters."""
        return self._form.with_parameters(without_prefix("best_", arrays))

    def fault(self) -> str:
        """Among the parameters, or the potentials at the end of time."""
        for name, values in (self._form.parameters() | {"potential": self.frame(1)}).items():
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                return f"node {bad[0][0]}, {name}: {values[tuple(bad[0])]}"
        return ""
