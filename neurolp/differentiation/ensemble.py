"""Ensembles of perceptrons: folds, strengths of regularisation, and weights by stacking.

With folds, every row is a validation row of one member of each strength and a training row of the
others. The strengths are weighted so that the held-out likelihood of their average is greatest
(``neurolp.brain.heads.head``). An average of normalised densities is normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.heads.head import stacking_weights
from neurolp.brain.workers import single_threaded_blas
from neurolp.differentiation.perceptron import Loss, Perceptron, TrainingConfig, fit_members

_BLOCK_ELEMENTS = 1 << 19  # bounds memory
_FARTHEST = 1e15  # so that outputs are finite, in single precision too


@dataclass(frozen=True)
class EnsembleConfig(TrainingConfig):
    """Hidden layers, strengths of regularisation, and how the members are trained.

    A strength is one of ``decays`` with one of ``input_noise`` (see ``fit_members``). Each strength
    has ``n_members``: one for each fold, or, where validation rows are given, so many with
    different initial weights.
    """

    hidden: tuple[int, ...] = (64, 64)
    decays: tuple[float, ...] = (1.0,)
    input_noise: tuple[float, ...] = (0.0, 0.4)
    n_members: int = 5


@dataclass(frozen=True)
class Folds:
    """Numbers of the training and validation rows of each member, and its regularisation.

    ``strength``, ``decay`` and ``noise`` (n_members,); members of one strength follow one another.
    """

    train: list[Array]
    validation: list[Array]
    strength: Array
    decay: Array
    noise: Array

    def of_one_strength(self) -> list[tuple[Array, Array]]:
        """Training and validation rows of the members of a strength: they are those of all."""
        mine = self.strength == 0
        pairs = zip(self.train, self.validation, mine, strict=True)
        return [(train, validation) for train, validation, first in pairs if first]


@dataclass(frozen=True)
class Scaling:
    """Inputs in standard units: (x - ``mean``) / ``scale`` for x (n, n_inputs), 0 where missing.

    The inputs numbered ``gaps``, which had missing values (NaN) in training, are followed by
    columns that say where: 0 and 1 in standard units, of means ``gap_share``.
    """

    mean: Array
    scale: Array
    gaps: Array
    gap_share: Array

    @classmethod
    def of(cls, inputs: Array) -> Self:
        """Mean and standard deviation of training rows; inf where constant, which becomes 0."""
        share = np.isnan(inputs).mean(axis=0)
        gaps = np.flatnonzero(share > 0)
        if not len(gaps):
            mean, scale = inputs.mean(axis=0), inputs.std(axis=0)
        else:
            empty = share == 1
            known = np.where(empty, 0.0, inputs)
            mean, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        varies = scale > 4 * np.finfo(np.float64).eps * abs(mean)
        return cls(mean, np.where(varies, scale, np.inf), gaps, share[gaps])

    def __call__(self, inputs: Array) -> Array:
        """Inputs in standard units, (n, n_inputs + n_gaps), at most ``_FARTHEST`` from 0."""
        with np.errstate(over="ignore"):
            out = np.clip((inputs - self.mean) / self.scale, -_FARTHEST, _FARTHEST)
        missing = np.isnan(inputs)
        if not len(self.gaps) and not np.any(missing):
            return out
        spread = np.sqrt(np.maximum(self.gap_share * (1.0 - self.gap_share), 1e-12))
        where = (missing[:, self.gaps] - self.gap_share) / spread
        return np.hstack([np.where(missing, 0.0, out), where])


@dataclass(frozen=True)
class Ensemble:
    """Fitted members: ``parameters`` (n_members, size) of one ``network``, and their ``weights``.

    ``held_out`` (n_strengths, n) is the log-probability, in nats, of every validation row under the
    average of the members of each strength that were not trained on it.
    """

    network: Perceptron
    scaling: Scaling
    parameters: Array
    weights: Array
    held_out: Array

    def weighted(self, strengths: Array) -> Ensemble:
        """The same members with weights for the ``strengths``, (n_strengths,)."""
        n_each = len(self.weights) // len(strengths)
        return replace(self, weights=np.repeat(strengths / n_each, n_each))

    def blocks(self, inputs: Array, multiple: int = 1) -> Iterator[tuple[slice, Array]]:
        """Blocks of rows of ``inputs`` (n, n_inputs), and the outputs of all members there.

        Outputs have the shape (n_members, n_rows, n_outputs); n_rows is a ``multiple``.
        """
        inputs = self.scaling(inputs)
        widest = max(self.network.n_outputs, *self.network.hidden, 1)
        step = max(_BLOCK_ELEMENTS // (len(self.weights) * widest * multiple), 1) * multiple
        for start in range(0, max(len(inputs), 1), step):
            rows = slice(start, start + step)
            with single_threaded_blas():
                outputs = self.network.forward(self.parameters, inputs[None, rows])[0]
            yield rows, outputs


def assign_folds(
    n_train: int,
    n_validation: int,
    config: EnsembleConfig,
    rng: np.random.Generator,
    strata: Array | None = None,
) -> Folds:
    """Training and validation rows of the members.

    The first ``n_train`` rows are split into folds, with equal shares of each of the ``strata``
    (n_train,), unless validation rows follow them: then these are the validation rows of all.
    """
    everything = np.arange(n_train + n_validation)
    if n_validation:
        train = [everything[:n_train]] * config.n_members
        validation = [everything[n_train:]] * config.n_members
    else:
        n_folds = min(config.n_members, n_train)
        order = rng.permutation(n_train)
        if strata is not None:
            order = order[np.argsort(strata[order], kind="stable")]
        validation = [np.sort(order[k::n_folds]) for k in range(n_folds)]
        train = [np.setdiff1d(everything, rows) for rows in validation]
    pairs = np.array(list(product(config.decays, config.input_noise)))
    strength = np.repeat(np.arange(len(pairs)), len(train))
    return Folds(train * len(pairs), validation * len(pairs), strength, *pairs[strength].T)


def fit_ensemble(
    inputs: Array,
    target: Array,
    n_outputs: int,
    loss: Loss,
    begin: Callable[[list[Array], int, Array, Array], None],
    config: EnsembleConfig,
    folds: Folds,
    rng: np.random.Generator,
    give_up: float = np.inf,
) -> Ensemble:
    """Train the members on ``inputs`` (n, n_inputs) and ``target`` (n,), and find their weights.

    ``begin(views, r, rows, inputs)`` sets what is not random at the start of member ``r``, from the
    numbers of its training rows and scaled inputs. Strengths that are more than ``give_up`` nats a
    row worse than the best are not trained to the end (see ``fit_members``).
    """
    scaling = Scaling.of(inputs[np.unique(np.concatenate(folds.train))])
    inputs = scaling(inputs)
    if target.dtype.kind == "f":  # of validation rows it may be anything
        target = np.clip(target, -_FARTHEST, _FARTHEST)
    network = Perceptron(inputs.shape[1], config.hidden, n_outputs)
    start = network.start(len(folds.train), rng)
    for r, rows in enumerate(folds.train):
        begin(network.views(start), r, rows, inputs)
    with single_threaded_blas():
        parameters, _ = fit_members(
            network,
            start.astype(np.float32),
            folds.decay,
            folds.noise,
            loss,
            inputs,
            target,
            folds.train,
            folds.validation,
            config,
            rng,
            folds.strength,
            give_up,
        )
        held_out = _held_out(network, parameters, loss, inputs, target, folds)
    ensemble = Ensemble(network, scaling, parameters, np.empty(len(start)), held_out)
    return ensemble.weighted(stack(held_out)[0])


def stack(held_out: Array) -> tuple[Array, float]:
    """Weights (n_models,) of the greatest held-out likelihood, none 0, and its mean in nats.

    ``held_out`` (n_models, n) are log-probabilities.
    """
    weights = stacking_weights(held_out, prior=1.0)
    return weights, float(logsumexp(held_out, axis=0, b=weights[:, None]).mean())


def _held_out(
    network: Perceptron, parameters: Array, loss: Loss, inputs: Array, target: Array, folds: Folds
) -> Array:
    """Log-probability of each validation row for each strength, (n_strengths, n_validation).

    Where members share their validation rows, that of the average of their probabilities.
    """
    n_strengths = int(folds.strength[-1]) + 1
    rows = np.unique(np.concatenate(folds.validation))
    position = np.empty(len(inputs), dtype=np.int64)
    position[rows] = np.arange(len(rows))
    out = np.full((n_strengths, len(rows)), -np.inf)
    count = np.zeros((n_strengths, len(rows)))
    for member, mine in enumerate(folds.validation):
        c = folds.strength[member]
        outputs, _ = network.forward(parameters[member : member + 1], inputs[None, mine])
        here = position[mine]
        out[c, here] = np.logaddexp(out[c, here], -loss(outputs, target[None, mine])[0][0])
        count[c, here] += 1
    return np.asarray(out - np.log(count))
