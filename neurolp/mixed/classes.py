"""Mixtures of products over cells: latent classes, P(c) = sum_k w_k prod_j theta_k(c_j).

Every marginal is a sum too: the factors of missing columns are left out.

Source: P. F. Lazarsfeld and N. W. Henry, "Latent Structure Analysis" (1968), by expectation-
maximisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.workers import single_threaded_blas

_BLOCK_ELEMENTS = 1 << 23
_NUMBERS = (2, 4, 8, 16, 32, 64, 128)  # of classes, after 1
_PRIOR_ROWS = 1.0  # rows of the frequencies of all rows that each class has of its own
_MOST_STEPS, _TOLERANCE = 100, 1e-4  # nats a row


@dataclass(frozen=True)
class LatentClasses:
    """``weights`` (K,) of the classes, and ``log_theta`` (n_bins, K): column by column, by cell.

    The cells of column j are the bins ``offset[j]`` .. ``offset[j + 1] - 1``.
    """

    offset: Array
    weights: Array
    log_theta: Array

    def joint(self, cells: Array) -> Array:
        """Log w_k + sum_j log theta_k(c_j), nats: cells (n, n_columns), -1 left out -> (n, K)."""
        out = np.empty((len(cells), len(self.weights)))
        for rows in _blocks(len(cells), len(self.log_theta)):
            out[rows] = one_hot(cells[rows], self.offset) @ self.log_theta
        return np.asarray(out + np.log(self.weights))

    def log_prob(self, cells: Array) -> Array:
        """Log P of cells (n, n_columns) of which those that are -1 are summed over, (n,), nats."""
        return np.asarray(logsumexp(self.joint(cells), axis=1))

    def sample(self, cells: Array, rng: np.random.Generator) -> Array:
        """Rows whose cells -1 are drawn given the others."""
        joint = self.joint(cells)
        share = np.cumsum(np.exp(joint - joint.max(axis=1, keepdims=True)), axis=1)
        chosen = np.sum(rng.random((len(cells), 1)) * share[:, -1:] >= share, axis=1)
        out = cells.copy()
        for j, (a, b) in enumerate(zip(self.offset, self.offset[1:], strict=False)):
            gap = np.flatnonzero(cells[:, j] < 0)
            up_to = np.cumsum(np.exp(self.log_theta[a:b]), axis=0)[:, chosen[gap]]
            out[gap, j] = np.sum(rng.random(len(gap)) * up_to[-1] >= up_to, axis=0)
        return out


def fit_latent_classes(
    train: Array, validation: Array, n_cells: Array, rng: np.random.Generator
) -> LatentClasses:
    """Classes are doubled in number while the validation likelihood rises by a standard error."""
    offset = np.concatenate([[0], np.cumsum(n_cells)]).astype(np.int64)
    best = _fit(train, offset, 1, rng)
    score = best.log_prob(validation)
    for k in _NUMBERS:
        if k > len(train):
            break
        model = _fit(train, offset, k, rng)
        new = model.log_prob(validation)
        if not surely_better(new, score):
            break
        best, score = model, new
    return best


def surely_better(new: Array, old: Array) -> bool:
    """Whether the mean of ``new`` (n,) exceeds that of ``old`` by more than its standard error."""
    gain = new - old
    return bool(gain.mean() > gain.std() / np.sqrt(max(len(gain) - 1, 1)) and gain.mean() > 0)


def _fit(train: Array, offset: Array, n_classes: int, rng: np.random.Generator) -> LatentClasses:
    blocks = _blocks(len(train), int(offset[-1]))
    kept = [one_hot(train[rows], offset) for rows in blocks] if len(blocks) <= 16 else None
    share = rng.dirichlet(np.full(n_classes, 0.3), len(train))
    total = np.zeros(int(offset[-1]))
    for rows in blocks:
        total += one_hot(train[rows], offset).sum(axis=0)
    frequency = np.empty_like(total)
    for a, b in pairwise(offset):
        frequency[a:b] = (total[a:b] + 0.5) / (total[a:b].sum() + 0.5 * (b - a))
    old, steps = -np.inf, 0
    while True:
        counts = np.zeros((len(total), n_classes))
        with single_threaded_blas():
            for b, rows in enumerate(blocks):
                hot = kept[b] if kept else one_hot(train[rows], offset)
                counts += hot.T @ share[rows].astype(np.float32)
        counts += _PRIOR_ROWS * frequency[:, None]
        for a, b in pairwise(offset):
            counts[a:b] /= counts[a:b].sum(axis=0)
        weights = (share.sum(axis=0) + 1.0) / (len(train) + n_classes)
        model = LatentClasses(offset, weights, np.log(counts))
        log_theta, log_w = model.log_theta.astype(np.float32), np.log(weights)
        now = 0.0
        with single_threaded_blas():
            for b, rows in enumerate(blocks):
                hot = kept[b] if kept else one_hot(train[rows], offset)
                joint = hot @ log_theta + log_w
                top = joint.max(axis=1, keepdims=True)
                part = np.exp(joint - top)
                norm = part.sum(axis=1, keepdims=True)
                share[rows] = part / norm
                now += float((np.log(norm) + top).sum())
        steps += 1
        if n_classes == 1 or steps == _MOST_STEPS or now - old < _TOLERANCE * len(train):
            return model
        old = now


def one_hot(cells: Array, offset: Array) -> Array:
    """1 in the bin of every cell, (n, n_bins), float32; nothing where a cell is -1."""
    out = np.zeros((len(cells), int(offset[-1])), dtype=np.float32)
    row, column = np.nonzero(cells >= 0)
    out[row, offset[column] + cells[row, column]] = 1.0
    return out


def _blocks(n_rows: int, n_bins: int) -> list[slice]:
    step = max(_BLOCK_ELEMENTS // max(n_bins, 1), 1)
    return [slice(a, a + step) for a in range(0, n_rows, step)]
