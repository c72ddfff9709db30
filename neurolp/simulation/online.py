"""A network that learns online, as :class:`simulation.epochs.EpochProcess` asks for it."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve
from neurolp.brain.hidden import log_bound, seed_hidden
from neurolp.brain.network import Network
from neurolp.brain.network_arrays import slices_from_arrays, slices_to_arrays
from neurolp.brain.rules.local import Learner, copy_network
from neurolp.brain.seeds import generator
from neurolp.brain.workers import Workers
from neurolp.simulation.batch import Batch
from neurolp.simulation.checkpoint import first_fault
from neurolp.simulation.epochs import EpochProcess
from neurolp.simulation.monitors import FrameMonitor
from neurolp.simulation.schedule import Schedule

Arrays = dict[str, Array]


@final
class NetworkLearner:
    """A network that learns online; the model in use is the running mean of its parameters.

    Hidden nodes are seeded afresh for each mini-batch. ``recorded`` are the potentials at time 0
    whose evolution is recorded: the validation data, with seeded hidden nodes.
    """

    def __init__(
        self, learner: Learner, validation: Batch, seed: int, n_threads: int | None
    ) -> None:
        self._learner, self._n_threads = learner, n_threads
        rng = generator(seed, "recorded hidden nodes")
        self.recorded = seed_hidden(learner.averaged, validation.potential, rng)

    def step(
        self, potential: Array, pace: float, rng: np.random.Generator, workers: Workers
    ) -> None:
        """One step of the online rule."""
        seeded = seed_hidden(self._learner.network, potential, rng)
        self._learner.step(seeded, workers, pace=pace)

    @property
    def averaged(self) -> Network:
        """The running mean, which goes on changing."""
        return self._learner.averaged

    @property
    def model(self) -> Network:
        """A copy of the running mean."""
        return copy_network(self._learner.averaged)

    def surprise(self, batch: Batch) -> float:
        """Mean of -log Phi(x), or with hidden nodes a bound from above."""
        return mean_surprise(self._learner.averaged, batch, self._n_threads)

    def take_local_loss(self) -> None:
        """None: the nodes share the parameters of several slices."""

    def state(self) -> Arrays:
        """Parameters, their running mean, the moments of Adam."""
        return self._learner.state()

    def restore(self, arrays: Arrays) -> None:
        """Continue."""
        self._learner.restore(arrays)

    def model_to_arrays(self, model: Network) -> Arrays:
        """Its slices."""
        return slices_to_arrays(model)

    def model_from_arrays(self, arrays: Arrays) -> Network:
        """A network of these slices; groups of one node each, as all that is learned here."""
        network = copy_network(self._learner.averaged)
        network.slices = slices_from_arrays(network, arrays)
        return copy_network(network)

    def fault(self) -> str:
        """Among the parameters, or the potentials at the end of time."""
        potential, _ = evolve(self._learner.averaged, self.recorded, n_threads=1)
        return first_fault(self._learner.sums() | {"potential": potential})


@final
class EvolutionMonitor(FrameMonitor):
    """Frames of the evolution through the network that was chosen, recorded when learning ends."""

    def begin(self, process: EpochProcess[Network], store: Any) -> None:
        """Declare the variables of frames."""
        super().begin(process, store)
        self.schedule = Schedule()

    def finish(self, process: EpochProcess[Network]) -> None:
        """Append every so many slices, and the last."""
        self.sample_once(process)

    def sample(self, process: EpochProcess[Network]) -> None:
        """Append all frames of the network in use."""
        network, every = process.model, self._recorder.every
        u = np.ascontiguousarray(self._potential_of(process)[:, self.trajectories])
        n_slices = len(network.slices)
        for t in range(n_slices + 1):
            if t % every == 0 or t == n_slices:
                potential, _ = evolve(network, u, n_slices=t, n_threads=1)
                self.append(t, potential)


def mean_surprise(network: Network, batch: Batch, n_threads: int | None) -> float:
    """Mean of -log Phi(x) over trajectories at time 0, in nats and the units of the data.

    With hidden nodes, a bound from above: one seed each, the same ones whenever it is measured.
    """
    rng = np.random.default_rng(0)
    log_prob = log_bound(network, batch.potential, 1, rng, n_threads=n_threads)
    return float(-np.mean(log_prob + batch.log_det))
