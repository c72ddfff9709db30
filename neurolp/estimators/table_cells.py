"""What the cells of a table are for beside other constructions: P(nominal columns), and holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.column import Column
from neurolp.mixed.average import CellAverage, ExactCells, FittedCells, fit_cell_average
from neurolp.mixed.holes import draw_missing

MANY_ROWS = 5000  # for learning from, where what gains little is left out
_MOST_HOLES = 0.5  # of a column that moves
_CANDIDATES = 4  # draws of which one fills a hole that is learned from
_SPLITS = ("train", "validation", "test")


def moving_columns(columns: Sequence[Column], train: Array) -> Array:
    """Positions of the columns that are the nodes of a brain: continuous, without atoms.

    In ``train`` (n, n_columns) most values are known; the others are filled by draws.
    """
    smooth = np.array([c.kind == "continuous" and not c.atoms for c in columns])
    return np.flatnonzero(smooth & (np.isnan(train).mean(axis=0) < _MOST_HOLES))


def cells_are_needed(columns: Sequence[Column], rows: Mapping[str, Array]) -> bool:
    """Whether some column but constants is not continuous, or has atoms, or holes to learn from.

    ``rows`` are codes by split; holes of those that are not learned from do not count.
    """
    possible = [j for j, c in enumerate(columns) if c.kind != "constant"]
    moving = moving_columns(columns, rows["train"])
    holes = any(np.isnan(rows[name][:, possible]).any() for name in ("train", "validation"))
    return not len(moving) or len(moving) < len(possible) or bool(holes)


def fit_cells(
    columns: Sequence[Column],
    rows: Mapping[str, Array],
    seed: int,
    *,
    moving: Array | None = None,
    held_out: bool = False,
    n_threads: int | None = None,
) -> FittedCells:
    """Cells of all columns, from training and validation codes.

    Few rows are all learned from in the end, if the validation rows were ``held_out`` by ``fit``.
    With the laws "nominal", of nominal and constant columns, and "clamped", of all but ``moving``
    (none by default). Nominal columns come first in half of the chains, moving ones last.
    """
    rank = np.array([int(c.kind not in ("nominal", "constant")) for c in columns])
    if moving is not None:
        rank[moving] = 2
    laws = {"nominal": rank == 0, "clamped": rank < 2}
    return fit_cell_average(
        columns, rows["train"], rows["validation"], seed, rank=rank, laws=laws,
        refit=held_out and len(rows["train"]) <= MANY_ROWS, n_threads=n_threads,
    )  # fmt: skip


def filled(
    columns: Sequence[Column], cells: CellAverage | None, rows: Mapping[str, Array], seed: int
) -> dict[str, Array]:
    """Codes by split with what is missing drawn given the rest; constants are 0."""
    constant = [c.kind == "constant" for c in columns]
    out = {name: np.where(np.isnan(codes) & constant, 0.0, codes) for name, codes in rows.items()}
    for name, codes in out.items():
        if cells is not None and np.isnan(codes).any():
            rng = generator(seed, "holes of rows", _SPLITS.index(name))
            out[name] = draw_missing(
                cells.log_prob, ExactCells(cells), codes, rng, candidates=_CANDIDATES, moves=False
            )
    return out
