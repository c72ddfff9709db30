"""Figures of curves as charts that are zoomed and pointed at, drawn in the browser by Bokeh."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from bokeh.models import (
    BoxZoomTool,
    FixedTicker,
    HoverTool,
    InlineStyleSheet,
    PanTool,
    Range1d,
    ResetTool,
    SaveTool,
    ZoomInTool,
    ZoomOutTool,
)
from bokeh.models.annotations import Legend, LegendItem
from bokeh.plotting import figure as new_chart
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from neurolp.plotting.style import BLACK

_INK = "#808080"  # in place of black: seen on white and on black
_DASHES = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "dashdot"}
_MOST_POINTS = 20_000  # of a line
_LONG = 22  # characters of a label that has a line of the legend for itself
_HEIGHT, _ENTRY = 330, 26  # pixels: of a chart, of a line of its legend
_LEGEND = ".bk-label { color: var(--ink) !important; }"


class Chart(NamedTuple):
    """The chart of a panel, and its title, which the page writes above it."""

    title: str
    model: Any


def charts(figure: Figure) -> list[Chart]:
    """A chart for each panel of a figure that has curves in all of them; none of other figures."""
    if not figure.axes or not all(_has_curves(ax) for ax in figure.axes):
        return []
    return [Chart(_title(ax), _chart(ax)) for ax in figure.axes]


def _has_curves(ax: Axes) -> bool:
    """Whether a panel has curves, points and bands only, on axes that Bokeh has too."""
    if not ax.axison or ax.images or ax.patches or ax.texts or ax.tables:
        return False
    known = PolyCollection | PathCollection | LineCollection
    if not all(isinstance(collection, known) for collection in ax.collections):
        return False
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() not in ("linear", "log"):
            return False
    texts = [ax.get_xlabel(), ax.get_ylabel(), _title(ax), *ax.get_legend_handles_labels()[1]]
    if any("$" in text for text in texts):  # formulas
        return False
    sizes = [len(np.asarray(line.get_xdata())) for line in ax.lines]
    return bool(sizes) and 2 < max(sizes) <= _MOST_POINTS


def _chart(ax: Axes) -> Any:
    x_label, y_label = ax.get_xlabel(), ax.get_ylabel()
    chart = new_chart(
        height=_HEIGHT,
        sizing_mode="stretch_width",
        x_axis_type=_scale(ax.get_xscale()),
        y_axis_type=_scale(ax.get_yscale()),
        x_range=Range1d(start=float(ax.get_xlim()[0]), end=float(ax.get_xlim()[1])),
        y_range=Range1d(start=float(ax.get_ylim()[0]), end=float(ax.get_ylim()[1])),
        x_axis_label=x_label or None,
        y_axis_label=y_label or None,
        tools=[],
        toolbar_location="above",
    )
    pointed: list[Any] = []
    named: dict[str, list[Any]] = {}
    for collection in ax.collections:
        named[str(collection.get_label())] = _add_collection(chart, collection)
    for line in ax.lines:
        drawn = _add_line(chart, ax, line)
        if drawn is not None:
            pointed.append(drawn)
            named[str(line.get_label())] = [drawn]
    shown = [label for label in ax.get_legend_handles_labels()[1] if label in named]
    if shown:
        items = [LegendItem(label=label, renderers=named[label]) for label in shown]
        ncols = 1 if max(map(len, shown)) > _LONG else 2
        sheet = InlineStyleSheet(css=_LEGEND)
        legend = Legend(items=items, click_policy="hide", ncols=ncols, stylesheets=[sheet])
        legend.background_fill_alpha = legend.border_line_alpha = 0.0
        legend.location = "top_left"
        chart.height = _HEIGHT + _ENTRY * -(-len(shown) // ncols)
        chart.add_layout(legend, "below")
    tips = [("", "$name"), (x_label or "x", "@x{0,0.[000]}"), (y_label or "y", "@y{0,0.[0000]}")]
    chart.add_tools(
        HoverTool(renderers=pointed, tooltips=tips, mode="mouse", line_policy="nearest"),
        BoxZoomTool(),
        PanTool(),
        ZoomInTool(),
        ZoomOutTool(),
        ResetTool(),
        SaveTool(),
    )
    # What drags or scrolls on a telephone must move the page: tools wait to be chosen.
    chart.toolbar.active_drag = chart.toolbar.active_scroll = None
    chart.toolbar.logo = None
    for axis, like in ((chart.xaxis[0], ax.xaxis), (chart.yaxis[0], ax.yaxis)):
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
        _copy_ticks(axis, like)
    return chart


def _copy_ticks(axis: Any, like: Axis) -> None:
    """Ticks that were chosen by hand, with their names; others are left to Bokeh."""
    if isinstance(like.get_major_locator(), FixedLocator):
        places = [float(place) for place in like.get_majorticklocs()]
        names = [label.get_text() for label in like.get_majorticklabels()]
        axis.ticker = FixedTicker(ticks=places)
        axis.major_label_overrides = dict(zip(places, names, strict=True))


def _add_line(chart: Any, ax: Axes, line: Line2D) -> Any:
    """A line or points; None of what is not drawn in the coordinates of the data."""
    x, y = (np.asarray(v, dtype=np.float64) for v in line.get_data())
    in_x, in_y = line.get_transform().contains_branch_seperately(ax.transData)
    if not in_x:  # a level that goes across the panel
        x = np.asarray(ax.get_xlim())[[0, -1]]
    if not in_y:
        y = np.asarray(ax.get_ylim())[[0, -1]]
    colour, alpha = _colour(line.get_color()), line.get_alpha() or 1.0
    label = str(line.get_label())
    name = "" if label.startswith("_") else label
    data = {"x": x, "y": y}
    if line.get_linestyle() in _DASHES:
        dash, width = _DASHES[str(line.get_linestyle())], line.get_linewidth()
        style = {"line_color": colour, "line_width": width, "line_dash": dash, "line_alpha": alpha}
        return chart.line("x", "y", source=data, name=name, **style)
    if line.get_marker() in (".", "o"):
        size, style = line.get_markersize(), {"line_color": None, "fill_alpha": alpha}
        return chart.scatter(
            "x", "y", source=data, name=name, size=size, fill_color=colour, **style
        )
    return None


def _add_collection(chart: Any, collection: Any) -> list[Any]:
    """Bands, points and error bars, which are not pointed at."""
    if isinstance(collection, PathCollection):
        x, y = np.asarray(collection.get_offsets(), dtype=np.float64).T
        colour = _colour(collection.get_facecolor()[0])
        size = float(np.sqrt(collection.get_sizes().mean()))
        return [chart.scatter(x, y, size=size, fill_color=colour, line_color=None)]
    if isinstance(collection, LineCollection):
        parts = [np.asarray(part, dtype=np.float64) for part in collection.get_segments()]
        colour = _colour(collection.get_color()[0])
        x, y = ([part[:, k] for part in parts] for k in (0, 1))
        return [chart.multi_line(x, y, line_color=colour)]
    face = collection.get_facecolor()[0]
    style = {"fill_color": _colour(face), "fill_alpha": float(face[3]), "line_color": None}
    return [chart.patch(*path.vertices.T, **style) for path in collection.get_paths()]


def _colour(colour: Any) -> str:
    found = to_hex(colour)
    return _INK if found in ("#000000", BLACK) else found


def _scale(name: str) -> Literal["linear", "log"]:
    return "log" if name == "log" else "linear"


def _title(ax: Axes) -> str:
    return ax.get_title(loc="left") or ax.get_title()
