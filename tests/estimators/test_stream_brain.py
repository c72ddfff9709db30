"""StreamBrain as an object: pieces of a stream, given weights, files, and errors."""

import json

import numpy as np
import pytest
from scipy import sparse

from neurolp import (
    Activity,
    CategoricalSensor,
    ConfigurationError,
    ContinuousSensor,
    DataError,
    FormatError,
    NeurolpError,
    StreamBrain,
)
from neurolp.brain.connectivity import Connectivity
from tests.estimators.stream_cases import SMALL, SYMBOLS, VALUE, VECTOR, edges, rows_of


@pytest.mark.parametrize("cut", [1, 7, 150])
def test_pieces_make_no_difference(cut):
    sensors = (ContinuousSensor(), SYMBOLS)
    rows = rows_of(sensors, 300)
    rows[::3, 0] = np.nan
    whole, pieces = (StreamBrain(sensors, **SMALL, random_state=0) for _ in range(2))
    expected = whole.run(rows, activity=True)
    result = [pieces.run(rows[k : k + cut], activity=True) for k in range(0, 300, cut)]
    np.testing.assert_array_equal(np.vstack([r.surprise for r in result]), expected.surprise)
    np.testing.assert_array_equal(np.vstack([r.activity for r in result]), expected.activity)
    one = StreamBrain(sensors, **SMALL, random_state=0)
    by_step = [
        one.observe({"value": a, "symbol": b} if t % 2 else [a, b]) for t, (a, b) in enumerate(rows)
    ]
    np.testing.assert_array_equal(by_step, expected.total)
    assert one.n_steps_ == 300


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


@pytest.mark.parametrize("dtype", [float, "i8"])
def test_zeros_of_a_dense_matrix_of_numbers_are_no_edges(dtype):
    given = np.arange(1, 145).reshape(12, 12) % 7 * edges().toarray()
    brain = StreamBrain(VALUE, **SMALL, connectivity=given.astype(dtype), random_state=0)
    there = brain.weights["recurrent"]
    np.testing.assert_array_equal(there.toarray(), given)
    brain.run(rows_of((VALUE,), 60))
    after = brain.weights["recurrent"]
    assert after.nnz == np.count_nonzero(given)
    np.testing.assert_array_equal(after.toarray() != 0, given != 0)
    assert not np.array_equal(after.data, there.data)  # what is there learns
    with pytest.raises(ConfigurationError, match="must be zero where there is no edge"):
        brain.weights["recurrent"] = given + (given == 0) * (1 - np.eye(12))


@pytest.mark.parametrize("n", [1, 5])
def test_a_matrix_of_zeros_is_a_network_without_edges(n, tmp_path):
    brain = StreamBrain(VALUE, n_lags=2, connectivity=np.zeros((n, n)), random_state=0)
    rows = rows_of((VALUE,), 60)
    run = brain.run(rows, activity=True, monitors=[Activity()])
    assert run.activity[1:].all()
    assert not brain.weights["recurrent"].sum()
    assert brain.spectral_radius == 0
    brain.save(tmp_path / "brain.h5")
    again = StreamBrain.load(tmp_path / "brain.h5")
    np.testing.assert_array_equal(again.run(rows).total, brain.run(rows).total)


def test_a_sparse_matrix_stores_edges_that_begin_at_zero_and_learn():
    kept = edges().astype(float)
    kept.data[:] = 0.0
    for form in ("csr", "coo", "lil"):
        brain = StreamBrain(VALUE, **SMALL, connectivity=kept.asformat(form), random_state=0)
        brain.run(rows_of((VALUE,), 60))
        assert brain.weights["recurrent"].nnz == kept.nnz
        assert np.count_nonzero(brain.weights["recurrent"].data) > 0


@pytest.mark.parametrize(
    "given",
    [
        {"connectivity": edges()},
        {"connectivity": edges().toarray()},
        {"connectivity": edges().toarray().tolist()},
        {"connectivity": Connectivity.full(12)},
        {"connectivity": "full", "input_weights": np.ones((12, 1))},
        {"input_weights": np.ones((12, 1)).tolist()},
    ],
)
def test_as_many_nodes_as_the_weights_are_for(given):
    brain = StreamBrain(VALUE, n_lags=1, **given)
    assert brain.n_hidden == len(brain.activity) == 12
    assert StreamBrain(CategoricalSensor(3), n_lags=1, connectivity=edges()).n_hidden == 12


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((12, 12)), "no self-edges"),
        (np.ones((3, 3)) - np.eye(3), r"shape \(12, 12\)"),
        (np.where(np.eye(12) > 0, 0, np.nan), r"finite weights, but contains NaN at \[0, 1\]"),
        (np.where(np.eye(12) > 0, 0, np.inf), r"finite weights, but contains infinity at \[0, 1\]"),
    ],
)
def test_weights_that_cannot_be_used_are_named(given, message):
    for form in (np.asarray, sparse.csr_array):
        with pytest.raises(NeurolpError, match=message):
            StreamBrain(VALUE, **SMALL, connectivity=form(given))


def test_rows_of_different_lengths_are_no_matrix():
    for name in ("connectivity", "input_weights"):
        with pytest.raises(ConfigurationError, match=f"argument `{name}` must be a matrix"):
            StreamBrain(VALUE, n_lags=1, **{name: [[0, 1], [1]]})


def test_parameters_cannot_be_assigned_without_effect():
    brain = StreamBrain(VALUE, **SMALL)
    for name in ("recurrent_rate", "n_hidden", "hidden"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}' to assign"):
            setattr(brain, name, 0.5)


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
    with pytest.raises(FormatError, match="holds a BrainDensity, wanted StreamBrain"):
        StreamBrain.load(tmp_path / "density.h5")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_hidden": -1}, "argument `n_hidden` must be an integer >= 0 or None, but is -1"),
        ({"n_lags": 1.5}, "argument `n_lags` must be an integer >= 0 or None, but is 1.5"),
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
        (
            lambda: ContinuousSensor("x"),
            "`n_values` .* but is 'x'; the name of a sensor is name='x'",
        ),
        (lambda: CategoricalSensor("x"), "`n_symbols` .*'x'; the name of a sensor is name='x'"),
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
        (
            [[np.inf, 0, 0, 0, 0]],
            "a number of at most 1e100 or NaN for sensor 'value', but step 0 holds inf",
        ),
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


def test_a_surprise_that_is_no_number_names_step_and_sensor():
    brain = StreamBrain((SYMBOLS, VALUE), **SMALL, experts=False, random_state=0)
    brain.run(rows_of((SYMBOLS, VALUE), 20))
    brain._state.readout.weights[3, 0] = np.nan
    with pytest.raises(NeurolpError, match="sensor 'value' became nan in step 20"):
        brain.run([[0.0, 1.0], [0.0, 1.0]])
