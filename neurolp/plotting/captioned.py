"""Figures with their captions: what a kind of run draws, and what others show of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from neurolp.plotting.style import STYLE

_MOST_PANELS, _MOST_NAMES = 6, 12  # that an alternative text lists
# The names under which formats of images keep a text about the image.
_TEXT_KEYS = {".pdf": "Subject", ".svg": "Description", ".png": "Description"}


class NewFigure(Protocol):
    """A function that returns a new, empty Figure; it is collected under ``name``."""

    def __call__(self, name: str, width: float, height: float, caption: str) -> Figure:
        """Sizes are in inches; the caption says what is shown, and what to look for."""
        ...


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure, its name among those of its file, and its caption.

    The caption has one to three sentences: what is shown, and what to look for.
    """

    name: str
    figure: Figure
    caption: str

    @property
    def alternative(self) -> str:
        """The figure in words: titles, axes with their ranges, and names of what is drawn.

        It is the text for those who do not see the image, and is to be read with the caption.
        """
        panels = [ax for ax in self.figure.axes if ax.get_label() != "<colorbar>"]
        texts = [_described(ax) for ax in panels[:_MOST_PANELS]]
        texts = [text for text in texts if text]
        if len(panels) > _MOST_PANELS:
            texts.append(f"and {len(panels) - _MOST_PANELS} more panels of this kind")
        bars = [ax for ax in self.figure.axes if ax.get_label() == "<colorbar>"]
        texts += [f"colours: {_axis(ax.yaxis, ax.get_ylim())}" for ax in bars if ax.get_ylabel()]
        count = f"Figure of {len(panels)} panels. " if len(panels) > 1 else "Figure. "
        return count + "; ".join(texts) + "."

    def savefig(self, path: str | os.PathLike[str], **settings: Any) -> None:
        """Write the image; ``settings`` are those of :meth:`matplotlib.figure.Figure.savefig`.

        PNG, SVG and PDF keep the caption among their metadata.
        """
        key = _TEXT_KEYS.get(Path(path).suffix.lower())
        if key is not None:
            settings = {"metadata": {"Title": self.name, key: self.caption}} | settings
        self.figure.savefig(path, **settings)


def drawn(title: str, draw: Callable[[NewFigure], None]) -> dict[str, CaptionedFigure]:
    """The figures that ``draw`` makes, by name, in the style of the package, each under ``title``.

    Parameters
    ----------
    title : str
        Heading of all of them.
    draw : callable
        Called with a :class:`NewFigure`.
    """
    out: dict[str, CaptionedFigure] = {}

    def figure(name: str, width: float, height: float, caption: str) -> Figure:
        empty = Figure(figsize=(width, height), layout="constrained")
        empty.suptitle(title)
        out[name] = CaptionedFigure(name, empty, caption)
        return empty

    with rc_context(STYLE):
        draw(figure)
    return out


def _described(ax: Axes) -> str:
    """One panel in words."""
    title = " ".join((ax.get_title(loc="left") or ax.get_title()).split())
    if not ax.axison:
        return title
    axes = [
        _axis(ax.yaxis, ax.get_ylim()) if ax.get_ylabel() else "",
        _axis(ax.xaxis, ax.get_xlim()) if ax.get_xlabel() else "",
    ]
    text = " against ".join(axis for axis in axes if axis)
    labels = list(dict.fromkeys(ax.get_legend_handles_labels()[1]))
    if labels:
        text += f", of {_listed(labels)}" if text else _listed(labels)
    return f"{title}: {text}" if title and text else title or text


def _axis(axis: Axis, limits: tuple[float, float]) -> str:
    """The label of an axis, and its range or the names along it."""
    label = " ".join(axis.get_label_text().split())
    if isinstance(axis.get_major_locator(), FixedLocator):
        names = [tick.get_text() for tick in axis.get_majorticklabels()]
        return f"{label} ({_listed([name for name in names if name])})"
    low, high = sorted(limits)
    return f"{label} from {low:.3g} to {high:.3g}"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
