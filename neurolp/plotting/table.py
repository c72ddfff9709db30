"""Figures of a density of a table with columns of any kind: Axes in, Axes out.

Rows are codes (n, n_columns), NaN where a value is missing; see ``neurolp.data.columns``.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from neurolp.arrays import Array
from neurolp.data.column import Column
from neurolp.data.columns import Columns
from neurolp.evaluation.metrics import reliability
from neurolp.mixed.dependence_tree import mutual_information
from neurolp.mixed.groups import CellGroups
from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.style import (
    BLACK,
    GREY,
    MODEL,
    OBSERVED_AREA,
    PALE,
    count_axis,
    shared_legend,
)

_MOST_COLUMNS = 12  # of the figure of columns
_MOST_BARS, _MOST_LEVELS, _BINS = 8, 30, 30
_MOST_NAMES = 24  # columns whose names are written beside a matrix
_MOST_CONDITIONALS, _MOST_STATEMENTS, _MOST_OUTCOMES = 8, 12_000, 200
_MOST_ROWS, _GROUPS = 200, 10  # rows that are judged; groups of the values of an ordinal column
_FEWEST_ROWS, _MOST_HOLED = 50, 2_000  # rows wanted; statements on rows with holes
_SAMPLES = 2000
_ROWS_PER_PAIR, _MOST_GROUPS = 5, 8  # rows in a pair of groups, if there are so many groups

_COLUMNS = (
    "Each column of the table: values of rows that were not learned from, beside values of rows "
    "sampled from the model. The two should agree in every panel."
)
_DEPENDENCE = (
    "Mutual information of every two columns, in the data and in samples of the model; brighter "
    "pairs tell more about each other. The two halves should look alike."
)
_CALIBRATION = (
    "For each discrete column, how often its values came true against the probability that the "
    "model gave to them, given all other columns. Dots of a calibrated model lie on the diagonal, "
    "within the grey bars (95 %)."
)


def plot_column(column: Column, name: str, data: Array, samples: Array, ax: Axes) -> Axes:
    """The values of one column, codes (n,) each, beside those of samples.

    Bars for categories; steps over the levels of an ordinal column; histograms of the density of a
    continuous one, with a line for each atom whose height is its mass.
    """
    missing = float(np.isnan(data).mean())
    data, samples = data[~np.isnan(data)], samples[~np.isnan(samples)]
    gap = f" ({missing:.0%} missing)" if missing >= 0.005 else ""
    ax.set_title(short(name, 36 - len(gap)) + gap, fontsize="small")
    if not len(data):
        ax.set_axis_off()
        return ax
    if column.kind == "nominal" or column.categories:
        _draw_categories(column, data, samples, ax)
    elif (levels := _levels(column, data)) is not None:
        _draw_levels(levels, data, samples, ax)
    else:
        _draw_values(column, data, samples, ax)
    if column.family == "date" and not column.categories:
        ax.xaxis.set_major_formatter(FuncFormatter(_date))
        ax.xaxis.set_major_locator(MaxNLocator(3))
    return ax


def plot_dependence(
    columns: Columns, names: list[str], data: Array, samples: Array, axes: Array
) -> Array:
    """Mutual information of every two columns: of the data on the first Axes, then of samples.

    Of at most eight groups of values of each column, nats; fewer where there are few rows. It is
    less what independent columns would show on average.
    """
    most = int(np.clip(np.sqrt(len(data) / _ROWS_PER_PAIR), 2, _MOST_GROUPS))
    holes = np.resize(np.isnan(data), samples.shape)  # in the samples as in the data
    samples = np.where(holes, np.nan, samples)
    pairs = [_grouped(*each, most) for each in zip(columns, data.T, samples.T, strict=True)]
    cells = [np.column_stack(part) for part in zip(*pairs, strict=True)]
    n_cells = np.maximum(cells[0].max(axis=0), cells[1].max(axis=0)) + 1
    groups = CellGroups.of(cells[0], n_cells, np.zeros(len(n_cells), dtype=np.bool_))
    found = [mutual_information(part, groups) for part in cells]
    top = max(float(found[0].max()), float(found[1].max()), 1e-3)
    place = np.arange(len(names))
    for ax, matrix, title in zip(axes, found, ("data", "samples"), strict=True):
        np.fill_diagonal(matrix, np.nan)
        image = ax.imshow(matrix, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
        ax.set(title=title.capitalize())
        if len(names) <= _MOST_NAMES:
            labels = [short(name, 18) for name in names]
            ax.set_xticks(place, labels, rotation=90, fontsize="small")
            ax.set_yticks(place, labels if ax is axes[0] else [], fontsize="small")
        else:
            ax.set(xlabel="column", ylabel="column" if ax is axes[0] else "")
            count_axis(ax.xaxis)
            count_axis(ax.yaxis)
    label = "mutual information (nats)"
    axes[-1].figure.colorbar(image, ax=list(axes), label=label, shrink=0.8)
    return axes


def plot_calibration(probability: Array, right: Array, name: str, ax: Axes) -> Axes:
    """Predicted probabilities (n, K) of values against how often these came true, (n, K) of 0, 1.

    Bars are the range of 95 % of the frequencies of calibrated predictions.
    """
    found = reliability(probability, right)
    used = found.counts > 0
    p, counts = found.confidence[used], found.counts[used]
    spread = 1.96 * np.sqrt(p * (1 - p) / counts)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    low, high = np.maximum(p - spread, 0), np.minimum(p + spread, 1)
    ax.vlines(p, low, high, color=PALE, lw=5)
    size = 8 + 60 * np.sqrt(counts / counts.max())
    ax.scatter(p, found.frequency[used], s=size, color=MODEL, lw=0, zorder=3)
    ax.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
    ax.set_title(f"{short(name, 22)}: mean error {found.error:.2f}", fontsize="small")
    return ax


def draw_table(brain: Any, names: list[str], rows: Array, figure: NewFigure) -> None:
    """Columns beside samples, pairwise dependence, and calibration of discrete columns.

    ``brain`` is a density of tables, such as :class:`neurolp.BrainDensity`; ``rows`` are codes of
    rows that it did not learn from.
    """
    columns: Columns = brain.columns_
    n_samples = max(len(rows), _SAMPLES)
    samples = columns.encode(brain.sample(n_samples, random_state=0))
    varying = [j for j, kind in enumerate(columns.kinds) if kind != "constant"]
    if not varying:
        return
    shown = varying[:_MOST_COLUMNS]
    panels = _panels(figure, "columns", len(shown), 3.1, 2.5, _COLUMNS)
    for j, ax in zip(shown, panels, strict=True):
        plot_column(columns[j], names[j], rows[:, j], samples[:, j], ax)
    _legend(panels[0], len(varying), len(shown))
    if len(varying) > 1:
        side = 2.6 + 0.16 * min(len(varying), _MOST_NAMES)
        drawn = figure("dependence", 2 * side + 0.6, side + 0.8, _DEPENDENCE)
        drawn.set_layout_engine("compressed")  # for images
        axes = drawn.subplots(1, 2)
        some = columns.select(varying)
        labels = [names[j] for j in varying]
        plot_dependence(some, labels, rows[:, varying], samples[:, varying], axes)
    found = ((names[j], *s) for j in varying if (s := _statements(brain, rows, j)))
    judged = list(itertools.islice(found, _MOST_CONDITIONALS))
    if judged:
        panels = _panels(figure, "calibration", len(judged), 2.5, 2.6, _CALIBRATION)
        for (name, probability, right), ax in zip(judged, panels, strict=True):
            plot_calibration(probability, right, name, ax)
        panels[0].figure.supxlabel("predicted probability given all other columns", fontsize=10)
        panels[0].figure.supylabel("how often it came true", fontsize=10)


def short(text: str, most: int) -> str:
    """The text, or its beginning and its end with an ellipsis between."""
    end = most // 3
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[-end:]}"


# --- one column -----------------------------------------------------------------------------------


def _draw_categories(column: Column, data: Array, samples: Array, ax: Axes) -> None:
    n = len(column.categories)
    found = [np.bincount(np.minimum(c, n).astype(int), minlength=n + 1) for c in (data, samples)]
    shares = np.array([counts / counts.sum() for counts in found])
    ranked = np.argsort(-shares[0, :n], kind="stable")
    order = np.sort(ranked[:_MOST_BARS]) if column.kind == "ordinal" else ranked[:_MOST_BARS]
    rest = 1.0 - shares[:, order].sum(axis=1)
    labels = [short(str(column.categories[k]), 14) for k in order]
    bars = shares[:, order]
    if rest.max() > 1e-9:
        labels.append("all others")
        bars = np.column_stack([bars, rest])
    at = np.arange(len(labels))
    for values, offset, colour, label in zip(bars, (-0.2, 0.2), _COLOURS, _LABELS, strict=True):
        ax.barh(at + offset, values, height=0.36, color=colour, label=label)
    ax.set_yticks(at, labels, fontsize="small")
    ax.invert_yaxis()
    ax.set_xlabel("probability", fontsize="small")


def _draw_levels(levels: Array, data: Array, samples: Array, ax: Axes) -> None:
    gap = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
    middle = 0.5 * (levels[1:] + levels[:-1])
    edges = np.concatenate([[levels[0] - gap / 2], middle, [levels[-1] + gap / 2]])
    _draw_steps(data, samples, edges, ax, share=True)
    ax.set_ylabel("probability", fontsize="small")
    if np.all(levels == np.rint(levels)):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _levels(column: Column, data: Array) -> Array | None:
    """The values of an ordinal column where they are few enough to be steps of their own."""
    if column.kind != "ordinal":
        return None
    if not column.step:
        return column.levels if len(column.levels) <= _MOST_LEVELS else None
    low, high = (op(data) for op in (np.min, np.max))
    low, high = min(low, column.levels[0]), max(high, column.levels[-1])
    n = round((high - low) / column.step) + 1
    return low + column.step * np.arange(n) if n <= _MOST_LEVELS else None


def _draw_values(column: Column, data: Array, samples: Array, ax: Axes) -> None:
    atoms = np.array(column.atoms)
    loose, drawn = (values[~np.isin(values, atoms)] for values in (data, samples))
    if len(loose) > 1:
        low, high = np.quantile(loose, [0.005, 0.995])
        pad = 0.08 * (high - low) or 1.0
        edges = np.linspace(low - pad, high + pad, _BINS + 1)
        if column.kind == "ordinal" and column.step:  # whole steps in each bin
            width = np.ceil((edges[-1] - edges[0]) / _BINS / column.step) * column.step
            first = loose.min() - column.step / 2
            edges = np.arange(first - width, high + pad + width, width)
        parts = len(loose) / len(data), len(drawn) / len(samples)
        _draw_steps(loose, drawn, edges, ax, share=column.kind == "ordinal", parts=parts)
    ax.set_ylabel(
        "probability" if column.kind == "ordinal" else "probability density", fontsize="small"
    )
    if len(atoms):
        beside = ax.twinx()
        width = np.diff(ax.get_xlim())[0] / 80
        for values, side, colour in zip((data, samples), (-0.5, 0.5), _COLOURS, strict=True):
            mass = np.array([np.mean(values == atom) for atom in atoms])
            at = atoms + side * width
            beside.bar(at, mass, width=width, color=colour, edgecolor=BLACK, lw=0.4)
        beside.set(ylim=(0, None))
        beside.set_ylabel("mass of an atom", fontsize="small")


def _draw_steps(
    data: Array,
    samples: Array,
    edges: Array,
    ax: Axes,
    *,
    share: bool,
    parts: tuple[float, float] = (1.0, 1.0),
) -> None:
    """Histograms of which all values of a column, the rest among them, have the integral 1."""
    widths = 1.0 if share else np.diff(edges)
    both = zip((data, samples), parts, strict=True)
    one, other = (part * np.histogram(v, edges)[0] / max(len(v), 1) / widths for v, part in both)
    ax.stairs(one, edges, fill=True, color=_COLOURS[0], label=_LABELS[0])
    ax.stairs(other, edges, color=_COLOURS[1], lw=1.5, label=_LABELS[1])
    ax.set(ylim=(0, None))


def _date(days: float, position: Any = None) -> str:
    return str(np.datetime64(0, "s") + np.timedelta64(round(days * 86400), "s"))[:10]


# --- dependence -----------------------------------------------------------------------------------


def _grouped(column: Column, data: Array, samples: Array, most: int) -> tuple[Array, Array]:
    """Groups of codes (n,) each, numbered from 0; -1 where missing.

    Of an ordered column those of about as many rows of the data; of a nominal one the most frequent
    categories, and all others together.
    """
    known = data[~np.isnan(data)]
    if column.kind == "nominal":
        place = np.full(len(column.categories) + 1, most - 1)
        counts = np.bincount(known.astype(int), minlength=len(place))
        frequent = np.argsort(-counts, kind="stable")[: most if len(place) <= most else most - 1]
        place[frequent] = np.arange(len(frequent))

        def group(codes: Array) -> Array:
            return np.asarray(place[np.minimum(codes, len(place) - 1).astype(int)])
    else:
        shares = np.linspace(0, 1, most + 1)[1:-1]
        cuts = np.unique(np.quantile(known, shares)) if len(known) else np.empty(0)

        def group(codes: Array) -> Array:
            return np.searchsorted(cuts, codes, side="left")

    one, other = (
        np.where(np.isnan(codes), -1, group(np.nan_to_num(codes))) for codes in (data, samples)
    )
    return one, other


# --- calibration ----------------------------------------------------------------------------------


def _statements(brain: Any, rows: Array, j: int) -> tuple[Array, Array] | None:
    """Probabilities of the values of discrete column j, and which came, (n, K); None of others.

    Values of ordinal columns are taken together in groups of about equal shares of the rows.
    """
    columns: Columns = brain.columns_
    column = columns[j]
    if column.kind not in ("nominal", "ordinal"):
        return None
    outcomes = column.levels if column.kind == "ordinal" else np.arange(len(column.categories))
    if column.kind == "ordinal" and column.step and not column.categories:
        n = round((column.levels[-1] - column.levels[0]) / column.step) + 1
        outcomes = column.levels[0] + column.step * np.arange(n)
    if not 2 <= len(outcomes) <= _MOST_OUTCOMES:
        return None
    usable = ~np.isnan(rows[:, j]) & columns.supported(rows).all(axis=1)
    # A row with holes costs a hundred times as much: such rows only fill up what is too little.
    varying = [k for k, kind in enumerate(columns.kinds) if kind != "constant"]
    n_holes = np.isnan(rows[:, varying]).sum(axis=1)
    complete, holed = (np.flatnonzero(usable & some) for some in (n_holes == 0, n_holes > 0))
    complete = complete[: min(_MOST_ROWS, _MOST_STATEMENTS // len(outcomes))]
    few = min(_FEWEST_ROWS - len(complete), _MOST_HOLED // len(outcomes))
    holed = holed[np.argsort(n_holes[holed], kind="stable")][: max(few, 0)]
    chosen = np.concatenate([complete, holed])
    if not len(chosen):
        return None
    key = j if columns.container != "frame" else columns.names[j]
    probability = brain.predict_proba(columns.decode(rows[chosen]), key)
    right = np.isclose(rows[chosen, j][:, None], outcomes)
    if column.kind == "ordinal" and len(outcomes) > _GROUPS:
        cut = np.quantile(rows[usable, j], np.linspace(0, 1, _GROUPS + 1)[1:-1])
        group = np.unique(np.searchsorted(cut, outcomes), return_inverse=True)[1]
        member = group[:, None] == np.arange(group.max() + 1)
        probability, right = probability @ member, right @ member
    return np.clip(probability, 0.0, 1.0), right


# --- panels ---------------------------------------------------------------------------------------

_LABELS, _COLOURS = ("data", "samples"), (OBSERVED_AREA, MODEL)


def _panels(
    figure: NewFigure, name: str, n: int, width: float, height: float, caption: str
) -> Array:
    """So many Axes, four in a row."""
    across = min(n, 4)
    down = -(-n // across)
    grid = figure(name, width * max(across, 2), height * down + 0.6, caption).subplots(
        down, across, squeeze=False
    )
    for ax in grid.ravel()[n:]:
        ax.set_axis_off()
    return np.asarray(grid.ravel()[:n])


def _legend(ax: Axes, n: int, shown: int) -> None:
    shared_legend(ax, title=f"the first {shown} of {n} columns" if n > shown else None)
