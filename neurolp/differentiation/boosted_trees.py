"""Averages of boosted trees over binned inputs, one for each fold of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels.boosting import add_trees
from neurolp.kernels.boosting_rounds import boost_softmax, boost_squares

FEWEST_ROWS = 30  # to learn from; with fewer there is nothing to choose by
_MOST_BINS = 254  # codes are bytes, and one of them is for missing values
_FEWEST_BINS, _ROWS_PER_BIN = 32, 8  # few rows need few cuts: searching them is most of the time
_DENSE = 0.4  # share of entries that are not the usual ones, above which all are listed
_BLOCK_ROWS = 8192  # bounds memory
_TREES_AT_ONCE = 32  # so many stay in the processor's cache

# Numbers of the rows that a member learns from, and of those that it is judged by.
Fold = tuple[Array, Array]


@dataclass(frozen=True)
class Binning:
    """Bins of every input: value x is in the bin of the number of ``cuts`` below it.

    The cuts of input f are ``cuts[first[f]:first[f + 1]]``. Its last bin, one more than the others,
    is for missing values (NaN).
    """

    cuts: Array
    first: Array

    @classmethod
    def of(cls, inputs: Array) -> Self:
        """Cuts midway between values of training rows, at quantiles where there are many values."""
        most = int(np.clip(len(inputs) // _ROWS_PER_BIN, _FEWEST_BINS, _MOST_BINS))
        parts = []
        for column in inputs.T:
            known = column[~np.isnan(column)]
            values = np.unique(known)
            last = np.arange(len(values) - 1)  # each cut follows one of the values
            if len(values) > most:
                levels = np.arange(1, most) / most
                ends = np.quantile(known, levels, method="lower")
                last = np.unique(np.searchsorted(values[:-1], ends).clip(max=len(values) - 2))
            parts.append(0.5 * values[last] + 0.5 * values[last + 1])
        first = np.cumsum([0, *(len(part) for part in parts)])
        return cls(np.concatenate([np.empty(0), *parts]), first.astype(np.int64))

    @property
    def missing(self) -> Array:
        """The bin of missing values of every input, (n_inputs,)."""
        return np.asarray(np.diff(self.first) + 1)

    @property
    def offset(self) -> Array:
        """The number of bins of the inputs before each one, (n_inputs + 1,)."""
        return np.concatenate([[0], np.cumsum(self.missing + 1)]).astype(np.int64)

    def codes(self, inputs: Array) -> Array:
        """Bins of ``inputs`` (n, n_inputs), of the same shape."""
        out = np.empty(inputs.shape, dtype=np.uint8)
        for f, column in enumerate(inputs.T):
            cuts = self.cuts[self.first[f] : self.first[f + 1]]
            bins = np.searchsorted(cuts, column)
            out[:, f] = np.where(np.isnan(column), len(cuts) + 1, bins)
        return out


def listed_bins(codes: Array, offset: Array) -> tuple[Array, Array, Array]:
    """Bins of ``codes`` (n_rows, n_features) as ``neurolp.kernels.tree_growing`` wants them.

    Returns the ``usual`` code of every feature, -1 where rows list all their bins, ``start``
    (n_rows + 1,) and ``bins`` row by row.
    """
    usual = np.array([np.argmax(np.bincount(c)) for c in codes.T], dtype=np.int64).reshape(-1)
    listed = codes != usual
    if codes.size and listed.mean() > _DENSE:
        usual[:], listed[:] = -1, True
    start = np.concatenate([[0], np.cumsum(listed.sum(axis=1))]).astype(np.int64)
    return usual, start, (codes + offset[:-1])[listed].astype(np.int32)


@dataclass(frozen=True)
class BinnedRows:
    """Training rows as the kernels want them: ``codes`` (n, n_inputs), and the bins row by row.

    ``usual``, ``start`` and ``bins``: see :func:`listed_bins`.
    """

    binning: Binning
    codes: Array
    usual: Array
    start: Array
    bins: Array

    @classmethod
    def of(cls, binning: Binning, inputs: Array) -> Self:
        """Rows of ``inputs`` (n, n_inputs)."""
        codes = binning.codes(inputs)
        return cls(binning, codes, *listed_bins(codes, binning.offset))


@dataclass(frozen=True)
class Growth:
    """How trees are grown: so many rounds of a ``step``, each on a ``share`` of the rows.

    The number of rounds kept is that of least held-out error; ``patience`` rounds without a lower
    one end the search.
    """

    n_leaves: int = 16
    n_rounds: int = 500
    step: float = 0.1
    share: float = 0.6
    ridge: float = 0.0
    least_rows: int = 2
    patience: int = 50


@dataclass(frozen=True)
class BoostedTrees:
    """``base`` + the sum of all trees / ``n_members``: the mean of the members' sums of trees.

    The nodes of tree k are ``tree[root[k]:root[k + 1]]`` (see ``neurolp.kernels.boosting``).
    """

    binning: Binning
    base: float
    n_members: int
    root: Array
    tree: Array
    value: Array

    def predict(self, inputs: Array) -> Array:
        """The sum at ``inputs`` (n, n_inputs), (n,)."""
        blocks = range(0, len(inputs), _BLOCK_ROWS)
        parts = [
            self.predict_codes(self.binning.codes(inputs[start : start + _BLOCK_ROWS]))
            for start in blocks
        ]
        return np.concatenate([np.empty(0), *parts])

    def predict_codes(self, codes: Array) -> Array:
        """The sum at inputs with ``codes`` (n, n_inputs), (n,)."""
        out, missing, n_trees = np.zeros(len(codes)), self.binning.missing, len(self.root) - 1
        for first in range(0, n_trees, _TREES_AT_ONCE):
            last = min(first + _TREES_AT_ONCE, n_trees)
            add_trees(codes, self.tree, self.value, self.root, first, last, missing, out)
        return out / self.n_members + self.base


def folds_of(parts: Sequence[Array]) -> list[Fold]:
    """Each of ``parts`` held out in turn."""
    return [
        (np.sort(np.concatenate([*parts[:k], *parts[k + 1 :]])), part)
        for k, part in enumerate(parts)
    ]


def grow_trees(
    rows: BinnedRows, target: Array, folds: Sequence[Fold], growth: Growth, rng: np.random.Generator
) -> tuple[BoostedTrees, Array]:
    """Trees for ``target`` (n,), and what they predict of rows held out: their mean, (n,).

    There is a member for each of ``folds``. All have the same number of rounds, that of least
    squared error on the rows held out. Rows that are held out from no member get NaN.
    """
    grown = [
        _grow_member(rows, target, np.array([target[fold[0]].mean()]), fold, growth, rng)
        for fold in folds
    ]
    (trees,), held_out = _average(rows, grown, folds)
    return trees, held_out[:, 0]


def grow_label_trees(
    rows: BinnedRows,
    label: Array,
    n_classes: int,
    folds: Sequence[Fold],
    growth: Growth,
    rng: np.random.Generator,
) -> tuple[tuple[BoostedTrees, ...], Array]:
    """Trees for the score of each class, and the scores of rows held out, (n, n_classes).

    Probabilities are the softmax of the scores. As :func:`grow_trees`, with the mean of
    -log p(label) as the error.
    """
    grown = []
    for fold in folds:
        count = np.bincount(label[fold[0]], minlength=n_classes)
        base = np.log((count + 1.0) / (len(fold[0]) + n_classes))
        grown.append(_grow_member(rows, label, base, fold, growth, rng))
    return _average(rows, grown, folds)


@dataclass(frozen=True)
class _Member:
    """Trees of one fold, and its held-out error after 0, 1, ... rounds.

    There is a ``base`` for each output; tree c of round k is number k n_outputs + c.
    """

    base: Array
    root: Array
    tree: Array
    value: Array
    error: Array

    def pieces(self, c: int, n_rounds: int) -> list[slice]:
        """Nodes of the trees of output ``c``."""
        last = min(n_rounds * len(self.base), len(self.root) - 1)
        return [slice(self.root[k], self.root[k + 1]) for k in range(c, last, len(self.base))]


def _average(
    rows: BinnedRows, grown: Sequence[_Member], folds: Sequence[Fold]
) -> tuple[tuple[BoostedTrees, ...], Array]:
    """The average of members for each output, and what they predict of rows held out."""
    sizes = np.array([float(len(held_out)) for _, held_out in folds])
    n_rounds = int(np.argmin(sizes @ np.array([member.error for member in grown])))
    n_outputs = len(grown[0].base)
    total, count = np.zeros((len(rows.codes), n_outputs)), np.zeros((len(rows.codes), 1))
    for member, (_, held_out) in zip(grown, folds, strict=True):
        for c in range(n_outputs):
            alone = _joined(rows.binning, [member], c, n_rounds)
            total[held_out, c] += alone.predict_codes(rows.codes[held_out])
        count[held_out] += 1.0
    trees = tuple(_joined(rows.binning, grown, c, n_rounds) for c in range(n_outputs))
    with np.errstate(invalid="ignore"):
        return trees, total / count


def _joined(binning: Binning, members: Sequence[_Member], c: int, n_rounds: int) -> BoostedTrees:
    """The average of ``members`` for output ``c``."""
    pieces = [(member, piece) for member in members for piece in member.pieces(c, n_rounds)]
    root = np.cumsum([0, *(piece.stop - piece.start for _, piece in pieces)]).astype(np.int64)
    return BoostedTrees(
        binning,
        float(np.mean([member.base[c] for member in members])),
        len(members),
        root,
        np.concatenate([np.empty((0, 4), np.int32), *(m.tree[piece] for m, piece in pieces)]),
        np.concatenate([np.empty(0), *(m.value[piece] for m, piece in pieces)]),
    )


def _grow_member(
    rows: BinnedRows,
    target: Array,
    base: Array,
    fold: Fold,
    growth: Growth,
    rng: np.random.Generator,
) -> _Member:
    """Trees for a real ``target`` (n,), or for the classes that it numbers."""
    train, validation = fold
    n_rounds, n_sampled = growth.n_rounds, max(int(growth.share * len(train)), 1)
    samples = np.empty((n_rounds, n_sampled), dtype=np.int32)
    for sample in samples:
        sample[:] = rng.permutation(train)[:n_sampled]
    samples.sort(axis=1)
    n_leaves = min(growth.n_leaves, max(n_sampled // growth.least_rows, 1))
    most = n_rounds * len(base) * (2 * n_leaves - 1)
    tree, value = np.zeros((most, 4), dtype=np.int32), np.zeros(most)
    root = np.zeros(n_rounds * len(base) + 1, dtype=np.int64)
    error = np.empty(n_rounds + 1)
    real = target.dtype.kind == "f"
    if real:
        error[0] = np.mean((target[validation] - base) ** 2)
        score = np.full(len(target), base[0])
    else:
        error[0] = -np.mean(base[target[validation]])
        score = np.tile(base, (len(target), 1))
    done = (boost_squares if real else boost_softmax)(
        samples,
        validation,
        target,
        score,
        rows.codes,
        rows.start,
        rows.bins,
        rows.binning.offset,
        rows.usual,
        rows.binning.missing,
        rows.codes.shape[1],
        growth.patience,
        n_leaves,
        growth.step,
        growth.ridge,
        float(growth.least_rows),
        tree,
        value,
        root,
        error[1:],
    )
    error[done + 1 :] = error[done]
    root = root[: done * len(base) + 1].copy()
    return _Member(base, root, tree[: root[-1]].copy(), value[: root[-1]].copy(), error)
