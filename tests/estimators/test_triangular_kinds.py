"""TriangularDensity on tables of any columns: distribution functions, quantiles, orders, holes."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

import neurolp
from neurolp import BrainDensity, ConfigurationError, DataError, TriangularDensity
from tests.estimators.test_tables import combinations, discrete, mixed

VALUED = ["size", "rain", "count", "grade", "same", "day"]  # no nominal column


@pytest.fixture(scope="module")
def valued():
    return TriangularDensity(random_state=0, max_layers=30).fit(mixed(500)[VALUED])


def test_it_is_the_triangular_construction_of_a_brain():
    frame, rows = mixed(300, holes=0.1), mixed(8, 3, holes=0.2)
    options = {"random_state": 0, "patience": 5}
    density = TriangularDensity(max_layers=15, **options).fit(frame)
    brain = BrainDensity(max_slices=15, constructions=("triangular",), **options).fit(frame)
    assert density.columns_ == brain.columns_
    found, wanted = (d.score_samples(rows, return_std=True) for d in (density, brain))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    pd.testing.assert_frame_equal(density.sample(20, 0), brain.sample(20, 0))
    pd.testing.assert_frame_equal(density.impute(rows), brain.impute(rows))
    np.testing.assert_allclose(density.predict_proba(rows, "who").sum(axis=1), 1)
    # Scores of rows with holes are estimates, which differ a little from those of fit.
    assert np.mean(density.predict(frame) == -1) == pytest.approx(0.1, abs=0.015)


def test_masses_of_all_combinations_sum_to_one(tmp_path):
    density = TriangularDensity(random_state=0, max_layers=10).fit(discrete(400))
    rows = combinations(density)
    assert np.exp(density.score_samples(rows)).sum() == pytest.approx(1, abs=1e-9)
    density.save(tmp_path / "a.h5")
    again = neurolp.load(tmp_path / "a.h5")
    np.testing.assert_array_equal(again.score_samples(rows), density.score_samples(rows))
    assert np.array_equal(again.order_, density.order_)


def test_a_table_without_a_column_that_has_an_order_has_no_map():
    frame = discrete(100)[["who", "same"]]
    density = TriangularDensity(random_state=0).fit(frame)
    assert (density.map_, density.n_layers_, list(density.order_)) == (None, 0, [0, 1])
    rows = pd.DataFrame({"who": density.categories_["who"], "same": "always"})
    p = np.exp(density.score_samples(rows.astype({"who": frame["who"].dtype})))
    assert p.sum() == pytest.approx(1, abs=1e-9)
    only = TriangularDensity(random_state=0).fit(frame[["same"]])
    np.testing.assert_allclose(only.score_samples(frame[["same"]]), 0, atol=1e-12)
    assert np.array_equal(only.cdf(frame[["same"]]), np.ones((100, 1)))
    pd.testing.assert_frame_equal(only.quantile(np.full((100, 1), 0.5)), frame[["same"]])


def test_masses_are_differences_of_the_distribution_function(valued):
    row = mixed(3, 1)[VALUED].iloc[[0]]
    last = valued.order_[list(valued.order_).index(VALUED.index("same")) - 1]
    assert list(valued.order_)[-1] == VALUED.index("same")
    values = {
        "grade": pd.Categorical(list("dcba"), list("dcba"), ordered=True),
        "count": np.arange(-30, 60),
    }
    for name, column in values.items():
        many = pd.concat([row] * len(column), ignore_index=True).assign(**{name: column})
        j = VALUED.index(name)
        y = valued.cdf(many)[:, j]
        assert np.all(np.diff(y) >= 0)
        assert y[-1] == pytest.approx(1, abs=1e-4)
        if j == last:  # nothing else depends on it
            p = valued.predict_proba(row, name)[0]
            np.testing.assert_allclose(np.diff(y)[: len(p) - 1], p[1:], rtol=1e-6)
        lower = np.append(y[0] if name == "count" else 0.0, y[:-1])
        drawn = np.array([valued.pit(many, seed)[:, j] for seed in range(20)])
        assert np.all((drawn >= lower) & (drawn <= y) | (np.arange(len(y)) == 0))


def test_randomised_transforms_are_uniform_and_give_the_rows_back(valued):
    drawn = valued.sample(2000, 0)
    y = valued.pit(drawn, 1)
    for column in y.T:
        assert kstest(column, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(y.T) - np.eye(len(VALUED))).max() < 0.1
    back = valued.quantile(y)
    for name in VALUED:
        if name in ("size", "rain"):
            np.testing.assert_allclose(back[name], drawn[name], rtol=1e-6, atol=1e-9)
        elif name != "day":
            assert (back[name] == drawn[name]).all()
    assert ((back["rain"] == 0) == (drawn["rain"] == 0)).all()
    assert (back["day"] - drawn["day"]).abs().max() < pd.Timedelta("1s")
    assert (valued.cdf(drawn)[:, VALUED.index("same")] == 1).all()


def test_values_without_an_order_or_a_mass_are_told_apart(valued):
    named = TriangularDensity(random_state=0, max_layers=2).fit(mixed(60)[["size", "who"]])
    rows = mixed(3, 1)
    for ask in (named.cdf, named.pit, lambda X: named.quantile(np.full((2, 2), 0.5))):
        with pytest.raises(ConfigurationError, match=r"^.*order, but column 'who' is nominal$"):
            ask(rows[["size", "who"]])
    for density, what in ((named, "'who' is nominal"), (valued, "'rain' has atoms")):
        assert not hasattr(density, "transform")
        assert not hasattr(density, "inverse_transform")
        with pytest.raises(AttributeError, match="has no attribute 'transform'") as caught:
            density.transform(rows)
        assert what in str(caught.value.__cause__)
    with pytest.raises(DataError, match="row 1, column 'count'"):
        valued.cdf(rows[VALUED].assign(count=[1, 0.5, 2]))


def test_nominal_columns_come_first_in_every_order():
    frame = mixed(80)[["size", "who", "count", "same"]]

    def order(given):
        return list(TriangularDensity(random_state=0, max_layers=2, order=given).fit(frame).order_)

    assert order("given") == [1, 0, 2, 3]
    assert order([1, 2, 3, 0]) == order([3, 1, 2, 0]) == [1, 2, 0, 3]
    assert order("chosen")[0] == 1
    with pytest.raises(ConfigurationError, match=r"`order` must have nominal columns first.*'who'"):
        order([0, 1, 2, 3])


def test_holes_of_rows_are_integrated_out_where_training_rows_had_none():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
    density = TriangularDensity(random_state=0, max_layers=10).fit(X)
    assert density.cells_ is None
    rows = np.array([[0.5, np.nan], [np.nan, -1.0]])
    found, error = density.score_samples(rows, return_std=True)
    t = np.linspace(-8, 8, 4001)
    for i, j in ((0, 1), (1, 0)):
        many = np.tile(rows[i], (len(t), 1))
        many[:, j] = t
        total = np.log(np.exp(density.score_samples(many)).sum() * (t[1] - t[0]))
        assert abs(found[i] - total) < 5 * error[i] + 1e-6
    drawn = density.sample_conditional(rows[:1], 500, random_state=0)[:, 0]
    assert np.all(drawn[:, 0] == 0.5)
    assert drawn[:, 1].mean() == pytest.approx(0.4, abs=0.12)
    assert drawn[:, 1].std() == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("spread", [1e10, 1e15])
def test_integers_as_fine_as_a_line_have_masses_that_sum_to_one(spread):
    rng = np.random.default_rng(2)
    values = np.round(spread * rng.standard_normal(400)).astype(np.int64)
    model = TriangularDensity(max_layers=20, random_state=0).fit(pd.DataFrame({"a": values}))
    assert model.columns_.kinds == ("ordinal",)
    grid, apart = np.linspace(-12 * spread, 12 * spread, 40_001, retstep=True)
    mass = np.exp(model.score_samples(pd.DataFrame({"a": grid.astype(np.int64)})))
    assert mass.sum() * apart == pytest.approx(1.0, abs=1e-3)
    assert model.score(pd.DataFrame({"a": values})) == pytest.approx(
        -np.log(spread * np.sqrt(2 * np.pi * np.e)), abs=0.1
    )
