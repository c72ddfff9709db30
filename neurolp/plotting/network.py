"""Figures of a network: weights, edges, node maps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap

from neurolp.arrays import Array
from neurolp.brain.connectivity import Connectivity
from neurolp.plotting.parts import draw_signed, matrix_of
from neurolp.plotting.style import BLACK, BLUE, GREY, SKY, count_axis
from neurolp.storage.reader import Trajectory

_MOST_NAMES = 32  # nodes whose names are written beside a matrix


def plot_weights(trajectory: Trajectory, ax: Axes) -> Axes:
    """Root-mean-square shift weight of every edge over slices and transfer functions in use.

    The weights themselves, where all times share them.
    """
    if "coupling" in trajectory:
        coupling = trajectory["coupling"].values
        draw_signed(ax, coupling, label="weight (per unit of time)")
        return _name_nodes(trajectory, ax)
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
    ax.figure.colorbar(image, ax=ax, label="root mean square weight (per slice)", shrink=0.8)
    return _name_nodes(trajectory, ax)


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
    axes[0].set(
        xlabel="source node", ylabel="target node", title=f"Connectivity ({len(target):,} edges)"
    )

    degree = np.bincount(target, minlength=n)
    steps = max(int(np.ptp(degree)) // 30, 1)
    edges = np.arange(degree.min(), degree.max() + steps + 1, steps) - 0.5
    axes[1].hist(degree, bins=list(edges), color=SKY, edgecolor="white", lw=0.5)
    axes[1].set_xlim(edges[0] - 2 * steps, edges[-1] + 2 * steps)
    axes[1].set(xlabel="in-degree", ylabel="nodes", title=f"In-degrees (mean {degree.mean():.3g})")
    for axis in (axes[0].xaxis, axes[0].yaxis, axes[1].xaxis, axes[1].yaxis):
        count_axis(axis)
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
        title="Positions of nodes, with "
        + ("all edges" if len(shown) == connectivity.n_edges else f"{len(shown):,} edges")
    )
    return axes


def plot_node_maps(trajectory: Trajectory, ax: Axes) -> Axes:
    """Slope coefficients of all slices in use against the potential, averaged over nodes.

    Where the coefficient is above 1, which is white, the map expands.
    """
    about = trajectory.brain
    low, high, n = (about[f"spline_{name}"] for name in ("low", "high", "intervals"))
    maps = trajectory["node_map"].values
    moving = maps.shape[1] - len(about.get("clamped", ()))
    slopes = maps[:, :moving, 1:].mean(axis=1)
    reach = float(np.abs(slopes - 1).max()) or 1.0
    image = ax.pcolormesh(
        np.arange(len(slopes) + 1) + 0.5,
        np.linspace(low, high, int(n) + 1),
        slopes.T,
        cmap="RdBu_r",
        vmin=1 - reach,
        vmax=1 + reach,
    )
    count_axis(ax.xaxis)
    chosen = int(about["n_slices"])
    if chosen < len(slopes):
        ax.axvline(chosen + 0.5, color=BLACK, ls=":", lw=1.2)
        ax.annotate(f" chosen: {chosen}", (chosen + 0.5, high), va="top", fontsize="small")
    ax.figure.colorbar(image, ax=ax, label="mean slope coefficient (1: no change)")
    ax.set(xlabel="slice", ylabel="potential v", title="Slopes of the node maps")
    return ax


def _name_nodes(trajectory: Trajectory, ax: Axes) -> Axes:
    """Label the axes of a matrix of weights, with the names of nodes where there is room."""
    ax.set(xlabel="source node", ylabel="target node", title="Connection weights")
    names = [str(name) for name in trajectory["node_name"].values]
    n_targets, n_sources = ax.get_images()[0].get_size()
    if n_sources > _MOST_NAMES:
        count_axis(ax.xaxis)
        count_axis(ax.yaxis)
        return ax
    upright = max(map(len, names)) <= 3
    ax.set_xticks(range(n_sources), names, fontsize="small", rotation=0 if upright else 90)
    ax.set_yticks(range(n_targets), names[:n_targets], fontsize="small")
    return ax
