"""Figures of weights: of the readout, of hidden nodes, and between sensors."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.parts import draw_signed, matrix_of, name_axis
from neurolp.plotting.stream.predictions import visible
from neurolp.plotting.style import BLUE, GREY, PALE, SERIES, VERMILION, count_axis, legend
from neurolp.simulation.stream_contents import StoredSensor, stored_sensors
from neurolp.storage.reader import Trajectory

_N_COLUMNS = 400  # of the image of a readout: more cannot be told apart
_N_MATRIX = 1000  # nodes of a matrix
_N_POINTS = 5000
_MOST_CURVES = 6
_MOST_LABELS = 50  # of an axis
FEW_LAGS = 3  # whose weights are a narrow panel


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
            if n_lags <= FEW_LAGS:
                ax.vlines(lags, 0, weights[i, :, j], color=colour, lw=1)
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
        if n_outputs <= _MOST_LABELS:
            ax.set_yticks(range(n_outputs), labels, fontsize="x-small")
        ax.set(xlabel="lag (steps); in each, all outputs in turn", ylabel="output")
    ax.set(title="Readout weights from the past")
    return ax


def hidden_weights(file: Trajectory) -> Array:
    """Last readout weights from hidden nodes, (n_outputs, n_hidden)."""
    readout = file["readout"][-1].values
    return readout[:, readout.shape[1] - _n_hidden(file) :]


def plot_hidden_readout(file: Trajectory, ax: Axes) -> Axes:
    """Readout weights from hidden nodes, in their order: of few outputs lines, else an image."""
    weights, labels = hidden_weights(file), output_labels(stored_sensors(file))
    nodes = np.arange(weights.shape[1])
    if len(weights) <= _MOST_CURVES:
        for row, label, colour in zip(weights, labels, SERIES, strict=False):
            ax.vlines(nodes, 0, row, color=colour, lw=0.8, alpha=0.6)
            ax.plot(nodes, row, "o", color=colour, ms=3, label=f"to {label}")
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set(ylabel="weight (standard deviations)", xlim=(-0.8, len(nodes) - 0.2))
    else:
        draw_signed(ax, weights, label="weight (standard deviations)", aspect="auto")
        if len(labels) <= _MOST_LABELS:
            ax.set_yticks(range(len(labels)), labels, fontsize="x-small")
        ax.set_ylabel("output")
    name_axis(ax.xaxis, file.read("hidden"))
    ax.set(xlabel="hidden node", title="Readout weights from hidden nodes")
    if 1 < len(weights) <= _MOST_CURVES:
        legend(ax)
    return ax


def plot_recurrent(file: Trajectory, ax: Axes) -> Axes:
    """Last weights between the first hidden nodes; grey where there is no edge."""
    last, n = file["recurrent"][-1].values, _n_hidden(file)
    shown = min(n, _N_MATRIX)
    matrix = np.where(last == 0, np.nan, last)
    if last.ndim == 1:
        target, source = file["recurrent_target"].values, file["recurrent_source"].values
        matrix = matrix_of(last, target, source, n)
    draw_signed(ax, matrix[:shown, :shown], top=_top(last), label="weight")
    ax.set_facecolor(PALE)
    which = "" if shown == n else f" of the first {shown} nodes"
    ax.set(xlabel="source (hidden node)", ylabel="target (hidden node)")
    for axis in (ax.xaxis, ax.yaxis):
        name_axis(axis, file.read("hidden")[:shown])
    ax.set(title=f"Recurrent weights{which}")
    return ax


def plot_recurrent_change(file: Trajectory, ax: Axes) -> Axes:
    """All last weights between hidden nodes against the first ones."""
    recurrent = file["recurrent"]
    times = recurrent[recurrent.dims[0]].values
    first, last = recurrent[0].values.ravel(), recurrent[-1].values.ravel()
    every = slice(None, None, max(1, len(last) // _N_POINTS))
    top = 1.05 * max(float(np.abs(weights[every]).max()) for weights in (first, last)) or 1.0
    ax.plot([-top, top], [-top, top], color=GREY, lw=1)
    ax.scatter(first[every], last[every], s=4, color=BLUE, lw=0, alpha=0.5)
    ax.set(xlim=(-top, top), ylim=(-top, top), aspect="equal")
    ax.locator_params(nbins=5)
    ax.set(xlabel=f"weight after {times[0]:,} steps", ylabel=f"weight after {times[-1]:,} steps")
    said = " (none has changed)" if np.array_equal(first, last) else ""
    ax.set(title=f"Change of the recurrent weights{said}")
    return ax


def _top(weights: Array) -> float:
    """Where the colours of weights end: what one in a hundred edges goes beyond."""
    edges = np.abs(weights[weights != 0])
    return float(np.quantile(edges, 0.99)) if edges.size else 1.0


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
