"""Laws of the brain in a stream: exact, normalised, local, the same however it is cut."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse
from scipy.integrate import quad
from scipy.stats import kstest

from neurolp import (
    CategoricalSensor,
    ConfigurationError,
    ContinuousSensor,
    DataError,
    FormatError,
    NeurolpError,
    StreamBrain,
)
from neurolp.data.streams import generator
from tests.naive_stream import NaiveStreamBrain

SYMBOLS = CategoricalSensor(3)
VALUE = ContinuousSensor(location=0.5, scale=2.0)
VECTOR = ContinuousSensor(3, "vector", location=[0.0, 1.0, 2.0], scale=[1.0, 2.0, 0.5])
SMALL = {
    "n_hidden": 12,
    "n_lags": 4,
    "fan_in": 2,
    "recurrent_rate": 0.3,
    "max_order": 2,
    "n_contexts": 64,
}


def rows_of(sensors, n_steps, seed=0, missing=0.1):
    """A stream in which everything depends on everything that was."""
    rng = np.random.default_rng(seed)
    columns, memory = [], np.zeros(n_steps)
    for t in range(1, n_steps):
        memory[t] = 0.8 * memory[t - 1] + rng.standard_normal()
    for sensor in sensors:
        if sensor.n_symbols:
            part = np.digitize(np.roll(memory, 1), [-1, 1])[:, None].astype(float)
            part %= sensor.n_symbols
        else:
            noise = rng.standard_normal((n_steps, sensor.n_values))
            part = np.roll(memory, 1)[:, None] + 0.3 * noise @ rng.standard_normal(
                (sensor.n_values, sensor.n_values)
            )
        part[rng.random(n_steps) < missing] = np.nan
        columns.append(part)
    return np.hstack(columns)


SENSORS = {
    "symbols": (SYMBOLS,),
    "value": (VALUE,),
    "vector": (VECTOR,),
    "all": (VALUE, SYMBOLS, VECTOR, CategoricalSensor(2, "other")),
}


def edges(share=0.3, n=12):
    matrix = np.random.default_rng(3).random((n, n)) < share
    np.fill_diagonal(matrix, False)
    return sparse.csr_array(matrix)


@pytest.mark.parametrize("rule", ["rls", "diagonal_rls", "nlms"])
@pytest.mark.parametrize("connectivity", ["none", "full", "sparse"])
@pytest.mark.parametrize("sensors", SENSORS.values(), ids=SENSORS)
def test_every_step_is_that_of_the_oracle(sensors, connectivity, rule):
    brain = StreamBrain(
        sensors, **SMALL, rule=rule, homeostasis=0.01, time_constants=(1, 4), random_state=1,
        connectivity=edges() if connectivity == "sparse" else connectivity,
    )  # fmt: skip
    oracle = NaiveStreamBrain(brain)
    rows = rows_of(sensors, 60)
    expected = np.array([oracle.step(row, learn=t < 50) for t, row in enumerate(rows)])
    surprise = np.vstack(
        [brain.run(rows[:50]).surprise, brain.run(rows[50:], learn=False).surprise]
    )
    np.testing.assert_allclose(surprise, expected, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(brain.activity, oracle.h[:12], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("sensors", SENSORS.values(), ids=SENSORS)
def test_process_noise_is_that_of_the_oracle(sensors):
    brain = StreamBrain(sensors, **SMALL, process_noise=0.01, random_state=1)
    oracle = NaiveStreamBrain(brain)
    rows = rows_of(sensors, 60, missing=0.4)
    expected = np.array([oracle.step(row, learn=t % 3 > 0) for t, row in enumerate(rows)])
    surprise = [brain.run(row[None], learn=t % 3 > 0).surprise for t, row in enumerate(rows)]
    np.testing.assert_allclose(np.vstack(surprise), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("rule", ["rls", "diagonal_rls", "nlms"])
@pytest.mark.parametrize("sensors", SENSORS.values(), ids=SENSORS)
def test_surprise_is_what_was_predicted(sensors, rule, noise):
    brain = StreamBrain(sensors, **SMALL, rule=rule, process_noise=noise, random_state=1)
    column = np.cumsum([0, *(s.n_columns for s in sensors)])
    for row in rows_of(sensors, 40):
        expected = brain.predict()
        told = brain.run(row[None], predictions=True)
        for s, sensor in enumerate(sensors):
            x, prediction = row[column[s] : column[s + 1]], expected[sensor.name]
            if sensor.n_symbols:
                assert abs(prediction.probabilities.sum() - 1) < 1e-12
                np.testing.assert_allclose(
                    told.probabilities[sensor.name][0], prediction.probabilities, rtol=1e-10
                )
            else:
                np.testing.assert_allclose(
                    told.mean[sensor.name][0], prediction.mean, rtol=1e-8, atol=1e-12
                )
                np.testing.assert_allclose(told.std[sensor.name][0], prediction.std, rtol=1e-8)
            if not np.isnan(x[0]):
                surprise = -np.sum(prediction.log_prob(x))
                np.testing.assert_allclose(told.surprise[0, s], surprise, rtol=1e-9)
            else:
                assert np.isnan(told.surprise[0, s])


@pytest.mark.parametrize("n_steps", [0, 1, 5, 300])
def test_densities_integrate_to_one(n_steps):
    brain = StreamBrain(ContinuousSensor(), **SMALL, warmup=10, random_state=0)
    x = rows_of((VALUE,), 300, missing=0)
    brain.run(x[:n_steps])
    prediction = brain.predict()["value"]
    mean, std = (prediction.mean[0], prediction.std[0]) if n_steps > 10 else (0.0, 1.0)
    # The broad prediction of the first steps has scales in octaves: integrate over octaves too.
    ends = mean + std * np.array([0.0, *2.0 ** np.arange(-3, 60)])
    right = sum(quad(prediction.pdf, a, b, epsabs=1e-13)[0] for a, b in pairwise(ends))
    left = sum(
        quad(prediction.pdf, 2 * mean - b, 2 * mean - a, epsabs=1e-13)[0] for a, b in pairwise(ends)
    )
    assert abs(left + right - 1) < 1e-9


@pytest.mark.parametrize("outlier", [1e3, 1e6, 1e9])
def test_densities_integrate_to_one_after_an_outlier(outlier):
    brain = StreamBrain(VALUE, **SMALL, random_state=0)
    x = rows_of((VALUE,), 300, missing=0)[:, 0]
    brain.run([*x[:200], outlier, *x[200:], -outlier])
    np.testing.assert_allclose(brain._state.readout.shape[..., 0].sum(axis=1), 1, rtol=1e-12)
    prediction = brain.predict()["value"]
    widths = (prediction.factor[0, 0] * prediction.shape[0, :, 2]).tolist()
    centres = (prediction.location + prediction.factor[0, 0] * prediction.shape[0, :, 1]).tolist()
    ends = sorted(m + k * s for m in centres for s in widths for k in (-40, -8, -2, 0, 2, 8, 40))
    total = sum(quad(prediction.pdf, a, b, epsabs=1e-13)[0] for a, b in pairwise(ends))
    assert abs(total - 1) < 1e-9


def test_contexts_count_beyond_single_precision():
    brain = StreamBrain(SYMBOLS, **SMALL, random_state=0)
    brain.run([0, 1, 2])
    brain._state.contexts.counts[0, 0, 0] = [2**24, 0, 0, 2**24]
    brain.run([0])
    assert brain._state.contexts.counts[0, 0, 0].tolist() == [2**24 + 1, 0, 0, 2**24 + 1]


def test_quantiles_invert_distribution_functions():
    brain = StreamBrain(ContinuousSensor(), **SMALL, random_state=0)
    x = generator("ar2", n_steps=500).read(500)
    told = brain.run(x)
    prediction = brain.predict()["value"]
    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 1 - 1e-6])
    np.testing.assert_allclose(prediction.cdf(prediction.quantile(p)), p, rtol=1e-9)
    drawn = prediction.sample(4000, np.random.default_rng(0))
    assert kstest(prediction.cdf(drawn[:, 0]), "uniform").pvalue > 1e-3
    assert np.all((told.pit > 0) & (told.pit < 1))


def test_a_vector_is_predicted_with_its_correlations():
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [-0.5, 0.2, 0.3]])
    rows = rng.standard_normal((4000, 3)) @ mixing.T
    brain = StreamBrain(ContinuousSensor(3), n_hidden=0, n_lags=1, random_state=0)
    told = brain.run(rows)
    prediction = brain.predict()["value"]
    np.testing.assert_allclose(prediction.covariance, mixing @ mixing.T, atol=0.12)
    entropy = 1.5 * np.log(2 * np.pi * np.e) + np.log(np.diag(mixing)).sum()
    error = told.total[2000:].std() / np.sqrt(2000)
    assert abs(told.total[2000:].mean() - entropy) < 4 * error
    drawn = prediction.sample(20_000, rng)
    np.testing.assert_allclose(np.cov(drawn.T), prediction.covariance, atol=0.05)
    assert kstest(prediction.cdf(drawn)[:, 2], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("cut", [1, 7, 150])
def test_pieces_make_no_difference(cut):
    sensors = (ContinuousSensor(), SYMBOLS)
    rows = rows_of(sensors, 300)
    rows[::3, 0] = np.nan
    whole, pieces = (StreamBrain(sensors, **SMALL, random_state=0) for _ in range(2))
    expected = whole.run(rows, activity=True)
    told = [pieces.run(rows[k : k + cut], activity=True) for k in range(0, 300, cut)]
    np.testing.assert_array_equal(np.vstack([r.surprise for r in told]), expected.surprise)
    np.testing.assert_array_equal(np.vstack([r.activity for r in told]), expected.activity)
    one = StreamBrain(sensors, **SMALL, random_state=0)
    by_step = [
        one.observe({"value": a, "symbol": b} if t % 2 else [a, b]) for t, (a, b) in enumerate(rows)
    ]
    np.testing.assert_array_equal(by_step, expected.total)
    assert one.n_steps_ == 300


def test_freezing_changes_no_weights_and_dreaming_nothing():
    sensors = (ContinuousSensor(), SYMBOLS)
    rows = rows_of(sensors, 400)
    brain, other = (StreamBrain(sensors, **SMALL, random_state=0) for _ in range(2))
    brain.run(rows[:200])
    other.run(rows[:200])
    before = brain.weights
    brain.run(rows[200:300], learn=False)
    after = brain.weights
    np.testing.assert_array_equal(before["readout"], after["readout"])
    np.testing.assert_array_equal(before["recurrent"].toarray(), after["recurrent"].toarray())
    dream = brain.dream(50, random_state=1)
    np.testing.assert_array_equal(dream, brain.dream(50, random_state=1))
    assert dream.shape == (50, 2)
    assert set(dream[:, 1]) <= {0, 1, 2}
    other.run(rows[200:300], learn=False)
    np.testing.assert_array_equal(brain.run(rows[300:]).surprise, other.run(rows[300:]).surprise)


def learned(brain):
    """All arrays that learning changes, with what a step leaves to the next already done."""
    brain = brain.copy()
    brain.predict()
    state = brain._state
    names = ("afferent_weight", "weights", "weight", "bias")
    arrays = {name: getattr(state.memory, name) for name in names}
    arrays |= state.readout._asdict() | {"seen": state.senses.seen}
    arrays |= {name: getattr(state.contexts, name) for name in ("counts", "mixing", "slopes")}
    return {name: a.copy() for name, a in arrays.items() if name not in ("gain", "pending")}


@pytest.mark.parametrize("rule", ["rls", "diagonal_rls", "nlms"])
def test_only_learning_changes_what_is_learned(rule):
    """Predictions and dreams change nothing, watching moves the memory on: bit for bit."""
    sensors = (VALUE, SYMBOLS)
    rows = rows_of(sensors, 300)
    settings = SMALL | {"rule": rule, "process_noise": 0.01, "homeostasis": 0.01}
    brain = StreamBrain(sensors, **settings, random_state=0)
    brain.run(rows[:150])
    asked = brain.copy()
    for row in rows[150:200]:
        asked.predict()
        asked.dream(2, random_state=0)
        asked.observe(row)
    brain.run(rows[150:200])
    before = learned(brain)
    for name, values in learned(asked).items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
    brain.run(rows[200:250], learn=False)
    for name, values in learned(brain).items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
    # Later steps learn as if nothing had been watched, from the same memory.
    moving = ("features", "activity", "trace", "squashed", "post")
    memory = {name: getattr(brain._state.memory, name) for name in moving}
    contexts = {name: getattr(brain._state.contexts, name) for name in ("history", "known")}
    asked._state = dataclasses.replace(
        asked._state,
        memory=asked._state.memory._replace(**{k: v.copy() for k, v in memory.items()}),
        contexts=asked._state.contexts._replace(**{k: v.copy() for k, v in contexts.items()}),
    )
    np.testing.assert_array_equal(asked.run(rows[250:]).surprise, brain.run(rows[250:]).surprise)


def test_missing_input_is_remembered_as_expected():
    sensors = (VALUE,)
    rows = rows_of(sensors, 60, missing=0)
    brain, other = (StreamBrain(sensors, **SMALL, random_state=0) for _ in range(2))
    brain.run(rows)
    other.run(rows)
    # The readout's mean, not that of the residuals' mixture, which the shape may shift.
    senses, readout = other._state.senses, other._state.readout
    expected = senses.location + senses.scale * (readout.weights @ other._state.memory.features)
    told = brain.run([[np.nan]], learn=False)
    assert np.isnan(told.surprise).all()
    assert told.total[0] == 0
    other.run(expected[None], learn=False)
    np.testing.assert_allclose(brain.activity, other.activity, rtol=1e-12)


# --- recurrent weights ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_given_weights_are_used_as_given(dtype):
    rng = np.random.default_rng(0)
    given = rng.standard_normal((12, 12))
    np.fill_diagonal(given, 0)
    kept = edges().astype(float).multiply(given).tocsr()
    kept.data[3] = 0.0  # an edge all the same
    settings = SMALL | {"random_state": 0, "dtype": dtype}
    dense = StreamBrain(VALUE, **settings, connectivity=given)
    sparse_ = StreamBrain(VALUE, **settings, connectivity=kept)
    np.testing.assert_array_equal(dense.weights["recurrent"], given.astype(dtype))
    np.testing.assert_array_equal(sparse_.weights["recurrent"].data, kept.data.astype(dtype))
    np.testing.assert_array_equal(sparse_.weights["recurrent"].indices, kept.indices)
    drawn = StreamBrain(VALUE, **settings, connectivity=edges()).weights["recurrent"]
    assert set(drawn.data) != {1.0}
    np.testing.assert_array_equal(drawn.indices, edges().indices)
    for brain in (dense, sparse_):
        brain.run(rows_of((VALUE,), 50))
        assert brain.fault() is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((12, 12)), "no self-edges"),
        (np.ones((3, 3)) - np.eye(3), r"shape \(12, 12\)"),
        (np.where(np.eye(12) > 0, 0, np.nan), "finite weights"),
    ],
)
def test_weights_that_cannot_be_used_are_named(given, message):
    for form in (np.asarray, sparse.csr_array):
        with pytest.raises(NeurolpError, match=message):
            StreamBrain(VALUE, **SMALL, connectivity=form(given))


def test_parameters_cannot_be_assigned_without_effect():
    brain = StreamBrain(VALUE, **SMALL)
    for name in ("recurrent_rate", "n_hidden", "hidden"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}' to assign"):
            setattr(brain, name, 0.5)


# --- learning -------------------------------------------------------------------------------------


def test_readout_and_hidden_nodes_step_along_the_gradient():
    """-d surprise / d weight by finite differences, over one step of time."""
    sensors = (SYMBOLS,)
    rows = rows_of(sensors, 120, missing=0)
    settings = SMALL | {"n_contexts": 0, "connectivity": "full", "rule": "nlms", "max_order": 0}

    def brain_at(step):
        brain = StreamBrain(sensors, **settings, random_state=0)
        brain.run(rows[:step])
        return brain

    def surprise(change):
        """Of row 100, if weights had been others when its memory was made."""
        brain = brain_at(99)
        change(brain._state)
        brain.run(rows[99:100], learn=False)
        return brain.run(rows[100:101], learn=False).total[0]

    reference = brain_at(99)
    reference.run(rows[99:100], learn=False)
    before = reference.weights
    reference.run(rows[100:101])
    after = reference.weights

    def slope(i, j, name):
        def change(sign):
            def shift(state):
                if name == "recurrent":
                    state.memory.weights[i, j] += sign * 1e-5
                else:
                    lo = state.memory.afferent_first[i]
                    state.memory.afferent_weight[lo + j] += sign * 1e-5

            return shift

        return -(surprise(change(1)) - surprise(change(-1))) / 2e-5

    ratios = []
    for i in range(12):
        steps = after["recurrent"][i] - before["recurrent"][i]
        gradient = np.array([0.0 if j == i else slope(i, j, "recurrent") for j in range(12)])
        edge = slope(i, 0, "afferent")
        kept = slice(before["afferent"].indptr[i], before["afferent"].indptr[i] + 1)
        steps = np.append(steps, (after["afferent"].data - before["afferent"].data)[kept])
        gradient = np.append(gradient, edge)
        ratio = steps @ gradient / (gradient @ gradient)
        np.testing.assert_allclose(steps, ratio * gradient, atol=1e-5 * np.abs(steps).max())
        ratios.append(ratio)
    assert min(ratios) > 0


def test_learning_the_recurrence_is_worth_more_than_a_random_one():
    """No delays beyond one, no cells: what lies further back only the hidden nodes know."""
    rows = generator("markov3", n_steps=20_000).read(20_000)
    surprise = {}
    for rate in (0.0, 1.0):
        brain = StreamBrain(
            CategoricalSensor(8), n_hidden=100, n_lags=1, fan_in=1, n_contexts=0, random_state=0,
            connectivity="full", recurrent_strength=0.9, recurrent_rate=rate,
        )  # fmt: skip
        surprise[rate] = brain.run(rows).total[16_000:].mean()
    assert surprise[1.0] < surprise[0.0] - 0.08


@pytest.mark.parametrize(
    ("name", "settings", "excess"),
    [
        ("markov3", {"n_hidden": 0, "n_lags": 0, "max_order": 3}, 0.06),
        ("ar2", {"n_hidden": 0, "n_lags": 2}, 0.002),
        ("ar2", {"n_hidden": 100}, 0.02),
        ("mackey_glass", {"n_hidden": 150}, 0.09),
        ("causality", {"n_hidden": 0, "n_lags": 4}, 0.05),
    ],
)
def test_surprise_falls_to_the_truth_and_never_below(name, settings, excess):
    n = 20_000 if name != "markov3" else 50_000
    stream = generator(name, n_steps=n)
    rows, truth = (np.concatenate(a) for a in zip(*stream.blocks_with_truth(4096), strict=True))
    brain = StreamBrain(stream.sensors, **settings, random_state=0)
    told = brain.run(rows)
    late = slice(n * 4 // 5, None)
    difference = told.total[late] - truth[late]
    error = difference.std() / np.sqrt(len(difference))
    assert -2 * error < difference.mean() < excess
    if name == "ar2":
        assert kstest(told.pit[late, 0], "uniform").pvalue > 1e-3


def test_single_precision_is_close():
    stream = generator("lorenz", n_steps=3000)
    rows = stream.read(3000)
    totals = [
        StreamBrain(stream.sensors, n_hidden=60, random_state=0, dtype=dtype).run(rows).total
        for dtype in ("float64", "float32")
    ]
    np.testing.assert_allclose(*totals, atol=2e-2)


def test_weights_that_drift_follow_a_world_that_changes():
    rng = np.random.default_rng(0)
    x = np.zeros(6000)
    for t in range(2, 6000):
        a = 0.9 if t < 3000 else -0.9
        x[t] = a * x[t - 1] + rng.standard_normal()
    late = [
        StreamBrain(VALUE, n_hidden=0, n_lags=1, process_noise=drift, random_state=0)
        .run(x)
        .total[3500:]
        .mean()
        for drift in (0.0, 1e-5)
    ]
    assert late[1] < late[0] - 0.1


# --- warm-up --------------------------------------------------------------------------------------


def test_a_sensor_that_rarely_reports_does_not_keep_others_from_learning():
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(3000) / 7) + 0.01 * rng.standard_normal(3000)
    rare = np.where(np.arange(3000) % 100 == 0, 5 + rng.standard_normal(3000), np.nan)
    sensors = (ContinuousSensor(1, "often"), ContinuousSensor(1, "rare"), SYMBOLS)
    rows = np.column_stack([x, rare, np.arange(3000) % 3])
    brain = StreamBrain(sensors, **SMALL, random_state=0)
    told = brain.run(rows[:2500])
    assert told.surprise[2000:, 0].mean() < -2
    assert told.surprise[2000:, 2].mean() < 0.1
    prediction = brain.predict()["rare"]
    assert np.isfinite(told.surprise[::100, 1]).all()
    assert abs(prediction.mean[0] - 5) < 2
    dream = brain.dream(5, random_state=0)
    assert np.isfinite(dream[:, [0, 2]]).all()
    assert np.isnan(dream[:, 1]).all()  # its units are not known yet


def test_each_sensor_has_units_from_its_own_first_observations():
    rng = np.random.default_rng(0)
    rows = 10 + rng.standard_normal((300, 2))
    rows[1::2, 1] = np.nan
    brain = StreamBrain([ContinuousSensor(1, "a"), ContinuousSensor(1, "b")], **SMALL, warmup=20)
    brain.run(rows[:39])
    assert brain._state.senses.location[0] == rows[:20, 0].mean()
    assert brain._state.senses.scale[0] == rows[:20, 0].std()
    assert brain._state.senses.location[1] == rows[:39:2, 1].mean()
    past = (rows[38:34:-1, 1] - brain._state.senses.location[1]) / brain._state.senses.scale[1]
    features = dict(zip(brain.feature_names, brain._state.memory.features, strict=False))
    remembered = [features[f"b lag {k}"] for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(remembered, np.nan_to_num(past), rtol=1e-12)


def test_watching_does_not_fix_units():
    brain = StreamBrain(ContinuousSensor(), **SMALL, warmup=10, random_state=0)
    x = rows_of((VALUE,), 100, missing=0)
    brain.run(100 + x[:50], learn=False)
    brain.run(x[50:])
    assert brain._state.senses.location[0] == x[50:60].mean()


@pytest.mark.parametrize("n", [1000, 4000])
def test_the_warm_up_is_linear_in_its_rows(n):
    """Bytes copied, counted by what NumPy is asked to join."""
    brain = StreamBrain(ContinuousSensor(), **SMALL, warmup=10_000, random_state=0)
    x = rows_of((VALUE,), n, missing=0)
    joined = 0
    concatenate = np.concatenate

    def counting(arrays, *args, **kwargs):
        nonlocal joined
        joined += sum(np.size(a) for a in arrays)
        return concatenate(arrays, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "concatenate", counting)
        patch.setattr(np, "vstack", counting)
        for row in x:
            brain.observe(row)
    assert joined < 100 * n


# --- files and faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_steps", [0, 40, 200])
def test_a_saved_brain_goes_on_to_the_last_bit(tmp_path, n_steps):
    sensors = (ContinuousSensor(), SYMBOLS, VECTOR)
    rows = rows_of(sensors, 300)
    brain = StreamBrain(sensors, **SMALL, connectivity=edges(), random_state=0)
    brain.run(rows[:n_steps])
    brain.save(tmp_path / "brain.h5")
    loaded = StreamBrain.load(tmp_path / "brain.h5")
    assert loaded.n_steps_ == n_steps
    assert loaded.sensors == brain.sensors
    np.testing.assert_array_equal(
        loaded.run(rows[n_steps:]).surprise, brain.run(rows[n_steps:]).surprise
    )
    np.testing.assert_array_equal(loaded.weights["readout"], brain.weights["readout"])
    assert json.dumps(loaded._design.parameters) == json.dumps(brain._design.parameters)


def test_a_file_without_a_brain_for_streams_is_refused(tmp_path):
    from neurolp import BrainDensity

    density = BrainDensity(max_slices=1, random_state=0).fit(
        np.random.default_rng(0).normal(size=(60, 2))
    )
    density.save(tmp_path / "density.h5")
    with pytest.raises(FormatError, match="holds no brain for streams"):
        StreamBrain.load(tmp_path / "density.h5")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_hidden": -1}, "argument `n_hidden` must be an integer >= 0, but is -1"),
        ({"n_lags": 1.5}, "argument `n_lags` must be an integer >= 0, but is 1.5"),
        ({"rule": "best"}, "argument `rule` must be 'rls', 'diagonal_rls' or 'nlms'"),
        ({"rate": 2.0}, r"argument `rate` must be a number in \[0, 1\]"),
        ({"time_constants": (5, 2)}, "argument `time_constants` must be two numbers"),
        ({"connectivity": "some"}, "argument `connectivity` must be None"),
        ({"n_hidden": 200_000}, "more than 8"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        StreamBrain(VALUE, **settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CategoricalSensor(1), "argument `n_symbols` must be an integer >= 2"),
        (lambda: ContinuousSensor(0), "argument `n_values` must be an integer >= 1"),
        (lambda: ContinuousSensor(location=1.0), "must be given together"),
        (
            lambda: ContinuousSensor(location=1.0, scale=0.0),
            "argument `scale` must be one positive",
        ),
        (lambda: StreamBrain([]), "argument `sensors` must hold at least one"),
        (lambda: StreamBrain(["value"]), "must hold sensors, but 'value' has no `name`"),
        (lambda: StreamBrain([VALUE, VALUE]), "must have different names"),
    ],
)
def test_sensors_out_of_range_are_named(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0]], r"must have shape \(n_steps, 5\), but has shape \(1, 2\)"),
        (
            [[0, 0, 0, 0, 0], [0, 3, 0, 0, 0]],
            "a symbol 0 .. 2 or NaN for sensor 'symbol', but step 1",
        ),
        ([[np.inf, 0, 0, 0, 0]], "a finite number or NaN for sensor 'value', but step 0 holds inf"),
        ([[0, 0, 0, np.nan, 0]], "or NaN in all values at once, for sensor 'vector'"),
        ([["a", 0, 0, 0, 0]], "must hold numbers"),
    ],
)
def test_rows_that_are_wrong_are_named_and_change_nothing(rows, message):
    brain = StreamBrain((VALUE, SYMBOLS, VECTOR), **SMALL, random_state=0)
    with pytest.raises(DataError, match=message):
        brain.run(rows)
    assert brain.n_steps_ == 0
    with pytest.raises(DataError, match="keys among"):
        brain.observe({"valu": 1.0})
    with pytest.raises(DataError, match="must hold 3 numbers for sensor 'vector', but holds 2"):
        brain.observe({"vector": [1.0, 2.0]})


def test_a_brain_that_knows_no_units_cannot_dream():
    with pytest.raises(DataError, match="cannot dream yet"):
        StreamBrain(ContinuousSensor(), **SMALL).dream(3)


def test_a_surprise_that_is_no_number_names_step_and_sensor():
    brain = StreamBrain((SYMBOLS, VALUE), **SMALL, random_state=0)
    brain.run(rows_of((SYMBOLS, VALUE), 20))
    brain._state.readout.weights[3, 0] = np.nan
    with pytest.raises(NeurolpError, match="sensor 'value' became nan in step 20"):
        brain.run([[0.0, 1.0], [0.0, 1.0]])
