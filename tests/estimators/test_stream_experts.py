"""Experts for values of StreamBrain: as the naive oracle's, near the truth, robust."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from neurolp import ContinuousSensor, CountSensor, StreamBrain
from tests.naive_experts import NaiveExperts

ALONE = {"n_hidden": 0, "warmup": 10_000, "random_state": 0}  # the network knows no units


def seasonal(n, d=1, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    level = np.cumsum(0.05 * rng.standard_normal((n, d)), axis=0)
    noise = rng.standard_normal((n, d)) @ (np.eye(d) + 0.5 * np.tri(d, k=-1)).T
    return 10 + level + 2 * np.sin(2 * np.pi * t / 7) + 0.3 * noise


def garch(n, seed=0, arch=0.1, persistence=0.85):
    """Values and their true standard deviations."""
    rng = np.random.default_rng(seed)
    x, std = np.zeros(n), np.zeros(n)
    variance = 1.0
    for t in range(n):
        std[t] = np.sqrt(variance)
        x[t] = std[t] * rng.standard_normal()
        variance = 1 - arch - persistence + arch * x[t] ** 2 + persistence * variance
    return x, std


@pytest.mark.parametrize("d", [1, 3])
def test_every_step_is_that_of_the_oracle(d):
    rows = seasonal(60 + 30 * (d == 1), d)
    rows[40] += 40  # an outlier
    rows[45:50] = rows[45]  # values that repeat
    oracle = NaiveExperts(d)
    expected = [oracle.step(row) for row in rows]
    result = StreamBrain(ContinuousSensor(d), **ALONE).run(rows)
    surprise = np.array([s for s, _ in expected])
    np.testing.assert_allclose(result.total[8:], surprise[8:], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(result.pit[8:], [p for _, p in expected[8:]], rtol=1e-7, atol=1e-12)
    assert (oracle.period > 0).any()


@pytest.mark.parametrize("level", [0.7, 40.0])
def test_every_step_of_counts_is_that_of_the_oracle(level):
    rows = np.random.default_rng(5).poisson(level, (70, 1)).astype(float)
    rows[40] += 200  # an outlier
    oracle = NaiveExperts(1, grid=CountSensor.grid)
    expected = [oracle.step(row) for row in rows]
    result = StreamBrain(CountSensor(), **ALONE).run(rows)
    surprise = np.array([s for s, _ in expected])
    np.testing.assert_allclose(result.total[8:], surprise[8:], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(result.pit[8:], [p for _, p in expected[8:]], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("source", ["white noise", "random walk", "garch"])
def test_surprise_is_near_the_truth_after_2000_steps(source, seed):
    rng = np.random.default_rng(seed)
    noise, std = 0.1 * rng.standard_normal(8000), 0.1
    x = 5 + noise if source == "white noise" else np.cumsum(noise)
    if source == "garch":
        x, std = garch(8000, seed)
        noise = x
    truth = -norm.logpdf(noise, 0, std)
    brain = StreamBrain(ContinuousSensor(), n_hidden=20, random_state=0)
    excess = (brain.run(x).total - truth)[2000:]
    error = excess.std() / np.sqrt(len(excess))
    assert -2 * error < excess.mean() < 0.01


def test_calibrated_where_little_and_where_much_changes():
    x, std = garch(8000, arch=0.15, persistence=0.8)
    pit = StreamBrain(ContinuousSensor(), n_hidden=20, random_state=0).run(x).pit[1000:, 0]
    calm = std[1000:] < np.median(std[1000:])
    for part in (calm, ~calm):
        assert kstest(pit[part], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("outlier", [1e3, 1e9, -1e50])
def test_an_outlier_is_forgotten(outlier):
    rng = np.random.default_rng(0)
    clean = np.convolve(rng.standard_normal(1003), [1, 0.8, 0.5, 0.2], "valid")
    dirty = np.append(clean[:500], [outlier, *clean[501:]])
    brains = [StreamBrain(ContinuousSensor(), n_hidden=20, random_state=0) for _ in range(2)]
    late = [
        brain.run(x).total[600:].mean() for brain, x in zip(brains, (clean, dirty), strict=True)
    ]
    assert abs(late[1] - late[0]) < 0.1  # of 1.4: it was learned that there are some


def test_values_that_repeat_have_a_high_density():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal(60), 10)
    surprise = StreamBrain(ContinuousSensor(), n_hidden=0, random_state=0).run(x).total[300:]
    assert np.median(surprise) < -10


@pytest.mark.parametrize("period", [7, 24, 52])
def test_a_season_longer_than_the_lags_is_found(period):
    rng = np.random.default_rng(0)
    shape = rng.standard_normal(period)
    x = np.tile(shape, 1500 // period + 1)[:1500] + 0.1 * rng.standard_normal(1500)
    surprise = StreamBrain(ContinuousSensor(), n_hidden=0, random_state=0).run(x).total
    truth = 0.5 * np.log(2 * np.pi * np.e * 0.1**2)
    assert surprise[1000:].mean() < truth + 0.2  # four past periods say what comes


def test_units_of_the_values_change_nothing_else():
    x = seasonal(400)[:, 0]
    one, other = (
        StreamBrain(ContinuousSensor(), n_hidden=10, random_state=0).run(values)
        for values in (x, 1024 * x - 512)
    )
    difference = other.total[8:] - one.total[8:]  # the first ones are predicted in any units
    np.testing.assert_allclose(difference, np.log(1024), atol=1e-6)


def test_other_values_of_the_step_and_before_it_tell():
    """Of two values one is the other one step ago, a third is their sum."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(1201)
    rows = np.column_stack([x[1:], x[:-1] + 0.1 * rng.standard_normal(1200)])
    rows = np.column_stack([rows, rows.sum(axis=1) + 0.1 * rng.standard_normal(1200)])
    brain = StreamBrain(ContinuousSensor(3), n_hidden=0, n_lags=1, random_state=0)
    surprise = brain.run(rows).total[800:].mean()
    truth = 1.5 * np.log(2 * np.pi * np.e) + 2 * np.log(0.1)
    assert surprise < truth + 0.15


@pytest.mark.parametrize("warmup", [2, 5, 8, 20])
def test_experts_begin_before_and_after_the_units_are_known(warmup):
    x = seasonal(100)[:, 0]
    brain = StreamBrain(ContinuousSensor(), n_hidden=5, warmup=warmup, random_state=0)
    pieces = np.concatenate([brain.run(part).total for part in np.array_split(x, 17)])
    whole = StreamBrain(ContinuousSensor(), n_hidden=5, warmup=warmup, random_state=0).run(x)
    np.testing.assert_array_equal(pieces, whole.total)
    assert (brain._state.experts.seen == 100).all()
