"""ConditionalDensity: exact laws per condition, and what a scikit-learn user meets."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolp import ConditionalDensity, ConfigurationError, DataError, NeurolpError
from neurolp.data.problems_conditional import bimodal_log_density, sample_bimodal

QUICK = {
    "hidden": (16, 16),
    "decays": (1.0,),
    "input_noise": (0.0,),
    "n_members": 3,
    "rate": 0.01,
    "random_state": 0,
}


@pytest.fixture(scope="module", params=["normal", "logistic"])
def bimodal(request):
    X, y = sample_bimodal(800, np.random.default_rng(0))
    return X, y, ConditionalDensity(**QUICK, component=request.param).fit(X, y)


@pytest.fixture(scope="module")
def pair():
    """Correlated Gaussian targets, y | x ~ N(A x, C), and a model of them."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((1500, 2))
    A, C = np.array([[1.0, -0.5], [0.0, 2.0]]), np.array([[1.0, 0.8], [0.8, 1.0]])
    y = X @ A.T + rng.standard_normal((1500, 2)) @ np.linalg.cholesky(C).T
    return X, y, A, C, ConditionalDensity(**QUICK).fit(X, y)


def gauss_legendre(ends, n=8):
    z, w = np.polynomial.legendre.leggauss(n)
    half = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + half * (z + 1)).ravel(), (half * w).ravel()


@pytest.mark.parametrize("x", [-1.9, -0.4, 0.0, 1.3, 3.0])
def test_density_integrates_to_1_for_each_condition(bimodal, x):
    _, _, model = bimodal
    levels = np.concatenate([np.geomspace(1e-14, 0.04, 20), np.linspace(0.05, 0.95, 10)])
    levels = np.unique(np.concatenate([levels, 1 - levels]))
    knots = model.predict_quantile([[x]], levels)[0]
    width = knots[-1] - knots[0]
    knots = np.concatenate([[knots[0] - width], knots, [knots[-1] + width]])
    at = np.arange(len(knots))  # quantiles take longest: eight parts of what is between two
    t, w = gauss_legendre(np.interp(np.linspace(0, at[-1], 8 * at[-1] + 1), at, knots), 20)
    mass = w * np.exp(model.log_prob(np.full((len(t), 1), x), t))
    assert mass.sum() == pytest.approx(1.0, abs=1e-8)
    mean = mass @ t
    assert model.predict([[x]])[0] == pytest.approx(mean, abs=1e-7 * max(1, width))


def test_density_is_the_slope_of_pit(bimodal):
    X, y, model = bimodal
    step = 1e-6
    slope = (model.pit(X, y + step) - model.pit(X, y - step)) / (2 * step)
    np.testing.assert_allclose(np.exp(model.log_prob(X, y)), slope, rtol=1e-5, atol=1e-8)


def test_quantile_inverts_pit_and_interval_is_two_of_them(bimodal):
    X, y, model = bimodal
    for q in (1e-6, 0.1, 0.5, 0.999):
        np.testing.assert_allclose(model.pit(X, model.predict_quantile(X, q)), q, atol=1e-9, rtol=0)
    level = model.pit(X, y)
    np.testing.assert_allclose(model.pit(X, model.inverse_pit(X, level)), level, atol=1e-9, rtol=0)
    interval = model.predict_interval(X, 0.8)
    assert interval.shape == (800, 2)
    np.testing.assert_array_equal(
        interval, model.predict_quantile(X, [0.5 * (1 - 0.8), 0.5 * (1 + 0.8)])
    )
    assert abs(np.mean((interval[:, 0] < y) & (y < interval[:, 1])) - 0.8) < 0.05
    assert list(model.predict_quantile(X[:1], [0.0, 1.0])[0]) == [-np.inf, np.inf]


def test_pit_of_samples_is_uniform(bimodal):
    """Over 100 seeds, no more small p-values than there should be."""
    X, _, model = bimodal
    p = [
        kstest(model.pit(X, model.sample(X, 1, random_state=s)[0]), "uniform").pvalue
        for s in range(100)
    ]
    assert kstest(p, "uniform").pvalue > 1e-3
    assert model.sample(X[:7], 5, random_state=0).shape == (5, 7)
    assert np.array_equal(model.sample(X, 2, random_state=3), model.sample(X, 2, random_state=3))


def test_learns_two_branches(bimodal):
    _, _, model = bimodal
    X, y = sample_bimodal(4000, np.random.default_rng(9))
    assert np.mean(bimodal_log_density(X, y) - model.log_prob(X, y)) < 0.1
    assert model.score(X, y) == pytest.approx(model.log_prob(X, y).mean())
    assert model.held_out_score_ == pytest.approx(model.score(X, y), abs=0.15)


def test_the_bimodal_problem_is_normalised_and_its_own_density():
    y = np.linspace(-8, 8, 20_001)
    for x in (-2.0, -0.3, 0.0, 1.1):
        density = np.exp(bimodal_log_density(np.full((len(y), 1), x), y))
        assert np.trapezoid(density, y) == pytest.approx(1, abs=1e-10)
    X, y = sample_bimodal(100_000, np.random.default_rng(0))
    near = abs(X[:, 0] - 1) < 0.1
    share = np.mean(y[near] > 0)
    assert share == pytest.approx(1 / (1 + np.exp(-2)), abs=0.02)


def test_units_of_the_target_change_the_density_by_the_jacobian_only(bimodal):
    X, y, model = bimodal
    other = ConditionalDensity(**QUICK, component=model.component).fit(X, 1024 * y - 4096)
    np.testing.assert_allclose(
        other.log_prob(X, 1024 * y - 4096),
        model.log_prob(X, y) - np.log(1024),
        rtol=1e-6,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        other.predict(X), 1024 * model.predict(X) - 4096, rtol=1e-6, atol=1e-3
    )


def test_no_worse_than_a_ridge_with_gaussian_noise_where_that_is_the_truth():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((2060, 8))
    y = 2 * X[:, 0] + rng.standard_normal(2060)
    model = ConditionalDensity(random_state=0).fit(X[:60], y[:60])
    entropy = -0.5 * np.log(2 * np.pi) - 0.5
    assert model.score(X[60:], y[60:]) > entropy - 0.2


def test_several_targets_against_the_closed_form(pair):
    *_, A, C, model = pair
    rng = np.random.default_rng(4)
    X_new = rng.standard_normal((500, 2))
    y_new = X_new @ A.T + rng.standard_normal((500, 2)) @ np.linalg.cholesky(C).T
    error = y_new - X_new @ A.T
    true = (
        -0.5 * np.einsum("ni,ij,nj->n", error, np.linalg.inv(C), error)
        - np.log(2 * np.pi)
        - 0.5 * np.log(np.linalg.det(C))
    )
    log_prob = model.log_prob(X_new, y_new)
    assert np.mean(true - log_prob) < 0.06
    assert np.sqrt(np.mean((model.predict(X_new) - X_new @ A.T) ** 2)) < 0.25
    # Marginal quantiles of the second target, whose variance given x is 1.
    expected = (X_new @ A.T)[:, 1] + 1.2815515655446004
    assert np.sqrt(np.mean((model.predict_quantile(X_new, 0.9)[:, 1] - expected) ** 2)) < 0.3
    draws = model.sample(X_new, 200, random_state=0)
    assert draws.shape == (200, 500, 2)
    correlation = np.corrcoef((draws - draws.mean(axis=0)).reshape(-1, 2).T)[0, 1]
    assert correlation == pytest.approx(0.8, abs=0.06)
    assert np.mean(abs(draws.mean(axis=0) - model.predict(X_new))) < 0.1


def test_several_targets_have_exact_transforms(pair):
    X, y, *_, model = pair
    u = model.pit(X[:50], y[:50])
    assert u.shape == (50, 2)
    np.testing.assert_allclose(model.inverse_pit(X[:50], u), y[:50], atol=1e-6)
    step = 1e-5
    for row in range(5):
        jacobian = np.empty((2, 2))
        for j in range(2):
            up, down = y[[row]].copy(), y[[row]].copy()
            up[0, j] += step
            down[0, j] -= step
            jacobian[:, j] = (model.pit(X[[row]], up) - model.pit(X[[row]], down))[0] / (2 * step)
        assert jacobian[0, 1] == 0
        log_det = np.log(np.linalg.det(jacobian))
        assert log_det == pytest.approx(model.log_prob(X[[row]], y[[row]])[0], abs=1e-5)
    for seed in range(5):
        draws = model.sample(X, 1, random_state=seed)[0]
        for column in model.pit(X, draws).T:
            assert kstest(column, "uniform").pvalue > 1e-4
    assert model.predict_interval(X[:3], 0.5).shape == (3, 2, 2)
    assert model.predict_quantile(X[:3], [0.1, 0.2, 0.3]).shape == (3, 2, 3)
    assert model.predict_quantile(X[:3], 0.1).shape == (3, 2)


def test_a_column_of_targets_stays_one():
    X, y = sample_bimodal(60, np.random.default_rng(0))
    model = ConditionalDensity(**{**QUICK, "max_epochs": 5}).fit(X, y[:, None])
    assert model.predict(X).shape == model.pit(X, y[:, None]).shape == (60, 1)
    assert model.sample(X, 2).shape == (2, 60, 1)
    assert model.predict_interval(X).shape == (60, 1, 2)


def test_the_seed_decides_and_validation_rows_are_used():
    X, y = sample_bimodal(300, np.random.default_rng(0))
    a = ConditionalDensity(**QUICK).fit(X, y)
    assert np.array_equal(a.predict(X), ConditionalDensity(**QUICK).fit(X, y).predict(X))
    assert not np.array_equal(
        a.predict(X), ConditionalDensity(**{**QUICK, "random_state": 1}).fit(X, y).predict(X)
    )
    b = ConditionalDensity(**QUICK).fit(
        X[:200], y[:200], X_validation=X[200:], y_validation=y[200:]
    )
    # The law of the trees' errors is learned from validation rows, and judged by others of them.
    assert b.held_out_score_ == pytest.approx(b.score(X[200:], y[200:]), abs=0.02)
    b.set_params(trees=False).fit(X[:200], y[:200], X_validation=X[200:], y_validation=y[200:])
    assert b.held_out_score_ == pytest.approx(b.score(X[200:], y[200:]), abs=1e-5)
    c = ConditionalDensity(**{**QUICK, "random_state": None}).fit(X, y)
    d = ConditionalDensity(**{**QUICK, "random_state": c.seed_}).fit(X, y)
    assert np.array_equal(c.predict(X), d.predict(X))


def test_works_in_pipelines_searches_and_with_pandas():
    X, y = sample_bimodal(90, np.random.default_rng(0))
    quick = ConditionalDensity(**{**QUICK, "max_epochs": 5})
    frame = pd.DataFrame({"x": X[:, 0], "noise": np.random.default_rng(1).random(90)})
    model = quick.fit(frame, pd.Series(y, name="y"))
    assert list(model.feature_names_in_) == ["x", "noise"]
    assert model.predict(frame).shape == (90,)
    with pytest.raises(DataError, match="'noise'"):
        model.predict(frame.assign(noise=np.inf))
    turned = model.predict(frame[["noise", "x"]])  # columns go by their names
    np.testing.assert_array_equal(turned, model.predict(frame))
    with pytest.raises(DataError, match=r"must have the columns of fit, but lacks 'x'$"):
        model.predict(frame[["noise"]])
    both = quick.fit(frame, pd.DataFrame({"a": y, "b": -y + frame["noise"]}))
    assert both.predict(frame).shape == (90, 2)
    pipeline = make_pipeline(StandardScaler(), ConditionalDensity(**{**QUICK, "max_epochs": 5}))
    assert np.all(np.isfinite(cross_val_score(pipeline, X, y, cv=3)))
    search = GridSearchCV(
        ConditionalDensity(**{**QUICK, "max_epochs": 3}), {"n_components": [1, 3]}, cv=2
    )
    assert search.fit(X, y).best_params_["n_components"] in (1, 3)


X_GOOD, Y_GOOD = np.arange(20.0).reshape(10, 2), np.arange(10.0)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (
            np.where(X_GOOD == 3, np.inf, X_GOOD),
            Y_GOOD,
            "argument `X` must be finite or NaN, but contains infinity at row 1, column 1",
        ),
        (
            X_GOOD,
            np.where(Y_GOOD == 3, np.nan, Y_GOOD),
            "argument `y` must be finite, but contains NaN at row 3, column 0",
        ),
        (X_GOOD, np.where(Y_GOOD == 3, np.inf, Y_GOOD), "contains infinity at row 3"),
        (X_GOOD[:1], Y_GOOD[:1], "argument `X` must have at least 2 rows, but has n_samples = 1"),
        (
            X_GOOD,
            np.full(10, 7.0),
            r"argument `y` must vary in every column, but column 0 is constant \(7\)",
        ),
        (X_GOOD, np.column_stack([Y_GOOD, np.full(10, 7.0)]), "column 1 is constant"),
        (X_GOOD, 1e300 * Y_GOOD, "argument `y` must have a finite variance"),
        (X_GOOD, Y_GOOD[:9], "argument `y` must have as many rows as `X`, 10, but has 9"),
        (X_GOOD, np.zeros((10, 2, 2)), r"argument `y` must have shape \(n_samples,\)"),
        (X_GOOD, np.array(["a"] * 10), r"but column 0 is constant \('a'\)"),
        (X_GOOD, None, "argument `y` is missing"),
    ],
)
def test_bad_data_is_named_in_one_line(X, y, message):
    with pytest.raises(DataError, match=message) as caught:
        ConditionalDensity(random_state=0).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("n_components", 0, r"argument `n_components` must be an integer in \[1, 1000\], but is 0"),
        ("n_members", 1, "argument `n_members` must be an integer in"),
        ("component", "student", "argument `component` must be 'normal' or 'logistic'"),
        ("hidden", (8, 0), "argument `hidden` must be a sequence of integers >= 1"),
        ("hidden", 8, "argument `hidden` must be a sequence"),
        ("decays", (), "argument `decays` must be a sequence of numbers >= 0, not empty"),
        ("decays", (-1.0,), "argument `decays` must be a sequence of numbers >= 0"),
        ("rate", "fast", "argument `rate` must be a number"),
        ("patience", 2.5, "argument `patience` must be an integer"),
    ],
)
def test_bad_parameters_are_named_in_one_line(parameter, value, message):
    with pytest.raises(ConfigurationError, match=message):
        ConditionalDensity(**{parameter: value}).fit(X_GOOD, Y_GOOD)


def test_bad_questions_are_named_in_one_line():
    model = ConditionalDensity(**{**QUICK, "max_epochs": 2}).fit(X_GOOD, Y_GOOD)
    with pytest.raises(ValueError, match="3 features, but ConditionalDensity is expecting 2"):
        model.predict(np.ones((2, 3)))
    with pytest.raises(DataError, match="argument `y` must have 1 columns, as in fit, but has 2"):
        model.log_prob(X_GOOD, np.ones((10, 2)))
    for wrong in (-0.1, [0.5, 1.5], np.nan):
        with pytest.raises(ConfigurationError, match=r"argument `q` must lie in \[0, 1\]"):
            model.predict_quantile(X_GOOD, wrong)
    with pytest.raises(ConfigurationError, match="argument `level` must lie"):
        model.predict_interval(X_GOOD, 90)
    with pytest.raises(NeurolpError, match="argument `y_validation` must be given too"):
        ConditionalDensity().fit(X_GOOD, Y_GOOD, X_validation=X_GOOD)
    with pytest.raises(DataError, match="argument `y_validation` must be finite"):
        ConditionalDensity().fit(X_GOOD, Y_GOOD, X_validation=X_GOOD, y_validation=Y_GOOD * np.nan)


def test_few_rows_many_columns_and_outliers_are_survived():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 30)), rng.standard_normal(6)
    assert np.isfinite(ConditionalDensity(random_state=0).fit(X, y).score(X, y))
    assert np.isfinite(ConditionalDensity(random_state=0).fit(X[:2], y[:2]).score(X, y))
    model = ConditionalDensity(**QUICK).fit(rng.standard_normal((100, 1)), rng.standard_cauchy(100))
    assert np.all(np.isfinite(model.log_prob([[0.0], [1e6], [-1e9]], [0.0, 1e8, -1e3])))
    assert np.all(np.isfinite(model.predict_interval([[0.0], [1e6], [-1e9]])))
