"""Warm-up of StreamBrain: units of sensors from their first observations."""

import numpy as np
import pytest

from neurolp import ContinuousSensor, DataError, StreamBrain
from tests.estimators.stream_cases import SMALL, SYMBOLS, VALUE, rows_of


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
