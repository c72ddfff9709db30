"""Monitors of StreamBrain.run: to memory and to files, those of others, interruptions, memory."""

import os
import signal
import tracemalloc

import numpy as np
import pytest

import neurolp
from neurolp import (
    Activity,
    ConfigurationError,
    ContinuousSensor,
    DataError,
    Monitor,
    OutputError,
    Predictions,
    Schedule,
    StreamBatch,
    StreamBrain,
    Weights,
    open_trajectory,
)
from neurolp.errors import DivergedError
from neurolp.runs import figures, summary
from neurolp.runs.execution import resume_file
from neurolp.storage.reader import verify
from tests.estimators.stream_cases import SMALL, SYMBOLS, VALUE, edges, rows_of
from tests.processes import python

UNITS = ContinuousSensor(1, "level")  # has a warm-up
SENSORS = (UNITS, SYMBOLS)
ROWS = rows_of(SENSORS, 400)
CURRENT = {"nodes": [2, 5], "current": np.sin(np.arange(400.0))}


def brain_of(**settings):
    return StreamBrain(SENSORS, **SMALL | {"connectivity": "full", "random_state": 0} | settings)


class Norm(Monitor):
    """What somebody else would write: the norm of the activity, and how many steps were seen."""

    def __init__(self, every):
        self.schedule = Schedule(every=every)
        self.n_seen = 0

    def begin(self, process, store):
        self.store = store
        store.declare_dimension("norm_time", "i8", "step", "steps observed")
        store.declare("norm", ("norm_time",), (), "f8", "1", "norm of the activity")

    def observe(self, observation):
        self.n_seen += len(observation.rows)

    def sample(self, process):
        self.store.append("norm_time", [process.time])
        self.store.append("norm", [np.linalg.norm(process.brain.activity)])

    def state(self):
        return {"n_seen": np.array([self.n_seen])}


class Stopping(Monitor):
    """Does something at a step."""

    def __init__(self, step, action):
        self.schedule, self.action = Schedule(times=(step,)), action

    def sample(self, process):
        self.action()


def monitors():
    return [Activity(every=10), Weights("recurrent", every=100), Predictions(150), Norm(7)]


# --- to memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("learn", [True, False])
def test_a_watched_run_is_the_same_run(learn):
    watched, plain = brain_of(), brain_of()
    for brain in (watched, plain):
        brain.run(ROWS[:150])
    settings = {"learn": learn, "inject": CURRENT, "activity": True, "predictions": True}
    run = watched.run(ROWS, monitors=monitors(), **settings)
    other = plain.run(ROWS, **settings)
    for name in ("surprise", "pit", "activity"):
        np.testing.assert_array_equal(getattr(run, name), getattr(other, name))
    np.testing.assert_array_equal(run.mean["level"], other.mean["level"])
    np.testing.assert_array_equal(watched.run(ROWS[:50]).total, plain.run(ROWS[:50]).total)
    assert watched.n_steps_ == plain.n_steps_ == 600


def test_what_is_recorded_is_what_was_there():
    brain, other = brain_of(), brain_of()
    run = brain.run(ROWS, activity=True, predictions=True, monitors=monitors())
    record = run.monitors
    np.testing.assert_array_equal(record["activity_time"], np.arange(10, 401, 10))
    # The activity of a step is that before its row: at time t as `activity` has in row t.
    np.testing.assert_allclose(record["activity"][:-1], run.activity[10::10], rtol=1e-6)
    np.testing.assert_allclose(record["activity"][-1], brain.activity, rtol=1e-6)
    np.testing.assert_array_equal(record["recurrent_time"], [100, 200, 300, 400])
    np.testing.assert_array_equal(record["recurrent"][-1], brain.weights["recurrent"])
    assert not np.array_equal(*record["recurrent"][:2])
    np.testing.assert_array_equal(record["norm_time"], np.arange(7, 400, 7))
    np.testing.assert_allclose(
        record["norm"], np.linalg.norm(run.activity[7::7], axis=1), rtol=1e-12
    )
    np.testing.assert_array_equal(record["predicted_step"], [150, 300])
    for row, predicted in zip((150, 300), record["predicted"], strict=True):
        other.run(ROWS[other.n_steps_ : row])
        expected = other.predict()  # before anything of the row is known
        np.testing.assert_allclose(predicted[0], expected["level"].mean[0], rtol=1e-9)
        np.testing.assert_allclose(predicted[1:], expected["symbol"].probabilities, rtol=1e-9)
    np.testing.assert_allclose(record["predicted"][:, 0], run.mean["level"][[150, 300], 0])
    np.testing.assert_array_equal(record["observed"], ROWS[[150, 300]])


def test_times_can_be_chosen_and_weights_are_of_all_names_or_some():
    record = brain_of(connectivity=edges()).run(
        ROWS[:60],
        monitors=[
            Activity(None, at=[9, 3]), Weights(every=25, at=[4]), Predictions(None, interval=(7, 9)),
        ],
    ).monitors  # fmt: skip
    assert record["activity_time"].tolist() == [3, 9]
    assert record["weights_time"].tolist() == [4, 25, 50, 60]
    assert record["predicted_step"].tolist() == [7, 8]
    assert record["recurrent"].shape == (4, edges().nnz)
    two = [Weights("readout", every=10), Weights("afferent", "recurrent", at=[1])]
    record = brain_of().run(ROWS[:30], monitors=two).monitors
    assert record["readout_time"].tolist() == [10, 20, 30]
    assert record["afferent_time"].tolist() == record["recurrent_time"].tolist() == [1, 30]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [Activity(10), Activity(20)], "both Activity and Activity record 'activity_time'"),
        (lambda: [Weights(), Weights("readout")], "both Weights and Weights record 'readout'"),
        (Activity, "`monitors` must be a list of monitors, but is <"),
        (
            lambda: [Activity],
            r"must hold monitors, but holds the class Activity: Activity\(\.\.\.\) makes",
        ),
        (lambda: "activity", "`monitors` must be a list of monitors, but is 'activity'"),
        (lambda: ["activity"], "argument `monitors` must hold monitors, but 'activity' has no"),
        (lambda: [Activity(0)], "argument `every` must be an integer >= 1, but is 0"),
        (lambda: [Activity(at=[-1])], "argument `at` must hold integers >= 0, but has -1"),
        (lambda: [Weights("synapses")], "argument `names` must be among .*'synapses'"),
    ],
)
def test_monitors_that_cannot_be_used_are_named_and_nothing_happens(make, message, tmp_path):
    brain = brain_of()
    for output in (None, tmp_path / "run.h5"):
        with pytest.raises(ConfigurationError, match=message):
            brain.run(ROWS, monitors=make(), output=output)
    assert brain.n_steps_ == 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="argument `output` must be a path, but is 3"):
        brain.run(ROWS, output=3)
    with pytest.raises(ConfigurationError, match="Weights asks for 'recurrent', but the brain has"):
        brain_of(connectivity="none").run(ROWS, monitors=[Weights("recurrent")])


# --- to files -------------------------------------------------------------------------------------


def test_a_file_is_a_trajectory_with_all_of_it_and_the_brain(tmp_path):
    path = tmp_path / "run.h5"
    brain, plain = brain_of(), brain_of()
    run = brain.run(ROWS, monitors=monitors(), inject=CURRENT, output=path)
    expected = plain.run(ROWS, monitors=monitors(), inject=CURRENT)
    np.testing.assert_array_equal(run.surprise, expected.surprise)
    for name, values in expected.monitors.items():
        np.testing.assert_array_equal(run.monitors[name], values)
    assert verify(path) == 1
    with open_trajectory(path) as file:
        assert file.status == "complete"
        assert file.result["n_steps"] == 400
        np.testing.assert_allclose(file["surprise"].values, expected.surprise, rtol=1e-6)
        assert file["recurrent"].dims == ("recurrent_time", "hidden", "hidden_source")
        assert list(file["activity"].coords["activity_time"].values[:2]) == [10, 20]
        assert summary(file)[0].rows[0][0] == "level"
        drawn = set(figures(file))
    assert drawn == {"surprise", "calibration", "predictions", "recurrent", "activity"}
    loaded = neurolp.load(path)
    assert loaded.n_steps_ == 400
    np.testing.assert_array_equal(loaded.run(ROWS[:90]).total, brain.run(ROWS[:90]).total)


def test_a_run_without_monitors_has_a_file_too(tmp_path):
    brain_of().run(ROWS, output=tmp_path / "run.h5")
    with open_trajectory(tmp_path / "run.h5") as file:
        assert set(figures(file)) == {"surprise", "calibration"}


def test_existing_files_stay_unless_told_otherwise(tmp_path):
    path = tmp_path / "run.h5"
    brain_of().run(ROWS[:50], output=path)
    brain = brain_of()
    with pytest.raises(OutputError, match=r"run\.h5: exists already"):
        brain.run(ROWS, output=path)
    assert brain.n_steps_ == 0
    with pytest.raises(OutputError, match=r"run\.h5: "):
        brain.run(ROWS, output=tmp_path / "none" / "run.h5")
    brain.run(ROWS[:70], output=path, overwrite=True)
    with open_trajectory(path) as file:
        assert file["surprise"].shape == (70, 2)
    with pytest.raises(DataError):
        brain.run(ROWS[:, :1], output=tmp_path / "other.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_ctrl_c_leaves_what_was_recorded_and_the_brain(tmp_path):
    path = tmp_path / "run.h5"
    brain, whole = brain_of(), brain_of()
    interrupt = Stopping(230, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        brain.run(ROWS, output=path, monitors=[*monitors(), interrupt])
    assert brain.n_steps_ == 230
    with open_trajectory(path) as file:
        assert file.status == "unfinished"
        assert file["surprise"].shape == (230, 2)
        assert file["activity"].coords["activity_time"].values[-1] == 230
    loaded = neurolp.load(path)
    assert loaded.n_steps_ == 230
    whole.run(ROWS[:230])
    np.testing.assert_array_equal(loaded.run(ROWS[230:]).total, whole.run(ROWS[230:]).total)
    with pytest.raises(neurolp.FormatError, match=r"run\.h5: .*from Python.*neurolp\.load"):
        resume_file(path)
    with pytest.raises(OutputError, match="there is an unfinished run of it"):
        brain_of().run(ROWS, output=path)
    brain_of().run(ROWS, output=path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_a_process_that_is_killed_leaves_what_was_committed(tmp_path):
    program = """
import os
from neurolp.simulation import checkpoint
from tests.estimators.test_stream_recording import ROWS, Stopping, brain_of, monitors
checkpoint._SECONDS = 0.0
brain_of().run(ROWS, output="run.h5", monitors=[*monitors(), Stopping(300, lambda: os._exit(9))])
"""
    assert python(program, cwd=tmp_path).returncode == 9
    with open_trajectory(tmp_path / "run.h5") as file:
        assert file.status == "unfinished"
        n = len(file["surprise"])
    loaded = neurolp.load(tmp_path / "run.h5")
    assert 0 < loaded.n_steps_ == n < 300
    whole = brain_of()
    whole.run(ROWS[:n])
    np.testing.assert_array_equal(loaded.run(ROWS[n:]).total, whole.run(ROWS[n:]).total)


def test_an_error_of_a_monitor_leaves_nothing(tmp_path):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        brain_of().run(ROWS, output=tmp_path / "run.h5", monitors=[Stopping(5, fail)])
    assert list(tmp_path.iterdir()) == []


def test_divergence_has_a_file_that_says_so(tmp_path):
    brain = brain_of()

    def break_it():
        brain._state.memory.bias[3] = np.nan

    with pytest.raises(DivergedError, match=r"step 2\d\d; what happened before is in .*run\.h5"):
        brain.run(ROWS, output=tmp_path / "run.h5", monitors=[Stopping(200, break_it)])
    with open_trajectory(tmp_path / "run.h5") as file:
        assert file.status == "diverged"
        assert file["surprise"].shape == (200, 2)
        assert "became nan" in file.result["message"]


def test_memory_does_not_grow_with_what_is_recorded(tmp_path):
    settings = {"n_hidden": 1200, "n_lags": 1, "rule": "nlms", "experts": False, "random_state": 0}
    brain = StreamBrain(VALUE, **settings | {"connectivity": "none"})
    rows = np.random.default_rng(0).standard_normal(10_000)
    brain.run(rows[:100])
    tracemalloc.start()
    brain.run(rows, monitors=[Activity(every=1)], output=tmp_path / "run.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with open_trajectory(tmp_path / "run.h5") as file:
        assert file["activity"].shape == (10_000, 1200)  # 48 MB
    assert peak < 40e6


def test_activity_of_the_result_is_before_a_row_and_that_of_the_monitor_after_it():
    current = np.zeros(len(ROWS))
    current[30] = 2.0
    given = {"inject": {"nodes": [1], "current": current}, "activity": True}
    run = brain_of().run(ROWS, monitors=[Activity()], **given)
    after, before = run.monitors["activity"], run.activity
    np.testing.assert_array_equal(run.monitors["activity_time"], np.arange(1, len(ROWS) + 1))
    np.testing.assert_array_equal(after[:-1], before[1:].astype("f4"))
    plain = brain_of().run(ROWS, activity=True).activity
    np.testing.assert_array_equal(before[:31], plain[:31])  # the current of row 30 acts after it
    assert (before[31] != plain[31]).any()


def test_results_are_shown_in_one_line():
    brain = brain_of()
    shown = repr(brain.run(ROWS, predictions=True, activity=True, monitors=[Activity(every=10)]))
    mean = brain_of().run(ROWS).total.mean()
    n, k = len(ROWS), len(brain.sensors)
    assert shown.startswith(f"<StreamRun: {n} steps; {k} sensors; mean surprise {mean:.4g} nats")
    assert shown.endswith(
        "with probabilities, mean, std, activity; monitors: activity_time, activity>"
    )
    one = StreamBrain(ContinuousSensor(location=0, scale=1), n_hidden=3)
    assert repr(one.run(np.zeros(0))) == "<StreamRun: 0 steps; 1 sensor>"
    monitors = brain.run(ROWS, monitors=[Activity(every=40, nodes=[1, 3])]).monitors
    samples = len(monitors["activity_time"])
    assert samples == n // 40
    assert repr(monitors) == (
        f"<MemoryStore: activity_time ({samples},), activity ({samples}, 2), activity_node (2,)>"
    )
    together = repr(StreamBatch(one, 2).run(np.zeros((2, 5))))
    assert together.startswith("<StreamRun: 2 streams; 5 steps; 1 sensor; mean surprise ")
