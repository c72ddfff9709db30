"""Figures of the experiment ``general_purpose``."""

from __future__ import annotations

from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.parts import draw_density
from neurolp.plotting.style import BLACK, draw_bars
from neurolp.storage.reader import Trajectory

_GAINS = (
    "Mean test log-likelihood of each model minus that of a Gaussian, per column, for each table. "
    "A longer bar to the right is a better model; all of them are at their default settings."
)
_MAPS = (
    "The density that the brain has learned of each table with two columns, darker where it is "
    "higher. It should be high along the shape of the data, and low between its parts."
)


def plot_gains(file: Trajectory, ax: Axes) -> Axes:
    """Gain of every model over the Gaussian by table, nats per column so that tables compare."""
    score = file["log_prob"]
    names = list(map(str, score.coords["model"].values))
    plain = names.index("Gaussian")
    gain = (score.values - score.values[:, [plain]]) / file["n_columns"].values[:, None]
    shown = [j for j in range(len(names)) if j != plain]
    tables = [str(name).replace("_", " ") for name in score.coords["data"].values]
    unit = "gain over a Gaussian (nats per row and column)"
    draw_bars(ax, tables, [names[j] for j in shown], gain[:, shown], unit)
    ax.axvline(0, color=BLACK, lw=1)
    ax.set(title="Test log-likelihood with default settings")
    return ax


def plot_maps(file: Trajectory, axes: Array) -> Array:
    """Learned densities of the tables with two columns, one on each Axes."""
    density = file["map_density"]
    for k, ax in enumerate(axes):
        x, y = file["map_end"].values[k].T
        draw_density(ax, density.values[k], x, y, aspect="equal")
        ax.set(title=str(density.coords["map"].values[k]).replace("_", " "), xlabel="first column")
    axes[0].set_ylabel("second column")
    return axes


def draw(file: Trajectory, figure: NewFigure) -> None:
    """All figures."""
    n_tables = len(file["log_prob"])
    plot_gains(file, figure("gains", 7, 1.5 + 0.5 * n_tables, _GAINS).subplots())
    if "map_density" in file:
        n_maps = len(file["map_density"])
        panel = figure("maps", 4 * n_maps, 4.1, _MAPS)
        panel.suptitle("Learned densities of two columns")
        axes = panel.subplots(1, n_maps, squeeze=False)
        plot_maps(file, axes[0])
