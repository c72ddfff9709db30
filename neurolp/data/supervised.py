"""Tables with a target -> conditions, targets and their split, for supervised learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.data.csv_file import CsvFile, is_number
from neurolp.data.problems_conditional import bimodal_log_density, sample_bimodal
from neurolp.data.tables import TEXT_SUFFIXES, check_table, column_positions, read_table
from neurolp.errors import DataError

SUPERVISED_NAMES = ("bimodal", "diabetes", "digits")

_MOST_CLASSES = 10  # a target with so many whole numbers is taken for labels
_FEWEST_ROWS = 5  # of a class: 60/20/20 of fewer leaves one part without it
_TEST_POINTS = 5_000


@dataclass(frozen=True)
class SupervisedSplit:
    """Conditions X (n, d) and targets y (n,) of three parts; labels are strings or whole numbers.

    ``log_density`` is the true log p(y | x), (X, y) -> (n,), of problems where it is known.
    """

    title: str
    X_train: Array
    y_train: Array
    X_validation: Array
    y_validation: Array
    X_test: Array
    y_test: Array
    columns: tuple[str, ...]
    target: str
    classification: bool
    log_density: Any = None

    @property
    def learned(self) -> tuple[Array, Array]:
        """Conditions and targets of training and validation rows together."""
        return (
            np.vstack([self.X_train, self.X_validation]),
            np.concatenate([self.y_train, self.y_validation]),
        )

    def limited(self, max_rows: int) -> SupervisedSplit:
        """The same with at most ``max_rows`` training rows, and a third as many for validation."""
        v = max(max_rows // 3, 1)
        return replace(
            self,
            X_train=self.X_train[:max_rows],
            y_train=self.y_train[:max_rows],
            X_validation=self.X_validation[:v],
            y_validation=self.y_validation[:v],
        )


def load_supervised(name: str, *, n_points: int = 1000, split_seed: int = 0) -> SupervisedSplit:
    """A named problem.

    * ``bimodal``: y given x has two branches of changing weight and width (see
      :func:`neurolp.data.problems_conditional.sample_bimodal`); ``n_points`` are drawn by
      ``default_rng(split_seed)``, of which a fifth is for validation, and 5,000 for the test;
    * ``diabetes``: progression of the disease given ten measurements (442 rows);
    * ``digits``: which digit, given 64 pixels (1,797 rows).

    The rows of the tables are permuted by ``default_rng(split_seed)`` and cut 60 / 20 / 20.
    """
    from sklearn import datasets

    if name == "bimodal":
        X, y = sample_bimodal(n_points + _TEST_POINTS, np.random.default_rng(split_seed))
        a, n = int(0.8 * n_points), n_points
        parts = (X[:a], y[:a], X[a:n], y[a:n], X[n:], y[n:])
        return SupervisedSplit(name, *parts, ("x",), "y", False, bimodal_log_density)
    if name == "diabetes":
        b = datasets.load_diabetes(scaled=False)
        return _cut(name, b.data, b.target, tuple(b.feature_names), name, False, split_seed)
    if name == "digits":
        b = datasets.load_digits()
        return _cut(name, b.data, b.target, tuple(b.feature_names), "digit", True, split_seed)
    raise DataError(f"unknown problem {name!r}; known are {', '.join(SUPERVISED_NAMES)}")


def load_supervised_table(
    file: Path,
    target: str | int,
    *,
    dataset: str | None = None,
    columns: Sequence[str | int] | None = None,
    task: str | None = None,
    split_seed: int = 0,
) -> SupervisedSplit:
    """A user's table, in any format that :func:`neurolp.data.tables.load_data` reads.

    Parameters
    ----------
    file : path
        CSV, NPY, NPZ or HDF5; rows are samples.
    target : str or int
        Name or position of the column to be predicted. In a CSV file it may be text: labels.
    dataset : str, optional
        Which array of an NPZ or HDF5 file.
    columns : sequence of str or int, optional
        Conditions; all other columns by default.
    task : {"regression", "classification"}, optional
        By default classification if the target is text or has at most ten values, all whole.
    split_seed : int
        Rows are permuted with it and cut 60 / 20 / 20, each class by itself.

    Raises
    ------
    DataError
        One line that says what is wrong, where.
    """
    title = str(file)
    y: Array
    if file.is_file() and file.suffix.lower() in TEXT_SUFFIXES:
        source = CsvFile.open(file)
        at = column_positions(source.names, [target], title)[0]
        wanted = _conditions(source.names, at, columns, title)
        X, X_names = read_table(file, dataset, wanted)
        y, name = np.array(source.text(at)), source.names[at]
        if all(is_number(cell) for cell in y):
            y = y.astype(np.float64)
    else:
        table, names = read_table(file, dataset)
        at = column_positions(names, [target], title)[0]
        wanted = _conditions(names, at, columns, title)
        X, X_names = table[:, wanted], tuple(names[j] for j in wanted)
        y, name = table[:, at], names[at]
    check_table(X, X_names, title)
    if y.dtype.kind == "f":
        check_table(y[:, None], (name,), title)
        whole = bool(np.all(y == np.round(y)))
    classes = np.unique(y)
    if task is None:
        labels = y.dtype.kind != "f" or (whole and len(classes) <= _MOST_CLASSES)
        task = "classification" if labels else "regression"
    if len(classes) < 2:
        raise DataError(f"{title}: target '{name}' is constant ({classes[0]})")
    if task == "regression":
        if y.dtype.kind != "f":
            wrong = next(str(cell) for cell in y if not is_number(cell))
            raise DataError(
                f"{title}: target '{name}' must be numbers for regression, but has {wrong!r}"
            )
        return _cut(file.stem, X, y, X_names, name, False, split_seed)
    if y.dtype.kind == "f" and whole:
        y = y.astype(np.int64)
    kinds, counts = np.unique(y, return_counts=True)
    if counts.min() < _FEWEST_ROWS:
        few = int(np.argmin(counts))
        raise DataError(
            f"{title}: target '{name}' must have at least {_FEWEST_ROWS} rows of each class, "
            f"but has {counts[few]} of {str(kinds[few])!r}"
        )
    return _cut(file.stem, X, y, X_names, name, True, split_seed, by_class=True)


def _conditions(
    names: tuple[str, ...], at: int, columns: Sequence[str | int] | None, title: str
) -> list[int]:
    if columns is None:
        return [j for j in range(len(names)) if j != at]
    use = column_positions(names, columns, title)
    if at in use:
        raise DataError(f"{title}: target '{names[at]}' must not be among `columns`")
    return use


def _cut(
    title: str,
    X: Array,
    y: Array,
    columns: tuple[str, ...],
    target: str,
    classification: bool,
    split_seed: int,
    *,
    by_class: bool = False,
) -> SupervisedSplit:
    order = np.random.default_rng(split_seed).permutation(len(X))
    groups = [order[y[order] == c] for c in np.unique(y)] if by_class else [order]
    parts: list[list[Array]] = [[], [], []]
    for rows in groups:
        a, b = int(0.6 * len(rows)), int(0.8 * len(rows))
        for part, chosen in zip(parts, (rows[:a], rows[a:b], rows[b:]), strict=True):
            part.append(chosen)
    # In the order of the permutation, so that the first rows are a fair sample.
    rank = np.argsort(order)
    train, validation, test = (
        chosen[np.argsort(rank[chosen])] for chosen in map(np.concatenate, parts)
    )
    X = np.asarray(X, dtype=np.float64)
    cut = (X[train], y[train], X[validation], y[validation], X[test], y[test])
    return SupervisedSplit(title, *cut, tuple(map(str, columns)), target, classification)
