"""Counts: their masses add to 1, at any size, and are what is learned and predicted."""

import numpy as np
import pytest
from scipy.stats import kstest, poisson

from neurolp import (
    ConfigurationError,
    ContinuousSensor,
    CountSensor,
    DataError,
    GridPrediction,
    StreamBrain,
)
from neurolp.data.streams import open_stream
from neurolp.estimators import load
from neurolp.stream.prediction import ValuePrediction
from neurolp.stream.sensors import sensors_from_json, sensors_to_json

SMALL = {"n_hidden": 10, "n_lags": 3, "random_state": 0}


def counts_of(level, n, seed=0):
    return np.random.default_rng(seed).poisson(level, n).astype(float)


def all_of(level):
    """Successive counts: what is outside of them is known from the distribution function."""
    return np.arange(max(0, int(level) - 150), int(level) + 150)


@pytest.mark.parametrize("experts", [True, False])
@pytest.mark.parametrize("level", [0.05, 1.5, 40.0, 1e6])
def test_masses_add_to_one_and_are_the_surprise(level, experts):
    x = counts_of(level, 400)
    brain = StreamBrain(CountSensor(), experts=experts, **SMALL)
    for n in (3, 50, 99):  # before the experts begin, before the units are known, at last
        brain.run(x[brain.n_steps_ : n])
        _check(brain, level, x[n])
    surprise = brain.run(x[brain.n_steps_ :]).surprise[:, 0]
    assert (surprise >= 0).all()
    _check(brain, level, 0.0)
    _check(brain, level, float(2 * int(level) + 7))


def _check(brain, level, x):
    prediction = brain.predict()["count"]
    n = all_of(level)
    total = prediction.prob(n).sum()
    outside = 1 - prediction.cdf(n[-1]) + prediction.cdf(n[0] - 1)
    assert total + outside == pytest.approx(1, abs=1e-9)
    assert prediction.cdf(-1) == 0
    assert prediction.prob(0) == pytest.approx(prediction.cdf(0), rel=1e-9)
    assert prediction.cdf(2.0**53) > 1 - 1e-4
    surprise = brain.copy().run([x]).surprise[0, 0]
    assert surprise == pytest.approx(-float(prediction.log_prob(x)), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("level", [0.3, 20.0, 1e6])
def test_surprise_is_near_the_entropy_and_the_probabilities_are_calibrated(level):
    x = counts_of(level, 2500)
    run = StreamBrain(CountSensor(), **SMALL).run(x)
    excess = run.surprise[1000:, 0] + poisson.logpmf(x[1000:], level)
    assert -3 * excess.std() / 1500**0.5 < excess.mean() < 0.02
    assert kstest(run.pit[1000:, 0], "uniform").pvalue > 0.001


def test_counts_that_depend_on_the_past():
    """Poisson counts whose mean follows the last one; independent counts are far behind."""
    rng, x = np.random.default_rng(2), np.zeros(2500)
    truth = np.zeros(2500)
    for t in range(1, 2500):
        mean = 1 + 0.9 * x[t - 1]
        x[t] = rng.poisson(mean)
        truth[t] = -poisson.logpmf(x[t], mean)
    brain = StreamBrain(CountSensor(), n_hidden=20, n_lags=5, random_state=0)
    surprise = brain.run(x).surprise[1000:, 0]
    alone = np.bincount(x.astype(int)) / len(x)
    independent = -np.log(alone[x[1000:].astype(int)]).mean()
    assert surprise.mean() < truth[1000:].mean() + 0.1
    assert surprise.mean() < independent - 0.5


def test_dreams_quantiles_and_moments_are_of_counts():
    brain = StreamBrain(CountSensor(), **SMALL)
    brain.run(counts_of(4.0, 1000))
    dream = brain.dream(300, random_state=0)
    assert (dream == np.floor(dream)).all()
    assert (dream >= 0).all()
    assert dream.mean() == pytest.approx(4, abs=1)
    prediction = brain.predict()["count"]
    probability = np.array([0.05, 0.5, 0.95])
    q = prediction.quantile(probability)
    assert (q == np.floor(q)).all()
    assert (prediction.cdf(q) >= probability).all()
    assert (prediction.cdf(q - 1) < probability).all()
    n = np.arange(200)
    mean = prediction.prob(n) @ n
    assert prediction.mean[0] == pytest.approx(mean, abs=0.1)
    assert prediction.std[0] == pytest.approx(
        np.sqrt(prediction.prob(n) @ (n - mean) ** 2), rel=0.1
    )


def test_beside_other_sensors_with_missing_counts_and_in_pieces(tmp_path):
    rng = np.random.default_rng(1)
    rows = np.stack([rng.normal(size=300), rng.poisson(3, 300).astype(float)], axis=1)
    rows[rng.random(300) < 0.1, 1] = np.nan
    brain, other = (StreamBrain((ContinuousSensor(), CountSensor("n")), **SMALL) for _ in range(2))
    whole = brain.run(rows)
    pieces = [other.run(rows[a:b]).surprise for a, b in ((0, 5), (5, 120), (120, 250))]
    other.save(tmp_path / "a.h5")
    last = load(tmp_path / "a.h5").run(rows[250:])
    np.testing.assert_array_equal(np.vstack([*pieces, last.surprise]), whole.surprise)
    np.testing.assert_array_equal(np.isnan(whole.surprise[:, 1]), np.isnan(rows[:, 1]))
    assert sensors_from_json(sensors_to_json((CountSensor("n"),))) == (CountSensor("n"),)


def test_values_on_any_grid():
    values = ValuePrediction.of_chain(
        np.array([0.33]), np.array([[0.2]]), np.array([[[0.5, -1.0, 1.0], [0.5, 0.5, 0.01]]])
    )
    for cell, least in ((0.25, -np.inf), (0.25, 0.0), (1e-8, -np.inf)):
        grid = GridPrediction(values, cell, least)
        first = 0.0 if np.isfinite(least) else -5.0
        x = first + cell * np.arange(60)
        if cell > 1e-3:
            assert grid.prob(x).sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(
            grid.prob(x[5:9]), np.diff(values.cdf(x[5] + cell * (np.arange(5) - 0.5))), rtol=1e-6,
            atol=1e-12,
        )  # fmt: skip
    with pytest.raises(DataError, match="values on the grid"):
        GridPrediction(values, 0.25, 0.0).log_prob(0.3)


@pytest.mark.parametrize("value", [-1, 0.5, np.inf, 2.0**54])
def test_what_is_no_count_is_named(value):
    with pytest.raises(DataError, match=r"an integer 0 .. 2.53 or NaN for sensor 'count'"):
        StreamBrain(CountSensor(), **SMALL).run([1.0, value])


def test_columns_of_files_are_counts_and_spikes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,n,s\n" + "".join(f"{0.1 * t},{t},{t % 2}\n" for t in range(9)))
    sensors = open_stream(path, counts=["n"], spikes=["s"]).sensors
    assert [type(s).__name__ for s in sensors] == [
        "ContinuousSensor", "CountSensor", "SpikeSensor",
    ]  # fmt: skip
    assert [s.name for s in sensors] == ["x", "n", "s"]
    with pytest.raises(DataError, match=r"column 'x', line 3: wanted an integer 0 .. 2.53 or NaN"):
        open_stream(path, counts=["x"])
    for wrong in ({"counts": ["n"], "spikes": ["n"]}, {"counts": ["n"], "columns": ["x"]}):
        with pytest.raises(ConfigurationError, match="must name columns that are used"):
            open_stream(path, **wrong)
    with pytest.raises(ConfigurationError, match="argument `counts` must be a list of columns"):
        open_stream(path, counts="n")
