"""Figures of surprise over time, of the excess over the source, and of calibration."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.evaluation.stream_scores import baseline_surprise, last_windows
from neurolp.plotting.parts import draw_pit, last_run, step_axis
from neurolp.plotting.style import GREY, MODEL, SERIES, THEORY, legend
from neurolp.storage.reader import Trajectory

_PER_STEP = "negative log-likelihood (nats per step)"


def plot_surprise(file: Trajectory, ax: Axes) -> Axes:
    """Mean surprise of each window, and smoothed, summed over the sensors.

    Lines show the entropy rate of the source and the i.i.d. baseline.
    """
    time = file["mean_surprise"].coords["window"].values
    total = total_surprise(file)
    ax.plot(time, total, color=MODEL, lw=0.6, alpha=0.35)
    ax.plot(time, smoothed(total), color=MODEL, lw=2, label="brain (smoothed)")
    plain = _together(file, baseline_surprise(file))[last_windows(file)]
    lines: list[float] = []
    if np.isfinite(plain).all():
        lines.append(float(plain.mean()))
        ax.axhline(lines[0], color=GREY, ls=":", lw=1.6, label="i.i.d. baseline")
    low, name = file.result.get("rate"), "entropy rate"
    if low is None:
        low, name = file.result.get("bound"), "lower bound of the entropy rate"
    if low is not None:
        lines.append(low)
        ax.axhline(low, color=THEORY, ls="--", lw=1.4, label=name)
    ax.set(xlabel="step", ylabel=_PER_STEP, title="Mean negative log-likelihood")
    ax.set_xlim(0, time[-1])
    ax.set_ylim(*_limits(total, lines))
    legend(ax)
    return ax


def plot_excess(file: Trajectory, ax: Axes) -> Axes:
    """Mean surprise minus that of the source itself on the same steps.

    Means over intervals of doubling length, from the windows in the file.
    """
    time = file["mean_surprise"].coords["window"].values.astype(np.float64)
    steps = file["window_steps"].values
    excess = total_surprise(file) - file["mean_true_surprise"].values
    edges = np.unique(np.geomspace(1, len(time), 16).round().astype(int))
    parts = [slice(a, b) for a, b in zip([0, *edges[:-1]], edges, strict=True)]
    mean = np.array([np.average(excess[p], weights=steps[p]) for p in parts])
    error = np.array([_error(excess[p]) for p in parts])
    middle = np.array([(time[p][0] - steps[p][0] + time[p][-1]) / 2 for p in parts])
    ax.errorbar(middle, mean, error, color=MODEL, lw=1.8, marker="o", ms=4, capsize=2)
    ax.axhline(0, color=THEORY, ls="--", lw=1.4)
    ax.set(xscale="log", xlabel="step", ylabel="excess (nats per step)")
    ax.set(title="Excess over the negative log-likelihood of the source")
    if (mean > 0).all():  # an error bar may reach to 0 and below: it is cut off
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(mean.min() / 2, mean.max() * 2)
    return ax


def plot_sensors(file: Trajectory, ax: Axes) -> Axes:
    """Smoothed mean surprise of every sensor, and its entropy rate dashed in the same colour."""
    surprise = file["mean_surprise"]
    time, rates = surprise.coords["window"].values, file["sensor_rate"].values
    shown = list(range(len(rates)))[: len(SERIES)]
    for j, colour in zip(shown, SERIES, strict=False):
        name = str(surprise.coords["sensor"].values[j])
        ax.plot(time, smoothed(surprise.values[:, j]), color=colour, lw=1.6, label=name)
        if not np.isnan(rates[j]):
            ax.axhline(rates[j], color=colour, ls="--", lw=1)
    ax.set(xlabel="step", ylabel=_PER_STEP, xlim=(0, time[-1]))
    ax.set(title="Mean negative log-likelihood by sensor (dashed: entropy rate)")
    legend(ax)
    return ax


def plot_pit(file: Trajectory, ax: Axes) -> Axes:
    """Histogram of F(x_t | past) in the last fifth: flat, within the band, if calibrated.

    Up to six values have a line each; more, as the pixels of a frame, are pooled.
    """
    counts = file["pit_counts"].values[last_windows(file)].sum(axis=0)
    names = [str(name) for name in file["pit_counts"].coords["value"].values]
    if len(names) > len(SERIES):
        counts, names = counts.sum(axis=0, keepdims=True), [f"{len(names)} values pooled"]
    draw_pit(ax, counts, names)
    ax.set(title="Calibration in the last fifth (flat if calibrated)")
    return ax


def plot_step_surprise(file: Trajectory, ax: Axes) -> Axes:
    """Surprise of every step predicted in detail at the end of the stream."""
    steps, _ = detailed_steps(file)
    if "surprise" in file and len(steps):
        surprise = file["surprise"][int(steps[0]) : int(steps[-1]) + 1].values
        ax.plot(steps, np.nansum(surprise, axis=1), color=MODEL, lw=1.4)
    ax.set(xlabel="step", ylabel="nats per step", title="Negative log-likelihood of each step")
    step_axis(ax)
    return ax


def total_surprise(file: Trajectory) -> Array:
    """Mean surprise of each window, all sensors together (n_windows,)."""
    return _together(file, file["mean_surprise"].values)


def smoothed(values: Array) -> Array:
    """Running mean over about a twentieth of all values; shorter at the ends."""
    width = max(1, len(values) // 20)
    known = np.isfinite(values)
    kernel = np.ones(width)
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    n = np.convolve(known.astype(np.float64), kernel, "same")
    with np.errstate(invalid="ignore"):
        return np.asarray(total / n)


def detailed_steps(file: Trajectory) -> tuple[Array, slice]:
    """The last run of consecutive predicted steps, and its place among the predictions."""
    if "predicted" not in file:
        return np.empty(0, dtype=np.int64), slice(0, 0)
    steps = file["predicted"].coords["predicted_step"].values
    start = last_run(steps)
    return steps[start:], slice(start, len(steps))


def _together(file: Trajectory, by_sensor: Array) -> Array:
    n = file["window_observed"].values
    weighted = np.where(n > 0, by_sensor * n, 0.0)
    return np.asarray(weighted.sum(axis=1) / file["window_steps"].values)


def _error(values: Array) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0


def _limits(values: Array, lines: list[float]) -> tuple[float, float]:
    """Room for the curve after its first steps, which may be far above everything else."""
    later = values[len(values) // 50 :]
    low = min([*lines, float(np.nanmin(later))])
    high = max([*lines, float(np.nanquantile(later, 0.995))])
    room = 0.08 * (high - low or 1.0)
    return low - room, high + 3 * room
