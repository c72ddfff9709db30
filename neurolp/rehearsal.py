"""The main loop of a brain with shared parameters: present minibatches again and again, and learn.

The counterpart of ``simulation.simulate``, in which every slice of time has its own parameters and
time passes once. Here one set of parameters serves all times, so the same input is presented anew
after each change: the unit of learning is the *epoch*, one pass through the training data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from neurolp.brain.form import Form
from neurolp.brain.parallel import single_threaded_blas
from neurolp.simulation import Outcome, Population, Progress, check_finite, stop_on_interrupt
from neurolp.trajectory.recorder import Recorder

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Form)

# The rates of all rules fall like 1 / (1 + epoch / _DECAY): minibatch noise dies out.
_DECAY = 3.0


@dataclass(frozen=True)
class Rehearsal:
    """At most ``max_epochs``, and ``patience`` epochs without a better best; rows in a batch."""

    max_epochs: int
    patience: int
    batch_size: int


def rehearse(
    form: F,
    learn: Callable[[F, Array, float], tuple[F, Array]],
    rehearsal: Rehearsal,
    populations: dict[str, Population],
    recorder: Recorder,
    *,
    seed: int,
    observe: Callable[[Progress], None] = lambda progress: None,
) -> tuple[F, Outcome]:
    """Learn on minibatches of ``populations["train"]`` and return the best form on validation.

    ``learn(form, batch, share)`` takes u(0) of a batch, (n_nodes, m), and the present share of the
    full rate; it returns the new form and the mean local loss of every node. Populations stay at
    time 0. Frames recorded at time 0 are the potentials presented, afterwards those at time T.

    Ctrl-C stops between two batches; the epochs completed so far stand.

    Raises
    ------
    NeurolpError
        If a surprise is no longer finite.
    """
    began = time.monotonic()
    interrupted = False
    with stop_on_interrupt() as stopped, single_threaded_blas():
        # Present the input: time 0, before any learning.
        train, validation = populations["train"].potential, populations["validation"].potential
        surprise = {name: _surprise(form, p) for name, p in populations.items()}
        best, best_form, best_time = surprise["validation"], form, 0
        recorder.start(surprise, validation)
        n_batches = max(train.shape[1] // rehearsal.batch_size, 1)

        for epoch in range(1, rehearsal.max_epochs + 1):
            # Learn, batch by batch.
            order = np.random.default_rng([seed, epoch]).permutation(train.shape[1])
            share = 1 / (1 + (epoch - 1) / _DECAY)
            losses = []
            for batch in np.array_split(order, n_batches):
                if interrupted := stopped():
                    break
                form, loss = learn(form, np.ascontiguousarray(train[:, batch]), share)
                losses.append(loss)
            if interrupted:
                break

            # Measure and record.
            surprise = {name: _surprise(form, p) for name, p in populations.items()}
            check_finite(f"epoch {epoch}", surprise)
            end, _ = form.evolve(validation)
            recorder.record(epoch, surprise, np.mean(losses, axis=0), end)

            # Stop early: validation data alone decide.
            if surprise["validation"] < best:
                best, best_form, best_time = surprise["validation"], form, epoch
            observe(Progress(epoch, surprise, best_time, time.monotonic() - began))
            if epoch - best_time >= rehearsal.patience:
                break
    return best_form, Outcome(best_time, interrupted, time.monotonic() - began)


def _surprise(form: Form, population: Population) -> float:
    """Mean of -log Phi(x) as the form claims it, in nats and the units of the data."""
    return float(-np.mean(form.log_prob(population.potential) + population.log_det))
