"""Sensors of a user's own: encoded columns, exact densities, the whole life of a brain."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import kstest

from neurolp import (
    ContinuousSensor,
    DataError,
    EncodedPrediction,
    FormatError,
    OutputError,
    StreamBrain,
)
from neurolp.data.streams import Stream, open_stream
from neurolp.stream.sensors import check_rows, encode_rows, places

SMALL = {"n_hidden": 10, "n_lags": 4, "fan_in": 2, "n_contexts": 64, "max_order": 2}


@dataclass(frozen=True)
class PositiveSensor:
    """A positive number, predicted through its logarithm."""

    name: str = "amount"

    n_columns: ClassVar[int] = 1
    n_symbols: ClassVar[int] = 0
    units: ClassVar[None] = None
    wanted: ClassVar[str] = "a positive number or NaN"

    def valid(self, columns):
        return np.isnan(columns) | ((columns > 0) & np.isfinite(columns))

    def encode(self, columns):
        code = np.log(columns)
        return code, -code[:, 0]

    def decode(self, code, rng):
        return np.exp(code)

    def express(self, prediction):
        return EncodedPrediction(prediction, self)


@dataclass(frozen=True)
class CountSensor:
    """A count 0, 1, ..: symbols up to ``last``, which stands for a geometric tail."""

    last: int = 4
    ratio: float = 0.5
    name: str = "count"

    n_columns: ClassVar[int] = 1
    units: ClassVar[None] = None
    wanted: ClassVar[str] = "a count or NaN"

    @property
    def n_symbols(self):
        return self.last + 1

    def valid(self, columns):
        return np.isnan(columns) | ((columns >= 0) & (columns == np.floor(columns)))

    def encode(self, columns):
        beyond = columns[:, 0] - self.last
        tail = np.log(1 - self.ratio) + beyond * np.log(self.ratio)
        return np.minimum(columns, self.last), np.where(beyond >= 0, tail, 0.0)

    def decode(self, code, rng):
        tail = rng.geometric(1 - self.ratio, code.shape) - 1
        return code + np.where(code == self.last, tail, 0)

    def express(self, prediction):
        return EncodedPrediction(prediction, self)


SENSORS = (PositiveSensor(), CountSensor(), ContinuousSensor(2, "place"))


def rows_of(n, seed=0, missing=0.1):
    rng = np.random.default_rng(seed)
    level = np.sin(np.arange(n) / 5)
    rows = np.column_stack(
        [
            np.exp(level + 0.2 * rng.standard_normal(n)),
            rng.poisson(np.exp(1 + level)),
            level + 0.1 * rng.standard_normal(n),
            rng.standard_normal(n),
        ]
    )
    rows[rng.random(n) < missing, 0] = np.nan
    rows[rng.random(n) < missing, 1] = np.nan
    return rows


@pytest.fixture(scope="module")
def brain():
    out = StreamBrain(SENSORS, **SMALL, warmup=50, random_state=0)
    out.run(rows_of(600))
    return out


@pytest.mark.parametrize("n", [20, 300])
def test_surprise_is_what_was_predicted(n):
    """In the warm-up and after it."""
    brain = StreamBrain(SENSORS, **SMALL, warmup=50, random_state=0)
    rows = rows_of(n + 30)
    brain.run(rows[:n])
    for row in rows[n:]:
        expected, known = {}, np.full(len(row), np.nan)
        for p in places(SENSORS):
            if not np.isnan(row[p.columns]).any():
                expected |= {p.sensor.name: brain.predict(known)[p.sensor.name]}
            known[p.columns] = row[p.columns]
        surprise = brain.run(row[None]).surprise[0]
        for s, p in enumerate(places(SENSORS)):
            x = row[p.columns]
            if np.isnan(x[0]):
                assert np.isnan(surprise[s])
            else:
                density = np.sum(expected[p.sensor.name].log_prob(x))
                np.testing.assert_allclose(surprise[s], -density, rtol=1e-9)


def test_densities_and_masses_are_normalised(brain):
    expected = brain.predict()
    amount = expected["amount"]
    nodes, weights = np.polynomial.legendre.leggauss(20)
    ends = np.linspace(-12, 12, 2001)  # of logarithms: the density has narrow components
    code = (ends[1:] + ends[:-1])[:, None] / 2 + np.diff(ends)[:, None] / 2 * nodes
    density = np.exp(amount.log_prob(np.exp(code).ravel())).reshape(code.shape) * np.exp(code)
    assert abs((density @ weights) @ (np.diff(ends) / 2) - 1) < 1e-5
    assert abs(np.exp(expected["count"].log_prob(np.arange(200))).sum() - 1) < 1e-12
    assert abs(expected["count"].probabilities.sum() - 1) < 1e-12


def test_samples_and_quantiles_are_those_of_the_columns(brain):
    amount, rng = brain.predict()["amount"], np.random.default_rng(0)
    drawn = amount.sample(4000, rng)
    assert drawn.shape == (4000, 1)
    code = amount.code
    assert kstest(code.cdf(np.log(drawn[:, 0])), "uniform").pvalue > 1e-3
    median = amount.quantile(np.array([0.5]))
    assert abs((drawn < median).mean() - 0.5) < 0.05
    np.testing.assert_allclose(amount.mean, drawn.mean(axis=0), rtol=0.1)
    assert amount.std[0] > 0
    counts = brain.predict()["count"].sample(4000, rng)[:, 0]
    mass = np.exp(brain.predict()["count"].log_prob(np.arange(12)))
    np.testing.assert_allclose(np.bincount(counts.astype(int))[:4] / 4000, mass[:4], atol=0.05)


def test_what_it_dreams_can_be_presented(brain):
    dream = brain.dream(200, random_state=1)
    check_rows(dream, SENSORS)
    assert dream[:, 0].min() > 0
    np.testing.assert_array_equal(dream, brain.dream(200, random_state=1))
    assert brain.observe({"amount": 2.0, "count": 7}, learn=False) > 0


def test_it_learns_and_says_so_in_units_of_the_columns():
    """Shifted logarithms: amounts in other units have other densities and the same calibration."""
    rows = rows_of(2000, missing=0)[:, :1]
    one = StreamBrain(PositiveSensor(), **SMALL, random_state=0).run(rows)
    other = StreamBrain(PositiveSensor(), **SMALL, random_state=0).run(100 * rows)
    difference = other.surprise[500:] - one.surprise[500:]
    np.testing.assert_allclose(difference, np.log(100), atol=1e-6)
    spread = np.log(rows[1500:]).std()
    independent = np.log(spread) + 0.5 * np.log(2 * np.pi * np.e) + np.log(rows[1500:]).mean()
    assert one.total[1500:].mean() < independent - 0.5
    assert kstest(one.pit[1500:, 0], "uniform").pvalue > 1e-3


def test_a_saved_brain_goes_on_to_the_last_bit(brain, tmp_path):
    brain.save(tmp_path / "own.h5")
    loaded = StreamBrain.load(tmp_path / "own.h5")
    assert loaded.sensors == SENSORS
    rows = rows_of(50, seed=3)
    np.testing.assert_array_equal(loaded.run(rows).surprise, brain.copy().run(rows).surprise)
    # Another process that has not imported the class runs nothing because a file says so.
    code = f"import neurolp; neurolp.StreamBrain.load({str(tmp_path / 'own.h5')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "import tests.stream.test_sensors first" in done.stderr.splitlines()[-1]


def test_classes_that_are_no_sensors_are_not_called(brain, tmp_path, monkeypatch):
    sensors = '[{"class": "subprocess:Popen", "fields": {"args": ["true"]}}]'
    monkeypatch.setattr("neurolp.estimators.stream_files.sensors_to_json", lambda _: sensors)
    brain.save(tmp_path / "bad.h5")
    with pytest.raises(
        FormatError, match="the class 'Popen' is not for argument `sensors`: it has no name"
    ):
        StreamBrain.load(tmp_path / "bad.h5")


def test_what_cannot_be_made_again_cannot_be_stored(tmp_path):
    class Other(PositiveSensor):
        def __init__(self):
            object.__setattr__(self, "name", object())

    brain = StreamBrain(Other(), **SMALL)
    with pytest.raises(OutputError, match=r"^cannot save argument `sensors` = Other: [^\n]*$"):
        brain.save(tmp_path / "other.h5")


def test_wrong_entries_are_named():
    with pytest.raises(DataError, match="must hold a positive number or NaN for sensor 'amount'"):
        StreamBrain(PositiveSensor(), **SMALL).run([1.0, -1.0])
    brain = StreamBrain(PositiveSensor(), **SMALL)
    with pytest.raises(DataError, match="but step 1 holds -1"):
        brain.run([1.0, -1.0])


def test_files_and_streams_take_them(tmp_path):
    rows = rows_of(40)
    path = tmp_path / "own.csv"
    lines = (",".join("" if np.isnan(x) else repr(float(x)) for x in row) for row in rows)
    path.write_text("\n".join(["amount,count,x,y", *lines]) + "\n")
    stream = open_stream(path, sensors=SENSORS)
    np.testing.assert_array_equal(stream.read(40), rows)
    path.write_text("amount\n1\n0\n")
    with pytest.raises(DataError, match="line 3: wanted a positive number or NaN, but found 0"):
        open_stream(path, sensors=PositiveSensor())
    assert Stream("own", SENSORS, lambda start: iter(())).n_columns == 4


def test_codes_are_missing_where_columns_are():
    rows = rows_of(50)
    codes, log_factor = encode_rows(rows, SENSORS)
    np.testing.assert_array_equal(np.isnan(codes), np.isnan(rows))
    assert log_factor.shape == (50, 3)
    assert (codes[~np.isnan(codes[:, 1]), 1] <= 4).all()


def test_a_free_run_takes_the_columns_of_the_most_probable_code():
    brain = StreamBrain(CountSensor(name="a"), **SMALL)
    brain.run(np.tile([1.0, 3.0, 2.0], 60))
    np.testing.assert_array_equal(brain.dream(9, sampled=False)[:, 0], np.tile([1, 3, 2], 3))


def test_a_free_run_needs_a_mean_of_predictions_of_ones_own():
    class Meanless:
        def log_prob(self, x):
            return np.zeros(1)

        def sample(self, n, rng):
            return np.zeros(n)

    class Plain(PositiveSensor):
        def express(self, prediction):
            return Meanless()

    brain = StreamBrain(Plain(), **SMALL)
    brain.run(np.tile([1.0, 3.0, 2.0], 60))
    assert brain.predict()["amount"].sample(2, None).shape == (2,)
    with pytest.raises(DataError, match="a Meanless has no `mean`: a free run needs one"):
        brain.dream(1, sampled=False)
