"""Masses of values on a grid: they sum to 1 and are the steps of the CDF; the loss, its gradient."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from neurolp.differentiation.averages import Average, Warp, WarpedMixtures
from neurolp.differentiation.axes import GridAxis
from neurolp.differentiation.cells import cell_loss
from neurolp.differentiation.gridded import Gridded
from neurolp.differentiation.mixture_unit import Mixtures, log_cell

AXES = {
    "counts": GridAxis(np.array([0.0, 12.0]), 1.0, False),
    "tenths": GridAxis(np.array([0.2, 1.1]), 0.1, False),
    "ratings": GridAxis(np.arange(5.0), 1.0, True),
    "levels": GridAxis(np.array([-1.0, 0.5, 0.7, 6.0]), 0.0, True),
}
WARPS = {"straight": Warp(0.3, np.inf, 1.0, 2.0), "bent": Warp(0.0, 0.8, 0.4, 0.6)}


def mixtures(n, component="normal", seed=0):
    rng = np.random.default_rng(seed)
    weights = np.log(rng.dirichlet(np.ones(3), n))
    return Mixtures(weights, rng.standard_normal((n, 3)), rng.uniform(0.01, 0.8, (n, 3)), component)


def places(warp, n=4):
    straight = WarpedMixtures(mixtures(n, "logistic"), WARPS["straight"])
    return Average((WarpedMixtures(mixtures(n), WARPS[warp]), straight), (0.7, 0.3))


def values_of(axis):
    if not axis.step:
        return axis.levels
    k = np.arange(5.0) if axis.closed else np.arange(-4000.0, 4001.0)
    return axis.level(k)


@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.03, 0.4)])
@pytest.mark.parametrize("warp", WARPS)
@pytest.mark.parametrize("name", AXES)
def test_masses_sum_to_1_and_are_the_steps_of_the_cdf(name, warp, shares):
    axis, n = AXES[name], 4
    one = Gridded(places(warp, n), axis, (1.0, 1.0) if axis.closed else shares)
    values = values_of(axis)
    at, each = np.repeat(values, n), one.select(np.tile(np.arange(n), len(values)))
    mass = np.exp(each.log_prob(at)).reshape(-1, n)
    np.testing.assert_allclose(mass.sum(axis=0), 1.0, atol=1e-9)
    cdf = each.cdf(at).reshape(-1, n)
    np.testing.assert_allclose(cdf, np.cumsum(mass, axis=0), atol=1e-9)
    np.testing.assert_allclose(one.mean(), values @ mass, atol=1e-7)
    between = each.cdf(at + 0.4 * (axis.step or 0.1))
    np.testing.assert_array_equal(between, cdf.ravel())
    for level in (0.01, 0.3, 0.5, 0.977):
        found = one.quantile(np.full(n, level))
        assert np.all(np.min(abs(found[:, None] - values), axis=1) < 1e-12)
        assert np.all(one.cdf(found) >= level - 1e-12)
        assert np.all(one.cdf(found) - np.exp(one.log_prob(found)) < level + 1e-12)
    merged = one.merge(2).cdf(np.full(2, values[1]))
    np.testing.assert_allclose(merged, cdf[1].reshape(2, 2).mean(axis=1))


@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.3, 0.4)])
@pytest.mark.parametrize("name", AXES)
def test_draws_have_these_masses(name, shares):
    axis, n = AXES[name], 40_000
    first = Gridded(places("bent", 1), axis, (1.0, 1.0) if axis.closed else shares)
    one = first.select(np.zeros(n, dtype=np.int64))
    drawn = one.draw(np.random.default_rng(0).uniform(1e-12, 1.0, (n, 2)))
    for value in axis.levels if axis.closed else axis.level(np.arange(-6.0, 20.0)):
        p = np.exp(first.log_prob(np.array([value])))[0]
        assert abs(np.mean(abs(drawn - value) < 1e-9) - p) < 5 * np.sqrt(p / n) + 1 / n


def test_a_mean_over_many_cells_is_that_of_the_line_but_for_narrow_parts():
    wide = Mixtures(np.log([[0.5, 0.5]]), np.array([[0.3, 0.0]]), np.array([[1e-3, 400.0]]))
    one = Gridded(WarpedMixtures(wide, Warp()), GridAxis(np.array([0.0, 9.0]), 1.0, False))
    k = np.arange(-4000.0, 4001.0)
    mass = np.exp(one.select(np.zeros(len(k), dtype=np.int64)).log_prob(k))
    assert one.mean()[0] == pytest.approx(k @ mass, abs=1e-6)
    assert wide.mean()[0] == pytest.approx(0.15)


def test_shares_of_what_lies_beyond_the_values_seen():
    axis, line = AXES["counts"], places("bent", 4)
    open_, seen = Gridded(line, axis), Gridded(line, axis, (0.1, 0.5))
    left, right = open_.beyond(4)
    at = np.full(4, -1.0)
    np.testing.assert_allclose(seen.cdf(at), 0.1 * left)
    np.testing.assert_allclose(seen.cdf(np.full(4, 12.0)), 1.0 - 0.5 * right)
    np.testing.assert_allclose(seen.log_prob(at), open_.log_prob(at) + np.log(0.1))
    for value in range(1, 12):
        at = np.full(4, float(value))
        np.testing.assert_array_equal(seen.log_prob(at), open_.log_prob(at))
        np.testing.assert_array_equal(seen.cdf(at), open_.cdf(at))


@pytest.mark.parametrize("where", [-900.0, 0.0, 700.0])
def test_a_wide_mean_with_shares(where):
    wide = Mixtures(
        np.log([[0.5, 0.5]]), np.array([[where, where + 80]]), np.array([[90.0, 300.0]])
    )
    one = Gridded(
        WarpedMixtures(wide, Warp()), GridAxis(np.array([-100.0, 500.0]), 1.0, False), (0.2, 0.6)
    )
    k = np.arange(-5000.0, 5001.0)
    mass = np.exp(one.select(np.zeros(len(k), dtype=np.int64)).log_prob(k))
    assert mass.sum() == pytest.approx(1.0, abs=1e-9)
    assert one.mean()[0] == pytest.approx(k @ mass, abs=1e-6)


@pytest.mark.parametrize("warp", WARPS)
def test_partial_means_are_integrals(warp):
    one = places(warp, 2)
    for a, b in ((-0.3, 0.9), (-6.0, -1.0), (0.1, 0.1001)):
        found = one.partial_mean(np.full(2, a), np.full(2, b))
        for row in range(2):
            alone = one.select(np.array([row]))
            knots = np.clip(alone.quantile(np.array([0.5])), a, b)
            expected, _ = quad(
                lambda t, alone=alone: t * np.exp(alone.log_prob(np.array([t]))[0]),
                a, b, points=knots, limit=400, epsabs=1e-12,
            )  # fmt: skip
            assert found[row] == pytest.approx(expected, abs=1e-8)
    everything = one.partial_mean(np.full(2, -np.inf), np.full(2, np.inf))
    np.testing.assert_allclose(everything, one.mean(), rtol=1e-6)


def test_log_of_a_cell_is_accurate_in_tails_and_for_narrow_cells():
    low = np.array([-1.0, -np.inf, 2.0, -np.inf, 8.0, -40.0, 30.0])
    high = np.array([0.5, -1.0, np.inf, np.inf, 8.5, -39.0, np.inf])
    expected = np.log(norm.cdf(high[:4]) - norm.cdf(low[:4]))
    np.testing.assert_allclose(log_cell("normal", low, high)[:4], expected, atol=1e-12)
    with np.errstate(divide="ignore"):
        above = norm.logsf(low[4:]) + np.log1p(-np.exp(norm.logsf(high[4:]) - norm.logsf(low[4:])))
    above[1] = norm.logcdf(-39.0) + np.log1p(-np.exp(norm.logcdf(-40.0) - norm.logcdf(-39.0)))
    np.testing.assert_allclose(log_cell("normal", low, high)[4:], above, rtol=1e-12)
    logistic = np.log(expit(high[:4]) - expit(low[:4]))
    np.testing.assert_allclose(log_cell("logistic", low, high)[:4], logistic, atol=1e-12)
    for component, slope in (
        ("normal", norm.logpdf(3.0)),
        ("logistic", np.log(expit(3) * expit(-3))),
    ):
        for width in 10.0 ** -np.arange(3.0, 14.0):
            found = log_cell(component, np.array([3.0]), np.array([3.0 + width]))[0]
            assert found - np.log(width) == pytest.approx(
                slope, abs=2 * width + 1e-9 + 1e-16 / width
            )


@pytest.mark.parametrize("component", ["normal", "logistic"])
def test_the_loss_is_minus_the_log_mass_and_its_gradient(component):
    rng = np.random.default_rng(1)
    lower = np.array([-np.inf, -0.5, 0.2, 1.0, 1.4])
    upper = np.array([-0.5, 0.2, 1.0, 1.4, np.inf])
    outputs, cell = rng.standard_normal((2, 6, 9)), rng.integers(0, 5, (2, 6))
    loss, change = cell_loss(component, lower, upper, outputs, cell)
    total = np.zeros((2, 6))
    for c in range(5):
        total += np.exp(-cell_loss(component, lower, upper, outputs, np.full((2, 6), c))[0])
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    flat = outputs.reshape(1, 12, 9)
    same = Mixtures.from_outputs(flat, np.ones(1), component)
    mass = same.log_cell(lower[cell.ravel()], upper[cell.ravel()])
    np.testing.assert_allclose(-loss.ravel(), mass, rtol=1e-10)
    step = 1e-6
    for i in range(9):
        up, down = outputs.copy(), outputs.copy()
        up[..., i] += step
        down[..., i] -= step
        slope = (cell_loss(component, lower, upper, up, cell)[0]
                 - cell_loss(component, lower, upper, down, cell)[0]) / (2 * step)  # fmt: skip
        np.testing.assert_allclose(change[..., i], slope, rtol=1e-5, atol=1e-8)


def test_the_gradient_is_finite_wherever_the_mixture_is():
    outputs = np.array([[[0.0, 30.0, 1e6, -1e6, -40.0, 5.0]]], dtype=np.float32)
    near = [(-1e3, -999.0), (0.0, 1e-9), (-np.inf, -50.0), (50.0, np.inf)]
    cells = [("normal", *cell) for cell in near] + [("logistic", 1e200, 2e200)]
    for component, lower, upper in cells:
        loss, change = cell_loss(component, np.array([lower]), np.array([upper]), outputs,
                                 np.zeros((1, 1), dtype=np.int64))  # fmt: skip
        assert np.all(np.isfinite(loss))
        assert np.all(np.isfinite(change))
        assert change.dtype == np.float32
