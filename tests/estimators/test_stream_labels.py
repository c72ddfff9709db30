"""Streams by name: frames in any order, labels of symbols, sensors inferred, files that keep them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from neurolp import (
    CategoricalSensor,
    ConfigurationError,
    ContinuousSensor,
    DataError,
    StreamBrain,
    sensors_of,
)
from tests.estimators.stream_cases import SMALL

SKY = CategoricalSensor(["sun", "rain", "snow"], "sky")
PLACE = ContinuousSensor(["lat", "lon"], "place", 0.0, 1.0)
WIND = ContinuousSensor(2, "wind", 0.0, 1.0)
DOOR = CategoricalSensor(labels=[False, True], name="door")
STEP = CategoricalSensor([5, -2, 10], name="step")
SENSORS = (PLACE, SKY, WIND, DOOR, STEP)
CODES = {"sky": {"sun": 0, "rain": 1, "snow": 2}, "door": {False: 0, True: 1}}


def frame_of(n=80, seed=0, missing=0.1):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.standard_normal((n, 4)), axis=0) / 4
    x[rng.random(n) < missing, :2] = np.nan
    sky = rng.choice(["sun", "rain", "snow"], n).astype(object)
    sky[rng.random(n) < missing] = None
    return pd.DataFrame(
        {
            "lat": x[:, 0], "lon": x[:, 1], "sky": sky, "wind[0]": x[:, 2], "wind[1]": x[:, 3],
            "door": rng.random(n) < 0.5, "step": rng.choice([5, -2, 10], n),
        }
    )  # fmt: skip


def in_polars(frame):
    """The frame in polars, without what pyarrow would be needed for."""
    cells = frame.astype(object).where(frame.notna(), None)
    return pl.DataFrame({name: cells[name].tolist() for name in cells})


FRAME = frame_of()
SHUFFLED = FRAME[["step", "wind[1]", "sky", "door", "lon", "wind[0]", "lat"]]
NUMBERS = np.column_stack(
    [FRAME.lat, FRAME.lon, FRAME.sky.map(CODES["sky"]), FRAME["wind[0]"], FRAME["wind[1]"],
     FRAME.door, FRAME.step]
).astype(float)  # fmt: skip


def brain_of(sensors=SENSORS, **settings):
    return StreamBrain(sensors, **SMALL | {"random_state": 0} | settings)


EXPECTED = brain_of().run(NUMBERS)


# --- rows, by name --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        FRAME,
        SHUFFLED,
        FRAME.assign(sky=FRAME.sky.astype("category"), step=FRAME.step.astype("Int16")),
        in_polars(SHUFFLED),
        FRAME.to_numpy(dtype=object),
        FRAME.astype(object).where(FRAME.notna(), None).to_numpy().tolist(),
    ],
    ids=["frame", "other order", "categories", "polars", "objects", "lists"],
)
def test_all_ways_to_give_rows_are_the_same(rows):
    np.testing.assert_array_equal(brain_of().run(rows).surprise, EXPECTED.surprise)


def test_rows_of_mappings_are_the_same_and_may_leave_out():
    brain = brain_of()
    for row, surprise in zip(SHUFFLED.to_dict("records")[:30], EXPECTED.total, strict=False):
        here = {name: x for name, x in row.items() if not (x is None or x != x)}
        assert brain.observe(here) == pytest.approx(surprise, rel=1e-12)
    joined = {"place": [0.1, 0.2], "sky": "sun", "wind": (0.0, 1.0)}
    apart = {"lat": 0.1, "lon": 0.2, "sky": "sun", "wind[0]": 0.0, "wind[1]": 1.0}
    assert brain.score_one(joined) == brain.score_one(apart)
    assert brain.score_one(joined | {"sky": ["sun"]}) == brain.score_one(apart)
    assert brain.score_one(joined) != brain.score_one(joined | {"sky": "rain"})
    assert brain.score_one([0.1, 0.2, "sun", 0.0, 1.0, None, None]) == brain.score_one(joined)
    assert brain.score_one(np.array([0.1, 0.2, 0, 0, 1, np.nan, np.nan])) == brain.score_one(joined)


def test_a_single_column_is_a_vector_of_labels():
    labels = FRAME.sky.tolist()
    expected = brain_of(SKY).run(NUMBERS[:, 2]).total
    for given in (labels, FRAME.sky, np.array(labels, dtype=object), FRAME[["sky"]]):
        np.testing.assert_array_equal(brain_of(SKY).run(given).total, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.rename(columns={"sky": "air"}),
         "lacks 'sky' and has 'air': a sensor finds its column by its `name`.*`columns`.*sensors_of"),
        (lambda f: f.drop(columns="lon"), "must have the columns lat, lon, sky.*lacks 'lon'"),
        (lambda f: f.assign(extra=1), "also has 'extra'"),
        (lambda f: f.assign(sky="fog"), "labels of sensor 'sky', but step 0 holds 'fog'; the labels"),
        (lambda f: f.assign(sky=1.0), "'sky', but step 0 holds 1.0; the labels are 'sun', 'rain'"),
        (lambda f: f.assign(lat="north"), "for sensor 'place', but column 'lat' holds texts"),
        (lambda f: f.assign(lat=pd.Timestamp("2020-01-01")), "column 'lat' holds dates"),
        (lambda f: f.assign(step=6), "one of the labels 5, -2, 10 or NaN for sensor 'step'"),
        (lambda f: f.assign(step="6"), "labels of sensor 'step', but step 0 holds '6'"),
        (lambda f: f.assign(door="yes"), "labels of sensor 'door', but step 0 holds 'yes'"),
        (lambda f: in_polars(f).lazy(), "lazy frame"),
        (lambda f: f.to_numpy(dtype=object)[:, :3], r"must have shape \(n_steps, 7\)"),
    ],
)  # fmt: skip
def test_frames_that_cannot_be_used_are_named_and_change_nothing(change, message):
    brain = brain_of()
    with pytest.raises(DataError, match=message) as caught:
        brain.run(change(FRAME))
    assert "\n" not in str(caught.value)
    assert brain.n_steps_ == 0


def test_the_step_of_an_unknown_label_is_counted_from_the_first():
    brain = brain_of()
    brain.run(FRAME)
    with pytest.raises(DataError, match="but step 83 holds 'fog'"):
        brain.run(FRAME.assign(sky=["sun"] * 3 + ["fog"] + ["sun"] * (len(FRAME) - 4)))
    with pytest.raises(DataError, match="but step 0 holds 'fog'"):
        brain.observe({"sky": "fog"})
    with pytest.raises(DataError, match=r"must have keys among \['lat', 'lon', .*has \['sea'\]"):
        brain.observe({"sea": 1})
    with pytest.raises(DataError, match="2 numbers for sensor 'place', but holds 1"):
        brain.observe({"place": [1.0]})
    with pytest.raises(DataError, match="`x` must hold 1 numbers for sensor 'sky', but holds 2"):
        brain.observe({"sky": ["sun", "rain"]})
    for wrong in ({"lat": "north"}, ["north"] * 7):
        with pytest.raises(
            DataError, match=r"argument `x` must hold numbers of .* 'lat' holds texts"
        ):
            brain.observe(wrong)


def test_a_frame_without_rows_is_nothing():
    assert brain_of().run(FRAME[:0]).total.shape == (0,)


# --- predictions, dreams, files -------------------------------------------------------------------


def test_predictions_know_labels():
    brain = brain_of()
    brain.run(FRAME)
    sky, step = brain.predict()["sky"], brain.predict()["step"]
    assert sky.labels == ("sun", "rain", "snow")
    assert sky.log_prob("rain") == np.log(sky.probabilities[1])
    np.testing.assert_array_equal(step.log_prob([10, 5]), np.log(step.probabilities[[2, 0]]))
    with pytest.raises(DataError, match="argument `symbol` holds 'fog'; the labels are 'sun'"):
        sky.log_prob("fog")
    drawn = sky.sample(4000, np.random.default_rng(0))
    shares = [(drawn == label).mean() for label in sky.labels]
    np.testing.assert_allclose(shares, sky.probabilities, atol=0.04)
    by_label = brain.predict_proba_one()
    assert list(by_label) == ["sky", "door", "step"]
    assert by_label["sky"] == dict(zip(sky.labels, sky.probabilities.tolist(), strict=True))
    assert set(by_label["door"]) == {False, True}
    best = brain.predict_one()
    assert best["sky"] == max(by_label["sky"], key=by_label["sky"].get)
    assert best["step"] in (5, -2, 10)
    told = brain.predict({"lat": FRAME.lat[0], "lon": FRAME.lon[0]})["sky"]
    surprise = brain.run(FRAME[:1], learn=False).surprise[0, 1]
    assert surprise == pytest.approx(-told.log_prob(FRAME.sky[0]), rel=1e-12)


def test_dreams_are_numbers_or_frames_of_the_same_rows():
    brain = brain_of()
    brain.run(FRAME)
    dream = brain.dream(60, random_state=1)
    frame = brain.dream(60, random_state=1, as_frame=True)
    assert list(frame) == list(FRAME)
    assert list(frame.sky.cat.categories) == ["sun", "rain", "snow"]
    np.testing.assert_array_equal(frame.lat, dream[:, 0])
    np.testing.assert_array_equal(frame.sky.cat.codes, dream[:, 2])
    np.testing.assert_array_equal(frame.step.astype(float), dream[:, 6])
    assert set(dream[:, 6]) <= {5, -2, 10}
    free = brain.dream(1, sampled=False, as_frame=True).iloc[0]
    best = brain.predict_one()
    assert (free.sky, free.door, free.step) == (best["sky"], best["door"], best["step"])
    assert [free.lat, free.lon] == list(best["place"])
    one, other = brain.copy().run(frame), brain.copy().run(dream)
    np.testing.assert_array_equal(one.surprise, other.surprise)


def test_files_keep_names_and_labels(tmp_path):
    brain = brain_of()
    brain.run(FRAME)
    brain.save(tmp_path / "brain.h5")
    again = StreamBrain.load(tmp_path / "brain.h5")
    assert again.sensors == SENSORS
    assert [type(label) for label in again.sensors[3].labels] == [bool, bool]
    np.testing.assert_array_equal(again.run(SHUFFLED).surprise, brain.run(FRAME).surprise)


def test_names_of_outputs_are_those_of_columns_and_labels():
    names = brain_of().output_names
    assert names[:7] == ["lat", "lon", "sky=sun", "sky=rain", "sky=snow", "wind[0]", "wind[1]"]
    assert names[7:] == ["door=False", "door=True", "step=5", "step=-2", "step=10"]


# --- sensors --------------------------------------------------------------------------------------


def test_sensors_are_inferred_by_the_kinds_of_tables():
    frame = FRAME.assign(
        order=pd.Categorical(["a", "b"] * 40, categories=["b", "c", "a"]), bit=[0, 1] * 40
    )
    for given in (frame, in_polars(frame.drop(columns="order"))):
        found = {s.name: s for s in sensors_of(given)}
        assert list(found) == list(given.columns)
        assert found["lat"] == ContinuousSensor(1, "lat")
        assert found["step"] == ContinuousSensor(1, "step")
        assert found["sky"] == CategoricalSensor(["rain", "snow", "sun"], "sky")
        assert found["door"] == CategoricalSensor([False, True], "door")
        assert found["bit"] == CategoricalSensor([0, 1], "bit")
    assert sensors_of(frame)[-2] == CategoricalSensor(["b", "c", "a"], "order")
    brain = StreamBrain(sensors_of(frame), **SMALL)
    assert np.isfinite(brain.run(frame).total).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"t": pd.date_range("2020-01-01", periods=3)}), "column 't' holds dates"),
        (pd.DataFrame({"t": [None, None]}), "column 't' holds nothing"),
        (pd.DataFrame({"t": ["a", "a"]}), "column 't' can be no symbols: argument `labels`"),
        (np.zeros((3, 2)), "must be a frame, whose columns have names"),
    ],
)
def test_columns_that_can_be_no_sensors_are_named(frame, message):
    with pytest.raises(DataError, match=f"argument `frame`.*{message}"):
        sensors_of(frame)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (CategoricalSensor, "argument `labels` must be at least two different"),
        (lambda: CategoricalSensor(["a"]), "argument `labels` must be at least two different"),
        (lambda: CategoricalSensor(["a", "a"]), "at least two different"),
        (lambda: CategoricalSensor(["a", 1]), "at least two different texts, booleans or finite"),
        (lambda: CategoricalSensor([True, 0]), "at least two different texts"),
        (lambda: CategoricalSensor([1, np.nan]), "at least two different texts"),
        (lambda: CategoricalSensor([1, 2**60]), "at least two different texts"),
        (
            lambda: CategoricalSensor("ab"),
            "argument `n_symbols` must be an integer >= 2, or labels",
        ),
        (lambda: CategoricalSensor(3, labels=["a", "b"]), "must have 3 labels, but has 2"),
        (lambda: CategoricalSensor(["a", "b"], labels=["a", "b"]), "`labels` must not be given"),
        (lambda: ContinuousSensor(["a", "a"]), "argument `columns` must be 2 different names"),
        (lambda: ContinuousSensor(3, columns=["a", "b"]), "must be 3 different names"),
        (lambda: ContinuousSensor(["a"], columns=["b"]), "`columns` must not be given"),
        (lambda: brain_of((PLACE, ContinuousSensor(1, "lon"))), "two columns that are named 'lon'"),
    ],
)
def test_labels_and_names_that_cannot_be_used(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_labels_of_numbers_are_the_entries_of_rows():
    rows = np.array([5, -2, 10, np.nan, 5.0])
    plain = brain_of(CategoricalSensor(3, "step")).run([0, 1, 2, np.nan, 0])
    np.testing.assert_array_equal(brain_of(STEP).run(rows).surprise, plain.surprise)
    with pytest.raises(DataError, match=r"one of the labels 5, -2, 10 or NaN .*step 0 holds 0"):
        brain_of(STEP).run([0.0])
    with pytest.raises(DataError, match=r"a symbol 0 .. 2 \('sun', 'rain', 'snow'\) or NaN"):
        brain_of(SKY).run([3.0])
