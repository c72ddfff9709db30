"""Figures of the experiment ``supervised``."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.parts import draw_density, draw_intervals, draw_pit, share_y
from neurolp.plotting.style import OBSERVED, SERIES, THEORY, legend
from neurolp.storage.reader import Trajectory

_DENSITIES = (
    "The density of the target for each value of the condition: the true one, where it is known, "
    "and those of two models; brighter is more probable. Right: the share of test targets in each "
    "tenth of the predicted distribution, which is flat, within the band, if the model is "
    "calibrated."
)
_INTERVALS = (
    "Predicted intervals of two models for each test row, ordered by the predicted median, and the "
    "observed targets (black). Nine of ten targets should lie within the 90 % interval. Right: the "
    "share of targets in each tenth of the predicted distribution, flat if calibrated."
)
_LABELS = (
    "Left: how often predicted labels are right against the probability given to them; calibrated "
    "models lie on the diagonal. Middle and right: scores of inputs of the known kind and of other "
    "kinds; the less they overlap, the better unknown inputs are told apart (AUROC near 1)."
)


def plot_conditions(file: Trajectory, problem: str, axes: Array) -> Array:
    """p(y | x) of the truth, if it is known, and of both models, against one condition x."""
    density = file["map_density"].sel(map=problem)
    x = file["map_condition"].sel(map=problem).values
    y = file["map_target"].sel(map=problem).values
    names = [str(name) for name in density.coords["map_model"].values]
    known = not np.isnan(density.values[-1]).any()
    order = [len(names) - 1, *range(len(names) - 1)] if known else list(range(len(names) - 1))
    top = np.nanquantile(density.values[order[0]], 0.995)
    for ax, k in zip(axes, order, strict=False):
        draw_density(ax, density.values[k], x, y, top=top)
        ax.set(title=f"p(y | x), {names[k]}", xlabel="condition x")
    axes[0].set_ylabel("target y")
    return axes


def plot_intervals(file: Trajectory, problem: str, axes: Array) -> Array:
    """50 and 90 % intervals of test rows, in the order of their medians, and the targets."""
    quantile = file["regression_quantile"].sel(regression=problem)
    target = file["regression_target"].sel(regression=problem).values
    models = quantile.coords["regression_model"].values
    for ax, model, colour in zip(axes, models, SERIES, strict=False):
        q = quantile.sel(regression_model=model).values
        seen = np.flatnonzero(~np.isnan(target))
        order = seen[np.argsort(q[seen, 2], kind="stable")]
        place = np.arange(len(order))
        draw_intervals(ax, place, q[order], colour)
        ax.scatter(place, target[order], s=7, color=OBSERVED, lw=0, zorder=3, label="observed")
        covered = file["regression_coverage"].sel(regression=problem).sel(regression_model=model)
        ax.set(
            title=f"{model}: the 90 % interval holds {float(covered.values):.1%}",
            xlabel="test row, by predicted median",
        )
        ax.margins(x=0.01)
        legend(ax)
    share_y(axes)
    axes[0].set_ylabel("target")
    return axes


def plot_pit(file: Trajectory, problem: str, ax: Axes) -> Axes:
    """Histogram of F(y | x) of test rows: flat, within the band, if the model is calibrated."""
    counts = file["pit_counts"].sel(regression=problem)
    p = file["regression_calibration_p"].sel(regression=problem)
    models = counts.coords["regression_model"].values
    labels = [f"{m} (p = {float(p.sel(regression_model=m).values):.2g})" for m in models]
    draw_pit(ax, counts.values, labels)
    ax.set(title="Calibration (flat if calibrated)")
    return ax


def plot_reliability(file: Trajectory, problem: str, ax: Axes) -> Axes:
    """How often the most probable label is right, against the probability it was given."""
    confidence = file["bin_confidence"].sel(classification=problem)
    frequency = file["bin_frequency"].sel(classification=problem)
    counts = file["bin_counts"].sel(classification=problem)
    ax.plot([0, 1], [0, 1], color=THEORY, ls=":", lw=1)
    for model, colour in zip(confidence.coords["classifier"].values, SERIES, strict=False):
        c, f, n = (v.sel(classifier=model).values for v in (confidence, frequency, counts))
        c, f, n = (v[n > 0] for v in (c, f, n))
        loss = file["log_loss"].sel(classification=problem).sel(classifier=model)
        right = file["accuracy"].sel(classification=problem).sel(classifier=model)
        label = f"{model}: log-loss {float(loss.values):.3f}, {float(right.values):.1%} correct"
        # Wilson's interval at one standard error, which stays between 0 and 1.
        middle, reach = (f + 0.5 / n) / (1 + 1 / n), np.sqrt(f * (1 - f) / n + 0.25 / n**2)
        ax.vlines(c, middle - reach / (1 + 1 / n), middle + reach / (1 + 1 / n), color=colour, lw=1)
        ax.scatter(c, f, s=14 + 120 * n / n.sum(), color=colour, zorder=3, alpha=0.8)
        ax.scatter([], [], s=30, color=colour, label=label)  # in the legend all are of one size
    ax.set(xlabel="probability of the predicted label", ylabel="share of correct labels")
    ax.set(title="Reliability (diagonal if calibrated)", xlim=(0, 1.03), ylim=(-0.03, 1.03))
    legend(ax, ncols=1)
    return ax


def plot_input_scores(file: Trajectory, problem: str, axes: Array) -> Array:
    """Histograms of a score of test rows and of inputs of other kinds, one score on each Axes."""
    scores = file["input_score"].sel(classification=problem)
    auroc = file["auroc"].sel(classification=problem)
    for ax, score in zip(axes, scores.coords["score"].values, strict=True):
        values = scores.sel(score=score).values
        finite = values[np.isfinite(values)]
        # A few inputs of almost no probability must not compress the others.
        low = max(finite.min(), np.quantile(finite, 0.02) - 0.1 * np.ptp(finite))
        bins = np.linspace(low, finite.max(), 41)
        sources = scores.coords["source"].values
        for source, row, colour in zip(sources, values, SERIES, strict=False):
            found = np.clip(row[~np.isnan(row)], low, None)
            where = np.flatnonzero(auroc.coords["strange_source"].values == source)
            told = f" (AUROC {auroc.sel(score=score).values[where[0]]:.4f})" if len(where) else ""
            share = np.full(len(found), 1 / len(found))
            style: Any = {"color": colour, "alpha": 0.55, "label": f"{source}{told}"}
            ax.hist(found, bins=list(bins), weights=share, **style)
        ax.set(xlabel=str(score), title="Known and unknown inputs", ylabel="share of inputs")
        legend(ax, ncols=1)
    return axes


def draw(file: Trajectory, figure: NewFigure) -> None:
    """All figures."""
    maps = _names(file, "map_density", "map")
    for problem in _names(file, "regression_log_prob", "regression"):
        if problem in maps:
            known = not np.isnan(file["map_density"].sel(map=problem).values).any()
            n = 3 if known else 2
            axes = figure(f"{problem}_densities", 3.7 * (n + 1), 3.6, _DENSITIES).subplots(1, n + 1)
            plot_conditions(file, problem, axes[:n])
            for ax in axes[1:n]:
                ax.tick_params(labelleft=False)
            plot_pit(file, problem, axes[n])
        else:
            axes = figure(f"{problem}_intervals", 13, 4.2, _INTERVALS).subplots(1, 3)
            plot_intervals(file, problem, axes[:2])
            plot_pit(file, problem, axes[2])
    for problem in _names(file, "log_loss", "classification"):
        axes = figure(f"{problem}_labels", 14, 4.4, _LABELS).subplots(1, 3)
        plot_reliability(file, problem, axes[0])
        plot_input_scores(file, problem, axes[1:])


def _names(file: Trajectory, variable: str, dim: str) -> list[str]:
    return [str(name) for name in file[variable].coords[dim].values] if variable in file else []
