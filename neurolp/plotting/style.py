"""Colours from a colour-blind-safe palette, and drawing that several figures share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurolp.arrays import Array

NewFigure = Callable[[str, float, float], Figure]  # name, width and height in inches

# Okabe and Ito.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)
BLACK, GREY, PALE = "#222222", "#999999", "#dddddd"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)


def draw_bars(ax: Axes, groups: list[str], names: list[str], values: Array, unit: str) -> None:
    """Draw groups of horizontal bars, (group, name), read from the top, with a legend."""
    height = 0.8 / len(names)
    for j, (name, colour) in enumerate(zip(names, SERIES, strict=False)):
        at = np.arange(len(groups)) + (j - (len(names) - 1) / 2) * height
        ax.barh(at, values[:, j], height=0.9 * height, color=colour, label=name)
    ax.set_yticks(np.arange(len(groups)), groups)
    ax.invert_yaxis()
    ax.set(xlabel=unit)
    ax.legend(frameon=False, fontsize="small")
