"""Columns that a brain only reads, as potentials of clamped nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurolp.arrays import Array
from neurolp.data.column import Column

_MOST_NODES = 16  # of one nominal column: its frequent categories, others are none of them


@dataclass(frozen=True)
class ClampedInputs:
    """Nodes for the columns at ``positions``: what a brain knows of them.

    A nominal column has a node for each of its frequent ``categories``, 1 or 0; of two categories,
    one has. Another column has a node with asinh((value - mean) / scale), which large values do not
    shake, and one for each of its ``atoms``, 1 or 0. ``ordered`` (n_positions,) says which it is.
    """

    positions: Array
    ordered: Array
    mean: Array
    scale: Array
    marked: tuple[Array, ...]

    @classmethod
    def of(cls, columns: Sequence[Column], positions: Array, train: Array) -> ClampedInputs:
        """Inputs for training codes (n, n_columns) without NaN."""
        ordered = np.array([columns[j].kind != "nominal" for j in positions], dtype=np.bool_)
        marked = tuple(
            _frequent(train[:, j], columns[j])
            if columns[j].kind == "nominal"
            else np.array(columns[j].atoms, dtype=np.float64)
            for j in positions
        )
        values = train[:, positions]
        scale = values.std(axis=0)
        return cls(positions, ordered, values.mean(axis=0), np.where(scale > 0, scale, 1.0), marked)

    @property
    def n_nodes(self) -> int:
        """Number of clamped nodes."""
        return int(self.ordered.sum()) + sum(map(len, self.marked))

    def potentials(self, codes: Array) -> Array:
        """Potentials of codes (n, n_columns), shape (n, n_nodes)."""
        out = np.empty((len(codes), self.n_nodes))
        at = 0
        for k, j in enumerate(self.positions):
            values = codes[:, j]
            if self.ordered[k]:
                out[:, at] = np.arcsinh((values - self.mean[k]) / self.scale[k])
                at += 1
            for mark in self.marked[k]:
                out[:, at] = values == mark
                at += 1
        return out

    def names(self, columns: Sequence[Column]) -> list[str]:
        """A name for each node."""
        out = []
        for k, j in enumerate(self.positions):
            column = columns[j]
            if self.ordered[k]:
                out.append(column.name)
            for mark in self.marked[k]:
                value = mark if self.ordered[k] else column.categories[int(mark)]
                out.append(f"{column.name} = {value}")
        return out


def _frequent(train: Array, column: Column) -> Array:
    """Codes of the categories that have a node."""
    counts = np.bincount(train.astype(np.intp), minlength=len(column.categories))
    counts = counts[: len(column.categories)]
    most = 1 if len(counts) == 2 and not column.unseen else _MOST_NODES
    order = np.argsort(-counts, kind="stable")[:most]
    return np.sort(order[counts[order] > 0]).astype(np.float64)
