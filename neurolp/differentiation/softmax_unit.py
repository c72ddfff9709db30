"""p(label | x) by an ensemble of perceptrons with softmax outputs, averaged.

    p(c | x) = sum_r w_r exp(o_rc(x)) / sum_c' exp(o_rc'(x))

The members start as the frequencies of the labels.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.differentiation.ensemble import Ensemble, EnsembleConfig, fit_ensemble


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


def log_proba(ensemble: Ensemble, inputs: Array) -> Array:
    """Log p(c | x) in nats: ``inputs`` (n, n_inputs) -> (n, n_classes)."""
    out = np.empty((len(inputs), ensemble.network.n_outputs))
    for rows, outputs in ensemble.blocks(inputs):
        each = outputs - logsumexp(outputs, axis=2, keepdims=True)
        out[rows] = logsumexp(each, axis=0, b=ensemble.weights[:, None, None])
    return np.asarray(out - logsumexp(out, axis=1, keepdims=True))


def learn_labels(
    inputs: Array,
    label: Array,
    n_classes: int,
    config: EnsembleConfig,
    seed: int,
    *,
    n_validation: int = 0,
) -> Ensemble:
    """Learn p(label | x) from ``inputs`` (n, n_inputs) and ``label`` (n,) in 0 ... n_classes - 1.

    ``n_validation`` as of :func:`fit_ensemble`.
    """

    def begin(views: list[Array], r: int, rows: Array, x: Array) -> None:
        count = np.bincount(label[rows], minlength=n_classes)
        views[-2][r, 0] = np.log((count + 1.0) / (len(rows) + n_classes))

    strata = label[: len(label) - n_validation]
    return fit_ensemble(
        inputs, label, n_classes, softmax_loss, begin, config, seed, n_validation, strata
    )
