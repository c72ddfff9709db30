"""Targets of ConditionalDensity that are no densities: masses of ordinal and nominal ones."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

import neurolp
from neurolp import ConditionalDensity, ConfigurationError, DataError

QUICK = {
    "hidden": (16,),
    "decays": (1.0,),
    "input_noise": (0.0,),
    "n_members": 3,
    "max_epochs": 60,
    "rate": 0.01,
    "random_state": 0,
}
GRADES = ["poor", "fair", "good", "best"]


def inputs(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 2)), rng


def counts(n=400, seed=0):
    X, rng = inputs(n, seed)
    rate = np.exp(0.8 + 0.6 * X[:, 0])
    return X, rng.poisson(rate), rate


@pytest.fixture(scope="module")
def counting():
    X, y, _ = counts()
    return ConditionalDensity(**QUICK).fit(X, y)


@pytest.fixture(scope="module")
def grading():
    X, rng = inputs()
    place = np.digitize(X[:, 0] + 0.6 * rng.standard_normal(len(X)), [-1.0, 0.0, 1.0])
    y = pd.Series(pd.Categorical.from_codes(place, GRADES, ordered=True))
    return X, y, ConditionalDensity(**QUICK).fit(X, y)


def test_the_mass_of_counts_sums_to_1_and_all_questions_agree_with_it(counting):
    X = inputs(6, 1)[0]
    k = np.arange(-500, 1500)
    mass = np.exp(counting.log_prob(np.repeat(X, len(k), axis=0), np.tile(k, 6))).reshape(6, -1)
    np.testing.assert_allclose(mass.sum(axis=1), 1.0, atol=1e-6)  # tails go on
    for value in (0, 2, 5):
        at = np.full(6, value)
        np.testing.assert_allclose(counting.pit(X, at), mass[:, k <= value].sum(axis=1), atol=1e-6)
        np.testing.assert_array_equal(counting.pit(X, at + 0.4), counting.pit(X, at))
        assert np.all(counting.log_prob(X, at + 0.5) == -np.inf)
    for q in (0.05, 0.5, 0.9):
        found = counting.predict_quantile(X, q)
        assert np.all(found == np.rint(found))
        assert np.all(counting.pit(X, found) >= q)
        assert np.all(counting.pit(X, found - 1) < q)
    np.testing.assert_array_equal(
        counting.inverse_pit(X, np.full(6, 0.3)), counting.predict_quantile(X, 0.3)
    )
    np.testing.assert_allclose(counting.predict(X), mass @ k, atol=1e-3)
    draws = counting.sample(X, 4000, random_state=0)
    assert draws.dtype == np.int64
    assert draws.shape == (4000, 6)
    for row in range(6):
        for value in (1, 3):
            p = mass[row, k == value][0]
            assert abs(np.mean(draws[:, row] == value) - p) < 5 * np.sqrt(p / 4000)
    assert counting.targets_.columns.kinds == ("ordinal",)
    assert not hasattr(counting, "predict_proba")


def test_values_beyond_those_seen_are_expected_in_half_a_row_at_most(counting):
    X, y, _ = counts()
    below, above = (counting.pit(X, np.full(len(X), k)) for k in (-1, y.max()))
    assert 0 < below.sum() <= 0.5
    assert 0 < np.sum(1 - above) <= 0.5


def test_counts_approach_the_truth():
    X_test, y_test, rate = counts(20_000, 9)
    truth = poisson(rate).logpmf(y_test).mean()
    excess = []
    for n in (100, 1600):
        X, y, _ = counts(n, n)
        excess.append(truth - ConditionalDensity(**QUICK).fit(X, y).score(X_test, y_test))
    assert 0 < excess[1] < 0.5 * excess[0]


def test_a_mass_is_that_of_the_units_of_the_target(counting):
    X, y, _ = counts()
    tens = ConditionalDensity(**QUICK).fit(X, 10 * y - 30)
    assert tens.targets_.columns[0].step == 10
    np.testing.assert_allclose(tens.log_prob(X, 10 * y - 30), counting.log_prob(X, y), atol=1e-5)


def test_ordered_categories_are_a_closed_list(grading):
    X, y, model = grading
    proba = model.predict_proba(X[:50])
    assert proba.shape == (50, 4)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-9)
    each = [model.log_prob(X[:50], pd.Categorical([g] * 50, GRADES, ordered=True)) for g in GRADES]
    np.testing.assert_allclose(np.exp(each).T, proba, atol=1e-12)
    cdf = [model.pit(X[:50], pd.Categorical([g] * 50, GRADES, ordered=True)) for g in GRADES]
    np.testing.assert_allclose(np.transpose(cdf), np.cumsum(proba, axis=1), atol=1e-9)
    median = model.predict(X[:50])
    assert set(median) <= set(GRADES)
    np.testing.assert_array_equal(median, model.predict_quantile(X[:50], 0.5))
    ends = model.predict_quantile(X[:3], [0.0, 1.0])
    assert ends.tolist() == [["poor", "best"]] * 3
    assert set(model.sample(X[:9], 50, random_state=0).ravel()) <= set(GRADES)
    frequent = y.value_counts(normalize=True)
    assert model.score(X, y) > np.sum(frequent * np.log(frequent)) + 0.2


@pytest.mark.parametrize("values", [["cat", "dog", "hen"], [True, False, True], [0, 1, 1]])
def test_nominal_targets_have_a_softmax(values):
    X, rng = inputs()
    place = (X[:, 0] + 0.5 * rng.standard_normal(len(X)) > 0).astype(int) + (X[:, 1] > 1)
    y = np.array(values)[place]
    model = ConditionalDensity(**QUICK).fit(X, y)
    known = model.targets_.columns[0].categories
    proba = model.predict_proba(X)
    assert proba.shape == (len(X), len(known)) == (len(X), len(set(values)))
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-12)
    at = [known.index(value) for value in y.tolist()]
    np.testing.assert_allclose(np.exp(model.log_prob(X, y)), proba[np.arange(len(X)), at])
    assert model.predict(X).dtype.kind == ("O" if y.dtype.kind == "U" else y.dtype.kind)
    assert np.mean(model.predict(X) == y) > 0.7
    draws = model.sample(X[:4], 3000, random_state=0)
    assert draws.shape == (3000, 4)
    share = np.mean(draws == known[0], axis=0)
    assert np.all(abs(share - proba[:4, 0]) < 5 * np.sqrt(0.25 / 3000))
    for method in (model.pit, model.inverse_pit):
        with pytest.raises(ConfigurationError, match="needs a target whose values have an order"):
            method(X, y)
    with pytest.raises(ConfigurationError, match="`predict_quantile` needs a target"):
        model.predict_interval(X)


def test_names_of_categories_change_nothing():
    X, rng = inputs(120)
    y = np.array(["a", "b", "c"])[rng.integers(0, 3, 120)]
    other = np.array([{"a": "z", "b": "a", "c": "m"}[v] for v in y])
    quick = ConditionalDensity(**{**QUICK, "max_epochs": 5})
    first = quick.fit(X, y).log_prob(X, y)
    np.testing.assert_array_equal(quick.fit(X, other).log_prob(X, other), first)


def test_what_is_a_density_and_what_is_not():
    rng = np.random.default_rng(0)
    X, normal = rng.standard_normal((60, 1)), rng.standard_normal(60)
    quick = {**QUICK, "max_epochs": 1, "trees": False}
    for y, kind in (
        (normal, "continuous"),
        (np.round(5 * normal), "ordinal"),
        (np.round(normal, 1), "ordinal"),
        (np.round(normal, 3), "continuous"),
        ((normal > 0).astype(float), "nominal"),
        (pd.Series(np.round(5 * normal), dtype="Int64"), "ordinal"),
    ):
        assert ConditionalDensity(**quick).fit(X, y).targets_.columns.kinds == (kind,)
    said = ConditionalDensity(**quick, target_kind="continuous").fit(X, np.round(5 * normal))
    assert said.units_[0].axis is None
    said = ConditionalDensity(**quick, target_kind="ordinal").fit(X, (normal > 0).astype(int))
    assert said.targets_.columns.kinds == ("ordinal",)
    assert np.all((said.predict(X) > -0.5) & (said.predict(X) < 1.5))


def test_several_targets_each_of_its_kind():
    X, rng = inputs(600)
    count = rng.poisson(np.exp(0.5 + 0.5 * X[:, 0]))
    y = pd.DataFrame({
        "count": count, "price": count + 0.3 * rng.standard_normal(600), "sold": (count > 1) * 1
    })  # fmt: skip
    model = ConditionalDensity(**QUICK).fit(X, y)
    assert model.targets_.columns.kinds == ("ordinal", "continuous", "ordinal")
    k = np.arange(-30, 60)
    one = y[:1].to_numpy(np.float64)
    at = np.repeat(one, len(k), axis=0)
    at[:, 0] = k
    first = model.units_[0].log_prob(np.repeat(X[:1], len(k), axis=0), k.astype(float))
    assert np.exp(first).sum() == pytest.approx(1.0, abs=1e-6)
    each = [
        unit.log_prob(np.hstack([X[:1], one[:, :i]]), one[:, i])[0]
        for i, unit in enumerate(model.units_)
    ]
    assert model.log_prob(X[:1], one)[0] == pytest.approx(sum(each))
    draws = model.sample(X[:5], 200, random_state=0)
    assert draws.shape == (200, 5, 3)
    assert np.all(draws[..., [0, 2]] == np.rint(draws[..., [0, 2]]))
    assert np.mean(abs(draws.mean(axis=0) - model.predict(X[:5]))) < 0.3
    assert model.predict_quantile(X[:4], [0.2, 0.8]).shape == (4, 3, 2)
    np.testing.assert_array_equal(
        model.predict_quantile(X[:4], 0.8), model.predict_quantile(X[:4], [0.2, 0.8])[..., 1]
    )
    u = model.pit(X[:20], y[:20])
    np.testing.assert_allclose(model.inverse_pit(X[:20], u - 1e-12), y[:20], atol=1e-5)


@pytest.mark.parametrize("kind", ["counts", "grades", "names"])
def test_a_saved_model_is_the_same(kind, tmp_path):
    X, rng = inputs(80)
    place = rng.integers(0, 4, 80)
    y = {
        "counts": place,
        "grades": pd.Categorical.from_codes(place, GRADES, ordered=True),
        "names": np.array(GRADES)[place],
    }[kind]
    model = ConditionalDensity(**{**QUICK, "max_epochs": 3}).fit(X, y)
    model.save(tmp_path / "model.h5")
    again = neurolp.load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.log_prob(X, y), model.log_prob(X, y))
    np.testing.assert_array_equal(
        again.sample(X, 2, random_state=1), model.sample(X, 2, random_state=1)
    )


def test_wrong_targets_are_named_in_one_line(grading):
    X, _, model = grading
    n = len(X)
    fit = ConditionalDensity(**{**QUICK, "max_epochs": 1}).fit
    days = pd.Series(pd.date_range("2024-01-01", periods=n))
    for y, message in (
        (pd.DataFrame({"a": np.arange(n), "b": ["x", "y"] * (n // 2)}), "of which 'b' is nominal"),
        (days, "must hold numbers or categories, but column 0 has dates"),
        (pd.Series([1, None] * (n // 2), dtype="Int64"), "must not have missing values, but has one at row 1"),
        (np.array(["x", None] * (n // 2), dtype=object), "but has one at row 1, column 0"),
        (np.array([1, "x"] * (n // 2), dtype=object), "must not mix numbers and strings"),
        (np.array([None] * n, dtype=object), "must not be missing, but column 0 is"),
        (np.arange(n) * 2.0**44 + (np.arange(n) == 1), "must not have steps as small as 1"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message) as caught:
            fit(X, y)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="`target_kind` asks for what column 0 of `y`"):
        ConditionalDensity(target_kind="continuous").fit(X, ["x", "y"] * (n // 2))
    with pytest.raises(ConfigurationError, match="argument `target_kind` must be 'auto', "):
        ConditionalDensity(target_kind="count").fit(X, np.arange(n))
    with pytest.raises(DataError, match=r"must have values that are in `y` of fit.*at row 0"):
        model.log_prob(X[:1], pd.Categorical(["worst"]))
    with pytest.raises(DataError, match="must have values on the grid of `y`, but row 1 has"):
        fit(X, np.arange(n), X_validation=X[:2], y_validation=[1.0, 1.5])


@pytest.mark.parametrize("scale", [1.0, 1e-10])
def test_an_absurd_target_of_a_validation_row_breaks_nothing(scale):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 2)), scale * rng.standard_normal(40)
    given = {"X_validation": X[:5], "y_validation": np.array([*y[:4], 1e308])}
    model = ConditionalDensity(hidden=(4,), n_members=2, max_epochs=5, random_state=0)
    model.fit(X, y, **given)
    assert np.all(np.isfinite(model.log_prob(X, y)))
