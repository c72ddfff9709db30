"""StreamBatch: many independent streams at once, whose brains share their weights, or do not."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated, Any, Self, final

import numpy as np
from pydantic import Field

from neurolp.arrays import Array, ArraySource, NamedArrays
from neurolp.brain.workers import Workers
from neurolp.data.streams.rows import read_rows
from neurolp.errors import ConfigurationError, DataError, DivergedError
from neurolp.estimators import ranges
from neurolp.estimators.files import Stored, add_tree, header
from neurolp.estimators.stream import StreamBrain
from neurolp.kernels.stream_state import Outcome
from neurolp.storage.reader import Trajectory
from neurolp.stream import contents
from neurolp.stream.batch import Part, Steps, check_size, of_stream, parts_of, stacked
from neurolp.stream.network import StreamState
from neurolp.stream.run import Outputs, StreamRun
from neurolp.stream.sensors import encode_rows, places
from neurolp.stream.warmup import WarmUp

_Streams = Annotated[int, Field(ge=1, strict=True)]


@final
class StreamBatch(Stored):
    """Many independent streams, of the same sensors, presented together step by step.

    Each stream has a memory of its own: lagged input, hidden activity, experts, and laws of its
    residuals. Readout, recurrent and input weights and thresholds are shared;
    in each step they learn from all streams together, and all streams are predicted before. Least
    squares (``rule="rls"``) take the rows of a step as if they came one after another; hidden
    nodes, thresholds and ``rule="nlms"`` take the mean step of the streams that were observed.

    Products of matrices serve all streams: a step costs less for each, the more there are.

    Parameters
    ----------
    brain : StreamBrain
        Its sensors, parameters and weights are those of all streams, and its memory is how each of
        them begins. The brain itself does not change.
    n_streams : int
        Number of streams.
    own_units : bool
        Whether each stream takes the units of a sensor that has none from its own first ``warmup``
        observations, as for streams of different sizes. Otherwise the units are common, from the
        first observations of all streams together, as for streams of one law.
    shared : bool
        Whether weights are shared. False lets each stream have all weights of its own: the streams
        are brains that run on several threads, with any sensors. Shared weights need sensors of
        values.

    Attributes
    ----------
    n_steps_ : int
        Steps seen by each stream, with those of ``brain``.

    Raises
    ------
    ConfigurationError
        If weights are to be shared by sensors of symbols, an argument is out of range or has no
        meaning, or the streams would need too much memory.

    Examples
    --------
    >>> import numpy as np
    >>> from neurolp import ContinuousSensor, StreamBatch, StreamBrain
    >>> phase = np.random.default_rng(0).uniform(0, 6, (16, 1))
    >>> x = np.sin(np.arange(400) / 7 + phase)
    >>> batch = StreamBatch(StreamBrain(ContinuousSensor(), n_hidden=20, random_state=0), 16)
    >>> surprise = batch.run(x).total
    >>> surprise.shape
    (16, 400)
    >>> bool(surprise[:, -50:].mean() < surprise[:, :50].mean() - 3)
    True
    >>> mean = batch.brain(3).predict()["value"].mean
    """

    def __init__(
        self, brain: StreamBrain, n_streams: int, *, own_units: bool = False, shared: bool = True
    ) -> None:
        if not isinstance(brain, StreamBrain):
            raise ConfigurationError(
                f"argument `brain` must be a StreamBrain, but is a {type(brain).__name__}"
            )
        ranges.check_value("n_streams", n_streams, _Streams)
        ranges.check_value("own_units", own_units, ranges.Flag)
        ranges.check_value("shared", shared, ranges.Flag)
        if own_units and not shared:
            raise ConfigurationError(
                "argument `own_units` has no meaning where `shared` is False: all is of its own"
            )
        self._brain, self.n_streams, self.shared = brain.copy(), n_streams, shared
        self.own_units = own_units
        self.sensors = brain.sensors
        symbols = [sensor.name for sensor in brain.sensors if sensor.n_symbols]
        if shared and symbols:
            raise ConfigurationError(
                f"argument `shared` must be False where sensors have symbols, as '{symbols[0]}' "
                "has, but is True"
            )
        check_size(brain._state, n_streams, shared)
        self._brains: list[StreamBrain] = []
        self._n_steps = brain.n_steps_
        self._parts: tuple[int, list[Part]] | None = None
        if shared:
            self._state: StreamState = stacked(brain._state, n_streams)
            self._warmups: list[WarmUp] = [copy.deepcopy(brain._warmup) for _ in range(n_streams)]
        else:
            self._brains = [brain.copy() for _ in range(n_streams)]

    @property
    def n_steps_(self) -> int:
        """Steps seen by each stream."""
        return self._n_steps

    def __repr__(self) -> str:
        """The call that makes such streams, and how many steps they have seen."""
        call = repr(self._brain).partition("  #")[0]
        said = ", own_units=True" * self.own_units + ", shared=False" * (not self.shared)
        return f"StreamBatch({call}, {self.n_streams}{said})  # {self.n_steps_:,} steps"

    def run(
        self, rows: Any, *, learn: bool = True, predictions: bool = False, activity: bool = False
    ) -> StreamRun:
        """Present rows (n_streams, n_steps, n_columns), all streams together, step by step.

        NaN is missing; a stream that has ended is missing. One column may come as
        (n_streams, n_steps). A list of rows as :meth:`StreamBrain.run` takes them, one for each
        stream, may have different lengths: the shorter ones are missing at the end. Results have
        the streams as first axis. Presenting in pieces gives the same results. ``learn=False``
        changes nothing that was learned.

        Raises
        ------
        ConfigurationError
            If an argument is no boolean.
        DataError
            If the rows are not what the sensors want.
        DivergedError
            If a surprise is not finite; the message names stream, step and sensor.
        """
        flags = {"learn": learn, "predictions": predictions, "activity": activity}
        for name, flag in flags.items():
            ranges.check_value(name, flag, ranges.Flag)
        all_rows = self._read(rows)
        if not self.shared:
            return self._run_each(all_rows, learn, predictions, activity)
        n_streams, n_steps, _ = all_rows.shape
        flat, log_factor = encode_rows(all_rows.reshape(-1, all_rows.shape[2]), self.sensors)
        codes = flat.reshape(n_streams, n_steps, flat.shape[1])
        outcome = self._empty_outcome(n_steps, predictions)
        nodes = self._state.memory.activity
        seen = np.zeros((n_streams, n_steps if activity else 0, len(nodes)), nodes.dtype)
        start = 0
        with Workers() as workers:
            while start < n_steps:
                n = n_steps - start
                if learn and any(self._warmups):
                    n = self._n_until_ready(codes[:, start:])
                part = slice(start, start + n)
                now = Outcome(*(values[:, part] for values in outcome))
                steps = Steps(
                    self._state, self._brain._design.rates, now, seen[:, part], workers,
                    self._parts_for(workers.n_threads),
                )  # fmt: skip
                self._advance(steps, codes[:, part], learn)
                start += n
        outcome.surprise[...] -= log_factor.reshape(outcome.surprise.shape)
        return Outputs(self.sensors, outcome, seen).run(self._brain._design.n_hidden)

    def brain(self, stream: int) -> StreamBrain:
        """A brain with the weights and the memory of one stream, 0 .. n_streams - 1, independent.

        It predicts what comes next in this stream, dreams, shows its weights, and goes on alone.
        """
        ranges.check_value("stream", stream, ranges.Count)
        if stream >= self.n_streams:
            raise ConfigurationError(
                f"argument `stream` must be at most {self.n_streams - 1}, but is {stream}"
            )
        if not self.shared:
            return self._brains[stream].copy()
        out = self._brain.copy()
        out._state = of_stream(self._state, stream).copy()
        out._warmup = copy.deepcopy(self._warmups[stream])
        out.n_steps_ = self._n_steps
        return out

    def copy(self) -> Self:
        """Independent streams in the same state."""
        return copy.deepcopy(self)

    # --- files ------------------------------------------------------------------------------------

    def to_arrays(self) -> NamedArrays:
        """The brain of stream 0; all others in the groups ``streams`` and ``stream_0``, .. ."""
        out = self.brain(0).to_arrays()
        about = {"own_units": self.own_units, "shared": self.shared}
        out.attributes["streams"] = {"n_streams": self.n_streams} | {
            name: int(value) for name, value in about.items()
        }
        if self.shared:
            what = "state of all streams, see neurolp.stream.batch"
            out.add_group("streams", self._state.to_arrays(), what)
        for b in range(self.n_streams):
            own = self._warmups[b].to_arrays() if self.shared else self._brains[b].state()
            out.add_group(f"stream_{b}", own, "state of a stream")
        add_tree(out, type(self))
        return out

    @classmethod
    def from_arrays(cls, source: ArraySource) -> Self:
        """The streams that :meth:`to_arrays` was called of."""
        brain = StreamBrain.from_arrays(source)
        about = source.attributes("streams")
        flags = {name: bool(about[name]) for name in ("own_units", "shared")}
        out = cls(brain, int(about["n_streams"]), **flags)
        for b in range(out.n_streams):
            arrays = source.read_group(f"stream_{b}")
            if out.shared:
                out._warmups[b] = brain._new_warmup()
                out._warmups[b].restore(arrays)
            else:
                out._brains[b].restore(arrays)
        if out.shared:
            n_lags = brain._design.n_lags
            out._state = StreamState.from_arrays(source.read_group("streams"), n_lags)
        return out

    def _contents(self) -> NamedArrays:
        out = header(self._brain.seed_, "", {"brain": self._brain._design.parameters})
        out.attributes[""]["status"] = "complete"
        out.update(self.to_arrays())
        return out

    @classmethod
    def _from_file(cls, file: Trajectory) -> Self:
        return cls.from_arrays(file)

    # --- inside -----------------------------------------------------------------------------------

    def _read(self, rows: Any) -> Array:
        """Rows (n_streams, n_steps, n_columns) as numbers, NaN where streams have ended."""
        width = self._brain.n_columns
        if isinstance(rows, Sequence) and not isinstance(rows, str):
            if len(rows) != self.n_streams:
                raise DataError(
                    f"argument `rows` must hold the rows of {self.n_streams} streams, "
                    f"but holds {len(rows)}"
                )
            each = [self._of_stream(one, b) for b, one in enumerate(rows)]
            out = np.full((self.n_streams, max(map(len, each)), width), np.nan)
            for b, one in enumerate(each):
                out[b, : len(one)] = one
            return out
        given = np.asarray(rows)
        if given.ndim == 2 and width == 1:
            given = given[:, :, None]
        if given.ndim != 3 or given.shape[::2] != (self.n_streams, width):
            raise DataError(
                f"argument `rows` must have shape ({self.n_streams}, n_steps, {width}), "
                f"but has shape {np.shape(rows)}"
            )
        try:
            flat = read_rows(given.reshape(-1, width), self.sensors)
        except DataError:
            return np.stack([self._of_stream(one, b) for b, one in enumerate(given)])
        return flat.reshape(given.shape)

    def _of_stream(self, rows: Any, b: int) -> Array:
        try:
            return read_rows(rows, self.sensors, self._n_steps)
        except DataError as error:
            raise DataError(f"stream {b}: {error}") from error

    def _empty_outcome(self, n_steps: int, predictions: bool) -> Outcome:
        n_outputs = places(self.sensors)[-1].outputs.stop
        shown = n_steps if predictions else 0
        shapes = (n_steps, len(self.sensors)), (n_steps, n_outputs), *[(shown, n_outputs)] * 2
        return Outcome(*(np.full((self.n_streams, *shape), np.nan) for shape in shapes))

    def _parts_for(self, n_threads: int) -> list[Part]:
        """The parts of the streams, kept from call to call: work arrays take long to make."""
        if self._parts is None or self._parts[0] != n_threads:
            self._parts = n_threads, parts_of(self._state, self.n_streams, n_threads)
        return self._parts[1]

    def _advance(self, steps: Steps, codes: Array, learn: bool) -> None:
        """Present codes (n_streams, n, n_codes) after which units may have to be fixed."""
        shown, done, bad, waiting = codes, codes.shape[1], -1, any(self._warmups)
        if waiting:
            shown = np.stack(
                [w.without_broad(c) if w else c for w, c in zip(self._warmups, codes, strict=True)]
            )
        with steps:
            for t in range(done):
                bad = steps.present(np.ascontiguousarray(shown[:, t]), learn, t)
                if bad >= 0:
                    done = t
                    break
        if waiting:
            self._warm_up(codes[:, :done], learn, steps.outcome)
        self._n_steps += done
        if bad >= 0:
            missing = np.isnan(shown[bad, done][self._state.senses.column])
            surprise = steps.outcome.surprise[bad, done]
            said = contents.bad_surprise(surprise, missing, self.sensors, self._n_steps)
            raise DivergedError(f"stream {bad}: {said}")

    def _n_until_ready(self, codes: Array) -> int:
        """Number of steps of (n_streams, n, n_codes) until something changes for a sensor."""
        n = min(w.n_until_ready(own) for w, own in zip(self._warmups, codes, strict=True))
        for s in () if self.own_units else self._waiting():
            known = ~np.isnan(codes[..., places(self.sensors)[s].codes.start])
            before = sum(len(warmup.observed(s)) for warmup in self._warmups)
            there = np.flatnonzero(before + known.sum(axis=0).cumsum() >= self._n_warmup)
            n = min(n, int(there[0]) + 1) if len(there) else n
        return n

    def _warm_up(self, codes: Array, learn: bool, outcome: Outcome) -> None:
        """Let sensors without units observe (n_streams, n, n_codes); fix units if they can."""
        for b, warmup in enumerate(self._warmups):
            if warmup:
                own = Outcome(*(values[b, : codes.shape[1]] for values in outcome))
                warmup.observe(codes[b], learn, own)
        for s in () if self.own_units or not learn else self._waiting():
            values = [x for warmup in self._warmups for x in warmup.observed(s)]
            if len(values) >= self._n_warmup:
                for b, warmup in enumerate(self._warmups):
                    warmup.fix_units_of(s, np.array(values), of_stream(self._state, b))
        for b, warmup in enumerate(self._warmups):
            warmup.fix_units(of_stream(self._state, b))

    def _waiting(self) -> list[int]:
        """Sensors without units: where these are common, all streams wait for the same."""
        return self._warmups[0].waiting

    @property
    def _n_warmup(self) -> int:
        return self._brain._design.warmup

    def _run_each(self, rows: Array, learn: bool, predictions: bool, activity: bool) -> StreamRun:
        """Each stream by its own brain, on several threads."""

        def one(b: int) -> StreamRun:
            return self._brains[b].run(
                rows[b], learn=learn, predictions=predictions, activity=activity
            )

        with Workers() as workers:
            runs = workers.map(one, range(self.n_streams))
        self._n_steps += rows.shape[1]

        def together(name: str) -> dict[str, Array]:
            each = [getattr(run, name) for run in runs]
            return {key: np.stack([found[key] for found in each]) for key in each[0]}

        return StreamRun(
            surprise=np.stack([run.surprise for run in runs]),
            pit=np.stack([run.pit for run in runs]),
            probabilities=together("probabilities"),
            mean=together("mean"),
            std=together("std"),
            activity=np.stack([run.activity for run in runs]),
        )
