"""Monitors of a stream: surprise of steps and windows, predictions, activity, weights, last rows.

At time t the brain has observed the rows 0 .. t - 1. A sample at time t is of its prediction of row
t, of the activity of its hidden nodes, of its weights. Memory does not grow with the stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, NamedArrays
from neurolp.errors import ConfigurationError
from neurolp.simulation.memory_store import Store
from neurolp.simulation.monitors import Monitor
from neurolp.simulation.schedule import Schedule
from neurolp.simulation.stream import StreamObservation, StreamProcess
from neurolp.simulation.windows import N_PIT_BINS, Window
from neurolp.stream.nodes import HiddenNodes
from neurolp.stream.sensors import places

Interval = tuple[int, int]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_N_SAMPLES = 400

# Weights of a brain: dimensions if they are dense, and what they are.
_WEIGHTS = {
    "readout": (("output", "feature"), "from features to outputs"),
    "recurrent": (("hidden", "hidden_source"), "from hidden nodes to hidden nodes"),
    "afferent": (("hidden", "input"), "from features to hidden nodes"),
    "chain": (("output", "earlier_output"), "from outputs of the sensors before in the row"),
}


@final
class StepMonitor(Monitor):
    """``surprise`` (step, sensor) of every step, and ``true_surprise`` (step) where it is known."""

    def begin(self, process: StreamProcess, store: Store) -> None:
        """Declare the variables."""
        self._store = store
        store.declare_dimension("step", "i8", "step", "rows of the stream, counted from 0")
        what = "-log Phi(x_t | past) of every step; NaN where nothing was observed"
        shape = (len(process.stream.sensors),)
        store.declare("surprise", ("step", "sensor"), shape, "f4", "nat", what)
        if process.stream.has_truth:
            what = "-log p(x_t | past) of every step, all sensors together"
            store.declare("true_surprise", ("step",), (), "f4", "nat", what)

    def observe(self, observation: StreamObservation) -> None:
        """Append the steps."""
        first = observation.time
        self._store.append("step", np.arange(first, first + len(observation.rows)))
        self._store.append("surprise", observation.surprise)
        if observation.truth is not None:
            self._store.append("true_surprise", observation.truth)


@final
class WindowMonitor(Monitor):
    """Means over windows of ``every`` steps: of surprise, of what was observed, of calibration."""

    _window: Window

    def __init__(self, every: int) -> None:
        self._every = every

    def begin(self, process: StreamProcess, store: Store) -> None:
        """Declare the variables, whose first dimension is ``window``."""
        self._store, stream = store, process.stream
        self._places = where = places(stream.sensors)
        n_values, n_outputs = where[-1].values.stop, where[-1].outputs.stop
        if not hasattr(self, "_window"):
            self._reference = np.full(stream.n_columns, np.nan)
            self._window = Window(where, self._reference)
        what = "steps observed at the end of a window"
        store.declare_dimension("window", "i8", "step", what)
        store.declare("window_steps", ("window",), (), "i8", "step", "its length")
        for name, dim, size, dtype, units, what in (
            ("window_observed", "sensor", len(where), "i8", "step", "steps with an observation"),
            ("mean_surprise", "sensor", len(where), "f8", "nat", "mean surprise at these steps"),
            ("input_mean", "output", n_outputs, "f8", "data",
             "mean of a value, frequency of a symbol"),
            ("input_variance", "output", n_outputs, "f8", "data^2",
             "variance of a value or of the occurrence of a symbol"),
        ):  # fmt: skip
            store.declare(name, ("window", dim), (size,), dtype, units, what)
        self._has_truth = stream.has_truth
        if stream.has_truth:
            what = "mean true surprise, all sensors together"
            store.declare("mean_true_surprise", ("window",), (), "f8", "nat", what)
        if n_values:
            shape, what = (n_values, N_PIT_BINS), "histogram of F(x_t | past)"
            store.declare("pit_counts", ("window", "value", "pit_bin"), shape, "i4", "step", what)

    def observe(self, observation: StreamObservation) -> None:
        """Add the steps, and append the windows that they complete."""
        o, start = observation, 0
        while start < len(o.rows):
            n = self._every - self._window.n_steps
            part = slice(start, min(start + n, len(o.rows)))
            truth = None if o.truth is None else o.truth[part]
            self._window.add(o.rows[part], o.surprise[part], o.pit[part], truth)
            start = part.stop
            if self._window.n_steps == self._every:
                self._close(o.time + start)

    def finish(self, process: StreamProcess) -> None:
        """Append the last window, however short."""
        if self._window.n_steps:
            self._close(process.time)

    def state(self) -> dict[str, Array]:
        """Sums of the window that is not complete."""
        own = {"n_steps": np.array([self._window.n_steps]), "reference": self._reference}
        return own | self._window.state()

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue from :meth:`state`."""
        self._reference[:] = arrays["reference"]
        self._window = Window(self._places, self._reference)
        self._window.restore(int(arrays["n_steps"][0]), arrays)

    def _close(self, time: int) -> None:
        store, window = self._store, self._window
        mean, variance = window.input_moments()
        store.append("window", [time])
        store.append("window_steps", [window.n_steps])
        store.append("window_observed", window.n_observed[None])
        store.append("mean_surprise", window.surprise[None])
        if self._has_truth:
            store.append("mean_true_surprise", [window.true_surprise])
        store.append("input_mean", mean[None])
        store.append("input_variance", variance[None])
        if window.pit_counts.size:
            store.append("pit_counts", window.pit_counts[None])
        self._window = Window(self._places, self._reference)


@final
class Predictions(Monitor):
    """What is predicted every so many steps, at chosen ones, and the row that is observed then.

    Parameters
    ----------
    every : int or None
        Steps between samples; None: only at those of ``at`` and ``interval``.
    at : sequence of int
        Steps at which to sample.
    interval : (int, int)
        Sample at all steps from the first to before the second.
    """

    def __init__(
        self, every: int | None = 1, *, at: Iterable[int] = (), interval: Interval = (0, 0)
    ) -> None:
        self.schedule = Schedule.of(every, at, interval)

    def begin(self, process: StreamProcess, store: Store) -> None:
        """Declare the variables, whose first dimension is ``predicted_step``."""
        self._store = store
        self._places = where = places(process.stream.sensors)
        n_values, n_outputs = where[-1].values.stop, where[-1].outputs.stop
        store.declare_dimension("predicted_step", "i8", "step", "the row that was predicted")
        for name, dim, size, what in (
            ("predicted", "output", n_outputs,
             "probability of a symbol, mean of a value, given the past"),
            ("observed", "column", process.stream.n_columns, "the row that was observed"),
            ("predicted_std", "value", n_values,
             "standard deviation of a value, given the past"),
        ):  # fmt: skip
            if size:
                store.declare(name, ("predicted_step", dim), (size,), "f8", "data", what)
        if n_values:
            dims, shape = ("predicted_step", "value", "probability"), (n_values, len(QUANTILES))
            what = "quantiles, given the past"
            store.declare("predicted_quantile", dims, shape, "f8", "data", what)

    def sample(self, process: StreamProcess) -> None:
        """Append the prediction of the next row, if there is one."""
        row = process.next_row
        if row is None:
            return
        expected = process.brain.predict()
        n_values, n_outputs = self._places[-1].values.stop, self._places[-1].outputs.stop
        predicted, std = np.empty(n_outputs), np.empty(n_values)
        quantiles = np.empty((n_values, len(QUANTILES)))
        for p in self._places:
            distribution = expected[p.sensor.name]
            if p.symbols:
                predicted[p.outputs] = distribution.probabilities
            else:
                predicted[p.outputs] = distribution.mean
                std[p.values] = distribution.std
                quantiles[p.values] = _quantiles(distribution, process.time)
        self._store.append("predicted_step", [process.time])
        self._store.append("predicted", predicted[None])
        self._store.append("observed", row[None])
        if n_values:
            self._store.append("predicted_std", std[None])
            self._store.append("predicted_quantile", quantiles[None])


@final
class Activity(Monitor):
    """``activity`` (activity_time, hidden), or (activity_time, activity_node) of some nodes.

    The sample at time t is the activity after row t - 1 and before row t: with ``every=1`` the k-th
    is that after row k, while ``run(activity=True).activity[k]`` is that before row k.

    Parameters
    ----------
    every, at, interval
        As of :class:`Predictions`.
    nodes : array of int or of names, or mask, optional
        Which hidden nodes; in their order in the brain. All by default.
    """

    def __init__(
        self,
        every: int | None = 1,
        *,
        at: Iterable[int] = (),
        interval: Interval = (0, 0),
        nodes: Any = None,
    ) -> None:
        self.schedule, self.nodes = Schedule.of(every, at, interval), nodes

    def begin(self, process: StreamProcess, store: Store) -> None:
        """Declare the variable, if there are hidden nodes.

        Raises
        ------
        ConfigurationError
            If the brain has no such nodes.
        """
        self._store, dim, n = store, "hidden", len(process.brain.activity)
        self._chosen: Any = slice(None)
        if self.nodes is not None:
            labels = process.brain.node_names
            self._chosen = HiddenNodes.of(labels).numbers(self.nodes, "nodes of monitor Activity")
            dim, n = "activity_node", len(self._chosen)
            named = np.array(labels)[self._chosen]
            store.declare_coordinate(dim, named, "1", "hidden node whose activity is recorded")
        if n:
            store.declare_dimension("activity_time", "i8", "step", "steps observed")
            what = "activity of the hidden nodes"
            store.declare("activity", ("activity_time", dim), (n,), "f4", "1", what)

    def sample(self, process: StreamProcess) -> None:
        """Append the activity."""
        activity = np.asarray(process.brain.activity)[self._chosen]
        if activity.size:
            self._store.append("activity_time", [process.time])
            self._store.append("activity", activity[None])


@final
class Weights(Monitor):
    """Weights every so many steps and at the end: "readout", "recurrent", "afferent", "chain".

    Those of ``names``, with a dimension of time of their own, ``NAME_time``; or all there are, with
    the dimension ``weights_time``. Of sparse ones the values of the edges.

    Parameters
    ----------
    names : str
        Which weights.
    every, at
        As of :class:`Predictions`.
    """

    def __init__(self, *names: str, every: int | None = None, at: Iterable[int] = ()) -> None:
        if unknown := [name for name in names if name not in _WEIGHTS]:
            raise ConfigurationError(
                f"argument `names` must be among {list(_WEIGHTS)}, but has {unknown[0]!r}"
            )
        self.names = names
        self.schedule = Schedule.of(every, at)

    def begin(self, process: StreamProcess, store: Store) -> None:
        """Declare the variables.

        Raises
        ------
        ConfigurationError
            If the brain has no weights of a name.
        """
        self._store = store
        there = _arrays(process)
        if absent := [name for name in self.names if name not in there]:
            raise ConfigurationError(
                f"monitor Weights asks for {absent[0]!r}, but the brain has {list(there)}"
            )
        self._chosen = tuple(self.names or there)
        for name in self._chosen:
            w, (dense, what) = there[name], _WEIGHTS[name]
            dims = dense if w.ndim == len(dense) else (f"{name}_edge",)
            store.declare_dimension(self._time(name), "i8", "step", "steps observed")
            what = f"weights {what}"
            store.declare(name, (self._time(name), *dims), w.shape, w.dtype.str, "1", what)

    def sample(self, process: StreamProcess) -> None:
        """Append the weights."""
        for time in dict.fromkeys(map(self._time, self._chosen)):
            self._store.append(time, [process.time])
        for name, w in _arrays(process).items():
            if name in self._chosen:
                self._store.append(name, w[None])

    def _time(self, name: str) -> str:
        return f"{name}_time" if self.names else "weights_time"

    def finish(self, process: StreamProcess) -> None:
        """Append the weights at the end."""
        self.sample_once(process)


@final
class LastRowsMonitor(Monitor):
    """The last ``n`` rows that were observed; they are in no store, see :meth:`to_arrays`."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.rows: Array = np.empty((0, 0))

    def begin(self, process: StreamProcess, store: Store) -> None:
        """Begin without rows, or keep those there are."""
        if not self.rows.size:
            self.rows = np.empty((0, process.stream.n_columns))

    def observe(self, observation: StreamObservation) -> None:
        """Keep the last rows."""
        if self._n:
            self.rows = np.concatenate([self.rows, observation.rows[-self._n :]])[-self._n :].copy()

    def state(self) -> dict[str, Array]:
        """The rows."""
        return {"rows": self.rows}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Continue from :meth:`state`."""
        self.rows = arrays["rows"]

    def to_arrays(self, out: NamedArrays, time: int, dream: Array) -> None:
        """Add ``last_rows`` before ``time``, and ``dream``, rows that the brain dreams then."""
        for name, dim, rows, first, what in (
            ("dream", "dream_step", dream, time,
             "samples of the predictions, each observed before the next is predicted"),
            ("last_rows", "last_step", self.rows, time - len(self.rows), "last observed rows"),
        ):  # fmt: skip
            if len(rows):
                steps = np.arange(first, first + len(rows))
                out.add_coordinate(dim, steps, "step", "rows, counted from 0")
                out.add(name, (dim, "column"), rows, "data", what)


def _arrays(process: StreamProcess) -> dict[str, Array]:
    """Weights that there are; of sparse ones the values of the edges."""
    weights = {
        name: np.asarray(w.data if sparse.issparse(w) else w)
        for name, w in process.brain.weights.items()
    }
    return {name: w for name, w in weights.items() if w.size}


def _quantiles(distribution: Any, seed: int) -> Array:
    """Quantiles of every value by itself (n_values, n): exact of one, from samples of several.

    What a prediction of several values can say exactly are quantiles of each given those before it.
    """
    if len(distribution.mean) == 1:
        return np.asarray(distribution.quantile(np.array(QUANTILES)))[None]
    drawn = distribution.sample(_N_SAMPLES, np.random.default_rng(seed))
    return np.asarray(np.quantile(drawn, QUANTILES, axis=0).T)
