"""Yes/no questions that lead to the cell of a column, the frequent cells after few of them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array

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

    def prior_log_odds(self, counts: Array) -> Array:
        """Log-odds of yes for every question from the counts (C,) of the cells, (n_questions,)."""
        answers = self.answers()
        weights = counts + _CELL_PRIOR
        yes, no = (answers == 1) @ weights, (answers == 0) @ weights
        return np.asarray(np.log(yes / no))


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
