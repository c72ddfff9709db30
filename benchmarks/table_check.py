"""Sums of the probabilities of the peers in the benchmark of tables, which must be 1."""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.polynomial.legendre import leggauss
from table_forests import fit_forest
from table_peers import Model, fit_mixture
from table_trees import Marginals, fit_tree

from neurolp.data.columns import Columns

Array = np.ndarray[Any, Any]


def random_table(rng: np.random.Generator) -> pd.DataFrame:
    """A table of categories, counts, a wide grid, a number with an atom, and holes."""
    n = 600
    group = rng.integers(0, 3, n)
    frame = pd.DataFrame(
        {
            "category": np.array(list("abc"), dtype=object)[group],
            "count": rng.poisson(2 + 2 * group).astype(np.float64),
            "grid": np.rint(rng.normal(6 * group + 20, 5, n)),
            "atom": np.where(rng.random(n) < 0.25, 0.0, rng.normal(group, 1)),
            "number": rng.normal(2.0 * group, 1, n),
        }
    )
    for column in ("category", "count", "number"):
        frame.loc[rng.random(n) < 0.1, column] = np.nan
    return frame


def quadrature(low: float, high: float, n_cells: int = 2000) -> tuple[Array, Array]:
    """Points and weights of the integral from ``low`` to ``high``."""
    t, weight = leggauss(4)
    half = (high - low) / n_cells / 2
    middle = low + half * (2 * np.arange(n_cells) + 1)
    return (middle[:, None] + half * t).ravel(), np.tile(half * weight, n_cells)


def sums(with_forest: bool) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Model, columns and the sum of its probability over all their values."""
    frame = random_table(np.random.default_rng(0))
    columns, codes = Columns.read(frame)
    train, valid = codes[:400], codes[400:]
    marginals = Marginals(columns, train, valid, 0)
    models: dict[str, Model] = {
        "marginals": marginals,
        "Chow-Liu": fit_tree(marginals, train, valid),
        "mixture": fit_mixture(columns, train, valid, 0),
    }
    if with_forest:
        models["arfpy"] = fit_forest(columns, train, valid, 0)
    x, weight = quadrature(-15, 20)
    values = {
        0: (np.arange(4.0), np.ones(4)),  # 3: a category that was not seen
        1: (np.arange(-100.0, 200), np.ones(300)),
        2: (np.arange(-150.0, 250), np.ones(400)),
        3: (np.append(x, 0.0), np.append(weight, 1.0)),
        4: (x, weight),
    }
    for name, model in models.items():
        for some in (*combinations(range(5), 1), (0, 1), (0, 2), (0, 3), (0, 4), (1, 2)):
            rows = np.array(list(product(*(values[j][0] for j in some))))
            weights = np.array(list(product(*(values[j][1] for j in some)))).prod(axis=1)
            table = np.full((len(rows), 5), np.nan)
            table[:, list(some)] = rows
            total = float(np.sum(weights * np.exp(model.score(table))))
            yield name, tuple(str(frame.columns[j]) for j in some), total
