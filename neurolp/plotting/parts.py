"""Parts of several figures: calibration, predicted intervals, densities, weights and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from neurolp.arrays import Array
from neurolp.evaluation.metrics import calibrated_counts
from neurolp.plotting.style import DENSITY, PALE, SERIES, count_axis, legend

_MOST_NAMES, _SOME_NAMES = 30, 12  # names along an axis that all fit, and how many of more


def draw_pit(ax: Axes, counts: Array, labels: Sequence[str]) -> None:
    """Histograms (n, n_bins) of CDFs at the observations: uniform, within a band, if calibrated."""
    n_bins, fewest = counts.shape[1], int(counts.sum(axis=1).min())
    if fewest:
        low, high = np.array(calibrated_counts(fewest, n_bins)) * n_bins / fewest
        ax.axhspan(low, high, color=PALE, lw=0, label="95 % of a calibrated model")
    for row, label, colour in zip(counts, labels, SERIES, strict=False):
        if row.sum():
            edges = np.linspace(0, 1, n_bins + 1)
            density = row * n_bins / row.sum()
            ax.stairs(density, edges, baseline=None, color=colour, lw=1.8, label=label)
    ax.set(xlabel="predicted CDF at the observed value")
    ax.set(ylabel="density of observations", xlim=(0, 1), ylim=(0, max(ax.get_ylim()[1], 1.2)))
    legend(ax)


def draw_intervals(ax: Axes, x: Array, quantile: Array, colour: str) -> None:
    """Intervals of 50 and 90 % and the median, from ``quantile`` (n, 5) at 5, 25, 50, 75, 95 %."""
    for first, alpha, label in ((0, 0.2, "90 % interval"), (1, 0.4, "50 % interval")):
        low, high = quantile[:, first], quantile[:, 4 - first]
        ax.fill_between(x, low, high, color=colour, alpha=alpha, lw=0, label=label)
    ax.plot(x, quantile[:, 2], color=colour, lw=1.2, label="median")


def draw_density(
    ax: Axes, density: Array, x: Array, y: Array, *, top: float | None = None, aspect: Any = "auto"
) -> AxesImage:
    """A density of two variables, (len(y), len(x)), as an image; darkest from ``top`` on."""
    extent = (x[0], x[-1], y[0], y[-1])
    return ax.imshow(
        density, origin="lower", extent=extent, vmin=0, vmax=top, cmap=DENSITY, aspect=aspect
    )


def draw_signed(
    ax: Axes, matrix: Array, *, top: float = 0.0, label: str = "", **settings: Any
) -> AxesImage:
    """A matrix of numbers of both signs as an image, white at 0; ``label`` is of the colour bar."""
    top = top or float(np.nanmax(np.abs(matrix))) or 1.0
    image = ax.imshow(
        matrix, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest", **settings
    )
    if label:
        beyond = float(np.nanmax(matrix)) > top, float(np.nanmin(matrix)) < -top
        extend = {(1, 1): "both", (1, 0): "max", (0, 1): "min", (0, 0): "neither"}[beyond]
        ax.figure.colorbar(
            image, ax=ax, label=label, pad=0.01, shrink=0.8, extend=extend, ticks=MaxNLocator(5)
        )
    return image


def draw_columns(ax: Axes, x: Array, values: Array, *, y: Array, **settings: Any) -> Any:
    """Values (len(y), len(x)) as an image whose cells reach half-way to the places beside them."""
    return ax.pcolormesh(_bounds(x), _bounds(y), values, **settings)


def name_axis(axis: Axis, names: Array) -> None:
    """Ticks with names at 0, 1 ..: all of few, some of many; whole numbers where they are these."""
    n = len(names)
    if np.array_equal(names, np.arange(n)):
        count_axis(axis)
        return
    places = np.arange(0, n, max(1, -(-n // (_MOST_NAMES if n <= _MOST_NAMES else _SOME_NAMES))))
    upright = isinstance(axis, XAxis)
    axis.set_ticks(
        places, [str(names[k]) for k in places], fontsize="x-small" if n > 12 else "small",
        rotation=90 if upright else 0,
    )  # fmt: skip


def tiled(rows: Array, shape: tuple[int, int], columns: int) -> Array:
    """Images, given as rows (n, height * width), as the tiles of one image, with NaN between."""
    h, w = shape
    n_lines = -(-len(rows) // columns)
    tiles = np.full((n_lines * columns, h + 1, w + 1), np.nan)
    tiles[: len(rows), 1:, 1:] = rows.reshape(-1, h, w)
    lines = tiles.reshape(n_lines, columns, h + 1, w + 1).swapaxes(1, 2)
    return np.pad(lines.reshape(n_lines * (h + 1), -1), ((0, 1), (0, 1)), constant_values=np.nan)


def share_y(axes: Sequence[Axes] | Array) -> None:
    """Give all ``axes`` the same limits of y."""
    limits = np.array([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def matrix_of(values: Array, target: Array, source: Array, n: int) -> Array:
    """The values of edges as a matrix (n, n), with NaN where there is none."""
    out = np.full((n, n), np.nan)
    out[target, source] = values
    return out


def last_run(steps: Array) -> int:
    """Position at which the last run of consecutive steps begins."""
    return int(np.flatnonzero(np.diff(steps, prepend=steps[:1] - 2) != 1)[-1]) if len(steps) else 0


def last_records(time: Array, most: int, fewest: int = 20) -> int:
    """Position of the first record of the end of a recording.

    The end is the last run of consecutive steps if it has at least ``fewest``, else all records;
    of either not more than the last ``most``.
    """
    start = last_run(time)
    if len(time) - start < fewest:
        start = 0
    return max(start, len(time) - most)


def step_axis(ax: Axes) -> None:
    """Label a step axis with whole numbers."""
    ax.margins(x=0.01)
    count_axis(ax.xaxis)
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)


def _bounds(places: Array) -> Array:
    """Bounds (n + 1,) of cells around places (n,) in ascending order."""
    middle = (places[1:] + places[:-1]) / 2
    ends = (middle[0], middle[-1]) if len(middle) else (places[0] - 0.5, places[0] + 0.5)
    return np.concatenate([2 * places[:1] - ends[0], middle, 2 * places[-1:] - ends[1]])
