"""Figures of the experiment ``univariate``."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.style import OBSERVED, OBSERVED_AREA, PALE, SERIES, legend, shared_legend
from neurolp.storage.reader import Trajectory

_DENSITIES = (
    "Densities of one variable learned from samples of three sizes, over the true density (grey); "
    "each row is a problem, and marks at the bottom are values of the sample. The numbers are "
    "divergences from the truth: lower is better."
)
_DISTRIBUTIONS = (
    "The cumulative distribution that the monotone network has learned, over the share of sample "
    "values below x (grey). The closer the lines, the better."
)
_DIVERGENCE = (
    "Divergence of every estimate from the true density against the size of the sample; a dot for "
    "each seed, lines for the means. Lower is better."
)


def plot_densities(file: Trajectory, axes: Array) -> Array:
    """The true density and those learned: a row of Axes per problem, a column per sample size."""
    density, kl = file["density"], file["kl"]
    estimators = [str(name) for name in density.coords["estimator"].values]
    for i, problem in enumerate(density.coords["problem"].values):
        x, truth = file["grid"].values[i], file["true_density"].values[i]
        for j, size in enumerate(density.coords["size"].values):
            ax = axes[i, j]
            ax.fill_between(x, truth, color=PALE, lw=0, label="true density")
            for e, (name, colour) in enumerate(zip(estimators, SERIES, strict=False)):
                curve = {"color": colour, "ls": "-" if e == 0 else "--", "label": name}
                ax.plot(x, density.values[i, j, e], lw=1.6, zorder=3 - 0.1 * e, **curve)
                text = {"ha": "right", "va": "top", "fontsize": "small", "color": colour}
                cost = f"KL {kl.values[i, j, 0, e]:.3f} nats"
                ax.text(0.98, 0.96 - 0.09 * e, cost, transform=ax.transAxes, **text)
            values = file["sample"].values[i, :size][:200]
            ticks = np.full(len(values), -0.03 * truth.max())
            ax.plot(values, ticks, "|", color=OBSERVED, ms=4, mew=0.4)
            ax.set(xlim=(x[0], x[-1]), ylim=(-0.07 * truth.max(), 1.9 * truth.max()))
            if i == 0:
                ax.set_title(f"{size:,} values")
        axes[i, 0].set_ylabel(f"{problem}\nprobability density")
    for ax in axes[-1]:
        ax.set_xlabel("x")
    shared_legend(axes[0, 0])
    return axes


def plot_distribution(file: Trajectory, problem: str, ax: Axes) -> Axes:
    """y(x), which runs from 0 to 1, over the empirical distribution of the largest sample."""
    y = file["distribution"].sel(problem=problem)
    i = int(np.flatnonzero(file["grid"].coords["problem"].values == problem)[0])
    x, values = file["grid"].values[i], np.sort(file["sample"].values[i])
    share, label = np.arange(1, len(values) + 1) / len(values), f"share of {len(values):,} values"
    ax.step(values, share, where="post", color=OBSERVED_AREA, lw=4, label=label)
    for size, colour in zip(y.coords["size"].values, SERIES, strict=False):
        ax.plot(
            x, y.sel(size=size).values, color=colour, lw=1.4, label=f"learned from {size:,} values"
        )
    ax.set(xlabel="x", ylabel="probability of a value below x", title=problem, xlim=(x[0], x[-1]))
    legend(ax)
    return ax


def plot_divergence(file: Trajectory, problem: str, ax: Axes) -> Axes:
    """KL(truth || estimate) against the size of the sample: every seed, and the mean."""
    kl = file["kl"].sel(problem=problem)
    size = kl.coords["size"].values
    for name, colour in zip(kl.coords["estimator"].values, SERIES, strict=False):
        values = kl.sel(estimator=name).values
        ax.plot(size, values, "o", color=colour, ms=3, alpha=0.5)
        ax.plot(size, values.mean(axis=1), color=colour, lw=1.8, label=str(name))
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="values in the sample",
        ylabel="divergence from the truth (nats)",
        title=problem,
    )
    ax.set_xticks(size, [f"{n:,}" for n in size])
    ax.xaxis.minorticks_off()
    legend(ax)
    return ax


def draw(file: Trajectory, figure: NewFigure) -> None:
    """All figures."""
    problems = [str(name) for name in file["density"].coords["problem"].values]
    n_rows, n_columns = file["density"].shape[:2]
    axes = figure("densities", 4 * n_columns, 2.6 * n_rows, _DENSITIES)
    plot_densities(file, axes.subplots(n_rows, n_columns, squeeze=False))
    below = figure("distributions", 4 * n_rows, 3.6, _DISTRIBUTIONS).subplots(
        1, n_rows, squeeze=False
    )[0]
    cost = figure("divergence", 4 * n_rows, 3.6, _DIVERGENCE).subplots(1, n_rows, squeeze=False)[0]
    for k, problem in enumerate(problems):
        plot_distribution(file, problem, below[k])
        plot_divergence(file, problem, cost[k])
