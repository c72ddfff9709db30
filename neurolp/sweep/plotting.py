"""Figures of a sweep: curves with bands of replicates, heat maps, random draws."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from neurolp.errors import ConfigurationError
from neurolp.plotting.style import BLACK, BLUE, GREY, cycle
from neurolp.sweep.collecting import Table

Array = npt.NDArray[Any]

_LABELS = {
    "surprise": "mean surprise of the last fifth (nats a step)",
    "excess_nll": "excess NLL (nats a step)",
    "test_log_prob": "test log-probability (nats a sample)",
    "test_bits_per_dim": "test bits a dimension",
    "steps_per_second": "steps a second",
    "seconds": "seconds",
}
_MOST_LINES, _MOST_PANELS, _MOST_CELLS, _MOST_MAPS = 6, 6, 100, 3


def figures(table: Table, result: str | None = None) -> dict[str, Figure]:
    """All figures that a table allows, by name; ``result`` is drawn, or what says most.

    Raises
    ------
    ConfigurationError
        If there is no such result, or none at all yet.
    """
    name = result or table.headline
    if name is None:
        raise ConfigurationError(f"{table.title}: no job is done, there is nothing to draw")
    if name not in table.results:
        raise ConfigurationError(f"there is no result {name!r}; there are {list(table.results)}")
    done = np.isfinite(table[name]) if table[name].dtype.kind == "f" else np.zeros(len(table), bool)
    if not done.any():
        raise ConfigurationError(f"{table.title}: {name} was found at no job")
    steady = [k for k in table.settings if table.how[k] != "random" and _n(table, k, done) > 1]
    drawn = [k for k in table.settings if table.how[k] == "random" and _n(table, k, done) > 1]

    out: dict[str, Figure] = {}
    if steady or not drawn:
        out["curves"] = _curves(table, name, done, steady)
    pairs = [p for p in combinations(steady, 2) if min(_n(table, k, done) for k in p) > 1]
    pairs = [p for p in pairs if max(_n(table, k, done) for k in p) > 2]
    for k, pair in enumerate(pairs[:_MOST_MAPS]):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        plot_heat_map(table, name, pair, figure.subplots())
        out["heat_map" if k == 0 else f"heat_map_{k + 1}"] = figure
    if drawn:
        figure = Figure(figsize=(min(4.2 * len(drawn), 16.8), 3.8), layout="constrained")
        axes = figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
        for ax, key in zip(axes, drawn, strict=True):
            plot_draws(table, name, key, ax)
        axes[0].set_ylabel(label(name))
        figure.suptitle(table.title)
        out["draws"] = figure
    return out


def plot_curve(table: Table, result: str, key: str, ax: Axes, where: Array, **style: Any) -> Axes:
    """``result`` against ``key``: every job, their mean, and a band of one standard deviation.

    The deviation is that of replicates, and of whatever else is not told apart.
    """
    x, labels = _places(table, key)
    y = table[result]
    used = where & np.isfinite(y)
    at = np.unique(x[used])
    groups = [y[used & (x == v)] for v in at]
    mean = np.array([g.mean() for g in groups])
    spread = np.array([g.std(ddof=1) if len(g) > 1 else 0.0 for g in groups])
    colour = style.get("color", BLUE)
    ax.fill_between(at, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
    ax.plot(x[used], y[used], ".", color=colour, ms=4, alpha=0.5)
    ax.plot(at, mean, "o-" if labels is None else "o", ms=4, lw=1.8, **style)
    if labels is not None:
        ax.set_xticks(range(len(labels)), labels)
        ax.set_xlim(-0.5, len(labels) - 0.5)
    elif _is_geometric(at):
        ax.set_xscale("log")
        _ticks_at(ax, at)
    ax.set_xlabel(key)
    return ax


def plot_heat_map(table: Table, result: str, keys: tuple[str, str], ax: Axes) -> Axes:
    """Mean of ``result`` over all that is not told apart, for every pair of settings."""
    y = table[result]
    used = np.isfinite(y)
    (a, names_a), (b, names_b) = (_levels(table, key, used) for key in keys)
    if len(names_a) < len(names_b):  # the longer one goes across
        a, names_a, b, names_b, keys = b, names_b, a, names_a, (keys[1], keys[0])
    mean = np.full((len(names_b), len(names_a)), np.nan)
    for i, j in np.ndindex(mean.shape):
        cell = y[used & (a == j) & (b == i)]
        if cell.size:
            mean[i, j] = cell.mean()
    image = ax.imshow(mean, cmap="viridis", aspect="auto", origin="lower")
    ax.figure.colorbar(image, ax=ax, label=label(result))
    ax.set_xticks(range(len(names_a)), names_a, rotation=0 if len(names_a) < 9 else 90)
    ax.set_yticks(range(len(names_b)), names_b)
    ax.set(xlabel=keys[0], ylabel=keys[1], title=table.title)
    if mean.size <= _MOST_CELLS:
        middle = (np.nanmin(mean) + np.nanmax(mean)) / 2
        for i, j in np.argwhere(np.isfinite(mean)):
            colour = "white" if mean[i, j] < middle else "black"
            text = f"{mean[i, j]:#.4g}"
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize="small")
    return ax


def plot_draws(table: Table, result: str, key: str, ax: Axes) -> Axes:
    """``result`` at every draw of ``key``; the best tenth is set off."""
    x, labels = _places(table, key)
    y = table[result]
    used = np.isfinite(y)
    better = 1 if result.startswith("test_log_prob") else -1
    order = np.argsort(-better * y[used])
    best = np.zeros(used.sum(), bool)
    best[order[: max(1, len(order) // 10)]] = True
    ax.plot(x[used][~best], y[used][~best], "o", color=GREY, ms=5, alpha=0.6, mew=0)
    which = "highest" if better > 0 else "lowest"
    ax.plot(x[used][best], y[used][best], "o", color=BLUE, ms=6, mew=0, label=f"{which} tenth")
    if labels is not None:
        ax.set_xticks(range(len(labels)), labels)
    elif _spans_decades(x[used]):
        ax.set_xscale("log")
        few = x[used].max() / x[used].min() < 1e3
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
    ax.set_xlabel(key)
    ax.legend(frameon=False, fontsize="small")
    return ax


def label(result: str) -> str:
    """What an axis says of a result."""
    return _LABELS.get(result, result)


def _curves(table: Table, result: str, done: Array, keys: list[str]) -> Figure:
    """One key across, one in colours, one in panels; the others are averaged, and named."""
    across, *rest = _by_use(table, keys, done) or ["replicate"]
    colours = next((k for k in rest if _n(table, k, done) <= _MOST_LINES), None)
    rest = [k for k in rest if k != colours]
    panels = next((k for k in rest if _n(table, k, done) <= _MOST_PANELS), None)
    averaged = [k for k in rest if k != panels]
    averaged += [k for k in table.settings if table.how[k] == "random"]

    which, titles = _levels(table, panels, done) if panels else (np.zeros(len(table), int), [""])
    figure = Figure(figsize=(max(6.0, 4.4 * len(titles)), 4.2), layout="constrained")
    axes = figure.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    for p, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        here = done & (which == p)
        if colours is None:
            plot_curve(table, result, across, ax, here, color=BLUE)
        else:
            of, names = _levels(table, colours, done)
            for c, (name, colour) in enumerate(zip(names, cycle(len(names)), strict=True)):
                if (here & (of == c)).any():
                    style = {"color": colour, "label": f"{colours} = {name}"}
                    plot_curve(table, result, across, ax, here & (of == c), **style)
        _draw_floor(table, result, ax)
        if panels:
            ax.set_title(f"{panels} = {title}", fontsize="medium")
    axes[0].set_ylabel(label(result))
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(frameon=False, fontsize="small")
    n = _n(table, "replicate", done)
    band = f"band: one standard deviation, {n} replicates" if n > 1 else ""
    of_others = f"mean over {', '.join(averaged)}" if averaged else ""
    note = "; ".join(part for part in (band, of_others) if part)
    figure.suptitle(f"{table.title}\n{note}" if note else table.title)
    return figure


def _draw_floor(table: Table, result: str, ax: Axes) -> None:
    """The entropy rate of the source, where all jobs share it."""
    if result == "surprise" and "rate" in table.results:
        rates = table["rate"]
        rates = np.unique(rates[np.isfinite(rates)])
        if len(rates) == 1:
            ax.axhline(rates[0], color=BLACK, ls="--", lw=1, label="entropy rate of the source")


def _by_use(table: Table, keys: list[str], done: Array) -> list[str]:
    """Numbers with the most values first: they go across."""
    return sorted(keys, key=lambda k: (table[k].dtype.kind != "f", -_n(table, k, done)))


def _n(table: Table, key: str, where: Array) -> int:
    return len(np.unique(table[key][where]))


def _places(table: Table, key: str) -> tuple[Array, list[str] | None]:
    """Where the values of a key stand on an axis, and what is written there if not numbers."""
    values = table[key]
    if values.dtype.kind == "f":
        return values, None
    of, names = _levels(table, key, np.ones(len(table), bool))
    return of.astype(float), names


def _levels(table: Table, key: str, where: Array) -> tuple[Array, list[str]]:
    """Which of its values a key has at each job (-1: none of those), and their names."""
    values = table[key]
    if values.dtype.kind == "f":
        names = np.unique(values[where])
        said = [f"{v:.4g}" for v in names]
    else:  # in the order in which the sweep names them
        names = np.array(list(dict.fromkeys(values[where].tolist())))
        said = [_short(str(v)) for v in names]
    of = np.full(len(values), -1)
    for k, name in enumerate(names):
        of[values == name] = k
    return of, said


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


def _spans_decades(x: Array) -> bool:
    return bool(x.min() > 0 and x.max() / x.min() > 20)


def _ticks_at(ax: Axes, at: Array) -> None:
    """Ticks at the values that were tried, as far as there is room for them."""
    chosen = at[:: max(1, len(at) // 8)]
    ax.set_xticks(chosen, [f"{v:g}" for v in chosen])
    ax.minorticks_off()
