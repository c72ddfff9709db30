"""Figures of a brain that learned a table: Axes in, Axes out."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.brain.base_density import base_density
from neurolp.brain.network_arrays import connectivity_from_arrays
from neurolp.errors import FormatError
from neurolp.estimators import Brain, load
from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.network import plot_connectivity, plot_node_maps, plot_weights
from neurolp.plotting.samples import plot_density_2d, plot_dream, plot_marginals
from neurolp.plotting.style import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILION
from neurolp.plotting.table import draw_table
from neurolp.storage.reader import Trajectory

_COLOURS = {"train": GREY, "validation": ORANGE, "test": BLUE}

_SURPRISE = (
    "Mean negative log-likelihood of training, validation and test rows over the slices of the "
    "brain: lower is better. Horizontal lines are other models on the same test rows; the vertical "
    "line is the slice that was chosen on validation rows, before they rise again."
)
_POTENTIALS = (
    "Histograms of the potentials of all nodes at five times, from the standardised data to the "
    "chosen slice. Learning turns them into the base density (line), whatever they are at first."
)
_WEIGHTS = (
    "Connection weights from source nodes (across) to target nodes (down), root mean square over "
    "slices. Nodes are columns of the data: strong weights join columns that depend on each other."
)
_NODE_MAPS = (
    "Mean slope of the maps of all nodes against the potential, in the first slices. A slope above "
    "1 expands, below 1 compresses; all approach 1 when the potentials have their base density."
)
_CONNECTIVITY = (
    "The edges of the network as a matrix from source to target, how many edges reach a node, and "
    "where nodes lie in space, if they have positions."
)
_DENSITY = (
    "The density that the brain has learned of two columns, brighter where it is higher, and rows "
    "of the data as points. It should be high where the points are, and low between them."
)
_MARGINALS = (
    "Histograms of columns of the data beside those of rows sampled from the brain. The outlines "
    "should follow the filled histograms."
)
_DREAM = (
    "Images of the data beside images sampled from the brain. The samples should look like the "
    "data, with the same variety, and be no copies of them."
)


def plot_surprise(trajectory: Trajectory, ax: Axes) -> Axes:
    """Mean surprise of training, validation and test rows over time; compared models as lines."""
    surprise = trajectory["surprise"]
    time = surprise.coords["time"].values
    for split in surprise.coords["split"].values:
        curve = surprise.sel(split=split).values
        ax.plot(time, curve, color=_COLOURS.get(str(split)), label=str(split), lw=1.8)
    clamped = len(trajectory.brain.get("clamped", ())) > 0
    # Of clamped columns the curves say nothing, and the compared models do.
    models = [] if clamped else trajectory.result.get("model", [])
    levels = [] if clamped else trajectory.result.get("model_test_log_prob", [])
    styles = iter(["--", ":", "-."])
    for name, log_prob in list(zip(models, levels, strict=True))[1:]:
        ax.axhline(-log_prob, color=BLACK, ls=next(styles), lw=1, label=f"{name}, test")
    if "head_time" in trajectory and len(levels):
        ax.axhline(-levels[0], color=BLUE, ls=(0, (6, 2)), lw=1.3, label="heads, test")
    best = trajectory.brain.get("n_slices")
    unit = trajectory.brain.get("time_unit", "slice")
    if best is not None and unit == _unit(trajectory):  # an online brain counts both
        ax.axvline(best, color=GREEN, lw=1, label=f"chosen on validation ({best})")
    what = "bound on the mean surprise" if trajectory.brain.get("n_hidden") else "mean surprise"
    title = "Mean negative log-likelihood"
    if clamped:
        title += " of moving columns given all others"
    ax.set(xlabel=f"time ({unit}s)", ylabel=f"{what} (nats)", title=title)
    ax.margins(x=0)
    # Opaque, because the lines of the compared models run through it.
    ax.legend(fontsize="small", framealpha=1, edgecolor="none")
    return ax


def plot_potentials(trajectory: Trajectory, axes: Array, *, node: int | None = None) -> Array:
    """Histograms of the recorded potentials at several times, with the base density.

    ``axes`` is a row of Axes, one a time, from the start to the last recorded slice in use. The
    histogram pools all recorded nodes that move, or shows the one at position ``node``.
    """
    potential = trajectory["potential"]
    times = potential.coords["frame"].values
    usable = np.flatnonzero(times <= max(trajectory.brain.get("n_slices", times[-1]), times[0]))
    # Early slices change the marginals most: the times are spaced quadratically.
    fractions = np.linspace(0, 1, len(axes)) ** 2
    frames = usable[np.round(fractions * (len(usable) - 1)).astype(int)]
    base = base_density(trajectory.brain["base"])
    grid = np.linspace(-4 * base.std, 4 * base.std, 200)
    moving = ~np.isin(potential.coords["recorded_node"].values, trajectory.brain.get("clamped", ()))
    for ax, frame in zip(axes, frames, strict=True):
        at = potential[int(frame)].values
        u = (at[moving] if node is None else at[node]).ravel()
        bins = np.linspace(grid[0], grid[-1], 61)
        ax.hist(u, bins=list(bins), density=True, color=SKY, label="potentials")
        ax.plot(grid, np.exp(-base.energy(grid)), color=VERMILION, lw=1.5, label="base density")
        ax.set(
            title=f"{_unit(trajectory)} {times[frame]}",
            xlabel="potential u",
            xlim=(grid[0], grid[-1]),
        )
    axes[0].set_ylabel("probability density")
    axes[-1].set_ylim(top=1.25 * axes[-1].get_ylim()[1])  # room for the legend
    axes[-1].legend(frameon=False, fontsize="small", loc="upper right")
    return axes


def recorded_rows(trajectory: Trajectory) -> Array | None:
    """Return recorded validation rows in the units of the data, or None if a node is missing.

    The potentials at time 0 are the standardised data, so the file needs no other source.
    """
    if "potential" not in trajectory:
        return None
    start = trajectory["potential"][0]
    if start.shape[0] != len(trajectory["mean"]) or start.shape[1] == 0:
        return None
    std = base_density(trajectory.brain["base"]).std
    scale, mean = trajectory["scale"].values, trajectory["mean"].values
    n_columns = len(mean) - int(trajectory.brain.get("n_hidden", 0))
    return np.asarray(start.values.T * (scale / std) + mean)[:, :n_columns]


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
    plot_surprise(trajectory, figure("surprise", 7, 4.5, _SURPRISE).subplots())
    if _shows_potentials(trajectory):
        plot_potentials(
            trajectory, figure("potentials", 12, 3.2, _POTENTIALS).subplots(1, 5, sharey=True)
        )
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
        shown = min(rows.shape[1], 8)
        n_columns = min(shown, 4)
        n_rows = -(-shown // n_columns)
        grid = figure("marginals", 3 * n_columns, 2.5 * n_rows, _MARGINALS).subplots(
            n_rows, n_columns, squeeze=False
        )
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
    recorded = trajectory["recorded_node"].values
    return not len(recorded) or not np.isin(recorded, trajectory.brain.get("clamped", ())).all()


def _is_mixed(trajectory: Trajectory) -> bool:
    """Whether some column is not a node that moves, in a file whose parameters were kept."""
    kept = "class" in trajectory.attributes("estimator")
    names = {*trajectory["column_name"].values} - {*_names_of_nodes(trajectory)}
    return kept and (bool(names) or len(trajectory.brain.get("clamped", ())) > 0)


def _names_of_nodes(trajectory: Trajectory) -> list[str]:
    return [*trajectory["node_name"].values] if "node_name" in trajectory else []


def _unit(trajectory: Trajectory) -> str:
    """Return what the time of frames is counted in: slices, or epochs of the paper's forms."""
    return "epoch" if "form" in trajectory.brain else "slice"
