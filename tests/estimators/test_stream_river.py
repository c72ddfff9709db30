"""River's own checks on StreamBrain as an anomaly detector: nothing but its methods is used."""

import copy
import functools
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from river import base, checks, datasets
from river.datasets import synth
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from neurolp import ContinuousSensor, DataError, StreamBrain, sensors_of

SMALL = {"n_hidden": 8, "n_lags": 2, "fan_in": 2, "warmup": 20, "random_state": 0}
ROWS = {
    "phishing": list(datasets.Phishing().take(120)),
    "sine": list(synth.AnomalySine(n_samples=400, n_anomalies=60, seed=0)),
}
SENSORS = {name: sensors_of(pd.DataFrame([x for x, _ in rows])) for name, rows in ROWS.items()}


class Detector(StreamBrain, base.AnomalyDetector):
    """The brain, called by the name under which river knows what to check; its methods are its own.

    River reads parameters from attributes, but ``spectral_radius`` is of the weights as they are.
    """

    def _get_params(self):
        return self.get_params()

    @classmethod
    def _unit_test_params(cls):
        yield SMALL | {"sensors": ContinuousSensor()}


def all_checks():
    """Every check that river has for an anomaly detector, on rows that ship with it."""
    out = []
    for name, rows in ROWS.items():
        brain = Detector(SENSORS[name], **SMALL)
        with pytest.MonkeyPatch.context() as patch:
            # What river would download: fraud in credit cards.
            patch.setattr(checks, "_yield_datasets", lambda model, scale=1, rows=rows: iter([rows]))
            for check in checks.yield_checks(brain):
                with_rows = isinstance(check, functools.partial)
                # Most of the sites in "phishing" are such: they are no anomalies.
                if (with_rows or name == "sine") and check.__name__ != "check_roc_auc":
                    out.append(pytest.param(check, brain, id=f"{check.__name__}-{name}"))
                elif name == "sine":
                    out.append(pytest.param(check, brain, id=check.__name__))
    return out


@pytest.mark.parametrize(("check", "brain"), all_checks())
def test_river_conventions(check, brain):
    check(brain.clone())


def test_anomalies_have_a_larger_surprise():
    brain, scores, anomalous = StreamBrain(SENSORS["sine"], **SMALL), [], []
    for x, y in synth.AnomalySine(n_samples=2000, n_anomalies=200, seed=1):
        scores.append(brain.score_one(x))
        anomalous.append(y)
        brain.learn_one(x)
    assert roc_auc_score(anomalous, scores) > 0.85  # the area under ROC


def test_keys_that_no_sensor_has_are_refused():
    brain = StreamBrain(SENSORS["sine"], **SMALL)
    for call in (brain.learn_one, brain.score_one):
        with pytest.raises(
            DataError, match=r"must have keys among \['sine', 'cosine'\].*'tangent'"
        ):
            call({"sine": 0.0, "tangent": 1.0})
    assert brain.n_steps_ == 0


@pytest.mark.parametrize("n_before", [0, 12, 50])
def test_a_score_changes_nothing_and_is_what_learning_says(n_before):
    """Before the experts, in the warm-up, and after it."""
    brain, other = (StreamBrain(SENSORS["sine"], **SMALL) for _ in range(2))
    rows = [x for x, _ in ROWS["sine"]]
    for x in rows[:n_before]:
        brain.learn_one(x)
        other.learn_one(x)
    for x in rows[n_before : n_before + 30]:
        score = brain.score_one(x)
        assert brain.score_one({"sine": 9.0, "cosine": 0.0}) != score
        assert score == other.observe(x)
        brain.learn_one(x)
    for name, values in brain.state().items():
        np.testing.assert_array_equal(values, other.state()[name], name)


def test_a_score_copies_no_weights():
    brain = StreamBrain(ContinuousSensor(1, "x", 0.0, 1.0), n_hidden=600, random_state=0)
    brain.run(np.sin(np.arange(50.0)))
    brain.score_one(0.5)
    tracemalloc.start()
    brain.score_one(0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert brain._state.readout.covariance_values.nbytes > 3e6
    assert peak < 1e6


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
@pytest.mark.parametrize("n_before", [5, 60])
def test_copies_go_on_to_the_last_bit_and_on_their_own(copied, n_before):
    brain, rows = StreamBrain(SENSORS["sine"], **SMALL), [x for x, _ in ROWS["sine"]]
    brain.run(pd.DataFrame(rows[:n_before]))
    other = copied(brain)
    assert repr(other) == repr(brain)
    expected = other.run(pd.DataFrame(rows[n_before:])).total
    assert brain.n_steps_ == n_before
    np.testing.assert_array_equal(brain.run(pd.DataFrame(rows[n_before:])).total, expected)


def test_a_clone_has_the_parameters_and_has_seen_nothing():
    brain = StreamBrain(SENSORS["sine"], **SMALL, rule="nlms")
    brain.run(pd.DataFrame([x for x, _ in ROWS["sine"]]))
    fresh = clone(brain)
    assert fresh.n_steps_ == 0
    assert fresh.get_params() == brain.get_params()
    assert (fresh.n_hidden, fresh.rule, fresh.random_state) == (8, "nlms", 0)
    again = StreamBrain(SENSORS["sine"], **SMALL, rule="nlms")
    x = ROWS["sine"][0][0]
    assert fresh.observe(x) == again.observe(x)
    with pytest.raises(AttributeError, match="StreamBrain has no attribute 'n_nodes'"):
        _ = brain.n_nodes
