"""Figures of video: observed, predicted and dreamed frames, and fields of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from neurolp.plotting.stream.surprise import detailed_steps
from neurolp.plotting.stream.weights import input_weights
from neurolp.storage.reader import Trajectory

Array = npt.NDArray[Any]


def plot_frames(file: Trajectory, axes: Array, *, n: int = 12) -> Array:
    """Last frames as observed, their predicted means, and the frames dreamed after them."""
    _, rows = detailed_steps(file)
    start = max(rows.start, rows.stop - n)
    observed, predicted = (
        file["observed"][start : rows.stop],
        file["predicted"][start : rows.stop].values,
    )
    steps = observed.coords["predicted_step"].values
    sheets = [
        ("observed", observed.values, "Greys", f"steps {steps[0]} to {steps[-1]}"),
        ("predicted", predicted, "Greys", "means before each frame"),
    ]
    if "dream" in file:
        dream = file["dream"][: len(steps)].values
        sheets.append(("dream", dream, "Greys", "samples that follow"))
    low, high = np.quantile(observed.values, [0.01, 0.99])
    for ax, (name, frames, colours, what) in zip(axes, sheets, strict=False):
        sheet = _side_by_side(frames, _shape(file))
        ax.imshow(sheet, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        ax.set(title=f"{name}: {what}", xticks=[], yticks=[])
    for ax in list(axes)[len(sheets) :]:
        ax.set_axis_off()
    return axes


def plot_receptive_fields(file: Trajectory, ax: Axes, *, n: int = 6, lags: int = 3) -> Axes:
    """Readout weights from the frame at each lag (a row each) to single pixels, marked."""
    h, w = _shape(file)
    weights = input_weights(file)
    lags = min(lags, weights.shape[1])
    pixels = [int(r) * w + int(c) for r, c in _inner_pixels(h, w, n)]
    rows = [_side_by_side(weights[pixels, d], (h, w)) for d in range(lags)]
    sheet = np.vstack(rows)
    top = np.nanquantile(np.abs(sheet), 0.998) or 1.0
    image = ax.imshow(sheet, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    for k, pixel in enumerate(pixels):
        for d in range(lags):
            y, x = divmod(pixel, w)
            ax.plot(x + k * (w + 1) + 1, y + d * (h + 1) + 1, "k+", ms=5, mew=1)
    ax.set_yticks([(d + 0.5) * (h + 1) for d in range(lags)], [f"lag {d + 1}" for d in range(lags)])
    ax.set(xticks=[], title="Readout weights to single pixels (+)")
    ax.figure.colorbar(image, ax=ax, label="weight", pad=0.01, shrink=0.8)
    return ax


def plot_projective_fields(file: Trajectory, ax: Axes, *, n: int = 24, columns: int = 12) -> Axes:
    """Readout weights from hidden nodes to the frame, those with the largest weights first."""
    h, w = _shape(file)
    names = file["readout"].coords["feature"].values
    hidden = np.flatnonzero(np.char.startswith(names, "hidden "))
    fields = file["readout"][-1].values[:, hidden].T
    chosen = np.argsort(-np.linalg.norm(fields, axis=1), kind="stable")[:n]
    fields = fields[chosen] / np.abs(fields[chosen]).max(axis=1, keepdims=True)
    rows = [_side_by_side(fields[k : k + columns], (h, w)) for k in range(0, len(fields), columns)]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(r, ((0, 0), (0, width - r.shape[1])), constant_values=np.nan) for r in rows]
    ax.imshow(np.vstack(rows), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[], title="Readout weights from hidden nodes, the strongest first")
    return ax


def _shape(file: Trajectory) -> tuple[int, int]:
    h, w = file.result["frame_shape"]
    return int(h), int(w)


def _side_by_side(frames: Array, shape: tuple[int, int]) -> Array:
    h, w = shape
    sheet = np.full((h + 1, len(frames) * (w + 1) + 1), np.nan)
    for k, frame in enumerate(frames):
        sheet[1:, k * (w + 1) + 1 : (k + 1) * (w + 1)] = frame.reshape(h, w)
    return sheet


def _inner_pixels(h: int, w: int, n: int) -> list[tuple[int, int]]:
    """Pixels from near the upper left to near the lower right."""
    at = np.linspace(0.25, 0.75, n)
    return [
        (round(a * (h - 1)), round(b * (w - 1)))
        for a, b in zip(at, np.roll(at, n // 2), strict=True)
    ]
