"""Figures of the experiment ``reservoir``."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.style import MODEL, OBSERVED_AREA, SERIES, SKY, THEORY, VERMILION, legend
from neurolp.storage.reader import Trajectory

_BRAINS = (VERMILION, SKY, MODEL)  # fixed reservoir, without experts, default
_CAPACITY = (
    "How much of its past input a network with fixed random weights still holds. Left: the memory "
    "capacity against the spectral radius of the weights; it grows up to a radius near 1 and then "
    "falls. Right: how well the input of each delay can be told."
)
_FREE_RUN = (
    "Forecasts of the Mackey-Glass equation that are fed with their own predictions. Left: one "
    "forecast of each brain, and the truth (grey). Right: the error of all forecasts, relative to "
    "the standard deviation of the series; lower is better, and 1 is no knowledge."
)


def plot_capacity(file: Trajectory, ax: Axes) -> Axes:
    """Memory capacity against the spectral radius: every seed, and mean and standard deviation."""
    capacity = file["capacity"]
    radius, values = capacity.coords["spectral_radius"].values, capacity.values
    n_nodes = len(file["capacity_by_delay"].coords["delay"]) // 2
    ax.plot(radius, values, "o", color=SERIES[0], ms=2.5, alpha=0.4)
    ax.errorbar(
        radius, values.mean(axis=1), values.std(axis=1), color=SERIES[0], lw=1.8, capsize=3,
        label="mean and standard deviation of seeds",
    )  # fmt: skip
    ax.axvline(1, color=THEORY, ls=":", lw=1.2, label="spectral radius 1")
    ax.set(xlabel="spectral radius", ylabel="memory capacity (past inputs)", ylim=(0, None))
    ax.set(title=f"Memory capacity of {n_nodes} hidden nodes")
    legend(ax)
    return ax


def plot_forgetting(file: Trajectory, ax: Axes) -> Axes:
    """How well input of each delay is told, at some of the spectral radii; mean over seeds."""
    curves = file["capacity_by_delay"]
    radius, delay = (curves.coords[name].values for name in ("spectral_radius", "delay"))
    wanted = np.unique(np.linspace(0, len(radius) - 1, min(len(radius), 5)).round().astype(int))
    for k, colour in zip(wanted, SERIES, strict=False):
        mean = curves.values[k].mean(axis=0)
        ax.plot(delay, mean, color=colour, lw=1.6, label=f"spectral radius {radius[k]:g}")
    ax.set(xlabel="delay (steps)", ylabel="squared correlation", ylim=(0, 1.02))
    ax.set(title="Recall of the input after a delay", xlim=(1, 0.6 * delay[-1]))
    legend(ax)
    return ax


def plot_free_run(file: Trajectory, ax: Axes, *, run: int = 0) -> Axes:
    """One free run of each brain after the last true value, and the true values."""
    known, truth = file["known"].sel(run=run), file["truth"].sel(run=run)
    before, ahead = known.coords["before"].values, truth.coords["ahead"].values
    time = np.concatenate([before, ahead])
    ax.plot(
        time,
        np.concatenate([known.values, truth.values]),
        color=OBSERVED_AREA,
        lw=4,
        label="observed",
    )
    free = file["free_run"].sel(run=run)
    for name, values, colour in zip(
        free.coords["brain"].values, free.values, _BRAINS, strict=False
    ):
        ax.plot(ahead, values, color=colour, lw=1.4, label=str(name))
    ax.axvline(0, color=THEORY, ls=":", lw=1.2)
    ax.set(xlabel="steps since the last observed value", ylabel="value of the series")
    ax.set(title="A free run of each brain", xlim=(time[0], time[-1]))
    legend(ax)
    return ax


def plot_error(file: Trajectory, ax: Axes) -> Axes:
    """Root mean squared error of free runs against the steps ahead, in standard deviations."""
    error = file["nrmse"]
    ahead = error.coords["ahead"].values
    for name, curve, colour in zip(
        error.coords["brain"].values, error.values, _BRAINS, strict=False
    ):
        ax.plot(ahead, curve, color=colour, lw=1.8, label=str(name))
    ax.set(xlabel="steps ahead", ylabel="root mean square error (standard deviations)")
    ax.set(title="Error of free runs", yscale="log", xlim=(ahead[0], ahead[-1]))
    legend(ax)
    return ax


def draw(file: Trajectory, figure: NewFigure) -> None:
    """All figures."""
    axes = figure("memory_capacity", 11, 4, _CAPACITY).subplots(1, 2)
    plot_capacity(file, axes[0])
    plot_forgetting(file, axes[1])
    axes = figure("free_run", 14, 4, _FREE_RUN).subplots(1, 2, width_ratios=(2, 1))
    plot_free_run(file, axes[0])
    plot_error(file, axes[1])
