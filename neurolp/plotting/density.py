"""Figures of a brain that learned a table: Axes in, Axes out."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.brain.network_arrays import connectivity_from_arrays
from neurolp.errors import FormatError
from neurolp.estimators import Brain, load
from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.network import plot_connectivity, plot_node_maps, plot_weights
from neurolp.plotting.parts import share_y
from neurolp.plotting.potentials import (
    chosen_slice,
    moving_nodes,
    plot_potential_map,
    plot_potentials,
    recorded_rows,
    time_unit,
)
from neurolp.plotting.samples import plot_density_2d, plot_dream, plot_marginals
from neurolp.plotting.style import BLACK, GREY, MODEL, PEERS, SKY, count_axis, legend
from neurolp.plotting.table import draw_table
from neurolp.storage.reader import Trajectory

_SURPRISE = (
    "Mean negative log-likelihood of training, validation and test rows over time: lower is "
    "better. Horizontal lines are the final model, with its density heads, and other models, on "
    "the test rows. Time ends where validation rows no longer gain; the vertical line is the slice "
    "that was chosen by them."
)
_POTENTIALS = (
    "How learning moves the potentials of all nodes from the distribution of the standardised data "
    "to the base density. Left: their histogram at each recorded slice, darker where more of them "
    "lie. Middle and right: the first histogram, and that of the chosen slice, which should follow "
    "the line."
)
_WEIGHTS = (
    "Connection weights from source nodes (across) to target nodes (down), root mean square over "
    "the slices in use. Nodes are columns of the data: strong weights join columns that depend on "
    "each other."
)
_NODE_MAPS = (
    "Mean slope of the maps of all nodes, against the potential (up) and the slice (across). Red "
    "expands, blue compresses, white leaves as it is. The colours fade while potentials approach "
    "their base density."
)
_CONNECTIVITY = (
    "The edges of the network as a matrix from source to target, how many edges reach a node, and "
    "where nodes lie in space, if they have positions."
)
_DENSITY = (
    "The density that the brain has learned of two columns, darker where it is higher, and rows of "
    "the data as points. It should be high where the points are, and low between them."
)
_MARGINALS = (
    "Histograms of columns of the data (grey) beside those of rows sampled from the brain (blue), "
    "which should agree."
)
_DREAM = (
    "Images of the data beside images sampled from the brain. The samples should look like the "
    "data, with the same variety, and be no copies of them."
)
_SPLITS = {"train": ("training rows", GREY), "validation": ("validation rows", SKY)}
_SPLITS |= {"test": ("test rows", MODEL)}
_PEER_STYLES = ("-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), "-")
_MOST_MARGINALS = 8  # columns


def plot_surprise(trajectory: Trajectory, ax: Axes) -> Axes:
    """Mean surprise of training, validation and test rows over time; compared models as lines."""
    surprise = trajectory["surprise"]
    time = surprise.coords["time"].values
    for split in map(str, surprise.coords["split"].values):
        label, colour = _SPLITS.get(split, (split, GREY))
        ax.plot(time, surprise.sel(split=split).values, color=colour, label=label, lw=1.8)
    clamped = len(trajectory.brain.get("clamped", ())) > 0
    # Of clamped columns the curves say nothing, and the compared models do.
    models = [] if clamped else trajectory.result.get("model", [])
    levels = [] if clamped else trajectory.result.get("model_test_log_prob", [])
    if "head_time" in trajectory and len(levels):
        ax.axhline(-levels[0], color=MODEL, ls="--", lw=1.3, label="final model, test rows")
    peers = list(zip(models, levels, strict=True))[1:]
    for (name, log_prob), colour, style in zip(peers, PEERS, _PEER_STYLES, strict=False):
        ax.axhline(-log_prob, color=colour, ls=style, lw=1.4, label=f"{name}, test rows")
    unit, best = time_unit(trajectory), chosen_slice(trajectory)
    if best is not None and trajectory.brain.get("time_unit", "slice") == unit:
        ax.axvline(best, color=BLACK, lw=1, ls=":", label=f"chosen {unit}: {best}")
    title = "Mean negative log-likelihood"
    if trajectory.brain.get("n_hidden"):
        title = "Upper bound on the mean negative log-likelihood"
    if clamped:
        title += " of moving columns given all others"
    unit = str(trajectory.brain.get("time_unit", unit))
    ax.set(xlabel=f"time ({unit}s)", ylabel="negative log-likelihood (nats per row)", title=title)
    ax.margins(x=0)
    count_axis(ax.xaxis)
    legend(ax)
    return ax


def draw(trajectory: Trajectory, figure: NewFigure) -> None:
    """All figures that the contents of a trajectory file allow.

    Raises
    ------
    FormatError
        If there is no record of learning, as in files of most fitted estimators.
    """
    table = "shown_codes" in trajectory and _is_mixed(trajectory)
    image_shape = trajectory.result.get("image_shape")
    if table:
        brain: Brain = load(trajectory.path)
        names = [str(name) for name in trajectory["column_name"].values]
        codes = trajectory["shown_codes"].values
        draw_table(brain, names, codes, figure)
        if image_shape is not None:
            images = np.asarray(brain.columns_.decode(codes[:100]), dtype=np.float64)
            _draw_dream(brain, images, image_shape, figure)
    if "surprise" not in trajectory:
        if table:
            return
        raise FormatError(f"{trajectory.path}: holds no record of learning that could be drawn")
    plot_surprise(trajectory, figure("surprise", 7, 5, _SURPRISE).subplots())
    if _shows_potentials(trajectory):
        axes = figure("potentials", 12, 3.8, _POTENTIALS).subplots(1, 3, width_ratios=(2, 1, 1))
        plot_potential_map(trajectory, axes[0])
        plot_potentials(trajectory, axes[1:])
        share_y(axes[1:])
    shared = "coupling" in trajectory
    if not shared and ("weights" not in trajectory or len(trajectory["weights"]) == 0):
        return
    if "rotation" not in trajectory:  # after a rotation a node is no longer a column of the data
        plot_weights(trajectory, figure("weights", 6, 5, _WEIGHTS).subplots())
    if not shared:
        plot_node_maps(trajectory, figure("node_maps", 6, 4.2, _NODE_MAPS).subplots())
    if trajectory.brain.get("connectivity", "full") != "full":
        connectivity = connectivity_from_arrays(trajectory)
        n_panels = 2 if connectivity.positions is None else 3
        axes = figure("connectivity", 4.4 * n_panels, 4.2, _CONNECTIVITY).subplots(1, n_panels)
        plot_connectivity(connectivity, axes)
    rows = recorded_rows(trajectory)
    if rows is None or table:
        return
    brain = load(trajectory.path)
    names = [str(name) for name in trajectory["node_name"].values]
    if image_shape is not None:
        _draw_dream(brain, rows[:100], image_shape, figure)
    elif rows.shape[1] == 2 and not brain.n_hidden:  # else its density is known by a bound only
        ax = plot_density_2d(brain, rows, figure("density", 6.5, 5, _DENSITY).subplots())
        ax.set(xlabel=names[0], ylabel=names[1])
    else:
        shown = min(rows.shape[1], _MOST_MARGINALS)
        across = min(shown, 4)
        down = -(-shown // across)
        size = 3 * across, 2.6 * down + 0.4
        grid = figure("marginals", *size, _MARGINALS).subplots(down, across, squeeze=False)
        plot_marginals(brain, rows, names, grid.ravel()[:shown])
        for ax in grid.ravel()[shown:]:
            ax.set_axis_off()


def _draw_dream(brain: Brain, images: Array, shape: Array, figure: NewFigure) -> None:
    height, width = (int(n) for n in shape)
    plot_dream(brain, images, (height, width), figure("dream", 9, 5, _DREAM).subplots(1, 2))


def _shows_potentials(trajectory: Trajectory) -> bool:
    """Whether trajectories of nodes that move were recorded."""
    if "potential" not in trajectory or not trajectory["potential"].shape[2]:
        return False
    return bool(moving_nodes(trajectory).any())


def _is_mixed(trajectory: Trajectory) -> bool:
    """Whether some column is not a node that moves, in a file whose parameters were kept."""
    kept = "class" in trajectory.attributes("estimator")
    names = {*trajectory["column_name"].values} - {*_names_of_nodes(trajectory)}
    return kept and (bool(names) or len(trajectory.brain.get("clamped", ())) > 0)


def _names_of_nodes(trajectory: Trajectory) -> list[str]:
    return [*trajectory["node_name"].values] if "node_name" in trajectory else []
