"""What is kept of a stream simulation, at any length in constant memory.

Three clocks: *steps* (one row each), *windows* (means over ``every`` steps), and *looks* at the
brain at chosen times. At time t it has seen t steps, the rows 0 .. t - 1; what is looked at then is
its prediction of row t, the activity of its hidden nodes, its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neurolp.arrays import NamedArrays
from neurolp.data.streams.source import Stream
from neurolp.simulation.schedule import RecordPlan
from neurolp.simulation.windows import N_PIT_BINS, Window
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore
from neurolp.stream.sensors import places

Array = npt.NDArray[Any]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_N_SAMPLES = 400
_STATE = "state_recorder"

# Weights of a brain: dimensions if they are dense, and what they are.
_WEIGHTS = {
    "readout": (("output", "feature"), "from features to outputs"),
    "recurrent": (("hidden", "hidden_source"), "from hidden nodes to hidden nodes"),
    "afferent": (("hidden", "input"), "from features to hidden nodes"),
}


class Observable(Protocol):
    """What can be looked at."""

    @property
    def activity(self) -> Array:
        """Activity of the hidden nodes (n_hidden,)."""

    @property
    def weights(self) -> Mapping[str, Any]:
        """Dense arrays, or CSR."""

    def predict(self) -> Mapping[str, Any]:
        """Return the distribution of what comes next, by sensor."""


class StreamRecorder:
    """Appends to a file what a simulation of a stream does."""

    def __init__(self, file: RunStore, stream: Stream, plan: RecordPlan) -> None:
        self._file, self._plan = file, plan
        self._places = places(stream.sensors)
        self._has_truth, self._n_columns = stream.has_truth, stream.n_columns
        self._n_outputs = self._places[-1].outputs.stop
        self._n_values = self._places[-1].values.stop
        self._window: Window | None = None
        self._reference = np.full(stream.n_columns, np.nan)
        self._last_rows = np.empty((0, stream.n_columns))
        self._weights_at = -1
        self.n_steps = 0
        self.recent = math.nan  # mean surprise of the last complete window, all sensors together
        self._declare()

    # --- what the loop calls ----------------------------------------------------------------------

    def look(self, t: int, brain: Observable, row: Array) -> None:
        """Record what was asked for at time ``t``; ``row`` is about to come."""
        if t in self._plan.predictions:
            self._record_prediction(t, brain, row)
        if t in self._plan.activity:
            self._record_activity(t, brain)
        if t in self._plan.weights:
            self._record_weights(t, brain)

    def next_look(self, t: int) -> float:
        """The first time after ``t`` at which :meth:`look` has to be called."""
        return self._plan.after(t)

    def add(self, rows: Array, surprise: Array, pit: Array, truth: Array | None) -> None:
        """Record steps: rows, surprise (n, n_sensors), PIT (n, n_values), true surprise (n,)."""
        if not len(rows):
            return
        if self._plan.per_step:
            self._file.append("step", np.arange(self.n_steps, self.n_steps + len(rows)))
            self._file.append("surprise", surprise)
            if truth is not None:
                self._file.append("true_surprise", truth)
        if self._plan.last_rows:
            joined = np.concatenate([self._last_rows, rows[-self._plan.last_rows :]])
            self._last_rows = joined[-self._plan.last_rows :].copy()
        while len(rows):
            if self._window is None:
                self._window = Window(self._places, self._reference)
            n = min(len(rows), self._plan.every - self._window.n_steps)
            self._window.add(rows[:n], surprise[:n], pit[:n], None if truth is None else truth[:n])
            self.n_steps += n
            rows, surprise, pit = rows[n:], surprise[n:], pit[n:]
            truth = None if truth is None else truth[n:]
            if self._window.n_steps == self._plan.every:
                self.recent = self._window.total_surprise
                self._close_window(self._window)
            elif self.n_steps < self._plan.every:
                self.recent = self._window.total_surprise

    def finish(self, brain: Observable, contents: NamedArrays, dream: Array) -> None:
        """Close the last window, look once more, and write everything else."""
        if self._window is not None:
            self._close_window(self._window)
        if self.n_steps in self._plan.activity:
            self._record_activity(self.n_steps, brain)
        self._record_weights(self.n_steps, brain)
        self._add_rows(contents, dream)
        self._file.finish(contents)

    def pack(self, out: NamedArrays) -> None:
        """Add all that the recorder knows, but what it has appended, to a checkpoint."""
        window = self._window
        out.attributes["recorder"] = {
            "n_steps": self.n_steps,
            "weights_at": self._weights_at,
            "recent": self.recent,
            "window_steps": window.n_steps if window else 0,
        }
        arrays = {"reference": self._reference, "last_rows": self._last_rows}
        out.add_group(_STATE, arrays | (window.state() if window else {}), "state of the recorder")

    def unpack(self, file: Trajectory) -> None:
        """Go on from a checkpoint."""
        known = file.attributes("recorder")
        self.n_steps, self._weights_at = int(known["n_steps"]), int(known["weights_at"])
        self.recent = float(known["recent"])
        arrays = file.read_group(_STATE)
        self._reference[:] = arrays.pop("reference")
        self._last_rows = arrays.pop("last_rows")
        self._window = None
        if known["window_steps"]:
            self._window = Window(self._places, self._reference)
            self._window.restore(int(known["window_steps"]), arrays)

    # --- windows and looks ------------------------------------------------------------------------

    def _close_window(self, window: Window) -> None:
        mean, variance = window.input_moments()
        file = self._file
        file.append("window", [self.n_steps])
        file.append("window_steps", [window.n_steps])
        file.append("window_observed", window.n_observed[None])
        file.append("mean_surprise", window.surprise[None])
        if self._has_truth:
            file.append("mean_true_surprise", [window.true_surprise])
        file.append("input_mean", mean[None])
        file.append("input_variance", variance[None])
        if self._n_values:
            file.append("pit_counts", window.pit_counts[None])
        self._window = None

    def _record_prediction(self, t: int, brain: Observable, row: Array) -> None:
        expected = brain.predict()
        predicted, std = np.empty(self._n_outputs), np.empty(self._n_values)
        quantiles = np.empty((self._n_values, len(QUANTILES)))
        for p in self._places:
            distribution = expected[p.sensor.name]
            if p.symbols:
                predicted[p.outputs] = distribution.probabilities
            else:
                predicted[p.outputs] = distribution.mean
                std[p.values] = distribution.std
                quantiles[p.values] = _quantiles(distribution, t)
        self._file.append("predicted_step", [t])
        self._file.append("predicted", predicted[None])
        self._file.append("observed", row[None])
        if self._n_values:
            self._file.append("predicted_std", std[None])
            self._file.append("predicted_quantile", quantiles[None])

    def _record_activity(self, t: int, brain: Observable) -> None:
        activity = np.asarray(brain.activity)
        if not activity.size:
            return
        if not self._file.has("activity"):
            self._file.declare_dimension("activity_time", "i8", "step", "steps seen")
            self._file.declare(
                "activity", ("activity_time", "hidden"), activity.shape, "f4", "1",
                "activity of the hidden nodes",
            )  # fmt: skip
        self._file.append("activity_time", [t])
        self._file.append("activity", activity[None])

    def _record_weights(self, t: int, brain: Observable) -> None:
        if self._weights_at == t:
            return
        self._weights_at = t
        weights = {
            name: np.asarray(w.data if sparse.issparse(w) else w)
            for name, w in brain.weights.items()
        }
        weights = {name: w for name, w in weights.items() if w.size}
        for name, w in weights.items():
            if not self._file.has(name):
                dense, what = _WEIGHTS[name]
                dims = dense if w.ndim == len(dense) else (f"{name}_edge",)
                if not self._file.has("weights_time"):
                    self._file.declare_dimension("weights_time", "i8", "step", "steps seen")
                self._file.declare(
                    name, ("weights_time", *dims), w.shape, w.dtype.str, "1", f"weights {what}"
                )
            self._file.append(name, w[None])
        if weights:
            self._file.append("weights_time", [t])

    # --- what is in the file ----------------------------------------------------------------------

    def _declare(self) -> None:
        file, n_sensors, n_values = self._file, len(self._places), self._n_values
        if self._plan.per_step:
            file.declare_dimension("step", "i8", "step", "rows of the stream, counted from 0")
            file.declare(
                "surprise", ("step", "sensor"), (n_sensors,), "f4", "nat",
                "-log p(x_t | past) of each step; NaN where a sensor is missing",
            )  # fmt: skip
            if self._has_truth:
                what = "-log p(x_t | past) of every step, all sensors together"
                file.declare("true_surprise", ("step",), (), "f4", "nat", what)
        file.declare_dimension("window", "i8", "step", "steps seen at the end of a window")
        file.declare("window_steps", ("window",), (), "i8", "step", "its length")
        for name, dim, size, dtype, units, what in (
            ("window_observed", "sensor", n_sensors, "i8", "step", "steps with an observation"),
            ("mean_surprise", "sensor", n_sensors, "f8", "nat", "mean surprise at these steps"),
            ("input_mean", "output", self._n_outputs, "f8", "data",
             "mean of a value, frequency of a symbol"),
            ("input_variance", "output", self._n_outputs, "f8", "data^2",
             "variance of a value or of the occurrence of a symbol"),
        ):  # fmt: skip
            file.declare(name, ("window", dim), (size,), dtype, units, what)
        if self._has_truth:
            what = "mean true surprise, all sensors together"
            file.declare("mean_true_surprise", ("window",), (), "f8", "nat", what)
        if n_values:
            file.declare(
                "pit_counts", ("window", "value", "pit_bin"), (n_values, N_PIT_BINS), "i4",
                "step", "histogram of F(x_t | past)",
            )  # fmt: skip
        if self._plan.predictions:
            file.declare_dimension("predicted_step", "i8", "step", "the row that was predicted")
            for name, dim, size, units, what in (
                ("predicted", "output", self._n_outputs, "data",
                 "probability of a symbol, mean of a value, given the past"),
                ("observed", "column", self._n_columns, "data", "the row that was observed"),
            ):  # fmt: skip
                file.declare(name, ("predicted_step", dim), (size,), "f8", units, what)
            if n_values:
                file.declare(
                    "predicted_std", ("predicted_step", "value"), (n_values,), "f8", "data",
                    "standard deviation of a value, given the past",
                )  # fmt: skip
                file.declare(
                    "predicted_quantile", ("predicted_step", "value", "probability"),
                    (n_values, len(QUANTILES)), "f8", "data", "quantiles, given the past",
                )  # fmt: skip

    def _add_rows(self, contents: NamedArrays, dream: Array) -> None:
        for name, dim, rows, first, what in (
            ("dream", "dream_step", dream, self.n_steps,
             "samples of the predictions, each the input of the next"),
            ("last_rows", "last_step", self._last_rows, self.n_steps - len(self._last_rows),
             "last observed rows"),
        ):  # fmt: skip
            if len(rows):
                steps = np.arange(first, first + len(rows))
                contents.add_coordinate(dim, steps, "step", "rows, counted from 0")
                contents.add(name, (dim, "column"), rows, "data", what)


def _quantiles(distribution: Any, seed: int) -> Array:
    """Quantiles of every value by itself (n_values, n): exact of one, from samples of several.

    What a prediction of several values can say exactly are quantiles of each given those before it.
    """
    if len(distribution.mean) == 1:
        return np.asarray(distribution.quantile(np.array(QUANTILES)))[None]
    drawn = distribution.sample(_N_SAMPLES, np.random.default_rng(seed))
    return np.asarray(np.quantile(drawn, QUANTILES, axis=0).T)
