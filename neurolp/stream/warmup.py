"""Warm-up of sensors: broad predictions until units are taken from the first observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels.stream_cells import place_in_cell
from neurolp.kernels.stream_means import FIRST_VALUES
from neurolp.kernels.stream_state import Outcome
from neurolp.stream.experts import begin
from neurolp.stream.grid_prediction import GridPrediction, grid_of
from neurolp.stream.network import StreamState
from neurolp.stream.prediction import CodePrediction, ValuePrediction
from neurolp.stream.sensors import Place
from neurolp.stream.wiring import input_feature

# Shape of the broad prediction: normal nine times in ten, else a scale mixture of normals with
# tails like 1 / x^2 over twelve decades, as the first values may come in any units.
_OCTAVES = np.arange(41)
_WEIGHTS = np.where(_OCTAVES == 0, 0.9, 0.1 * 2.0**-_OCTAVES / (1 - 2.0**-40))
_SHAPE = np.stack([_WEIGHTS, np.zeros(41), 2.0**_OCTAVES], axis=-1)


class _Observations:
    """Observed values (d,) of a waiting sensor, and their sums."""

    def __init__(self, d: int) -> None:
        self.values: list[Array] = []
        self._total, self._squares = np.zeros(d), np.zeros(d)

    def add(self, x: Array) -> None:
        """Append one observation."""
        self.values.append(x.copy())
        self._total += x
        self._squares += x * x

    def prediction(self) -> ValuePrediction:
        """Each value around the mean of those before, as if a value of 0 +- 1 had come first."""
        n = 1 + len(self.values)
        mean = self._total / n
        squares = np.maximum(1 + self._squares - n * mean**2, np.finfo(np.float64).tiny)
        scale = np.sqrt((n + 1) / n * squares / n)
        shape = np.broadcast_to(_SHAPE, (len(mean), *_SHAPE.shape))
        return ValuePrediction.of_chain(mean, np.diag(scale), shape)


def _seen(
    prediction: ValuePrediction, x: Array, grid: tuple[float, float] | None, n: int
) -> tuple[float, Array]:
    """Surprise of values, and P(values <= x); of the n-th value on a grid as the kernels do."""
    if grid is None:
        return -float(np.sum(prediction.log_prob(x))), prediction.cdf(x)
    masses = GridPrediction(prediction, *grid)
    log_mass = masses.log_prob(x)
    below = masses.cdf(x) - (1.0 - place_in_cell(n)) * np.exp(log_mass)
    return -float(np.sum(log_mass - np.log(grid[0]))), below


class WarmUp:
    """Sensors whose location and scale are not known yet, and the codes seen meanwhile.

    Each sensor waits for ``n_steps`` observations of its own. Until then the network, which runs
    from the first row on, takes it for missing; then the units are fixed, and the codes of the last
    ``n_lags`` steps enter the memory. The
    first ``n_broad`` observations have a broad prediction; the experts, if there are any, have the
    others. Time and memory for ``n`` rows are linear in n.
    """

    def __init__(self, places: Sequence[Place], n_steps: int, n_lags: int, experts: bool) -> None:
        self._places, self._n_steps, self._n_lags = places, n_steps, n_lags
        self._n_broad = min(FIRST_VALUES, n_steps) if experts else n_steps
        self._waiting = {
            s: _Observations(p.n_outputs)
            for s, p in enumerate(places)
            if not p.symbols and p.sensor.units is None
        }
        self._recent = np.zeros((0, places[-1].codes.stop))  # codes of the last steps

    def __bool__(self) -> bool:
        """Whether any sensor waits."""
        return bool(self._waiting)

    def broad(self, s: int) -> bool:
        """Whether the sensor number ``s`` has a broad prediction."""
        return s in self._waiting and len(self._waiting[s].values) < self._n_broad

    @property
    def of_all(self) -> bool:
        """Whether all predictions are broad."""
        return all(self.broad(s) for s in range(len(self._places)))

    def prediction(self, s: int) -> CodePrediction | None:
        """Broad prediction of the next code of a sensor that has one; None of others."""
        return self._waiting[s].prediction() if self.broad(s) else None

    def n_until_ready(self, codes: Array) -> int:
        """Number of rows until something changes for a sensor; at most ``len(codes)``."""
        n = len(codes)
        for s, observed in self._waiting.items():
            steps = np.flatnonzero(~np.isnan(codes[:, self._places[s].codes.start]))
            wanted = self._n_broad if self.broad(s) else self._n_steps
            wanted -= len(observed.values)
            if len(steps) >= wanted:
                n = min(n, int(steps[wanted - 1]) + 1)
        return n

    def without_broad(self, codes: Array) -> Array:
        """Codes as the kernel gets them: those of sensors with broad predictions are missing."""
        out = codes.copy()
        for s in self._waiting:
            if self.broad(s):
                out[:, self._places[s].codes] = np.nan
        return out

    def observe(self, codes: Array, learn: bool, out: Outcome) -> None:
        """Predict and then observe codes (n, n_codes) of waiting sensors.

        The results of broad predictions are written to ``out``.
        Without ``learn`` only the memory of the last steps moves on.
        """
        surprise, pit, mean, std = out
        for s, observed in self._waiting.items():
            place = self._places[s]
            here = codes[:, place.codes]
            known = ~np.isnan(here[:, 0])
            if not self.broad(s):
                for x in here[known & learn]:
                    observed.add(x)
                continue
            prediction, changed = observed.prediction(), False
            for t in np.flatnonzero(known) if not len(mean) else range(len(codes)):
                if changed:
                    prediction, changed = observed.prediction(), False
                if len(mean):
                    mean[t, place.outputs], std[t, place.outputs] = prediction.mean, prediction.std
                if known[t]:
                    surprise[t, s], pit[t, place.outputs] = _seen(
                        prediction, here[t], grid_of(place.sensor), len(observed.values)
                    )
                if known[t] and learn:
                    observed.add(here[t])
                    changed = True
        joined = np.concatenate([self._recent, codes[max(len(codes) - self._n_lags, 0) :]])
        self._recent = joined[max(len(joined) - self._n_lags, 0) :]

    def fix_units(self, state: StreamState) -> None:
        """Let the experts begin, or the network: the units are fixed, the sensor waits no longer.

        A value that never changed has scale 1. Missing codes are remembered as the location.
        """
        for s, observed in self._waiting.items():
            v = state.experts.value[s]
            if v >= 0 and len(observed.values) == self._n_broad and not state.experts.seen[v]:
                begin(state.experts, s, np.array(observed.values))
        for s in [s for s, o in self._waiting.items() if len(o.values) >= self._n_steps]:
            self.fix_units_of(s, np.array(self._waiting[s].values), state)

    def fix_units_of(self, s: int, values: Array, state: StreamState) -> None:
        """Take the units of sensor ``s`` from ``values`` (n, d): it waits no longer.

        Its experts begin with what was observed, if they have not begun.
        """
        senses, place, own = state.senses, self._places[s], self._waiting.pop(s).values
        v = state.experts.value[s]
        if v >= 0 and own and not state.experts.seen[v]:
            begin(state.experts, s, np.array(own))
        location, std = values.mean(axis=0), values.std(axis=0)
        senses.ready[s] = 1
        senses.location[place.outputs] = location
        senses.scale[place.outputs] = np.where(std > 1e-12 * np.abs(location), std, 1.0)
        past = self._recent[:, place.codes] - senses.location[place.outputs]
        past = np.nan_to_num(past / senses.scale[place.outputs])
        for lag in range(1, len(past) + 1):
            start = input_feature(lag, place.outputs.start, len(senses.location))
            state.memory.features[start : start + place.n_outputs] = past[-lag]
        if not self._waiting:
            self._recent = self._recent[:0]

    def observed(self, s: int) -> list[Array]:
        """The values (d,) that sensor ``s`` has observed while it waits; none of others."""
        return self._waiting[s].values if s in self._waiting else []

    @property
    def waiting(self) -> list[int]:
        """Numbers of the sensors that wait for their units."""
        return list(self._waiting)

    def to_arrays(self) -> dict[str, Array]:
        """Everything as arrays: who waits, what was observed (NaN below it), the last codes."""
        n = max((len(o.values) for o in self._waiting.values()), default=0)
        values = np.full((n, self._recent.shape[1]), np.nan)
        for s, observed in self._waiting.items():
            if observed.values:
                values[: len(observed.values), self._places[s].codes] = observed.values
        waiting = np.array([s in self._waiting for s in range(len(self._places))], np.uint8)
        return {
            "warmup_waiting": waiting,
            "warmup_observations": values,
            "warmup_recent": self._recent,
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Go on from what :meth:`to_arrays` returned."""
        self._recent = np.asarray(arrays["warmup_recent"], np.float64)
        waiting = np.flatnonzero(arrays["warmup_waiting"])
        self._waiting = {int(s): self._waiting[int(s)] for s in waiting}
        for s, observed in self._waiting.items():
            for x in arrays["warmup_observations"][:, self._places[s].codes]:
                if not np.isnan(x[0]):
                    observed.add(x)
