"""Colours that are told apart without red or green cones, axes that count, legends of figures."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from neurolp.plotting.style import (
    MODEL,
    OBSERVED,
    OBSERVED_AREA,
    PEERS,
    SERIES,
    count_axis,
    shared_legend,
)

# Machado, Oliveira and Fernandes (2009): linear RGB as it is seen, severity 1.
SEEN = {
    "all cones": np.eye(3),
    "no red cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab(colour, matrix):
    """CIELAB of a colour (D65) as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = TO_XYZ @ np.clip(matrix @ linear, 0, 1) / [0.95047, 1, 1.08883]
    f = [np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one, other, matrix):
    return np.linalg.norm(lab(one, matrix) - lab(other, matrix))


@pytest.mark.parametrize("sight", SEEN)
@pytest.mark.parametrize("colours", [SERIES, (MODEL, OBSERVED, OBSERVED_AREA), (MODEL, *PEERS)])
def test_any_two_colours_differ_for_everybody(colours, sight):
    for one, other in itertools.combinations(colours, 2):
        assert distance(one, other, SEEN[sight]) > 20, (one, other)
    assert distance("#b22222", "#228b22", SEEN["no green cones"]) < 20  # red and green do not


def test_an_axis_that_counts_has_whole_numbers_only():
    ax = Figure().subplots()
    for top in (1, 2, 3, 7, 40, 1000):
        ax.set_xlim(-0.5, top + 0.5)
        count_axis(ax.xaxis)
        ticks = ax.get_xticks()
        assert np.all(ticks == np.rint(ticks))
        assert np.sum((ticks >= 0) & (ticks <= top)) >= 1


def test_a_shared_legend_is_below_all_axes():
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots(1, 2)
    axes[0].plot([0, 1], label="data")
    axes[0].set_xlabel("x")
    shared_legend(axes[0])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["data"]
    lowest = min(ax.get_tightbbox().y0 for ax in axes)
    assert legend.get_window_extent().y1 <= lowest + 1
