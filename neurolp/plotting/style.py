"""The style of all figures: colours, fonts, legends, axes that count.

Same things have the same colours everywhere: what was observed is black or grey, what the model
says is blue, other models have the other colours of ``SERIES``, levels that are known in theory
are black and dashed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from neurolp.arrays import Array

# Settings of matplotlib under which all figures are drawn.
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "figure.titlesize": "large",
    "legend.frameon": False,
    "legend.fontsize": "small",
    "image.interpolation": "nearest",
}

# From the palettes of Okabe and Ito and of Tol. Any two of a series are told apart also without red
# or green cones.
BLUE, VERMILION, SKY, WINE, NAVY, PURPLE = (
    "#0072B2",
    "#D55E00",
    "#56B4E9",
    "#882255",
    "#332288",
    "#CC79A7",
)
BLACK, GREY, PALE = "#222222", "#888888", "#cccccc"
SERIES = (BLUE, VERMILION, SKY, WINE, NAVY, PURPLE)
PEERS = (VERMILION, WINE, NAVY, PURPLE)  # models beside ours
# What our model says, what was observed (points and lines; areas), and levels known in theory.
MODEL, OBSERVED, OBSERVED_AREA, THEORY = BLUE, BLACK, PALE, BLACK
DENSITY = "Blues"  # colour map of what is not negative and that the model says


def legend(ax: Axes, **settings: Any) -> Legend | None:
    """A legend below the Axes, off the data; None if nothing has a label."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return None
    below = ScaledTranslation(0, -0.46 if ax.get_xlabel() else -0.25, ax.figure.dpi_scale_trans)
    where: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
    where |= {"bbox_transform": ax.transAxes + below, "borderaxespad": 0.0}
    return ax.legend(handles, labels, **(where | {"ncols": _ncols(ax, labels)} | settings))


def shared_legend(ax: Axes, **settings: Any) -> None:
    """A legend of this Axes for all Axes of its figure, below them."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        width = ax.figure.bbox.width / ax.figure.dpi  # inches
        ncols = _n_fitting(width, labels)
        where: dict[str, Any] = {"loc": "outside lower center", "ncols": ncols}
        ax.figure.legend(handles, labels, **(where | settings))


def _ncols(ax: Axes, labels: list[str]) -> int:
    """Columns of a legend that is as wide as its Axes."""
    width = ax.figure.bbox.width / ax.figure.dpi  # inches
    place = ax.get_subplotspec()
    if place is not None:
        width /= place.get_gridspec().ncols
    return _n_fitting(width, labels)


def _n_fitting(width: float, labels: list[str]) -> int:
    """Columns of labels that fit into a width in inches."""
    longest = max(map(len, labels))
    return max(1, min(len(labels), int(0.9 * width / (0.5 + 0.062 * longest))))


def count_axis(axis: Axis) -> None:
    """Ticks at whole numbers, of an axis that counts."""
    axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def draw_bars(ax: Axes, groups: list[str], names: list[str], values: Array, unit: str) -> None:
    """Draw groups of horizontal bars, (group, name), read from the top, with a legend."""
    height = 0.8 / len(names)
    for j, (name, colour) in enumerate(zip(names, SERIES, strict=False)):
        at = np.arange(len(groups)) + (j - (len(names) - 1) / 2) * height
        ax.barh(at, values[:, j], height=0.9 * height, color=colour, label=name)
    ax.set_yticks(np.arange(len(groups)), groups)
    ax.invert_yaxis()
    ax.set(xlabel=unit)
    legend(ax)
