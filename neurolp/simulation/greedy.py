"""The main loop: present the input, evolve and learn a slice, record, show progress. Read me first.

Everything else is a noun in this sentence: the input is a set of :class:`Population` s (training,
validation, test), a slice of time is learned by ``brain.learning`` and applied by
``brain.evolution``, a ``trajectory.recorder.Recorder`` keeps what was asked for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.brain.evolution import evolve_slice
from neurolp.brain.network import Network
from neurolp.brain.rules.greedy import learn_slice
from neurolp.brain.rules.rule import LearningRule
from neurolp.brain.seeds import generator
from neurolp.brain.update_order import UpdateOrder, ordered_partition, random_rotation
from neurolp.brain.workers import StopRequested, Workers
from neurolp.errors import DivergedError, NetworkError
from neurolp.simulation.checkpoint import (
    Keeper,
    Moment,
    State,
    Unkept,
    first_fault,
    is_divergence,
    prefixed,
    without_prefix,
)
from neurolp.simulation.recorder import Recorder
from neurolp.simulation.signals import NeverStop, Stop

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
    ``brain.update_order.ordered_partition``; ``rotation`` says whether each slice begins with one.
    """

    max_slices: int = 400
    patience: int = 25
    update_order: UpdateOrder = "random_halves"
    rotation: bool = False


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
    rule: LearningRule,
    schedule: Schedule,
    populations: dict[str, Population],
    recorder: Recorder,
    *,
    seed: int,
    n_threads: int | None = None,
    observe: Callable[[Progress], None] = lambda progress: None,
    keeper: Keeper | None = None,
    stop: Stop | None = None,
) -> Outcome:
    """Let the network evolve and learn, slice after slice, on ``populations["train"]``.

    The slices are appended to ``network``, past the best time too (``Outcome.best_time`` says where
    validation surprise was least). Any further populations ("test") are only watched.

    Ctrl-C, or ``stop``, ends it within one block of trajectories; the slices completed so far
    stand. Random numbers depend on the seed and the slice alone, so that what ``keeper`` kept goes
    on as if nothing had happened.

    Raises
    ------
    DivergedError
        If a number is no longer finite: slice, node and variable are named.
    """
    keeper, stop = keeper or Unkept(), stop or NeverStop()
    began = time.monotonic()
    with (
        stop,
        Workers(n_threads, stop) as workers,
        np.errstate(over="ignore", invalid="ignore", divide="ignore"),  # it is looked for, below
    ):
        train, validation = populations["train"], populations["validation"]
        saved = keeper.restore()
        if saved is None:
            # Present the input: time 0, before any learning.
            surprise = {name: p.surprise(network) for name, p in populations.items()}
            check_finite("the input", surprise, populations)
            t = best_time = 0
            recorder.start(surprise, validation.potential)
        else:
            # Go on where it was broken off.
            t, best_time = saved.time, saved.best_time
            network.slices = list(saved.brain.slices)
            _put_back(populations, saved.state)
            recorder.unpack(without_prefix("record_", saved.state), validation.potential)
        best = recorder.surprise["validation"][best_time]
        interrupted = False

        def moment(state: State) -> Moment:
            brain = replace(network, slices=list(network.slices))
            return Moment(t, best_time, brain, state | prefixed("record_", recorder.pack()))

        try:
            while t < schedule.max_slices and t - best_time < schedule.patience:
                # Draw this slice's groups and rotation.
                rng = generator(seed, "slice", t + 1)
                groups = ordered_partition(schedule.update_order, network.connectivity, rng)
                rotation = random_rotation(network.n_nodes, rng) if schedule.rotation else None

                # What the slice begins with: it may be cut off, or diverge.
                before = _state(populations, copy=True) if keeper.keeps else {}
                try:
                    # Learn the slice while the training trajectories move through it ...
                    slice_, local_loss = learn_slice(
                        network,
                        rule,
                        groups,
                        rotation,
                        train.potential,
                        train.log_det,
                        workers,
                        rng,
                    )
                    # ... and let everyone else follow.
                    for name, p in populations.items():
                        if name != "train":
                            evolve_slice(network, slice_, p.potential, p.log_det, workers)
                    surprise = {name: p.surprise(network) for name, p in populations.items()}
                    check_finite(f"slice {t + 1}", surprise, populations)
                except StopRequested:
                    interrupted = True
                    if t > 0:
                        keeper.keep(lambda: moment(before), now=True)  # noqa: B023  (called at once)
                    break
                except Exception as error:
                    if not is_divergence(error) and not _fault(populations):
                        raise
                    diverged = _diverged(f"slice {t + 1}", populations, error)
                    keeper.diverged(diverged, moment(before), _state(populations))
                    raise diverged from error
                network.slices.append(slice_)
                t += 1

                # Record, and keep.
                recorder.record(t, surprise, local_loss, validation.potential)

                # Stop early: validation data alone decide.
                if surprise["validation"] < best:
                    best, best_time = surprise["validation"], t
                keeper.keep(lambda: moment(_state(populations)))
                stop.defer()
                observe(Progress(t, surprise, best_time, time.monotonic() - began))
        except KeyboardInterrupt:
            interrupted = True
        if not interrupted:
            keeper.ended(moment(_state(populations)))
    return Outcome(best_time, interrupted, time.monotonic() - began)


def _state(populations: dict[str, Population], *, copy: bool = False) -> State:
    """Potentials and log-determinants of all populations by name."""
    out = {}
    for name, p in populations.items():
        for what in ("potential", "log_det"):
            values = getattr(p, what)
            out[f"{name}_{what}"] = values.copy() if copy else values
    return out


def _put_back(populations: dict[str, Population], state: State) -> None:
    for name, p in populations.items():
        p.potential[...] = state[f"{name}_potential"]
        p.log_det[...] = state[f"{name}_log_det"]


def _diverged(when: str, populations: dict[str, Population], error: Exception) -> DivergedError:
    """What became of which node; where all potentials are finite, what the learning rule said."""
    if isinstance(error, DivergedError):
        return error
    # Parameters are looked at before anyone moves by them: they are where it began.
    where = str(error) if isinstance(error, NetworkError) else _fault(populations) or str(error)
    return DivergedError(f"{when} diverged: {where}")


def _fault(populations: dict[str, Population]) -> str:
    for name, p in populations.items():
        fault = first_fault({"potential": p.potential})
        if not fault and not np.all(np.isfinite(p.log_det)):
            row = int(np.flatnonzero(~np.isfinite(p.log_det))[0])
            fault = f"all nodes, log-determinant: {p.log_det[row]}"
        if fault:
            return f"{fault} ({name} data)"
    return ""


def check_finite(
    when: str,
    surprise: dict[str, float],
    populations: dict[str, Population],
    fault: Callable[[], str] = str,
) -> None:
    """Raise :class:`DivergedError` unless all mean surprises are finite.

    ``fault`` says where it comes from, if that is not where the ``populations`` are now.
    """
    for name, value in surprise.items():
        if not math.isfinite(value):
            where = fault() or _fault(populations) or "all nodes, energy: beyond all numbers"
            raise DivergedError(
                f"{when} diverged: {where}, and the mean surprise on {name} data is {value}"
            )
