"""Predictions of StreamBrain: as the naive oracle's, normalised, calibrated."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import kstest

from neurolp import ContinuousSensor, StreamBrain
from neurolp.data.streams import generator
from tests.estimators.stream_cases import SENSORS, SMALL, VALUE, edges, rows_of
from tests.naive_stream import NaiveStreamBrain


@pytest.mark.parametrize("rule", ["rls", "diagonal_rls", "nlms"])
@pytest.mark.parametrize("connectivity", ["none", "full", "sparse"])
@pytest.mark.parametrize("sensors", SENSORS.values(), ids=SENSORS)
def test_every_step_is_that_of_the_oracle(sensors, connectivity, rule):
    brain = StreamBrain(
        sensors, **SMALL, rule=rule, homeostasis=0.01, time_constants=(1, 4), experts=False,
        random_state=1, connectivity=edges() if connectivity == "sparse" else connectivity,
    )  # fmt: skip
    oracle = NaiveStreamBrain(brain)
    rows = rows_of(sensors, 60)
    expected = np.array([oracle.step(row, learn=t < 50) for t, row in enumerate(rows)])
    surprise = np.vstack(
        [brain.run(rows[:50]).surprise, brain.run(rows[50:], learn=False).surprise]
    )
    # Weights of symbols after contexts are kept in single precision.
    close = {"rtol": 1e-5 if any(s.n_symbols for s in sensors) else 1e-8, "atol": 1e-9}
    np.testing.assert_allclose(surprise, expected, **close)
    np.testing.assert_allclose(brain.activity, oracle.h[:12], **close)


@pytest.mark.parametrize("sensors", SENSORS.values(), ids=SENSORS)
def test_process_noise_is_that_of_the_oracle(sensors):
    brain = StreamBrain(sensors, **SMALL, process_noise=0.01, experts=False, random_state=1)
    oracle = NaiveStreamBrain(brain)
    rows = rows_of(sensors, 60, missing=0.4)
    expected = np.array([oracle.step(row, learn=t % 3 > 0) for t, row in enumerate(rows)])
    surprise = [brain.run(row[None], learn=t % 3 > 0).surprise for t, row in enumerate(rows)]
    close = {"rtol": 1e-5 if any(s.n_symbols for s in sensors) else 1e-8, "atol": 1e-9}
    np.testing.assert_allclose(np.vstack(surprise), expected, **close)


@pytest.mark.parametrize(
    ("rule", "noise"), [("rls", 0.0), ("rls", 0.01), ("diagonal_rls", 0.0), ("nlms", 0.0)]
)
@pytest.mark.parametrize("sensors", SENSORS.values(), ids=SENSORS)
def test_surprise_is_what_was_predicted(sensors, rule, noise):
    brain = StreamBrain(sensors, **SMALL, rule=rule, process_noise=noise, random_state=1)
    column = np.cumsum([0, *(s.n_columns for s in sensors)])
    for row in rows_of(sensors, 40):
        parts = [row[a:b] for a, b in pairwise(column)]
        expected, known = {}, {}
        for sensor, x in zip(sensors, parts, strict=True):
            expected[sensor.name] = brain.predict(known or None)[sensor.name]
            known |= {} if np.isnan(x[0]) else {sensor.name: x}
        result = brain.run(row[None], predictions=True)
        for s, sensor in enumerate(sensors):
            x, prediction = parts[s], expected[sensor.name]
            if sensor.n_symbols:
                assert abs(prediction.probabilities.sum() - 1) < 1e-12
                np.testing.assert_allclose(
                    result.probabilities[sensor.name][0], prediction.probabilities, rtol=1e-10
                )
            else:
                np.testing.assert_allclose(
                    result.mean[sensor.name][0], prediction.mean, rtol=1e-8, atol=1e-12
                )
                np.testing.assert_allclose(result.std[sensor.name][0], prediction.std, rtol=1e-8)
            if not np.isnan(x[0]):
                surprise = -np.sum(prediction.log_prob(x))
                np.testing.assert_allclose(result.surprise[0, s], surprise, rtol=1e-9)
            else:
                assert np.isnan(result.surprise[0, s])


def integral(prediction):
    """Of the density of one value, over pieces that resolve each of its components."""
    _, weight, offset, scale = prediction.component[0].T
    mean = prediction.means[0, prediction.component[0, :, 0].astype(int)] + offset
    used = weight > 1e-13
    width = np.array([-40, -8, -4, -2, -1, 0, 1, 2, 4, 8, 40])
    ends = np.unique(mean[used, None] + width * scale[used, None])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    x = middle[:, None] + half[:, None] * nodes
    return float((prediction.pdf(x.ravel()).reshape(x.shape) @ weights) @ half)


@pytest.mark.parametrize("experts", [True, False])
@pytest.mark.parametrize("n_steps", [0, 1, 5, 9, 30, 300])
def test_densities_integrate_to_one(n_steps, experts):
    brain = StreamBrain(ContinuousSensor(), **SMALL, warmup=20, experts=experts, random_state=0)
    x = rows_of((VALUE,), 300, missing=0)
    brain.run(x[:n_steps])
    assert abs(integral(brain.predict()["value"]) - 1) < 1e-9


@pytest.mark.parametrize("experts", [True, False])
@pytest.mark.parametrize("outlier", [1e3, 1e6, 1e9])
def test_densities_integrate_to_one_after_an_outlier(outlier, experts):
    brain = StreamBrain(VALUE, **SMALL, experts=experts, random_state=0)
    x = rows_of((VALUE,), 300, missing=0)[:, 0]
    brain.run([*x[:200], outlier, *x[200:], -outlier])
    np.testing.assert_allclose(brain._state.readout.shape[..., 0].sum(axis=1), 1, rtol=1e-12)
    assert abs(integral(brain.predict()["value"]) - 1) < 1e-9


def test_quantiles_invert_distribution_functions():
    brain = StreamBrain(ContinuousSensor(), **SMALL, random_state=0)
    x = generator("ar2", n_steps=500).read(500)
    result = brain.run(x)
    prediction = brain.predict()["value"]
    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 1 - 1e-6])
    np.testing.assert_allclose(prediction.cdf(prediction.quantile(p)), p, rtol=1e-9)
    drawn = prediction.sample(4000, np.random.default_rng(0))
    assert kstest(prediction.cdf(drawn[:, 0]), "uniform").pvalue > 1e-3
    assert np.all((result.pit > 0) & (result.pit < 1))


def test_a_vector_is_predicted_with_its_correlations():
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [-0.5, 0.2, 0.3]])
    rows = rng.standard_normal((4000, 3)) @ mixing.T
    brain = StreamBrain(ContinuousSensor(3), n_hidden=0, n_lags=1, random_state=0)
    result = brain.run(rows)
    prediction = brain.predict()["value"]
    np.testing.assert_allclose(prediction.covariance, mixing @ mixing.T, atol=0.12)
    entropy = 1.5 * np.log(2 * np.pi * np.e) + np.log(np.diag(mixing)).sum()
    error = result.total[2000:].std() / np.sqrt(2000)
    assert abs(result.total[2000:].mean() - entropy) < 4 * error
    drawn = prediction.sample(20_000, rng)
    np.testing.assert_allclose(np.cov(drawn.T), prediction.covariance, atol=0.08)
    assert kstest(prediction.cdf(drawn)[:, 2], "uniform").pvalue > 1e-3


def test_missing_input_is_remembered_as_expected():
    sensors = (VALUE,)
    rows = rows_of(sensors, 60, missing=0)
    brain, other = (StreamBrain(sensors, **SMALL, experts=False, random_state=0) for _ in range(2))
    brain.run(rows)
    other.run(rows)
    # The readout's mean, not that of the residuals' mixture, which the shape may shift.
    senses, readout = other._state.senses, other._state.readout
    expected = senses.location + senses.scale * (readout.weights @ other._state.memory.features)
    result = brain.run([[np.nan]], learn=False)
    assert np.isnan(result.surprise).all()
    assert result.total[0] == 0
    other.run(expected[None], learn=False)
    np.testing.assert_allclose(brain.activity, other.activity, rtol=1e-12)
