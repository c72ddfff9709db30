"""A network that grows slice by slice, each learned greedily: a process of the main loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve_slices
from neurolp.brain.network import Network, Slice
from neurolp.brain.network_arrays import slices_from_arrays, slices_to_arrays
from neurolp.brain.rules.greedy import learn_slice
from neurolp.brain.rules.rule import LearningRule
from neurolp.brain.seeds import generator
from neurolp.brain.update_order import UpdateOrder, ordered_partition, random_rotation
from neurolp.brain.workers import StopRequested, Workers
from neurolp.errors import DivergedError, NonFiniteError
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


@dataclass(frozen=True)
class GreedyConfig:
    """When to stop, and what is drawn at random for each slice.

    Learning stops ``patience`` slices without a better best; ``update_order`` as in
    ``brain.update_order.ordered_partition``; ``rotation`` says whether each slice begins with one.
    """

    patience: int = 25
    update_order: UpdateOrder = "random_halves"
    rotation: bool = False


@final
class GreedyProcess:
    """A network whose next slice is learned on the training trajectories while they move through.

    ``network`` has the slices so far, past the best time too; ``stopping.best_time`` is where
    validation surprise was least. Further batches ("test") only follow. Random numbers depend on
    the seed and the slice alone.

    Raises
    ------
    DivergedError
        If the mean surprise of the input is not finite.
    """

    def __init__(
        self,
        network: Network,
        rule: LearningRule,
        config: GreedyConfig,
        batches: Batches,
        *,
        seed: int,
        n_threads: int | None = None,
    ) -> None:
        self.network, self.batches = network, batches
        self._rule, self._config = rule, config
        self._seed, self._n_threads = seed, n_threads
        self.stopping = EarlyStopping(config.patience)
        self.scores = self._scored("the input", batches, np.zeros(network.n_nodes))
        self.stopping.update(0, self.scores.surprise)

    @property
    def time(self) -> int:
        """Slices learned."""
        return len(self.network.slices)

    @property
    def finished(self) -> bool:
        """Whether learning has stopped early."""
        return self.stopping.exhausted(self.time)

    def advance(self, n: int = 1, should_stop: Callable[[], bool] = lambda: False) -> Scores:
        """Learn ``n`` slices; the scores after the last. A slice that is interrupted is undone."""
        for _ in range(n):
            self._advance(should_stop)
        return self.scores

    def _advance(self, should_stop: Callable[[], bool]) -> None:
        t = self.time + 1
        # Work on copies: until the slice is complete, nothing has happened.
        batches = {name: batch.copy() for name, batch in self.batches.items()}
        with Workers(self._n_threads, should_stop) as workers, unwarned():
            try:
                # Learn the slice while the training trajectories move through it ...
                slice_, local_loss = self._learn(t, batches["train"], workers)
                # ... and let the others follow.
                for name, batch in batches.items():
                    if name != "train":
                        evolve_slices(
                            self.network, [slice_], batch.potential, batch.log_det, workers
                        )
                scores = self._scored(f"slice {t}", batches, local_loss)
            except StopRequested:
                raise
            except Exception as error:
                diverged = self._diverged(f"slice {t}", batches, error)
                if diverged is None:
                    raise
                raise diverged from error
        self.batches, self.scores = batches, scores
        self.network.slices.append(slice_)
        self.stopping.update(t, scores.surprise)

    def _learn(self, t: int, train: Batch, workers: Workers) -> tuple[Slice, Array]:
        """Draw this slice's groups and rotation, and learn it."""
        network, config = self.network, self._config
        rng = generator(self._seed, "slice", t)
        clamped, n = network.clamped, network.n_nodes
        groups = ordered_partition(config.update_order, network.connectivity, rng, clamped)
        rotation = random_rotation(n, rng, clamped) if config.rotation else None
        return learn_slice(
            network, self._rule, groups, rotation, train.potential, train.log_det, workers, rng
        )

    def state(self) -> dict[str, Array]:
        """Parameters of all slices, trajectories of all batches, early stopping."""
        moved = {
            f"{name}_{what}": getattr(batch, what)
            for name, batch in self.batches.items()
            for what in ("potential", "log_det")
        }
        return slices_to_arrays(self.network) | moved | self.stopping.state()

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue from :meth:`state`."""
        self.network.slices = slices_from_arrays(self.network, arrays)
        self.batches = {
            name: Batch(arrays[f"{name}_potential"].copy(), arrays[f"{name}_log_det"].copy())
            for name in self.batches
        }
        self.stopping.restore(arrays)
        losses = np.zeros(self.network.n_nodes)
        self.scores = self._scored(f"slice {self.time}", self.batches, losses)

    def fault(self) -> str:
        """Where the first potential or log-determinant is that is not finite; "" if all are."""
        return batch_fault(self.batches)

    def report(self, elapsed: float) -> Progress:
        """Scores of the last slice."""
        return Progress(self.time, self.scores.surprise, self.stopping.best_time, elapsed)

    def _scored(self, when: str, batches: Batches, local_loss: Array) -> Scores:
        surprise = {name: batch.surprise(self.network) for name, batch in batches.items()}
        check_scores(when, surprise, lambda: batch_fault(batches))
        return Scores(surprise, local_loss)

    def _diverged(self, when: str, batches: Batches, error: Exception) -> DivergedError | None:
        """The error with the state that is not finite; None where all is finite: that is a bug."""
        fault = batch_fault(batches)
        if not is_divergence(error) and not fault:
            return None
        if not isinstance(error, DivergedError):
            # Parameters are checked before anything moves by them: there it began.
            where = str(error) if isinstance(error, NonFiniteError) else fault or str(error)
            error = DivergedError(f"{when} diverged: {where}")
        error.state = {f"{name}_potential": batch.potential for name, batch in batches.items()}
        return error
