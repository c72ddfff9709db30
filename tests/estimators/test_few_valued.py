"""Columns of few values: 0/1, one-hot and small integers must fit, evolve back and be drawn."""

import numpy as np
import pytest

from neurolp import BrainDensity, TriangularDensity
from neurolp.brain.heads.tree import _cut

N_ROWS = 200


def one_hot(n_classes, rng):
    return np.eye(n_classes)[rng.integers(0, n_classes, N_ROWS)]


TABLES = {
    "0/1": lambda rng: rng.integers(0, 2, (N_ROWS, 3)),
    "one-hot": lambda rng: one_hot(3, rng),
    "integers": lambda rng: rng.integers(0, 5, (N_ROWS, 4)),
    "mixed": lambda rng: np.hstack([rng.standard_normal((N_ROWS, 2)), one_hot(3, rng)]),
    "rare": lambda rng: np.column_stack([np.arange(N_ROWS) < 4, rng.poisson(1, N_ROWS)]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("estimator", [BrainDensity, TriangularDensity])
@pytest.mark.parametrize("table", sorted(TABLES))
def test_columns_of_few_values_fit(estimator, table):
    X = TABLES[table](np.random.default_rng(0)).astype(float)
    model = estimator(random_state=0).fit(X)
    assert np.all(np.isfinite(model.score_samples(X)))
    assert np.all(np.isfinite(model.sample(20, random_state=0)))


def test_no_bin_of_a_gate_is_empty():
    rng = np.random.default_rng(1)
    for values in (2, 3, 7):
        parent = rng.integers(0, values, 400).astype(float)
        levels = (parent * 15 // values).astype(np.intp)
        gain, edges = _cut(parent, levels)
        assert gain > 0
        held = np.bincount(np.searchsorted(edges, parent, side="right"), minlength=len(edges) + 1)
        assert len(edges)
        assert held.min() > 0


def test_neighbouring_numbers_are_told_apart():
    low = 1.0
    parent = np.repeat([low, np.nextafter(low, 2)], 100)
    _, edges = _cut(parent, np.repeat([0, 15], 100))
    assert len(edges) == 1
    assert np.array_equal(np.searchsorted(edges, parent, side="right"), np.repeat([0, 1], 100))
