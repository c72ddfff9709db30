"""Mixtures of products over groups of cells: latent classes, P(g) = sum_k w_k prod_j theta_k(g_j).

Every marginal is a sum too: the factors of missing columns are left out.

Source: P. F. Lazarsfeld and N. W. Henry, "Latent Structure Analysis" (1968), by expectation-
maximisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.workers import Workers
from neurolp.kernels import latent_classes as kernels
from neurolp.mixed.groups import CellGroups

_BLOCK_ROWS = 4096
_NUMBERS = (2, 4, 8, 16, 32, 64, 128)  # of classes, after 1
_PRIOR_ROWS = 1.0  # rows of the frequencies of all rows that each class has of its own
_MOST_STEPS, _TOLERANCE = 100, 3e-4  # nats a row


@dataclass(frozen=True)
class _SparseRows:
    """Rows of cells as lists of the bins that are not the ``usual`` ones of their columns.

    Column j has the bins ``offset[j]`` .. ``offset[j + 1] - 1``: its cells, and missing, the last.
    Row i lists ``bins[start[i]:start[i + 1]]``.
    """

    offset: Array
    usual: Array
    start: Array
    bins: Array

    @classmethod
    def of(cls, cells: Array, n_cells: Array, usual: Array) -> _SparseRows:
        """Lists for cells (n_rows, n_columns), -1 if missing; ``usual`` (n_columns,) are cells."""
        offset = np.concatenate([[0], np.cumsum(n_cells + 1)]).astype(np.int64)
        code = np.where(cells < 0, n_cells, cells)
        other = code != usual
        start = np.concatenate([[0], np.cumsum(other.sum(axis=1))]).astype(np.int64)
        bins = (code + offset[:-1])[other].astype(np.int32)
        return cls(offset, usual + offset[:-1], start, bins)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.start) - 1

    def differences(self, log_theta: Array) -> tuple[Array, Array]:
        """Sum of ``log_theta`` (cells of all columns, K) at the usual bins, (K,).

        And what each bin adds to it, (n_bins, K); missing cells have no factor.
        """
        after = self.offset[1:] - np.arange(1, len(self.offset))
        table = np.insert(log_theta, after, 0.0, axis=0)
        usual = table[self.usual]
        return usual.sum(axis=0), table - np.repeat(usual, np.diff(self.offset), axis=0)

    def counts(self, listed: Array, weights: Array) -> Array:
        """Sums over the rows of each cell, (cells of all columns, K), from those that list it.

        ``listed`` (n_bins, K); ``weights`` (K,) are the sums over all rows.
        """
        out = listed.copy()
        out[self.usual] = weights - np.add.reduceat(listed, self.offset[:-1], axis=0)
        return np.asarray(np.delete(out, self.offset[1:] - 1, axis=0))


@dataclass(frozen=True)
class LatentClasses:
    """``weights`` (K,) of the classes, and ``log_theta`` (n_bins, K): column by column, by group.

    The ``groups`` of the cells of column j are the bins ``offset[j]`` .. ``offset[j + 1] - 1``.
    """

    groups: CellGroups
    offset: Array
    weights: Array
    log_theta: Array

    def log_prob(self, cells: Array) -> Array:
        """Log P of cells (n, n_columns) of which those that are -1 are summed over, (n,), nats."""
        mixed = self._scores(cells, kernels.class_log_prob, ())
        return np.asarray(mixed + self.groups.log_inner(cells))

    def _scores(self, cells: Array, kernel: Callable[..., None], shape: tuple[int, ...]) -> Array:
        """What a kernel finds for the groups of every row, (n, *shape)."""
        out = np.empty((len(cells), *shape))
        probability = np.exp(self.log_theta) @ self.weights
        usual = np.array([np.argmax(probability[a:b]) for a, b in pairwise(self.offset)])

        def run(rows: slice) -> None:
            groups = self.groups.coarse(cells[rows])
            lists = _SparseRows.of(groups, np.diff(self.offset), usual)
            base, delta = lists.differences(self.log_theta)
            kernel(lists.start, lists.bins, base + np.log(self.weights), delta, out[rows])

        with Workers() as workers:
            workers.map(run, row_blocks(len(cells)))
        return out

    def sample(self, cells: Array, rng: np.random.Generator) -> Array:
        """Rows whose cells -1 are drawn given the others."""
        joint = self._scores(cells, kernels.class_scores, (len(self.weights),))
        share = np.cumsum(np.exp(joint - joint.max(axis=1, keepdims=True)), axis=1)
        chosen = np.sum(rng.random((len(cells), 1)) * share[:, -1:] >= share, axis=1)
        theta = np.exp(self.log_theta.T)
        up_to = np.hstack([np.cumsum(theta[:, a:b], axis=1) for a, b in pairwise(self.offset)])
        uniform, out = rng.random(cells.shape), np.empty_like(cells)
        known = self.groups.coarse(cells)
        kernels.draw_cells(known, chosen, self.offset, up_to, uniform, out)
        return self.groups.draw(cells, out, rng)


def fit_latent_classes(
    train: Array, validation: Array, groups: CellGroups, rng: np.random.Generator
) -> LatentClasses:
    """Classes are doubled in number while the validation likelihood rises by a standard error."""
    mine = groups.coarse(train)
    usual = np.array([np.bincount(c[c >= 0], minlength=1).argmax() for c in mine.T])
    lists = _SparseRows.of(mine, groups.n_groups, usual)
    best = _fit(lists, groups, 1, rng)
    score = best.log_prob(validation)
    for k in _NUMBERS:
        if k > len(train):
            break
        model = _fit(lists, groups, k, rng)
        new = model.log_prob(validation)
        if not surely_better(new, score):
            break
        best, score = model, new
    return best


def surely_better(new: Array, old: Array) -> bool:
    """Whether the mean of ``new`` (n,) exceeds that of ``old`` by more than its standard error."""
    gain = new - old
    return bool(gain.mean() > gain.std() / np.sqrt(max(len(gain) - 1, 1)) and gain.mean() > 0)


def _fit(
    rows: _SparseRows, groups: CellGroups, n_classes: int, rng: np.random.Generator
) -> LatentClasses:
    offset = np.concatenate([[0], np.cumsum(groups.n_groups)]).astype(np.int64)
    n, n_bins, blocks = rows.n_rows, int(rows.offset[-1]), row_blocks(rows.n_rows)
    share = rng.dirichlet(np.full(n_classes, 0.3), n)
    weights, listed = share.sum(axis=0), np.zeros((n_bins, n_classes))
    kernels.add_shares(rows.start, rows.bins, share, listed)
    everyone = np.ones((n, 1))
    frequency = np.zeros((n_bins, 1))
    kernels.add_shares(rows.start, rows.bins, everyone, frequency)
    frequency = _normalised(rows.counts(frequency, everyone.sum(axis=0)) + 0.5, offset)

    def expect(block: slice) -> tuple[float, Array, Array]:
        own, its_bins = np.zeros(n_classes), np.zeros((n_bins, n_classes))
        total = kernels.expectation(
            block.start, block.stop, rows.start, rows.bins, base, delta, own, its_bins
        )
        return total, own, its_bins

    old, steps = -np.inf, 0
    with Workers() as workers:
        while True:
            counts = rows.counts(listed, weights) + _PRIOR_ROWS * frequency
            log_theta = np.log(_normalised(counts, offset))
            model = LatentClasses(groups, offset, (weights + 1.0) / (n + n_classes), log_theta)
            if n_classes == 1 or steps == _MOST_STEPS:
                return model
            base, delta = rows.differences(log_theta)
            base = base + np.log(model.weights)
            parts = workers.map(expect, blocks)
            now = sum(total for total, *_ in parts)
            if now - old < _TOLERANCE * n:
                return model
            old, steps = now, steps + 1
            weights = np.sum([own for _, own, _ in parts], axis=0)
            listed = np.sum([its_bins for *_, its_bins in parts], axis=0)


def _normalised(counts: Array, offset: Array) -> Array:
    """Counts (cells of all columns, K) divided by their sums over each column."""
    total = np.add.reduceat(counts, offset[:-1], axis=0)
    return np.asarray(counts / np.repeat(total, np.diff(offset), axis=0))


def row_blocks(n_rows: int) -> list[slice]:
    """Slices of all rows, whose number depends on that of the rows alone."""
    edges = range(0, n_rows, _BLOCK_ROWS)
    return [slice(a, min(a + _BLOCK_ROWS, n_rows)) for a in edges]
