"""A form of the paper as a learner of mini-batches, for ``simulation.epochs.EpochProcess``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, final

import numpy as np
import numpy.typing as npt

from neurolp.brain.form import LearnedForm
from neurolp.brain.workers import Workers
from neurolp.paper.learning import Adam
from neurolp.simulation.batch import Batch

Array = npt.NDArray[Any]
F = TypeVar("F", bound=LearnedForm)


@final
class FormLearner(Generic[F]):
    """One of the paper's forms.

    ``step(form, batch, pace)`` returns the form after a batch u(0), (n_nodes, m), and the mean
    local loss of every node; ``adam`` is what it remembers from one batch to the next.
    """

    def __init__(
        self,
        form: F,
        step: Callable[[F, Array, float], tuple[F, Array]],
        adam: Adam,
        validation: Batch,
    ) -> None:
        self._form, self._step, self._adam = form, step, adam
        self._validation = validation
        self._losses: list[Array] = []

    def step(
        self, potential: Array, pace: float, rng: np.random.Generator, workers: Workers
    ) -> None:
        """One step of the form's own rule."""
        self._form, loss = self._step(self._form, potential, pace)
        self._losses.append(loss)

    @property
    def model(self) -> F:
        """The form, which is never changed in place."""
        return self._form

    def frame(self, time: int) -> Array:
        """Potentials of the validation data (n_nodes, n_trajectories) at the end of time.

        After ``time`` epochs; before the first, the batch itself.
        """
        start = self._validation.potential
        return self._form.evolve(start)[0] if time else start

    def surprise(self, batch: Batch) -> float:
        """Mean of -log Phi(x) as the form claims it."""
        return float(-np.mean(self._form.log_prob(batch.potential) + batch.log_det))

    def take_local_loss(self) -> Array:
        """Mean local loss of each node since the last call; zero before the first step."""
        losses, self._losses = self._losses, []
        return np.mean(losses, axis=0) if losses else np.zeros(self._form.n_nodes)

    def state(self) -> dict[str, Array]:
        """Parameters of the form and moments of Adam; none of them is changed in place."""
        adam = {f"adam_{name}": values for name, values in self._adam.state().items()}
        return self._form.parameters() | adam

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue."""
        self._form = self._form.with_parameters(arrays)
        n = len("adam_")
        self._adam.restore({k[n:]: v for k, v in arrays.items() if k.startswith("adam_")})

    def model_to_arrays(self, model: F) -> dict[str, Array]:
        """Its parameters."""
        return {f"best_{name}": values for name, values in model.parameters().items()}

    def model_from_arrays(self, arrays: dict[str, Array]) -> F:
        """The form of these parameters."""
        n = len("best_")
        found = {k[n:]: v for k, v in arrays.items() if k.startswith("best_")}
        return self._form.with_parameters(found)

    def fault(self) -> str:
        """Among the parameters, or the potentials at the end of time."""
        for name, values in (self._form.parameters() | {"potential": self.frame(1)}).items():
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                return f"node {bad[0][0]}, {name}: {values[tuple(bad[0])]}"
        return ""
