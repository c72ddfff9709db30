"""Figures of weights and activity: readout, recurrent weights, and weights between sensors."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.parts import draw_signed, last_run, matrix_of, step_axis
from neurolp.plotting.stream.predictions import visible
from neurolp.plotting.style import BLUE, GREY, PALE, SERIES, VERMILION, count_axis, legend
from neurolp.simulation.stream_contents import StoredSensor, stored_sensors
from neurolp.storage.reader import Trajectory

_N_COLUMNS = 400  # of the image of a readout: more cannot be told apart
_N_NODES = 100  # of a raster
_N_MATRIX = 200  # of a matrix
_N_POINTS = 5000
_MOST_NAMES = 30  # nodes whose names are written beside a raster


def input_weights(file: Trajectory) -> Array:
    """Last readout weights from past outputs, (n_outputs, n_lags, n_outputs)."""
    readout = file["readout"][-1].values
    n_outputs = len(readout)
    n_lags = (readout.shape[1] - 1 - _n_hidden(file)) // n_outputs
    return readout[:, 1 : 1 + n_lags * n_outputs].reshape(n_outputs, n_lags, n_outputs)


def plot_readout(file: Trajectory, ax: Axes) -> Axes:
    """Readout weights from past outputs; each block of columns is one lag.

    Those of one or two values are lines over the lags.
    """
    weights = input_weights(file)
    n_outputs, n_lags = weights.shape[:2]
    sensors = stored_sensors(file)
    labels = output_labels(sensors)
    lags = np.arange(1, n_lags + 1)
    if n_outputs <= 2 and not any(s.n_symbols for s in sensors):
        pairs = [(i, j) for i in range(n_outputs) for j in range(n_outputs)]
        for (i, j), colour in zip(pairs, SERIES, strict=False):
            name = labels[i] if n_outputs == 1 else f"{labels[j]} to {labels[i]}"
            ax.plot(
                lags, weights[i, :, j], color=colour, lw=1.6, ls=":", marker="o", ms=5, label=name
            )
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set(xlabel="lag (steps)", ylabel="weight (standard deviations)")
        count_axis(ax.xaxis)
        if len(pairs) > 1:
            legend(ax)
    else:
        shown = max(1, min(n_lags, _N_COLUMNS // n_outputs))
        flat = weights[:, :shown].reshape(n_outputs, -1)
        draw_signed(ax, flat, label="weight (standard deviations)", aspect="auto")
        for d in range(1, shown):
            ax.axvline(d * n_outputs - 0.5, color=GREY, lw=0.7)
        middles = (np.arange(shown) + 0.5) * n_outputs - 0.5
        ax.set_xticks(middles, [str(d) for d in lags[:shown]], fontsize="small")
        if n_outputs <= 50:
            ax.set_yticks(range(n_outputs), labels, fontsize="x-small")
        ax.set(xlabel="lag (steps); in each, all outputs in turn", ylabel="output")
    ax.set(title="Readout weights: from earlier observations to the next")
    return ax


def plot_recurrent(file: Trajectory, axes: Array) -> Array:
    """Last weights between the first hidden nodes; and all last weights against the first ones."""
    recurrent = file["recurrent"]
    times, last = recurrent[recurrent.dims[0]].values, recurrent[-1].values
    n, shown = _n_hidden(file), min(_n_hidden(file), _N_MATRIX)
    matrix = last
    if last.ndim == 1:
        target, source = file["recurrent_target"].values, file["recurrent_source"].values
        matrix = matrix_of(last, target, source, n)
    top = float(np.quantile(np.abs(last), 0.99)) or 1.0
    draw_signed(axes[0], matrix[:shown, :shown], top=top, label="weight")
    axes[0].set_facecolor(PALE)
    which = "" if shown == n else f" of the first {shown} nodes"
    axes[0].set(xlabel="source (hidden node)", ylabel="target (hidden node)")
    count_axis(axes[0].xaxis)
    count_axis(axes[0].yaxis)
    axes[0].set(title=f"Recurrent weights{which}")

    first, flat = recurrent[0].values.ravel(), last.ravel()
    every = slice(None, None, max(1, len(flat) // _N_POINTS))
    axes[1].plot([-2 * top, 2 * top], [-2 * top, 2 * top], color=GREY, lw=1)
    axes[1].scatter(first[every], flat[every], s=4, color=BLUE, lw=0, alpha=0.5)
    axes[1].set(xlim=(-1.6 * top, 1.6 * top), ylim=(-1.6 * top, 1.6 * top), aspect="equal")
    axes[1].set(
        xlabel=f"weight after {times[0]:,} steps", ylabel=f"weight after {times[-1]:,} steps"
    )
    axes[1].set(title="Recurrent weights before and after learning")
    return axes


def plot_activity(file: Trajectory, ax: Axes, *, whole: bool = False) -> Axes:
    """Activity of up to a hundred hidden nodes, those that vary most, in the last steps.

    With ``whole`` at all recorded times instead, one after the other.
    """
    activity = file["activity"]
    time, values = activity.coords["activity_time"].values, activity.values
    chosen = np.sort(np.argsort(-values.std(axis=0), kind="stable")[:_N_NODES])
    if not whole:
        start = last_run(time)
        time, values = time[start:], values[start:]
    bounds = np.concatenate([time[:1] - 0.5, (time[1:] + time[:-1]) / 2, time[-1:] + 0.5])
    places = np.arange(len(chosen) + 1) - 0.5
    shown = values[:, chosen].T
    image = ax.pcolormesh(bounds, places, shown, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True)
    ax.figure.colorbar(image, ax=ax, label="activity", pad=0.01)
    n, names = values.shape[1], [str(v) for v in activity.coords[activity.dims[1]].values[chosen]]
    some = "" if len(chosen) == n else f", the {len(chosen)} of {n} that vary most"
    when = "whole run" if whole else "last steps"
    ax.set(xlabel="step", ylabel=f"hidden node{some}", title=f"Activity, {when}")
    if len(chosen) <= _MOST_NAMES:
        ax.set_yticks(range(len(chosen)), names, fontsize="small")
    else:
        ticks = np.linspace(0, len(chosen) - 1, 6).astype(int)
        ax.set_yticks(ticks, [names[k] for k in ticks], fontsize="small")
    ax.invert_yaxis()
    step_axis(ax)
    return ax


def has_earlier_activity(file: Trajectory) -> bool:
    """Whether activity was recorded before the last run of consecutive steps."""
    return last_run(file["activity"].coords["activity_time"].values) > 1


def arrows(file: Trajectory) -> Array:
    """Size of the readout weights between sensors, (n_sources, n_targets, n_lags).

    Between sensors of two symbols, the change of the log-odds when the one occurs; else the size of
    the block of weights (Frobenius), those of symbols centred over the symbols.
    """
    sensors, weights = stored_sensors(file), input_weights(file)
    out = np.empty((len(sensors), len(sensors), weights.shape[1]))
    for j, to in enumerate(sensors):
        for i, source in enumerate(sensors):
            block = weights[to.outputs, :, source.outputs]
            if to.n_symbols:
                block = block - block.mean(axis=0, keepdims=True)
            if source.n_symbols:
                block = block - block.mean(axis=2, keepdims=True)
            if to.n_symbols == source.n_symbols == 2:
                # Nodes see a symbol in units of n_symbols ** -0.5.
                out[i, j] = (block[1, :, 1] - block[1, :, 0] - block[0, :, 1] + block[0, :, 0]) * (
                    2**0.5
                )
            else:
                out[i, j] = np.sqrt((block**2).sum(axis=(0, 2)))
    return out


def plot_arrows(file: Trajectory, axes: Array) -> Array:
    """Weights between sensors, one matrix for each of the first lags."""
    strength = arrows(file)
    names = [sensor.name for sensor in stored_sensors(file)]
    top = float(np.abs(strength).max()) or 1.0
    image = None
    for d, ax in enumerate(axes):
        image = draw_signed(ax, strength[:, :, d], top=top)
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
        ax.set_yticks(range(len(names)), names if d == 0 else [], fontsize="x-small")
        ax.set(title=f"lag {d + 1}", xlabel="to")
    axes[0].set_ylabel("from")
    unit = "change of log-odds" if all(s.n_symbols == 2 for s in stored_sensors(file)) else "size"
    axes[-1].figure.colorbar(image, ax=list(axes), label=unit, pad=0.01)
    return axes


def plot_graph(file: Trajectory, ax: Axes) -> Axes:
    """Sensors in a circle, with arrows as wide as the largest weight between two over all lags.

    Arrows weaker than a quarter of the strongest are left out.
    """
    strength = np.abs(arrows(file))
    names = [sensor.name for sensor in stored_sensors(file)]
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    place = np.column_stack([np.cos(angle), np.sin(angle)])
    off = ~np.eye(len(names), dtype=bool)
    top = float(strength[off].max()) or 1.0
    for i, j in np.argwhere(off):
        d = int(np.argmax(strength[i, j]))
        size = strength[i, j, d] / top
        if size < 0.25:
            continue
        style = {
            "arrowstyle": "-|>", "lw": 1 + 3 * size, "color": VERMILION, "shrinkA": 28,
            "shrinkB": 28, "connectionstyle": "arc3,rad=0.15", "mutation_scale": 18,
        }  # fmt: skip
        ax.annotate("", place[j], place[i], arrowprops=style)
        middle = 0.5 * (place[i] + place[j])
        across = np.array([place[j, 1] - place[i, 1], place[i, 0] - place[j, 0]])
        x, y = middle + 0.22 * across
        ax.text(x, y, f"lag {d + 1}", fontsize="small", color=VERMILION, ha="center", va="center")
    for (x, y), name in zip(place, names, strict=True):
        ax.scatter([x], [y], s=2200, color="white", edgecolor=BLUE, lw=1.5, zorder=3)
        ax.text(x, y, name.replace(" ", "\n"), ha="center", va="center", fontsize=7, zorder=4)
    ax.set(
        xlim=(-1.5, 1.5),
        ylim=(-1.4, 1.4),
        aspect="equal",
        title="Strongest readout weights between sensors",
    )
    ax.set_axis_off()
    return ax


def output_labels(sensors: tuple[StoredSensor, ...]) -> list[str]:
    """Short names of all outputs."""
    if len(sensors) == 1:
        return [visible(label) for label in sensors[0].labels]
    return [
        f"{s.name} {visible(label)}" if s.n_symbols else label
        for s in sensors
        for label in s.labels
    ]


def _n_hidden(file: Trajectory) -> int:
    return len(file.read("hidden")) if "hidden" in file else 0
