"""p(label | x) by boosted trees: scores of the classes, averaged over folds, and their softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_softmax

from neurolp.arrays import Array
from neurolp.differentiation.boosted_trees import (
    FEWEST_ROWS,
    BinnedRows,
    Binning,
    BoostedTrees,
    Fold,
    Growth,
    folds_of,
    grow_label_trees,
)
from neurolp.progress import report

_LEAVES = (4, 16)
_GROWTH = Growth(n_rounds=300, step=0.1, ridge=1.0, patience=20)
_SIZE_RACE = replace(_GROWTH, n_rounds=60, step=0.3, patience=10)
_MOST_RACERS, _RACE_PARTS = 2000, 3


@dataclass(frozen=True)
class BoostedLabels:
    """p(c | x) = exp(F_c(x)) / sum_c' exp(F_c'(x)) with the ``scores`` F_c, trees for each class.

    Inputs may be NaN.
    """

    scores: tuple[BoostedTrees, ...]

    def log_proba(self, inputs: Array) -> Array:
        """Log p(c | x) in nats: ``inputs`` (n, n_inputs) -> (n, n_classes)."""
        scores = np.column_stack([trees.predict(inputs) for trees in self.scores])
        return np.asarray(log_softmax(scores, axis=1))


def learn_boosted_labels(
    inputs: Array, label: Array, n_classes: int, folds: Sequence[Fold], rng: np.random.Generator
) -> tuple[BoostedLabels, Array] | None:
    """Trees, and the log p(label | x), nats, of held-out rows; None where there are too few rows.

    There is a member for each of ``folds``; their scores are averaged. Held-out rows, in increasing
    order, are all those that are held out in one of these.
    """
    known = np.unique(np.concatenate([learned for learned, _ in folds]))
    if min(len(learned) for learned, _ in folds) < FEWEST_ROWS or not inputs.shape[1]:
        return None
    report("growing trees")
    rows = BinnedRows.of(Binning.of(inputs[known]), inputs)
    race = folds_of(np.array_split(rng.permutation(known)[:_MOST_RACERS], _RACE_PARTS))
    scores = []
    for n_leaves in _LEAVES:
        growth = replace(_SIZE_RACE, n_leaves=n_leaves)
        _, trial = grow_label_trees(rows, label, n_classes, race, growth, rng)
        scores.append(np.nanmean(_log_prob(trial, label)))
    growth = replace(_GROWTH, n_leaves=_LEAVES[int(np.argmax(scores))])
    trees, predicted = grow_label_trees(rows, label, n_classes, folds, growth, rng)
    held = np.unique(np.concatenate([held_out for _, held_out in folds]))
    return BoostedLabels(trees), _log_prob(predicted, label)[held]


def _log_prob(scores: Array, label: Array) -> Array:
    """Log p(label), nats, (n,)."""
    return np.asarray(log_softmax(scores, axis=1)[np.arange(len(label)), label])
