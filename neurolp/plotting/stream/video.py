"""Figures of video: observed, predicted and dreamed frames, and fields of weights."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.parts import draw_signed, tiled
from neurolp.plotting.stream.surprise import detailed_steps
from neurolp.plotting.stream.weights import input_weights
from neurolp.storage.reader import Trajectory


def plot_frames(file: Trajectory, axes: Array, *, n: int = 12) -> Array:
    """Last frames as observed, their predicted means, and the frames dreamed after them."""
    _, rows = detailed_steps(file)
    start = max(rows.start, rows.stop - n)
    observed, predicted = (file[name][start : rows.stop] for name in ("observed", "predicted"))
    steps = observed.coords["predicted_step"].values
    sheets = [
        (f"Observed: steps {steps[0]:,} to {steps[-1]:,}", observed.values),
        ("Predicted: the mean, one step before", predicted.values),
    ]
    if "dream" in file:
        sheets.append(
            ("Dreamed: samples of the predictions that follow", file["dream"][: len(steps)].values)
        )
    low, high = np.quantile(observed.values, [0.01, 0.99])
    for ax, (title, frames) in zip(axes, sheets, strict=False):
        sheet = tiled(frames, _shape(file), len(frames))
        ax.imshow(sheet, cmap="Greys", vmin=low, vmax=high, interpolation="nearest")
        ax.set(title=title)
        ax.set_axis_off()
    for ax in list(axes)[len(sheets) :]:
        ax.set_axis_off()
    return axes


def plot_receptive_fields(file: Trajectory, ax: Axes, *, n: int = 6, lags: int = 3) -> Axes:
    """Readout weights from the frame at each lag (a row each) to single pixels, marked."""
    h, w = _shape(file)
    weights = input_weights(file)
    lags = min(lags, weights.shape[1])
    pixels = [int(r) * w + int(c) for r, c in _inner_pixels(h, w, n)]
    fields = weights[pixels, :lags].swapaxes(0, 1).reshape(-1, h * w)
    sheet = tiled(fields, (h, w), len(pixels))
    draw_signed(
        ax,
        sheet,
        top=float(np.nanquantile(np.abs(sheet), 0.998)),
        label="weight (standard deviations)",
    )
    for k, pixel in enumerate(pixels):
        for d in range(lags):
            y, x = divmod(pixel, w)
            ax.plot(x + k * (w + 1) + 1, y + d * (h + 1) + 1, "k+", ms=5, mew=1)
    ax.set_yticks([(d + 0.5) * (h + 1) for d in range(lags)], [f"lag {d + 1}" for d in range(lags)])
    ax.set(xticks=[], title="Readout weights to single pixels (+)")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def plot_projective_fields(file: Trajectory, ax: Axes, *, n: int = 24, columns: int = 12) -> Axes:
    """Readout weights from hidden nodes to the frame, those with the largest weights first."""
    h, w = _shape(file)
    names = file["readout"].coords["feature"].values
    hidden = np.flatnonzero(np.char.startswith(names, "hidden "))
    fields = file["readout"][-1].values[:, hidden].T
    chosen = np.argsort(-np.linalg.norm(fields, axis=1), kind="stable")[:n]
    fields = fields[chosen] / np.abs(fields[chosen]).max(axis=1, keepdims=True)
    draw_signed(ax, tiled(fields, (h, w), columns), top=1.0, label="relative weight")
    ax.set(title="Readout weights from hidden nodes to the frame, the strongest first")
    ax.set_axis_off()
    return ax


def _shape(file: Trajectory) -> tuple[int, int]:
    h, w = file.result["frame_shape"]
    return int(h), int(w)


def _inner_pixels(h: int, w: int, n: int) -> list[tuple[int, int]]:
    """Pixels from near the upper left to near the lower right."""
    at = np.linspace(0.25, 0.75, n)
    return [
        (round(a * (h - 1)), round(b * (w - 1)))
        for a, b in zip(at, np.roll(at, n // 2), strict=True)
    ]
