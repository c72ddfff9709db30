"""Random sequences of what one can do to a StreamBrain; invariants are checked after each."""

import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scipy import sparse

from neurolp import (
    Activity,
    CategoricalSensor,
    ContinuousSensor,
    DataError,
    Predictions,
    StreamBrain,
    Weights,
)
from neurolp.data.streams.rows import rows_to_frame
from neurolp.stream.labels import column_values
from neurolp.stream.prediction import SymbolPrediction
from neurolp.stream.sensors import symbol_labels

N = 8
SENSORS = {
    "value": (ContinuousSensor(),),
    "vector": (ContinuousSensor(2, "pair"), ContinuousSensor(1, "one", 0.0, 1.0)),
    "symbol": (CategoricalSensor(3),),
    "both": (CategoricalSensor(4), ContinuousSensor()),
    "values": (ContinuousSensor(), ContinuousSensor(2, "pair"), ContinuousSensor(1, "last")),
    "labels": (
        CategoricalSensor(["b", "a"], "key"),
        ContinuousSensor(),
        CategoricalSensor([5, -1, 2]),
    ),
}


def place_of(sensor, number):
    """Which of its symbols a number in a row stands for."""
    return list(column_values(symbol_labels(sensor))).index(number)


KINDS = ("normal", "repeated", "outlier", "walk", "whole")


class BenchSequences(RuleBasedStateMachine):
    """A brain, and a copy that was saved and loaded and must go on in the same way."""

    @initialize(
        sensors=st.sampled_from(sorted(SENSORS)),
        connectivity=st.sampled_from(["none", "full", "sparse", "given"]),
        learning=st.sampled_from(["rls", "diagonal_rls", "nlms"]),
        experts=st.booleans(),
        warmup=st.sampled_from([2, 8, 30]),
        given=st.booleans(),
        seed=st.integers(0, 10**6),
    )
    def begin(self, sensors, connectivity, learning, experts, warmup, given, seed):
        self.rng = np.random.default_rng(seed)
        self.sensors = SENSORS[sensors]
        edges = sparse.csr_array(self.rng.random((N, N)) * (1 - np.eye(N)) > 0.6)
        weights = self.rng.standard_normal((N, N)) * (1 - np.eye(N))
        n_outputs = sum(s.n_symbols or s.n_columns for s in self.sensors)
        self.brain = StreamBrain(
            self.sensors, n_hidden=N, n_lags=2, max_order=2, n_contexts=64, rule=learning,
            connectivity={"sparse": edges, "given": weights}.get(connectivity, connectivity),
            input_weights=self.rng.standard_normal((N, n_outputs)) if given else None,
            experts=experts, warmup=warmup, recurrent_rate=0.1, random_state=seed,
        )  # fmt: skip
        self.dead = set()

    def rows(self, n, kind):
        """Rows of all sensors; each is missing now and then."""
        columns = []
        for sensor in self.sensors:
            if sensor.n_symbols:
                symbols = column_values(symbol_labels(sensor))
                part = symbols[self.rng.integers(0, sensor.n_symbols, (n, 1))]
            else:
                part = self.rng.standard_normal((n, sensor.n_columns))
                if kind == "repeated":
                    part[:] = part[:1]
                elif kind == "outlier":
                    part[n // 2] *= 1e9
                elif kind == "walk":
                    part = np.cumsum(part, axis=0)
                elif kind == "whole":
                    part = np.round(part)
            part[self.rng.random(n) < 0.1] = np.nan
            columns.append(part)
        return np.hstack(columns)

    @rule(n=st.integers(1, 60), kind=st.sampled_from(KINDS), learn=st.booleans())
    def run_rows(self, n, kind, learn):
        result = self.brain.run(self.rows(n, kind), learn=learn, predictions=n < 5)
        assert np.isfinite(result.total).all()
        known = result.pit[~np.isnan(result.pit)]
        assert np.all((known >= 0) & (known <= 1 + 1e-12))

    @rule(n=st.integers(1, 20))
    def frames_go_by_names_and_monitors_change_nothing(self, n):
        rows, plain, watched = self.rows(n, "normal"), self.brain.copy(), self.brain.copy()
        frame = rows_to_frame(rows, self.sensors)
        expected = plain.run(rows).surprise
        monitors = [Activity(every=3), Weights("readout"), Predictions(every=7)]
        result = watched.run(frame[list(frame)[::-1]], monitors=monitors)
        np.testing.assert_array_equal(result.surprise, expected)
        assert len(result.monitors["activity"]) == n // 3
        np.testing.assert_array_equal(result.monitors["readout"][-1], plain.weights["readout"])

    @rule(data=st.data())
    def inject(self, data):
        nodes = data.draw(st.lists(st.integers(0, N - 1), min_size=1, unique=True))
        current = self.rng.standard_normal((5, len(nodes)))
        result = self.brain.run(self.rows(5, "normal"), inject={"nodes": nodes, "current": current})
        assert np.isfinite(result.total).all()

    @rule(node=st.integers(0, N - 1))
    def take_a_node(self, node):
        self.brain.lesion(nodes=[node])
        self.dead.add(node)

    @rule()
    def take_edges(self):
        recurrent = self.brain.weights.get("recurrent")
        if recurrent is None:
            return
        dense = recurrent.toarray() if sparse.issparse(recurrent) else recurrent
        there = np.argwhere(dense != 0)
        if len(there):
            self.brain.lesion(edges=there[:3])

    @rule(
        name=st.sampled_from(["readout", "recurrent", "afferent", "chain"]), factor=st.floats(-1, 1)
    )
    def assign_weights(self, name, factor):
        weights = self.brain.weights
        if name in weights:
            weights[name] = factor * weights[name]

    @rule()
    def assign_activity(self):
        activity = self.rng.uniform(-1, 1, N)
        activity[list(self.dead)] = 0.0
        self.brain.activity = activity

    @rule()
    def reset(self):
        self.brain.reset()
        assert not self.brain.activity.any()

    @rule(rate=st.floats(0, 1), learn=st.booleans())
    def set_params(self, rate, learn):
        self.brain.set_params(
            recurrent_rate=rate, homeostasis=0.1 * rate, process_noise=0.01 * rate
        )
        self.brain.set_params(train_connectivity=learn, train_input_weights=not learn)

    @rule(n=st.integers(1, 3))
    def dream(self, n):
        before = self.brain.state()
        with suppress(DataError):  # no units are known
            assert self.brain.dream(n, random_state=0).shape == (n, self.brain.n_columns)
        after = self.brain.state()
        changed = [name for name in before if not np.array_equal(before[name], after[name], True)]
        # What a step leaves to the next may be done already.
        allowed = ("readout_", "senses_seen")
        assert not [name for name in changed if not name.startswith(allowed)]

    @rule()
    def predictions_are_normalised(self):
        for prediction in self.brain.predict().values():
            if isinstance(prediction, SymbolPrediction):
                assert abs(prediction.probabilities.sum() - 1) < 1e-9
                assert prediction.probabilities.min() >= 0
            else:
                weight, scale = prediction.component[..., 1], prediction.component[..., 3]
                np.testing.assert_allclose(weight.sum(axis=1), 1, rtol=1e-9)
                assert weight.min() >= 0
                assert scale.min() > 0

    @rule()
    def one_row(self):
        row = self.rows(1, "normal")[0]
        score = self.brain.score_one(row)
        assert self.brain.observe(row) == score

    @rule(kind=st.sampled_from(KINDS))
    def a_row_is_the_product_of_its_sensors_each_given_those_before(self, kind):
        row, total = self.rows(1, kind)[0], 0.0
        known, stop = np.full(len(row), np.nan), 0
        for sensor in self.sensors:
            start, stop = stop, stop + sensor.n_columns
            if not np.isnan(row[start]):
                prediction = self.brain.predict(known)[sensor.name]
                x = row[start:stop]
                if sensor.n_symbols:
                    total -= float(np.log(prediction.probabilities[place_of(sensor, x[0])]))
                else:
                    total -= float(np.sum(prediction.log_prob(x)))
            known[start:stop] = row[start:stop]
        np.testing.assert_allclose(self.brain.score_one(row), total, rtol=1e-6, atol=1e-8)

    @rule()
    def what_is_saved_goes_on_in_the_same_way(self):
        with tempfile.TemporaryDirectory() as folder:
            self.brain.save(Path(folder) / "brain.h5")
            loaded = StreamBrain.load(Path(folder) / "brain.h5")
        rows = self.rows(20, "normal")
        copy = self.brain.copy()
        np.testing.assert_array_equal(loaded.run(rows).total, copy.run(rows).total)

    @invariant()
    def all_numbers_are_finite_and_the_dead_are_silent(self):
        if hasattr(self, "brain"):
            assert self.brain.fault() is None
            assert not self.brain.activity[list(self.dead)].any()
