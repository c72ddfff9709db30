"""Figures with captions: alternative texts, and captions in the files of images."""

import numpy as np
import pytest
from PIL import Image

from neurolp.plotting.captioned import drawn
from neurolp.plotting.style import draw_bars, legend, shared_legend

CAPTION = "Two panels of something. Look at the second."


def _draw(figure):
    left, right = figure("pair", 6, 3, CAPTION).subplots(1, 2)
    left.plot([0, 10], [2, 4], label="test")
    left.set(xlabel="time (slices)", ylabel="surprise (nats)", title="Mean surprise")
    left.set(xlim=(0, 10), ylim=(2, 4))
    legend(left)
    image = right.imshow(np.eye(3), vmin=0, vmax=1)
    right.set_xticks(range(3), ["a", "b", "c"])
    right.set(xlabel="source", title="Weights")
    right.figure.colorbar(image, ax=right, label="weight")
    figure("bare", 3, 3, "Nothing but a picture.").subplots().set_axis_off()


def test_the_alternative_text_says_what_is_on_the_axes():
    figures = drawn("Title", _draw)
    assert list(figures) == ["pair", "bare"]
    assert figures["pair"].caption == CAPTION
    assert figures["pair"].alternative == (
        "Figure of 2 panels. Mean surprise: surprise (nats) from 2 to 4 against time (slices) "
        "from 0 to 10, of test; Weights: source (a, b, c); colours: weight from 0 to 1."
    )
    assert {figure.figure.get_suptitle() for figure in figures.values()} == {"Title"}


def test_many_panels_and_names_are_counted_in_the_alternative_text():
    def draw(figure):
        axes = figure("many", 9, 9, CAPTION).subplots(3, 3).ravel()
        axes[0].set_yticks(range(20), [f"n{k}" for k in range(20)])
        axes[0].set_ylabel("name")

    text = drawn("", draw)["many"].alternative
    assert text.startswith("Figure of 9 panels. name (n0, n1, ")
    assert "n11 and 8 more)" in text
    assert text.endswith("and 3 more panels of this kind.")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_images_keep_their_caption(tmp_path, suffix):
    path = tmp_path / f"pair.{suffix}"
    drawn("Title", _draw)["pair"].savefig(path, dpi=50)
    if suffix == "png":
        with Image.open(path) as image:
            assert image.info["Description"] == CAPTION
            assert image.size == (300, 150)
    else:
        assert CAPTION.encode() in path.read_bytes()


def test_legends_are_below_the_axes():
    def draw(figure):
        ax = figure("one", 5, 4, CAPTION).subplots()
        assert legend(ax) is None  # there is nothing to name
        for k in range(7):
            ax.plot([0, 1], [0, k], label=f"curve number {k}")
        ax.set_xlabel("x")
        legend(ax)

    figure = drawn("", draw)["one"].figure
    figure.draw_without_rendering()
    (ax,) = figure.axes
    box = ax.get_legend().get_window_extent()
    assert box.y1 < ax.xaxis.label.get_window_extent().y0 + 1
    assert box.y0 >= 0
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_a_legend_of_all_axes_is_as_wide_as_its_figure():
    def draw(figure):
        axes = figure("two", 5, 4, CAPTION).subplots(1, 2)
        for k in range(4):
            axes[0].plot([0, 1], [0, k], label=f"brain.recurrent_rate = {k}")
        shared_legend(axes[0])

    figure = drawn("", draw)["two"].figure
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_the_legend_of_bars_is_below_what_the_axis_counts():
    def draw(figure):
        ax = figure("bars", 7, 2.5, CAPTION).subplots()
        draw_bars(ax, ["iris", "moons"], ["brain", "mixture"], np.ones((2, 2)), "gain (nats)")

    figure = drawn("", draw)["bars"].figure
    figure.draw_without_rendering()
    (ax,) = figure.axes
    label = ax.xaxis.label.get_window_extent()
    assert ax.get_legend().get_window_extent().y1 < label.y0 + 1
    assert ax.get_xlabel() == "gain (nats)"
