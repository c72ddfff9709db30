"""Pictures as SVG that follows the page, charts of curves."""

import re

import numpy as np
import pytest
from bokeh.models import GlyphRenderer, Legend, LogScale
from matplotlib.figure import Figure

from neurolp.plotting.captioned import CaptionedFigure
from neurolp.plotting.style import PALE
from neurolp.report import pictures
from neurolp.report.charts import charts
from neurolp.report.pictures import picture

X = np.linspace(1.0, 5.0, 9)


def panel(**settings):
    figure = Figure(figsize=(5, 3), layout="constrained")
    ax = figure.subplots()
    ax.set(**settings)
    return figure, ax


def svg_of(figure, number=0):
    return picture(CaptionedFigure("a", figure, "What is shown."), number)


def test_black_and_white_follow_the_page_but_not_on_images():
    figure, ax = panel(xlabel="black letters")
    ax.axhspan(0, 1, color=PALE)
    svg = svg_of(figure)
    assert "#000000" not in svg
    assert "currentColor" in svg  # axes
    assert "var(--pale)" in svg
    assert "var(--paper)" in svg
    assert "#ffffff" not in svg
    assert ">black letters</text>" in svg
    figure, ax = panel()
    ax.imshow(np.eye(2))
    ax.text(0, 0, "white", color="white")
    ax.text(1, 1, "black", color="black")
    svg = svg_of(figure)
    assert re.search(r"<text[^>]*#ffffff[^>]*>white", svg)
    assert re.search(r"<text[^>]*#010101[^>]*>black", svg)


def test_a_picture_has_words_a_size_and_identifiers_of_its_own():
    figure, ax = panel(xlabel='a "quoted" <label>')
    ax.plot(X, X, label="curve")
    svg = svg_of(figure, 3)
    assert svg.startswith('<svg role="img" aria-label="Figure. ')
    assert "a &quot;quoted&quot; &lt;label&gt; from 0.8 to 5.2" in svg[: svg.index(">")]
    assert "min-width:298px;max-width:480px" in svg
    assert not re.search(r'<svg[^>]*(?<!-)\b(width|height)="', svg)
    names = re.findall(r'\bid="([^"]*)"', svg)
    assert all(name.startswith("f3-") for name in names)
    used = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', svg)
    assert {a or b for a, b in used} <= set(names)
    assert used


def test_a_picture_of_very_many_parts_is_a_bitmap(monkeypatch):
    figure, ax = panel()
    ax.scatter(*np.random.default_rng(0).random((2, 1000)))
    assert "data:image/png" not in svg_of(figure)
    monkeypatch.setattr(pictures, "_LARGEST", 50_000)
    assert "data:image/png" in svg_of(figure)


def test_curves_points_bands_and_levels_become_a_chart():
    figure, ax = panel(xlabel="step", ylabel="nats", title="Title", xlim=(0, 10), yscale="log")
    ax.fill_between(X, X - 0.5, X + 0.5, color="#0072B2", alpha=0.2, label="band")
    ax.plot(X, X**2, "--", color="black", lw=3, label="curve")
    ax.plot(X, X, "o", ms=5, label="points")
    ax.axhline(2.0, color="#D55E00", label="level")
    ax.axvline(4.0)
    ax.set_xticks([0, 5], ["none", "five"])
    (chart,) = charts(figure)
    assert chart.title == "Title"
    model = chart.model
    assert (model.x_range.start, model.x_range.end) == (0, 10)
    assert isinstance(model.y_scale, LogScale)
    assert (model.xaxis[0].axis_label, model.yaxis[0].axis_label) == ("step", "nats")
    assert model.xaxis[0].ticker.ticks == [0, 5]
    assert model.xaxis[0].major_label_overrides == {0: "none", 5: "five"}
    drawn = {r.name: r for r in model.renderers if isinstance(r, GlyphRenderer) and r.name}
    np.testing.assert_array_equal(drawn["curve"].data_source.data["y"], X**2)
    assert drawn["curve"].glyph.line_dash == [6]
    assert drawn["curve"].glyph.line_color == "#808080"  # seen on white and on black
    np.testing.assert_array_equal(drawn["points"].data_source.data["x"], X)
    np.testing.assert_array_equal(drawn["level"].data_source.data["x"], [0, 10])
    np.testing.assert_array_equal(drawn["level"].data_source.data["y"], [2, 2])
    (legend,) = model.select(Legend)
    assert [item.label.value for item in legend.items] == ["band", "curve", "points", "level"]


@pytest.mark.parametrize(
    "change",
    [
        lambda ax: ax.imshow(np.eye(3)),
        lambda ax: ax.bar([1, 2], [1, 2]),
        lambda ax: ax.text(0, 0, "a"),
        lambda ax: ax.set_xlabel(r"$\sigma$"),
        lambda ax: ax.set_xscale("symlog"),
        lambda ax: ax.set_axis_off(),
        lambda ax: ax.plot(np.zeros(20_001)),
        lambda ax: ax.lines[0].remove(),
        lambda ax: ax.figure.add_axes((0, 0, 1, 1)).imshow(np.eye(2)),
    ],
)
def test_what_bokeh_does_not_draw_alike_stays_a_picture(change):
    figure, ax = panel()
    ax.plot(X, X)
    assert len(charts(figure)) == 1
    change(ax)
    assert charts(figure) == []
