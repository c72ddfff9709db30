"""Pictures of experiments: Axes in, Axes out. Colours from a colour-blind-safe palette."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurolp.trajectory.reader import Trajectory

Array = npt.NDArray[Any]

# Okabe and Ito.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#999999",
)
_SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)


def pictures(trajectory: Trajectory) -> dict[str, Figure]:
    """All pictures of an experiment, by name."""
    out: dict[str, Figure] = {}

    def figure(name: str, width: float, height: float) -> Figure:
        out[name] = Figure(figsize=(width, height), layout="constrained")
        return out[name]

    _PICTURES[str(trajectory.experiment["name"])](trajectory, figure)
    return out


# --- principle ------------------------------------------------------------------------------------


def plot_surprise_of_symbols(file: Trajectory, ax: Axes) -> Axes:
    """Mean surprise against the symbols seen: every learner, mean (thick) and the first runs."""
    surprise = file["surprise"]
    floor = float(file.result["entropy"])
    time = surprise.coords["time"]
    for name, colour in zip(surprise.coords["learner"], _SERIES, strict=False):
        runs = surprise.sel(learner=name).values
        ax.plot(time, runs[:10].T, color=colour, lw=0.5, alpha=0.2)
        ax.plot(time, runs.mean(axis=0), color=colour, lw=2, label=str(name))
    ax.axhline(floor, color="#222222", ls="--", lw=1.2, label="entropy of the source")
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlabel="symbols seen", ylabel="mean surprise (nats)", title="Surprise falls to entropy")
    ax.set_xlim(0, time[-1])
    top = surprise.values.mean(axis=1)[:, 0].max() - floor
    ax.set_ylim(floor - 0.1 * top, floor + 1.4 * top)
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_cost_of_ignorance(file: Trajectory, ax: Axes) -> Axes:
    """KL(P || Phi), mean over runs, against the symbols seen; theory: (symbols - 1) / (2 seen)."""
    surprise = file["surprise"]
    floor = float(file.result["entropy"])
    time = surprise.coords["time"]
    later = time > 0
    for name, colour in zip(surprise.coords["learner"], _SERIES, strict=False):
        mean = surprise.sel(learner=name).values.mean(axis=0) - floor
        ax.plot(time[later], mean[later], color=colour, lw=2, label=str(name))
    n_symbols = len(file["true_probability"])
    least = (n_symbols - 1) / (2 * time[later])
    ax.plot(time[later], least, color="#222222", ls=":", lw=1.2, label=r"$(K-1)\,/\,2t$")
    ax.set(xscale="log", yscale="log", xlabel="symbols seen", ylabel=r"KL$(P\,\|\,\Phi)$ (nats)")
    ax.set(title="What is not known yet costs")
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_frequencies(file: Trajectory, ax: Axes, *, learner: str = "averaged gradient") -> Axes:
    """Probabilities while they are learned, and the true ones as dashed lines."""
    learned = file["probability"].sel(learner=learner)
    time, truth = learned.coords["time"], file["true_probability"].values
    for j, (p, colour) in enumerate(zip(truth, _cycle(len(truth)), strict=True)):
        ax.axhline(p, color=colour, ls="--", lw=1)
        ax.plot(time, learned.values[:, j], color=colour, lw=1.8, label=f"symbol {j}")
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlabel="symbols seen", ylabel=r"probability $\Phi_k$", ylim=(0, None))
    ax.set(title="Frequencies are found (dashed: true)")
    ax.set_xlim(0, time[-1])
    if len(truth) <= 8:
        ax.legend(frameon=False, fontsize="small", ncols=2)
    return ax


def plot_losses(file: Trajectory, axes: Array) -> Array:
    """Losses on the first Axes, the densities they stand for on the second."""
    residual = file["loss_value"].coords["residual"]
    names = file["loss_value"].coords["loss"]
    for name, colour, style in zip(names, _SERIES, ("-", "-", "--", "-"), strict=False):
        settings = {"color": colour, "ls": style, "lw": 1.8, "label": str(name)}
        axes[0].plot(residual, file["loss_value"].sel(loss=name).values, **settings)
        axes[1].plot(residual, file["loss_density"].sel(loss=name).values, **settings)
    axes[0].set(ylim=(0, 5), title="Losses $l(r)$", ylabel="loss (nats)")
    axes[1].set(ylim=(0, None), title=r"Their densities $e^{-l(r)}/Z$", ylabel="density")
    for ax in axes:
        ax.set(xlabel="residual $r$ (scales)", xlim=(residual[0], residual[-1]))
    axes[1].legend(frameon=False, fontsize="small")
    return axes


def plot_cost_of_losses(file: Trajectory, ax: Axes) -> Axes:
    """What each loss costs on each noise above its entropy: comparable, because all are nats."""
    cost = file["loss_kl"]
    noises, losses = (list(map(str, cost.coords[d])) for d in ("noise", "loss"))
    draw_bars(ax, noises, losses, cost.values, "cost above the entropy (nats)")
    ax.set(title="The loss that fits the noise costs least")
    return ax


def _principle(file: Trajectory, figure: Callable[[str, float, float], Figure]) -> None:
    axes = figure("learning", 13, 4.2).subplots(1, 3)
    plot_surprise_of_symbols(file, axes[0])
    plot_cost_of_ignorance(file, axes[1])
    plot_frequencies(file, axes[2])
    axes = figure("losses", 13, 4.2).subplots(1, 3)
    plot_losses(file, axes[:2])
    plot_cost_of_losses(file, axes[2])


# --- general_purpose ------------------------------------------------------------------------------


def plot_gains(file: Trajectory, ax: Axes) -> Axes:
    """Gain of every model over the Gaussian by table, nats per column so that tables compare."""
    score = file["log_prob"]
    names = list(map(str, score.coords["model"]))
    plain = names.index("Gaussian")
    gain = (score.values - score.values[:, [plain]]) / file["n_columns"].values[:, None]
    shown = [j for j in range(len(names)) if j != plain]
    tables = [str(name).replace("_", " ") for name in score.coords["data"]]
    draw_bars(ax, tables, [names[j] for j in shown], gain[:, shown], "")
    ax.axvline(0, color="#222222", lw=1)
    ax.set(xlabel="gain over a Gaussian (nats per column)", title="One estimator, defaults only")
    return ax


def plot_maps(file: Trajectory, axes: Array) -> Array:
    """Learned densities of the tables with two columns, one on each Axes."""
    density = file["map_density"]
    for k, ax in enumerate(axes):
        (left, low), (right, high) = file["map_end"].values[k]
        ax.imshow(
            density.values[k],
            origin="lower",
            extent=(left, right, low, high),
            cmap="magma",
            aspect="equal",
        )
        ax.set(title=str(density.coords["map"][k]).replace("_", " "))
    return axes


def _general_purpose(file: Trajectory, figure: Callable[[str, float, float], Figure]) -> None:
    n_tables = len(file["log_prob"])
    plot_gains(file, figure("gains", 7, 1.5 + 0.5 * n_tables).subplots())
    if "map_density" in file:
        n_maps = len(file["map_density"])
        panel = figure("maps", 4 * n_maps, 4.1)
        panel.suptitle("Learned densities of two columns")
        axes = panel.subplots(1, n_maps, squeeze=False)
        plot_maps(file, axes[0])


# --- shared ---------------------------------------------------------------------------------------


def draw_bars(ax: Axes, groups: list[str], names: list[str], values: Array, unit: str) -> None:
    """Draw groups of horizontal bars, (group, name), read from the top, with a legend."""
    height = 0.8 / len(names)
    for j, (name, colour) in enumerate(zip(names, _SERIES, strict=False)):
        at = np.arange(len(groups)) + (j - (len(names) - 1) / 2) * height
        ax.barh(at, values[:, j], height=0.9 * height, color=colour, label=name)
    ax.set_yticks(np.arange(len(groups)), groups)
    ax.invert_yaxis()
    ax.set(xlabel=unit)
    ax.legend(frameon=False, fontsize="small")


def _cycle(n: int) -> list[str]:
    return [_SERIES[k % len(_SERIES)] for k in range(n)]


_PICTURES: dict[str, Callable[[Trajectory, Callable[[str, float, float], Figure]], None]] = {
    "principle": _principle,
    "general_purpose": _general_purpose,
}
