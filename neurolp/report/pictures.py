"""Figures as inline SVG: text stays text, and black and white follow the colours of the page."""

from __future__ import annotations

import io
import re
from html import escape

from matplotlib import rc_context
from matplotlib.colors import to_hex

from neurolp.plotting.captioned import CaptionedFigure
from neurolp.plotting.style import BLACK, PALE

_PIXELS = 96  # of an inch, as browsers count
_NARROWEST = 0.62  # of its size, to which a picture shrinks before it is scrolled
_LARGEST = 1_500_000  # characters of an SVG; what has more parts becomes a bitmap
_KEPT_BLACK = "#010101"  # of text on images, whose colours do not follow the page


def picture(captioned: CaptionedFigure, number: int) -> str:
    """The ``<svg>`` of a figure, the ``number``-th of a page."""
    figure = captioned.figure
    figure.suptitle("")  # the heading of the page
    for ax in figure.axes:
        if ax.images:
            for text in ax.texts:
                if to_hex(text.get_color()) == "#000000":
                    text.set_color(_KEPT_BLACK)
    width = figure.get_figwidth() * _PIXELS
    svg = _drawn(captioned, number)
    if len(svg) > _LARGEST:
        for ax in figure.axes:
            ax.set_rasterization_zorder(1000)
        svg = _drawn(captioned, number)
    style = f"min-width:{_NARROWEST * width:.0f}px;max-width:{width:.0f}px"
    label = escape(captioned.alternative)
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*"([^>]*?)height="[^"]*"|<svg ([^>]*?)height="[^"]*"([^>]*?)'
        r'width="[^"]*"',
        lambda found: (
            f'<svg role="img" aria-label="{label}" style="{style}" '
            + " ".join(part for part in found.groups() if part)
        ),
        svg,
        count=1,
    )


def _drawn(captioned: CaptionedFigure, number: int) -> str:
    """The SVG of a figure whose black, white and grey are those of the page."""
    out = io.StringIO()
    salt = f"figure-{number}"
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        captioned.figure.savefig(
            out, format="svg", metadata=nothing, transparent=False, facecolor="none", dpi=150
        )
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Several pictures share the page: their identifiers must not.
    svg = re.sub(r'\bid="', f'id="f{number}-', svg)
    svg = re.sub(r'((?:xlink:)?href=")#', rf"\1#f{number}-", svg)
    svg = svg.replace("url(#", f"url(#f{number}-")
    # White behind lines is paper; white letters, on images, stay white.
    svg = re.sub(r"<(?:path|rect|g|use)\b[^>]*>", lambda found: _paper(found[0]), svg)
    for colour in ("#000000", BLACK):
        svg = svg.replace(f": {colour}", ": currentColor")
    return svg.replace(f": {PALE}", ": var(--pale)")


def _paper(tag: str) -> str:
    return tag.replace(": #ffffff", ": var(--paper)")
