"""Figures of samples from a brain beside the data, and of its density."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.estimators import Brain
from neurolp.plotting.parts import draw_density, tiled
from neurolp.plotting.style import MODEL, OBSERVED, OBSERVED_AREA, shared_legend


def plot_density_2d(brain: Brain, data: Array, ax: Axes, *, resolution: int = 300) -> Axes:
    """Learned density of two columns of data, and the data as points."""
    low, high = data.min(axis=0), data.max(axis=0)
    pad = 0.12 * (high - low)
    x = np.linspace(low[0] - pad[0], high[0] + pad[0], resolution)
    y = np.linspace(low[1] - pad[1], high[1] + pad[1], resolution)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    columns = getattr(brain, "columns_", None)
    table = points if columns is None else columns.decode(points)
    density = np.exp(brain.score_samples(table)).reshape(resolution, resolution)
    image = draw_density(ax, density, x, y)
    ax.figure.colorbar(image, ax=ax, label="probability density", shrink=0.8)
    ax.scatter(data[:500, 0], data[:500, 1], s=3, color=OBSERVED, alpha=0.5, lw=0, label="data")
    ax.set(xlabel="x", ylabel="y", title="Learned density (colour) and rows of the data (points)")
    return ax


def plot_images(
    rows: Array,
    shape: tuple[int, int],
    ax: Axes,
    *,
    title: str,
    columns: int = 10,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Rows of data as images, side by side on one Axes; ``limits`` are the values of white, black.

    By default these are the least and the largest value of the rows.
    """
    sheet = tiled(rows, shape, columns)
    low, high = (rows.min(), rows.max()) if limits is None else limits
    ax.imshow(sheet, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
    ax.set(title=title)
    ax.set_axis_off()
    return ax


def plot_dream(
    brain: Brain, real: Array, shape: tuple[int, int], axes: Array, *, seed: int = 0
) -> Array:
    """Images of the data on the first Axes, as many dreamed images on the second, in its greys."""
    low, high = np.quantile(real, [0.02, 0.98])  # noise beyond would make everything grey
    limits = float(low), float(high)
    plot_images(real, shape, axes[0], title=f"Data: {len(real)} images", limits=limits)
    dreamed = np.asarray(brain.sample(len(real), random_state=seed), dtype=np.float64)
    title = f"Dreamed: {len(real)} samples of the brain"
    plot_images(dreamed, shape, axes[1], title=title, limits=limits)
    return axes


def plot_marginals(brain: Brain, data: Array, names: list[str], axes: Array) -> Array:
    """Histograms of columns of the data beside those of as many dreamed rows."""
    dreamed = brain.sample(max(len(data), 2000), random_state=0)
    if hasattr(brain, "columns_"):
        dreamed = brain.columns_.encode(dreamed)
    for j, ax in enumerate(axes):
        low, high = data[:, j].min(), data[:, j].max()
        pad = 0.1 * (high - low)
        shared: Any = {"bins": np.linspace(low - pad, high + pad, 31), "density": True}
        ax.hist(data[:, j], color=OBSERVED_AREA, label="data", **shared)
        ax.hist(dreamed[:, j], histtype="step", color=MODEL, lw=1.5, label="dreamed", **shared)
        ax.set(xlabel=names[j])
        first = ax.get_subplotspec() is None or ax.get_subplotspec().is_first_col()
        ax.set_ylabel("probability density" if first else "")
    shared_legend(axes[0])
    return axes
