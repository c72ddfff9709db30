"""Boosted trees: histograms and splits against brute force, values of leaves, sums of trees."""

import numpy as np
import pytest

from neurolp.differentiation.boosted_trees import listed_bins
from neurolp.kernels import boosting, tree_growing
from neurolp.mixed.features import FeatureLayout
from tests import naive

RIDGE, LEAST_ROWS, LEAST_HESSIAN = 1.0, 3.0, 0.1


@pytest.fixture
def table():
    """Cells of six columns of several kinds with holes, and their features."""
    rng = np.random.default_rng(0)
    n_cells, ordered = np.array([2, 5, 1, 3, 9, 2]), np.array([0, 1, 0, 0, 1, 0], dtype=bool)
    cells = np.column_stack([rng.integers(0, k, 200) for k in n_cells])
    cells[:, 5] = rng.random(200) < 0.05  # sparse
    cells[rng.random(cells.shape) < 0.1] = -1
    layout = FeatureLayout.of(np.array([4, 0, 2, 3, 1, 5]), n_cells, ordered)
    codes = layout.codes(cells)
    return cells, layout, codes, *listed_bins(codes, layout.offset)


def moments(gradient, hessian):
    return np.column_stack([gradient, hessian, np.ones(len(gradient))])


def grow(table, gradient, hessian, n_leaves, n_features=None, rows=None):
    _, layout, codes, usual, start, bins = table
    n = layout.n_features if n_features is None else n_features
    rows = np.arange(len(codes), dtype=np.int32) if rows is None else rows
    tree, value = np.full((2 * n_leaves, 4), -7, dtype=np.int32), np.zeros(2 * n_leaves)
    leaves = np.zeros((n_leaves, 3), dtype=np.int64)
    scratch = np.empty((n_leaves, layout.offset[-1], 3)), np.empty(len(rows), dtype=np.int32)
    n_nodes = tree_growing.grow_tree(
        rows, moments(gradient, hessian), codes, start, bins, layout.offset, usual, layout.missing, n,
        n_leaves, 1.0, RIDGE, LEAST_ROWS, LEAST_HESSIAN, *scratch, leaves, tree, value,
    )  # fmt: skip
    return rows, leaves[: (n_nodes + 1) // 2], tree[:n_nodes], value[:n_nodes]


def test_the_first_split_has_the_greatest_gain_of_all(table):
    _, layout, codes, *_ = table
    rng = np.random.default_rng(1)
    for n_features in range(1, layout.n_features + 1):
        g, h = rng.standard_normal(200), rng.uniform(0.05, 0.25, 200)
        rows, leaves, _, value = grow(table, g, h, 2, n_features)
        whole = g.sum() ** 2 / (h.sum() + RIDGE)
        found = -whole
        for first, last, node in leaves:
            mine = rows[first:last]
            found += g[mine].sum() ** 2 / (h[mine].sum() + RIDGE)
            assert value[node] == pytest.approx(-g[mine].sum() / (h[mine].sum() + RIDGE))
        best = naive.best_gain(
            codes[:, :n_features], layout.missing, g, h, RIDGE, LEAST_ROWS, LEAST_HESSIAN
        )
        assert found == pytest.approx(best)


def test_leaves_partition_the_rows_as_the_tree_says(table):
    _, layout, codes, *_ = table
    rng = np.random.default_rng(2)
    chosen = np.sort(rng.permutation(200)[:150]).astype(np.int32)
    g, h = rng.standard_normal(200), rng.uniform(0.05, 0.25, 200)
    rows, leaves, tree, value = grow(table, g, h, 9, rows=chosen.copy())
    np.testing.assert_array_equal(np.sort(rows), chosen)
    for first, last, node in leaves:
        assert last - first >= LEAST_ROWS
        for i in rows[first:last]:
            assert naive.tree_sum(codes[i], tree, value, [0], 0, 1, layout.missing) == value[node]
    out = np.zeros(len(chosen))
    roots = np.array([0, len(tree)])
    boosting.add_trees_at(codes, chosen, tree, value, roots, 0, 1, layout.missing, out)
    everywhere = np.zeros(200)
    boosting.add_trees(codes, tree, value, roots, 0, 1, layout.missing, everywhere)
    np.testing.assert_array_equal(out, everywhere[chosen])
    for i, total in zip(chosen, out, strict=True):
        assert total == naive.tree_sum(codes[i], tree, value, roots, 0, 1, layout.missing)


def test_boosting_keeps_the_rounds_of_least_validation_loss(table):
    cells, layout, codes, usual, *_ = table
    rng = np.random.default_rng(3)
    answer = (rng.random(200) < np.where(cells[:, 4] > 4, 0.8, 0.2)).astype(np.int8)
    rows = np.arange(150, dtype=np.int32)
    tree, value = np.empty((1000, 4), np.int32), np.empty(1000)
    root = np.zeros(101, np.int64)
    n = boosting.boost_logistic(
        rows, np.arange(150, 200, dtype=np.int32), answer, np.zeros(200), codes,
        layout.offset, usual, layout.missing, layout.n_features, 100, 10, 4, 0.1, RIDGE,
        LEAST_ROWS, LEAST_HESSIAN, 1.0, tree, value, root,
    )  # fmt: skip
    losses = []
    for k in range(n + 3):
        f = np.zeros(200)
        boosting.add_trees(codes, tree, value, root, 0, k, layout.missing, f)
        each = np.logaddexp(0.0, np.where(answer == 1, -f, f))
        losses.append((each[:150].mean(), each[150:].mean()))
    training, validation = np.array(losses).T
    assert n > 3
    assert np.argmin(validation) == n
    assert np.all(np.diff(training) < 0)
    assert validation[n] < validation[0] - 0.05


def test_histograms_of_listed_bins_are_those_of_all_bins(table):
    _, layout, codes, *_ = table
    rng = np.random.default_rng(4)
    g, h = rng.standard_normal(200), rng.uniform(0.05, 0.25, 200)
    rows, n = np.sort(rng.permutation(200)[:90]).astype(np.int32), layout.n_features - 2
    found = []
    for usual in (np.full(layout.n_features, -1), codes[7].astype(np.int64)):
        listed = codes != usual
        start = np.concatenate([[0], np.cumsum(listed.sum(axis=1))])
        bins = (codes + layout.offset[:-1])[listed].astype(np.int32)
        out = np.empty((layout.offset[-1], 3))
        tree_growing.histogram(
            rows, 0, 90, moments(g, h), start, bins, layout.offset, usual, n, out
        )
        found.append(out[: layout.offset[n]])
    np.testing.assert_allclose(*found, atol=1e-13)
    b = layout.offset[1] + codes[rows, 1]
    np.testing.assert_allclose(
        found[0][:, 0][layout.offset[1] : layout.offset[2]],
        np.bincount(b, weights=g[rows], minlength=layout.offset[2])[layout.offset[1] :],
        atol=1e-13,
    )


def test_rows_that_are_alike_are_found_and_counted(table):
    _, _, codes, *_ = table
    rng = np.random.default_rng(5)
    some = np.ascontiguousarray(codes[:, :2])
    answer = rng.integers(0, 2, 200).astype(np.int8)
    start = rng.choice([0.0, -0.0, 0.25], 200)
    rows, times = boosting.distinct(some, answer, start)
    keys = [(*c, a, str(z)) for c, a, z in zip(some.tolist(), answer, start, strict=True)]
    first = {key: r for r, key in reversed(list(enumerate(keys)))}
    assert 1 < len(rows) < 200
    assert rows.tolist() == sorted(first.values())
    assert times.tolist() == [keys.count(keys[r]) for r in rows]


def test_a_search_among_rows_that_differ_is_given_up():
    n = boosting._FIRST_ROWS + 500
    codes = np.column_stack([np.arange(n) % 300, np.arange(n) // 300]).astype(np.uint16)
    codes[-400:] = codes[:400]
    rows, times = boosting.distinct(codes, np.zeros(n, np.int8), np.zeros(n))
    assert rows.tolist() == list(range(n))
    assert np.all(times == 1.0)


def test_repeated_rows_give_the_trees_of_counted_ones(table):
    """Twice all rows: the same splits, values of twice the sums, as a smaller ridge gives them."""
    _, layout, codes, usual, *_ = table
    answer = (codes[:, 0] > 4).astype(np.int8)
    answer[::7] ^= 1
    found = []
    for rows, ridge, least in (
        (np.arange(150), RIDGE / 2, 1.5), (np.repeat(np.arange(150), 2), RIDGE, 3.0),
    ):  # fmt: skip
        tree, value = np.empty((200, 4), np.int32), np.empty(200)
        root = np.zeros(6, np.int64)
        n = boosting.boost_logistic(
            rows.astype(np.int32), np.empty(0, np.int32), answer, np.zeros(200), codes,
            layout.offset, usual, layout.missing, layout.n_features, 5, 10, 4, 0.1, ridge,
            least, 0.0, 1.0, tree, value, root,
        )  # fmt: skip
        assert n == 5
        found.append((tree[: root[n]], value[: root[n]]))
    np.testing.assert_array_equal(found[0][0][:, 0], found[1][0][:, 0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9)
