"""Means over windows of a stream: surprise, moments of the input, calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurolp.arrays import Array
from neurolp.stream.sensors import Place

N_PIT_BINS = 20


class Window:
    """Sums over consecutive steps, added one after another: cutting them otherwise changes nothing.

    ``reference`` (n_columns,) is subtracted from values before they are squared, as a mean far
    from zero would cancel: the first value of each column, NaN until there was one. It is filled in
    here and handed on to the next window.
    """

    def __init__(self, places: tuple[Place, ...], reference: Array) -> None:
        self._places, self._reference = places, reference
        n_outputs, n_values = places[-1].outputs.stop, places[-1].values.stop
        self.n_steps = 0
        self.n_observed = np.zeros(len(places), dtype=np.int64)
        self.pit_counts = np.zeros((n_values, N_PIT_BINS), dtype=np.int32)
        self._surprise, self._truth = np.zeros(len(places)), np.zeros(1)
        self._input, self._square = np.zeros(n_outputs), np.zeros(n_outputs)

    def state(self) -> dict[str, Array]:
        """The sums, by name."""
        return {
            "n_observed": self.n_observed,
            "pit_counts": self.pit_counts,
            "surprise": self._surprise,
            "truth": self._truth,
            "input": self._input,
            "square": self._square,
        }

    def restore(self, n_steps: int, state: Mapping[str, Array]) -> None:
        """Go on from what :meth:`state` said after ``n_steps``."""
        self.n_steps = n_steps
        for name, values in self.state().items():
            values[...] = state[name]

    def add(self, rows: Array, surprise: Array, pit: Array, truth: Array | None) -> None:
        """Add steps: rows, surprise (n, n_sensors), PIT (n, n_values), true surprise (n,)."""
        for unknown in np.flatnonzero(np.isnan(self._reference)):
            seen = rows[~np.isnan(rows[:, unknown]), unknown]
            self._reference[unknown] = seen[0] if len(seen) else np.nan
        self.n_steps += len(rows)
        self.n_observed += observed(rows, self._places).sum(axis=0)
        _add_up(self._surprise, surprise)
        if truth is not None:
            _add_up(self._truth, truth[:, None])
        for p in self._places:
            part = rows[:, p.columns]
            if p.symbols:
                code = p.sensor.encode(part)[0]
                known = code[~np.isnan(code)].astype(np.int64)
                self._input[p.outputs] += np.bincount(known, minlength=p.n_outputs)
            else:
                difference = part - self._reference[p.columns]
                _add_up(self._input[p.outputs], difference)
                _add_up(self._square[p.outputs], difference**2)
        for j, column in enumerate(pit.T):
            bins = np.minimum(column[~np.isnan(column)] * N_PIT_BINS, N_PIT_BINS - 1)
            self.pit_counts[j] += np.bincount(bins.astype(np.int64), minlength=N_PIT_BINS)

    @property
    def total_surprise(self) -> float:
        """Mean over all steps of the surprise of all sensors together."""
        return float(self._surprise.sum() / self.n_steps)

    @property
    def true_surprise(self) -> float:
        """Mean true surprise."""
        return float(self._truth[0] / self.n_steps)

    @property
    def surprise(self) -> Array:
        """Mean surprise of each sensor where it brought something, else NaN."""
        return _mean(self._surprise, self.n_observed)

    def input_moments(self) -> tuple[Array, Array]:
        """Mean and variance of every value, frequency p of every symbol and p (1 - p)."""
        n = np.repeat(self.n_observed, [p.n_outputs for p in self._places])
        mean, square = _mean(self._input, n), _mean(self._square, n)
        variance = np.maximum(square - mean**2, 0.0)
        for p in self._places:
            if p.symbols:
                variance[p.outputs] = mean[p.outputs] * (1 - mean[p.outputs])
            else:
                mean[p.outputs] += self._reference[p.columns]
        return mean, variance


def observed(rows: Array, places: tuple[Place, ...]) -> Array:
    """Which sensors brought something (n, n_sensors)."""
    return ~np.isnan(rows[:, [p.columns.start for p in places]])


def _add_up(total: Array, values: Array) -> None:
    """Add rows to ``total`` in their order; NaN counts as 0."""
    known = np.where(np.isnan(values), 0.0, values)
    total[:] = np.add.accumulate(np.vstack([total, known]))[-1]


def _mean(total: Array, n: Array) -> Array:
    with np.errstate(invalid="ignore"):  # 0 / 0: nothing observed, no mean
        return np.asarray(total / n)
