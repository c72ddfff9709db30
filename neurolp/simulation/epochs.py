"""The loop of repeated presentation: mini-batches, a measurement after each epoch, early stopping.

The twin of :mod:`neurolp.simulation.greedy`, in which time passes once and every slice is learned
when its time has come. Here all parameters are there from the beginning and change together while
the input is presented again and again: the unit of learning is the *epoch*, one pass through the
training data. Who learns, and from what, is a ``neurolp.simulation.trainers.Pupil``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from neurolp.brain.seeds import generator
from neurolp.brain.workers import StopRequested, Workers
from neurolp.errors import DivergedError
from neurolp.simulation.checkpoint import (
    Keeper,
    Moment,
    State,
    Unkept,
    is_divergence,
    prefixed,
    without_prefix,
)
from neurolp.simulation.greedy import Outcome, Population, Progress, check_finite
from neurolp.simulation.recorder import Recorder
from neurolp.simulation.signals import NeverStop, Stop
from neurolp.simulation.trainers import Pupil

Array = npt.NDArray[Any]
Brain = TypeVar("Brain")

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
    pupil: Pupil[Brain],
    lessons: Lessons,
    populations: dict[str, Population],
    recorder: Recorder,
    *,
    seed: int,
    n_threads: int | None = None,
    observe: Callable[[Progress], None] = lambda progress: None,
    keeper: Keeper | None = None,
    stop: Stop | None = None,
    stream: str = "epoch",
) -> tuple[Brain, Outcome]:
    """Teach ``populations["train"]``; return the brain of least validation surprise.

    Time 0 is before learning. Further populations ("test") are only watched. Populations stay at
    time 0 of the evolution, and hold the visible nodes.

    Ctrl-C, or ``stop``, ends it within one presentation; the best brain so far stands. Random
    numbers depend on the seed, the name of the ``stream`` and the epoch alone, so that what
    ``keeper`` kept goes on as if nothing had happened.

    Raises
    ------
    DivergedError
        If a number is no longer finite: epoch, node and variable are named.
    """
    keeper, stop = keeper or Unkept(), stop or NeverStop()
    began = time.monotonic()
    taught = populations["train"].potential
    n_rows = taught.shape[1]
    n_batches = -(-n_rows // lessons.batch_size)

    with (
        stop,
        Workers(n_threads, stop) as workers,
        np.errstate(over="ignore", invalid="ignore", divide="ignore"),  # it is looked for, below
    ):
        validation = populations["validation"].potential
        saved, first_rng = keeper.restore(), generator(seed, "recorded hidden nodes")
        if saved is None:
            # Before any learning.
            surprise = {name: pupil.surprise(p) for name, p in populations.items()}
            check_finite("the input", surprise, populations)
            epoch = best_epoch = 0
            brain = pupil.brain()
            pupil.begin(recorder, surprise, validation, first_rng)
        else:
            # Go on where it was broken off.
            epoch, best_epoch, brain = saved.time, saved.best_time, saved.brain
            pupil.begin(recorder, dict.fromkeys(populations, 0.0), validation, first_rng)
            pupil.restore(without_prefix("pupil_", saved.state))
            brain = pupil.taken_up(brain)
            recorder.unpack(without_prefix("record_", saved.state), pupil.followed)
        best = recorder.surprise["validation"][best_epoch]
        interrupted = False

        def moment(state: State) -> Moment:
            record = prefixed("record_", recorder.pack())
            return Moment(epoch, best_epoch, brain, record | prefixed("pupil_", state))

        try:
            while epoch < lessons.max_epochs and epoch - best_epoch < lessons.patience:
                before = pupil.state() if keeper.keeps else {}
                try:
                    # Present every row once, a few at a time.
                    rng = generator(seed, stream, epoch + 1)
                    order = rng.permutation(n_rows)
                    for k, rows in enumerate(np.array_split(order, n_batches)):
                        if stop():
                            raise StopRequested
                        step = epoch * n_batches + k + 1
                        pace = lessons.pace(step, lessons.max_epochs * n_batches)
                        pupil.present(np.ascontiguousarray(taught[:, rows]), pace, rng, workers)
                    surprise = {name: pupil.surprise(p) for name, p in populations.items()}
                    check_finite(f"epoch {epoch + 1}", surprise, populations, pupil.fault)
                except StopRequested:
                    interrupted = True
                    if epoch > 0:
                        keeper.keep(lambda: moment(before), now=True)  # noqa: B023  (called at once)
                    break
                except Exception as error:
                    fault = pupil.fault()
                    if not is_divergence(error) and not fault:
                        raise
                    where = fault or str(error)
                    diverged = DivergedError(f"epoch {epoch + 1} diverged: {where}")
                    if isinstance(error, DivergedError):
                        diverged = error
                    keeper.diverged(diverged, moment(before), pupil.state())
                    raise diverged from error
                epoch += 1

                # Record, and keep.
                pupil.record(recorder, epoch, surprise)

                # Stop early: validation data alone decide.
                if surprise["validation"] < best:
                    best, best_epoch, brain = surprise["validation"], epoch, pupil.brain()
                keeper.keep(lambda: moment(pupil.state()))
                stop.defer()
                observe(Progress(epoch, surprise, best_epoch, time.monotonic() - began))
        except KeyboardInterrupt:
            interrupted = True
        if not interrupted:
            keeper.ended(moment(pupil.state()))
    pupil.end(recorder, brain)
    return brain, Outcome(best_epoch, interrupted, time.monotonic() - began)
