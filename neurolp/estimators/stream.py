"""StreamBrain: predicts a stream step by step, and learns from the surprise of each step."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Self, final

import numpy as np
from pydantic import Field

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.streams.rows import read_rows
from neurolp.errors import ConfigurationError, DivergedError
from neurolp.estimators import ranges
from neurolp.estimators.stream_bench import StreamBench
from neurolp.estimators.stream_files import StreamFiles
from neurolp.estimators.stream_forecast import StreamForecast
from neurolp.estimators.stream_recording import recorded
from neurolp.estimators.validation import resolve_seed
from neurolp.kernels.stream import stream_block
from neurolp.kernels.stream_state import Injection, scratch_for
from neurolp.simulation.monitors import Monitor
from neurolp.stream import contents
from neurolp.stream.contexts import symbol_scratch
from neurolp.stream.experts import scratch_of
from neurolp.stream.network import Rule, StreamDesign, StreamState, draw, network_size
from neurolp.stream.nodes import HiddenNodes
from neurolp.stream.receptive_fields import ReceptiveFields
from neurolp.stream.run import Outputs, StreamRun
from neurolp.stream.sensors import Sensor, check_sensors, encode_rows, places
from neurolp.stream.warmup import WarmUp
from neurolp.stream.wiring import n_nodes_of

_NOTHING = Injection(np.zeros(0, np.int64), np.zeros((0, 0)))


@final
class StreamBrain(StreamBench, StreamForecast, StreamFiles):
    """A recurrent network that predicts the next row of a stream and learns from every row.

        p(x_t | memory),   memory z = (1, x_(t-1) .. x_(t-n_lags), hidden activity h),
        u = W h + V z + b,   h <- h + leak (tanh(u) - h)

    Symbols are predicted by a softmax, values by a triangular chain of monotone maps (a linear
    mean, residuals of any shape): both are normalised exactly for every state of the memory. In a
    row each sensor also knows those before it, a triangular chain: p(a) p(b | a) p(c | a, b). All
    rules are local: the readout learns from its own errors; hidden nodes from errors sent back
    along the weights of the readout, times their own slope and the input of each synapse; contexts
    (the last symbols, words) count the symbols that follow them, and neurons mix their predictions.

    Parameters
    ----------
    sensors : sensor or sequence of sensors
        :class:`CategoricalSensor`, :class:`ContinuousSensor`, or a class of your own (see
        :class:`neurolp.stream.sensors.Sensor`), in the order of the columns.
    n_hidden : None or int
        Hidden nodes; None is as many as ``connectivity`` or ``input_weights`` are for, or else 600,
        or 0 where all sensors are of symbols: contexts predict these.
    n_lags : None or int
        Steps for which the input stays in the memory unchanged; None is 20, or 0 for one sensor of
        symbols.
    fan_in : int
        Largest number of lags that feed a hidden node, where ``receptive_fields`` is ``"lags"``.
    receptive_fields : {"lags", "windows"}
        What hidden nodes hear, where ``input_weights`` is None: one sensor at a few lags, or a
        value at successive lags and, half of the nodes, a decaying trace of symbols: for spikes.
    connectivity : None, "none", "full", (n_hidden, n_hidden) matrix or Connectivity
        Edges (target, source) between hidden nodes; None draws ten sources for each. A matrix of
        booleans is edges, as "full" is all of them, and their weights are drawn. A matrix of
        numbers is the weights themselves, and its zeros are no edges; a SciPy sparse one has an
        edge wherever it stores a number, also 0, from which the edge can learn. No node has an edge
        to itself: the diagonal must be zero. Weights and names of a Connectivity
        (:func:`neurolp.from_edge_table`) are used.
    input_weights : None, matrix (n_hidden, n_outputs), or with columns for all lags
        Weights from the last row to the hidden nodes, or from the rows of all lags, or from the
        constant and these, as in ``feature_names``; entries of 0 are no edges. None draws them.
        Input is in units of a sensor; symbols are indicators, centred and scaled.
    train_connectivity, train_input_weights : bool
        Whether recurrent weights learn, and whether input weights and thresholds do.
    rule : {"rls", "diagonal_rls", "nlms"}
        How the readout learns: recursive least squares (memory and time grow with the square of the
        features), the same with the diagonal of the covariance only, or normalised least mean
        squares with step ``rate``.
    rate : float
        Step of NLMS, as a share of the error; the other rules have none.
    process_noise : float
        Variance that the weights of the readout regain at each learned step (RLS only), as a share
        of their distance to the prior variance: old data count less. 0 forgets nothing.
    recurrent_rate : float
        Step of the hidden nodes' weights, as a share of the error; 0 leaves them as drawn.
    homeostasis : float
        Rate at which the threshold of a hidden node moves to make its mean activity zero.
    strength, recurrent_strength : float
        Norm of a hidden node's input weights, and of its recurrent weights, as drawn.
    spectral_radius : None or float
        Largest absolute eigenvalue to which the recurrent weights, drawn or given, are scaled.
    time_constants : tuple of float
        Shortest and longest time constant 1 / leak of hidden nodes, in steps; log-uniform between.
    max_order, n_contexts : int
        Contexts of each categorical sensor: its last 0 .. 6, 8, 10 .. ``max_order`` symbols, and
        words (of characters if its labels are these, else between the most frequent symbols). All
        sensors share ``n_contexts`` equally; those counted least make room, and as many of the last
        symbols are searched for matches. 0 contexts: none.
    mixing_rate : float
        Step of the neurons that mix the predictions of contexts and of the readout.
    experts : bool
        Whether each value is also predicted by experts of its own past (levels, regressions on
        lags, seasons; each with several laws of its residuals), averaged with the network by their
        surprise. False leaves the prediction to the network alone.
    warmup : int
        Observations that fix location and scale of a sensor of values that has none. Until it has
        them its prediction is broad, and the network runs with this input missing.
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
        n_hidden: ranges.Count | None = None,
        n_lags: ranges.Count | None = None,
        fan_in: ranges.Positive = 5,
        receptive_fields: ReceptiveFields = "lags",
        connectivity: Any = None,
        input_weights: Any = None,
        train_connectivity: ranges.Flag = True,
        train_input_weights: ranges.Flag = True,
        rule: Rule = "rls",
        rate: ranges.Share = 0.3,
        process_noise: ranges.Share = 0.0,
        recurrent_rate: ranges.Share = 0.01,
        homeostasis: ranges.Share = 0.0,
        strength: ranges.Strength = 1.0,
        recurrent_strength: ranges.Strength = 0.5,
        spectral_radius: ranges.Strength | None = None,
        time_constants: ranges.TimeConstants = (1.0, 1.0),
        max_order: ranges.Count = 12,
        n_contexts: ranges.Count = 524_288,
        mixing_rate: ranges.Share = 0.006,
        experts: ranges.Flag = True,
        warmup: Annotated[int, Field(ge=2, strict=True)] = 100,
        dtype: ranges.Precision = "float64",
        random_state: Any = None,
    ) -> None:
        self.sensors = check_sensors(sensors)
        given = connectivity is not None or input_weights is not None
        n_given = n_nodes_of(connectivity, input_weights)
        n_hidden, n_lags = network_size(n_hidden, n_lags, self.sensors, given, n_given)
        self._design = StreamDesign(
            self.sensors, connectivity, input_weights, n_hidden, n_lags, fan_in,
            receptive_fields, rule, rate,
            process_noise, recurrent_rate, train_connectivity, train_input_weights, homeostasis,
            strength, recurrent_strength, spectral_radius, time_constants, max_order, n_contexts,
            mixing_rate, experts, warmup, dtype,
        )  # fmt: skip
        ranges.check_parameters(StreamBrain, self._design.parameters)
        self.seed_ = resolve_seed(random_state)
        self.n_steps_ = 0
        self._state: StreamState = draw(self._design, generator(self.seed_, "stream brain"))
        self._nodes = HiddenNodes(n_hidden, getattr(connectivity, "names", None))
        self._places = places(self.sensors)
        self._warmup = self._new_warmup()

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse attributes that would have no effect: parameters are fixed at construction."""
        if not (name.startswith("_") or name in ("sensors", "seed_", "n_steps_", "activity")):
            raise AttributeError(
                f"StreamBrain has no attribute {name!r} to assign: parameters are arguments of "
                "StreamBrain(...), and set_params changes some of them"
            )
        super().__setattr__(name, value)

    @property
    def n_columns(self) -> int:
        """Number of columns of the rows."""
        return sum(s.n_columns for s in self.sensors)

    # --- presenting -------------------------------------------------------------------------------

    def run(
        self,
        rows: Any,
        *,
        learn: bool = True,
        predictions: bool = False,
        activity: bool = False,
        inject: Any = None,
        monitors: Sequence[Monitor] = (),
        output: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> StreamRun:
        """Present rows (n_steps, n_columns) one after another; NaN is missing.

        Columns of frames are found by their names. Frames and arrays of objects hold labels. See
        :func:`neurolp.data.streams.rows.read_rows`.

        Presenting them in pieces gives the same results. ``learn=False`` changes nothing that was
        learned; the memory moves on. The memory takes the expected value of what is missing.
        ``inject`` is ``{"nodes": [3, 7], "current": I}``: I (n_steps,) or (n_steps, n_nodes) is
        added to the potentials of hidden nodes, by number or name, after each row.

        With ``predictions`` and ``activity`` the result has what was predicted of each row, and the
        activity of the hidden nodes before it: ``activity[k]`` is before row k, and the current of
        row k acts on ``activity[k + 1]``.

        ``monitors`` (:class:`neurolp.Activity`, .. or your own) record as steps go by,
        counted from the first of these rows: to ``monitors`` of the result, or to the file
        ``output``, which then also has the surprise of every step, parameters, lesions and
        injected currents, and at its end the brain.
        Ctrl-C leaves there what was recorded, and the brain, for :func:`neurolp.load`.

        Raises
        ------
        ConfigurationError
            If ``inject`` names no nodes, or monitors are none or record the same.
        DataError
            If the rows are not what the sensors want.
        DivergedError
            If a surprise is not finite; the message names step and sensor.
        OutputError, RecordingError
            If ``output`` exists and ``overwrite`` is false, or it cannot be written.
        """
        flags = {"learn": learn, "predictions": predictions, "activity": activity}
        for name, flag in (flags | {"overwrite": overwrite}).items():
            ranges.check_value(name, flag, ranges.Flag)
        if overwrite and output is None:
            raise ConfigurationError("argument `overwrite` has no meaning without `output`")
        given = read_rows(rows, self.sensors, self.n_steps_)
        memory = self._state.memory
        outputs = Outputs.empty(self.sensors, len(given), predictions, memory.activity, activity)
        nodes, current = self._nodes.injection(inject, len(given))

        def present(part: Array, learn: bool, start: int) -> StreamRun:
            here = outputs.between(start, start + len(part))
            now = Injection(nodes, current[start : start + len(part)])
            self._run(part, learn, here, now)
            return here.run(self._design.n_hidden)

        if not monitors and output is None:
            return present(given, learn, 0)
        record = recorded(
            self, given, present, learn=learn, monitors=monitors, output=output,
            overwrite=overwrite, injection=(nodes, current),
        )  # fmt: skip
        return replace(outputs.run(self._design.n_hidden), monitors=record)

    # --- looking inside ---------------------------------------------------------------------------

    @property
    def feature_names(self) -> list[str]:
        """Name of each feature of the memory: constant, each output at each lag, hidden nodes."""
        return contents.feature_names(self.sensors, self._design.n_lags, self._nodes.labels)

    @property
    def output_names(self) -> list[str]:
        """Name of each output: each symbol and each value."""
        return contents.output_names(self.sensors)

    def copy(self) -> Self:
        """Independent brain in the same state."""
        out = copy.copy(self)
        out._state, out._warmup = self._state.copy(), copy.deepcopy(self._warmup)
        return out

    def fault(self) -> str | None:
        """Which number of the state is NaN or infinite, in words; None if all are finite."""
        return contents.first_fault(self._state, self.sensors, self._design.n_hidden)

    # --- inside -----------------------------------------------------------------------------------

    def _run(self, rows: Array, learn: bool, outputs: Outputs, injection: Injection) -> None:
        """Present rows of numbers, in pieces between which something changes for a sensor."""
        codes, log_factor = encode_rows(rows, self.sensors)
        start = 0
        while start < len(codes):
            n = self._warmup.n_until_ready(codes[start:]) if learn else len(codes)
            part = slice(start, start + n)
            now = Injection(injection.nodes, injection.current[part])
            self._advance(codes[part], learn, outputs.between(part.start, part.stop), now)
            start = part.stop
        np.subtract(outputs.outcome.surprise, log_factor, out=outputs.outcome.surprise)

    def _advance(self, codes: Array, learn: bool, outputs: Outputs, injection: Injection) -> None:
        """Present codes after which units may have to be fixed."""
        warmup = self._warmup
        shown = warmup.without_broad(codes) if warmup else codes
        done = self._present(shown, learn, outputs, injection)
        if warmup:
            warmup.observe(codes[:done], learn, outputs.between(0, done).outcome)
            warmup.fix_units(self._state)
        self.n_steps_ += done
        if done < len(codes):
            missing = np.isnan(shown[done][self._state.senses.column])
            surprise = outputs.outcome.surprise[done]
            raise DivergedError(
                contents.bad_surprise(surprise, missing, self.sensors, self.n_steps_)
            )

    def _present(
        self, codes: Array, learn: bool, outputs: Outputs, injection: Injection = _NOTHING
    ) -> int:
        """Run the kernel over codes; number of steps done, less than all after a bad surprise."""
        s, largest = self._state, max(p.n_outputs for p in self._places)
        return stream_block(
            codes, bool(learn), s.senses, s.memory, s.readout, s.contexts, s.experts,
            self._design.rates, injection, outputs.outcome, outputs.activity,
            scratch_for(s.memory, s.readout), scratch_of(s.experts, largest),
            symbol_scratch(s.contexts, largest),
        )  # fmt: skip

    def _new_warmup(self) -> WarmUp:
        design = self._design
        return WarmUp(self._places, design.warmup, design.n_lags, design.experts)

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        """Context in which rows may be presented without learning: the memory is restored."""
        kept = self._state, self._warmup, self.n_steps_
        self._state = self._state.with_own_memory()
        if self._warmup:  # it notes the last rows
            self._warmup = copy.deepcopy(self._warmup)
        try:
            yield
        finally:
            self._state, self._warmup, self.n_steps_ = kept
