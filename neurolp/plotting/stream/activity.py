"""Figures of the activity of hidden nodes, with lesions and injected currents."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from neurolp.arrays import Array
from neurolp.plotting.parts import draw_columns, last_records, name_axis, step_axis
from neurolp.plotting.style import PURPLE, WINE, legend
from neurolp.simulation.stream_network import lesioned_nodes, node_labels
from neurolp.storage.reader import Trajectory

_N_LAST = 200  # records of the panel of the end
_N_COLUMNS = 800  # of an image: more cannot be told apart
_N_ROWS = 2000


def n_earlier_records(file: Trajectory) -> int:
    """Number of records of activity before those of the end that have a panel of their own."""
    return last_records(file["activity"].coords["activity_time"].values, _N_LAST)


def plot_activity(file: Trajectory, ax: Axes, *, first: int = 0) -> Axes:
    """Activity of all recorded hidden nodes, in their order, from the record ``first`` on.

    Of more records, or nodes, than can be told apart, each cell has that of largest magnitude.
    Marks on the right are lesioned nodes, marks above are steps in which a current was injected.
    """
    activity = file["activity"][first:]
    time, values = activity.coords["activity_time"].values, activity.values
    names = activity.coords[activity.dims[1]].values
    shown_time, shown = _pooled(time, values, _N_COLUMNS)
    row, shown = _pooled(np.arange(values.shape[1]), shown.T, _N_ROWS)
    image = draw_columns(
        ax, shown_time, shown, y=row, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True
    )
    ax.figure.colorbar(image, ax=ax, label="activity", pad=0.02)
    pooled = "" if shown.size == values.size else " (largest magnitude in each cell)"
    title = f"Activity, {_which(time, first)}{pooled}"
    ax.set(xlabel="step", ylabel="hidden node")
    ax.set_title(title, pad=10)  # above the marks of currents
    name_axis(ax.yaxis, names)
    ax.set_ylim(values.shape[1] - 0.5, -0.5)
    _mark(file, ax, names, time)
    step_axis(ax)
    ax.margins(x=0)
    legend(ax)
    return ax


def _which(time: Array, first: int) -> str:
    """Which records are shown, in words."""
    steps = f"steps {time[0]:,} to {time[-1]:,}" if len(time) > 1 else f"step {time[0]:,}"
    consecutive = len(time) == time[-1] - time[0] + 1
    if first:
        return f"the last {len(time):,} {'steps' if consecutive else 'records'}"
    return steps if consecutive else f"{len(time):,} records from {steps}"


def _pooled(place: Array, values: Array, most: int) -> tuple[Array, Array]:
    """Places (m,), at most ``most``, and of the values (n, k) near each that of largest size."""
    if len(place) <= most:
        return place.astype(np.float64), values
    edges = np.linspace(place[0], place[-1] + 1, most + 1)
    cell = np.searchsorted(edges, place, side="right")
    start = np.flatnonzero(np.diff(cell, prepend=-1))
    high, low = (pool.reduceat(values, start) for pool in (np.maximum, np.minimum))
    end = np.append(start[1:], len(place)) - 1
    return (place[start] + place[end]) / 2, np.where(-low > high, low, high)


def _mark(file: Trajectory, ax: Axes, names: Array, time: Array) -> None:
    """Mark lesioned nodes on the right, and above the steps in which a current was injected."""
    gone = np.flatnonzero(np.isin(names, node_labels(file)[lesioned_nodes(file)]))
    if len(gone):
        ax.vlines(
            np.full(len(gone), 1.008), gone - 0.5, gone + 0.5, transform=ax.get_yaxis_transform(),
            color=WINE, lw=4, clip_on=False, label="lesioned node (right edge)",
        )  # fmt: skip
    if "injected_current" not in file:
        return
    steps = file["injected_current"].coords["step"].values
    on = steps[np.any(file["injected_current"].values != 0, axis=1)] + 1  # time after the row
    on = on[(on >= time[0]) & (on <= time[-1])]
    if len(on):
        start = np.flatnonzero(np.diff(on, prepend=-2) > 1)
        end = np.append(start[1:], len(on)) - 1
        ax.hlines(
            np.full(len(start), 1.015), on[start] - 0.5, on[end] + 0.5,
            transform=ax.get_xaxis_transform(), color=PURPLE, lw=4, clip_on=False,
            label="injected current (upper edge)",
        )  # fmt: skip
