"""Learning of StreamBrain: gradients, what changes when, and how far the surprise falls."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import kstest

from neurolp import CategoricalSensor, ContinuousSensor, StreamBrain
from neurolp.data.streams import generator
from neurolp.stream.contexts import MOVING as MOVES
from neurolp.stream.experts import MOVING
from neurolp.stream.network import OF_ROW
from tests.estimators.stream_cases import SMALL, SYMBOLS, VALUE, VECTOR, rows_of


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
        ("ar2", {"n_hidden": 0, "n_lags": 2, "experts": False}, 0.002),
        ("ar2", {"n_hidden": 0, "n_lags": 2}, 0.006),
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
    result = brain.run(rows)
    late = slice(n * 4 // 5, None)
    difference = result.total[late] - truth[late]
    error = difference.std() / np.sqrt(len(difference))
    assert -2 * error < difference.mean() < excess
    if name == "ar2":
        assert kstest(result.pit[late, 0], "uniform").pvalue > 1e-3


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
        StreamBrain(VALUE, n_hidden=0, n_lags=1, process_noise=drift, experts=False, random_state=0)
        .run(x)
        .total[3500:]
        .mean()
        for drift in (0.0, 1e-5)
    ]
    assert late[1] < late[0] - 0.1


def learned(brain):
    """All arrays that learning changes, with what a step leaves to the next already done."""
    brain = brain.copy()
    brain.predict()
    state = brain._state
    names = ("afferent_weight", "weights", "weight", "bias")
    arrays = {name: getattr(state.memory, name) for name in names}
    arrays |= state.readout._asdict() | {"seen": state.senses.seen}
    contexts = state.contexts._asdict()
    arrays |= {f"contexts' {name}": contexts[name] for name in contexts if name not in MOVES}
    experts = state.experts._asdict()
    arrays |= {f"experts' {name}": experts[name] for name in experts if name not in MOVING}
    return {
        name: a.copy() for name, a in arrays.items() if name not in ("gain", "pending", *OF_ROW)
    }


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
    contexts = {name: getattr(brain._state.contexts, name) for name in MOVES}
    experts = {name: getattr(brain._state.experts, name).copy() for name in MOVING}
    asked._state = dataclasses.replace(
        asked._state,
        experts=asked._state.experts._replace(**experts),
        memory=asked._state.memory._replace(**{k: v.copy() for k, v in memory.items()}),
        contexts=asked._state.contexts._replace(**{k: v.copy() for k, v in contexts.items()}),
    )
    np.testing.assert_array_equal(asked.run(rows[250:]).surprise, brain.run(rows[250:]).surprise)


def test_a_free_run_takes_what_is_expected_as_the_next_row():
    sensors = (ContinuousSensor(), SYMBOLS, VECTOR)
    rows = rows_of(sensors, 300)
    brain, other = (StreamBrain(sensors, **SMALL, random_state=0) for _ in range(2))
    brain.run(rows)
    other.run(rows)
    free = brain.dream(20, sampled=False)
    np.testing.assert_array_equal(free, brain.dream(20, sampled=False, random_state=3))
    assert not np.array_equal(free, brain.dream(20, random_state=3))
    for row in free:
        known = {"value": row[0]}
        assert row[0] == other.predict()["value"].mean[0]
        assert row[1] == np.argmax(other.predict(known)["symbol"].probabilities)
        known["symbol"] = row[1]
        np.testing.assert_array_equal(row[2:], other.predict(known)["vector"].mean)
        other.run(row[None], learn=False)


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
