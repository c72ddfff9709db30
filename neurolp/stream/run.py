"""Results of presenting rows: surprise, calibration, predictions, activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels.stream_state import Outcome
from neurolp.stream.sensors import Sensor, places


@dataclass(frozen=True, repr=False)
class StreamRun:
    """Results of presenting rows to a predictor.

    ``surprise`` (n_steps, n_sensors) is -log p(x_t | past) in nats (and the units of values), NaN
    where a sensor is missing. ``pit`` (n_steps, n_values) is F(x_t | past), uniform if calibrated.
    ``probabilities`` (n_steps, n_symbols), ``mean`` and ``std`` (n_steps, n_values), by sensor, are
    of the predictions before each step, given the sensors before in the row (of the code, where a
    sensor encodes its columns);
    ``activity`` (n_steps, n_hidden) is that of the hidden nodes before each row, from which it is
    predicted; the monitor :class:`neurolp.Activity` records that after rows, so that its first
    sample is the second row of this array. These are empty unless asked for.
    Of many streams at once all arrays have the streams as one more axis, the first.
    ``monitors`` maps the names of variables and dimensions to what monitors have recorded.
    """

    surprise: Array
    pit: Array
    probabilities: dict[str, Array] = field(default_factory=dict)
    mean: dict[str, Array] = field(default_factory=dict)
    std: dict[str, Array] = field(default_factory=dict)
    activity: Array = field(default_factory=lambda: np.zeros((0, 0)))
    monitors: Mapping[str, Array] = field(default_factory=dict)

    @property
    def total(self) -> Array:
        """Surprise of each step, summed over the observed sensors, (n_steps,), nats."""
        return np.asarray(np.nansum(self.surprise, axis=-1))

    def __repr__(self) -> str:
        """Sizes, the mean surprise, and what else there is."""
        *streams, n_steps, n_sensors = self.surprise.shape
        about = [f"{n} streams" for n in streams]
        about += [f"{n_steps:,} steps", f"{n_sensors} sensor{'s' * (n_sensors != 1)}"]
        if self.surprise.size:
            about.append(f"mean surprise {self.total.mean():.4g} nats a step")
        asked = [name for name in ("probabilities", "mean", "std") if getattr(self, name)]
        asked += ["activity"] * (self.activity.size > 0)
        if asked:
            about.append(f"with {', '.join(asked)}")
        if self.monitors:
            about.append(f"monitors: {', '.join(self.monitors)}")
        return f"<StreamRun: {'; '.join(about)}>"


@dataclass(frozen=True)
class Outputs:
    """Output arrays of the kernels for ``n_steps``; those that were not asked for are empty."""

    sensors: Sequence[Sensor]
    outcome: Outcome
    activity: Array  # (n_steps, padded n_hidden)

    @classmethod
    def empty(
        cls,
        sensors: Sequence[Sensor],
        n_steps: int,
        predictions: bool,
        activity: Array,
        wanted: bool,
    ) -> Outputs:
        """Arrays for ``n_steps``; number of nodes and type are those of ``activity``."""
        n_outputs = places(sensors)[-1].outputs.stop
        expected = (n_steps if predictions else 0, n_outputs)
        shapes = (n_steps, len(sensors)), (n_steps, n_outputs), expected, expected
        return cls(
            sensors,
            Outcome(*(np.full(s, np.nan) for s in shapes)),
            np.zeros((n_steps if wanted else 0, len(activity)), activity.dtype),
        )

    def between(self, start: int, stop: int) -> Outputs:
        """Views of the arrays for some of the steps."""
        part = slice(start, stop)
        outcome = Outcome(*(a[part] for a in self.outcome))
        return Outputs(self.sensors, outcome, self.activity[part])

    def run(self, n_hidden: int) -> StreamRun:
        """Results by sensor."""
        probabilities, mean, std = {}, {}, {}
        values: list[int] = []
        for p in places(self.sensors):
            if not p.symbols:
                values.extend(range(p.outputs.start, p.outputs.stop))
            if self.outcome.prediction.size and p.symbols:
                probabilities[p.sensor.name] = self.outcome.prediction[..., p.outputs]
            elif self.outcome.prediction.size:
                mean[p.sensor.name] = self.outcome.prediction[..., p.outputs]
                std[p.sensor.name] = self.outcome.spread[..., p.outputs]
        return StreamRun(
            surprise=self.outcome.surprise,
            pit=self.outcome.pit[..., values],
            probabilities=probabilities,
            mean=mean,
            std=std,
            activity=self.activity[..., :n_hidden],
        )
