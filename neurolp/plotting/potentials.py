"""Figures of the potentials of a brain's nodes over the slices, and what they were recorded of."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.brain.base_density import base_density
from neurolp.brain.evolution import evolve
from neurolp.brain.network_arrays import network_from_arrays
from neurolp.plotting.style import BLACK, DENSITY, SKY, THEORY, count_axis, shared_legend
from neurolp.storage.reader import Trajectory

_BINS = 60


def plot_potential_map(trajectory: Trajectory, ax: Axes) -> Axes:
    """Histogram of the potentials at every recorded time, as a heat map of the whole run."""
    potential, moving = trajectory["potential"], moving_nodes(trajectory)
    times = potential.coords["frame"].values.astype(np.float64)
    edges = _edges(trajectory)
    density = np.array([_histogram(frame[moving], edges) for frame in potential.values])
    middles = (times[1:] + times[:-1]) / 2
    first, last = (times[0] - 0.5, times[-1] + 0.5) if len(times) < 2 else (times[0], times[-1])
    bounds = np.array([first, *middles, last])
    image = ax.pcolormesh(bounds, edges, density.T, cmap=DENSITY, vmin=0)
    ax.figure.colorbar(image, ax=ax, label="probability density")
    unit, chosen = time_unit(trajectory), chosen_slice(trajectory)
    if chosen is not None and chosen < times[-1]:
        ax.axvline(chosen, color=BLACK, ls=":", lw=1.2)
        ax.annotate(f" chosen: {chosen}", (chosen, edges[-1]), va="top", fontsize="small")
    count_axis(ax.xaxis)
    ax.set(xlabel=f"time ({unit}s)", ylabel="potential u", title="Potentials at all recorded times")
    return ax


def plot_potentials(trajectory: Trajectory, axes: Array, *, node: int | None = None) -> Array:
    """Histograms of the potentials at several times, with the base density.

    ``axes`` is a row of Axes, one a time, from the start to the chosen slice; those for which there
    is no other time stay empty. The histogram pools all recorded nodes that move, or shows the one
    at position ``node``.
    """
    frames = _spread_frames(trajectory, len(axes))
    base, moving = base_density(trajectory.brain["base"]), moving_nodes(trajectory)
    edges, unit = _edges(trajectory), time_unit(trajectory)
    grid = np.linspace(edges[0], edges[-1], 200)
    for ax, (time, frame) in zip(axes, frames, strict=False):
        u = frame[moving] if node is None else frame[node]
        ax.stairs(_histogram(u, edges), edges, fill=True, color=SKY, label="potentials")
        ax.plot(grid, np.exp(-base.energy(grid)), color=THEORY, lw=1.2, label="base density")
        chosen = ", chosen" if time == chosen_slice(trajectory) else ""
        ax.set(title=f"{unit} {time}{chosen}", xlabel="potential u", xlim=(edges[0], edges[-1]))
    for ax in axes[len(frames) :]:
        ax.set_axis_off()
    axes[0].set_ylabel("probability density")
    shared_legend(axes[0])
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


def potentials_at(trajectory: Trajectory, time: int) -> Array | None:
    """Recorded potentials, (n_nodes, n_trajectories), after so many slices; None if not known.

    Where this time was not recorded, the rows of time 0 move through the slices of the file: this
    needs all nodes, and the parameters.
    """
    potential = trajectory["potential"]
    found = np.flatnonzero(potential.coords["frame"].values == time)
    if len(found):
        return np.asarray(potential[int(found[0])].values)
    if "node_map" not in trajectory or len(potential[0]) != len(trajectory["mean"]):
        return None
    start = np.ascontiguousarray(potential[0].values)
    return evolve(network_from_arrays(trajectory), start, n_slices=time)[0]


def moving_nodes(trajectory: Trajectory) -> Array:
    """Which of the recorded nodes move: all but clamped columns."""
    recorded = trajectory["recorded_node"].values
    return ~np.isin(recorded, trajectory.brain.get("clamped", ()))


def chosen_slice(trajectory: Trajectory) -> int | None:
    """The number of slices in use; None where time is not counted in slices."""
    n = trajectory.brain.get("n_slices")
    return None if n is None or time_unit(trajectory) != "slice" else int(n)


def time_unit(trajectory: Trajectory) -> str:
    """What the time of frames is counted in: slices, or epochs of the paper's forms."""
    return "epoch" if "form" in trajectory.brain else "slice"


def _spread_frames(trajectory: Trajectory, n: int) -> list[tuple[int, Array]]:
    """Up to ``n`` times from the first to the chosen one, and their potentials."""
    potential = trajectory["potential"]
    times = potential.coords["frame"].values
    last = chosen_slice(trajectory)
    last = int(times[-1]) if last is None else last
    end = potentials_at(trajectory, last)
    if end is None:  # the last recorded time of those in use
        last = int(times[times <= max(last, times[0])][-1])
        end = np.asarray(potential[int(np.searchsorted(times, last))].values)
    before = np.flatnonzero(times < last)
    # Early slices change the marginals most: the times are spaced quadratically.
    fractions = np.linspace(0, 1, n)[:-1] ** 2
    shown = np.unique((fractions * max(len(before) - 1, 0)).round().astype(int))
    shown = before[shown] if len(before) else before
    frames = [(int(times[k]), np.asarray(potential[int(k)].values)) for k in shown]
    return [*frames, (last, end)]


def _edges(trajectory: Trajectory) -> Array:
    std = base_density(trajectory.brain["base"]).std
    return np.linspace(-4 * std, 4 * std, _BINS + 1)


def _histogram(u: Array, edges: Array) -> Array:
    """Density of all values within ``edges``."""
    return np.histogram(u.ravel(), edges)[0] / max(u.size, 1) / np.diff(edges)
