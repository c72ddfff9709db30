"""Warm-up of StreamBrain: units of sensors from their first observations."""

import numpy as np
import pytest

from neurolp import Activity, ContinuousSensor, DataError, StreamBatch, StreamBrain
from tests.estimators.stream_cases import SMALL, SYMBOLS, VALUE, rows_of

N = 8


def test_a_sensor_that_rarely_reports_does_not_keep_others_from_learning():
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(3000) / 7) + 0.01 * rng.standard_normal(3000)
    rare = np.where(np.arange(3000) % 100 == 0, 5 + rng.standard_normal(3000), np.nan)
    sensors = (ContinuousSensor(1, "often"), ContinuousSensor(1, "rare"), SYMBOLS)
    rows = np.column_stack([x, rare, np.arange(3000) % 3])
    brain = StreamBrain(sensors, **SMALL, random_state=0)
    result = brain.run(rows[:2500])
    assert result.surprise[2000:, 0].mean() < -2
    assert result.surprise[2000:, 2].mean() < 0.1
    prediction = brain.predict()["rare"]
    assert np.isfinite(result.surprise[::100, 1]).all()
    assert abs(prediction.mean[0] - 5) < 2
    dream = brain.dream(5, random_state=0)
    assert np.isfinite(dream).all()  # the experts know it, the network does not yet
    brain = StreamBrain(sensors, **SMALL, experts=False, random_state=0)
    brain.run(rows[:2500])
    assert np.isnan(brain.dream(5, random_state=0)[:, 1]).all()


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


def test_a_brain_that_knows_no_units_cannot_dream():
    with pytest.raises(DataError, match="cannot dream yet"):
        StreamBrain(ContinuousSensor(), **SMALL).dream(3)


def _untaught(experts):
    """A brain whose hidden nodes learn nothing, and which waits for the units of its sensor."""
    rng = np.random.default_rng(3)
    w = rng.normal(0, 0.4, (N, N)) * (rng.random((N, N)) < 0.5)
    np.fill_diagonal(w, 0.0)
    return StreamBrain(
        ContinuousSensor(),
        n_hidden=N,
        n_lags=1,
        connectivity=w,
        recurrent_rate=0.0,
        time_constants=(1.0, 5.0),
        experts=experts,
        warmup=40,
        random_state=1,
    )


@pytest.mark.parametrize("piece", [60, 7, 1])
@pytest.mark.parametrize("experts", [True, False])
def test_the_network_runs_during_the_warm_up_without_the_input(experts, piece):
    x, current = np.sin(np.arange(60) / 7), np.zeros(60)
    current[[2, *range(20, 25)]] = 1.0
    brain = _untaught(experts)
    w, memory = brain.weights["recurrent"], brain._state.memory
    h, leak, bias = np.zeros(N), memory.leak[:N].copy(), memory.bias[:N].copy()
    seen = []
    for start in range(0, 60, piece):
        part = slice(start, start + piece)
        inject = {"nodes": [3], "current": current[part]}
        run = brain.run(x[part], inject=inject, monitors=[Activity()])
        seen.append(run.monitors["activity"])
    for after, into in zip(np.concatenate(seen)[:40], current[:40], strict=True):
        u = w @ h + bias
        u[3] += into
        h = h + leak * (np.tanh(u) - h)
        np.testing.assert_allclose(after, h, atol=1e-6)


def test_streams_together_run_during_the_warm_up_as_one_does():
    x = np.random.default_rng(0).standard_normal((30, 1))
    one, many = _untaught(False), StreamBatch(_untaught(False), 3, own_units=True)
    alone = one.run(x, activity=True)
    together = many.run(np.stack([x] * 3), activity=True)
    assert alone.activity[1:].any(axis=1).all()
    for activity in together.activity:
        np.testing.assert_allclose(activity, alone.activity, atol=1e-12)
