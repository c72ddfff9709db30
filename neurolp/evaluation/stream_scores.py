"""Scores of the last fifth of a stream, from the windows in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neurolp.arrays import Array
from neurolp.storage.reader import Trajectory

if TYPE_CHECKING:
    import xarray


Variables = Mapping[str, "xarray.DataArray"]

LEARNED_FROM = 0.8
_USED = (
    "window_steps",
    "window_observed",
    "mean_surprise",
    "mean_true_surprise",
    "input_mean",
    "input_variance",
    "n_symbols",
    "n_columns",
    "sensor_rate",
)


@dataclass(frozen=True)
class Mean:
    """A mean in nats a step and its standard error from the means of windows (NaN for one)."""

    value: float
    error: float

    def __str__(self) -> str:
        error = "" if np.isnan(self.error) else f" +- {self.error:.4f}"
        return f"{self.value:.4f}{error}" if np.isfinite(self.value) else ""


@dataclass(frozen=True)
class Score:
    """Mean surprise of one sensor, or of all together, in the steps in which it was observed.

    ``brain`` is that of the brain; ``baseline`` that of independent, identically distributed
    symbols or Gaussian values, fitted on the first four fifths; ``rate`` the entropy rate of the
    source, and ``excess`` the mean difference to its surprise on the same steps, where known.
    """

    sensor: str
    brain: Mean
    baseline: Mean
    rate: float | None
    excess: Mean | None


def last_windows(file: Variables) -> Array:
    """Which windows (n_windows,) lie in the last fifth of the stream; at least the last."""
    ends = file["window_steps"].coords["window"].values
    starts = ends - file["window_steps"].values
    chosen = starts >= LEARNED_FROM * ends[-1]
    chosen[-1] = True
    return np.asarray(chosen)


def baseline_surprise(file: Variables) -> Array:
    """Mean surprise (n_windows, n_sensors) of the i.i.d. baseline; NaN where there are no data.

    Frequencies of symbols (half a count added to each), or mean and variance of values, are those
    of the first 80 % of the stream.
    """
    fit = ~last_windows(file)
    n_symbols = file["n_symbols"].values
    sizes = np.where(n_symbols > 0, n_symbols, file["n_columns"].values)
    of_output = np.repeat(np.arange(len(sizes)), sizes)
    mean, variance = file["input_mean"].values, file["input_variance"].values
    n = file["window_observed"].values[:, of_output].astype(np.float64)
    weight = np.where(n > 0, n, np.nan)[fit]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.nansum(weight, axis=0)
        m = np.nansum(weight * mean[fit], axis=0) / total
        v = np.nansum(weight * (variance[fit] + (mean[fit] - m) ** 2), axis=0) / total
        k = n_symbols[of_output]
        frequency = (m * total + 0.5) / (total + 0.5 * k)
        of_symbol = -mean * np.log(frequency)
        of_value = 0.5 * np.log(2 * np.pi * v) + (variance + (mean - m) ** 2) / (2 * v)
        cost = np.where(k > 0, of_symbol, of_value)
    out = np.empty((len(mean), len(n_symbols)))
    for j in range(len(n_symbols)):
        out[:, j] = cost[:, of_output == j].sum(axis=1)
    return np.where(np.isfinite(out), out, np.nan)


def scores(file: Trajectory) -> list[Score]:
    """Return the scores of every sensor and, where there are several, of all together."""
    found = {name: file[name] for name in _USED if name in file}  # each is looked up only once
    use = last_windows(found)
    names = [str(name) for name in found["mean_surprise"].coords["sensor"].values]
    n = found["window_observed"].values[use].astype(np.float64)
    steps = found["window_steps"].values[use].astype(np.float64)
    brain, plain = found["mean_surprise"].values[use], baseline_surprise(found)[use]
    rates = [None if np.isnan(r) else float(r) for r in found["sensor_rate"].values]
    truth = found["mean_true_surprise"].values[use] if "mean_true_surprise" in found else None
    all_brain, all_plain = (np.nansum(x * n, axis=1) / steps for x in (brain, plain))
    if np.isnan(plain).all(axis=0).any():
        all_plain = np.full(len(steps), np.nan)
    excess = None if truth is None else _mean(all_brain - truth, steps)
    out = []
    if len(names) > 1:
        for j, name in enumerate(names):
            scored = _mean(brain[:, j], n[:, j]), _mean(plain[:, j], n[:, j])
            out.append(Score(name, *scored, rates[j], None))
    total = file.result.get("rate")
    name = names[0] if len(names) == 1 else "all together"
    out.append(Score(name, _mean(all_brain, steps), _mean(all_plain, steps), total, excess))
    return out


def _mean(values: Array, weight: Array) -> Mean:
    known = np.isfinite(values) & (weight > 0)
    values, weight = values[known], weight[known]
    if not len(values):
        return Mean(np.nan, np.nan)
    mean = float(np.average(values, weights=weight))
    if len(values) < 2:
        return Mean(mean, np.nan)
    return Mean(mean, float(values.std(ddof=1) / np.sqrt(len(values))))
