"""The principle: identities between surprise, entropy and divergence; losses and their densities."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from neurolp import ConfigurationError, DataError
from neurolp.evaluation.losses import LOSSES, LossDensity
from neurolp.evaluation.metrics import (
    calibration_test,
    entropy_by_quadrature,
    kl_by_quadrature,
    pit_histogram,
    reliability,
    total_probability,
)

# --- quadrature -----------------------------------------------------------------------------------

DENSITIES = {
    "normal": (stats.norm(3, 0.01), (-np.inf, np.inf), [3.0]),
    "wide": (stats.norm(0, 500), (-np.inf, np.inf), []),
    "cauchy": (stats.cauchy(1, 2), (-np.inf, np.inf), []),
    "gamma": (stats.gamma(2), (0, np.inf), []),
    "lognormal": (stats.lognorm(0.75), (0, np.inf), []),
    "gamma, with points": (stats.gamma(3), (0, np.inf), [0.5, 2.0]),
    "beta": (stats.beta(2, 3), (0, 1), []),
    "uniform in a wider support": (stats.uniform(0.1, 0.37), (0, 1), []),
    "laplace": (stats.laplace(0.3), (-np.inf, np.inf), []),
    "far": (stats.uniform(1000, 1), (-np.inf, np.inf), [1000, 1001]),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_total_probability_and_entropy_are_those_of_scipy(name):
    density, support, points = DENSITIES[name]
    total = total_probability(density.logpdf, support, points=points)
    assert abs(total.value - 1) < 1e-10
    assert abs(total.value - 1) <= 4 * total.error + 1e-13  # the error is to be believed
    found = entropy_by_quadrature(density.logpdf, support, points=points)
    assert abs(found.value - density.entropy()) < 1e-8


def test_an_unnormalised_density_is_found_out():
    total = total_probability(lambda x: -x * x / 2)
    assert total.value == pytest.approx(np.sqrt(2 * np.pi), rel=1e-13)
    mirrored = total_probability(lambda x: x, (-np.inf, 0))
    assert mirrored.value == pytest.approx(1, rel=1e-13)


def test_integrals_refuse_what_they_cannot_do():
    with pytest.raises(ConfigurationError, match=r"`support` must be \(a, b\) with a < b"):
        total_probability(np.cos, (1, 1))
    with pytest.raises(DataError, match="must be finite, but is not at"):
        total_probability(lambda x: np.where(x > 0.5, np.nan, x), (0, 1))
    heavy = total_probability(lambda x: -0.9 * np.log(x), (0, 1))
    assert heavy.value == pytest.approx(10, rel=1e-10)


# --- continuous -----------------------------------------------------------------------------------


def test_divergence_by_quadrature_is_exact():
    p, q = stats.norm(0, 1), stats.norm(0.7, 1.5)
    exact = np.log(1.5) + (1 + 0.49) / (2 * 2.25) - 0.5
    assert kl_by_quadrature(p.logpdf, q.logpdf).value == pytest.approx(exact, abs=1e-12)


def test_divergence_knows_supports():
    inner, outer = stats.uniform(0, 1), stats.uniform(-1, 4)
    assert kl_by_quadrature(inner.logpdf, outer.logpdf, (-1, 3)).value == pytest.approx(
        np.log(4), abs=1e-10
    )
    assert np.isinf(kl_by_quadrature(outer.logpdf, inner.logpdf, (-1, 3)).value)


# --- calibration ----------------------------------------------------------------------------------


def test_p_values_of_calibrated_transforms_are_uniform():
    """Over 400 seeds each test rejects at its level: no more, no less."""
    rng = np.random.default_rng(1)
    found = [calibration_test(rng.random(200)) for _ in range(400)]
    for p in ([test.chi_square_p for test in found], [test.kolmogorov_smirnov_p for test in found]):
        assert abs(np.mean(np.array(p) < 0.1) - 0.1) < 0.05
        assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_miscalibration_is_seen():
    x = stats.norm(0, 1).rvs(2000, random_state=0)
    for wrong in (stats.norm(0.2, 1), stats.norm(0, 1.3), stats.norm(0, 0.8)):
        test = calibration_test(wrong.cdf(x))
        assert max(test.chi_square_p, test.kolmogorov_smirnov_p) < 1e-4
        assert test.n == 2000
    histogram = pit_histogram(stats.norm(0, 1).cdf(x))
    low, high = histogram.band
    assert np.mean((histogram.counts >= low) & (histogram.counts <= high)) > 0.8
    assert histogram.density.mean() == pytest.approx(1)
    for wrong, message in (([1.2, 0.5], "contains 1.2"), ([], "has none"), ([0.5], "at least 2")):
        with pytest.raises(DataError, match=message):
            calibration_test(wrong)


def test_reliability_of_a_classifier_that_knows_and_of_one_that_is_too_sure():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.3, 1, 20_000)
    right = rng.random(20_000) < p
    honest = reliability(p, right)
    np.testing.assert_array_equal(honest.counts[:3], 0)
    assert np.isnan(honest.frequency[:3]).all()
    np.testing.assert_allclose(honest.confidence[3:], np.arange(0.35, 1, 0.1), atol=0.01)
    assert honest.error < 0.02
    sure = reliability(np.minimum(p + 0.2, 1), right)
    assert 0.12 < sure.error < 0.2
    assert sure.counts.sum() == 20_000
    with pytest.raises(DataError, match=r"contains 1\.2"):
        reliability([1.2], [True])


# --- losses ---------------------------------------------------------------------------------------

SETTINGS = [
    {"name": "squared"},
    {"name": "squared", "scale": 0.3, "location": -2.0},
    {"name": "absolute", "scale": 4.0},
    {"name": "huber"},
    {"name": "huber", "threshold": 0.2, "scale": 2.0},
    {"name": "huber", "threshold": 6.0, "location": 1.0},
    {"name": "quantile", "level": 0.1},
    {"name": "quantile", "level": 0.8, "scale": 0.05, "location": 10.0},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_density_of_a_loss_is_normalised(setting):
    density = LossDensity(**setting)
    total = total_probability(density.log_prob, points=[*density.kinks, density.location])
    assert abs(total.value - 1) < 1e-10
    assert density.prob(density.location) == pytest.approx(np.exp(-density.log_normaliser))


def test_known_densities():
    x = np.linspace(-5, 7, 101)
    where = {"location": 1.0, "scale": 0.7}
    q = 0.3
    kappa = np.sqrt(q / (1 - q))
    for name, expected in (
        ("squared", stats.norm(1, 0.7)),
        ("absolute", stats.laplace(1, 0.7)),
        ("quantile", stats.laplace_asymmetric(kappa, 1, 0.7 / np.sqrt(q * (1 - q)))),
    ):
        density = LossDensity(name, **where, level=q)
        np.testing.assert_allclose(density.log_prob(x), expected.logpdf(x), rtol=1e-12, atol=1e-12)
    huber = LossDensity("huber", **where, threshold=1.2)
    np.testing.assert_allclose(huber.loss(x), special.huber(1.2, (x - 1) / 0.7), rtol=1e-12)
    # Its limits are the normal and, at fixed slope, the Laplace density.
    wide = LossDensity("huber", threshold=50.0)
    np.testing.assert_allclose(wide.log_prob(x), stats.norm.logpdf(x), rtol=1e-12)
    sharp = LossDensity("huber", threshold=1e-4, scale=1e-4)
    np.testing.assert_allclose(sharp.log_prob(x), stats.laplace.logpdf(x), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_least_mean_loss_is_greatest_likelihood(name):
    """At any scale the minimiser of the mean loss maximises the likelihood, as a brute search."""
    x = stats.gamma(2).rvs(301, random_state=3)
    for scale in (0.5, 1.7):
        grid = np.linspace(x.min(), x.max(), 4001)
        densities = [LossDensity(name, location=m, scale=scale, level=0.8) for m in grid]
        loss = np.array([d.loss(x).mean() for d in densities])
        likelihood = np.array([d.score(x) for d in densities])
        assert np.argmin(loss) == np.argmax(likelihood)
        np.testing.assert_allclose(-likelihood - loss, densities[0].log_normaliser, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_fit_finds_location_and_scale_of_greatest_likelihood(name):
    x = 100 + 5 * stats.gamma(2).rvs(301, random_state=4)
    fitted = LossDensity(name, level=0.8).fit(x)
    search = optimize.minimize(
        lambda p: -LossDensity(name, location=p[0], scale=np.exp(p[1]), level=0.8).score(x),
        [np.median(x), 1.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000},
    )
    assert fitted.score(x) >= -search.fun - 1e-10
    expected = {"squared": x.mean(), "absolute": np.median(x), "quantile": np.sort(x)[240]}
    if name in expected:
        assert fitted.location == pytest.approx(expected[name])


def test_losses_refuse_what_is_no_density():
    for wrong, message in (
        ({"name": "hinge"}, "`name` must be one of"),
        ({"name": "squared", "scale": 0}, "`scale` must be positive, but is 0"),
        ({"name": "huber", "threshold": np.inf}, "`threshold` must be positive"),
        ({"name": "quantile", "level": 1.0}, "`level` must lie between 0 and 1"),
        ({"name": "squared", "location": np.nan}, "`location` must be finite"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            LossDensity(**wrong)
    with pytest.raises(DataError, match="must be finite and vary"):
        LossDensity("squared").fit([1.0, 1.0])
