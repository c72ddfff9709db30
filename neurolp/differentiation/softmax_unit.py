"""p(label | x): an average of perceptrons with softmax outputs, and of boosted trees.

    p(c | x) = sum_r w_r exp(o_rc(x)) / sum_c' exp(o_rc'(x))

The members start as the frequencies of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.differentiation.boosted_labels import BoostedLabels, learn_boosted_labels
from neurolp.differentiation.ensemble import (
    Ensemble,
    EnsembleConfig,
    assign_folds,
    fit_ensemble,
    stack,
)

# Held-out rows are predicted by one member of each kind, new rows by their average, from which
# perceptrons gain more: weights this small are of trees that do not help. Log-loss of digits with
# trees of weight .1: .0295, without .0277.
_LEAST_SHARE = 0.2


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
class LabelUnit:
    """The probability of labels given inputs.

    The trees, if any, have the weight ``share``. ``held_out_score`` is the mean log p(label | x),
    nats, of rows held out.
    """

    ensemble: Ensemble
    boosted: BoostedLabels | None
    share: float
    held_out_score: float

    def log_proba(self, inputs: Array) -> Array:
        """Log p(c | x) in nats: ``inputs`` (n, n_inputs) -> (n, n_classes)."""
        weights, n_classes = self.ensemble.weights, self.ensemble.network.n_outputs
        out = np.empty((len(inputs), n_classes))
        for rows, outputs in self.ensemble.blocks(inputs):
            each = outputs - logsumexp(outputs, axis=2, keepdims=True)
            out[rows] = logsumexp(each, axis=0, b=weights[:, None, None])
        if self.boosted is not None:
            steps = self.boosted.log_proba(inputs)
            out = np.logaddexp(out + np.log(1.0 - self.share), steps + np.log(self.share))
        return np.asarray(out - logsumexp(out, axis=1, keepdims=True))


def learn_labels(
    inputs: Array,
    label: Array,
    n_classes: int,
    config: EnsembleConfig,
    seed: int,
    *,
    trees: bool = True,
    n_validation: int = 0,
) -> LabelUnit:
    """Learn p(label | x) from ``inputs`` (n, n_inputs) and ``label`` (n,) in 0 ... n_classes - 1.

    The last ``n_validation`` rows are for early stopping and the weights; without them the rows are
    split into folds, see ``assign_folds``. ``trees`` says whether boosted trees are in the average.
    """

    def begin(views: list[Array], r: int, rows: Array, x: Array) -> None:
        count = np.bincount(label[rows], minlength=n_classes)
        views[-2][r, 0] = np.log((count + 1.0) / (len(rows) + n_classes))

    n_train, rng = len(label) - n_validation, np.random.default_rng(seed)
    folds = assign_folds(n_train, n_validation, config, rng, label[:n_train])
    ensemble = fit_ensemble(inputs, label, n_classes, softmax_loss, begin, config, folds, rng)
    learned = None
    if trees:
        learned = learn_boosted_labels(inputs, label, n_classes, folds.of_one_strength(), rng)
    if learned is None:
        return LabelUnit(ensemble, None, 0.0, stack(ensemble.held_out)[1])
    boosted, steps = learned
    weights, score = stack(np.vstack([ensemble.held_out, steps]))
    if weights[-1] < _LEAST_SHARE:
        return LabelUnit(ensemble, None, 0.0, stack(ensemble.held_out)[1])
    ensemble = ensemble.weighted(weights[:-1] / weights[:-1].sum())
    return LabelUnit(ensemble, boosted, float(weights[-1]), score)
