"""Figures of a sweep: curves with bands of replicates, heat maps, random draws."""

from __future__ import annotations

from functools import partial
from itertools import combinations, cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError
from neurolp.plotting.captioned import CaptionedFigure, NewFigure, drawn
from neurolp.plotting.style import BLUE, GREY, SERIES, THEORY, legend, shared_legend
from neurolp.sweep.effects import keys_without_effect

_LABELS = {
    "surprise": "mean negative log-likelihood\nof the last fifth (nats per step)",
    "excess_nll": "excess over the source (nats per step)",
    "test_log_prob": "mean log-likelihood of test rows (nats)",
    "test_bits_per_dim": "negative log-likelihood of test rows\n(bits per dimension)",
    "validation_surprise": "mean negative log-likelihood\nof validation rows (nats)",
    "steps_per_second": "speed (steps per second)",
    "seconds": "run time (seconds)",
}
_CURVES = (
    "The result of every job (dots) against what was varied, with the mean of jobs that differ in "
    "nothing shown (line), and one standard deviation of them (band). Differences smaller than the "
    "band are chance."
)
_HEAT_MAP = (
    "The mean result for every pair of settings of two keys, over everything else that was varied. "
    "If neighbours differ along one direction only, the other key has no effect."
)
_DRAWS = (
    "The result of every random draw against each key that was drawn, the best tenth highlighted. "
    "Where the highlighted draws gather, the key matters; where they spread, it does not."
)
_LINE = 50  # characters below an axis
_MOST_LINES, _MOST_PANELS, _MOST_CELLS, _MOST_MAPS = 6, 6, 100, 3


def figures(table: pd.DataFrame, result: str | None = None) -> dict[str, CaptionedFigure]:
    """All figures that a table allows, by name; ``result`` is drawn, by default the first.

    Raises
    ------
    ConfigurationError
        If there is no such result, or none at all yet.
    """
    title, results = table.attrs["title"], table.attrs["results"]
    if not results:
        raise ConfigurationError(f"{title}: no job is done, there is nothing to draw")
    name = result or results[0]
    if name not in results:
        raise ConfigurationError(f"there is no result {name!r}; there are {results}")
    done = np.isfinite(table[name])
    if not done.any():
        raise ConfigurationError(f"{title}: no job has a finite {name}")
    return drawn(title, partial(_draw, table, name))


def _draw(table: pd.DataFrame, name: str, figure: NewFigure) -> None:
    """Draw the result ``name`` against all keys that have several values."""
    done, how = np.isfinite(table[name]), table.attrs["how"]
    several = [key for key in how if _n(table, key, done) > 1]
    steady = [key for key in several if how[key] != "random"]
    random = [key for key in several if how[key] == "random"]
    if steady or not random:
        _draw_curves(table, name, done, steady, figure)
    pairs = [p for p in combinations(steady, 2) if max(_n(table, k, done) for k in p) > 2]
    for k, pair in enumerate(pairs[:_MOST_MAPS]):
        where = "heat_map" if k == 0 else f"heat_map_{k + 1}"
        plot_heat_map(table, name, pair, figure(where, 6.4, 4.8, _HEAT_MAP).subplots())
    if random:
        empty = figure("draws", min(4.2 * len(random), 16.8), 3.8, _DRAWS)
        axes = empty.subplots(1, len(random), squeeze=False, sharey=True)[0]
        for ax, key in zip(axes, random, strict=True):
            plot_draws(table, name, key, ax)
        axes[0].set_ylabel(label(name))


def plot_curve(
    table: pd.DataFrame, result: str, key: str, ax: Axes, where: pd.Series, **style: Any
) -> Axes:
    """``result`` against ``key``: every job, their mean, and a band of one standard deviation.

    The deviation is over replicates and over all keys that are not shown.
    """
    x, labels = _places(table, key)
    y = table[result]
    used = where & np.isfinite(y)
    groups = y[used].groupby(x[used])
    mean, spread = groups.mean(), groups.std().fillna(0.0)
    at = mean.index.to_numpy()
    colour = style.get("color", BLUE)
    ax.fill_between(at, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
    ax.plot(x[used], y[used], ".", color=colour, ms=4, alpha=0.5)
    ax.plot(at, mean, "o-" if labels is None else "o", ms=4, lw=1.8, **style)
    if labels is not None:
        _name_ticks(ax, labels)
        ax.set_xlim(-0.5, len(labels) - 0.5)
    elif _is_geometric(at):
        ax.set_xscale("log")
        chosen = at[:: max(1, len(at) // 8)]  # as far as there is room for them
        ax.set_xticks(chosen, [f"{v:g}" for v in chosen])
        ax.minorticks_off()
    ax.set_xlabel(key)
    return ax


def plot_heat_map(table: pd.DataFrame, result: str, keys: tuple[str, str], ax: Axes) -> Axes:
    """Mean of ``result`` over all keys that are not shown, for every pair of settings."""
    y = table[result]
    used = np.isfinite(y)
    (a, names_a), (b, names_b) = (_levels(table, key, used) for key in keys)
    if len(names_a) < len(names_b):  # the longer one goes across
        a, names_a, b, names_b, keys = b, names_b, a, names_a, (keys[1], keys[0])
    cells = y[used].groupby([b[used], a[used]]).mean().unstack()
    mean = cells.reindex(range(len(names_b)), columns=range(len(names_a))).to_numpy()
    image = ax.imshow(mean, cmap="viridis", aspect="auto", origin="lower")
    ax.figure.colorbar(image, ax=ax, label=label(result))
    ax.set_xticks(range(len(names_a)), names_a, rotation=0 if len(names_a) < 9 else 90)
    ax.set_yticks(range(len(names_b)), names_b)
    ax.set(xlabel=keys[0], ylabel=keys[1], title="Mean over all jobs of a cell")
    if mean.size <= _MOST_CELLS:
        middle = (np.nanmin(mean) + np.nanmax(mean)) / 2
        for i, j in np.argwhere(np.isfinite(mean)):
            colour = "white" if mean[i, j] < middle else "black"
            text = f"{mean[i, j]:#.4g}"
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize="small")
    return ax


def plot_draws(table: pd.DataFrame, result: str, key: str, ax: Axes) -> Axes:
    """``result`` at every draw of ``key``; the best tenth is highlighted."""
    x, labels = _places(table, key)
    y = table[result]
    used = np.isfinite(y)
    better = 1 if result.startswith("test_log_prob") else -1
    best = (-better * y[used]).rank(method="first") <= max(1, used.sum() // 10)
    ax.plot(x[used][~best], y[used][~best], "o", color=GREY, ms=5, alpha=0.6, mew=0)
    which = "highest" if better > 0 else "lowest"
    ax.plot(x[used][best], y[used][best], "o", color=BLUE, ms=6, mew=0, label=f"{which} tenth")
    if labels is not None:
        _name_ticks(ax, labels)
    elif x[used].min() > 0 and x[used].max() / x[used].min() > 20:
        ax.set_xscale("log")
        few = x[used].max() / x[used].min() < 1e3
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
    ax.set_xlabel(key)
    legend(ax)
    return ax


def label(result: str) -> str:
    """The label of an axis that shows a result."""
    return _LABELS.get(result, result)


def _draw_curves(
    table: pd.DataFrame, result: str, done: pd.Series, keys: list[str], figure: NewFigure
) -> None:
    """One key across, one in colours, one in panels; the others are averaged, and named."""
    # Numbers with the most values first: they go across.
    use = sorted(keys, key=lambda k: (not _is_number(table, k), -_n(table, k, done)))
    across, *rest = use or ["replicate"]
    colours = next((k for k in rest if _n(table, k, done) <= _MOST_LINES), None)
    rest = [k for k in rest if k != colours]
    panels = next((k for k in rest if _n(table, k, done) <= _MOST_PANELS), None)
    averaged = [k for k in rest if k != panels]
    averaged += [k for k in table.attrs["how"] if table.attrs["how"][k] == "random"]

    which, titles = _levels(table, panels, done) if panels else (pd.Series(0, table.index), [""])
    idle = [f" {key} had no effect on any result." for key in keys_without_effect(table)]
    caption = _CURVES + "".join(idle)
    empty = figure("curves", max(6.0, 4.4 * len(titles)), 4.6, caption)
    axes = empty.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    for p, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        here = done & (which == p)
        if colours is None:
            plot_curve(table, result, across, ax, here, color=BLUE)
        else:
            of, names = _levels(table, colours, done)
            for c, (name, colour) in enumerate(zip(names, cycle(SERIES), strict=False)):
                if (here & (of == c)).any():
                    style = {"color": colour, "label": f"{colours} = {name}"}
                    plot_curve(table, result, across, ax, here & (of == c), **style)
        _draw_floor(table, result, ax)
        if panels:
            ax.set_title(f"{panels} = {title}", fontsize="medium")
    axes[0].set_ylabel(label(result))
    shared_legend(axes[0])
    n = _n(table, "replicate", done)
    band = f"band: one standard deviation, {n} replicates" if n > 1 else ""
    of_others = f"mean over {', '.join(averaged)}" if averaged else ""
    note = "; ".join(part for part in (band, of_others) if part)
    empty.suptitle("\n".join(part for part in (table.attrs["title"], note) if part))


def _draw_floor(table: pd.DataFrame, result: str, ax: Axes) -> None:
    """The entropy rate of the source, where all jobs share it."""
    if result == "surprise" and "rate" in table:
        rates = table["rate"].dropna().unique()
        if len(rates) == 1:
            ax.axhline(rates[0], color=THEORY, ls="--", lw=1, label="entropy rate of the source")


def _n(table: pd.DataFrame, key: str, where: pd.Series) -> int:
    return int(table[key][where].nunique())


def _is_number(table: pd.DataFrame, key: str) -> bool:
    return is_numeric_dtype(table[key]) and not is_bool_dtype(table[key])


def _name_ticks(ax: Axes, labels: list[str]) -> None:
    """Name the places of an axis; long names lean, so that they do not cover each other."""
    long = sum(map(len, labels)) > _LINE
    ax.set_xticks(
        range(len(labels)),
        labels,
        fontsize="x-small" if long else None,
        rotation=30 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor",
    )


def _places(table: pd.DataFrame, key: str) -> tuple[pd.Series, list[str] | None]:
    """Positions of the values of a key on an axis, and tick labels where they are no numbers."""
    if _is_number(table, key):
        return table[key].astype("float64"), None
    return _levels(table, key, pd.Series(True, table.index))


def _levels(table: pd.DataFrame, key: str, where: pd.Series) -> tuple[pd.Series, list[str]]:
    """Number of the value that a key has in each job (-1 outside ``where``), and their names."""
    is_number = _is_number(table, key)
    # Texts in the order in which the sweep names them.
    codes, values = pd.factorize(table[key].where(where), sort=is_number)
    names = [f"{v:.4g}" if is_number else _short(str(v)) for v in values]
    return pd.Series(codes, table.index), names


def _short(text: str) -> str:
    for unwanted in '{}"':
        text = text.replace(unwanted, "")
    return text if len(text) < 40 else text[:37] + "..."


def _is_geometric(x: Array) -> bool:
    """Whether values are spread rather by factors than by differences."""
    if len(x) < 3 or x[0] <= 0:
        return False
    steps, factors = np.diff(x), np.diff(np.log(x))
    return bool(np.ptp(factors) / factors.mean() < np.ptp(steps) / steps.mean())
