"""Yes/no questions that lead to the cell of a column, the frequent cells after few of them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array

_POWERS = (0.0, 0.5, 1.0)
_PRIOR_ROWS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_CELL_PRIOR = 0.3  # rows that every cell has before any is seen


@dataclass(frozen=True)
class Questions:
    """A binary tree whose inner nodes are questions and whose leaves are the cells 0 .. C - 1.

    ``children`` (n_questions, 2) is what follows the answers no and yes: a question q >= 0, or the
    cell c as -1 - c. Question 0 comes first. Of an ordered column all cells of "no" lie below those
    of "yes".
    """

    children: Array
    n_cells: int

    @classmethod
    def ordered(cls, counts: Array) -> Questions:
        """Questions "above this edge?" that halve the rows, for cells with ``counts`` in order."""
        children: list[list[int]] = []
        up_to = np.concatenate([[0.0], np.cumsum(counts + _CELL_PRIOR)])
        _halve(up_to, 0, len(counts), children)
        return cls(_as_children(children), len(counts))

    @classmethod
    def nominal(cls, counts: Array) -> Questions:
        """Huffman's tree for cells with ``counts``: the fewest questions per row.

        D. A. Huffman, "A method for the construction of minimum-redundancy codes", Proceedings of
        the IRE 40 (1952).
        """
        n = len(counts)
        heap: list[tuple[float, int, int]] = [
            (float(count) + _CELL_PRIOR, c, -1 - c) for c, count in enumerate(counts)
        ]
        heapq.heapify(heap)
        merged: list[tuple[int, int]] = []
        while len(heap) > 1:
            (a, _, left), (b, _, right) = heapq.heappop(heap), heapq.heappop(heap)
            heapq.heappush(heap, (a + b, n + len(merged), len(merged)))
            merged.append((left, right))
        last = len(merged) - 1  # the root was merged last: number them backwards
        children = [[last - c if c >= 0 else c for c in pair] for pair in reversed(merged)]
        return cls(_as_children(children), n)

    def paths(self) -> list[list[tuple[int, int]]]:
        """For each cell the questions on the way to it, with their answers 0 and 1."""
        out: list[list[tuple[int, int]]] = [[] for _ in range(self.n_cells)]
        waiting: list[tuple[int, list[tuple[int, int]]]] = [(0, [])] if len(self.children) else []
        while waiting:
            q, path = waiting.pop()
            for answer in (0, 1):
                following, longer = int(self.children[q, answer]), [*path, (q, answer)]
                if following >= 0:
                    waiting.append((following, longer))
                else:
                    out[-1 - following] = longer
        return out

    def answers(self) -> Array:
        """The answer of each cell to each question, -1 where it is not asked: (n_questions, C)."""
        out = np.full((len(self.children), self.n_cells), -1, dtype=np.int8)
        for c, path in enumerate(self.paths()):
            for q, answer in path:
                out[q, c] = answer
        return out

    def spans(self) -> tuple[Array, Array]:
        """Place of each cell among the leaves from left to right (C,), and that of the questions.

        Question q is about the leaves ``span[q, 0]`` .. ``span[q, 2] - 1``; the answer is yes from
        ``span[q, 1]`` on, (n_questions, 3).
        """
        place, span = np.zeros(self.n_cells, np.int64), np.zeros((len(self.children), 3), np.int64)
        waiting, count = [(0, 0)] if len(self.children) else [], 0
        while waiting:
            node, part = waiting.pop()
            if node < 0:
                place[-1 - node] = count
                count += 1
                continue
            span[node, part] = count
            if part < 2:
                waiting += [(node, part + 1), (int(self.children[node, part]), 0)]
        return place, span

    @property
    def depth(self) -> int:
        """The most questions on the way to a cell."""
        return int(np.max(np.sum(self.answers() >= 0, axis=0), initial=0))

    def sums(self, weights: Array) -> tuple[Array, Array]:
        """Sums of ``weights`` (C,) over the cells of no and of yes, (n_questions,) each."""
        place, span = self.spans()
        up_to = np.zeros(self.n_cells + 1)
        up_to[place + 1] = weights
        first, middle, last = np.cumsum(up_to)[span].T
        return middle - first, last - middle

    def prior_log_odds(self, counts: Array) -> Array:
        """Log-odds of yes for every question from the counts (C,) of the cells, (n_questions,)."""
        no, yes = self.sums(counts + _CELL_PRIOR)
        return np.asarray(np.log(yes / no))

    def smooth_log_odds(self, counts: Array, validation: Array, width: Array) -> Array:
        """Log-odds of yes, drawn towards those of a density that is the same in both parts.

        p(yes) = (n_yes + a w_yes / (w_no + w_yes)) / (n_no + n_yes + a): a Polya tree. The number
        of rows a, and the power of the ``width`` (C,) that is the weight w, are those of greatest
        likelihood for the counts (C,) of ``validation`` rows.

        Source: M. Lavine, "Some aspects of Polya tree distributions for statistical modelling",
        Annals of Statistics 20 (1992).
        """
        no, yes = self.sums(counts)
        v_no, v_yes = self.sums(validation)
        found = []
        for power in _POWERS:
            w_no, w_yes = self.sums((width / width.max()) ** power)
            share = np.clip(w_yes / (w_no + w_yes), 1e-6, 1 - 1e-6)
            for rows in _PRIOR_ROWS:
                p = (yes + rows * share) / (no + yes + rows)
                found.append((float(v_yes @ np.log(p) + v_no @ np.log1p(-p)), p))
        p = max(found, key=lambda pair: pair[0])[1]
        return np.asarray(np.log(p) - np.log1p(-p))


def _halve(up_to: Array, first: int, last: int, children: list[list[int]]) -> int:
    """Number of the question that splits cells first .. last - 1; -1 - first for a single one."""
    if last - first == 1:
        return -1 - first
    q = len(children)
    children.append([0, 0])
    middle = 0.5 * (up_to[first] + up_to[last])
    edges = up_to[first + 1 : last]
    at = first + 1 + int(np.argmin(abs(edges - middle)))
    children[q] = [_halve(up_to, first, at, children), _halve(up_to, at, last, children)]
    return q


def _as_children(children: list[list[int]]) -> Array:
    return np.array(children, dtype=np.int64).reshape(-1, 2)
