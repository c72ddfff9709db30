"""Kernels of latent classes and dependence trees against sums over all combinations of cells."""

from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp

from neurolp.mixed.classes import LatentClasses
from neurolp.mixed.dependence_tree import DependenceTree
from neurolp.mixed.groups import CellGroups

N_CELLS = np.array([2, 3, 1, 4])
ALL = np.array(list(product(*map(range, N_CELLS))))
RNG = np.random.default_rng(0)


def alone(n_cells):
    """Every cell a group."""
    group = np.concatenate([np.arange(k) for k in n_cells])
    return CellGroups(np.concatenate([[0], np.cumsum(n_cells)]), group, np.zeros(len(group)))


def classes():
    theta = [RNG.dirichlet(np.ones(k), 5).T for k in N_CELLS]
    offset = np.concatenate([[0], np.cumsum(N_CELLS)])
    return LatentClasses(
        alone(N_CELLS), offset, RNG.dirichlet(np.ones(5)), np.log(np.vstack(theta))
    )


def tree():
    parent = np.array([1, -1, 0, 1])
    above = [1 if p < 0 else N_CELLS[p] for p in parent]
    tables = [np.log(RNG.dirichlet(np.ones(k), a)) for k, a in zip(N_CELLS, above, strict=True)]
    return DependenceTree(alone(N_CELLS), parent, np.array([1, 0, 3, 2]), tuple(tables))


@pytest.mark.parametrize("make", [classes, tree])
def test_missing_cells_are_summed_over(make):
    model = make()
    joint = model.log_prob(ALL)
    assert logsumexp(joint) == pytest.approx(0, abs=1e-14)
    for gaps in product([False, True], repeat=4):
        rows = np.where(gaps, -1, ALL)
        for row, found in zip(rows, model.log_prob(rows), strict=True):
            agree = np.all((row < 0) | (row == ALL), axis=1)
            assert found == pytest.approx(logsumexp(joint[agree]), abs=1e-13)


@pytest.mark.parametrize("make", [classes, tree])
def test_draws_keep_what_is_known_and_follow_the_rest(make):
    model = make()
    row = np.array([-1, 1, -1, 3])
    drawn = model.sample(np.tile(row, (40_000, 1)), np.random.default_rng(1))
    assert np.all(drawn[:, [1, 3]] == [1, 3])
    agree = ALL[np.all((row < 0) | (row == ALL), axis=1)]
    expected = np.exp(model.log_prob(agree) - model.log_prob(row[None]))
    np.testing.assert_allclose(np.bincount(drawn[:, 0]) / 40_000, expected, atol=0.012)


def test_messages_of_many_columns_do_not_vanish():
    d, n = 400, 3
    parent = np.concatenate([[-1], np.zeros(d - 1, dtype=np.int64)])
    table = np.log(np.array([[0.9, 0.1, 1e-7], [0.2, 0.8, 1e-7], [1e-9, 1e-8, 1.0]]))
    model = DependenceTree(
        alone(np.full(d, 3)),
        parent,
        np.arange(d),
        (np.log(np.full((1, 3), 1 / 3)), *[table] * (d - 1)),
    )
    rows = np.random.default_rng(2).integers(0, 3, (n, d))
    rows[:, 0] = -1
    terms = np.log(1 / 3) + table[:, rows[:, 1:]].sum(axis=2).T
    np.testing.assert_allclose(model.log_prob(rows), logsumexp(terms, axis=1), rtol=1e-12)


def test_scores_do_not_depend_on_the_other_rows():
    rows = np.where(RNG.random(ALL.shape) < 0.3, -1, ALL)
    for model in (classes(), tree()):
        alone = np.concatenate([model.log_prob(row[None]) for row in rows])
        np.testing.assert_array_equal(model.log_prob(rows), alone)
