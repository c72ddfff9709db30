"""Figures of the experiment ``principle``."""

from __future__ import annotations

from itertools import cycle

from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.style import SERIES, THEORY, draw_bars, legend
from neurolp.storage.reader import Trajectory

_LEARNING = (
    "Three learners that see one symbol after the other. Left: their mean negative log-likelihood "
    "falls to the entropy of the source, and not below it. Middle: the rest, the divergence from "
    "the source, falls as fast as theory allows (dotted). Right: the learned probability of each "
    "symbol settles at the true one (dashed)."
)
_LOSSES = (
    "Four loss functions (left), each read as the density it stands for (middle). Right: what each "
    "of them costs above the entropy of four kinds of noise; the shortest bar of a group is the "
    "loss that fits this noise."
)


def plot_surprise_of_symbols(file: Trajectory, ax: Axes) -> Axes:
    """Mean surprise against the symbols seen: every learner, mean (thick) and the first runs."""
    surprise = file["surprise"]
    floor = float(file.result["entropy"])
    time = surprise.coords["time"].values
    for name, colour in zip(surprise.coords["learner"].values, SERIES, strict=False):
        runs = surprise.sel(learner=name).values
        ax.plot(time, runs[:10].T, color=colour, lw=0.5, alpha=0.2)
        ax.plot(time, runs.mean(axis=0), color=colour, lw=2, label=str(name))
    ax.axhline(floor, color=THEORY, ls="--", lw=1.2, label="entropy of the source")
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlabel="symbols seen", ylabel="negative log-likelihood (nats per symbol)")
    ax.set(title="Mean negative log-likelihood")
    ax.set_xlim(0, time[-1])
    top = surprise.values.mean(axis=1)[:, 0].max() - floor
    ax.set_ylim(floor - 0.1 * top, floor + 1.4 * top)
    legend(ax)
    return ax


def plot_cost_of_ignorance(file: Trajectory, ax: Axes) -> Axes:
    """KL(P || Phi), mean over runs, against the symbols seen; theory: (symbols - 1) / (2 seen)."""
    surprise = file["surprise"]
    floor = float(file.result["entropy"])
    time = surprise.coords["time"].values
    later = time > 0
    for name, colour in zip(surprise.coords["learner"].values, SERIES, strict=False):
        mean = surprise.sel(learner=name).values.mean(axis=0) - floor
        ax.plot(time[later], mean[later], color=colour, lw=2, label=str(name))
    n_symbols = len(file["true_probability"])
    least = (n_symbols - 1) / (2 * time[later])
    ax.plot(time[later], least, color=THEORY, ls=":", lw=1.2, label=r"theory: $(K-1)\,/\,2t$")
    ax.set(xscale="log", yscale="log", xlabel="symbols seen", ylabel="divergence (nats per symbol)")
    ax.set(title="Divergence of the learned from the true probabilities")
    legend(ax)
    return ax


def plot_frequencies(file: Trajectory, ax: Axes, *, learner: str = "averaged gradient") -> Axes:
    """Probabilities while they are learned, and the true ones as dashed lines."""
    learned = file["probability"].sel(learner=learner)
    time, truth = learned.coords["time"].values, file["true_probability"].values
    for j, (p, colour) in enumerate(zip(truth, cycle(SERIES), strict=False)):
        ax.axhline(p, color=colour, ls="--", lw=1)
        ax.plot(time, learned.values[:, j], color=colour, lw=1.8, label=f"symbol {j}")
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlabel="symbols seen", ylabel="learned probability", ylim=(0, None))
    ax.set(title="Learned probabilities (dashed: true)")
    ax.set_xlim(0, time[-1])
    if len(truth) <= 8:
        legend(ax)
    return ax


def plot_losses(file: Trajectory, axes: Array) -> Array:
    """Losses on the first Axes, the densities they stand for on the second."""
    residual = file["loss_value"].coords["residual"].values
    names = file["loss_value"].coords["loss"].values
    for name, colour, style in zip(names, SERIES, ("-", "-", "--", "-"), strict=False):
        settings = {"color": colour, "ls": style, "lw": 1.8, "label": str(name)}
        axes[0].plot(residual, file["loss_value"].sel(loss=name).values, **settings)
        axes[1].plot(residual, file["loss_density"].sel(loss=name).values, **settings)
    axes[0].set(ylim=(0, 5), title="Losses", ylabel="loss (nats)")
    axes[1].set(
        ylim=(0, None),
        title=r"The densities $e^{-\mathrm{loss}}/Z$ that they stand for",
        ylabel="probability density",
    )
    for ax in axes:
        ax.set(xlabel="residual (in units of its scale)", xlim=(residual[0], residual[-1]))
        legend(ax)
    return axes


def plot_cost_of_losses(file: Trajectory, ax: Axes) -> Axes:
    """What each loss costs on each noise above its entropy: comparable, because all are nats."""
    cost = file["loss_kl"]
    noises, losses = (list(map(str, cost.coords[d].values)) for d in ("noise", "loss"))
    draw_bars(ax, noises, losses, cost.values, "divergence (nats per residual)")
    ax.set(title="Divergence of each loss from each noise", ylabel="noise")
    return ax


def draw(file: Trajectory, figure: NewFigure) -> None:
    """All figures."""
    axes = figure("learning", 13, 4.2, _LEARNING).subplots(1, 3)
    plot_surprise_of_symbols(file, axes[0])
    plot_cost_of_ignorance(file, axes[1])
    plot_frequencies(file, axes[2])
    axes = figure("losses", 13, 4.2, _LOSSES).subplots(1, 3)
    plot_losses(file, axes[:2])
    plot_cost_of_losses(file, axes[2])
