"""Figures of predictions beside observations, and of dreams."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.parts import draw_columns, draw_intervals, last_records, share_y, step_axis
from neurolp.plotting.style import DENSITY, MODEL, OBSERVED, VERMILION, legend
from neurolp.simulation.stream_contents import StoredSensor
from neurolp.storage.reader import Trajectory

_SHOWN = {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5"}
_N_STEPS = 100
_FEW = 20  # records, below which no coverage is told
_LINE = 60  # characters
_ALPHABET = 20
_LAST, _DREAMED = "Observed: the last steps", "Dreamed: samples of the predictions that follow"


def plot_values(
    file: Trajectory, sensor: StoredSensor, ax: Axes, *, value: int = 0, relative: bool = False
) -> Axes:
    """Observed value, and the intervals that were predicted to hold it with 50 and 90 %.

    With ``relative`` all of it minus the predicted median.
    """
    steps, quantile, observed = _predicted(file, sensor, value)
    if relative:
        observed, quantile = observed - quantile[:, 2], quantile - quantile[:, [2]]
    if len(steps) >= _FEW:
        draw_intervals(ax, steps, quantile, MODEL)
    else:
        _draw_single_intervals(ax, steps, quantile)
    ax.scatter(steps, observed, s=10, color=OBSERVED, lw=0, zorder=3, label="observed")
    inside = (observed >= quantile[:, 0]) & (observed <= quantile[:, 4])
    known = ~np.isnan(observed)
    name = sensor.labels[value]
    share = ""
    if known.sum() >= _FEW:
        share = f" ({inside[known].sum()} of {known.sum()} in the 90 % interval)"
    what = "minus the predicted median" if relative else "one step ahead"
    ax.set(xlabel="step", ylabel=name, title=f"Prediction of {name}, {what}{share}")
    step_axis(ax)
    legend(ax)
    return ax


def plot_symbols(file: Trajectory, sensors: list[StoredSensor], ax: Axes) -> Axes:
    """Predicted probability of each symbol, and dots where it was observed; of two symbols one."""
    steps, rows = _last_steps(file)
    probability, observed = file["predicted"][rows].values, file["observed"][rows].values
    symbols = _named_symbols(sensors)
    shown = np.array([probability[:, s.outputs.start + k] for s, k, _ in symbols])
    dots = np.array([s.symbols(observed) == k for s, k, _ in symbols])
    labels = [label for _, _, label in symbols]
    rows_of = np.arange(len(shown))
    image = draw_columns(ax, steps, shown, y=rows_of, cmap=DENSITY, vmin=0, vmax=1, rasterized=True)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    y, x = np.nonzero(dots)
    ax.scatter(steps[x], y, s=12, color=VERMILION, lw=0, label="observed")
    ax.set_yticks(range(len(labels)), labels, fontsize="x-small" if len(labels) > 12 else "small")
    ax.set(xlabel="step", ylabel="symbol" if len(sensors) == 1 else "sensor and symbol")
    ax.set(title="Predicted probability of each symbol (dots: observed)")
    step_axis(ax)
    ax.figure.colorbar(image, ax=ax, label="probability", pad=0.01)
    return ax


def plot_dream_values(file: Trajectory, sensor: StoredSensor, axes: Array) -> Array:
    """Last observed values on the first Axes, as many dreamed values that follow on the second."""
    for ax, name, colour, title in (
        (axes[0], "last_rows", OBSERVED, _LAST),
        (axes[1], "dream", MODEL, _DREAMED),
    ):
        rows = file[name]
        steps = rows[rows.dims[0]].values
        ax.plot(steps, rows.values[:, sensor.columns][:, :3], color=colour, lw=1, marker=".", ms=3)
        ax.set(xlabel="step", title=title)
        step_axis(ax)
    axes[0].set_ylabel(sensor.name)
    share_y(axes)
    return axes


def plot_dream_symbols(file: Trajectory, sensors: list[StoredSensor], axes: Array) -> Array:
    """Last observed symbols, and dreamed symbols that follow; characters as text."""
    for ax, name, colour, title in (
        (axes[0], "last_rows", OBSERVED, _LAST),
        (axes[1], "dream", MODEL, _DREAMED),
    ):
        rows = file[name]
        if is_text(sensors):
            text = _text(rows.values, sensors[0])
            ax.set_axis_off()
            shown = ax.text(0, 1, text, family="monospace", fontsize=8, va="top", color=colour)
            shown.set_in_layout(False)  # what is too long is cut off
            shown.set_clip_on(True)
        else:
            _raster(ax, rows.values, rows[rows.dims[0]].values, sensors, colour)
        ax.set(title=title)
    return axes


def visible(label: str) -> str:
    """Label of a symbol, with white space as visible characters."""
    return _SHOWN.get(label, label)


def _last_steps(file: Trajectory) -> tuple[Array, slice]:
    """The last predicted steps, and their places among all."""
    steps = file["predicted"].coords["predicted_step"].values
    start = last_records(steps, _N_STEPS, _FEW)
    return steps[start:], slice(start, len(steps))


def _draw_single_intervals(ax: Axes, steps: Array, quantile: Array) -> None:
    """Intervals of a few steps, each a bar by itself."""
    for first, width, label in ((0, 2, "90 % interval"), (1, 5, "50 % interval")):
        low, high = quantile[:, first], quantile[:, 4 - first]
        ax.vlines(steps, low, high, color=MODEL, lw=width, alpha=0.4, label=label)
    ax.plot(steps, quantile[:, 2], "o", color=MODEL, ms=6, label="median")


def _predicted(file: Trajectory, sensor: StoredSensor, value: int) -> tuple[Array, Array, Array]:
    """Steps, predicted quantiles of a value, and its observations."""
    steps, rows = _last_steps(file)
    quantile = file["predicted_quantile"][rows, sensor.values.start + value].values
    return steps, quantile, file["observed"][rows, sensor.columns.start + value].values


def is_text(sensors: list[StoredSensor]) -> bool:
    """Whether there is one sensor, of characters: as many as an alphabet has."""
    of_one = all(len(label) == 1 for label in sensors[0].labels)
    return len(sensors) == 1 and of_one and sensors[0].n_symbols >= _ALPHABET


def _text(rows: Array, sensor: StoredSensor) -> str:
    text = "".join(sensor.labels[k] for k in sensor.symbols(rows) if k >= 0)
    lines = []
    for paragraph in text.split("\n"):
        lines += [*textwrap.wrap(paragraph, _LINE, replace_whitespace=False), ""]
    return "\n".join(lines).replace("$", r"\$")


def _named_symbols(sensors: list[StoredSensor]) -> list[tuple[StoredSensor, int, str]]:
    """Sensor, symbol and label of each symbol; of two symbols the second stands for both."""
    out = []
    for sensor in sensors:
        for k in range(1 if sensor.n_symbols == 2 else 0, sensor.n_symbols):
            symbol = visible(sensor.labels[k])
            label = sensor.name if sensor.n_symbols == 2 else f"{sensor.name} {symbol}".strip()
            out.append((sensor, k, symbol if len(sensors) == 1 else label))
    return out


def _raster(ax: Axes, rows: Array, steps: Array, sensors: list[StoredSensor], colour: str) -> None:
    symbols = _named_symbols(sensors)
    for place, (sensor, k, _) in enumerate(symbols):
        at = steps[sensor.symbols(rows) == k]
        ax.vlines(at, place - 0.4, place + 0.4, color=colour, lw=1)
    ax.set_yticks(range(len(symbols)), [label for _, _, label in symbols], fontsize="small")
    ylabel = "symbol" if len(sensors) == 1 else "sensor and symbol"
    ax.set(xlabel="step", ylabel=ylabel, ylim=(len(symbols) - 0.5, -0.5))
    step_axis(ax)
