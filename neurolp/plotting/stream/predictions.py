"""Pictures of what was expected and what came, and of what a brain dreams."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from neurolp.plotting.stream.surprise import detailed_steps
from neurolp.plotting.style import BLACK, BLUE, VERMILION
from neurolp.simulation.stream_contents import StoredSensor
from neurolp.storage.reader import Trajectory

Array = npt.NDArray[Any]

_SHOWN = {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5"}
_N_STEPS = 100
_LINE = 60  # characters
_ALPHABET = 20


def plot_values(
    file: Trajectory, sensor: StoredSensor, ax: Axes, *, value: int = 0, relative: bool = False
) -> Axes:
    """What came of a value, and 50 and 90 % of what was expected before it came.

    With ``relative`` all of it less the median of what was expected.
    """
    steps, quantile, came = _expected(file, sensor, value)
    if relative:
        came, quantile = came - quantile[:, 2], quantile - quantile[:, [2]]
    ax.fill_between(
        steps, quantile[:, 0], quantile[:, 4], color=BLUE, alpha=0.2, lw=0, label="expected: 90 %"
    )
    ax.fill_between(
        steps, quantile[:, 1], quantile[:, 3], color=BLUE, alpha=0.35, lw=0, label="50 %"
    )
    ax.plot(steps, quantile[:, 2], color=BLUE, lw=1.2, label="median")
    ax.scatter(steps, came, s=10, color=BLACK, lw=0, zorder=3, label="came")
    inside = (came >= quantile[:, 0]) & (came <= quantile[:, 4])
    known = ~np.isnan(came)
    name = sensor.labels[value]
    share = f" ({inside[known].mean():.0%} in the band)" if known.any() else ""
    what = "less the median of what was expected" if relative else "what was expected, and came"
    ax.set(xlabel="step", ylabel=name, title=f"{name}: {what}{share}")
    step_axis(ax)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.18 * (high - low))
    ax.legend(frameon=False, fontsize="small", ncols=4, loc="upper left")
    return ax


def plot_symbols(file: Trajectory, sensors: list[StoredSensor], ax: Axes) -> Axes:
    """Probability of every symbol before it came, and dots for what came; of two symbols one."""
    steps, rows = _last_steps(file)
    probability, came = file["predicted"][rows].values, file["came"][rows].values
    shown, dots, labels = [], [], []
    for sensor in sensors:
        first = 1 if sensor.n_symbols == 2 else 0
        for k in range(first, sensor.n_symbols):
            dots.append(came[:, sensor.columns.start] == k)
            shown.append(probability[:, sensor.outputs.start + k])
            label = visible(sensor.labels[k])
            labels.append(label if len(sensors) == 1 else f"{sensor.name} {label}".strip())
        if sensor.n_symbols == 2 and len(sensors) > 1:
            labels[-1] = sensor.name
    image = ax.imshow(
        np.array(shown),
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(steps[0] - 0.5, steps[-1] + 0.5, len(shown) - 0.5, -0.5),
    )
    y, x = np.nonzero(np.array(dots))
    ax.scatter(steps[x], y, s=12, color=VERMILION, lw=0, label="came")
    ax.set_yticks(range(len(labels)), labels, fontsize="x-small" if len(labels) > 12 else "small")
    ax.set(xlabel="step", title="Probability of each symbol before it came (dots: it came)")
    step_axis(ax)
    ax.figure.colorbar(image, ax=ax, label="probability", pad=0.01)
    return ax


def plot_dreamt_values(file: Trajectory, sensor: StoredSensor, axes: Array) -> Array:
    """The last values that came on the first Axes, as many dreamt on from there on the second."""
    for ax, name, colour, title in (
        (axes[0], "last_rows", BLACK, "what came last"),
        (axes[1], "dream", BLUE, "dreamt: samples of its own predictions"),
    ):
        rows = file[name]
        steps = rows[rows.dims[0]].values
        ax.plot(steps, rows.values[:, sensor.columns][:, :3], color=colour, lw=1, marker=".", ms=3)
        ax.set(xlabel="step", title=title)
        step_axis(ax)
    axes[0].set_ylabel(sensor.name)
    limits = np.array([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
    return axes


def plot_dreamt_symbols(file: Trajectory, sensors: list[StoredSensor], axes: Array) -> Array:
    """Symbols that came last and symbols dreamt; characters as text."""
    for ax, name, title in (
        (axes[0], "last_rows", "what came last"),
        (axes[1], "dream", "dreamt: samples of its own predictions"),
    ):
        rows = file[name]
        if is_text(sensors):
            text = _text(rows.values[:, sensors[0].columns.start], sensors[0])
            ax.set_axis_off()
            shown = ax.text(0, 1, text, family="monospace", fontsize=8, va="top")
            shown.set_in_layout(False)  # what is too long is cut off
            shown.set_clip_on(True)
        else:
            _raster(ax, rows.values, rows[rows.dims[0]].values, sensors)
        ax.set(title=title)
    return axes


def visible(label: str) -> str:
    """A character that can be seen."""
    return _SHOWN.get(label, label)


def step_axis(ax: Axes) -> None:
    """Whole numbers of steps, however large."""
    ax.margins(x=0.01)
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)


def _last_steps(file: Trajectory) -> tuple[Array, slice]:
    steps, rows = detailed_steps(file)
    return steps[-_N_STEPS:], slice(max(rows.start, rows.stop - _N_STEPS), rows.stop)


def _expected(file: Trajectory, sensor: StoredSensor, value: int) -> tuple[Array, Array, Array]:
    """Steps, quantiles of what was expected of a value, and what came."""
    steps, rows = _last_steps(file)
    quantile = file["predicted_quantile"][rows, sensor.values.start + value].values
    return steps, quantile, file["came"][rows, sensor.columns.start + value].values


def is_text(sensors: list[StoredSensor]) -> bool:
    """Whether there is one sensor, of characters: as many as an alphabet has."""
    of_one = all(len(label) == 1 for label in sensors[0].labels)
    return len(sensors) == 1 and of_one and sensors[0].n_symbols >= _ALPHABET


def _text(symbols: Array, sensor: StoredSensor) -> str:
    text = "".join(sensor.labels[int(k)] for k in symbols if not np.isnan(k))
    lines = []
    for paragraph in text.split("\n"):
        lines += [*textwrap.wrap(paragraph, _LINE, replace_whitespace=False), ""]
    return "\n".join(lines).replace("$", r"\$")


def _raster(ax: Axes, rows: Array, steps: Array, sensors: list[StoredSensor]) -> None:
    place, ticks = 0, []
    for sensor in sensors:
        symbols = rows[:, sensor.columns.start]
        for k in range(1 if sensor.n_symbols == 2 else 0, sensor.n_symbols):
            at = steps[symbols == k]
            ax.vlines(at, place - 0.4, place + 0.4, color=BLUE, lw=1)
            symbol = visible(sensor.labels[k])
            label = sensor.name if sensor.n_symbols == 2 else f"{sensor.name} {symbol}"
            ticks.append(symbol if len(sensors) == 1 else label)
            place += 1
    ax.set_yticks(range(place), ticks, fontsize="small")
    ax.set(xlabel="step", ylim=(place - 0.5, -0.5))
    step_axis(ax)
