"""Figures of samples from a brain beside the data, and of its density."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.estimators import Brain
from neurolp.plotting.parts import draw_density, tiled
from neurolp.plotting.style import SKY, VERMILION


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
    ax.scatter(data[:500, 0], data[:500, 1], s=2, color=SKY, alpha=0.5, lw=0)
    ax.set(xlabel="x", ylabel="y", title="Learned density and data")
    return ax


def plot_images(
    rows: Array, shape: tuple[int, int], ax: Axes, *, title: str, columns: int = 10
) -> Axes:
    """Rows of data as images, side by side on one Axes."""
    sheet = tiled(rows, shape, columns)
    ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=17, interpolation="nearest")
    ax.set(title=title)
    ax.set_axis_off()
    return ax


def plot_dream(
    brain: Brain, real: Array, shape: tuple[int, int], axes: Array, *, seed: int = 0
) -> Array:
    """Images of the data on the first Axes, as many dreamed images on the second."""
    plot_images(real, shape, axes[0], title="data")
    dreamed = np.asarray(brain.sample(len(real), random_state=seed), dtype=np.float64)
    plot_images(dreamed, shape, axes[1], title="dreamed")
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
        ax.hist(data[:, j], color=SKY, label="data", **shared)
        ax.hist(dreamed[:, j], histtype="step", color=VERMILION, lw=1.5, label="dreamed", **shared)
        ax.set(title=names[j], yticks=[])
    axes[0].legend(frameon=False, fontsize="small")
    return axes
