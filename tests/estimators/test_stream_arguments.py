"""Every argument of everything that can be done to a StreamBrain has an effect: the expected one.

An argument that is added needs a case here.
"""

import inspect

import numpy as np
import pandas as pd
import pytest

import neurolp
from neurolp import (
    Activity,
    CategoricalSensor,
    ConfigurationError,
    ContinuousSensor,
    OutputError,
    Predictions,
    SpikeSensor,
    StreamBrain,
    Weights,
    sensors_of,
)
from neurolp.evaluation.dynamics import lyapunov_exponent, memory_capacity, pulse_response
from tests.estimators.stream_cases import SMALL, SYMBOLS, edges, rows_of

SENSORS = (ContinuousSensor(), SYMBOLS)
ROWS = rows_of(SENSORS, 160, missing=0)
N = SMALL["n_hidden"]
BASE = SMALL | {"connectivity": "full", "random_state": 0, "warmup": 20}


def brain_of(sensors=SENSORS, **settings):
    return StreamBrain(sensors, **BASE | settings)


def told(sensors=SENSORS, **settings):
    """A brain that has seen the rows, and their surprise."""
    brain = brain_of(sensors, **settings)
    return brain, brain.run(ROWS).total


def norms(brain):
    """Norm of the input weights of each node."""
    return np.sqrt((brain.weights["afferent"].toarray() ** 2).sum(axis=1))


def edges_of(brain):
    """Whether a node listens to a feature."""
    return brain.weights["afferent"].toarray() != 0


def lags_of(brain):
    """Largest number of lags of values that a node listens to."""
    return edges_of(brain)[:, 1:-N].reshape(N, -1, 4).any(axis=2).sum(axis=1).max()


# --- construction ---------------------------------------------------------------------------------

GIVEN = np.full((N, 4), 0.25)
MATRIX = np.random.default_rng(1).standard_normal((N, N)) * (1 - np.eye(N)) / 8

# Argument -> settings of one brain and of another whose surprise differs, and what else is exact.
CONSTRUCTION = {
    "sensors": (
        {}, {"sensors": (ContinuousSensor(1, "value", 0.0, 1.0), SYMBOLS)},
        lambda a, b: None,
    ),
    "n_hidden": (
        {}, {"n_hidden": 9},
        lambda a, b: (len(a.activity), len(b.activity)) == (N, 9),
    ),
    "n_lags": (
        {}, {"n_lags": 2},
        lambda a, b: len(a.feature_names) - len(b.feature_names) == 2 * 4,
    ),
    "fan_in": (
        {}, {"fan_in": 1},
        lambda a, b: (lags_of(a), lags_of(b)) == (2, 1),
    ),
    "receptive_fields": (
        {}, {"receptive_fields": "windows"},
        lambda a, b: not np.array_equal(edges_of(a), edges_of(b)),
    ),
    "connectivity": (
        {}, {"connectivity": MATRIX, "recurrent_rate": 0.0},
        lambda a, b: np.array_equal(b.weights["recurrent"], MATRIX),
    ),
    "input_weights": (
        {}, {"input_weights": GIVEN, "recurrent_rate": 0.0},
        lambda a, b: np.array_equal(b.weights["afferent"].toarray()[:, 1:5], GIVEN),
    ),
    "train_connectivity": (
        {}, {"train_connectivity": False},
        lambda a, b: np.array_equal(b.weights["recurrent"], brain_of().weights["recurrent"]),
    ),
    "train_input_weights": (
        {}, {"train_input_weights": False},
        lambda a, b: np.array_equal(norms(b), norms(brain_of())),
    ),
    "rule": ({}, {"rule": "diagonal_rls"}, lambda a, b: len(b._state.readout.covariance_values) == 1),
    "rate": ({"rule": "nlms"}, {"rule": "nlms", "rate": 0.1}, lambda a, b: None),
    "process_noise": ({}, {"process_noise": 0.1}, lambda a, b: None),
    "recurrent_rate": (
        {}, {"recurrent_rate": 0.0},
        lambda a, b: np.array_equal(b.weights["recurrent"], brain_of().weights["recurrent"]),
    ),
    "homeostasis": ({}, {"homeostasis": 0.1}, lambda a, b: None),
    "strength": (
        {"recurrent_rate": 0.0}, {"strength": 0.5, "recurrent_rate": 0.0},
        lambda a, b: np.allclose(norms(b), 0.5) and np.allclose(norms(a), 1.0),
    ),
    "recurrent_strength": (
        {"recurrent_rate": 0.0}, {"recurrent_strength": 1.0, "recurrent_rate": 0.0},
        lambda a, b: np.allclose(b.weights["recurrent"], 2 * a.weights["recurrent"], rtol=1e-15),
    ),
    "spectral_radius": (
        {}, {"spectral_radius": 0.9, "recurrent_rate": 0.0},
        lambda a, b: abs(b.spectral_radius - 0.9) < 1e-12,
    ),
    "time_constants": (
        {}, {"time_constants": (4.0, 4.0)},
        lambda a, b: np.allclose(b._state.memory.leak[:N], 0.25, rtol=1e-15),
    ),
    "max_order": ({}, {"max_order": 1}, lambda a, b: b._state.contexts.kind.max() == 1),
    "n_contexts": ({}, {"n_contexts": 0}, lambda a, b: b._state.contexts.counts.size == 0),
    "mixing_rate": ({}, {"mixing_rate": 0.5}, lambda a, b: None),
    "experts": ({}, {"experts": False}, lambda a, b: b._state.experts.seen.size == 0),
    "warmup": ({}, {"warmup": 60}, lambda a, b: None),
    "dtype": ({}, {"dtype": "float32"}, lambda a, b: b.activity.dtype == np.float32),
    "random_state": ({}, {"random_state": 1}, lambda a, b: (a.seed_, b.seed_) == (0, 1)),
}  # fmt: skip


def arguments(call):
    return set(inspect.signature(call).parameters) - {"self", "parameters"}


def test_there_is_a_case_for_every_parameter():
    assert set(CONSTRUCTION) == arguments(StreamBrain)


@pytest.mark.parametrize("name", CONSTRUCTION)
def test_a_parameter_has_its_effect_and_the_same_one_has_none(name):
    one, other, exact = CONSTRUCTION[name]
    (a, surprise), (_, again), (b, different) = told(**one), told(**one), told(**other)
    np.testing.assert_array_equal(surprise, again)
    assert not np.array_equal(surprise, different)
    assert np.isfinite(different).all()
    assert exact(a, b) in (True, None)


def test_units_are_fixed_after_the_warm_up_and_not_before():
    for warmup in (20, 60):
        brain = brain_of(warmup=warmup)
        brain.run(ROWS[: warmup - 1])
        assert not brain._state.senses.ready[0]
        brain.run(ROWS[warmup - 1 : warmup])
        assert brain._state.senses.ready[0]
        assert brain._state.senses.location[0] == pytest.approx(ROWS[:warmup, 0].mean())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"connectivity": "none", "spectral_radius": 0.9}, "`spectral_radius` scales .* are none"),
        ({"connectivity": np.triu(MATRIX), "spectral_radius": 0.9}, "spectral radius is 0"),
    ],
)
def test_what_would_have_no_effect_is_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        brain_of(**settings)


@pytest.mark.parametrize(
    ("name", "value", "used"), [("rate", 0.9, ["nlms"]), ("process_noise", 0.1, ["rls"])]
)
def test_rates_of_a_rule_are_of_that_rule_alone(name, value, used):
    """So that sweeps can draw a rule and its rates together."""
    for rule in ("rls", "diagonal_rls", "nlms"):
        one, other = told(rule=rule)[1], told(**{"rule": rule, name: value})[1]
        assert np.array_equal(one, other) == (rule not in used)


# --- sensors --------------------------------------------------------------------------------------

SYMBOL_ROWS, VALUE_ROWS = ROWS[:, 1], np.column_stack([ROWS[:, 0], np.roll(ROWS[:, 0], 1)])


def of_sensor(sensor, rows):
    brain = brain_of(sensor)
    return brain.run(rows).total


SENSOR_ARGUMENTS = {
    (CategoricalSensor, "n_symbols"): lambda: (
        of_sensor(CategoricalSensor(3), SYMBOL_ROWS), of_sensor(CategoricalSensor(4), SYMBOL_ROWS)
    ),
    (CategoricalSensor, "name"): lambda: (
        list(brain_of(CategoricalSensor(3)).predict()),
        list(brain_of(CategoricalSensor(3, "key")).predict()),
    ),
    (CategoricalSensor, "labels"): lambda: (
        brain_of(CategoricalSensor(3)).predict_proba_one(),
        brain_of(CategoricalSensor(3, labels=["a", "b", "c"])).predict_proba_one(),
    ),
    (ContinuousSensor, "n_values"): lambda: (
        brain_of(ContinuousSensor(2)).n_columns, brain_of(ContinuousSensor(3)).n_columns
    ),
    (ContinuousSensor, "name"): lambda: (
        brain_of(ContinuousSensor(2)).output_names, brain_of(ContinuousSensor(2, "x")).output_names
    ),
    (ContinuousSensor, "location"): lambda: (
        of_sensor(ContinuousSensor(2, location=0.0, scale=1.0), VALUE_ROWS),
        of_sensor(ContinuousSensor(2, location=[0.0, 1.0], scale=1.0), VALUE_ROWS),
    ),
    (ContinuousSensor, "scale"): lambda: (
        of_sensor(ContinuousSensor(2, location=0.0, scale=1.0), VALUE_ROWS),
        of_sensor(ContinuousSensor(2, location=0.0, scale=[1.0, 3.0]), VALUE_ROWS),
    ),
    (ContinuousSensor, "columns"): lambda: (
        list(brain_of(ContinuousSensor(2, location=0.0, scale=1.0)).dream(1, as_frame=True)),
        list(
            brain_of(ContinuousSensor(2, location=0.0, scale=1.0, columns=["x", "y"])).dream(
                1, as_frame=True
            )
        ),
    ),
    (SpikeSensor, "name"): lambda: (
        list(brain_of(SpikeSensor()).predict()), list(brain_of(SpikeSensor("unit")).predict())
    ),
    (SpikeSensor, "most"): lambda: (
        of_sensor(SpikeSensor(most=2), SYMBOL_ROWS), of_sensor(SpikeSensor(most=5), SYMBOL_ROWS)
    ),
}  # fmt: skip


# --- what is done to a brain ----------------------------------------------------------------------


def seen(**settings):
    brain = brain_of(**settings)
    brain.run(ROWS[:100])
    return brain


def outcome(result):
    """All arrays of a run."""
    parts = [result.surprise, result.pit, result.activity]
    for by_name in (result.probabilities, result.mean, result.std):
        parts += list(by_name.values())
    return [np.asarray(part) for part in parts], dict(result.monitors)


def runs(**changed):
    return (
        outcome(seen().run(ROWS[100:])),
        outcome(
            seen().run(ROWS[100:] if "rows" not in changed else changed.pop("rows"), **changed)
        ),
    )


def after(change, *others):
    """Surprise of what follows, with and without something done to a brain before."""
    plain, changed = seen(), seen()
    for other in others:
        other(plain)
    change(changed)
    return plain.run(ROWS[100:]).total, changed.run(ROWS[100:]).total


def learned(learn):
    brain = seen()
    brain.observe(ROWS[100], learn=learn)
    return brain.weights["readout"]


def unit_brain(**settings):
    w = np.random.default_rng(0).standard_normal((N, N)) * (1 - np.eye(N)) / 5
    return StreamBrain(
        ContinuousSensor(1, "x", 0.0, 1.0), n_hidden=N, n_lags=1, connectivity=w, random_state=0,
        input_weights=np.linspace(0.1, 1, N)[:, None], **settings,
    )  # fmt: skip


X = np.sin(np.arange(60.0))
CURRENT = np.ones(60)

ACTIONS = {
    (StreamBrain.run, "rows"): lambda: runs(rows=np.add(ROWS[100:], [0.1, 0.0])),
    (StreamBrain.run, "learn"): lambda: runs(learn=False),
    (StreamBrain.run, "predictions"): lambda: runs(predictions=True),
    (StreamBrain.run, "activity"): lambda: runs(activity=True),
    (StreamBrain.run, "inject"): lambda: runs(inject={"nodes": [1], "current": CURRENT}),
    (StreamBrain.run, "monitors"): lambda: runs(monitors=[Activity(every=10)]),
    (StreamBrain.dream, "n_steps"): lambda: (
        seen().dream(3, random_state=0), seen().dream(4, random_state=0)
    ),
    (StreamBrain.dream, "sampled"): lambda: (
        seen().dream(5, random_state=0), seen().dream(5, sampled=False, random_state=0)
    ),
    (StreamBrain.dream, "as_frame"): lambda: (
        type(seen().dream(2)), type(seen().dream(2, as_frame=True))
    ),
    (StreamBrain.dream, "random_state"): lambda: (
        seen().dream(5, random_state=0), seen().dream(5, random_state=1)
    ),
    (StreamBrain.predict, "given"): lambda: (
        seen().predict()["symbol"].probabilities,
        seen().predict({"value": 3.0})["symbol"].probabilities,
    ),
    (StreamBrain.predict_one, "given"): lambda: (
        seen().predict_one(), seen().predict_one({"value": 3.0})
    ),
    (StreamBrain.predict_proba_one, "given"): lambda: (
        seen().predict_proba_one(), seen().predict_proba_one({"value": 3.0})
    ),
    (StreamBrain.observe, "x"): lambda: (seen().observe(ROWS[0]), seen().observe(ROWS[1])),
    (StreamBrain.observe, "learn"): lambda: (learned(True), learned(False)),
    (StreamBrain.learn_one, "x"): lambda: after(
        lambda b: b.learn_one(ROWS[0]), lambda b: b.learn_one(ROWS[1])
    ),
    (StreamBrain.score_one, "x"): lambda: (seen().score_one(ROWS[0]), seen().score_one(ROWS[1])),
    (StreamBrain.lesion, "nodes"): lambda: after(lambda b: b.lesion(nodes=[3])),
    (StreamBrain.lesion, "edges"): lambda: after(lambda b: b.lesion(edges=[[0, 1], [4, 2]])),
    (StreamBrain.restore, "arrays"): lambda: after(lambda b: b.restore(brain_of().state())),
    (memory_capacity, "brain"): lambda: (
        memory_capacity(unit_brain()).total, memory_capacity(unit_brain(spectral_radius=0.3)).total
    ),
    (memory_capacity, "n_delays"): lambda: (
        memory_capacity(unit_brain(), 5).by_delay, memory_capacity(unit_brain(), 6).by_delay
    ),
    (memory_capacity, "n_steps"): lambda: (
        memory_capacity(unit_brain(), 5).by_delay,
        memory_capacity(unit_brain(), 5, n_steps=3000).by_delay,
    ),
    (memory_capacity, "random_state"): lambda: (
        memory_capacity(unit_brain(), 5).by_delay,
        memory_capacity(unit_brain(), 5, random_state=1).by_delay,
    ),
    (lyapunov_exponent, "brain"): lambda: (
        lyapunov_exponent(unit_brain(), X), lyapunov_exponent(unit_brain(spectral_radius=3.0), X)
    ),
    (lyapunov_exponent, "rows"): lambda: (
        lyapunov_exponent(unit_brain(), X), lyapunov_exponent(unit_brain(), 5 * X)
    ),
    (lyapunov_exponent, "random_state"): lambda: (
        lyapunov_exponent(unit_brain(), X), lyapunov_exponent(unit_brain(), X, random_state=1)
    ),
    (pulse_response, "brain"): lambda: (
        pulse_response(unit_brain(), [0], X), pulse_response(unit_brain(spectral_radius=2.0), [0], X)
    ),
    (pulse_response, "nodes"): lambda: (
        pulse_response(unit_brain(), [0], X), pulse_response(unit_brain(), [1], X)
    ),
    (pulse_response, "rows"): lambda: (
        pulse_response(unit_brain(), [0], X), pulse_response(unit_brain(), [0], 2 * X)
    ),
    (pulse_response, "current"): lambda: (
        pulse_response(unit_brain(), [0], X), pulse_response(unit_brain(), [0], X, current=-1.0)
    ),
    (sensors_of, "frame"): lambda: (
        sensors_of(pd.DataFrame({"x": [0.1, 2.5]})), sensors_of(pd.DataFrame({"x": ["a", "b"]}))
    ),
    (Activity, "every"): lambda: recorded(Activity(), Activity(every=2)),
    (Activity, "at"): lambda: recorded(Activity(None, at=[1]), Activity(None, at=[2])),
    (Activity, "interval"): lambda: recorded(Activity(None), Activity(None, interval=(2, 4))),
    (Activity, "nodes"): lambda: recorded(Activity(), Activity(nodes=[1, 2])),
    (Predictions, "every"): lambda: recorded(Predictions(), Predictions(every=2)),
    (Predictions, "at"): lambda: recorded(Predictions(None, at=[1]), Predictions(None, at=[2])),
    (Predictions, "interval"): lambda: recorded(
        Predictions(None), Predictions(None, interval=(2, 4))
    ),
    (Weights, "names"): lambda: recorded(Weights("readout"), Weights("afferent")),
    (Weights, "every"): lambda: recorded(Weights(), Weights(every=5)),
    (Weights, "at"): lambda: recorded(Weights(), Weights(at=[3])),
}  # fmt: skip
EFFECTS = SENSOR_ARGUMENTS | ACTIONS


def recorded(*monitors):
    return tuple(dict(seen().run(ROWS[100:120], monitors=[m]).monitors) for m in monitors)


def same(a, b):
    """Whether two results are equal, to the last bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        numbers = a.dtype.kind in "fiu"
        return a.shape == b.shape and np.array_equal(a, b, equal_nan=numbers)
    return bool(a == b)


# Have tests of their own below, as they are about files.
OF_FILES = {(StreamBrain.run, "output"), (StreamBrain.run, "overwrite")}
# Has no effect, as it has none in scikit-learn for estimators without nested ones.
CONVENTIONS = {(StreamBrain.get_params, "deep")}


def test_there_is_a_case_for_every_argument():
    calls = {call for call, _ in EFFECTS} | {StreamBrain.get_params, StreamBrain.set_params}
    asked = {(call, name) for call in calls for name in arguments(call)}
    assert asked == set(EFFECTS) | OF_FILES | CONVENTIONS
    public = {
        getattr(StreamBrain, name)
        for name in dir(StreamBrain)
        if not name.startswith("_") and callable(getattr(StreamBrain, name))
    }
    covered_elsewhere = {"from_arrays", "load", "save"}  # test_stream_brain.py, test_files.py
    rest = {call.__name__ for call in public - calls if arguments(call)}
    assert rest == covered_elsewhere


@pytest.mark.parametrize(("call", "name"), EFFECTS, ids=lambda x: getattr(x, "__name__", x))
def test_an_argument_has_an_effect(call, name):
    one, other = EFFECTS[call, name]()
    assert not same(one, other)
    assert same(EFFECTS[call, name]()[0], one)


def test_files_are_written_where_they_are_asked_for(tmp_path):
    brain = seen()
    brain.run(ROWS[100:], output=tmp_path / "a.h5")
    with pytest.raises(OutputError, match="exists already"):
        brain.run(ROWS[100:], output=tmp_path / "a.h5", overwrite=False)
    brain.run(ROWS[100:120], output=tmp_path / "a.h5", overwrite=True)
    assert neurolp.load(tmp_path / "a.h5").n_steps_ == brain.n_steps_


def test_overwriting_without_a_file_is_refused():
    with pytest.raises(ConfigurationError, match="argument `overwrite` has no meaning without"):
        brain_of().run(ROWS, overwrite=True)


def test_get_params_is_deep_as_it_is():
    brain = brain_of()
    assert brain.get_params(deep=True) == brain.get_params(deep=False)


def test_reset_and_lesions_have_their_exact_effect():
    brain = seen()
    brain.lesion(nodes=[3])
    assert not brain.run(ROWS[100:], activity=True).activity[:, 3].any()
    brain.lesion(edges=[[0, 1]])
    brain.run(ROWS[100:])
    assert brain.weights["recurrent"].toarray()[0, 1] == 0.0
    brain.reset()
    assert not brain.activity.any()
    one, other = after(StreamBrain.reset)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", ["learn", "predictions", "activity", "overwrite"])
def test_flags_are_flags(name):
    brain = brain_of()
    with pytest.raises(ConfigurationError, match=f"argument `{name}` must be True or False"):
        brain.run(ROWS, **{name: "no"})
    assert brain.n_steps_ == 0


def test_dynamics_go_by_the_names_of_columns():
    brain = StreamBrain(
        (ContinuousSensor(1, "x", 0.0, 1.0), ContinuousSensor(1, "y", 0.0, 1.0)),
        n_hidden=N, n_lags=1, connectivity=edges(), random_state=0,
    )  # fmt: skip
    rows = np.column_stack([X, X**2])
    frame = pd.DataFrame({"y": X**2, "x": X})
    assert lyapunov_exponent(brain, frame) == lyapunov_exponent(brain, rows)
    np.testing.assert_array_equal(
        pulse_response(brain, [0], frame), pulse_response(brain, [0], rows)
    )
