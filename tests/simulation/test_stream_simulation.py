"""The loop for streams and what it records, with a brain that is quick and simple."""

import math

import numpy as np
import pytest
from scipy import stats

from neurolp import ConfigurationError, NeurolpError, open_trajectory
from neurolp.arrays import NamedArrays
from neurolp.config.stream_sections import StreamConfiguration
from neurolp.data.streams import GENERATORS, Stream, generator, settings_of
from neurolp.errors import DivergedError
from neurolp.evaluation.stream_scores import baseline_surprise, last_windows, scores
from neurolp.runs import stream as experiment
from neurolp.runs import summary
from neurolp.runs.kinds import read_configuration
from neurolp.simulation.loop import Pace, simulate
from neurolp.simulation.memory_store import MemoryStore
from neurolp.simulation.schedule import Schedule
from neurolp.simulation.stream import StreamProcess
from neurolp.simulation.stream_contents import names_to_arrays, sensors_to_arrays, stored_sensors
from neurolp.simulation.stream_monitors import (
    Activity,
    LastRowsMonitor,
    Predictions,
    StepMonitor,
    Weights,
    WindowMonitor,
)
from neurolp.simulation.windows import Window
from neurolp.storage.store import RunStore
from neurolp.stream.sensors import CategoricalSensor, ContinuousSensor, places
from tests.stream_stand_in import StandIn

MIXED = (
    ContinuousSensor(2, "place", location=0.0, scale=1.0),
    CategoricalSensor(3, "kind"),
    ContinuousSensor(1, "size", location=0.0, scale=1.0),
)


def mixed_rows(n, seed=0):
    """Two sensors of values and one of symbols, each missing at times; far from zero."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            1e6 + rng.standard_normal((n, 2)),
            rng.choice(3, n, p=[0.6, 0.3, 0.1]),
            rng.normal(-2.0, 0.1, n),
        ]
    )
    rows[rng.random(n) < 0.2, :2] = np.nan
    rows[rng.random(n) < 0.1, 2] = np.nan
    rows[rng.random(n) < 0.3, 3] = np.nan
    return rows


def stream_of(rows, sensors, truth=None):
    def chunks(start):
        for k in range(start, len(rows), 37):
            yield rows[k : k + 37], None if truth is None else truth[k : k + 37]

    return Stream("test", sensors, chunks, len(rows), has_truth=truth is not None)


def simulated(path, stream, monitors, brain=None, train_steps=None, pace=None, last_rows=0):
    """Simulate and return the brain and the outcome; what was recorded is in the file."""
    brain = brain or StandIn(stream.sensors, random_state=0)
    process = StreamProcess(brain, stream, train_steps=train_steps)
    last = LastRowsMonitor(last_rows)
    file = RunStore.create(path, NamedArrays(), overwrite=True)
    outcome = simulate(process, monitors=[*monitors, last], store=file, pace=pace or Pace())
    contents = NamedArrays()
    sensors_to_arrays(contents, stream)
    names_to_arrays(contents, brain)
    last.to_arrays(contents, process.time, brain.dream(5))
    file.finish(contents)
    return brain, outcome


def contents(path):
    with open_trajectory(path) as file:
        return {name: file.read(name) for name in file.all_names()}


# --- when -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(),
        Schedule(every=7),
        Schedule(times=(0, 3, 4, 21)),
        Schedule(interval=(10, 14)),
        Schedule(5, (0, 1, 12), (16, 19)),
    ],
)
def test_a_schedule_says_what_comes_next(schedule):
    wanted = [t for t in range(60) if t in schedule]
    assert bool(schedule) == bool(wanted)
    for t in range(30):
        after = [u for u in wanted if u > t]
        assert schedule.after(t) == (after[0] if after else math.inf)


def test_the_pace_keeps_to_its_time_and_grows_by_doubling():
    pace = Pace(seconds=0.2, n_units=32)
    pace.took(32, 3.0)  # compiling
    assert pace.n_units == 2
    sizes = []
    for _ in range(12):
        pace.took(pace.n_units, pace.n_units * 1e-3)
        sizes.append(pace.n_units)
    assert sizes[:4] == [4, 8, 16, 32]
    assert sizes[-1] == 200
    pace.took(3, 0.003)  # cut short by a look: says nothing about the pace
    assert pace.n_units == 200
    pace.took(1, 10.0)
    assert pace.n_units == 1


# --- what -----------------------------------------------------------------------------------------


def test_windows_agree_with_numpy_also_where_something_is_missing():
    rows, rng = mixed_rows(500), np.random.default_rng(1)
    rows[:10, :2] = np.nan
    where = places(MIXED)
    assert [(p.columns, p.outputs, p.values) for p in where] == [
        (slice(0, 2), slice(0, 2), slice(0, 2)),
        (slice(2, 3), slice(2, 5), slice(2, 2)),
        (slice(3, 4), slice(5, 6), slice(2, 3)),
    ]
    missing = np.isnan(rows[:, [0, 2, 3]])
    surprise = np.where(missing, np.nan, rng.standard_normal((500, 3)))
    pit = np.where(np.isnan(rows[:, [0, 1, 3]]), np.nan, rng.random((500, 3)))
    pit[5, ~np.isnan(pit[5])] = 1.0
    truth = rng.standard_normal(500)
    one, cut = (Window(where, np.full(4, np.nan)) for _ in range(2))
    one.add(rows, surprise, pit, truth)
    for part in np.split(np.arange(500), [1, 8, 12, 200]):
        cut.add(rows[part], surprise[part], pit[part], truth[part])
    np.testing.assert_array_equal(one.surprise, cut.surprise)
    for a, b in zip(one.input_moments(), cut.input_moments(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.pit_counts, cut.pit_counts)
    assert one.true_surprise == cut.true_surprise

    np.testing.assert_allclose(one.surprise, np.nanmean(surprise, axis=0), rtol=1e-12)
    assert one.total_surprise == pytest.approx(np.nansum(surprise) / 500, rel=1e-12)
    assert one.true_surprise == pytest.approx(truth.mean(), rel=1e-12)
    np.testing.assert_array_equal(one.n_observed, (~missing).sum(axis=0))
    mean, variance = one.input_moments()
    kinds = np.array([np.mean(rows[~missing[:, 1], 2] == k) for k in range(3)])
    values = rows[:, [0, 1, 3]]
    np.testing.assert_allclose(mean[[0, 1, 5]], np.nanmean(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance[[0, 1, 5]], np.nanvar(values, axis=0), rtol=1e-7)
    np.testing.assert_allclose(mean[2:5], kinds)
    np.testing.assert_allclose(variance[2:5], kinds * (1 - kinds))
    for j in range(3):
        known = pit[~np.isnan(pit[:, j]), j]
        np.testing.assert_array_equal(one.pit_counts[j], np.histogram(known, 20, (0, 1))[0])


def test_everything_asked_for_is_recorded_at_its_time(tmp_path):
    rows, truth = mixed_rows(230), np.arange(230.0)
    stream = stream_of(rows, MIXED, truth)
    monitors = [
        StepMonitor(),
        WindowMonitor(50),
        Predictions(100, at=[3], interval=(220, 230)),
        Activity(None, at=[7, 0], interval=(229, 231)),
        Weights(every=100, at=[0]),
    ]
    _, outcome = simulated(tmp_path / "a.h5", stream, monitors, last_rows=12)
    assert (outcome.interrupted, outcome.time) == (False, 230)
    file = contents(tmp_path / "a.h5")
    twin = StandIn(MIXED, random_state=0)
    whole = twin.run(rows)
    np.testing.assert_array_equal(file["surprise"], whole.surprise.astype("f4"))
    np.testing.assert_array_equal(file["true_surprise"], truth)
    np.testing.assert_array_equal(file["window"], [50, 100, 150, 200, 230])
    np.testing.assert_array_equal(file["window_steps"], [50, 50, 50, 50, 30])
    np.testing.assert_allclose(
        file["mean_surprise"][-1], np.nanmean(whole.surprise[200:], axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(file["mean_true_surprise"][:2], [24.5, 74.5])
    assert file["pit_counts"].sum() == (~np.isnan(whole.pit)).sum()
    at = [3, 100, 200, *range(220, 230)]
    np.testing.assert_array_equal(file["predicted_step"], at)
    np.testing.assert_array_equal(file["observed"], rows[at])
    np.testing.assert_array_equal(file["activity_time"], [0, 7, 229, 230])
    np.testing.assert_array_equal(file["activity"][-1], twin.activity.astype("f4"))
    np.testing.assert_array_equal(file["weights_time"], [0, 100, 200, 230])
    np.testing.assert_allclose(file["readout"][:, 0, 0], [0, 0.1, 0.2, 0.23])
    np.testing.assert_array_equal(file["last_rows"], rows[-12:])
    np.testing.assert_array_equal(file["last_step"], np.arange(218, 230))
    assert file["dream"].shape == (5, 4)
    # A prediction is made before its row comes.
    early = StandIn(MIXED, random_state=0)
    early.run(rows[:100])
    kind, size = early.predict()["kind"], early.predict()["size"]
    np.testing.assert_allclose(file["predicted"][1, 2:5], kind.probabilities)
    np.testing.assert_allclose(file["predicted"][1, 5], size.mean[0])
    np.testing.assert_allclose(file["predicted_std"][1, 2], size.std[0])
    np.testing.assert_allclose(
        file["predicted_quantile"][1, 2], stats.norm(size.mean, size.std).ppf([.05, .25, .5, .75, .95])
    )  # fmt: skip
    with open_trajectory(tmp_path / "a.h5") as opened:
        stored = stored_sensors(opened)
    for sensor, place in zip(stored, places(MIXED), strict=True):
        assert sensor.name == place.sensor.name
        assert (sensor.columns, sensor.outputs, sensor.values) == (
            place.columns, place.outputs, place.values
        )  # fmt: skip


def test_the_file_does_not_depend_on_how_many_steps_are_run_at_once(tmp_path):
    stream = stream_of(mixed_rows(900), MIXED)

    def monitors():
        return [
            StepMonitor(),
            WindowMonitor(64),
            Predictions(101, interval=(880, 900)),
            Activity(50),
            Weights(every=300),
        ]

    class Fixed(Pace):
        def took(self, n_units, seconds):
            pass

    written = []
    for n_steps in (1, 7, 64, 10_000):
        pace = Fixed(n_units=n_steps)
        simulated(tmp_path / "a.h5", stream, monitors(), None, 777, pace, 40)
        written.append(contents(tmp_path / "a.h5"))
    for other in written[1:]:
        assert other.keys() == written[0].keys()
        for name, values in written[0].items():
            np.testing.assert_array_equal(other[name], values, err_msg=name)


def test_after_train_steps_the_brain_only_predicts(tmp_path):
    stream = stream_of(mixed_rows(300), MIXED)
    brain, _ = simulated(tmp_path / "a.h5", stream, [], train_steps=120)
    twin = StandIn(MIXED, random_state=0)
    twin.run(mixed_rows(300)[:120])
    for a, b in zip(brain.sums, twin.sums, strict=True):
        np.testing.assert_array_equal(a, b)
    assert brain.n_steps_ == 300


def test_without_the_surprise_of_each_step_the_means_stay(tmp_path):
    simulated(tmp_path / "a.h5", stream_of(mixed_rows(250), MIXED), [WindowMonitor(100)])
    file = contents(tmp_path / "a.h5")
    assert "surprise" not in file
    assert file["mean_surprise"].shape == (3, 3)


def test_what_was_observed_before_a_surprise_that_is_not_finite_is_recorded():
    brain = StandIn(MIXED, random_state=0, diverge_at=123)
    process, store = StreamProcess(brain, stream_of(mixed_rows(300), MIXED)), MemoryStore()
    with pytest.raises(DivergedError, match="of sensor 'place' became nan in step 123"):
        simulate(process, monitors=[StepMonitor()], store=store, pace=Pace(n_units=3))
    n = len(store["surprise"])
    assert 0 < n <= 123
    assert n == process.time
    assert not np.isnan(store["surprise"]).all(axis=1).all()


# --- scores ---------------------------------------------------------------------------------------


def test_scores_are_those_of_the_last_fifth_and_the_baseline_is_fitted_before(tmp_path):
    rows = mixed_rows(1000)
    truth = np.random.default_rng(2).standard_normal(1000)
    simulated(tmp_path / "a.h5", stream_of(rows, MIXED, truth), [StepMonitor(), WindowMonitor(20)])
    whole = StandIn(MIXED, random_state=0).run(rows)
    with open_trajectory(tmp_path / "a.h5") as file:
        assert last_windows(file).sum() == 10
        found, plain = scores(file), baseline_surprise(file)
    assert [score.sensor for score in found] == ["place", "kind", "size", "all together"]
    last = whole.surprise[800:]
    for j in range(3):
        assert found[j].brain.value == pytest.approx(np.nanmean(last[:, j]), rel=1e-12)
    # Windows with fewer steps where something came weigh less.
    first, second = rows[:800], rows[800:]
    place, kind, size = (
        x[~np.isnan(x).any(axis=1)] for x in (first[:, :2], first[:, 2:3], first[:, 3:])
    )
    p = (np.bincount(kind[:, 0].astype(int), minlength=3) + 0.5) / (len(kind) + 1.5)
    seen = second[~np.isnan(second[:, 2]), 2].astype(int)
    assert found[1].baseline.value == pytest.approx(-np.log(p[seen]).mean(), rel=1e-12)
    for j, x, columns in ((0, place, slice(0, 2)), (2, size, slice(3, 4))):
        seen = second[~np.isnan(second[:, columns]).any(axis=1), columns]
        logs = stats.norm.logpdf(seen, x.mean(axis=0), x.std(axis=0)).sum(axis=1)
        assert found[j].baseline.value == pytest.approx(-logs.mean(), rel=1e-6)
    total = np.nansum(last, axis=1)
    assert found[3].brain.value == pytest.approx(total.mean(), rel=1e-12)
    assert found[3].excess.value == pytest.approx((total - truth[800:]).mean(), rel=1e-9)
    blocks = (total - truth[800:]).reshape(10, 20).mean(axis=1)
    assert found[3].excess.error == pytest.approx(blocks.std(ddof=1) / 10**0.5, rel=1e-9)
    assert plain.shape == (50, 3)


# --- from a configuration -------------------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(
        experiment,
        "build_brain",
        lambda configuration, stream, seed: StandIn(stream.sensors, random_state=seed),
    )


def ran(tmp_path, text, *settings, **more):
    path = tmp_path / "a.toml"
    path.write_text(text)
    configuration = read_configuration(path, settings)
    return experiment.run(configuration, tmp_path / "a.h5", overwrite=True, **more)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_can_be_asked_for(tmp_path, stand_in, name):
    progress = []
    text = f'seed = 1\n[stream]\nsource = "{name}"\nn_steps = 500\n'
    result = ran(tmp_path, text, observe=progress.append)
    stream = generator(name, 500)
    assert progress[-1].time == progress[-1].total == 500
    assert ("entropy rate" in progress[-1].message) == (stream.rate is not None)
    with open_trajectory(result.path) as file:
        assert file.status == "complete"
        assert file.result["n_steps"] == 500
        assert file.experiment["name"] == "stream"
        assert file.configuration["stream"]["source"] == name
        assert file.result.get("rate") == stream.rate
        rows = stream.read(500)
        np.testing.assert_array_equal(file["last_rows"].values, rows[-200:])
        np.testing.assert_array_equal(file["observed"].values, rows[-200:])
        assert file["mean_surprise"].shape[0] == 250
        table = summary(file)[0]
    assert len(table.rows) == (1 if len(stream.sensors) == 1 else 1 + len(stream.sensors))
    assert ("entropy rate" in table.columns) == (stream.rate is not None)


def test_the_keys_of_a_source_are_the_settings_of_its_generator():
    _, sources = StreamConfiguration.versions()["stream"]
    sections = {s.model_fields["source"].annotation.__args__[0]: s for s in sources}
    assert set(sections) == {*GENERATORS, "file"}
    for name in GENERATORS:
        fields = sections[name].model_fields
        settings = settings_of(name)
        assert set(fields) == {"source", "n_steps", "seed", *settings}
        for key, default in settings.items():
            stored = fields[key].default
            assert (tuple(stored) if isinstance(stored, list) else stored) == default


def test_runs_are_reproducible_and_a_generated_seed_is_kept(tmp_path, stand_in):
    text = '[stream]\nsource = "ar2"\nn_steps = 300\n'
    result = ran(tmp_path, text)
    first = contents(result.path)
    with open_trajectory(result.path) as file:
        seed = file.provenance["seed"]
        assert file.configuration["seed"] == seed
    again = contents(ran(tmp_path, text, f"seed={seed}").path)
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)


def test_a_diverged_run_leaves_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        experiment,
        "build_brain",
        lambda configuration, stream, seed: StandIn(stream.sensors, diverge_at=50),
    )
    with pytest.raises(
        NeurolpError, match=r"sensor 'value' became nan in step 50; .* are in .*a\.h5"
    ):
        ran(tmp_path, '[stream]\nsource = "ar2"\nn_steps = 300\n')
    with open_trajectory(tmp_path / "a.h5") as file:
        assert file.status == "diverged"
        assert len(file["surprise"]) == file.result["n_steps"] == 50
        assert "became nan in step 50" in file.result["message"]


@pytest.mark.parametrize("key", ["predictions_at", "activity_at", "weights_at"])
def test_times_after_the_end_are_errors(tmp_path, stand_in, key):
    text = f'[stream]\nsource = "ar2"\nn_steps = 300\n[record]\n{key} = [5, 301]\n'
    with pytest.raises(ConfigurationError, match=f"key 'record.{key}' must be at most 300"):
        ran(tmp_path, text)
    assert [p.name for p in tmp_path.iterdir()] == ["a.toml"]
