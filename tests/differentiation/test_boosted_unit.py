"""Boosted trees as a conditional density, and averages of distributions: exact laws."""

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.tree import DecisionTreeRegressor

from neurolp.differentiation.averages import Average, Warp, WarpedMixtures
from neurolp.differentiation.boosted_labels import learn_boosted_labels
from neurolp.differentiation.boosted_trees import (
    BinnedRows,
    Binning,
    Growth,
    grow_label_trees,
    grow_trees,
)
from neurolp.differentiation.boosted_unit import learn_boosted
from neurolp.differentiation.mixture_unit import Mixtures
from neurolp.differentiation.scale_law import WIDTHS, fit_scale_law

WARPS = (Warp(), Warp(0.5, 0.8, 0.3, 0.7), Warp(-2.0, 3.0, -1.0, 0.4))


def random_mixtures(n=12, k=3, seed=0, component="normal"):
    rng = np.random.default_rng(seed)
    weights = np.log(rng.dirichlet(np.ones(k), n))
    return Mixtures(weights, rng.standard_normal((n, k)), rng.uniform(0.1, 0.6, (n, k)), component)


def average(n=12):
    parts = [WarpedMixtures(random_mixtures(n, seed=s), warp) for s, warp in enumerate(WARPS)]
    parts.append(WarpedMixtures(random_mixtures(n, 5, seed=9, component="logistic"), Warp()))
    return Average(tuple(parts), (0.4, 0.3, 0.2, 0.1))


def folds_of(n, k, seed=0):
    parts = np.array_split(np.random.default_rng(seed).permutation(n), k)
    return [(np.setdiff1d(np.arange(n), part), part) for part in parts]


def quadrature(distributions, row, power=0):
    """E[t^power] under the density of one row, by Gauss-Legendre between quantiles."""
    levels = np.concatenate([np.geomspace(1e-14, 0.02, 150), np.linspace(0.03, 0.5, 60)])
    levels = np.concatenate([levels, 1 - levels[-2::-1]])
    one = distributions.select(np.full(len(levels), row))
    ends = np.unique(one.quantile(levels))
    z, w = np.polynomial.legendre.leggauss(12)
    half = np.diff(ends)[:, None] / 2
    t = (ends[:-1, None] + half * (z + 1)).ravel()
    density = np.exp(distributions.select(np.full(len(t), row)).log_prob(t))
    return float(np.sum((half * w).ravel() * density * t**power))


@pytest.mark.parametrize("warp", WARPS)
def test_a_warp_is_inverted_and_its_slope_is_its_derivative(warp):
    t, step = np.concatenate([-np.geomspace(1e-6, 1e6, 50), np.geomspace(1e-6, 1e6, 50)]), 1e-6
    np.testing.assert_allclose(warp.inverse(warp(t)), t, rtol=1e-9, atol=1e-9)
    near = t[abs(t) < 10]
    slope = (warp(near + step) - warp(near - step)) / (2 * step)
    np.testing.assert_allclose(np.exp(warp.log_slope(near)), slope, rtol=1e-6)
    known = np.random.default_rng(0).gamma(1.0, 5.0, 300)
    z = warp.standardised(known)(known)
    assert [z.mean(), z.std()] == pytest.approx([0, 1])


def test_an_average_is_normalised_and_has_its_mean():
    distributions = average(3)
    for row in range(3):
        assert quadrature(distributions, row) == pytest.approx(1.0, abs=1e-8)
        mean = quadrature(distributions, row, power=1)
        assert distributions.mean()[row] == pytest.approx(mean, abs=1e-6)


def test_the_density_of_an_average_is_the_slope_of_y_whose_inverse_are_quantiles():
    distributions, step = average(), 1e-6
    t = np.linspace(-2, 2, 12)
    slope = (distributions.cdf(t + step) - distributions.cdf(t - step)) / (2 * step)
    np.testing.assert_allclose(np.exp(distributions.log_prob(t)), slope, rtol=1e-5, atol=1e-8)
    for level in (1e-9, 0.2, 0.5, 0.999):
        q = distributions.quantile(np.full(12, level))
        np.testing.assert_allclose(distributions.cdf(q), level, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(
        distributions.quantile(np.repeat([0.0, 1.0], 6))[[0, 11]], [-np.inf, np.inf]
    )


def test_draws_of_an_average_have_its_law():
    distributions = average(1).select(np.zeros(4000, dtype=int))
    draws = distributions.draw(np.random.default_rng(1).random((4000, 2)))
    assert kstest(distributions.cdf(draws), "uniform").pvalue > 1e-3


def test_merged_rows_are_the_average_of_their_densities():
    distributions = average(12)
    merged = distributions.merge(4)
    t = np.array([-1.0, 0.3, 2.0])
    each = np.exp(distributions.log_prob(np.repeat(t, 4))).reshape(3, 4).mean(axis=1)
    np.testing.assert_allclose(np.exp(merged.log_prob(t)), each, rtol=1e-12)
    np.testing.assert_allclose(merged.mean(), distributions.mean().reshape(3, 4).mean(axis=1))


def test_codes_keep_the_order_of_values_and_have_a_bin_for_missing_ones():
    rng = np.random.default_rng(2)
    inputs = np.column_stack(
        [rng.integers(0, 5, 2000), rng.standard_normal(2000), np.full(2000, 3)]
    )
    binning = Binning.of(inputs)
    codes = binning.codes(inputs)
    np.testing.assert_array_equal(codes[:, 0], inputs[:, 0])
    assert np.all(np.diff(codes[np.argsort(inputs[:, 1]), 1].astype(int)) >= 0)
    assert np.bincount(codes[:, 1]).max() < 20
    gone = binning.codes(np.full((1, 3), np.nan))[0]
    np.testing.assert_array_equal(gone, binning.missing)
    assert np.all(codes < gone)


def test_one_round_of_all_rows_is_the_regression_tree_of_another_package():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 30, (300, 3)).astype(float)
    y = np.sin(x[:, 0] / 8) + 0.3 * x[:, 1] + rng.standard_normal(300)
    everything = np.arange(300)
    growth = Growth(n_leaves=9, n_rounds=1, step=1.0, share=1.0, least_rows=4)
    trees, held_out = grow_trees(
        BinnedRows.of(Binning.of(x), x), y, [(everything, everything)], growth, rng
    )
    peer = DecisionTreeRegressor(max_leaf_nodes=9, min_samples_leaf=4).fit(x, y)
    np.testing.assert_allclose(trees.predict(x), peer.predict(x), rtol=1e-10)
    np.testing.assert_allclose(held_out, trees.predict(x), rtol=1e-12)


def test_trees_are_the_mean_of_their_members_and_rows_are_predicted_by_those_that_do_not_know_them():
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (200, 2))
    y = np.sign(x[:, 0]) + 0.1 * rng.standard_normal(200)
    folds, growth = folds_of(200, 4), Growth(n_leaves=4, n_rounds=60)
    rows = BinnedRows.of(Binning.of(x), x)
    trees, held_out = grow_trees(rows, y, folds, growth, np.random.default_rng(5))
    generator, alone = np.random.default_rng(5), []
    for fold in folds:  # members are grown one after another from one stream of numbers
        alone.append(grow_trees(rows, y, [fold], growth, generator)[0])
    fewest = min(len(one.root) for one in alone)
    assert np.mean((held_out - y) ** 2) < 0.2 * y.var()
    assert abs(trees.predict(x) - np.mean([one.predict(x) for one in alone], axis=0)).max() < 0.2
    assert fewest > 1
    y_changed = y.copy()
    y_changed[folds[0][1]] += 100.0  # what a member is judged by may change how long it learns only
    one, _ = grow_trees(rows, y_changed, folds[:1], growth, np.random.default_rng(5))
    n = min(len(one.root), len(alone[0].root)) - 1
    np.testing.assert_array_equal(one.tree[: one.root[n]], alone[0].tree[: one.root[n]])


def test_a_scale_law_finds_the_scale_and_the_tails():
    rng = np.random.default_rng(6)
    m = rng.uniform(-1, 1, 4000)
    true = np.exp(-2 + m)
    normal, heavy = rng.standard_normal(4000), rng.standard_t(3, 4000)
    for noise, height in ((normal, 0.399), (heavy, 0.368 * heavy.std())):
        law = fit_scale_law(m, true * noise, 1)
        mixtures = law.mixtures(m)
        spread = np.sqrt(np.exp(law.log_weights) @ WIDTHS**2) * np.exp(law.log_scale(m))
        ratio = spread / true / noise.std()
        assert ratio == pytest.approx(np.ones(4000), abs=0.2)
        peak = np.exp(mixtures.log_prob(m)) * true * noise.std()  # of the standardised residual
        assert peak == pytest.approx(np.full(4000, height), rel=0.2)
        assert kstest(mixtures.cdf(m + true * noise), "uniform").pvalue > 1e-3


@pytest.fixture(scope="module")
def staircase():
    """Steps of a target with a long upper tail, whose noise grows with its mean."""
    rng = np.random.default_rng(7)
    x = rng.uniform(0, 1, (600, 2))
    mean = np.exp(np.floor(4 * x[:, 0]) * 1.2)
    return x, mean, mean * np.exp(0.1 * rng.standard_normal(600))


def test_a_boosted_unit_learns_steps_with_their_noise_and_is_normalised(staircase):
    x, mean, y = staircase
    unit, held_out = learn_boosted(x[:500], y[:500], folds_of(500, 5), np.random.default_rng(0))
    distributions = unit.distributions(x[500:])
    truth = -0.5 * np.log(2 * np.pi * np.e) - np.log(0.1) - np.log(mean)
    assert distributions.log_prob(y[500:]).mean() > truth[500:].mean() - 0.35
    assert held_out.mean() == pytest.approx(distributions.log_prob(y[500:]).mean(), abs=0.35)
    assert np.isfinite(unit.warp.bend)
    for row in range(3):
        assert quadrature(distributions, row) == pytest.approx(1.0, abs=1e-9)
        expected = quadrature(distributions, row, power=1)
        assert distributions.mean()[row] == pytest.approx(expected, rel=1e-6)


def test_missing_inputs_are_values_of_their_own(staircase):
    x, _, y = staircase
    holes = x.copy()
    holes[x[:, 0] > 0.75, 0] = np.nan  # the highest step is where the input is not known
    folds = folds_of(600, 3)
    unit, held_out = learn_boosted(holes, y, folds, np.random.default_rng(0))
    _, complete = learn_boosted(x, y, folds, np.random.default_rng(0))
    assert held_out.mean() > complete.mean() - 0.1
    assert np.all(np.isfinite(unit.distributions(np.full((2, 2), np.nan)).mean()))


def test_few_rows_are_left_to_others(staircase):
    x, _, y = staircase
    assert learn_boosted(x[:30], y[:30], folds_of(30, 3), np.random.default_rng(0)) is None
    assert learn_boosted(x[:, :0], y, folds_of(600, 3), np.random.default_rng(0)) is None


def test_one_round_of_label_trees_is_a_newton_step_by_the_trees_of_another_package():
    rng = np.random.default_rng(8)
    x = rng.integers(0, 30, (300, 3)).astype(float)
    label = (x[:, 0] > 12).astype(int) + (x[:, 1] + 5 * rng.standard_normal(300) > 20)
    everything, rows = np.arange(300), BinnedRows.of(Binning.of(x), x)
    growth = Growth(n_leaves=6, n_rounds=1, step=1.0, share=1.0, least_rows=4)
    trees, scores = grow_label_trees(rows, label, 3, [(everything, everything)], growth, rng)
    count = np.bincount(label)
    for c in range(3):
        base = np.log((count + 1) / 303)
        p = (np.exp(base) / np.exp(base).sum())[c]
        newton = ((label == c) - p) / (p * (1 - p))
        peer = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=4).fit(x, newton)
        np.testing.assert_allclose(trees[c].predict(x), base[c] + peer.predict(x), rtol=1e-9)
        np.testing.assert_allclose(scores[:, c], trees[c].predict(x), rtol=1e-12)


def test_two_classes_have_opposite_scores():
    rng = np.random.default_rng(9)
    x = rng.uniform(-1, 1, (200, 2))
    label = (x[:, 0] * x[:, 1] > 0).astype(int)
    rows, growth = BinnedRows.of(Binning.of(x), x), Growth(n_leaves=4, n_rounds=30, ridge=1.0)
    (no, yes), _ = grow_label_trees(rows, label, 2, folds_of(200, 3), growth, rng)
    np.testing.assert_allclose(yes.predict(x) - yes.base, no.base - no.predict(x), atol=1e-9)


def test_boosted_labels_learn_steps_and_are_probabilities():
    rng = np.random.default_rng(10)
    x = rng.uniform(-1, 1, (500, 3))
    label = (np.floor(3 * abs(x[:, 0])).astype(int) + (x[:, 1] > 0)) % 3
    x[rng.random(500) < 0.1, 2] = np.nan
    unit, held_out = learn_boosted_labels(x[:400], label[:400], 3, folds_of(400, 4), rng)
    proba = np.exp(unit.log_proba(x[400:]))
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    loss = -np.log(proba[np.arange(100), label[400:]]).mean()
    assert loss < 0.4
    assert -held_out.mean() == pytest.approx(loss, abs=0.2)
    assert learn_boosted_labels(x[:30], label[:30], 3, folds_of(30, 3), rng) is None
