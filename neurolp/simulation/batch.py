"""What processes that learn from a table share: splits of the data, scores, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.network import Network
from neurolp.errors import DivergedError, NonFiniteError
from neurolp.progress import RunProgress
from neurolp.simulation.checkpoint import first_fault


@dataclass
class Batch:
    """Trajectories that move through time together: one split of the data.

    ``potential`` (n_nodes, n_trajectories) is the state; ``log_det`` (n_trajectories,) the
    log-determinant so far, in nats, from the units of the data to the potentials.
    """

    potential: Array
    log_det: Array

    def surprise(self, network: Network) -> float:
        """Mean of -log Phi(x) = E(u) - log |det|, in nats and the units of the data.

        With clamped nodes, that of the moving ones given those.
        """
        moving = network.moving_rows(self.potential)
        energy = network.base_density.energy(moving).sum(axis=0, dtype=np.float64)
        return float(np.mean(energy - self.log_det))

    def copy(self) -> Batch:
        """The same trajectories in arrays of their own."""
        return Batch(self.potential.copy(), self.log_det.copy())


Batches = dict[str, Batch]  # by split: "train", "validation", perhaps "test"


@dataclass(frozen=True)
class Scores:
    """What is observed after each unit of time.

    ``surprise`` is the mean of -log Phi(x) by split, in nats; ``local_loss`` (n_nodes,) the mean
    local loss of each node on the training data in this unit, in nats; None where there is none.
    """

    surprise: dict[str, float]
    local_loss: Array | None = None


@dataclass(frozen=True)
class Progress:
    """What a progress display is told: time, surprise in nats by split, the best time, seconds.

    ``stage`` is empty while slices or epochs are counted; work that follows says what it is.
    """

    time: int
    surprise: dict[str, float]
    best_time: int
    elapsed: float
    stage: str = ""

    def shown(self, unit: str, total: int) -> RunProgress:
        """As it is shown of ``total`` slices or epochs, the ``unit``."""
        message = self.stage
        if not message:
            parts = [f"{name} {value:.3f}" for name, value in self.surprise.items()]
            message = f"surprise (nats): {', '.join(parts)}, best at {self.best_time}"
        return RunProgress(self.time, total, unit, message, self.elapsed)


@dataclass
class EarlyStopping:
    """The time of least validation surprise; learning stops ``patience`` units without a better."""

    patience: int
    best: float = math.inf
    best_time: int = 0

    def update(self, time: int, surprise: dict[str, float]) -> bool:
        """Take note of the scores at ``time``; whether they are the best so far."""
        better = surprise["validation"] < self.best
        if better:
            self.best, self.best_time = surprise["validation"], time
        return better

    def exhausted(self, time: int) -> bool:
        """Whether to stop."""
        return time - self.best_time >= self.patience

    def state(self) -> dict[str, Array]:
        """The best surprise and its time."""
        return {"best": np.array([self.best]), "best_time": np.array([self.best_time])}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue from :meth:`state`."""
        self.best, self.best_time = float(arrays["best"][0]), int(arrays["best_time"][0])


def is_divergence(error: Exception) -> bool:
    """Whether an error means by itself that numbers are not finite, or too large to continue.

    Other errors mean that only where the state is not finite; elsewhere they are bugs.
    """
    return isinstance(error, DivergedError | NonFiniteError | np.linalg.LinAlgError)


def batch_fault(batches: Batches) -> str:
    """Where the first number is that is not finite, with the split of the data; "" if all are."""
    for name, batch in batches.items():
        fault = first_fault({"potential": batch.potential})
        if not fault and not np.all(np.isfinite(batch.log_det)):
            row = int(np.flatnonzero(~np.isfinite(batch.log_det))[0])
            fault = f"all nodes, log-determinant: {batch.log_det[row]}"
        if fault:
            return f"{fault} ({name} data)"
    return ""


def check_scores(when: str, surprise: dict[str, float], fault: Callable[[], str]) -> None:
    """Raise :class:`DivergedError` unless all mean surprises are finite; ``fault`` says why."""
    for name, value in surprise.items():
        if not math.isfinite(value):
            where = fault() or "the energy of all nodes is too large"
            raise DivergedError(
                f"{when} diverged: {where}, and the mean surprise on {name} data is {value}"
            )


def unwarned() -> Any:
    """Context without NumPy's warnings of overflow and NaN: what is not finite is named instead."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")
