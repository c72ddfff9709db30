"""The density of one variable: exactly normalised, its distribution function and quantiles."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from sklearn.base import BaseEstimator, DensityMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from neurolp import ConfigurationError, DataError, MonotoneDensity
from neurolp.data.problems_1d import PROBLEMS
from neurolp.differentiation.univariate import Arcsinh, Exponential, Identity, Log, Probit


class FirstColumn(DensityMixin, BaseEstimator):
    """Our model of the first column: scikit-learn's checks come with several."""

    def fit(self, X, y=None):
        X = validate_data(self, X, dtype=np.float64)
        self.density_ = MonotoneDensity(random_state=0).fit(X[:, 0])
        return self

    def score_samples(self, X):
        check_is_fitted(self)
        return self.density_.score_samples(validate_data(self, X, reset=False)[:, 0])

    def score(self, X, y=None):
        return self.score_samples(X).mean()


@pytest.mark.filterwarnings("ignore::neurolp.errors.DataWarning")
@parametrize_with_checks([FirstColumn()])
def test_scikit_learn_conventions_on_a_column(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:Can't test estimator:sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_conventions():
    """Of models of one-dimensional input it checks less, and says so."""
    check_estimator(MonotoneDensity(random_state=0))
    twin = clone(MonotoneDensity(support=(0, 1), random_state=3))
    assert twin.get_params() == {"support": (0, 1), "random_state": 3, "verbose": False}
    with pytest.raises(NotFittedError):
        twin.score_samples([0.5])


SUPPORTS = {
    "real": ("real", stats.t(3)),
    "lower": ((0.0, np.inf), stats.expon()),
    "upper": ((-np.inf, 2.0), stats.beta(2, 3, loc=1)),
    "both": ((-1.0, 3.0), stats.uniform(-0.9, 3.8)),
    "inferred": ("inferred", stats.gamma(2)),
    "inferred ends": ("inferred", stats.uniform(10, 2)),
}


@pytest.fixture(scope="module", params=list(SUPPORTS))
def fitted(request):
    support, truth = SUPPORTS[request.param]
    x = truth.rvs(150, random_state=1)
    return MonotoneDensity(support=support, random_state=0).fit(x)


def test_the_density_integrates_to_one(fitted):
    """Adaptive quadrature between quantiles and ends, the outermost pieces to infinity."""
    ends = fitted.mean_ + fitted.scale_ * fitted.network_.ends
    inner = fitted.ppf([1e-9, 1e-6, 1e-3, *np.linspace(0.02, 0.98, 25), 1 - 1e-3, 1 - 1e-6])
    points = np.unique([*fitted.support_, *inner, *ends])
    total = sum(
        quad(fitted.pdf, a, b, epsabs=1e-12, epsrel=1e-10, limit=200)[0]
        for a, b in pairwise(points)
    )
    assert abs(total - 1) < 1e-8


def test_y_runs_from_exactly_0_to_exactly_1(fitted):
    a, b = fitted.support_
    assert fitted.cdf(a) == 0
    assert fitted.cdf(b) == 1
    assert fitted.ppf(0.0) == a
    assert fitted.ppf(1.0) == b
    if np.isfinite(a):
        assert fitted.cdf(a - 1) == 0
        assert fitted.pdf(a - 1) == 0
    if np.isfinite(b):
        assert fitted.cdf(b + 1) == 1
        assert fitted.logpdf(b + 1) == -np.inf
    assert np.all(np.diff(fitted.cdf(np.linspace(-5, 15, 2000))) >= 0)


def test_quantiles_invert_the_distribution_function(fitted):
    q = np.concatenate([np.linspace(1e-3, 1 - 1e-3, 501), [1e-12, 1e-8, 1e-5, 1 - 1e-5, 1 - 1e-8]])
    x = fitted.ppf(q)
    assert np.all(np.diff(x[:501]) > 0)
    np.testing.assert_allclose(fitted.cdf(x), q, atol=1e-9, rtol=0)
    np.testing.assert_allclose(fitted.ppf(fitted.cdf(x[:501])), x[:501], atol=1e-9)


def test_the_density_is_the_derivative_of_the_distribution_function(fitted):
    x = fitted.ppf(np.linspace(0.03, 0.97, 40))
    ends = fitted.mean_ + fitted.scale_ * fitted.network_.ends
    h = 1e-5 * fitted.scale_
    if len(ends):
        x = x[np.abs(x[:, None] - ends).min(axis=1) > 10 * h]
    slope = (fitted.cdf(x + h) - fitted.cdf(x - h)) / (2 * h)
    np.testing.assert_allclose(fitted.pdf(x), slope, rtol=1e-5)
    np.testing.assert_allclose(fitted.logpdf(x), np.log(fitted.pdf(x)), rtol=1e-12)


def test_entropy_is_the_mean_surprise_of_samples(fitted):
    surprise = -fitted.score_samples(fitted.sample(40_000, random_state=2))
    error = surprise.std() / np.sqrt(len(surprise))
    assert abs(surprise.mean() - fitted.entropy()) < 4 * error


def test_samples_have_a_uniform_probability_integral_transform(fitted):
    p = [
        stats.kstest(fitted.cdf(fitted.sample(200, random_state=seed)[:, 0]), "uniform").pvalue
        for seed in range(100)
    ]
    assert np.sum(np.array(p) < 0.05) <= 12  # 5 expected, standard deviation 2.2
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_entropy_is_near_the_closed_form_and_units_add_their_logarithm():
    x = stats.norm.rvs(size=3000, random_state=0)
    a = MonotoneDensity(support="real", random_state=0).fit(x)
    assert a.entropy() == pytest.approx(0.5 * np.log(2 * np.pi * np.e), abs=0.05)
    small = MonotoneDensity(random_state=0).fit(x[:100])
    large = MonotoneDensity(random_state=0).fit(1024 * x[:100])
    assert large.entropy() == pytest.approx(small.entropy() + np.log(1024), abs=1e-9)


@pytest.mark.parametrize(
    "transform",
    [Identity(), Arcsinh(0.3, 2.0), Log(low=-1.0), Log(high=2.0), Exponential(low=-1.0, scale=0.7),
     Exponential(high=2.0, scale=0.7), Probit(-1.0, 2.0)],
    ids=lambda s: type(s).__name__,
)  # fmt: skip
def test_a_transform_has_an_exact_inverse_and_slope(transform):
    x, h = np.linspace(-0.99, 1.99, 60), 1e-6
    u, log_slope = transform.apply(x)
    np.testing.assert_allclose(transform.inverse(u), x, atol=1e-12)
    slope = (transform.apply(x + h)[0] - transform.apply(x - h)[0]) / (2 * h)
    np.testing.assert_allclose(np.exp(log_slope), slope, rtol=1e-6)
    for end, limit in ((transform.low, -np.inf), (transform.high, np.inf)):
        if np.isfinite(end):
            u, log_slope = transform.apply(np.array([end]))
            assert u[0] == limit
            assert log_slope[0] == -np.inf


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_problems_are_normalised_and_sampled_from_their_density(name):
    problem = PROBLEMS[name]
    n = 200_001
    width = (problem.high - problem.low) / n
    x = problem.low + width * (np.arange(n) + 0.5)
    cdf = np.cumsum(np.exp(problem.log_density(x))) * width
    assert abs(cdf[-1] - 1) < 1e-7
    drawn = problem.sample(2000, np.random.default_rng(0))
    assert stats.kstest(drawn, lambda t: np.interp(t, x, cdf)).pvalue > 1e-3
    assert problem.kl(problem.log_density) == 0


# Generous: the benchmark measures, this notices when something breaks. One seed.
@pytest.mark.parametrize(
    ("name", "limit"),
    [("trimodal", 0.03), ("claw", 0.04), ("uniform", 0.03), ("gamma", 0.02), ("lognormal", 0.02)],
)
def test_learned_densities_are_near_the_truth(name, limit):
    x = PROBLEMS[name].sample(1000, np.random.default_rng(7))
    assert PROBLEMS[name].kl(MonotoneDensity(random_state=0).fit(x).logpdf) < limit


def test_inferred_ends_are_near_the_truth_and_nothing_is_impossible():
    x = np.random.default_rng(0).uniform(5, 6, 1000)
    density = MonotoneDensity(random_state=0).fit(x)
    np.testing.assert_allclose(density.ends_, (5, 6), atol=0.02)
    assert density.support_ == (-np.inf, np.inf)
    assert 0 < density.cdf(density.ends_[0]) + 1 - density.cdf(density.ends_[1]) < 0.02
    assert np.all(density.pdf([4.99, 6.01, 7.0]) > 0)
    normal = MonotoneDensity(random_state=0).fit(stats.norm.rvs(size=500, random_state=0))
    assert normal.ends_ == (-np.inf, np.inf)


AWKWARD = {
    "two": [0.0, 1.0],
    "five": [1.0, 2.0, 2.0, 3.0, 7.0],
    "ten": np.arange(10.0) ** 2,
    "ties": np.repeat([0.0, 1.0, 2.0], 40),
    "mostly zero": np.append(np.zeros(90), np.arange(1, 11)),
    "integers": np.random.default_rng(0).poisson(3, 400),
    "outlier": np.append(np.random.default_rng(0).standard_normal(99), 1e8),
    "cauchy": np.random.default_rng(0).standard_cauchy(300),
    "offset": 1e6 + 1e-3 * np.random.default_rng(0).standard_normal(200),
    "tiny": 1e-200 * np.random.default_rng(0).standard_normal(50),
    "huge": 1e100 * np.random.default_rng(0).standard_normal(50),
    "two values": np.append(np.zeros(20), 1.0),
}


@pytest.mark.filterwarnings("ignore::neurolp.errors.DataWarning")
@pytest.mark.parametrize("name", list(AWKWARD))
def test_awkward_data_give_finite_densities_and_quantiles(name):
    x = np.asarray(AWKWARD[name], dtype=float)
    density = MonotoneDensity(random_state=0).fit(x)
    assert np.all(np.isfinite(density.score_samples(x)))
    q = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(density.cdf(density.ppf(q)), q, atol=1e-6)
    assert np.isfinite(density.entropy())
    assert np.all(np.isfinite(density.sample(100, random_state=0)))


def test_values_beyond_the_sample_are_possible():
    rng = np.random.default_rng(0)
    for seed in range(5):
        x = rng.exponential(size=100)
        density = MonotoneDensity(random_state=seed).fit(x)
        assert np.all(density.logpdf([0.0, x.min() / 2, x.max() + 3]) > -30)


def test_shape_in_is_shape_out_and_the_seed_decides():
    x = np.random.default_rng(0).standard_normal(60)
    a = MonotoneDensity(random_state=3).fit(x)
    b = MonotoneDensity(random_state=3).fit(x[:40, None], X_validation=x[40:])
    grid = np.linspace(-1, 1, 6).reshape(2, 3)
    for function in (a.pdf, a.logpdf, a.cdf):
        assert function(grid).shape == (2, 3)
        assert np.ndim(function(0.3)) == 0
    assert a.ppf(np.full((2, 1), 0.5)).shape == (2, 1)
    assert a.sample(5).shape == (5, 1)
    assert a.n_features_in_ == 1
    np.testing.assert_array_equal(a.logpdf(grid), b.logpdf(grid))
    assert a.score(x) == pytest.approx(a.score_samples(x[:, None]).mean())


def test_errors_are_one_clear_line():
    ok = np.arange(20.0) ** 1.5
    wrong = [
        ({}, [1.0, np.nan], DataError, "contains NaN at row 1"),
        ({}, [1.0, np.inf], DataError, "contains infinity at row 1"),
        ({}, [3.0, 3.0, 3.0], DataError, "is constant"),
        ({}, [3.0], DataError, "at least 2 rows"),
        ({}, np.ones((4, 2)), DataError, r"has shape \(4, 2\)"),
        ({}, [-1e308, 1e308], DataError, "finite variance"),
        ({"support": (0, 1)}, [0.5, 1.5], DataError, "inside the support"),
        ({"support": (0, np.inf)}, [0.0, 1.5], DataError, "inside the support"),
        ({"support": (1, 0)}, ok, ConfigurationError, "a < b"),
        ({"support": "positive"}, ok, ConfigurationError, "'inferred', 'real'"),
        ({"support": (0, np.nan)}, ok, ConfigurationError, "a < b"),
    ]
    for parameters, x, error, text in wrong:
        with pytest.raises(error, match=text) as caught:
            MonotoneDensity(**parameters).fit(x)
        assert "\n" not in str(caught.value)
    density = MonotoneDensity(random_state=0).fit(ok)
    with pytest.raises(DataError, match=r"\[0, 1\], but contains 1.5"):
        density.ppf([0.5, 1.5])
    with pytest.raises(DataError, match="NaN"):
        density.pdf(np.nan)
    with pytest.raises(DataError, match="infinity"):
        density.score_samples([np.inf])


def test_a_support_may_be_an_array():
    x = np.random.default_rng(0).random(100)
    pair, array = (
        MonotoneDensity(support=support, random_state=0).fit(x)
        for support in ((0.0, 1.0), np.array([0.0, 1.0]))
    )
    assert np.array_equal(pair.score_samples(x[:, None]), array.score_samples(x[:, None]))
