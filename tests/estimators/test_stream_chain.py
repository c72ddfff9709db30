"""Dependence of the sensors of a row: the triangular chain across them."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from neurolp import (
    CategoricalSensor,
    ConfigurationError,
    ContinuousSensor,
    CountSensor,
    DataError,
    SpikeSensor,
    StreamBatch,
    StreamBrain,
)
from tests.estimators.stream_cases import SENSORS, SMALL, SYMBOLS, VALUE, VECTOR, rows_of
from tests.estimators.test_stream_experts import ALONE, seasonal
from tests.naive_experts import NaiveExperts

A, B = ContinuousSensor(1, "a"), ContinuousSensor(1, "b")


def pair(n, rho=0.9, seed=0):
    """Two values of one law, independent in time, with this correlation."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    return np.column_stack([a, rho * a + np.sqrt(1 - rho**2) * rng.standard_normal(n)])


def surprise_of(sensors, rows, last=2000, **settings):
    """Mean surprise of each sensor in the last steps."""
    brain = StreamBrain(sensors, random_state=0, **settings)
    return brain.run(rows).surprise[-last:].mean(axis=0)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 2)])
def test_every_step_of_the_experts_is_that_of_the_oracle(sizes):
    d = sum(sizes)
    rows = seasonal(60, d)
    rows[40] += 40  # an outlier
    first = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes).tolist()
    oracle = NaiveExperts(d, first=first)
    expected = [oracle.step(row) for row in rows]
    sensors = [ContinuousSensor(n, f"s{k}") for k, n in enumerate(sizes)]
    result = StreamBrain(sensors, **ALONE).run(rows)
    surprise = np.array([s for s, _ in expected])
    np.testing.assert_allclose(result.total[8:], surprise[8:], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(result.pit[8:], [p for _, p in expected[8:]], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("experts", [True, False])
def test_two_sensors_are_as_sure_as_one_of_two_values(experts):
    rows = pair(4000)
    small = {"n_hidden": 0, "n_lags": 2, "experts": experts}
    apart = surprise_of([A, B], rows, **small)
    together = surprise_of(ContinuousSensor(["a", "b"]), rows, **small)[0]
    truth = -norm.logpdf(rows[-2000:, 1], 0.9 * rows[-2000:, 0], np.sqrt(1 - 0.81)).mean()
    assert abs(apart.sum() - together) < 0.01
    assert -0.002 < apart[1] - truth < 0.015


def test_the_network_is_least_squares_of_memory_and_row_together():
    """Weights of the chain are those of one ridge regression on the memory and the value before.

    By blocks: (x' (I - H) x + 1 / 30)^-1 x' (I - H) y, H the hat matrix of the memory.
    """
    rows = pair(400)
    rows[1:, 0] += 0.8 * rows[:-1, 1]
    sensors = [
        ContinuousSensor(1, "a", location=0.0, scale=1.0),
        ContinuousSensor(1, "b", location=0.0, scale=1.0),
    ]
    brain = StreamBrain(sensors, n_hidden=0, n_lags=2, experts=False, random_state=0)
    brain.run(rows[:-1])
    before = np.vstack([np.zeros((2, 2)), rows])
    z = np.column_stack([np.ones(399), before[1:400], before[:399]])
    x, y = rows[:-1].T
    known = z @ np.linalg.inv(z.T @ z + np.eye(5) / 3) @ z.T
    slope = x @ (y - known @ y) / (x @ (x - known @ x) + 1 / 30)
    np.testing.assert_allclose(brain.weights["chain"].toarray(), [[0, 0], [slope, 0]], rtol=1e-9)
    assert abs(slope - 0.9) < 0.1


def test_a_symbol_tells_the_next_symbol_and_value():
    rng = np.random.default_rng(0)
    n = 6000
    a = rng.integers(0, 3, n)
    noisy = np.where(rng.random(n) < 0.1, rng.integers(0, 3, n), a)
    value = np.array([-2.0, 0.0, 5.0])[a] + 0.5 * rng.standard_normal(n)
    sensors = [CategoricalSensor(3, "a"), CategoricalSensor(3, "noisy"), B]
    found = surprise_of(sensors, np.column_stack([a, noisy, value]), n_hidden=0, n_lags=1)
    p = np.array([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
    truth = np.log(3), -(p @ np.log(p)), 0.5 * np.log(2 * np.pi * np.e * 0.25)
    spread = np.array([0.0, 0.85, 0.71]) / np.sqrt(2000)  # of the mean surprise
    assert np.all(found - truth > -3 * spread - 0.001)
    assert np.all(found - truth < 3 * spread + 0.02)


def test_a_value_tells_the_next_symbol():
    rng = np.random.default_rng(1)
    w = rng.standard_normal(6000)
    p = 1 / (1 + np.exp(-2 * w))
    s = rng.random(6000) < p
    truth = -np.log(np.where(s, p, 1 - p))[-2000:].mean()
    sensors = [A, SpikeSensor("s")]
    found = surprise_of(sensors, np.column_stack([w, s]), n_hidden=0, n_lags=1)[1]
    assert -0.005 < found - truth < 0.02


def test_symbols_are_told_by_two_sensors_together():
    """Exclusive or: neither tells anything alone."""
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 2, (2, 3000))
    sensors = [CategoricalSensor(2, name) for name in "abc"]
    found = surprise_of(sensors, np.column_stack([a, b, a ^ b]), last=1000)
    assert found[2] < 0.01
    assert found[0] > 0.68


def test_counts_are_told_by_values():
    rng = np.random.default_rng(3)
    w = rng.standard_normal(4000)
    counts = rng.poisson(20 + 6 * np.clip(w, -2, 2))
    sensors = [A, CountSensor("n")]
    both = surprise_of(sensors, np.column_stack([w, counts]), n_hidden=0, n_lags=1)
    alone = surprise_of(CountSensor("n"), counts[:, None], n_hidden=0, n_lags=1)
    assert both[1] < alone[0] - 0.25


@pytest.mark.parametrize("experts", [True, False])
def test_what_is_missing_before_is_doubt(experts):
    """Where the first value is missing the second has its own law, not that of its residuals."""
    rows = pair(5000, rho=0.98)
    rows[np.random.default_rng(5).random(5000) < 0.2, 0] = np.nan
    brain = StreamBrain([A, B], n_hidden=0, n_lags=1, experts=experts, random_state=0)
    surprise = brain.run(rows).surprise[2000:]
    missing = np.isnan(rows[2000:, 0])
    truth = -norm.logpdf(rows[2000:, 1])
    assert abs((surprise[:, 1] - truth)[missing].mean()) < 0.06
    known = -norm.logpdf(rows[2000:, 1], 0.98 * rows[2000:, 0], np.sqrt(1 - 0.98**2))
    assert (surprise[:, 1] - known)[~missing].mean() < 0.05


def test_the_probabilities_of_all_rows_add_to_one():
    sensors = [CategoricalSensor(2, "a"), CategoricalSensor(3, "b"), CategoricalSensor(2, "c")]
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2, 300)
    rows = np.column_stack([a, (a + rng.integers(0, 2, 300)) % 3, a])
    brain = StreamBrain(sensors, random_state=0)
    brain.run(rows)
    every = [brain.score_one(list(row)) for row in product(range(2), range(3), range(2))]
    assert abs(np.exp(-np.array(every)).sum() - 1) < 1e-12


def test_the_density_of_two_sensors_integrates_to_one():
    rows = pair(600)
    brain = StreamBrain([A, B], n_hidden=10, random_state=0)
    brain.run(rows)
    a = brain.predict()["a"]
    nodes, weights = np.polynomial.legendre.leggauss(400)
    x = 12 * nodes
    assert abs(12 * weights @ a.pdf(x) - 1) < 1e-3
    for given in (-3.0, 0.1, 2.5):
        b = brain.predict({"a": given})["b"]
        grid = b.mean[0] + np.sinh(14 * nodes) / 1e3
        slope = 14 * np.cosh(14 * nodes) / 1e3
        assert abs((weights * slope) @ b.pdf(grid) - 1) < 1e-6


def test_dreams_have_the_dependence_of_the_data():
    brain = StreamBrain([A, B], n_hidden=10, random_state=0)
    brain.run(pair(2000))
    dream = brain.dream(300, random_state=0)
    assert np.corrcoef(dream.T)[0, 1] > 0.8


def test_given_is_what_the_sensors_before_have():
    sensors = [CategoricalSensor(["no", "yes"], "rain"), ContinuousSensor(["t", "p"], "air"), A]
    rng = np.random.default_rng(0)
    rain = rng.integers(0, 2, 500)
    t = 10 - 3 * rain + rng.standard_normal(500)
    rows = np.column_stack([rain, t, 2 * t, t + 0.1 * rng.standard_normal(500)])
    brain = StreamBrain(sensors, n_hidden=10, random_state=0)
    brain.run(rows)
    assert set(brain.predict({"rain": "yes"})) == {"air", "a"}
    warm, cold = (brain.predict({"rain": label})["air"].mean[0] for label in ("no", "yes"))
    assert warm > cold + 2
    told = brain.predict({"rain": "yes", "t": 7.0, "p": 14.0})
    assert set(told) == {"a"}
    assert abs(told["a"].mean[0] - 7) < 0.3
    assert brain.predict_one({"air": [7.0, 14.0]})["a"] == pytest.approx(7, abs=0.3)
    assert set(brain.predict_proba_one({"air": [7.0, 14.0]})) == {"rain"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"c": 1.0}, r"argument `given` must have keys among \['a', 'b'\], but has \['c'\]"),
        ({"a": 1.0, "b": 2.0}, "argument `given` must leave a sensor to be predicted"),
        ({"a": np.inf}, "argument `given` must hold"),
        ({"a": "much"}, "argument `given`"),
        ({"a": [1.0, 2.0]}, "argument `given` must hold 1 numbers for sensor 'a', but holds 2"),
    ],
)
def test_what_cannot_be_given_is_refused(given, message):
    brain = StreamBrain([A, B], n_hidden=5, random_state=0)
    brain.run(pair(200))
    with pytest.raises(DataError, match=message):
        brain.predict(given)


def test_weights_of_the_chain_can_be_read_and_set():
    brain = StreamBrain([VALUE, VECTOR], **SMALL, experts=False, random_state=0)
    brain.run(rows_of((VALUE, VECTOR), 200, missing=0))
    chain = brain.weights["chain"].toarray()
    assert chain.shape == (4, 4)
    np.testing.assert_array_equal(chain != 0, np.outer([0, 1, 1, 1], [1, 0, 0, 0]))
    before = brain.predict({"value": 3.0})["vector"].mean
    brain.weights["chain"] = np.zeros((4, 4))
    after = brain.predict({"value": 3.0})["vector"].mean
    assert np.all(before != after)
    other = brain.predict({"value": -1.0})["vector"].mean
    np.testing.assert_allclose(after, other, atol=0.01)  # residuals are wider far away
    with pytest.raises(ConfigurationError, match="weights 'chain' must be zero where there is no"):
        brain.weights["chain"] = np.ones((4, 4))
    brain.weights["chain"] = chain
    np.testing.assert_array_equal(brain.predict({"value": 3.0})["vector"].mean, before)


@pytest.mark.parametrize("rule", ["rls", "diagonal_rls", "nlms"])
def test_pieces_copies_and_files_go_on_the_same(rule, tmp_path):
    sensors = SENSORS["all"]
    rows = rows_of(sensors, 120)
    brain, other = (StreamBrain(sensors, **SMALL, rule=rule, random_state=0) for _ in range(2))
    whole = brain.run(rows).surprise
    first = other.run(rows[:50]).surprise
    other.save(tmp_path / "brain.h5")
    other = StreamBrain.load(tmp_path / "brain.h5")
    np.testing.assert_array_equal(np.vstack([first, other.run(rows[50:]).surprise]), whole)


@pytest.mark.parametrize("rule", ["rls", "diagonal_rls", "nlms"])
def test_many_streams_of_several_sensors_are_those_of_one_brain(rule):
    """One stream alone is the brain; weights of the chain are shared."""
    sensors = [VALUE, VECTOR, A]
    rows = rows_of(sensors, 160)
    brain = StreamBrain(sensors, **SMALL, rule=rule, random_state=0)
    batch = StreamBatch(brain, 1)
    many = StreamBatch(brain, 3)
    many.run(np.stack([rows_of(sensors, 160, seed) for seed in range(3)]))
    np.testing.assert_allclose(
        batch.run(rows[None]).surprise[0], brain.run(rows).surprise, rtol=1e-7, atol=1e-9
    )
    chains = [many.brain(b).weights["chain"].toarray() for b in range(3)]
    np.testing.assert_array_equal(chains[0], chains[2])
    assert np.abs(chains[0][-1]).max() > 0.01


def test_an_outlier_before_does_not_break_what_follows():
    rows = pair(1500)
    rows[700, 0] = 1e9
    brain = StreamBrain([A, B], n_hidden=10, random_state=0)
    surprise = brain.run(rows).surprise
    assert np.isfinite(surprise).all()
    assert brain.fault() is None
    clean = StreamBrain([A, B], n_hidden=10, random_state=0).run(pair(1500)).surprise
    assert surprise[1000:, 1].mean() < clean[1000:, 1].mean() + 0.15


def test_symbols_alone_without_contexts_still_hear_each_other():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 2000)
    sensors = [CategoricalSensor(3, "a"), SYMBOLS]
    found = surprise_of(sensors, np.column_stack([a, a]), last=500, n_contexts=0, n_lags=1)
    assert found[1] < 0.05
