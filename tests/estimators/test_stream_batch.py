"""Many streams at once against one after another, and the laws of what they learn together."""

import numpy as np
import pytest

import neurolp
from neurolp import (
    CategoricalSensor,
    ConfigurationError,
    ContinuousSensor,
    DataError,
    StreamBatch,
    StreamBrain,
)
from neurolp.errors import DivergedError
from neurolp.kernels.stream_state import RLS
from neurolp.stream.batch_readout import learn_readout
from tests.estimators.stream_cases import SMALL, SYMBOLS, VALUE, VECTOR, edges, rows_of
from tests.naive_batch import mean_step, rank_one_updates
from tests.stream.test_sensors import PositiveSensor

CASES = {
    "known units": (VALUE,),
    "units of the first values": (ContinuousSensor(),),
    "several": (VALUE, VECTOR, ContinuousSensor(2, "late")),
}
SETTINGS = {
    "default": {},
    "dense": {"connectivity": "full"},
    "edges": {"connectivity": edges()},
    "no edges": {"connectivity": "none"},
    "nlms": {"rule": "nlms"},
    "diagonal": {"rule": "diagonal_rls"},
    "no experts": {"experts": False},
    "forgetting": {"process_noise": 0.01, "homeostasis": 0.05},
    "slow": {"time_constants": (1.0, 20.0)},
    "no nodes": {"n_hidden": 0},
    "no lags": {"n_lags": 0},
    "fixed edges": {"train_connectivity": False},
    "fixed inputs": {"train_input_weights": False},
    "fixed": {"recurrent_rate": 0.0},
    "windows": {"receptive_fields": "windows", "n_lags": 12},
}


def brain_of(case="known units", **settings):
    return StreamBrain(CASES[case], **SMALL | {"random_state": 0} | settings)


def streams_of(case, n_streams, n_steps, missing=0.1):
    return np.stack(
        [rows_of(CASES[case], n_steps, seed=b, missing=missing) for b in range(n_streams)]
    )


def assert_same(a, b, **tolerance):
    for one, other in ((a.surprise, b.surprise), (a.pit, b.pit), (a.activity, b.activity)):
        np.testing.assert_allclose(one, other, **tolerance)
    for one, other in ((a.mean, b.mean), (a.std, b.std)):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], **tolerance)


def of_stream(run, b):
    parts = ({k: v[b] for k, v in part.items()} for part in (run.probabilities, run.mean, run.std))
    return type(run)(run.surprise[b], run.pit[b], *parts, run.activity[b])


# --- one stream is a brain ------------------------------------------------------------------------


@pytest.mark.parametrize("own_units", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_one_stream_learns_as_a_brain_does(case, settings, own_units):
    brain = brain_of(case, **settings)
    rows = rows_of(CASES[case], 260)
    if case == "several":
        rows[:30, -2:] = np.nan
    brain.run(rows[:7])
    batch = StreamBatch(brain, 1, own_units=own_units)
    asked = {"predictions": True, "activity": True}
    found, wanted = batch.run(rows[None, 7:], **asked), brain.run(rows[7:], **asked)
    assert_same(of_stream(found, 0), wanted, rtol=1e-9, atol=1e-9)
    assert batch.n_steps_ == 260
    for name, values in brain.weights.items():
        difference = abs(batch.brain(0).weights[name] - values)
        assert difference.size == 0 or difference.max() < 1e-9


@pytest.mark.parametrize("connectivity", ["full", None])
def test_one_stream_in_single_precision(connectivity):
    brain = brain_of(dtype="float32", connectivity=connectivity)
    rows = rows_of(CASES["known units"], 200)
    batch = StreamBatch(brain, 1)
    found, wanted = batch.run(rows[None]).total[0], brain.run(rows).total
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert batch.brain(0).activity.dtype == np.float32


def test_one_stream_of_a_brain_with_lesions_and_names():
    brain = brain_of(connectivity="full", experts=False)
    rows = rows_of(CASES["known units"], 120)
    brain.run(rows[:50])
    brain.lesion(nodes=[2, 5], edges=[(0, 1), (7, 3)])
    batch = StreamBatch(brain, 1)
    found, wanted = batch.run(rows[None, 50:]).surprise[0], brain.run(rows[50:]).surprise
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert not batch.brain(0).activity[[2, 5]].any()


def test_one_stream_of_a_sensor_with_a_code():
    sensors = (PositiveSensor(), VALUE)
    rows = np.abs(rows_of((VALUE, VALUE), 90)) + 0.1
    brain = StreamBrain(sensors, **SMALL, random_state=0)
    found = StreamBatch(brain, 1).run(rows[None]).surprise[0]
    np.testing.assert_allclose(found, brain.run(rows).surprise, rtol=1e-9, atol=1e-9)


def test_no_steps_and_streams_that_have_none():
    batch = StreamBatch(brain_of("several"), 2)
    assert batch.run(np.zeros((2, 0, 6))).surprise.shape == (2, 0, 3)
    assert batch.n_steps_ == 0
    run = batch.run([np.zeros((0, 6)), np.ones((4, 6))])
    np.testing.assert_array_equal(np.isnan(run.surprise).all(axis=2), [[True] * 4, [False] * 4])


# --- streams are for themselves -------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"connectivity": "full", "experts": False}], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_without_learning_each_stream_is_as_by_itself(case, settings):
    brain = brain_of(case, **settings)
    brain.run(rows_of(CASES[case], 150))
    rows = streams_of(case, 5, 60)
    batch = StreamBatch(brain, 5)
    asked = {"learn": False, "predictions": True, "activity": True}
    found = batch.run(rows, **asked)
    for b in range(5):
        assert_same(of_stream(found, b), brain.copy().run(rows[b], **asked), rtol=1e-10, atol=1e-10)
    before, after = brain.weights, batch.brain(2).weights
    np.testing.assert_allclose(after["readout"], before["readout"], rtol=0, atol=0)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_streams_in_another_order_have_the_same_results(settings):
    rows, order = streams_of("several", 6, 80), np.array([3, 1, 5, 0, 2, 4])
    brain = brain_of("several", **settings)
    first, second = StreamBatch(brain, 6), StreamBatch(brain, 6)
    one, other = first.run(rows), second.run(rows[order])
    np.testing.assert_allclose(other.surprise, one.surprise[order], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(
        second.brain(1).weights["readout"], first.brain(1).weights["readout"], atol=1e-8
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_missing_stream_changes_nothing_for_the_others(case, settings):
    rows = streams_of(case, 4, 80, missing=0.0)
    brain = brain_of(case, **settings)
    alone = StreamBatch(brain, 3).run(rows[:3])
    with_missing = rows[[0, 3, 1, 2]]
    with_missing[1] = np.nan
    run = StreamBatch(brain, 4).run(with_missing)
    np.testing.assert_allclose(run.surprise[[0, 2, 3]], alone.surprise, rtol=1e-7, atol=1e-7)
    assert np.isnan(run.surprise[1]).all()


def test_streams_that_end_earlier_are_missing_from_then_on():
    rows = streams_of("several", 3, 60)
    brain = brain_of("several")
    ended = rows.copy()
    ended[1, 40:] = np.nan
    by_list = StreamBatch(brain, 3).run([rows[0], rows[1, :40], rows[2]])
    np.testing.assert_array_equal(by_list.surprise, StreamBatch(brain, 3).run(ended).surprise)
    assert np.isnan(by_list.surprise[1, 40:]).all()


def test_units_are_common_or_of_each_stream():
    rows = np.random.default_rng(0).standard_normal((30, 120)) + np.arange(30)[:, None]
    rows[3, :50] = np.nan
    brain = brain_of("units of the first values")
    common, own = StreamBatch(brain, 30), StreamBatch(brain, 30, own_units=True)
    common.run(rows[:, :3])
    assert not common._state.senses.ready.any()
    common.run(rows[:, 3:4])  # the hundredth of all comes in the fourth step
    assert common._state.senses.ready.all()
    first = rows[:, :4][~np.isnan(rows[:, :4])]
    np.testing.assert_allclose(common._state.senses.location, first.mean())
    np.testing.assert_allclose(common._state.senses.scale, first.std())
    own.run(rows)
    located = own._state.senses.location[:, 0]
    np.testing.assert_allclose(located[[0, 29]], rows[[0, 29], :100].mean(axis=1))
    assert own._state.senses.ready[:, 0].sum() == 29


def test_experts_do_not_wait_for_more_than_their_first_values():
    """Common units come after four values of each; from the eighth on there are experts."""
    rows = np.random.default_rng(1).standard_normal((30, 30))
    batch = StreamBatch(brain_of("units of the first values"), 30)
    batch.run(rows[:, :7])
    assert (batch._state.experts.seen == 7).all()
    batch.run(rows[:, 7:])
    assert (batch._state.experts.seen == 30).all()
    np.testing.assert_array_equal(batch._state.experts.past[4, 0, :30], rows[4])


def test_streams_that_begin_later_take_their_own_units():
    rows = np.random.default_rng(0).standard_normal((3, 300))
    rows[1] = 1000 + 50 * rows[1]
    rows[2, :120] = np.nan
    batch = StreamBatch(brain_of("units of the first values"), 3, own_units=True)
    batch.run(rows)
    located = [batch.brain(b)._state.senses.location[0] for b in range(3)]
    np.testing.assert_allclose(located[1], rows[1, :100].mean())
    np.testing.assert_allclose(located[2], rows[2, 120:220].mean())
    late = batch.brain(2).predict()["value"]
    assert abs(late.mean[0]) < 1
    assert abs(batch.brain(1).predict()["value"].mean[0] - 1000) < 100


# --- what is learned together ---------------------------------------------------------------------


@pytest.mark.parametrize("n_streams", [1, 2, 9])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_least_squares_of_all_streams_are_those_of_one_row_after_another(n_streams, missing):
    """Where all sensors of a row are observed, or none, P and A are the same in any order."""
    brain = brain_of("several", experts=False)
    brain.run(rows_of(CASES["several"], 150))
    rng = np.random.default_rng(1)
    state = StreamBatch(brain, n_streams)._state
    A, P = state.readout.weights.copy(), state.readout.covariance_values.copy()
    Z = rng.standard_normal((n_streams, A.shape[1]))
    targets = rng.standard_normal((n_streams, len(A)))
    seen = rng.random((n_streams, 1)) >= missing
    seen[0] = True
    error = np.where(seen, targets - Z @ A.T, 0.0)
    z = np.ascontiguousarray(Z.T)
    gain = P @ z
    q = np.einsum("mb,mb->b", z, gain)
    rates = brain._design.rates
    assert rates.rule == RLS
    V = learn_readout(
        state.readout, state.senses, rates, z, gain, q, error, np.repeat(seen, 3, axis=1)
    )
    wanted = rank_one_updates(A, P, Z, np.where(seen, targets, np.nan))
    np.testing.assert_allclose(state.readout.weights, wanted[0], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(P - V.T @ V, wanted[1], rtol=1e-9, atol=1e-11)


def test_a_sensor_learns_from_the_streams_in_which_it_was_observed():
    brain = brain_of("several", experts=False)
    brain.run(rows_of(CASES["several"], 150))
    rng = np.random.default_rng(2)
    state = StreamBatch(brain, 5)._state
    A, P = state.readout.weights.copy(), state.readout.covariance_values.copy()
    Z, targets = rng.standard_normal((5, A.shape[1])), rng.standard_normal((5, len(A)))
    observed = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0], [1, 1, 0], [0, 1, 1]], bool)
    of_output = np.repeat(observed, [1, 3, 2], axis=1)
    z = np.ascontiguousarray(Z.T)
    gain = P @ z
    learn_readout(
        state.readout, state.senses, brain._design.rates, z, gain,
        np.einsum("mb,mb->b", z, gain), np.where(of_output, targets - Z @ A.T, 0.0), observed,
    )  # fmt: skip
    for k in range(len(A)):
        rows = of_output[:, k]
        wanted, _ = rank_one_updates(A[k : k + 1], P, Z[rows], targets[rows, k : k + 1])
        np.testing.assert_allclose(state.readout.weights[k], wanted[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("connectivity", ["full", None])
def test_hidden_nodes_take_the_mean_step(connectivity):
    brain = brain_of(connectivity=connectivity, experts=False)
    brain.run(rows_of(CASES["known units"], 100))
    batch = StreamBatch(brain, 4)
    lead = streams_of("known units", 4, 20, missing=0.0)
    batch.run(lead, learn=False)
    brains = [batch.brain(b) for b in range(4)]
    rows = streams_of("known units", 4, 21, missing=0.0)[:, -1]
    rows[3] = np.nan  # it does not count
    wanted = mean_step(brains[:3], rows[:3])
    batch.run(rows[:, None])
    after = batch.brain(0)
    for name in ("recurrent", "afferent"):
        change = after.weights[name] - brains[0].weights[name]
        change = change if isinstance(change, np.ndarray) else change.toarray()
        assert np.abs(wanted[name]).max() > 1e-6
        np.testing.assert_allclose(change, wanted[name], rtol=1e-7, atol=1e-13)
    change = after._state.memory.bias - brains[0]._state.memory.bias
    np.testing.assert_allclose(change, wanted["bias"], rtol=1e-7, atol=1e-13)


def test_many_streams_know_sooner_what_is_common_to_them():
    """The same linear law in all streams, 40 steps of each."""
    rng = np.random.default_rng(0)
    x = np.zeros((32, 40))
    for t in range(2, 40):
        x[:, t] = 1.5 * x[:, t - 1] - 0.75 * x[:, t - 2] + rng.standard_normal(32)
    sensor = ContinuousSensor(location=0.0, scale=2.5)
    brain = StreamBrain(sensor, n_hidden=0, n_lags=2, experts=False, random_state=0)
    together = StreamBatch(brain, 32).run(x).total[:, 5:].mean()
    alone = StreamBatch(brain, 32, shared=False).run(x).total[:, 5:].mean()
    assert together < alone - 0.01
    readout = StreamBatch(brain, 32)
    readout.run(x)
    np.testing.assert_allclose(readout.brain(0).weights["readout"][0, 1:], [1.5, -0.75], atol=0.05)


# --- in pieces, from files, by hand ---------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", [{}, {"own_units": True}, {"shared": False}], ids=str)
def test_in_pieces_from_a_file_and_as_a_copy_it_goes_on_as_before(case, how, tmp_path):
    rows = streams_of(case, 3, 150)
    brain = brain_of(case)
    whole = StreamBatch(brain, 3, **how).run(rows)
    batch = StreamBatch(brain, 3, **how)
    pieces = [batch.run(rows[:, :5]).surprise, batch.run(rows[:, 5:6]).surprise]
    batch.save(tmp_path / "streams.h5")
    copy = batch.copy()
    batch = neurolp.load(tmp_path / "streams.h5")
    assert batch.n_steps_ == 6
    assert repr(batch) == repr(copy)
    pieces += [batch.run(rows[:, 6:110]).surprise]
    copy.run(rows[:, 6:110])
    batch.save(tmp_path / "later.h5")
    pieces += [StreamBatch.load(tmp_path / "later.h5").run(rows[:, 110:]).surprise]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole.surprise)
    np.testing.assert_array_equal(copy.run(rows[:, 110:]).surprise, pieces[-1])


@pytest.mark.parametrize("shared", [True, False])
def test_the_brain_of_a_stream_predicts_and_goes_on_alone(shared):
    rows = streams_of("several", 3, 161, missing=0.0)
    brain = brain_of("several")
    batch = StreamBatch(brain, 3, shared=shared)
    batch.run(rows[:, :160])
    alone = batch.brain(1)
    assert alone.n_steps_ == 160
    named = {"value": rows[1, 160, 0], "vector": rows[1, 160, 1:4], "late": rows[1, 160, 4:]}
    expected, known = 0.0, {}
    for name, x in named.items():
        expected -= float(np.sum(alone.predict(known)[name].log_prob(x)))
        known[name] = x
    assert alone.dream(3, random_state=0).shape == (3, 6)
    assert alone.run(rows[1, 160:]).total[0] == pytest.approx(expected, rel=1e-9)
    assert batch.n_steps_ == 160
    assert batch.run(rows[:, 160:]).total[1, 0] == pytest.approx(expected, rel=1e-9)
    assert brain.n_steps_ == 0


def test_weights_of_their_own_are_those_of_single_brains():
    sensors = (VALUE, SYMBOLS)
    rows = np.stack([rows_of(sensors, 90, seed=b) for b in range(3)])
    brain = StreamBrain(sensors, **SMALL, random_state=0)
    batch = StreamBatch(brain, 3, shared=False)
    run = batch.run(rows, predictions=True, activity=True)
    for b in range(3):
        alone = brain.copy().run(rows[b], predictions=True, activity=True)
        np.testing.assert_array_equal(run.surprise[b], alone.surprise)
        np.testing.assert_array_equal(run.activity[b], alone.activity)
        np.testing.assert_array_equal(run.probabilities["symbol"][b], alone.probabilities["symbol"])
    assert not np.array_equal(*(batch.brain(b).weights["readout"] for b in (0, 1)))


def test_threads_change_nothing(monkeypatch):
    rows = streams_of("several", 5, 60)
    runs = []
    for n_threads in ("1", "3"):
        monkeypatch.setenv("NEUROLP_NUM_THREADS", n_threads)
        monkeypatch.setattr("neurolp.stream.batch._PRODUCTS", 500)
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(3))
        batch = StreamBatch(brain_of("several", connectivity="full"), 5)
        runs.append(batch.run(rows).surprise)
    np.testing.assert_array_equal(*runs)


# --- what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_streams": 0}, "`n_streams`"),
        ({"n_streams": 2.0}, "`n_streams`"),
        ({"n_streams": 10**9}, "`n_streams` needs .* GB of memory, more than 8, but is 1000000000"),
        ({"n_streams": 10**9, "shared": False}, "`n_streams` needs .* GB"),
        ({"shared": "yes"}, "`shared`"),
        ({"own_units": 1}, "`own_units`"),
        (
            {"own_units": True, "shared": False},
            "`own_units` has no meaning where `shared` is False",
        ),
        ({"brain": 3}, "argument `brain` must be a StreamBrain, but is a int"),
        (
            {"brain": StreamBrain(CategoricalSensor(3), n_hidden=2)},
            "argument `shared` must be False where sensors have symbols, as 'symbol' has",
        ),
    ],
)
def test_wrong_arguments_get_one_line(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        StreamBatch(**{"brain": brain_of(), "n_streams": 2} | arguments)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 5, 1)), r"must have shape \(3, n_steps, 1\), but has shape \(2, 5, 1\)"),
        (np.zeros((3, 5, 2)), r"must have shape \(3, n_steps, 1\), but has shape \(3, 5, 2\)"),
        (np.zeros(3), "must have shape"),
        ([np.zeros(4)] * 2, "must hold the rows of 3 streams, but holds 2"),
        ([np.zeros(4), np.zeros((2, 2)), np.zeros(4)], "stream 1: argument `rows` must have shape"),
        (np.array([[[1.0]], [[2.0]], [[1e200]]]), "stream 2: .*but step 0 holds 1e.200"),
    ],
)
def test_wrong_rows_get_one_line(rows, message):
    with pytest.raises(DataError, match=message):
        StreamBatch(brain_of(), 3).run(rows)


@pytest.mark.parametrize("name", ["learn", "predictions", "activity"])
def test_flags_are_booleans(name):
    with pytest.raises(ConfigurationError, match=f"`{name}`"):
        StreamBatch(brain_of(), 3).run(np.zeros((3, 2)), **{name: 1})


def test_a_stream_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match="argument `stream` must be at most 2, but is 3"):
        StreamBatch(brain_of(), 3).brain(3)


def test_a_brain_says_who_takes_many_streams():
    with pytest.raises(DataError, match=r"shape \(3, 5, 1\); neurolp.StreamBatch takes many"):
        brain_of().run(np.zeros((3, 5, 1)))


@pytest.mark.parametrize(
    "settings", [{}, {"rule": "diagonal_rls"}, {"rule": "nlms"}, {"process_noise": 0.1}], ids=str
)
def test_values_far_away_constants_and_holes_leave_all_numbers_finite(settings):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 300)).cumsum(axis=1)
    far = rng.random(x.shape) < 0.02
    x[far] *= 10.0 ** rng.integers(2, 90, far.sum())
    x[3], x[4] = 5.0, rng.integers(0, 2, 300)
    x[rng.random(x.shape) < 0.05] = np.nan
    batch = StreamBatch(brain_of("units of the first values", **settings), 6)
    surprise = batch.run(x).surprise[..., 0]
    np.testing.assert_array_equal(np.isfinite(surprise), ~np.isnan(x))
    assert [batch.brain(b).fault() for b in range(6)] == [None] * 6


def test_a_covariance_that_is_none_is_said():
    batch = StreamBatch(brain_of(experts=False), 3)
    batch._state.readout.covariance_values[...] *= -1.0
    with pytest.raises(DivergedError, match="the covariance of the memory is no longer positive"):
        batch.run(np.ones((3, 5)))


def test_divergence_names_the_stream():
    brain = brain_of(experts=False)
    batch = StreamBatch(brain, 3)
    batch._state.readout.shape[1] = np.nan
    with pytest.raises(DivergedError, match="stream 1: the surprise of sensor 'value' became nan"):
        batch.run(np.zeros((3, 2)))
