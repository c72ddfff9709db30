"""Spikes: their sensor, the fields of nodes that hear them, and real recordings."""

import numpy as np
import pytest

from neurolp import ConfigurationError, ContinuousSensor, DataError, SpikeSensor, StreamBrain
from neurolp.data.streams import generator
from neurolp.estimators import load
from neurolp.stream.sensors import sensors_from_json, sensors_to_json

SENSORS = ContinuousSensor(1, "sound", location=0.0, scale=1.0), SpikeSensor()
SMALL = {"n_lags": 8, "n_contexts": 16, "max_order": 1, "experts": False, "random_state": 0}


def receptor(n=4000):
    """Sound; and spikes, with probability .9 where it was loud two bins ago, none soon after one."""
    rng = np.random.default_rng(0)
    sound = np.convolve(rng.normal(size=n), np.full(3, 3**-0.5), "same")
    spikes, last = np.zeros(n), -10
    for t in range(2, n):
        if sound[t - 2] > 1.2 and t - last > 3 and rng.random() < 0.9:
            spikes[t], last = 1.0, t
    return np.stack([sound, spikes], axis=1)


def bits_a_spike(surprise, spikes, rate):
    constant = -np.where(spikes > 0, np.log(rate), np.log(1 - rate))
    return (constant - surprise).sum() / np.log(2) / spikes.sum()


# --- the sensor -----------------------------------------------------------------------------------


def test_numbers_of_spikes_have_probabilities_and_a_mean():
    rng = np.random.default_rng(1)
    counts = rng.choice(4, 500, p=[0.6, 0.2, 0.1, 0.1]).astype(float)
    brain = StreamBrain(SpikeSensor(most=3), n_hidden=4, **SMALL)
    run = brain.run(counts[:-1])
    prediction = brain.predict()["spike"]
    p = prediction.probabilities
    assert p.shape == (4,)
    assert p.sum() == pytest.approx(1, abs=1e-14)
    assert prediction.mean == pytest.approx(p @ [0, 1, 2, 3])
    assert prediction.std == pytest.approx(np.sqrt(p @ [0, 1, 4, 9] - prediction.mean**2))
    assert prediction.mean == pytest.approx(0.7, abs=0.3)
    assert (run.surprise > 0).all()
    np.testing.assert_allclose(
        brain.run(counts[-1:]).surprise[0, 0], -np.log(p[int(counts[-1])]), rtol=1e-12
    )
    dreamt = brain.dream(300, random_state=0)
    assert set(np.unique(dreamt)) <= {0, 1, 2, 3}
    assert dreamt.mean() == pytest.approx(0.7, abs=0.4)


@pytest.mark.parametrize("value", [-1, 0.5, 2, np.inf])
def test_what_is_no_number_of_spikes_is_named(value):
    with pytest.raises(DataError, match=r"a number of spikes 0 .. 1 or NaN for sensor 'spike'"):
        StreamBrain(SpikeSensor(), n_hidden=2, **SMALL).run([0.0, value])


@pytest.mark.parametrize("most", [0, 1.5, "2", True, 1001])
def test_the_most_spikes_of_a_bin(most):
    with pytest.raises(
        ConfigurationError, match=r"argument `most` must be an integer in 1 .. 1000"
    ):
        SpikeSensor(most=most)


def test_it_is_stored(tmp_path):
    sensors = (SpikeSensor("a", most=3), SpikeSensor("b"))
    assert sensors_from_json(sensors_to_json(sensors)) == sensors
    brain = StreamBrain(SENSORS, n_hidden=6, receptive_fields="windows", **SMALL)
    rows = receptor(300)
    brain.run(rows[:200])
    brain.save(tmp_path / "a.h5")
    loaded = load(tmp_path / "a.h5")
    assert loaded.receptive_fields == "windows"
    np.testing.assert_array_equal(loaded.run(rows[200:]).surprise, brain.run(rows[200:]).surprise)


# --- receptive fields -----------------------------------------------------------------------------


def test_nodes_hear_a_window_of_a_value_and_traces_of_symbols():
    brain = StreamBrain(SENSORS, n_hidden=400, receptive_fields="windows", **SMALL)
    lagged = brain.weights["afferent"].toarray()[:, 1 : 1 + 8 * 3].reshape(400, 8, 3)
    sound, spikes = lagged[:, :, 0], lagged[:, :, 1:]
    np.testing.assert_allclose(np.linalg.norm(sound, axis=1), 1.0)
    for row in sound:
        heard = np.flatnonzero(row)
        assert len(heard) == heard[-1] - heard[0] + 1
    assert set(np.count_nonzero(sound, axis=1)) == set(range(1, 9))
    traced = np.abs(spikes).sum(axis=(1, 2)) > 0
    assert traced.mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(spikes.sum(axis=2), 0.0, atol=1e-12)
    ratio = spikes[traced, 1:, 1] / spikes[traced, :-1, 1]
    tau = -1 / np.log(ratio)
    np.testing.assert_allclose(tau, tau[:, :1] * np.ones((1, 7)))
    assert (tau > 2).all()
    assert (tau < 20).all()


def test_strength_scales_windows_traces_and_thresholds():
    one, two = (
        StreamBrain(SENSORS, n_hidden=10, receptive_fields="windows", strength=s, **SMALL)
        for s in (1.0, 2.0)
    )
    for name in ("memory_afferent_weight", "memory_bias"):
        assert np.abs(one.state()[name]).sum() > 1
        np.testing.assert_allclose(two.state()[name], 2 * one.state()[name])


def test_nodes_rest_at_their_thresholds_where_there_are_no_spikes():
    """A past of no spikes does not move nodes: potentials are normal, not driven by silence."""
    brain = StreamBrain(
        SpikeSensor(), n_hidden=2000, receptive_fields="windows", connectivity="none", **SMALL
    )
    run = brain.run(np.zeros(20), learn=False, activity=True)
    potential = np.arctanh(run.activity[-1])
    assert potential.mean() == pytest.approx(0.0, abs=0.1)
    assert potential.std() == pytest.approx(1.0, abs=0.1)


def test_fields_of_given_weights_are_refused():
    with pytest.raises(ConfigurationError, match="argument `receptive_fields` is of input weights"):
        StreamBrain(
            SENSORS, n_hidden=2, input_weights=np.ones((2, 3)), receptive_fields="windows", **SMALL
        )
    with pytest.raises(ConfigurationError, match="argument `receptive_fields` must be 'lags' or"):
        StreamBrain(SENSORS, n_hidden=2, receptive_fields="ears", **SMALL)


def test_windows_predict_spikes():
    rows = receptor()
    rate = rows[:3000, 1].mean()
    brain = StreamBrain(
        SENSORS, n_hidden=60, receptive_fields="windows", recurrent_rate=0.03, **SMALL
    )
    surprise = brain.run(rows).surprise[3000:, 1]
    assert bits_a_spike(surprise, rows[3000:, 1], rate) > 3.0


# --- the recordings -------------------------------------------------------------------------------


@pytest.mark.parametrize(("recording", "n_spikes"), [(1, 929), (2, 868)])
def test_recordings(recording, n_spikes):
    stream = generator("grasshopper", recording=recording)
    rows = stream.read(20_000)
    assert stream.n_steps == 20_000
    assert [s.name for s in stream.sensors] == ["stimulus", "spike"]
    assert rows[:, 1].sum() == n_spikes
    assert set(np.unique(rows[:, 1])) == {0, 1}
    sound, spikes = (rows - rows.mean(axis=0)).T
    follows = np.array([sound[: 20_000 - lag] @ spikes[lag:] for lag in range(30)])
    assert 11 <= follows.argmax() <= 14  # 5.5 .. 7 ms
    assert abs(follows[0]) < 0.2 * follows.max()
    finer = generator("grasshopper", recording=recording, samples=2)
    assert finer.n_steps == 100_000
    np.testing.assert_allclose(finer.read(5)[:, 0].mean(), rows[0, 0])


def test_a_recording_is_predicted():
    stream = generator("grasshopper")
    rows = stream.read(10_000)
    found = {}
    for fields in ("lags", "windows"):
        brain = StreamBrain(
            stream.sensors, n_hidden=60, n_lags=25, max_order=1, n_contexts=16, experts=False,
            receptive_fields=fields, recurrent_rate=0.03, random_state=0,
        )  # fmt: skip
        surprise = brain.run(rows).surprise[8000:, 1]
        found[fields] = bits_a_spike(surprise, rows[8000:, 1], rows[:8000, 1].mean())
    assert found["windows"] > found["lags"] + 0.1 > 1.5


def test_without_nitime_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("neurolp.data.streams.grasshopper.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'neurolp\[spikes\]'"):
        generator("grasshopper")


def test_nothing_is_drawn():
    with pytest.raises(ConfigurationError, match="argument `seed` must be 0 for generator 'grassh"):
        generator("grasshopper", seed=1)
    with pytest.raises(ConfigurationError, match="argument `recording`"):
        generator("grasshopper", recording=3)
    with pytest.raises(ConfigurationError, match="argument `samples`"):
        generator("grasshopper", samples=65)
