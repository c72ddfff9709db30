"""Perceptrons and monotone units: gradients, normalisation, inverse, averages."""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import kstest

from neurolp.differentiation.conditional_unit import learn_conditional, ridge_regression
from neurolp.differentiation.ensemble import EnsembleConfig, Scaling, assign_folds
from neurolp.differentiation.mixture_unit import (
    SMALLEST_WIDTH,
    Mixtures,
    gaussian_outputs,
    mixture_loss,
)
from neurolp.differentiation.perceptron import Perceptron, TrainingConfig, fit_members

COMPONENTS = ("normal", "logistic")
QUICK = EnsembleConfig(
    hidden=(16,), decays=(1.0, 10.0), input_noise=(0.0,), n_members=3, max_epochs=40
)


def random_mixtures(component, n=20, k=4, seed=0):
    rng = np.random.default_rng(seed)
    outputs = rng.normal(0, 2, (3, n, 3 * k))
    return Mixtures.from_outputs(outputs, np.array([0.5, 0.2, 0.3]), component), outputs


def integral(mixtures, row):
    """Of the density of one row, by Gauss-Legendre between many quantiles of every component."""
    one = Mixtures(
        *(v[[row]] for v in (mixtures.log_weights, mixtures.centres, mixtures.widths)),
        mixtures.component,
    )
    reach = np.concatenate([-np.geomspace(1e-3, 60, 40), np.geomspace(1e-3, 60, 40)])
    ends = np.unique(one.centres[0, :, None] + one.widths[0, :, None] * reach)
    z, w = np.polynomial.legendre.leggauss(8)
    half = np.diff(ends)[:, None] / 2
    t = (ends[:-1, None] + half * (z + 1)).ravel()
    rows = np.zeros(len(t), dtype=int)
    many = Mixtures(one.log_weights[rows], one.centres[rows], one.widths[rows], one.component)
    return np.sum(half * w * np.exp(many.log_prob(t)).reshape(len(half), -1))


@pytest.mark.parametrize("component", COMPONENTS)
def test_gradient_of_the_mixture_loss(component):
    rng = np.random.default_rng(1)
    target = rng.normal(0, 3, (2, 5))
    outputs = rng.normal(0, 2, (2, 5, 12))
    change = mixture_loss(component, outputs, target)[1]
    step = 1e-6
    for i in np.ndindex(outputs.shape):
        up, down = outputs.copy(), outputs.copy()
        up[i] += step
        down[i] -= step
        slope = (
            mixture_loss(component, up, target)[0] - mixture_loss(component, down, target)[0]
        ).sum()
        assert slope / (2 * step) == pytest.approx(change[i], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)])
@pytest.mark.parametrize("component", COMPONENTS)
def test_gradient_of_the_network(hidden, component):
    rng = np.random.default_rng(2)
    shape = Perceptron(2, hidden, 6)
    x, target = rng.standard_normal((3, 7, 2)), rng.standard_normal((3, 7))
    start = shape.start(3, rng) + 0.3 * rng.standard_normal((3, shape.size))

    def value(flat):
        outputs, _ = shape.forward(flat.reshape(start.shape), x)
        return mixture_loss(component, outputs, target)[0].sum()

    def gradient(flat):
        parameters, out = flat.reshape(start.shape), np.empty_like(start)
        outputs, layers = shape.forward(parameters, x)
        shape.backward(parameters, layers, mixture_loss(component, outputs, target)[1], out)
        return out.ravel()

    size = np.linalg.norm(gradient(start.ravel()))
    assert check_grad(value, gradient, start.ravel(), epsilon=1e-7) < 1e-6 * max(size, 1) * 10


def test_members_do_not_see_one_another():
    """Many members in one call are as many networks on their own."""
    rng = np.random.default_rng(3)
    shape = Perceptron(3, (4, 5), 2)
    parameters, x = rng.standard_normal((3, shape.size)), rng.standard_normal((6, 3))
    together, _ = shape.forward(parameters, x[None])
    for r in range(3):
        w1, b1, w2, b2, w, b, s = (v[0] for v in shape.views(parameters[r : r + 1]))
        alone = np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2) @ w + x @ s + b
        np.testing.assert_allclose(together[r], alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("component", COMPONENTS)
def test_loss_and_density_are_one(component):
    mixtures, outputs = random_mixtures(component)
    target = np.linspace(-5, 5, 20)
    each = -mixture_loss(component, outputs, np.tile(target, (3, 1)))[0]
    expected = np.log(np.array([0.5, 0.2, 0.3]) @ np.exp(each))
    np.testing.assert_allclose(mixtures.log_prob(target), expected, rtol=1e-12)


@pytest.mark.parametrize("component", COMPONENTS)
def test_density_is_the_slope_of_y_which_runs_from_0_to_1(component):
    mixtures, _ = random_mixtures(component)
    for far, y in ((-1e6, 0.0), (1e6, 1.0)):
        np.testing.assert_allclose(mixtures.cdf(np.full(20, far)), y, atol=1e-15)
    t, step = np.linspace(-4, 4, 20), 1e-6
    slope = (mixtures.cdf(t + step) - mixtures.cdf(t - step)) / (2 * step)
    np.testing.assert_allclose(np.exp(mixtures.log_prob(t)), slope, rtol=1e-4, atol=1e-7)
    assert integral(mixtures, 0) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("gap", [1.0, 1e4])
def test_quantile_inverts_y(component, gap):
    """Also where components are narrow and far apart, so that y is all but flat between them."""
    rng = np.random.default_rng(4)
    n, k = 300, 5
    mixtures = Mixtures(
        np.log(rng.dirichlet(np.ones(k), n)),
        gap * rng.standard_normal((n, k)),
        np.maximum(rng.exponential(1.0, (n, k)) ** 3, SMALLEST_WIDTH * gap),
        component,
    )
    level = rng.random(n)
    level[:3] = 1e-9, 1 - 1e-9, 0.5
    t = mixtures.quantile(level)
    np.testing.assert_allclose(mixtures.cdf(t), level, atol=1e-9, rtol=0)
    ends = mixtures.quantile(np.repeat([0.0, 1.0], n // 2))
    assert np.all(ends[: n // 2] == -np.inf)
    assert np.all(ends[n // 2 :] == np.inf)


@pytest.mark.parametrize("component", COMPONENTS)
def test_draws_are_of_the_density(component):
    mixtures, _ = random_mixtures(component, n=4000)
    rng = np.random.default_rng(5)
    draws = mixtures.draw(rng.random((4000, 2)))
    assert kstest(mixtures.cdf(draws), "uniform").pvalue > 1e-3
    many = np.mean([mixtures.draw(rng.random((4000, 2))) for _ in range(400)], axis=0)
    assert np.mean((many - mixtures.mean()) ** 2) < 1.0


def test_a_network_starts_as_a_gaussian():
    for k in (1, 3, 8):
        mixtures = Mixtures.from_outputs(
            gaussian_outputs(2.0, 0.5, k)[None, None], np.ones(1), "normal"
        )
        assert mixtures.mean()[0] == pytest.approx(2.0)
        variance = (
            np.exp(mixtures.log_weights) * (mixtures.widths**2 + (mixtures.centres - 2) ** 2)
        ).sum()
        assert variance == pytest.approx(0.25, rel=0.01)


def test_ridge_regression_is_least_squares_where_there_are_many_rows():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((5000, 3))
    t = x @ [1.0, -2.0, 0.5] + 3 + 0.1 * rng.standard_normal(5000)
    slope, constant, noise = ridge_regression(x, t)
    np.testing.assert_allclose(slope, [1.0, -2.0, 0.5], atol=0.01)
    assert constant == pytest.approx(3, abs=0.01)
    assert noise == pytest.approx(0.1, rel=0.05)


def test_leaving_one_out_is_what_it_says():
    rng = np.random.default_rng(7)
    x, t = rng.standard_normal((12, 4)), rng.standard_normal(12)
    *_, noise = ridge_regression(x, t)

    def left_out(ridge):
        errors = []
        for i in range(12):
            keep = np.arange(12) != i
            z, m = x[keep] - x.mean(axis=0), t[keep]
            # The centring of all rows, as in the hat matrix: an unpenalised constant.
            a = np.column_stack([np.ones(11), z])
            penalty = np.diag([0.0, *[ridge] * 4])
            b = np.linalg.solve(a.T @ a + penalty, a.T @ m)
            errors.append(t[i] - b[0] - (x[i] - x.mean(axis=0)) @ b[1:])
        return np.sqrt(np.mean(np.square(errors)))

    best = min(left_out(r) for r in np.geomspace(1e-3, 1e6, 37))
    assert noise == pytest.approx(best, rel=1e-9)


def test_every_row_is_held_out_once_for_each_strength():
    folds = assign_folds(11, 0, QUICK, np.random.default_rng(0))
    for k in range(2):
        mine = folds.validation[3 * k : 3 * k + 3]
        assert sorted(np.concatenate(mine)) == list(range(11))
    for train, validation in zip(folds.train, folds.validation, strict=True):
        assert sorted([*train, *validation]) == list(range(11))
    given = assign_folds(6, 5, QUICK, np.random.default_rng(0))
    assert all(list(rows) == [6, 7, 8, 9, 10] for rows in given.validation)


def test_no_member_ends_worse_than_it_began_and_decay_holds_it_at_the_start():
    rng = np.random.default_rng(9)
    x, t = rng.standard_normal((120, 2)), rng.standard_normal(120)
    shape = Perceptron(2, (8,), 6)
    start = shape.start(2, rng)
    shape.views(start)[-2][:] = gaussian_outputs(0.0, 1.0, 2)
    rows = [np.arange(80)] * 2, [np.arange(80, 120)] * 2
    loss = partial(mixture_loss, "normal")
    began = loss(shape.forward(start, x[None, 80:])[0], np.tile(t[80:], (2, 1)))[0].mean(axis=1)
    decay = np.array([0.1, 1e5])
    parameters, losses = fit_members(
        shape, start, decay, np.zeros(2), loss, x, t, *rows, TrainingConfig(max_epochs=50), rng
    )
    assert np.all(losses <= began)
    weights = [
        np.concatenate([v[r].ravel() for v in shape.matrices(parameters - start)]) for r in (0, 1)
    ]
    assert abs(weights[1]).max() < 0.02


def test_learns_what_a_ridge_cannot_and_is_the_same_again():
    rng = np.random.default_rng(10)
    x = rng.uniform(-2, 2, (600, 1))
    t = np.sin(2 * x[:, 0]) * 50 + 1000 + (1 + 4 * (x[:, 0] > 0)) * rng.standard_normal(600)
    config = EnsembleConfig(
        hidden=(16, 16), decays=(1.0,), input_noise=(0.0,), n_members=3, rate=0.01
    )
    unit = learn_conditional(x[:400], t[:400], config, seed=0)
    again = learn_conditional(x[:400], t[:400], config, seed=0)
    score = unit.log_prob(x[400:], t[400:])
    assert np.array_equal(score, again.log_prob(x[400:], t[400:]))
    slope, constant, noise = ridge_regression(x[:400], t[:400])
    error = (t[400:] - x[400:] @ slope - constant) / noise
    gaussian = -0.5 * error**2 - np.log(noise) - 0.5 * np.log(2 * np.pi)
    assert score.mean() > gaussian.mean() + 0.7
    assert kstest(unit.cdf(x[400:], t[400:]), "uniform").pvalue > 1e-3
    level = rng.random(200)
    np.testing.assert_allclose(unit.cdf(x[400:], unit.quantile(x[400:], level)), level, atol=1e-9)


def test_no_inputs_is_a_density_and_constant_inputs_say_nothing():
    rng = np.random.default_rng(11)
    t = rng.standard_normal(300) + 3 * (rng.random(300) < 0.5)
    bare = learn_conditional(np.zeros((300, 0)), t, QUICK, seed=0)
    still = learn_conditional(np.full((300, 2), 7.0), t, QUICK, seed=0)
    for unit, x in ((bare, np.zeros((1, 0))), (still, np.full((1, 2), 7.0))):
        y = np.linspace(-40, 40, 20_001)
        density = np.exp(unit.log_prob(np.repeat(x, len(y), axis=0), y))
        assert np.trapezoid(density, y) == pytest.approx(1, abs=1e-8)


def test_missing_inputs_are_a_mean_and_a_mark():
    rng = np.random.default_rng(12)
    x = rng.standard_normal((400, 3))
    t = 3.0 * np.isnan(np.where(x > 0.8, np.nan, x)[:, 0]) + 0.1 * rng.standard_normal(400)
    holes = x.copy()
    holes[x[:, 0] > 0.8, 0] = np.nan
    scaled = Scaling.of(holes)(holes)
    assert scaled.shape == (400, 4)
    np.testing.assert_allclose([scaled.mean(axis=0), scaled[:, 3].std()][0], 0, atol=1e-12)
    assert np.all(scaled[np.isnan(holes[:, 0]), 0] == 0)
    np.testing.assert_array_equal(Scaling.of(x)(x).shape, x.shape)
    for trees in (True, False):
        unit = learn_conditional(holes[:300], t[:300], QUICK, seed=0, trees=trees)
        assert unit.log_prob(holes[300:], t[300:]).mean() > 0.3
    assert np.all(np.isfinite(unit.expectation(np.full((1, 3), np.nan))))


def test_groups_far_from_the_best_are_not_trained_to_the_end():
    rng = np.random.default_rng(13)
    x = rng.uniform(-2, 2, (200, 1))
    t = np.sin(2 * x[:, 0]) + 0.05 * rng.standard_normal(200)
    shape = Perceptron(1, (16,), 6)
    start = np.repeat(shape.start(1, rng), 2, axis=0)
    shape.views(start)[-2][:] = gaussian_outputs(0.0, 0.7, 2)
    rows, noise = ([np.arange(150)] * 2, [np.arange(150, 200)] * 2), np.array([0.0, 3.0])
    loss, training = partial(mixture_loss, "normal"), TrainingConfig(max_epochs=60, patience=20)

    def losses(**give_up):
        now = np.random.default_rng(0)
        return fit_members(
            shape, start, np.full(2, 0.1), noise, loss, x, t, *rows, training, now, **give_up
        )

    whole = losses()
    for more in ({"groups": np.arange(2)}, {"groups": np.arange(2), "give_up": 50.0}):
        np.testing.assert_array_equal(losses(**more)[0], whole[0])
    early = losses(groups=np.arange(2), give_up=0.1)
    assert early[1][0] < early[1][1] - 0.3
    assert early[1][0] == pytest.approx(whole[1][0], abs=0.3)
    assert early[1][1] >= whole[1][1]
