"""Learning of chains: a question at a time, linear log-odds first, then boosted trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.workers import Workers
from neurolp.differentiation.boosted_trees import listed_bins
from neurolp.kernels import boosting, logit
from neurolp.mixed.chain import Chain, by_leaf
from neurolp.mixed.features import FeatureLayout
from neurolp.mixed.linear_inputs import LinearInputs
from neurolp.mixed.questions import Questions

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
class _Target:
    """The ``answer`` (n_all,) to a question, for the rows ``mine`` and those ``held_out``."""

    answer: Array
    mine: Array
    held_out: Array

    def has_enough_rows(self, config: BoostingConfig) -> bool:
        """Whether both answers have enough rows."""
        share = self.answer[self.mine].mean() if len(self.mine) else 0.0
        return bool(min(share, 1.0 - share) * len(self.mine) >= config.least_rows)


# Linear weights, their ridge, nodes of trees, values of these and where each tree begins.
_Grown = tuple[Array, float, Array, Array, Array]


class _TrainingRows:
    """Rows of cells, of which the first ``n_train`` are learned from, and all questions."""

    def __init__(
        self, layout: FeatureLayout, questions: tuple[Questions, ...], cells: Array, n_train: int
    ) -> None:
        self.layout, self.questions, self.n_train = layout, questions, n_train
        self.n_rows = len(cells)
        self.codes = layout.codes(cells)
        self._usual, *_ = listed_bins(self.codes, layout.offset)
        self._spans = [q.spans() for q in questions]
        self._leaves = [
            (by_leaf(c[:n_train], place), by_leaf(c[n_train:], place))
            for c, (place, _) in zip(cells.T, self._spans, strict=True)
        ]
        self._place = {int(j): p for p, j in enumerate(layout.order)}
        self.first_question = np.concatenate(
            [[0], np.cumsum([len(q.children) for q in questions])]
        ).astype(np.int64)

    def target(self, j: int, q: int) -> _Target:
        """That of question ``q`` of column ``j``."""
        first, middle, last = self._spans[j][1][q]
        (mine, at), (other, other_at) = self._leaves[j]
        answer = np.zeros(self.n_rows, dtype=np.int8)
        answer[mine[at[middle] : at[last]]] = 1
        answer[self.n_train + other[other_at[middle] : other_at[last]]] = 1
        return _Target(
            answer,
            np.sort(mine[at[first] : at[last]]),
            np.sort(self.n_train + other[other_at[first] : other_at[last]]),
        )

    def number(self, j: int, q: int) -> int:
        """The number of question ``q`` of column ``j`` among all."""
        return int(self.first_question[j]) + q

    def n_features(self, j: int) -> int:
        """How many features come before column ``j``."""
        return int(self.layout.first[self._place[j]])

    def n_inputs(self, j: int, inputs: LinearInputs) -> int:
        """How many linear inputs come before column ``j``."""
        return int(inputs.first[self._place[j]])

    def trees(
        self, j: int, target: _Target, start: Array, config: BoostingConfig
    ) -> tuple[Array, Array, Array]:
        """Nodes, values and roots of the trees of a question of column ``j``."""
        most = config.n_rounds * (2 * config.n_leaves - 1) + 1
        tree, value = np.empty((most, 4), np.int32), np.empty(most)
        root = np.zeros(config.n_rounds + 1, np.int64)
        n = boosting.boost_logistic(
            target.mine, target.held_out, target.answer, start, self.codes, self.layout.offset,
            self._usual, self.layout.missing, self.n_features(j), config.n_rounds, config.patience,
            config.n_leaves, config.step, config.ridge, config.least_rows, config.least_hessian,
            config.least_gain, tree, value, root,
        )  # fmt: skip
        end = root[n]
        return tree[:end].copy(), value[:end].copy(), root[: n + 1].copy()

    def chain(
        self,
        base: Sequence[Array],
        inputs: LinearInputs | None,
        learn: Callable[[int, int], _Grown],
        n_threads: int | None,
    ) -> Chain:
        """The chain of what ``learn`` finds for each question."""
        tasks = [(j, q) for j, some in enumerate(self.questions) for q in range(len(some.children))]
        with Workers(n_threads) as workers:
            # The longest first, so that no thread waits at the end.
            rank = sorted(range(len(tasks)), key=lambda r: -self.n_features(tasks[r][0]))
            parts = workers.map(lambda r: learn(*tasks[r]), rank)
            found = dict(zip(rank, parts, strict=True))
        grown = [found[r] for r in range(len(tasks))]
        first_node = np.concatenate([[0], np.cumsum([len(value) for *_, value, _ in grown])])
        roots = [root[:-1] + a for (*_, root), a in zip(grown, first_node, strict=False)]
        n_trees = [len(root) for root in roots]
        n_inputs = 0 if inputs is None else inputs.n_inputs
        return Chain(
            self.layout,
            self.questions,
            self.first_question,
            np.concatenate([*base, np.empty(0)]),
            inputs,
            np.array([weights for weights, *_ in grown]).reshape(len(tasks), n_inputs),
            np.array([ridge for _, ridge, *_ in grown]),
            np.concatenate([[0], np.cumsum(n_trees)]).astype(np.int64),
            np.concatenate([*roots, first_node[-1:]]).astype(np.int64),
            np.concatenate([np.empty((0, 4), np.int32), *(tree for _, _, tree, *_ in grown)]),
            np.concatenate([np.empty(0), *(value for *_, value, _ in grown)]),
        )


_NO_TREES = np.empty((0, 4), np.int32), np.empty(0), np.zeros(1, np.int64)


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

    Questions about a column are learned from the rows where it is not missing. Rounds are those of
    least loss on validation rows. ``widths`` (cells,) of each column smooth the frequencies that
    the trees begin with; None where they do not. ``linear``: whether log-odds may begin as linear.
    ``asked``: the first question that grows trees, and the number of questions up to the next.
    """
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
    layout = FeatureLayout.of(order, n_cells, ordered)
    cells = np.vstack([train, validation])
    rows = _TrainingRows(layout, questions, cells, len(train))
    n_asked = np.array([np.sum(q.sums(c)) for q, c in zip(questions, counts, strict=True)])
    n_questions = np.array([len(q.children) for q in questions])
    possible = LinearInputs.of(order, counts, ordered)
    work = possible.work(counts, n_asked, n_questions)
    few = len(train) <= _MANY_ROWS and work <= _MOST_LINEAR_WORK
    inputs = possible if linear and few else None
    given = np.empty((0, 0)) if inputs is None else inputs.matrix(cells)
    no_weights = np.zeros(0 if inputs is None else inputs.n_inputs)

    def learn(j: int, q: int) -> _Grown:
        number, target = rows.number(j, q), rows.target(j, q)
        nothing = not rows.n_features(j) or not len(target.held_out)
        if nothing or not target.has_enough_rows(config) or (number - asked[0]) % asked[1]:
            return no_weights, 0.0, *_NO_TREES
        begin, weights, ridge = float(base[j][q]), no_weights.copy(), 0.0
        start = np.full(len(cells), begin)
        if inputs is not None and len(target.mine) >= _LINEAR_ROWS:
            used = weights[: rows.n_inputs(j, inputs)]
            ridge = logit.choose_logit(
                given, target.mine, target.held_out, target.answer, begin, _RIDGES,
                config.least_gain, used,
            )  # fmt: skip
            if ridge > 0.0:
                known = np.concatenate([target.mine, target.held_out])
                start[known] += given[known, : len(used)] @ used
        return weights, ridge, *rows.trees(j, target, start, config)

    return rows.chain(base, inputs, learn, n_threads)


def refit_chain(
    chain: Chain,
    cells: Array,
    config: BoostingConfig,
    *,
    smooth: Sequence[bool],
    n_threads: int | None = None,
) -> Chain:
    """The chain learned again from more ``cells`` (n_rows, n_columns), with what was chosen.

    Penalties and numbers of trees stay, and so do the first log-odds of ``smooth`` (n_columns)
    columns. The ``config`` is that of the first fit.
    """
    rows = _TrainingRows(chain.layout, chain.questions, cells, len(cells))
    base = []
    for j, (questions, column) in enumerate(zip(chain.questions, cells.T, strict=True)):
        a, b = chain.first_question[j : j + 2]
        counts = np.bincount(column[column >= 0], minlength=questions.n_cells)
        base.append(chain.base[a:b] if smooth[j] else questions.prior_log_odds(counts))
    given = np.empty((0, 0)) if chain.inputs is None else chain.inputs.matrix(cells)
    n_trees = np.diff(chain.first_tree)

    def learn(j: int, q: int) -> _Grown:
        number, target = rows.number(j, q), rows.target(j, q)
        begin, ridge = float(base[j][q]), float(chain.ridge[number])
        weights, start = np.zeros_like(chain.weights[number]), np.full(len(cells), begin)
        if chain.inputs is not None and ridge > 0.0:
            used = weights[: rows.n_inputs(j, chain.inputs)]
            logit.fit_logit(given, target.mine, target.answer[target.mine], begin, ridge, used)
            start[target.mine] += given[target.mine, : len(used)] @ used
        if not n_trees[number]:
            return weights, ridge, *_NO_TREES
        again = replace(config, n_rounds=int(n_trees[number]))
        return weights, ridge, *rows.trees(j, target, start, again)

    return rows.chain(base, chain.inputs, learn, n_threads)
