"""Orders of chains and the laws that they serve; chains learned again from all rows."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from neurolp import BrainDensity
from neurolp.data.columns import Columns
from neurolp.estimators import table_cells
from neurolp.mixed.average import fit_cell_average
from neurolp.mixed.chain import Chain
from neurolp.mixed.chain_learning import BoostingConfig, fit_chain, refit_chain
from neurolp.mixed.orders import column_orders

N_CELLS, ORDERED = np.array([3, 2, 4]), np.array([False, False, True])
ALL = np.array(list(product(*map(range, N_CELLS))))


def table(n, seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, n)
    b = (rng.random(n) < 0.15 + 0.35 * a).astype(int)
    return np.column_stack([a, b, np.minimum(rng.poisson(0.5 + a * b), 3)])


def test_columns_of_low_rank_are_first_in_one_half_of_the_orders_and_last_in_the_other():
    rank = np.array([1, 0, 2, 0, 1, 0])
    orders = column_orders(np.ones((6, 6)), rank, 8, np.random.default_rng(0))
    signs = [int(np.sign(rank[order][-1] - rank[order][0])) for order in orders]
    for order, sign in zip(orders, signs, strict=True):
        assert np.all(np.diff(sign * rank[order]) >= 0)
    assert signs == [1, -1, -1, 1, 1, -1, -1, 1]
    assert len({tuple(order) for order in orders}) == 8


def frame(n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    x = rng.standard_normal(n) + kind
    return pd.DataFrame(
        {
            "x": x,
            "count": rng.poisson(np.exp(0.4 * x)),
            "kind": pd.Categorical.from_codes(kind, list("uvw")),
            "yes": rng.random(n) < 1 / (1 + np.exp(-2 * x)),
        }
    )


def test_a_law_of_some_columns_has_only_chains_that_begin_with_them():
    columns = Columns.infer(frame(600, 0))
    codes = columns.encode(frame(600, 0))
    nominal = np.array([False, False, True, True])
    fitted = fit_cell_average(
        columns, codes[:400], codes[400:], 0, rank=1 - nominal.astype(int),
        laws={"nominal": nominal},
    ).final  # fmt: skip
    used = fitted.laws["nominal"].weights > 0
    chains = [m for m, use in zip(fitted.models, used, strict=True) if use and isinstance(m, Chain)]
    assert chains
    for chain in chains:
        assert set(chain.layout.order[:2]) == {2, 3}
    others = [m for m, use in zip(fitted.models, used, strict=True) if not use]
    others = [m for m in others if isinstance(m, Chain)]
    assert any(set(chain.layout.order[-2:]) == {2, 3} for chain in others)
    rows = np.array([[np.nan, np.nan, k, b] for k in range(3) for b in range(2)])
    assert np.exp(fitted.log_prob(rows, "nominal")).sum() == pytest.approx(1, abs=1e-12)


def test_again_from_the_same_rows_it_is_the_same_chain():
    train, validation = table(500, 0), table(200, 1)
    config = BoostingConfig(n_leaves=4)
    first = fit_chain(train, validation, N_CELLS, ORDERED, np.array([2, 0, 1]), config)
    assert len(first.value) > 10
    assert first.ridge.any()
    again = refit_chain(first, train, config, smooth=[False] * 3)
    np.testing.assert_array_equal(again.tree, first.tree)
    np.testing.assert_allclose(again.value, first.value, atol=1e-3)
    np.testing.assert_allclose(again.log_prob(ALL), first.log_prob(ALL), atol=1e-3)


def test_from_more_rows_it_is_nearer_to_the_truth_and_normalised():
    truth = np.array([np.sum(np.all(table(200_000, 2) == row, axis=1)) for row in ALL]) / 200_000
    gains = []
    for seed in range(5):
        train, validation = table(150, 3 + seed), table(150, 30 + seed)
        config = BoostingConfig(n_leaves=4)
        first = fit_chain(train, validation, N_CELLS, ORDERED, np.arange(3), config)
        again = refit_chain(first, np.vstack([train, validation]), config, smooth=[False] * 3)
        assert np.exp(again.log_prob(ALL)).sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_array_equal(again.first_tree, first.first_tree)
        gains.append(truth @ (again.log_prob(ALL) - first.log_prob(ALL)))
    assert np.mean(gains) > 0.005


def test_rows_that_fit_holds_out_are_learned_from_in_the_end_and_given_ones_are_not(monkeypatch):
    rng = np.random.default_rng(4)
    train = pd.DataFrame({"a": rng.choice(list("xy"), 300), "b": rng.choice(list("pqr"), 300)})
    given = pd.DataFrame({"a": ["x"] * 150, "b": ["p"] * 150})
    row, whole = given[:1], pd.concat([train, given], ignore_index=True)

    def probability(rows, **options):
        model = BrainDensity(random_state=0, validation_fraction=0.5).fit(rows, **options)
        return float(np.exp(model.score_samples(row)[0]))

    def frequency(rows):
        return float(((rows.a == "x") & (rows.b == "p")).mean())

    assert probability(train, X_validation=given) < 2 * frequency(train)
    final = probability(whole)
    monkeypatch.setattr(table_cells, "MANY_ROWS", 0)
    half = probability(whole)
    assert half != final
    assert abs(final - frequency(whole)) < 0.01 < abs(half - frequency(whole))
