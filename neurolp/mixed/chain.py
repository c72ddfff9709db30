"""Chains of boosted yes/no questions: P(cells) = prod_j P(c_j | c_i, i before j in an order).

The cell of a column is the outcome of a few yes/no questions (``questions``). Each has the odds

    P(yes) = 1 / (1 + exp(-F)),    F = b + w . z(earlier cells) + sum_k f_k(earlier cells),

with linear log-odds first (``neurolp.kernels.logit``), unless the table is too large for them or
they gain nothing, and then boosted trees f_k (``neurolp.kernels.boosting``). The product is
normalised for any F: each question splits the probability of the cells that are left in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import expit

from neurolp.arrays import Array
from neurolp.brain.workers import Workers
from neurolp.kernels import boosting
from neurolp.mixed.features import FeatureLayout
from neurolp.mixed.linear_inputs import LinearInputs
from neurolp.mixed.questions import Questions

_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Chain:
    """A fitted chain over columns with cells.

    ``inputs`` and ``weights`` (n_questions, n_inputs) are those of the linear log-odds, None and
    (n_questions, 0) where there are none; ``ridge`` (n_questions,) are the penalties that these
    were learned with, 0 where they are 0.

    ``questions`` (n_columns), their first log-odds ``base`` (n_questions,) and trees, all in the
    order of the columns as given: question q of column j is number ``first_question[j] + q`` and
    has the trees ``first_tree[..]`` up to the next one's; tree k has the nodes
    ``tree[root[k]:root[k + 1]]``.
    """

    layout: FeatureLayout
    questions: tuple[Questions, ...]
    first_question: Array
    base: Array
    inputs: LinearInputs | None
    weights: Array
    ridge: Array
    first_tree: Array
    root: Array
    tree: Array
    value: Array

    def conditional(self, cells: Array) -> Array:
        """Log P(c_j | earlier columns) of cells (n_rows, n_columns), nats; 0 where missing."""
        out = np.zeros(cells.shape)
        spans = [questions.spans() for questions in self.questions]

        def run(block: slice) -> None:
            part = np.ascontiguousarray(cells[block])
            codes, inputs = self._features(part)
            for j, (place, span) in enumerate(spans):
                rows, position = by_leaf(part[:, j], place)
                a, b = self.first_question[j : j + 2]
                log_prob = np.zeros(len(part))
                boosting.add_log_prob(
                    codes, rows, position, span, self.base[a:b],
                    np.ascontiguousarray(inputs @ self.weights[a:b].T), self.first_tree[a : b + 1],
                    self.tree, self.value, self.root, self.layout.missing, log_prob,
                )  # fmt: skip
                out[block, j] = log_prob

        with Workers() as workers:
            workers.map(run, _blocks(len(cells)))
        return out

    def work(self, cells: Array) -> float:
        """About how many steps it took to learn the chain from training ``cells``."""
        entries = np.concatenate([[0.0], np.cumsum((cells != 0).mean(axis=0)[self.layout.order])])
        each = 5.0 + entries[np.argsort(self.layout.order)]  # of a row in a level of a tree
        asked = [
            sum(q.sums(np.bincount(c[c >= 0], minlength=q.n_cells))) * steps
            for q, c, steps in zip(self.questions, cells.T, each, strict=True)
        ]
        n_trees = np.diff(self.first_tree)
        nodes = np.diff(self.root[self.first_tree])
        levels = np.log2(nodes / np.maximum(n_trees, 1) + 2)
        return float(np.concatenate(asked) @ (n_trees * levels))

    def log_prob(self, cells: Array) -> Array:
        """Log P of rows whose missing cells (-1) are left out, (n_rows,), nats."""
        return np.asarray(self.conditional(cells).sum(axis=1))

    def distribution(self, j: int, cells: Array) -> Array:
        """P(c_j | earlier columns) for all cells of column ``j``: (n_rows, n_cells)."""
        features = self._features(cells)
        questions, rows = self.questions[j], np.arange(len(cells))
        out = np.ones((len(cells), questions.n_cells))
        answers = questions.answers()
        for q in range(len(answers)):
            yes = expit(self._scores(int(self.first_question[j]) + q, features, rows))
            out[:, answers[q] == 1] *= yes[:, None]
            out[:, answers[q] == 0] *= 1.0 - yes[:, None]
        return out

    def sample(self, cells: Array, rng: np.random.Generator, kept: Array | None = None) -> Array:
        """Rows whose missing cells (-1) are drawn, each given the earlier columns.

        Those of columns outside ``kept`` (n_columns,), which come last in the order, stay missing.
        """
        cells = cells.copy()
        with Workers() as workers:
            for j in self.layout.order:
                rows = np.flatnonzero(cells[:, j] < 0)
                if not len(rows) or (kept is not None and not kept[j]):
                    continue
                uniform = rng.random((len(rows), self.questions[j].depth))
                blocks = [(rows[b], uniform[b]) for b in _blocks(len(rows))]
                parts = workers.map(partial(self._draw, int(j), cells), blocks)
                cells[rows, j] = np.concatenate(parts)
        return cells

    def _draw(self, j: int, cells: Array, block: tuple[Array, Array]) -> Array:
        """Cells of column ``j`` in some rows: each question is answered by a uniform number."""
        rows, uniform = block
        features = self._features(cells[rows])
        out = np.zeros(len(rows), dtype=np.int64)
        children = self.questions[j].children
        waiting = [(0, np.arange(len(rows)), 0)] if len(children) else []
        while waiting:
            q, asked, depth = waiting.pop()
            yes = uniform[asked, depth] < expit(
                self._scores(int(self.first_question[j]) + q, features, asked)
            )
            for answer, some in ((0, asked[~yes]), (1, asked[yes])):
                following = int(children[q, answer])
                if following < 0:
                    out[some] = -1 - following
                elif len(some):
                    waiting.append((following, some, depth + 1))
        return out

    def _features(self, cells: Array) -> tuple[Array, Array]:
        """Codes for the trees, and linear inputs, without rows where there are none."""
        inputs = np.empty((0, 0)) if self.inputs is None else self.inputs.matrix(cells)
        return self.layout.codes(cells), inputs

    def _scores(self, question: int, features: tuple[Array, Array], rows: Array) -> Array:
        """Log-odds of yes for some rows of :meth:`_features`."""
        codes, inputs = features
        out = np.full(len(rows), self.base[question])
        if len(inputs):
            out += inputs[rows] @ self.weights[question]
        first, last = self.first_tree[question : question + 2]
        boosting.add_trees_at(
            codes, rows, self.tree, self.value, self.root, int(first), int(last),
            self.layout.missing, out,
        )  # fmt: skip
        return out


def _blocks(n_rows: int) -> list[slice]:
    return [slice(a, a + _BLOCK_ROWS) for a in range(0, n_rows, _BLOCK_ROWS)]


def by_leaf(cells: Array, place: Array) -> tuple[Array, Array]:
    """Rows (n,) of one column in the order of the leaves, and where those of each leaf begin.

    ``place`` (C,) is the leaf of each cell. Rows with the cell -1 are left out.
    """
    known = np.flatnonzero(cells >= 0)
    leaf = place[cells[known]]
    rows = known[np.argsort(leaf, kind="stable")].astype(np.int32)
    return rows, np.concatenate([[0], np.cumsum(np.bincount(leaf, minlength=len(place)))])
