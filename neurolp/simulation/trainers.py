"""Who learns from repeated presentation: a network by its online rule, or one of the paper's forms.

What ``neurolp.simulation.epochs`` needs to know of them, and what they leave in the record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar, final

import numpy as np
import numpy.typing as npt

from neurolp.brain.evolution import evolve
from neurolp.brain.form import LearnedForm
from neurolp.brain.hidden import log_bound, seed_hidden
from neurolp.brain.network import Network
from neurolp.brain.rules.local import Learner, copy_network
from neurolp.brain.workers import Workers
from neurolp.paper.learning import Adam
from neurolp.simulation.archive.network import parameter_arrays
from neurolp.simulation.checkpoint import State, first_fault, prefixed, without_prefix
from neurolp.simulation.greedy import Population
from neurolp.simulation.recorder import Recorder

Array = npt.NDArray[Any]
Brain = TypeVar("Brain")
F = TypeVar("F", bound=LearnedForm)


class Pupil(ABC, Generic[Brain]):
    """Something that changes its parameters with every presentation."""

    @abstractmethod
    def present(
        self, potential: Array, pace: float, rng: np.random.Generator, workers: Workers
    ) -> None:
        """Learn from u(0) of a few rows, (n_visible, m), at the share ``pace`` of the full rate."""

    @abstractmethod
    def brain(self) -> Brain:
        """Return the brain as it would be used now; what is learned later does not change it."""

    @abstractmethod
    def surprise(self, population: Population) -> float:
        """Mean of -log Phi(x) of that brain, in nats and the units of the data."""

    @abstractmethod
    def begin(
        self,
        recorder: Recorder,
        surprise: dict[str, float],
        potential: Array,
        rng: np.random.Generator,
    ) -> None:
        """Begin the record, in which the trajectories from ``potential`` are followed."""

    @abstractmethod
    def record(self, recorder: Recorder, epoch: int, surprise: dict[str, float]) -> None:
        """Add one completed epoch."""

    @property
    @abstractmethod
    def followed(self) -> Array:
        """The potentials at time 0 that the record follows, after :meth:`begin`."""

    @abstractmethod
    def state(self) -> State:
        """All that the next presentation depends on, copied."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from what :meth:`state` gave."""

    @abstractmethod
    def taken_up(self, brain: Brain) -> Brain:
        """A brain from a file as :meth:`brain` would have given it."""

    @abstractmethod
    def fault(self) -> str:
        """The first node and variable with a number that is not finite, or ""."""

    @abstractmethod
    def end(self, recorder: Recorder, brain: Brain) -> None:
        """Add what is recorded of the brain that was chosen."""


@final
class NetworkPupil(Pupil[Network]):
    """A network that learns online; the brain in use is the running mean of its parameters.

    Hidden nodes are seeded afresh for each presentation. The record has the surprises of all
    epochs, the parameters as they change and, in the end, the evolution through the brain chosen.
    """

    def __init__(self, learner: Learner, n_threads: int | None) -> None:
        self._learner, self._n_threads = learner, n_threads

    def present(
        self, potential: Array, pace: float, rng: np.random.Generator, workers: Workers
    ) -> None:
        """One step of the online rule."""
        seeded = seed_hidden(self._learner.network, potential, rng)
        self._learner.present(seeded, workers, pace=pace)

    def brain(self) -> Network:
        """Copy the running mean."""
        return copy_network(self._learner.averaged)

    def surprise(self, population: Population) -> float:
        """Mean of -log Phi(x), or with hidden nodes a bound from above."""
        return mean_surprise(self._learner.averaged, population, self._n_threads)

    def begin(
        self,
        recorder: Recorder,
        surprise: dict[str, float],
        potential: Array,
        rng: np.random.Generator,
    ) -> None:
        """Begin the record."""
        self._followed = seed_hidden(self._learner.averaged, potential, rng)
        recorder.start(surprise, self._followed, time_unit="epoch")
        recorder.record_parameters(0, lambda: parameter_arrays(self._learner.averaged))

    def record(self, recorder: Recorder, epoch: int, surprise: dict[str, float]) -> None:
        """Surprises, and parameters where it is time to."""
        recorder.record_epoch(surprise)
        recorder.record_parameters(epoch, lambda: parameter_arrays(self._learner.averaged))

    @property
    def followed(self) -> Array:
        """With seeded hidden nodes."""
        return self._followed

    def state(self) -> State:
        """Parameters, their running mean, the moments of Adam."""
        n_steps = np.array([self._learner.n_steps])
        return {"learner": self._learner.pack(), "n_steps": n_steps}

    def restore(self, state: State) -> None:
        """Go on."""
        self._learner.unpack(state["learner"], int(state["n_steps"][0]))

    def taken_up(self, brain: Network) -> Network:
        """Groups of one node each, as all that is learned here."""
        return copy_network(brain)

    def fault(self) -> str:
        """Among the parameters, or the potentials at the end of time."""
        potential, _ = evolve(self._learner.averaged, self._followed, n_threads=1)
        return first_fault(self._learner.sums() | {"potential": potential})

    def end(self, recorder: Recorder, brain: Network) -> None:
        """Record the evolution of the chosen trajectories, slice by slice."""
        u = self._followed[:, recorder.chosen_trajectories]
        for t in range(1, len(brain.slices) + 1):
            potential, _ = evolve(brain, u, n_slices=t, n_threads=1)
            recorder.record_frame(t, potential[recorder.chosen_nodes])


@final
class FormPupil(Pupil[F]):
    """One of the paper's forms.

    ``step(form, batch, pace)`` returns the form after a batch u(0), (n_nodes, m), and the mean
    local loss of every node; ``adam`` is what it remembers from one batch to the next. The record
    has surprises and local losses of all epochs and, as frames, the potentials presented and those
    at time T after so many epochs.
    """

    def __init__(
        self, form: F, step: Callable[[F, Array, float], tuple[F, Array]], adam: Adam
    ) -> None:
        self._form, self._step, self._adam = form, step, adam
        self._losses: list[Array] = []

    def present(
        self, potential: Array, pace: float, rng: np.random.Generator, workers: Workers
    ) -> None:
        """One step of the form's own rule."""
        self._form, loss = self._step(self._form, potential, pace)
        self._losses.append(loss)

    def brain(self) -> F:
        """Return the form, which is never changed in place."""
        return self._form

    def surprise(self, population: Population) -> float:
        """Mean of -log Phi(x) as the form claims it."""
        return float(-np.mean(self._form.log_prob(population.potential) + population.log_det))

    def begin(
        self,
        recorder: Recorder,
        surprise: dict[str, float],
        potential: Array,
        rng: np.random.Generator,
    ) -> None:
        """Begin the record."""
        self._followed = potential
        recorder.start(surprise, potential)

    def record(self, recorder: Recorder, epoch: int, surprise: dict[str, float]) -> None:
        """Surprises, local losses, and a frame where it is time to."""
        end, _ = self._form.evolve(self._followed)
        recorder.record(epoch, surprise, np.mean(self._losses, axis=0), end)
        self._losses = []

    @property
    def followed(self) -> Array:
        """As they are presented."""
        return self._followed

    def state(self) -> State:
        """Parameters of the form and moments of Adam; none of them is changed in place."""
        return self._form.parameters() | prefixed("adam_", self._adam.pack())

    def restore(self, state: State) -> None:
        """Go on."""
        self._form = self._form.with_parameters(state)
        self._adam.unpack(without_prefix("adam_", state))

    def taken_up(self, brain: F) -> F:
        """As it is."""
        return brain

    def fault(self) -> str:
        """Among the parameters, or the potentials at the end of time."""
        potential, _ = self._form.evolve(self._followed)
        return first_fault(self._form.parameters() | {"potential": potential})

    def end(self, recorder: Recorder, brain: F) -> None:
        """Nothing more: the frames are there."""


def mean_surprise(network: Network, population: Population, n_threads: int | None) -> float:
    """Mean of -log Phi(x) over trajectories at time 0, in nats and the units of the data.

    With hidden nodes, a bound from above: one seed each, the same ones whenever it is measured.
    """
    rng = np.random.default_rng(0)
    log_prob = log_bound(network, population.potential, 1, rng, n_threads=n_threads)
    return float(-np.mean(log_prob + population.log_det))
