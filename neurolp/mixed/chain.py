"""Chains of boosted yes/no questions: P(cells) = prod_j P(c_j | c_i, i before j in an order).

The cell of a column is the outcome of a few yes/no questions (``questions``). Each has the odds

    P(yes) = 1 / (1 + exp(-F)),    F = b + w . z(earlier cells) + sum_k f_k(earlier cells),

with linear log-odds first (``neurolp.kernels.logit``), unless the table is too large for them or
they gain nothing, and then boosted trees f_k (``neurolp.kernels.boosting``). The product is
normalised for any F: each question splits the probability of the cells that are left in two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import expit

from neurolp.arrays import Array
from neurolp.brain.workers import Workers
from neurolp.differentiation.boosted_trees import listed_bins
from neurolp.kernels import boosting, logit
from neurolp.mixed.features import FeatureLayout
from neurolp.mixed.linear_inputs import LinearInputs
from neurolp.mixed.questions import Questions

_BLOCK_ROWS = 4096
# Penalties of linear log-odds, the fewest rows they are learned from and the most of a table, whose
# trees need them no more (12,000 rows gain nothing), and the most products.
_RIDGES = np.array([100.0, 30.0, 10.0, 3.0, 1.0, 0.3])
_LINEAR_ROWS, _MANY_ROWS, _MOST_LINEAR_WORK = 20, 5000, 6e9


@dataclass(frozen=True)
class BoostingConfig:
    """How the trees of a question are grown; see ``neurolp.kernels.boosting.boost_logistic``."""

    n_rounds: int = 400
    patience: int = 15
    n_leaves: int = 12
    step: float = 0.1
    ridge: float = 1.0
    least_rows: float = 3.0
    least_hessian: float = 0.1
    least_gain: float = 1.5  # nats, of all validation rows together


@dataclass(frozen=True)
class Chain:
    """A fitted chain over columns with cells.

    ``inputs`` and ``weights`` (n_questions, n_inputs) are those of the linear log-odds, None and
    (n_questions, 0) where there are none.

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
                rows, position = _by_leaf(part[:, j], place)
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


def fit_chain(
    train: Array,
    validation: Array,
    n_cells: Array,
    ordered: Array,
    order: Array,
    config: BoostingConfig,
    *,
    widths: Sequence[Array | None] | None = None,
    asked: tuple[int, int] = (0, 1),
    linear: bool = True,
    n_threads: int | None = None,
) -> Chain:
    """Learn a chain from cells (n_rows, n_columns), -1 where missing.

    Rows where a column is missing teach nothing about it. Rounds are those of least loss on
    validation rows. ``widths`` (cells,) of each column smooth the frequencies that the trees begin
    with; None where they do not. ``linear``: whether log-odds may begin as linear. ``asked``: the
    first question that grows trees, and the number of questions up to the next.
    """
    layout = FeatureLayout.of(order, n_cells, ordered)
    cells = np.vstack([train, validation])
    codes = layout.codes(cells)
    usual, *_ = listed_bins(codes, layout.offset)
    n_train = len(train)
    counts, held_out = (
        [np.bincount(c[c >= 0], minlength=k) for c, k in zip(part.T, n_cells, strict=True)]
        for part in (train, validation)
    )
    questions = tuple(
        Questions.ordered(c) if o else Questions.nominal(c)
        for c, o in zip(counts, ordered, strict=True)
    )
    base = [
        q.prior_log_odds(c) if w is None else q.smooth_log_odds(c, v, w)
        for q, c, v, w in zip(
            questions, counts, held_out, widths or [None] * len(counts), strict=True
        )
    ]
    spans = [q.spans() for q in questions]
    leaves = [
        (_by_leaf(c[:n_train], place), _by_leaf(c[n_train:], place))
        for c, (place, _) in zip(cells.T, spans, strict=True)
    ]
    place = {int(j): p for p, j in enumerate(order)}
    first_question = np.concatenate([[0], np.cumsum([len(q.children) for q in questions])])
    n_asked = np.array([np.sum(q.sums(c)) for q, c in zip(questions, counts, strict=True)])
    n_questions = np.array([len(q.children) for q in questions])
    possible = LinearInputs.of(order, counts, ordered)
    work = possible.work(counts, n_asked, n_questions)
    few = n_train <= _MANY_ROWS and work <= _MOST_LINEAR_WORK
    inputs = possible if linear and few else None
    given = np.empty((0, 0)) if inputs is None else inputs.matrix(cells)
    no_weights = np.zeros(0 if inputs is None else inputs.n_inputs)

    def learn(task: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
        j, q = task
        first, middle, last = spans[j][1][q]
        (mine, at), (other, other_at) = leaves[j]
        answer = np.zeros(len(cells), dtype=np.int8)
        answer[mine[at[middle] : at[last]]] = 1
        answer[n_train + other[other_at[middle] : other_at[last]]] = 1
        mine = np.sort(mine[at[first] : at[last]])
        other = np.sort(n_train + other[other_at[first] : other_at[last]])
        n_features = int(layout.first[place[j]])
        share = answer[mine].mean() if len(mine) else 0.0
        if (
            not n_features
            or len(other) == 0
            or min(share, 1.0 - share) * len(mine) < config.least_rows
            or (int(first_question[j]) + q - asked[0]) % asked[1]
        ):
            return np.empty((0, 4), np.int32), np.empty(0), np.zeros(1, np.int64), no_weights
        begin, weights = float(base[j][q]), no_weights.copy()
        start = np.full(len(cells), begin)
        if inputs is not None and len(mine) >= _LINEAR_ROWS:
            used = weights[: inputs.first[place[j]]]
            gain = logit.choose_logit(
                given, mine, other, answer, begin, _RIDGES, config.least_gain, used
            )
            if gain > 0.0:
                known = np.concatenate([mine, other])
                start[known] += given[known, : len(used)] @ used
        most = config.n_rounds * (2 * config.n_leaves - 1) + 1
        tree, value = np.empty((most, 4), np.int32), np.empty(most)
        root = np.zeros(config.n_rounds + 1, np.int64)
        n = boosting.boost_logistic(
            mine, other, answer, start, codes, layout.offset, usual, layout.missing,
            n_features, config.n_rounds, config.patience, config.n_leaves, config.step,
            config.ridge, config.least_rows, config.least_hessian, config.least_gain,
            tree, value, root,
        )  # fmt: skip
        end = root[n]
        return tree[:end].copy(), value[:end].copy(), root[: n + 1].copy(), weights

    tasks = [(j, q) for j, some in enumerate(questions) for q in range(len(some.children))]
    with Workers(n_threads) as workers:
        # The longest first, so that no thread waits at the end.
        rank = np.argsort([-layout.first[place[j]] for j, _ in tasks], kind="stable")
        found = dict(zip(rank, workers.map(learn, [tasks[r] for r in rank]), strict=True))
    grown = [found[r] for r in range(len(tasks))]
    n_trees = [len(root) - 1 for _, _, root, _ in grown]
    first_node = np.concatenate([[0], np.cumsum([len(value) for _, value, *_ in grown])])
    roots = [root[:-1] + a for (_, _, root, _), a in zip(grown, first_node, strict=False)]
    none = [(np.empty((0, 4), np.int32), np.empty(0))]
    return Chain(
        layout,
        questions,
        first_question.astype(np.int64),
        np.concatenate([*base, np.empty(0)]),
        inputs,
        np.array([w for *_, w in grown]).reshape(len(tasks), len(no_weights)),
        np.concatenate([[0], np.cumsum(n_trees)]).astype(np.int64),
        np.concatenate([*roots, first_node[-1:]]).astype(np.int64),
        np.concatenate([tree for tree, *_ in grown] or [none[0][0]]),
        np.concatenate([value for _, value, *_ in grown] or [none[0][1]]),
    )


def _blocks(n_rows: int) -> list[slice]:
    return [slice(a, a + _BLOCK_ROWS) for a in range(0, n_rows, _BLOCK_ROWS)]


def _by_leaf(cells: Array, place: Array) -> tuple[Array, Array]:
    """Rows (n,) of one column in the order of the leaves, and where those of each leaf begin.

    ``place`` (C,) is the leaf of each cell. Rows with the cell -1 are left out.
    """
    known = np.flatnonzero(cells >= 0)
    leaf = place[cells[known]]
    rows = known[np.argsort(leaf, kind="stable")].astype(np.int32)
    return rows, np.concatenate([[0], np.cumsum(np.bincount(leaf, minlength=len(place)))])
