"""What a brain told while a stream went by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.kernels.stream_state import Outcome
from neurolp.stream.sensors import CategoricalSensor, Sensor

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StreamRun:
    """What a brain told while rows were presented.

    ``surprise`` (n_steps, n_sensors) is -log Phi(x_t | what came before), nats (and the units of
    values), NaN where a sensor brought nothing. ``pit`` (n_steps, n_values) has the distribution
    functions at the values that came. ``probabilities``, ``mean`` and ``std`` say by sensor what
    was expected before each step, ``activity`` (n_steps, n_hidden) with which activity it was met;
    they are empty unless asked for.
    """

    surprise: Array
    pit: Array
    probabilities: dict[str, Array] = field(default_factory=dict)
    mean: dict[str, Array] = field(default_factory=dict)
    std: dict[str, Array] = field(default_factory=dict)
    activity: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def total(self) -> Array:
        """Surprise of each step over the sensors that brought something, (n_steps,), nats."""
        return np.asarray(np.nansum(self.surprise, axis=1))


@dataclass(frozen=True)
class Notes:
    """Room for what kernels tell of ``n_steps``; arrays that were not asked for are empty."""

    sensors: Sequence[Sensor]
    outcome: Outcome
    activity: Array  # (n_steps, padded n_hidden)
    n_hidden: int

    @classmethod
    def blank(
        cls,
        sensors: Sequence[Sensor],
        n_steps: int,
        predictions: bool,
        activity: Array,
        wanted: bool,
    ) -> Notes:
        """Room for ``n_steps``; ``activity`` shows of how many nodes, in which type."""
        n_outputs = sum(s.n_outputs for s in sensors)
        expected = n_steps if predictions else 0
        return cls(
            sensors,
            Outcome(
                np.full((n_steps, len(sensors)), np.nan),
                np.full((n_steps, n_outputs), np.nan),
                np.full((expected, n_outputs), np.nan),
                np.full((expected, n_outputs), np.nan),
            ),
            np.zeros((n_steps if wanted else 0, len(activity)), activity.dtype),
            len(activity),
        )

    def after(self, step: int) -> Notes:
        """The same room without the first steps."""
        return Notes(
            self.sensors,
            Outcome(*(a[step:] for a in self.outcome)),
            self.activity[step:],
            self.n_hidden,
        )

    def run(self, n_hidden: int) -> StreamRun:
        """What was told, by sensor."""
        probabilities, mean, std = {}, {}, {}
        values: list[int] = []
        start = 0
        for sensor in self.sensors:
            at = slice(start, start + sensor.n_outputs)
            start = at.stop
            told = len(self.outcome.prediction) > 0
            if not isinstance(sensor, CategoricalSensor):
                values.extend(range(at.start, at.stop))
            if told and isinstance(sensor, CategoricalSensor):
                probabilities[sensor.name] = self.outcome.prediction[:, at]
            elif told:
                mean[sensor.name] = self.outcome.prediction[:, at]
                std[sensor.name] = self.outcome.spread[:, at]
        return StreamRun(
            surprise=self.outcome.surprise,
            pit=self.outcome.pit[:, values],
            probabilities=probabilities,
            mean=mean,
            std=std,
            activity=self.activity[:, :n_hidden],
        )
