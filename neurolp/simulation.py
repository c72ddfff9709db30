"""The main loop: present the input, evolve and learn a slice, record, show progress. Read me first.

Everything else is a noun in this sentence: the input is a set of :class:`Population` s (training,
validation, test), a slice of time is learned by ``brain.learning`` and applied by
``brain.evolution``, a ``trajectory.recorder.Recorder`` keeps what was asked for.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.brain.evolution import evolve_slice
from neurolp.brain.groups import Groups, ordered_partition, random_rotation
from neurolp.brain.interneurons import draw_interneurons
from neurolp.brain.learning import GreedyRule, learn_slice
from neurolp.brain.network import Network
from neurolp.brain.parallel import StopRequested, Workers
from neurolp.errors import NeurolpError
from neurolp.trajectory.recorder import Recorder

Array = npt.NDArray[Any]


@dataclass
class Population:
    """Trajectories that move through time together: one data set.

    ``potential`` (n_nodes, n_trajectories) is the state; ``log_det`` (n_trajectories,) the
    log-determinant so far, in nats, from the units of the data to the potentials.
    """

    potential: Array
    log_det: Array

    def surprise(self, network: Network) -> float:
        """Mean of -log Phi(x) = E(u) - log |det|, in nats and the units of the data."""
        energy = network.base_density.energy(self.potential).sum(axis=0, dtype=np.float64)
        return float(np.mean(energy - self.log_det))


@dataclass(frozen=True)
class Schedule:
    """When to stop, and what is drawn at random for each slice.

    At most ``max_slices``, and ``patience`` slices without a better best; ``groups`` as in
    ``brain.groups.ordered_partition``; ``rotation`` says whether each slice begins with one;
    ``interneurons`` is their number in each group.
    """

    max_slices: int = 400
    patience: int = 25
    groups: Groups = "halves"
    rotation: bool = False
    interneurons: int = 0


@dataclass(frozen=True)
class Progress:
    """What an observer is told after each slice: surprise in nats by population, and the best.

    ``stage`` is empty while slices or epochs are counted; work that follows says what it is.
    """

    time: int
    surprise: dict[str, float]
    best_time: int
    elapsed: float
    stage: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a simulation ended: the time of least validation surprise, and whether it was stopped."""

    best_time: int
    interrupted: bool
    elapsed: float


def simulate(
    network: Network,
    rule: GreedyRule,
    schedule: Schedule,
    populations: dict[str, Population],
    recorder: Recorder,
    *,
    seed: int,
    n_threads: int | None = None,
    observe: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Let the network evolve and learn, slice after slice, on ``populations["train"]``.

    The slices are appended to ``network``, past the best time too (``Outcome.best_time`` says where
    validation surprise was least). Any further populations ("test") are only watched.

    Ctrl-C stops within one block of trajectories; the slices completed so far stand.

    Raises
    ------
    NeurolpError
        If a surprise is no longer finite.
    """
    began = time.monotonic()
    with stop_on_interrupt() as stopped, Workers(n_threads, stopped) as workers:
        # Present the input: time 0, before any learning.
        train = populations["train"]
        surprise = {name: p.surprise(network) for name, p in populations.items()}
        best, best_time = surprise["validation"], 0
        recorder.start(surprise, populations["validation"].potential)
        interrupted = False

        for t in range(1, schedule.max_slices + 1):
            try:
                # Draw who is updated with whom in this slice, how to look at it, who mediates.
                rng = np.random.default_rng([seed, t])
                n, std = network.n_nodes, network.base_density.std
                groups = ordered_partition(schedule.groups, network.connectivity, rng)
                rotation = random_rotation(n, rng) if schedule.rotation else None
                between = [
                    draw_interneurons(schedule.interneurons, n - len(group), std, rng)
                    for group in groups
                ]

                # Learn the slice while the training trajectories move through it ...
                slice_, local_loss = learn_slice(
                    network,
                    rule,
                    groups,
                    rotation,
                    between,
                    train.potential,
                    train.log_det,
                    workers,
                )
                # ... and let everyone else follow.
                for name, p in populations.items():
                    if name != "train":
                        evolve_slice(network, slice_, p.potential, p.log_det, workers)
            except StopRequested:
                interrupted = True
                break
            network.slices.append(slice_)

            # Measure and record.
            surprise = {name: p.surprise(network) for name, p in populations.items()}
            check_finite(f"slice {t}", surprise)
            recorder.record(t, surprise, local_loss, populations["validation"].potential)

            # Stop early: validation data alone decide.
            if surprise["validation"] < best:
                best, best_time = surprise["validation"], t
            observe(Progress(t, surprise, best_time, time.monotonic() - began))
            if t - best_time >= schedule.patience:
                break
    return Outcome(best_time, interrupted, time.monotonic() - began)


def check_finite(when: str, surprise: dict[str, float]) -> None:
    """Raise :class:`NeurolpError` unless all mean surprises are finite."""
    for name, value in surprise.items():
        if not math.isfinite(value):
            raise NeurolpError(f"the mean surprise on {name} data became {value} in {when}")


class Stop:
    """Whether Ctrl-C or a request to end (SIGTERM) came: called, it says so; ``signal`` is which.

    While ``at_once`` is set there is nothing to be saved, and it raises ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.at_once = False

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def listen(self, signum: int, frame: object) -> None:
        """Handle a signal."""
        self.signal = self.signal or signum
        if self.at_once:
            self.at_once = False  # once is enough: what cleans up must not be cut off
            raise KeyboardInterrupt(signum)


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Turn Ctrl-C into a flag that is looked at between blocks, so that nothing is cut in half.

    SIGTERM, with which systems end processes, is treated alike. Signals reach the main thread
    only; elsewhere nothing is changed and nothing ever stops early.
    Pressing it again changes nothing: people do, and what was learned must not be lost.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    for signum in previous:
        signal.signal(signum, stop.listen)
    try:
        yield stop
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
