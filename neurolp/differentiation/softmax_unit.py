"""p(label | x) by an ensemble of perceptrons with softmax outputs, averaged.

    p(c | x) = sum_r w_r exp(o_rc(x)) / sum_c' exp(o_rc'(x))

The members start as the frequencies of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from neurolp.differentiation.ensemble import (
    Ensemble,
    EnsembleConfig,
    Scaling,
    assign_folds,
    fit_ensemble,
)
from neurolp.differentiation.perceptron import Perceptron

Array = npt.NDArray[Any]


def softmax_loss(outputs: Array, label: Array) -> tuple[Array, Array]:
    """-log p(label) in nats, and its derivative by the outputs.

    ``outputs`` (..., n_classes), ``label`` (...) integers; loss (...), derivative (..., n_classes).
    """
    change = outputs - outputs.max(axis=-1, keepdims=True)
    position = label[..., None]
    chosen = np.take_along_axis(change, position, axis=-1)
    np.exp(change, out=change)
    total = change.sum(axis=-1, keepdims=True)
    change /= total
    loss = (np.log(total) - chosen)[..., 0]
    np.put_along_axis(
        change, position, np.take_along_axis(change, position, axis=-1) - 1.0, axis=-1
    )
    return loss, change


@dataclass(frozen=True)
class SoftmaxUnit:
    """The probabilities of labels 0, 1, ... given inputs."""

    ensemble: Ensemble
    scaling: Scaling

    def log_proba(self, inputs: Array) -> Array:
        """Log p(c | x) in nats: ``inputs`` (n, n_inputs) -> (n, n_classes)."""
        out = np.empty((len(inputs), self.ensemble.network.n_outputs))
        for rows, outputs in self.ensemble.blocks(self.scaling(inputs)):
            log_proba = outputs - logsumexp(outputs, axis=2, keepdims=True)
            out[rows] = logsumexp(log_proba, axis=0, b=self.ensemble.weights[:, None, None])
        return np.asarray(out - logsumexp(out, axis=1, keepdims=True))


def learn_labels(
    inputs: Array,
    label: Array,
    n_classes: int,
    config: EnsembleConfig,
    seed: int,
    *,
    n_validation: int = 0,
) -> SoftmaxUnit:
    """Learn p(label | x) from ``inputs`` (n, n_inputs) and ``label`` (n,) in 0 ... n_classes - 1.

    The last ``n_validation`` rows are for early stopping and the members' weights; without them the
    rows are split into folds (``neurolp.differentiation.ensemble``).
    """
    n_train = len(label) - n_validation
    scaling = Scaling.of(inputs[:n_train])
    rng = np.random.default_rng(seed)
    folds = assign_folds(n_train, n_validation, config, rng, strata=label[:n_train])
    network = Perceptron(inputs.shape[1], config.hidden, n_classes)
    start = network.start(len(folds.train), rng)
    for r, rows in enumerate(folds.train):
        count = np.bincount(label[rows], minlength=n_classes)
        network.views(start)[-2][r, 0] = np.log((count + 1.0) / (len(rows) + n_classes))
    ensemble = fit_ensemble(
        network, start, softmax_loss, scaling(inputs), label, folds, config, rng
    )
    return SoftmaxUnit(ensemble, scaling)
