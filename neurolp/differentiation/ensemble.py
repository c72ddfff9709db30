"""Committees: perceptrons of several strengths of regularisation and folds, averaged.

With folds, every row is validation for one member of each strength and training for the others.
The strengths' shares w_c maximise the held-out likelihood of the average
(``neurolp.brain.heads.stacking``), where p_c(i) is what the member that did not learn from row
i gives it. An average of normalised densities is normalised for any shares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.brain.heads.stacking import stacking_weights
from neurolp.brain.workers import single_threaded_blas
from neurolp.differentiation.perceptron import Perceptron
from neurolp.differentiation.perceptron_learning import Loss, Teaching, teach

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """Hidden layers, strengths of regularisation, members of each, and how they are taught.

    A strength is one of ``decays`` with one of ``noises`` (see ``teach``).
    ``n_folds`` is the number of members of each strength: as many folds, or, where validation rows
    are given, that many beginnings.
    """

    hidden: tuple[int, ...] = (64, 64)
    decays: tuple[float, ...] = (1.0,)
    noises: tuple[float, ...] = (0.0, 0.4)
    n_folds: int = 5
    teaching: Teaching = field(default_factory=Teaching)
    dtype: str = "float32"


@dataclass(frozen=True)
class Roles:
    """Row numbers that each member learns from, and is judged by, and how it is regularised.

    ``strength``, ``decay`` and ``noise`` (n_members,); members of one strength follow one another.
    """

    train: list[Array]
    validation: list[Array]
    strength: Array
    decay: Array
    noise: Array


@dataclass(frozen=True)
class Committee:
    """Members (n_members, size) of one shape and their ``shares`` of the average.

    ``epochs`` (n_members,) is when each was best; ``held_out`` (n,) the loss, in nats, of every
    validation row under the average of the members that did not learn from it.
    """

    shape: Perceptron
    parameters: Array
    shares: Array
    epochs: Array
    held_out: Array

    def outputs(self, inputs: Array) -> Array:
        """Outputs of all members at ``inputs`` (n, n_inputs): (n_members, n, n_outputs)."""
        with single_threaded_blas():
            return self.shape.forward(self.parameters, inputs[None])[0]


def assign(
    n_train: int,
    n_validation: int,
    plan: Plan,
    rng: np.random.Generator,
    strata: Array | None = None,
) -> Roles:
    """Who learns from which rows: the first ``n_train`` in folds if there are no others.

    Folds have equal shares of each of the ``strata`` (n_train,).
    """
    everything = np.arange(n_train + n_validation)
    if n_validation:
        train = [everything[:n_train]] * plan.n_folds
        validation = [everything[n_train:]] * plan.n_folds
    else:
        n_folds = min(plan.n_folds, n_train)
        order = rng.permutation(n_train)
        if strata is not None:
            order = order[np.argsort(strata[order], kind="stable")]
        validation = [np.sort(order[k::n_folds]) for k in range(n_folds)]
        train = [np.setdiff1d(everything, rows) for rows in validation]
    pairs = np.array(list(product(plan.decays, plan.noises)))
    strength = np.repeat(np.arange(len(pairs)), len(train))
    return Roles(train * len(pairs), validation * len(pairs), strength, *pairs[strength].T)


def gather(
    shape: Perceptron,
    start: Array,
    loss: Loss,
    inputs: Array,
    target: Array,
    roles: Roles,
    plan: Plan,
    rng: np.random.Generator,
) -> Committee:
    """Teach the members from ``start`` (n_members, size), and find their shares."""
    with single_threaded_blas():
        taught = teach(
            shape,
            start.astype(plan.dtype),
            roles.decay,
            roles.noise,
            loss,
            inputs,
            target,
            roles.train,
            roles.validation,
            plan.teaching,
            rng,
        )
        held_out = _held_out(shape, taught.parameters, loss, inputs, target, roles)
    n_each = len(start) // len(held_out)
    shares = stacking_weights(-held_out, prior=1.0)  # no share vanishes
    log_mean = np.logaddexp.reduce(np.log(shares)[:, None] - held_out, axis=0)
    return Committee(
        shape, taught.parameters, np.repeat(shares / n_each, n_each), taught.epochs, -log_mean
    )


def _held_out(
    shape: Perceptron, parameters: Array, loss: Loss, inputs: Array, target: Array, roles: Roles
) -> Array:
    """Loss of each validation row and strength of decay, (n_strengths, n_validation).

    Where members share their validation rows, that of the average of their probabilities.
    """
    n_strengths = int(roles.strength[-1]) + 1
    rows = np.unique(np.concatenate(roles.validation))
    place = np.empty(len(inputs), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    out = np.full((n_strengths, len(rows)), -np.inf)
    count = np.zeros((n_strengths, len(rows)))
    for member, mine in enumerate(roles.validation):
        c = roles.strength[member]
        outputs, _ = shape.forward(parameters[member : member + 1], inputs[None, mine])
        here = place[mine]
        out[c, here] = np.logaddexp(out[c, here], -loss(outputs, target[None, mine])[0][0])
        count[c, here] += 1
    return np.asarray(np.log(count) - out)
