"""What a brain in a stream expects next: distributions, single answers, dreams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.seeds import generator
from neurolp.data.streams.rows import as_columns, row_of, rows_to_frame
from neurolp.errors import DataError
from neurolp.estimators import ranges
from neurolp.estimators.validation import resolve_seed
from neurolp.stream.network import StreamDesign, StreamState
from neurolp.stream.predicting import predict_values
from neurolp.stream.prediction import Prediction, SymbolPrediction, central
from neurolp.stream.run import Outputs
from neurolp.stream.sensors import Place, Sensor, encode_rows
from neurolp.stream.warmup import WarmUp


class StreamForecast(ABC):
    """Part of :class:`neurolp.StreamBrain`: what it expects, which changes nothing."""

    sensors: tuple[Sensor, ...]
    n_steps_: int
    _design: StreamDesign
    _state: StreamState
    _places: tuple[Place, ...]
    _warmup: WarmUp

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Number of columns of the rows."""

    @abstractmethod
    def _present(self, codes: Array, learn: bool, outputs: Outputs) -> int:
        """Run the kernel over codes."""

    @abstractmethod
    def _unmoved(self) -> AbstractContextManager[None]:
        """Context in which rows may be presented without learning: the memory is restored."""

    def predict(self, given: Any = None) -> dict[str, Prediction]:
        """Distribution of the next observation of each sensor, by name. Nothing is changed.

        A sensor knows the sensors before it in the row, as far as they are ``given``: a row,
        NaN where it is not known, or a mapping from names of sensors or columns to values or
        labels. What is not known is as if it were going to be missing. The probability of a row
        is the product p(a) p(b | a) p(c | a, b) ..

        Raises
        ------
        DataError
            If ``given`` holds what is not known or not valid, or leaves no sensor to be predicted.
        """
        row = np.full((1, self.n_columns), np.nan)
        if given is not None:
            row = row_of(given, self.sensors, "given")
        known = [not np.isnan(row[0, place.columns]).any() for place in self._places]
        if all(known):
            raise DataError("argument `given` must leave a sensor to be predicted, but holds all")
        wanted = [s for s, there in enumerate(known) if not there]
        return {self.sensors[s].name: p for s, p in self._expected(row, wanted).items()}

    def predict_one(self, given: Any = None) -> dict[str, Any]:
        """The expected values, or the most probable label, of the next row, by sensor.

        ``given`` as in :meth:`predict`.
        """
        return {name: _best(prediction) for name, prediction in self.predict(given).items()}

    def predict_proba_one(self, given: Any = None) -> dict[str, dict[Any, float]]:
        """Probability of each label, of each sensor of symbols, in the next row.

        ``given`` as in :meth:`predict`.
        """
        return {
            name: dict(zip(_labels(prediction), prediction.probabilities.tolist(), strict=True))
            for name, prediction in self.predict(given).items()
            if isinstance(prediction, SymbolPrediction)
        }

    def dream(
        self,
        n_steps: int,
        *,
        sampled: bool = True,
        as_frame: bool = False,
        random_state: Any = None,
    ) -> Any:
        """Rows (n_steps, n_columns) sampled from the predictions, each the input of the next.

        In a row each sensor is drawn given those before it.
        ``sampled=False``, a free run, takes expected values and the most probable symbols instead.
        An array of numbers; with ``as_frame`` a pandas frame with names and labels. The state is
        the same before and after. Sensors without units yet are missing.
        """
        ranges.check_value("n_steps", n_steps, ranges.Count)
        ranges.check_value("sampled", sampled, ranges.Flag)
        ranges.check_value("as_frame", as_frame, ranges.Flag)
        if self._warmup.of_all:
            raise DataError(
                f"argument `warmup` is {self._design.warmup}, but the brain has seen "
                f"{self.n_steps_} steps: it cannot dream yet"
            )
        rng = generator(resolve_seed(random_state), "stream dream")
        out = np.full((n_steps, self.n_columns), np.nan)
        outputs = Outputs.empty(self.sensors, 1, False, self._state.memory.activity, False)
        with self._unmoved():
            for t in range(n_steps):
                row = out[t : t + 1]
                for s, place in enumerate(self._places):
                    if not self._warmup.broad(s):
                        here = self._expected(row, [s])[s]
                        drawn = here.sample(1, rng) if sampled else central(here)
                        row[0, place.columns] = as_columns(drawn, place.sensor)
                codes, _ = encode_rows(row, self.sensors)
                self._present(codes, False, outputs)
        return rows_to_frame(out, self.sensors) if as_frame else out

    def _expected(self, row: Array, wanted: Sequence[int]) -> dict[int, Prediction]:
        """Predictions of the ``wanted`` sensors in a row (1, n_columns), NaN where not known."""
        outputs = Outputs.empty(self.sensors, 1, True, self._state.memory.activity, False)
        shown = self._state
        if not self._warmup.of_all:
            with self._unmoved():
                shown = self._state
                codes, _ = encode_rows(row, self.sensors)
                self._present(self._warmup.without_broad(codes), False, outputs)
        nlms = self._design.rule == "nlms"
        out: dict[int, Prediction] = {}
        for s in wanted:
            place = self._places[s]
            prediction = self._warmup.prediction(s)
            if prediction is None and place.symbols:
                p = outputs.outcome.prediction[0, place.outputs]
                prediction = SymbolPrediction(p / p.sum())
            elif prediction is None:
                prediction = predict_values(self._state, shown, s, place.outputs, nlms)
            out[s] = place.sensor.express(prediction)
        return out


def _labels(prediction: SymbolPrediction) -> Sequence[Any]:
    return prediction.labels or range(len(prediction.probabilities))


def _best(prediction: Any) -> Any:
    if isinstance(prediction, SymbolPrediction):
        return _labels(prediction)[int(np.argmax(prediction.probabilities))]
    mean: Array = np.asarray(prediction.mean)
    return float(mean[0]) if len(mean) == 1 else mean
