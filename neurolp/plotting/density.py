"""Figures of a brain that learned a table: Axes in, Axes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from neurolp.arrays import Array
from neurolp.brain.base_density import base_density
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.network_arrays import connectivity_from_arrays
from neurolp.errors import FormatError
from neurolp.estimators import Brain, load
from neurolp.plotting.parts import draw_density, draw_signed, matrix_of, tiled
from neurolp.plotting.style import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILION, NewFigure
from neurolp.plotting.table import draw_table
from neurolp.storage.reader import Trajectory

_COLOURS = {"train": GREY, "validation": ORANGE, "test": BLUE}


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


def plot_weights(trajectory: Trajectory, ax: Axes) -> Axes:
    """Root-mean-square shift weight of every edge over slices and transfer functions in use.

    The weights themselves, where all times share them.
    """
    if "coupling" in trajectory:
        coupling = trajectory["coupling"].values
        draw_signed(ax, coupling, label="weight (per unit of time)")
        ax.set(xlabel="source node", ylabel="target node", title="Connection weights")
        return ax
    last = max(int(trajectory.brain["n_slices"]), 1)
    weights = trajectory["weights"][:last]
    strength = np.sqrt(np.mean(weights.values**2, axis=(0, -1)))
    if "edge" in weights.dims:
        target, source = trajectory["edge_target"].values, trajectory["edge_source"].values
        strength = matrix_of(strength, target, source, len(trajectory["mean"]))
    clamped = len(trajectory.brain.get("clamped", ()))
    strength = strength[: len(strength) - clamped]
    image = ax.imshow(strength, cmap="viridis", interpolation="nearest")
    if clamped:
        ax.set_aspect("auto")
    ax.figure.colorbar(image, ax=ax, label="rms weight (per slice)", shrink=0.8)
    ax.set(xlabel="source node", ylabel="target node", title="Connection weights")
    return ax


def plot_connectivity(
    connectivity: Connectivity, axes: Array, positions: Array | None = None
) -> Array:
    """Edges on the first Axes, in-degrees on the second, and on a third the layout in space.

    Edges are drawn one by one up to 400 nodes and counted in bins beyond. The layout shows the
    first two of the ``positions`` (those of the connectivity by default), at most 2000 edges; in
    one dimension, where lines would hide one another, source against target.
    """
    n = connectivity.n_nodes
    where = connectivity.positions if positions is None else positions
    target, source = connectivity.edges()
    bins = min(n, 400) if n <= 400 else 200
    ends = [np.linspace(-0.5, n - 0.5, bins + 1)] * 2
    counts, _, _ = np.histogram2d(target, source, bins=ends)
    image = axes[0].imshow(
        np.where(counts > 0, counts, np.nan),
        cmap="viridis_r" if bins < n else ListedColormap([BLUE]),
        extent=(-0.5, n - 0.5, n - 0.5, -0.5),
        interpolation="nearest",
    )
    if bins < n:
        axes[0].figure.colorbar(image, ax=axes[0], label="edges per bin", shrink=0.8)
    axes[0].set(xlabel="source node", ylabel="target node", title=f"{len(target):,} edges")

    degree = np.bincount(target, minlength=n)
    steps = max(int(np.ptp(degree)) // 30, 1)
    edges = np.arange(degree.min(), degree.max() + steps + 1, steps) - 0.5
    axes[1].hist(degree, bins=list(edges), color=SKY, edgecolor="white", lw=0.5)
    axes[1].set_xlim(edges[0] - 2 * steps, edges[-1] + 2 * steps)
    axes[1].set(xlabel="in-degree", ylabel="nodes", title=f"mean in-degree {degree.mean():.3g}")
    for axis in (axes[0].xaxis, axes[0].yaxis, axes[1].xaxis, axes[1].yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    if where is None or len(axes) < 3:
        return axes

    ax = axes[2]
    shown = np.linspace(0, len(target) - 1, min(len(target), 2000)).astype(int)
    target, source = target[shown], source[shown]
    if where.shape[1] == 1:
        ax.scatter(where[source, 0], where[target, 0], s=3, color=BLUE, lw=0)
        ax.set(xlabel="position of the source", ylabel="position of the target", aspect="equal")
    else:
        flat = where[:, :2]
        lines = np.stack([flat[source], flat[target]], axis=1)
        ax.add_collection(LineCollection(list(lines), colors=GREY, linewidths=0.4, alpha=0.5))
        ax.scatter(flat[:, 0], flat[:, 1], s=max(1.0, min(12.0, 3000 / n)), c=BLUE)
        ax.set(xlabel="x", ylabel="y", aspect="equal")
    ax.set(
        title="positions of nodes, with "
        + ("all edges" if len(shown) == connectivity.n_edges else f"{len(shown):,} edges")
    )
    return axes


def plot_node_maps(trajectory: Trajectory, ax: Axes, *, n_slices: int = 5) -> Axes:
    """Slope coefficients of the first slices, averaged over nodes; above 1 the map expands."""
    from neurolp.brain.node_map import SplineGrid

    about = trajectory.brain
    grid = SplineGrid(about["spline_low"], about["spline_high"], int(about["spline_intervals"]))
    centres = grid.low + (np.arange(grid.n_intervals) + 0.5) * grid.spacing
    maps = trajectory["node_map"][:n_slices].values
    moving = maps.shape[1] - len(about.get("clamped", ()))
    for t, slopes in enumerate(maps[:, :moving, 1:].mean(axis=1)):
        ax.plot(centres, slopes, color=_shade(t, len(maps)), label=f"slice {t + 1}")
    ax.axhline(1, color=BLACK, lw=0.8, ls=":")
    ax.set(xlabel="potential v", ylabel="mean slope coefficient", title="Slopes of the node maps")
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_density_2d(brain: Brain, data: Array, ax: Axes, *, resolution: int = 300) -> Axes:
    """Learned density of two columns of data, and the data as points."""
    low, high = data.min(axis=0), data.max(axis=0)
    pad = 0.12 * (high - low)
    x = np.linspace(low[0] - pad[0], high[0] + pad[0], resolution)
    y = np.linspace(low[1] - pad[1], high[1] + pad[1], resolution)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    columns = getattr(brain, "columns_", None)
    table = points if columns is None else columns.decode(points)
    density = np.exp(brain.score_samples(table)).reshape(resolution, resolution)
    image = draw_density(ax, density, x, y)
    ax.figure.colorbar(image, ax=ax, label="probability density", shrink=0.8)
    ax.scatter(data[:500, 0], data[:500, 1], s=2, color=SKY, alpha=0.5, lw=0)
    ax.set(xlabel="x", ylabel="y", title="Learned density and data")
    return ax


def plot_images(
    rows: Array, shape: tuple[int, int], ax: Axes, *, title: str, columns: int = 10
) -> Axes:
    """Rows of data as images, side by side on one Axes."""
    sheet = tiled(rows, shape, columns)
    ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=17, interpolation="nearest")
    ax.set(title=title)
    ax.set_axis_off()
    return ax


def plot_dream(
    brain: Brain, real: Array, shape: tuple[int, int], axes: Array, *, seed: int = 0
) -> Array:
    """Images of the data on the first Axes, as many dreamed images on the second."""
    plot_images(real, shape, axes[0], title="data")
    dreamed = np.asarray(brain.sample(len(real), random_state=seed), dtype=np.float64)
    plot_images(dreamed, shape, axes[1], title="dreamed")
    return axes


def plot_marginals(brain: Brain, data: Array, names: list[str], axes: Array) -> Array:
    """Histograms of columns of the data beside those of as many dreamed rows."""
    dreamed = brain.sample(max(len(data), 2000), random_state=0)
    if hasattr(brain, "columns_"):
        dreamed = brain.columns_.encode(dreamed)
    for j, ax in enumerate(axes):
        low, high = data[:, j].min(), data[:, j].max()
        pad = 0.1 * (high - low)
        shared: Any = {"bins": np.linspace(low - pad, high + pad, 31), "density": True}
        ax.hist(data[:, j], color=SKY, label="data", **shared)
        ax.hist(dreamed[:, j], histtype="step", color=VERMILION, lw=1.5, label="dreamed", **shared)
        ax.set(title=names[j], yticks=[])
    axes[0].legend(frameon=False, fontsize="small")
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
    plot_surprise(trajectory, figure("surprise", 7, 4.5).subplots())
    if _shows_potentials(trajectory):
        plot_potentials(trajectory, figure("potentials", 12, 3.2).subplots(1, 5, sharey=True))
    shared = "coupling" in trajectory
    if not shared and ("weights" not in trajectory or len(trajectory["weights"]) == 0):
        return
    if "rotation" not in trajectory:  # after a rotation a node is no longer a column of the data
        plot_weights(trajectory, figure("weights", 6, 5).subplots())
    if not shared:
        plot_node_maps(trajectory, figure("node_maps", 6, 4.2).subplots())
    if trajectory.brain.get("connectivity", "full") != "full":
        connectivity = connectivity_from_arrays(trajectory)
        n_panels = 2 if connectivity.positions is None else 3
        axes = figure("connectivity", 4.4 * n_panels, 4.2).subplots(1, n_panels)
        plot_connectivity(connectivity, axes)
    rows = recorded_rows(trajectory)
    if rows is None or table:
        return
    brain = load(trajectory.path)
    names = [str(name) for name in trajectory["node_name"].values]
    if image_shape is not None:
        _draw_dream(brain, rows[:100], image_shape, figure)
    elif rows.shape[1] == 2 and not brain.n_hidden:  # else its density is known by a bound only
        ax = plot_density_2d(brain, rows, figure("density", 6.5, 5).subplots())
        ax.set(xlabel=names[0], ylabel=names[1])
    else:
        shown = min(rows.shape[1], 8)
        n_columns = min(shown, 4)
        n_rows = -(-shown // n_columns)
        grid = figure("marginals", 3 * n_columns, 2.5 * n_rows).subplots(
            n_rows, n_columns, squeeze=False
        )
        plot_marginals(brain, rows, names, grid.ravel()[:shown])
        for ax in grid.ravel()[shown:]:
            ax.set_axis_off()


def _draw_dream(brain: Brain, images: Array, shape: Array, figure: NewFigure) -> None:
    height, width = (int(n) for n in shape)
    plot_dream(brain, images, (height, width), figure("dream", 9, 5).subplots(1, 2))


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


def _shade(k: int, n: int) -> str:
    """Return a grey, darker for earlier slices."""
    return str(round(0.05 + 0.7 * k / max(n - 1, 1), 3))
