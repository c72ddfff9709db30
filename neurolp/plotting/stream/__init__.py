"""Figures of a run over a stream: Axes in, Axes out."""

from __future__ import annotations

from neurolp.plotting.captioned import NewFigure
from neurolp.plotting.stream.activity import n_earlier_records, plot_activity
from neurolp.plotting.stream.predictions import (
    is_text,
    plot_dream_symbols,
    plot_dream_values,
    plot_symbols,
    plot_values,
)
from neurolp.plotting.stream.surprise import (
    plot_excess,
    plot_pit,
    plot_sensors,
    plot_step_surprise,
    plot_surprise,
)
from neurolp.plotting.stream.video import plot_frames, plot_projective_fields, plot_receptive_fields
from neurolp.plotting.stream.weights import (
    FEW_LAGS,
    hidden_weights,
    input_weights,
    plot_arrows,
    plot_graph,
    plot_hidden_readout,
    plot_readout,
    plot_recurrent,
    plot_recurrent_change,
)
from neurolp.simulation.stream_contents import StoredSensor, stored_sensors
from neurolp.storage.reader import Trajectory

_N_PANELS = 4
_N_LAGS = 6

_SURPRISE = (
    "Mean negative log-likelihood of what came next, while the brain learns. It should fall from "
    "the i.i.d. baseline, which knows nothing of the past, towards the entropy rate of the source, "
    "where that is known; the difference to the source is the excess."
)
_CALIBRATION = (
    "Where observed values fell in their predicted distributions, over the last fifth of the "
    "stream. Predictions that are neither too narrow nor too wide give a flat line within the band."
)
_PREDICTIONS = (
    "The last recorded steps as they were predicted, one step ahead, and as they came. Values "
    "(black) should lie within the 90 % band nine times of ten; dots of symbols should lie where "
    "the predicted probability is high."
)
_FRAMES = (
    "The last frames as they came, the frames predicted one step before, and frames that the brain "
    "dreams when it is fed with samples of its own predictions. Below, the negative log-likelihood "
    "of each step: peaks are frames that were not expected."
)
_DREAM = (
    "The end of the stream, and its continuation by the brain, which is fed with samples of its "
    "own predictions. The dream should look like the stream, without repeating it."
)
_READOUT = (
    "Readout weights to the prediction of the next step: from what came some steps ago, and from "
    "the hidden nodes. Strong weights tell what the predictions depend on."
)
_RECEPTIVE = (
    "Readout weights from all pixels of the last frames to a few single pixels (marked +). Strong "
    "weights beside the mark show which neighbours predict the pixel."
)
_PROJECTIVE = (
    "Readout weights from hidden nodes to the frame, those with the largest weights first: what "
    "each node adds to the predicted frame, relative to its largest weight."
)
_ARROWS = (
    "Readout weights between sensors at each of the first lags, from the row to the column. A "
    "strong cell off the diagonal says that one sensor predicts another, that many steps later."
)
_GRAPH = (
    "Which sensor predicts which: arrows for the strongest weights between two sensors, with the "
    "lag at which they are strongest. Weights below a quarter of the largest are left out."
)
_RECURRENT = (
    "Weights between hidden nodes: the last ones as a matrix, red for excitation, blue for "
    "inhibition, grey where there is no edge; arrows of the colour bar mean that some weights are "
    "larger. Beside it, where they were recorded twice, last against first weights: points off "
    "the diagonal have learned."
)
_ACTIVITY = (
    "Activity of the hidden nodes, a row for each, in their order; of many records also the last "
    "ones by themselves. Rows that all look the same, or never change, add nothing to the memory. "
    "Marks at the edges are lesioned nodes and injected currents, where there are any."
)


def draw(file: Trajectory, figure: NewFigure) -> None:
    """All figures that the contents of a file allow."""
    sensors = stored_sensors(file)
    symbols = [s for s in sensors if s.n_symbols]
    values = [s for s in sensors if not s.n_symbols]
    video = "frame_shape" in file.result

    if len(file["mean_surprise"]):  # else the run has only begun
        _draw_surprise(file, len(sensors), bool(values), figure)

    # Predictions and observations.
    if len(file.get("predicted", ())):
        if video:
            axes = figure("frames", 13, 6.5, _FRAMES).subplots(4, 1, height_ratios=[1, 1, 1, 1.1])
            plot_frames(file, axes[:3])
            plot_step_surprise(file, axes[3])
        else:
            _draw_predictions(file, values[:_N_PANELS], symbols, figure)
    if "dream" in file and "last_rows" in file and not video:
        n = len(values[:_N_PANELS]) + bool(symbols)
        tall = 4.0 if symbols and is_text(symbols) else 3.2
        axes = figure("dream", 12, tall * n + 0.3, _DREAM).subplots(n, 2, squeeze=False)
        for sensor, pair in zip(values[:_N_PANELS], axes, strict=False):
            plot_dream_values(file, sensor, pair)
        if symbols:
            plot_dream_symbols(file, symbols, axes[-1])

    # Weights and activity, unless the run has only begun.
    sampled = {name for name in ("readout", "recurrent", "activity") if len(file.get(name, ()))}
    if "readout" in sampled:
        _draw_readout(file, len(sensors), video, figure)
    if "recurrent" in sampled:
        _draw_recurrent(file, figure)
    if "activity" in sampled:
        _draw_activity(file, figure)


def _draw_recurrent(file: Trajectory, figure: NewFigure) -> None:
    """The weights, and beside them their change, where they were recorded more than once."""
    panels = 1 + (len(file["recurrent"]) > 1)
    axes = figure("recurrent", 5.5 * panels, 4.6, _RECURRENT).subplots(1, panels, squeeze=False)[0]
    plot_recurrent(file, axes[0])
    if panels > 1:
        plot_recurrent_change(file, axes[1])


def _draw_activity(file: Trajectory, figure: NewFigure) -> None:
    """All records, and beside them the last ones, where there are many."""
    earlier = n_earlier_records(file)
    panels = 1 + (earlier > 0)
    axes = figure("activity", 4 + 5 * panels, 4.8, _ACTIVITY).subplots(1, panels, squeeze=False)[0]
    plot_activity(file, axes[0])
    if earlier:
        plot_activity(file, axes[1], first=earlier)


def _draw_readout(file: Trajectory, n_sensors: int, video: bool, figure: NewFigure) -> None:
    n_lags, hidden = input_weights(file).shape[1], hidden_weights(file).shape[1] > 0
    if video and n_lags:
        n = min(3, n_lags)
        plot_receptive_fields(
            file, figure("receptive_fields", 11, 0.9 + 1.75 * n, _RECEPTIVE).subplots()
        )
    elif not video and (n_lags or hidden):
        panels = (n_lags > 0) + hidden
        few = n_lags * len(hidden_weights(file)) <= FEW_LAGS
        ratios = (1, 4) if few and panels == 2 else (1,) * panels
        axes = figure("readout", 9 if panels == 1 else 12, 4.5, _READOUT).subplots(
            1, panels, squeeze=False, width_ratios=ratios
        )[0]
        if n_lags:
            plot_readout(file, axes[0])
        if hidden:
            plot_hidden_readout(file, axes[-1])
    if video and hidden:
        plot_projective_fields(file, figure("projective_fields", 11, 2.6, _PROJECTIVE).subplots())
    if n_sensors > 1 and n_lags:
        n = min(_N_LAGS, n_lags)
        matrices = figure("arrows", 2.3 * n + 2, 4.6, _ARROWS)
        matrices.set_layout_engine("compressed")  # for images
        plot_arrows(file, matrices.subplots(1, n, squeeze=False)[0])
        plot_graph(file, figure("graph", 5.5, 5.2, _GRAPH).subplots())


def _draw_surprise(file: Trajectory, n_sensors: int, values: bool, figure: NewFigure) -> None:
    known = "mean_true_surprise" in file
    panels = 1 + known + (n_sensors > 1)
    axes = figure("surprise", 6.2 * panels, 4.2, _SURPRISE).subplots(1, panels, squeeze=False)[0]
    plot_surprise(file, axes[0])
    if known:
        plot_excess(file, axes[1])
    if n_sensors > 1:
        plot_sensors(file, axes[-1])
    if values and file["pit_counts"].values.any():
        plot_pit(file, figure("calibration", 6.2, 4, _CALIBRATION).subplots())


def _draw_predictions(
    file: Trajectory, values: list[StoredSensor], symbols: list[StoredSensor], figure: NewFigure
) -> None:
    """One panel for each sensor; a single value a second time, minus its median prediction."""
    alone = len(values) == 1 and not symbols
    heights = [3.0] * (2 if alone else len(values))
    if symbols:
        heights.append(min(1.5 + 0.22 * sum(s.n_symbols for s in symbols), 8))
    axes = figure("predictions", 11, sum(heights) + 0.5, _PREDICTIONS).subplots(
        len(heights), 1, squeeze=False, height_ratios=heights
    )[:, 0]
    for sensor, ax in zip(values, axes, strict=False):
        plot_values(file, sensor, ax)
    if alone:
        plot_values(file, values[0], axes[1], relative=True)
    if symbols:
        plot_symbols(file, symbols, axes[-1])
