"""A brain in a stream: it expects what comes next, is surprised, and learns, step by step."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.brain.seeds import generator
from neurolp.errors import DataError, DivergedError
from neurolp.estimators.parameters import Count, StreamParameters, check_parameters, check_value
from neurolp.estimators.validation import resolve_seed
from neurolp.kernels.stream import stream_block
from neurolp.kernels.stream_state import scratch_for
from neurolp.simulation.archive.stream import copy_of, pack_state, pack_stream, unpack_stream
from neurolp.storage.provenance import provenance
from neurolp.storage.reader import Trajectory, open_trajectory
from neurolp.storage.writer import write_trajectory
from neurolp.stream.faults import first_fault, is_finite
from neurolp.stream.network import Rule, StreamDesign, StreamState, draw
from neurolp.stream.prediction import Prediction, SymbolPrediction, ValuePrediction
from neurolp.stream.run import Notes, StreamRun
from neurolp.stream.sensors import CategoricalSensor, Sensor, check_rows, check_sensors, row_of
from neurolp.stream.warmup import columns_without_units, first_prediction, fix_units
from neurolp.stream.weights import feature_names, output_names, weights_of

Array = npt.NDArray[Any]


@final
class StreamBrain:
    """A brain that learns from a stream: at every step it predicts, is surprised, and learns.

        Phi(x_t | memory),   memory z = (1, x_(t-1) .. x_(t-delays), hidden activity h),
        u = W h + V z + b,   h <- h + leak (tanh(u) - h)

    Symbols are predicted by a softmax, values by a triangular chain of monotone maps (a linear
    mean, residuals of any shape): each is normalised for every state of the memory, exactly. All
    rules are local. The readout learns from its own errors; hidden nodes from errors that come back
    along the weights of the readout, times their own slope and what each synapse just heard; cells
    that fire for the last few symbols count what follows.

    Parameters
    ----------
    sensors : sensor or sequence of sensors
        :class:`CategoricalSensor` and :class:`ContinuousSensor`, in the order of the columns.
    n_hidden : int
        Hidden nodes.
    n_lags : int
        Steps for which the input stays in the memory unchanged.
    fan_in : int
        Largest number of lags that feed a hidden node.
    connectivity : None, "none", "full", (n_hidden, n_hidden) matrix or Connectivity
        Edges (target, source) between hidden nodes; None draws ten sources for each.
    rule : {"rls", "diagonal_rls", "nlms"}
        How the readout learns: recursive least squares (memory and time grow with the square of the
        features), the same with the diagonal of the covariance only, or normalised least mean
        squares with step ``rate``.
    rate : float
        Step of NLMS, as a share of the error.
    process_noise : float
        Variance that the weights of the readout regain at each learned step (RLS only), as a share
        of their distance to the prior variance: old data count less. 0 forgets nothing.
    recurrent_rate : float
        Step of the hidden nodes' weights, as a share of the error; 0 leaves them as drawn.
    homeostasis : float
        Rate at which the threshold of a hidden node moves to make its mean activity zero.
    strength, recurrent_strength : float
        Norm of a hidden node's input weights, and of its recurrent weights, as drawn.
    time_constants : tuple of float
        Shortest and longest time constant 1 / leak of hidden nodes, in steps; log-uniform between.
    max_order, n_contexts : int
        Counts of what follows the last 0 .. ``max_order`` symbols of each categorical sensor, for
        ``n_contexts`` contexts of each order; the least used make room. 0 contexts: no counts.
    mixing_rate : float
        Step of the weights that mix counts and readout (AdaGrad; Duchi et al., JMLR 12, 2011).
    warmup : int
        Steps that fix location and scale of continuous sensors that have none. Until then the
        prediction is broad and nothing else is learned.
    dtype : {"float64", "float32"}
        Precision of hidden nodes and their weights.
    random_state : None, int, RandomState or Generator
        Seed of everything that is drawn.

    Attributes
    ----------
    n_steps_ : int
        Steps seen.
    seed_ : int
        Seed that was used.

    Examples
    --------
    >>> import numpy as np
    >>> from neurolp import ContinuousSensor, StreamBrain
    >>> x = np.sin(np.arange(3000) / 7)
    >>> brain = StreamBrain(ContinuousSensor(), n_hidden=20, random_state=0)
    >>> surprise = brain.run(x).total
    >>> bool(surprise[-100:].mean() < surprise[:100].mean() - 3)
    True
    """

    def __init__(
        self,
        sensors: Sensor | Sequence[Sensor],
        *,
        n_hidden: int = 600,
        n_lags: int = 20,
        fan_in: int = 5,
        connectivity: Any = None,
        rule: Rule = "rls",
        rate: float = 0.3,
        process_noise: float = 0.0,
        recurrent_rate: float = 0.01,
        homeostasis: float = 0.0,
        strength: float = 1.0,
        recurrent_strength: float = 0.5,
        time_constants: tuple[float, float] = (1.0, 1.0),
        max_order: int = 6,
        n_contexts: int = 16384,
        mixing_rate: float = 0.1,
        warmup: int = 100,
        dtype: str = "float64",
        random_state: Any = None,
    ) -> None:
        self.sensors = check_sensors(sensors)
        self._design = StreamDesign(
            self.sensors, connectivity, n_hidden, n_lags, fan_in, rule, rate, process_noise,
            recurrent_rate, homeostasis, strength, recurrent_strength, time_constants,
            max_order, n_contexts, mixing_rate, warmup, dtype,
        )  # fmt: skip
        check_parameters(StreamParameters, self._design.parameters)
        self.seed_ = resolve_seed(random_state)
        self.n_steps_ = 0
        self._state: StreamState = draw(self._design, generator(self.seed_, "stream brain"))
        self._first_rows = np.zeros((0, self.n_columns))
        self._calibrating = bool(self._uncalibrated())

    @property
    def n_columns(self) -> int:
        """Columns of the rows that are presented."""
        return sum(s.n_columns for s in self.sensors)

    # --- presenting -------------------------------------------------------------------------------

    def run(
        self,
        rows: npt.ArrayLike,
        *,
        learn: bool = True,
        predictions: bool = False,
        activity: bool = False,
    ) -> StreamRun:
        """Present rows (n_steps, n_columns), NaN where nothing came, one after another.

        Presenting them in pieces is the same. ``learn=False`` freezes what was learned; the memory
        goes on. Missing input is remembered as it was expected.

        Raises
        ------
        DataError
            If the rows are not what the sensors bring.
        DivergedError
            If a surprise is no longer finite; the message names step and sensor.
        """
        all_rows = check_rows(rows, self.sensors, self.n_steps_)
        memory = self._state.memory
        notes = Notes.blank(self.sensors, len(all_rows), predictions, memory.activity, activity)
        n_first = self._calibrate(all_rows, notes) if self._calibrating else 0
        rest, later = all_rows[n_first:], notes.after(n_first)
        done = self._present(rest, learn, later)
        self.n_steps_ += n_first + done
        if done < len(rest):
            bad = ~np.isfinite(later.outcome.surprise[done]) & ~np.isnan(
                rest[done][self._state.senses.column]
            )
            wrong = int(np.argmax(bad))
            raise DivergedError(
                f"the surprise of sensor '{self.sensors[wrong].name}' became "
                f"{later.outcome.surprise[done, wrong]} in step {self.n_steps_}"
            )
        return notes.run(self._design.n_hidden)

    def observe(self, x: Any, *, learn: bool = True) -> float:
        """Present one row and return its surprise in nats, over the sensors that brought something.

        ``x`` is a number, the values of a row, or a mapping from names of sensors; sensors that a
        mapping leaves out are missing.
        """
        return float(self.run(row_of(x, self.sensors), learn=learn).total[0])

    def predict(self) -> dict[str, Prediction]:
        """Distributions of what comes next, by name of the sensor."""
        out: dict[str, Prediction] = {}
        if self._calibrating:
            for s, sensor in enumerate(self.sensors):
                if isinstance(sensor, CategoricalSensor):
                    k = sensor.n_symbols
                    out[sensor.name] = SymbolPrediction(np.full(k, 1 / k))
                else:
                    out[sensor.name] = first_prediction(self._first_rows[:, self._columns(s)])
            return out
        with self._unmoved():
            notes = Notes.blank(self.sensors, 1, True, self._state.memory.activity, False)
            self._present(np.full((1, self.n_columns), np.nan), False, notes)
        readout, senses = self._state.readout, self._state.senses
        z = self._state.memory.features
        # The gain of the values is what the call above left.
        q = float(max(z @ readout.gain[1], 0.0)) if self._design.rule != "nlms" else 0.0
        for s, sensor in enumerate(self.sensors):
            at = self._outputs(s)
            if isinstance(sensor, CategoricalSensor):
                p = notes.outcome.prediction[0, at]
                out[sensor.name] = SymbolPrediction(p / p.sum())
            else:
                scale = senses.scale[at]
                out[sensor.name] = ValuePrediction(
                    senses.location[at] + scale * (readout.weights[at] @ z),
                    scale[:, None] * readout.factor[at, at] * np.sqrt(1 + q),
                    readout.shape[at].copy(),
                )
        return out

    def dream(self, n_steps: int, *, random_state: Any = None) -> Array:
        """Rows (n_steps, n_columns) that the brain expects of itself, going on from here.

        Every row is drawn from the prediction and becomes the input of the next. Afterwards the
        brain is where it was.
        """
        check_value("n_steps", n_steps, Count)
        if self._calibrating:
            raise DataError(
                f"argument `warmup` is {self._design.warmup}, but the brain has seen "
                f"{self.n_steps_} steps: it cannot dream yet"
            )
        rng = generator(resolve_seed(random_state), "stream dream")
        out = np.empty((n_steps, self.n_columns))
        with self._unmoved():
            for t in range(n_steps):
                expected = self.predict()
                for s, sensor in enumerate(self.sensors):
                    drawn = expected[sensor.name].sample(1, rng)
                    out[t, self._columns(s)] = np.reshape(drawn, -1)
                self._present(
                    out[t : t + 1],
                    False,
                    Notes.blank(self.sensors, 1, False, self._state.memory.activity, False),
                )
        return out

    # --- looking inside ---------------------------------------------------------------------------

    @property
    def activity(self) -> Array:
        """Activity of the hidden nodes now, (n_hidden,)."""
        return self._state.memory.activity[: self._design.n_hidden].copy()

    @property
    def feature_names(self) -> list[str]:
        """What the memory consists of: constant, each output at each delay, hidden nodes."""
        return feature_names(self.sensors, self._design.n_lags, self._design.n_hidden)

    @property
    def output_names(self) -> list[str]:
        """What is predicted: each symbol and each value."""
        return output_names(self.sensors)

    @property
    def weights(self) -> dict[str, Any]:
        """Copies of what was learned, by name.

        "readout" (n_outputs, n_features), in logits of symbols and in ``scale`` of values;
        "recurrent" (hidden, hidden), (target, source), dense or CSR, absent without edges;
        "afferent" CSR (hidden, n_features).
        """
        return weights_of(self._state, self._design.n_hidden)

    # --- files ------------------------------------------------------------------------------------

    def pack(self, out: NamedArrays, *, arrays: str | None = None) -> None:
        """Add everything that the next step depends on, or the arrays under names of their own."""
        if arrays:
            return pack_state(out, self._state, arrays)
        pack_stream(
            out, self._design.parameters, self.sensors, self._state, self._first_rows,
            self.n_steps_, self.seed_,
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the brain to a trajectory file, whole or not at all."""
        out = NamedArrays(attributes={"": {"title": "", "status": "complete"}})
        out.attributes["configuration"] = {"json": json.dumps({"brain": self._design.parameters})}
        out.attributes["provenance"] = provenance(self.seed_)
        self.pack(out)
        write_trajectory(path, out, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StreamBrain:
        """Read a brain from a file; it goes on to the last bit as the one that was saved."""
        with open_trajectory(path) as file:
            return cls.unpack(file)

    @classmethod
    def unpack(cls, file: Trajectory) -> StreamBrain:
        """The brain in an open file, see :meth:`load`."""
        sensors, parameters, state, first_rows, n_steps, seed = unpack_stream(file)
        # Hidden nodes and their edges come from the file, none need be drawn.
        brain = cls(sensors, **parameters | {"n_hidden": 0, "n_contexts": 0}, random_state=seed)
        brain._design = replace(brain._design, **parameters)
        brain._state, brain._first_rows, brain.n_steps_ = state, first_rows, n_steps
        brain._calibrating = bool(brain._uncalibrated()) and len(first_rows) >= n_steps
        return brain

    def copy(self) -> StreamBrain:
        """Another one in the same state."""
        out = copy.copy(self)
        out._state = copy_of(self._state)
        return out

    def fault(self) -> str | None:
        """What in it is not finite any more; None while all is well."""
        if is_finite(self._state):
            return None
        return first_fault(self._state, self.sensors, self._design.n_lags, self._design.n_hidden)

    # --- inside -----------------------------------------------------------------------------------

    def _present(self, rows: Array, learn: bool, notes: Notes) -> int:
        s = self._state
        return stream_block(
            rows, bool(learn), s.senses, s.memory, s.readout, s.contexts, self._design.rates,
            notes.outcome, notes.activity, scratch_for(s.memory, s.readout, s.contexts),
        )  # fmt: skip

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        """Whatever is presented without learning meanwhile, the memory is afterwards as before."""
        kept, memory, contexts = self._state, self._state.memory, self._state.contexts
        moving = ("features", "activity", "trace", "squashed", "post")
        copies = {name: getattr(memory, name).copy() for name in moving}
        self._state = StreamState(
            kept.senses,
            memory._replace(**copies),
            kept.readout,
            contexts._replace(history=contexts.history.copy(), known=contexts.known.copy()),
        )
        try:
            yield
        finally:
            self._state = kept

    def _calibrate(self, rows: Array, notes: Notes) -> int:
        """Present rows until the units of all values are known; how many that took."""
        for t, row in enumerate(rows):
            expected = self.predict()
            for s, sensor in enumerate(self.sensors):
                x, prediction = row[self._columns(s)], expected[sensor.name]
                if np.isnan(x[0]):
                    continue
                if isinstance(prediction, ValuePrediction):
                    notes.outcome.pit[t, self._outputs(s)] = prediction.cdf(x)
                    notes.outcome.surprise[t, s] = -np.sum(prediction.log_prob(x))
                else:
                    notes.outcome.surprise[t, s] = -prediction.log_prob(x[0])
            self._first_rows = np.vstack([self._first_rows, row])
            seen = np.isfinite(self._first_rows)[:, self._uncalibrated()].sum(axis=0)
            if seen.min() >= self._design.warmup:
                fix_units(self._state, self.sensors, self._first_rows)
                self._first_rows = np.zeros((0, self.n_columns))
                self._calibrating = False
                return t + 1
        return len(rows)

    def _uncalibrated(self) -> list[int]:
        return columns_without_units(self._state, self.sensors)

    def _columns(self, s: int) -> slice:
        start = int(self._state.senses.column[s])
        return slice(start, start + self.sensors[s].n_columns)

    def _outputs(self, s: int) -> slice:
        start = int(self._state.senses.output[s])
        return slice(start, start + self.sensors[s].n_outputs)
