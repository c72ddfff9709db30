"""Figures of streams that were recorded from Python: which records, nodes and marks are drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pandas
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.text import Text

import neurolp
from neurolp import (
    Activity,
    CategoricalSensor,
    ContinuousSensor,
    Predictions,
    StreamBrain,
    Weights,
    open_trajectory,
)
from neurolp.plotting.parts import draw_signed, last_records, name_axis
from neurolp.plotting.stream.weights import hidden_weights
from neurolp.runs import figures

SENSOR = ContinuousSensor(name="stim", location=0.0, scale=1.0)
N = 130  # more nodes than a figure once had


def brain_of(n=N, **settings):
    keys = {
        "n_hidden": n, "n_lags": 1, "experts": False, "rule": "nlms", "random_state": 3,
        "connectivity": "none", "train_input_weights": False,
    }  # fmt: skip
    return StreamBrain(settings.pop("sensors", SENSOR), **keys | settings)


def drawn(path, rows, brain, monitors, **settings):
    """Figures of a recording, by name, each with its panels by title."""
    brain.run(rows, monitors=monitors, output=path, **settings)
    with open_trajectory(path) as file:
        found = figures(file)
        return {name: panels(figure) for name, figure in found.items()}, contents_of(file)


def panels(captioned):
    captioned.figure.draw_without_rendering()
    axes = [ax for ax in captioned.figure.axes if ax.get_label() != "<colorbar>"]
    return {ax.get_title(loc="left"): ax for ax in axes}


def contents_of(file):
    return {name: file.read(name) for name in file.all_names() if "/" not in name}


def mesh(ax):
    (found,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    return found


def image_of(ax):
    """The values of a mesh, and the bounds of its columns."""
    found = mesh(ax)
    return np.asarray(found.get_array()), found.get_coordinates()[0, :, 0]


# --- activity -------------------------------------------------------------------------------------


def test_all_nodes_are_drawn_in_order_and_few_records_once(tmp_path):
    weights = np.zeros((N, 1))
    weights[100:] = 1.0  # the first hundred are silent
    rows = np.random.default_rng(0).standard_normal(90)
    brain = brain_of(input_weights=weights)
    shown, record = drawn(tmp_path / "a.h5", rows, brain, [Activity(every=1)])
    assert list(shown["activity"]) == ["Activity, steps 1 to 90"]
    (ax,) = shown["activity"].values()
    values, bounds = image_of(ax)
    np.testing.assert_array_equal(values, record["activity"].T)
    np.testing.assert_array_equal(bounds, np.arange(91) + 0.5)
    assert ax.get_ylim() == (N - 0.5, -0.5)
    assert ax.get_ylabel() == "hidden node"
    ticks = ax.get_yticks()
    np.testing.assert_array_equal(ticks, np.rint(ticks))


def test_the_last_of_many_records_have_a_panel_whatever_lies_between_them(tmp_path):
    rows = np.random.default_rng(0).standard_normal(2500)
    shown, record = drawn(tmp_path / "a.h5", rows, brain_of(4), [Activity(every=10)])
    whole, last = shown["activity"].items()
    assert whole[0] == "Activity, 250 records from steps 10 to 2,500"
    assert last[0] == "Activity, the last 200 records"
    values, bounds = image_of(last[1])
    np.testing.assert_array_equal(values, record["activity"][-200:].T)
    assert bounds[[0, -1]].tolist() == [505, 2505]


def test_short_pulses_are_seen_in_long_recordings(tmp_path):
    rows = np.zeros(8000)
    for start in range(37, 8000, 101):
        rows[start : start + 2] = -1.0 if start % 2 else 1.0
    brain = brain_of(2, input_weights=np.ones((2, 1)))
    shown, record = drawn(tmp_path / "a.h5", rows, brain, [Activity(every=1)])
    whole, last = shown["activity"].items()
    assert whole[0] == "Activity, steps 1 to 8,000 (largest magnitude in each cell)"
    assert last[0] == "Activity, the last 200 steps"
    values, _ = image_of(whole[1])
    assert values.shape == (2, 800)
    largest = np.abs(record["activity"]).max()
    assert np.isclose(np.abs(values[0]), largest, rtol=1e-6).sum() >= len(range(37, 8000, 101))
    assert (values[0] < 0).any()
    assert (values[0] > 0).any()


def test_lesions_and_injections_are_marked(tmp_path):
    current = np.zeros((60, 1))
    current[10:20] = current[40] = 2.0
    brain = brain_of(5, input_weights=np.ones((5, 1))).lesion(nodes=[1, 3])
    inject = {"nodes": [0], "current": current}
    some = [Activity(nodes=[0, 1, 4])]
    shown, _ = drawn(tmp_path / "a.h5", np.zeros(60), brain, some, inject=inject)
    (ax,) = shown["activity"].values()
    marks = {c.get_label(): c for c in ax.collections if isinstance(c, LineCollection)}
    (lesion,) = marks["lesioned node (right edge)"].get_segments()
    assert lesion[:, 1].tolist() == [0.5, 1.5]  # node 1 is the second row, node 3 is not shown
    periods = [s[:, 0].tolist() for s in marks["injected current (upper edge)"].get_segments()]
    assert periods == [[10.5, 20.5], [40.5, 41.5]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "4"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(marks)
    (title,) = ax.findobj(lambda part: isinstance(part, Text) and "Activity" in part.get_text())
    box = ax.get_window_extent()
    assert title.get_window_extent().y0 > box.y1 + 0.02 * box.height  # above the marks
    plain, _ = drawn(tmp_path / "b.h5", np.zeros(60), brain_of(5), [Activity()])
    (ax,) = plain["activity"].values()
    assert not [c for c in ax.collections if isinstance(c, LineCollection)]


@pytest.mark.parametrize(
    ("time", "most", "start"),
    [
        (np.arange(90), 200, 0),
        (np.arange(900), 200, 700),
        (np.arange(0, 900, 10), 200, 0),
        (np.arange(0, 9000, 10), 200, 700),
        (np.concatenate([np.arange(0, 900, 10), np.arange(900, 950)]), 200, 90),
        (np.concatenate([np.arange(0, 900, 10), np.arange(900, 905)]), 200, 0),
        (np.concatenate([np.arange(0, 900, 10), np.arange(900, 1300)]), 200, 290),
    ],
)
def test_the_end_of_a_recording(time, most, start):
    assert last_records(time, most) == start


# --- predictions ----------------------------------------------------------------------------------


def test_predictions_of_every_tenth_step_are_a_curve_with_coverage(tmp_path):
    rows = np.random.default_rng(0).standard_normal(1500)
    shown, record = drawn(tmp_path / "a.h5", rows, brain_of(3), [Predictions(every=10)])
    title, ax = next(iter(shown["predictions"].items()))
    low, high = record["predicted_quantile"][-100:, 0, [0, 4]].T
    observed = record["observed"][-100:, 0]
    inside = int(((low <= observed) & (observed <= high)).sum())
    assert title == f"Prediction of stim, one step ahead ({inside} of 100 in the 90 % interval)"
    (median,) = ax.get_lines()
    np.testing.assert_array_equal(median.get_xdata(), record["predicted_step"][-100:])


def test_few_predictions_are_bars_without_coverage(tmp_path):
    rows = np.random.default_rng(0).standard_normal(100)
    shown, record = drawn(tmp_path / "a.h5", rows, brain_of(3), [Predictions(every=40)])
    title, ax = next(iter(shown["predictions"].items()))
    assert title == "Prediction of stim, one step ahead"
    bars = {c.get_label(): c for c in ax.collections if isinstance(c, LineCollection)}
    found = [s[:, 1] for s in bars["90 % interval"].get_segments()]
    np.testing.assert_allclose(found, record["predicted_quantile"][:, 0, [0, 4]])


def test_probabilities_of_symbols_keep_their_steps(tmp_path):
    rows = np.arange(200) % 3
    brain = brain_of(2, sensors=CategoricalSensor(3, "key"), n_contexts=10)
    shown, record = drawn(tmp_path / "a.h5", rows, brain, [Predictions(every=8)])
    (ax,) = shown["predictions"].values()
    values, bounds = image_of(ax)
    np.testing.assert_array_equal(values, record["predicted"].T)
    assert bounds[[0, 1, -1]].tolist() == [4, 12, 196]


# --- weights --------------------------------------------------------------------------------------


def test_weights_of_hidden_nodes_are_drawn(tmp_path):
    rows = np.random.default_rng(0).standard_normal(80)
    brain = brain_of(7)
    shown, _ = drawn(tmp_path / "a.h5", rows, brain, [Weights("readout")])
    assert list(shown["readout"]) == ["Readout weights from the past", "Readout weights from hidden nodes"]  # fmt: skip
    ax = shown["readout"]["Readout weights from hidden nodes"]
    points = next(line for line in ax.get_lines() if line.get_marker() == "o")
    np.testing.assert_array_equal(points.get_ydata(), brain.weights["readout"][0, -7:])
    with open_trajectory(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(hidden_weights(file), brain.weights["readout"][:, -7:])
    without = brain_of(0, input_weights=None)
    shown, _ = drawn(tmp_path / "b.h5", rows, without, [Weights("readout")])
    assert list(shown["readout"]) == ["Readout weights from the past"]


def test_weights_to_many_symbols_are_an_image(tmp_path):
    brain = brain_of(4, sensors=CategoricalSensor(9, "key"), n_contexts=10)
    shown, _ = drawn(tmp_path / "a.h5", np.arange(60) % 9, brain, [Weights("readout")])
    ax = shown["readout"]["Readout weights from hidden nodes"]
    np.testing.assert_array_equal(ax.get_images()[0].get_array(), brain.weights["readout"][:, -4:])
    assert ax.get_ylabel() == "output"


def test_recurrent_weights_have_names_and_grey_where_there_is_no_edge(tmp_path):
    names = [f"cell {k}" for k in range(6)]
    table = {"source": names[:5], "target": names[1:], "weight": [0.1, -0.2, 0.3, -0.1, 0.2]}
    own = neurolp.from_edge_table(pandas.DataFrame(table), nodes=names)
    brain = brain_of(6, connectivity=own, train_connectivity=False)
    rows = np.random.default_rng(0).standard_normal(50)
    shown, _ = drawn(tmp_path / "a.h5", rows, brain, [Weights("recurrent")])
    (ax,) = shown["recurrent"].values()  # recorded once: there is no change to draw
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [text.get_text() for text in labels] == names
    found = np.ma.filled(ax.get_images()[0].get_array(), np.nan)
    weights = own.weights.toarray()
    np.testing.assert_allclose(found, np.where(weights == 0, np.nan, weights))
    brain = brain_of(6, connectivity=weights, train_connectivity=False)  # dense
    every = [Weights("recurrent", every=20)]
    shown, _ = drawn(tmp_path / "b.h5", rows, brain, every)
    first, second = shown["recurrent"]
    assert second == "Change of the recurrent weights (none has changed)"
    found = np.ma.filled(shown["recurrent"][first].get_images()[0].get_array(), np.nan)
    np.testing.assert_array_equal(np.isnan(found), weights == 0)


def test_a_colour_bar_has_arrows_where_it_clips():
    for values, extend in (([-1, 1], "neither"), ([-3, 1], "min"), ([-1, 3], "max"), ([-3, 3], "both")):  # fmt: skip
        figure, ax = plt.subplots()
        draw_signed(ax, np.array([values], float), top=2.0, label="weight")
        assert ax.get_images()[0].colorbar.extend == extend
        assert len(ax.get_images()[0].colorbar.get_ticks()) <= 7
        plt.close(figure)


def test_names_on_an_axis():
    figure, axes = plt.subplots(1, 3)
    name_axis(axes[0].xaxis, np.array(["a", "b", "c"]))
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["a", "b", "c"]
    many = np.array([f"n{k}" for k in range(100)])
    name_axis(axes[1].yaxis, many)
    ticks = axes[1].get_yticks()
    assert 5 < len(ticks) <= 12
    assert [t.get_text() for t in axes[1].get_yticklabels()] == [f"n{k}" for k in ticks]
    axes[2].set_xlim(0, 3)
    name_axis(axes[2].xaxis, np.arange(4))
    ticks = axes[2].get_xticks()
    np.testing.assert_array_equal(ticks, np.rint(ticks))
    plt.close(figure)
