"""Parameters fitted to mini-batches, epoch by epoch: a process of the main loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, final

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.brain.workers import StopRequested, Workers
from neurolp.errors import DivergedError
from neurolp.simulation.batch import (
    Batch,
    Batches,
    EarlyStopping,
    Progress,
    Scores,
    batch_fault,
    check_scores,
    is_divergence,
    unwarned,
)
from neurolp.simulation.checkpoint import with_prefix, without_prefix

Arrays = dict[str, Array]
Model = TypeVar("Model")

# The first steps are smaller: the moments of Adam know little yet.
_WARM_UP = 20


class BatchLearner(Protocol[Model]):
    """Something whose parameters change with every mini-batch."""

    def step(
        self, potential: Array, pace: float, rng: np.random.Generator, workers: Workers
    ) -> None:
        """Learn from u(0) of a few rows, (n_visible, m), at the share ``pace`` of the full rate."""

    @property
    def model(self) -> Model:
        """The model as it would be used now; what is learned later does not change it."""

    def surprise(self, batch: Batch) -> float:
        """Mean of -log Phi(x) of that model, in nats and the units of the data."""

    def take_local_loss(self) -> Array | None:
        """Mean local loss of each node (n_nodes,) since the last call, in nats, if there is any."""

    def state(self) -> Arrays:
        """Everything that the next step depends on, in arrays of its own."""

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""

    def model_to_arrays(self, model: Model) -> Arrays:
        """The parameters of a model, by name."""

    def model_from_arrays(self, arrays: Arrays) -> Model:
        """The model of those parameters."""

    def fault(self) -> str:
        """The first node and variable with a number that is not finite, or ""."""


@dataclass(frozen=True)
class TrainingConfig:
    """At most ``max_epochs`` passes through all rows in mini-batches of ``batch_size`` rows.

    The rates fall to zero like a cosine over all epochs; learning stops earlier after
    ``patience`` epochs without a better best.
    """

    max_epochs: int
    patience: int
    batch_size: int

    def pace(self, step: int, n_steps: int) -> float:
        """Factor of the rates at step 1, 2, ... of ``n_steps``."""
        return min(1.0, step / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / n_steps))


@final
class EpochProcess(Generic[Model]):
    """A learner that is presented all rows of ``batches["train"]`` once in each unit of time.

    ``model`` is the one of least validation surprise so far, ``stopping.best_time`` its epoch.
    Further batches ("test") are only measured. Batches stay at time 0 of the evolution, and hold
    the visible nodes. Random numbers depend on the seed, the name of the ``stream`` and the epoch.

    Raises
    ------
    DivergedError
        If the mean surprise of the input is not finite.
    """

    def __init__(
        self,
        learner: BatchLearner[Model],
        config: TrainingConfig,
        batches: Batches,
        *,
        seed: int,
        n_threads: int | None = None,
        stream: str = "epoch",
    ) -> None:
        self.learner, self.batches = learner, batches
        self._config, self._seed, self._stream = config, seed, stream
        self._n_threads = n_threads
        self.time = 0
        self.stopping = EarlyStopping(config.patience)
        self.scores = self._scored("the input", lambda: batch_fault(batches))
        self.model = learner.model
        self.stopping.update(0, self.scores.surprise)

    @property
    def finished(self) -> bool:
        """Whether learning has stopped early."""
        return self.stopping.exhausted(self.time)

    def advance(self, n: int = 1, should_stop: Callable[[], bool] = lambda: False) -> Scores:
        """Learn for ``n`` epochs; the scores after the last. An interrupted epoch is undone."""
        for _ in range(n):
            before = self.learner.state()
            try:
                scores = self._epoch(self.time + 1, should_stop)
            except BaseException as error:
                diverged = self._diverged(error)
                self.learner.take_local_loss()
                self.learner.restore(before)
                if diverged is None:
                    raise
                raise diverged from error
            self.time, self.scores = self.time + 1, scores
            if self.stopping.update(self.time, scores.surprise):
                self.model = self.learner.model
        return self.scores

    def _epoch(self, epoch: int, should_stop: Callable[[], bool]) -> Scores:
        """Present every row once, a few at a time."""
        train = self.batches["train"].potential
        n_rows = train.shape[1]
        n_batches = -(-n_rows // self._config.batch_size)
        rng = generator(self._seed, self._stream, epoch)
        order = rng.permutation(n_rows)
        with Workers(self._n_threads, should_stop) as workers, unwarned():
            for k, rows in enumerate(np.array_split(order, n_batches)):
                if should_stop():
                    raise StopRequested
                step = (epoch - 1) * n_batches + k + 1
                pace = self._config.pace(step, self._config.max_epochs * n_batches)
                self.learner.step(np.ascontiguousarray(train[:, rows]), pace, rng, workers)
            return self._scored(f"epoch {epoch}", self.learner.fault)

    def state(self) -> Arrays:
        """State of the learner, the best model, early stopping, the number of epochs."""
        return (
            self.learner.model_to_arrays(self.model)
            | with_prefix("learner_", self.learner.state())
            | self.stopping.state()
            | {"epoch": np.array([self.time])}
        )

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""
        self.time = int(arrays["epoch"][0])
        self.learner.restore(without_prefix("learner_", arrays))
        self.model = self.learner.model_from_arrays(arrays)
        self.stopping.restore(arrays)
        self.scores = self._scored(f"epoch {self.time}", self.learner.fault)

    def fault(self) -> str:
        """Where the first number of the learner is that is not finite; "" if all are."""
        return self.learner.fault()

    def report(self, elapsed: float) -> Progress:
        """Scores of the last epoch."""
        return Progress(self.time, self.scores.surprise, self.stopping.best_time, elapsed)

    def _scored(self, when: str, fault: Callable[[], str]) -> Scores:
        with unwarned():
            surprise = {name: self.learner.surprise(b) for name, b in self.batches.items()}
        check_scores(when, surprise, fault)
        return Scores(surprise, self.learner.take_local_loss())

    def _diverged(self, error: BaseException) -> DivergedError | None:
        """The error with the state that is not finite; None where all is finite: that is a bug."""
        if not isinstance(error, Exception) or isinstance(error, StopRequested):
            return None
        fault = self.learner.fault()
        if not is_divergence(error) and not fault:
            return None
        if not isinstance(error, DivergedError):
            error = DivergedError(f"epoch {self.time + 1} diverged: {fault or error}")
        error.state = with_prefix("learner_", self.learner.state())
        return error
