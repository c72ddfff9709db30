"""The loop of repeated presentation: mini-batches, a measurement after each epoch, early stopping.

The twin of :mod:`neurolp.simulation`, in which time passes once and every slice is learned when its
time has come. Here all parameters are there from the beginning and change together while the input
is presented again and again: the unit of learning is the *epoch*, one pass through the training
data. Who learns, and from what, is a ``neurolp.pupils.Pupil``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from neurolp.brain.parallel import StopRequested, Workers
from neurolp.pupils import Pupil
from neurolp.simulation import Outcome, Population, Progress, check_finite, stop_on_interrupt
from neurolp.trajectory.recorder import Recorder

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
) -> tuple[Brain, Outcome]:
    """Teach ``populations["train"]``; return the brain of least validation surprise.

    Time 0 is before learning. Further populations ("test") are only watched. Populations stay at
    time 0 of the evolution, and hold the visible nodes.

    Ctrl-C stops within one presentation; the best brain so far stands.

    Raises
    ------
    NeurolpError
        If a surprise is no longer finite.
    """
    began = time.monotonic()
    taught = populations["train"].potential
    n_rows = taught.shape[1]
    n_batches = -(-n_rows // lessons.batch_size)

    with stop_on_interrupt() as stopped, Workers(n_threads, stopped) as workers:
        # Before any learning.
        surprise = {name: pupil.surprise(p) for name, p in populations.items()}
        best, best_epoch, brain = surprise["validation"], 0, pupil.brain()
        validation = populations["validation"].potential
        pupil.begin(recorder, surprise, validation, np.random.default_rng([seed, 0]))
        interrupted = False

        for epoch in range(1, lessons.max_epochs + 1):
            try:
                # Present every row once, a few at a time.
                rng = np.random.default_rng([seed, epoch])
                order = rng.permutation(n_rows)
                for k, rows in enumerate(np.array_split(order, n_batches)):
                    if stopped():
                        raise StopRequested
                    step = (epoch - 1) * n_batches + k + 1
                    pace = lessons.pace(step, lessons.max_epochs * n_batches)
                    pupil.present(np.ascontiguousarray(taught[:, rows]), pace, rng, workers)
            except StopRequested:
                interrupted = True
                break

            # Measure and record.
            surprise = {name: pupil.surprise(p) for name, p in populations.items()}
            check_finite(f"epoch {epoch}", surprise)
            pupil.record(recorder, epoch, surprise)

            # Stop early: validation data alone decide.
            if surprise["validation"] < best:
                best, best_epoch, brain = surprise["validation"], epoch, pupil.brain()
            observe(Progress(epoch, surprise, best_epoch, time.monotonic() - began))
            if epoch - best_epoch >= lessons.patience:
                break
    pupil.end(recorder, brain)
    return brain, Outcome(best_epoch, interrupted, time.monotonic() - began)
