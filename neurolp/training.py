"""The loop of online learning: present mini-batches, measure after each epoch, stop early.

The twin of :mod:`neurolp.simulation` for a brain whose slices are all there from the beginning and
change together while the input is presented again and again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.brain.evolution import evolve
from neurolp.brain.hidden import log_bound, seed_hidden
from neurolp.brain.network import Network
from neurolp.brain.online import Learner, copy_network
from neurolp.brain.parallel import StopRequested, Workers
from neurolp.packing import parameter_arrays
from neurolp.simulation import Outcome, Population, Progress, check_finite, stop_on_interrupt
from neurolp.trajectory.recorder import Recorder

Array = npt.NDArray[Any]

# The first steps are smaller: the moments of Adam know little yet.
_WARM_UP = 20


@dataclass(frozen=True)
class Lessons:
    """At most ``max_epochs`` presentations of all rows in mini-batches of ``batch_size`` rows.

    The rates fall to zero like a cosine over all epochs; learning stops earlier after
    ``patience`` epochs without a better best.
    """

    max_epochs: int
    patience: int
    batch_size: int

    def pace(self, step: int, n_steps: int) -> float:
        """Factor of the rates at step 1, 2, ... of ``n_steps``."""
        return min(1.0, step / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / n_steps))


def train(
    learner: Learner,
    lessons: Lessons,
    populations: dict[str, Population],
    recorder: Recorder,
    *,
    seed: int,
    n_threads: int | None = None,
    observe: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Network, Outcome]:
    """Learn from ``populations["train"]``; return the brain of least validation surprise.

    The brains that are compared are the running means of the parameters, one an epoch; time 0 is
    before learning. Further populations ("test") are only watched. Populations hold the visible
    nodes; hidden ones are seeded afresh for each presentation. ``recorder`` keeps the surprises
    of all epochs and, in the end, the evolution of the validation data through the brain returned.

    Ctrl-C stops within one presentation; the best brain so far stands.

    Raises
    ------
    NeurolpError
        If a surprise is no longer finite.
    """
    began = time.monotonic()
    n_rows = populations["train"].potential.shape[1]
    n_batches = -(-n_rows // lessons.batch_size)

    def measure() -> dict[str, float]:
        network = learner.averaged
        return {name: mean_surprise(network, p, n_threads) for name, p in populations.items()}

    with stop_on_interrupt() as stopped, Workers(n_threads, stopped) as workers:
        surprise = measure()
        best, best_epoch, brain = surprise["validation"], 0, copy_network(learner.averaged)
        rng = np.random.default_rng([seed, 0])
        followed = seed_hidden(brain, populations["validation"].potential, rng)
        recorder.start(surprise, followed, time_unit="epoch")
        recorder.record_parameters(0, lambda: parameter_arrays(learner.averaged))
        interrupted = False

        for epoch in range(1, lessons.max_epochs + 1):
            try:
                # Present every row once, a few at a time.
                rng = np.random.default_rng([seed, epoch])
                order = rng.permutation(n_rows)
                for k, rows in enumerate(np.array_split(order, n_batches)):
                    step = (epoch - 1) * n_batches + k + 1
                    learner.present(
                        seed_hidden(brain, populations["train"].potential[:, rows], rng),
                        workers,
                        pace=lessons.pace(step, lessons.max_epochs * n_batches),
                    )
            except StopRequested:
                interrupted = True
                break

            # Measure and record.
            surprise = measure()
            check_finite(f"epoch {epoch}", surprise)
            recorder.record_epoch(surprise)
            recorder.record_parameters(epoch, lambda: parameter_arrays(learner.averaged))

            # Stop early: validation data alone decide.
            if surprise["validation"] < best:
                best, best_epoch = surprise["validation"], epoch
                brain = copy_network(learner.averaged)
            observe(Progress(epoch, surprise, best_epoch, time.monotonic() - began))
            if epoch - best_epoch >= lessons.patience:
                break
    _follow(brain, followed, recorder)
    return brain, Outcome(best_epoch, interrupted, time.monotonic() - began)


def mean_surprise(network: Network, population: Population, n_threads: int | None) -> float:
    """Mean of -log Phi(x) over trajectories at time 0, in nats and the units of the data.

    With hidden nodes, a bound from above: one seed each, the same ones whenever it is measured.
    """
    rng = np.random.default_rng(0)
    log_prob = log_bound(network, population.potential, 1, rng, n_threads=n_threads)
    return float(-np.mean(log_prob + population.log_det))


def _follow(network: Network, potential: Array, recorder: Recorder) -> None:
    """Record the evolution of the chosen trajectories, slice by slice."""
    u = potential[:, recorder.chosen_trajectories]
    nodes = recorder.chosen_nodes
    for t in range(1, len(network.slices) + 1):
        recorder.record_frame(t, evolve(network, u, n_slices=t, n_threads=1)[0][nodes])
