"""Kernels of the experts against NumPy and SciPy; run with the JIT and with NUMBA_DISABLE_JIT=1."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from neurolp.kernels import stream_laws as laws
from neurolp.kernels import stream_regression as regression
from neurolp.kernels import stream_season as season
from neurolp.kernels.stream_passes import total_of


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 50])
def test_a_sum_in_one_order_is_a_sum(n):
    a = np.random.default_rng(n).standard_normal(n)
    assert total_of(a) == pytest.approx(a.sum(), abs=1e-13)


@pytest.mark.parametrize("keep", [1.0, 0.9])
def test_leading_blocks_are_regressions_on_fewer_features(keep):
    rng = np.random.default_rng(0)
    n, prior = 6, np.linspace(0.5, 2, 6)
    factor, target, u = np.diag(np.sqrt(prior)), np.zeros(n), np.zeros(n)
    precision, moment = np.diag(prior), np.zeros(n)
    for t in range(40):
        z, y, weight = rng.standard_normal(n), rng.standard_normal(), rng.random()
        regression.add_row(factor, target, z, y, weight, keep, u)
        precision, moment = (
            keep * precision + weight * np.outer(z, z),
            keep * moment + weight * z * y,
        )
        regression.renew_prior(factor, target, prior, 1 - keep, t % n, u)
        precision[t % n, t % n] += (1 - keep) * n * prior[t % n]
    z, mean, doubt = rng.standard_normal(n), np.zeros(n), np.zeros(n)
    regression.predict_nested(factor, target, z, u, mean, doubt)
    for k in range(1, n + 1):
        block = precision[:k, :k]
        assert mean[k - 1] == pytest.approx(z[:k] @ np.linalg.solve(block, moment[:k]))
        assert doubt[k - 1] == pytest.approx(z[:k] @ np.linalg.solve(block, z[:k]))
    coefficients = np.zeros(n)
    regression.solve_coefficients(factor, target, coefficients)
    np.testing.assert_allclose(coefficients, np.linalg.solve(precision, moment))


def test_the_normal_distribution_function_is_exact():
    for x in np.linspace(-40, 40, 321):
        e = laws.gaussian(x)
        assert e == pytest.approx(np.exp(-0.5 * x * x), rel=1e-14, abs=1e-300)
        assert laws.below(x, e) == pytest.approx(ndtr(x), rel=1e-9, abs=1e-15)


def some_laws(n_pairs=5, seed=0):
    rng = np.random.default_rng(seed)
    ladder = rng.random((laws.N_RUNGS, n_pairs))
    w, m, s = rng.random((3, laws.N_FREE, n_pairs))
    m, s = m - 0.5, s + 0.3
    w /= w.sum(axis=0)
    return ladder / ladder.sum(axis=0), np.stack([w, w * m, w * (m * m + s * s)])


def test_densities_and_distribution_functions_of_the_shapes():
    ladder, moments = some_laws()
    z = np.array([-30.0, -1.0, 0.0, 0.4, 2.0])
    components = np.zeros_like(moments)
    laws.free_components(moments, components)
    np.testing.assert_allclose(components[0].sum(axis=0), 1)
    density, cdf = np.zeros((2, 5)), np.zeros((2, 5))
    parts = np.zeros((laws.N_RUNGS, 5)), np.zeros((laws.N_FREE, 5))
    laws.ladder_law(z, ladder, density[0], cdf[0], parts[0])
    laws.free_law(z, components, density[1], cdf[1], parts[1])
    w = (1 - 2e-6) * ladder + 2e-6 / laws.N_RUNGS
    wide = laws.RUNGS[:, None]
    np.testing.assert_allclose(density[0] / np.sqrt(2 * np.pi), (w * norm.pdf(z, 0, wide)).sum(0))
    np.testing.assert_allclose(cdf[0], (w * norm.cdf(z, 0, wide)).sum(0), rtol=1e-9)
    w, m, s = components
    expected = (w * norm.pdf(z, m, s)).sum(0)
    np.testing.assert_allclose(density[1] / np.sqrt(2 * np.pi), expected, rtol=1e-5, atol=1e-15)
    np.testing.assert_allclose(cdf[1], (w * norm.cdf(z, m, s)).sum(0), rtol=1e-9, atol=1e-15)


def test_shapes_learn_by_the_shares_of_their_components():
    ladder, moments = some_laws()
    before = ladder.copy(), moments.copy()
    z, awake = np.array([0.2, -1.0, 3.0, 1e9, 1.0]), np.array([1.0, 1, 1, 1, 0])
    components, density, cdf = np.zeros_like(moments), np.zeros((2, 5)), np.zeros(5)
    parts = np.zeros((laws.N_RUNGS, 5)), np.zeros((laws.N_FREE, 5))
    laws.free_components(moments, components)
    laws.ladder_law(z, ladder, density[0], cdf, parts[0])
    laws.free_law(z, components, density[1], cdf, parts[1])
    laws.learn_ladder(0.0, awake, ladder, density[0], parts[0])
    laws.learn_free(0.0, awake, z, moments, density[1], parts[1])
    np.testing.assert_allclose(ladder.sum(axis=0), 1)
    np.testing.assert_allclose(moments[0].sum(axis=0), 1)
    share = parts[0][:, 0] / parts[0][:, 0].sum()
    np.testing.assert_allclose(ladder[:, 0], before[0][:, 0] + (share - before[0][:, 0]) / 20)
    assert ladder[-1, 3] > before[0][-1, 3]  # what is far belongs to the widest
    np.testing.assert_array_equal(ladder[:, 4], before[0][:, 4])  # and who sleeps learns nothing
    np.testing.assert_array_equal(moments[..., 4], before[1][..., 4])


def test_the_volatility_node_steps_along_the_gradient_of_its_surprise():
    rng = np.random.default_rng(0)
    residual, averages = np.array([0.7]), rng.random((len(laws.NODE_RATES), 1)) + 0.5
    blend, variance = np.full_like(averages, 0.15), np.zeros(1)

    def surprise(logs):
        return -norm.logpdf(residual[0], 0, np.sqrt(np.exp(logs) @ averages[:, 0]))

    laws.node_variances(averages, blend, 1e-9, 1e9, variance)
    moved = blend.copy()
    laws.learn_nodes(residual, np.ones(1), variance, averages, moved)
    logs = np.log(blend[:, 0])
    for r, step in enumerate(np.log(moved[:, 0]) - logs):
        h = 1e-6 * np.eye(len(logs))[r]
        slope = (surprise(logs + h) - surprise(logs - h)) / 2e-6
        assert step == pytest.approx(-0.05 * slope, rel=1e-5)


def test_scales_follow_squares_within_limits():
    scale, averages = np.ones((laws.SCALES, 2)), np.ones((len(laws.NODE_RATES), 2))
    laws.follow_scales(1e9, 0.5, 40.0, np.array([2.0, 1e6]), np.array([1.0, 1.0]), scale, averages)
    np.testing.assert_allclose(scale[:-1, 0], 1 + laws.RATES * 3)
    assert scale.max() <= 40  # no variance beyond the range, however far the residual
    assert averages[-1, 1] == 40


def test_the_tail_is_normalised_and_keeps_the_variance():
    ends = np.append(0, 2.0 ** np.arange(0, 560, 4))
    with np.errstate(over="ignore"):  # of squares, beyond which there is nothing
        total = sum(
            quad(lambda z: np.exp(laws.tail_log_density(z)), a, b)[0] for a, b in pairwise(ends)
        )
    assert 2 * total == pytest.approx(1, abs=1e-9)
    assert laws.TAIL_SHARE * (np.exp(laws.LOG_TAIL) @ laws.TAIL_SCALES**2) < 0.1


def test_a_period_is_found_and_its_phase_is_known():
    rng = np.random.default_rng(0)
    x = np.tile(rng.standard_normal(11), 20) + 0.01 * rng.standard_normal(220)
    differences = np.zeros((2, season.LONGEST + 1))
    for t in range(9, 221):
        season.compare_with_past(x, t, t, 1.0, differences)
    for kind in range(2):
        assert season.best_period(differences[kind], 212) % 11 == 0
        assert season.best_period(differences[kind], 50) == 11  # of two periods and a bit
    z = np.zeros(season.FEATURES)
    season.season_features(x, 220, 220, 11, 2.0, z)
    same = x[[209, 198, 187, 176]]
    assert z[0] == 1
    assert z[1] == pytest.approx((same - x[[208, 197, 186, 175]]).mean() / 2)
    assert z[2] == pytest.approx((same.mean() - x[-1]) / 2)
    assert z[3] == pytest.approx((x[209] - x[-1]) / 2)
    np.testing.assert_allclose(z[4:], np.diff(x)[::-1][:12] / 2)
