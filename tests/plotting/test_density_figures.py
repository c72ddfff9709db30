"""Figures of a brain that learned a table: what their axes say, and which time they show."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from neurolp.plotting.potentials import chosen_slice, potentials_at
from neurolp.plotting.style import MODEL, OBSERVED_AREA
from neurolp.runs import figures, run


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A small run whose chosen slice was not recorded, and its figures."""
    folder = tmp_path_factory.mktemp("density")
    x = np.random.default_rng(0).standard_normal((260, 3))
    x[:, 1] += x[:, 0] ** 2
    np.savetxt(folder / "x.csv", x, delimiter=",", header="alpha,beta,gamma", comments="")
    keys = {
        "title": "small", "seed": 0, "data": {"file": str(folder / "x.csv")},
        "brain": {"max_slices": 11, "head": "base", "rotation": False}, "record": {"every": 4},
    }  # fmt: skip
    with run(keys, folder / "a.h5") as file:
        yield file, figures(file)


def axes_of(drawn, name):
    return [ax for ax in drawn[1][name].figure.axes if ax.get_label() != "<colorbar>"]


def test_each_figure_has_a_caption_and_axes_with_labels(drawn):
    _, shown = drawn
    assert {"surprise", "potentials", "node_maps", "marginals"} <= set(shown)
    for figure in shown.values():
        assert figure.caption.endswith(".")
        assert len(figure.caption.split()) > 10
        panels = [ax for ax in figure.figure.axes if ax.axison]
        assert all(ax.get_xlabel() or ax.get_label() == "<colorbar>" for ax in panels)
        assert any(ax.get_ylabel() for ax in panels)


def test_surprise_names_its_quantity_and_counts_slices(drawn):
    (ax,) = axes_of(drawn, "surprise")
    assert ax.get_title(loc="left") == "Mean negative log-likelihood"
    assert ax.get_ylabel() == "negative log-likelihood (nats per row)"
    assert ax.get_xlabel() == "time (slices)"
    assert np.all(ax.get_xticks() == np.rint(ax.get_xticks()))
    curves = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    surprise = drawn[0]["surprise"]
    np.testing.assert_array_equal(curves["test rows"], surprise.sel(split="test").values)


def test_the_last_histogram_is_of_the_chosen_slice(drawn):
    file, _ = drawn
    chosen = chosen_slice(file)
    _, first, last = axes_of(drawn, "potentials")
    assert first.get_title(loc="left") == "slice 0"
    assert last.get_title(loc="left") == f"slice {chosen}, chosen"
    # Slices that were recorded are those to which the rows of time 0 move.
    frames = file["potential"]
    for time in frames.coords["frame"].values:
        moved = potentials_at_by_evolution(file, int(time))
        np.testing.assert_allclose(moved, frames.sel(frame=time).values, atol=1e-6)


def potentials_at_by_evolution(file, time):
    class Start(dict):
        """The file, with the frame of time 0 alone."""

        def __getitem__(self, name):
            return file["potential"][:1] if name == "potential" else file[name]

        def __contains__(self, name):
            return name in file

        def __getattr__(self, name):
            return getattr(file, name)

    return potentials_at(Start(), time)


def test_marginals_have_a_density_axis_and_names_of_columns(drawn):
    panels = axes_of(drawn, "marginals")
    assert [ax.get_xlabel() for ax in panels] == ["alpha", "beta", "gamma"]
    assert panels[0].get_ylabel() == "probability density"
    assert len(panels[0].get_yticks()) > 1
    colours = {to_hex(patch.get_facecolor()) for patch in panels[0].patches}
    assert to_hex(OBSERVED_AREA) in colours
    assert to_hex(MODEL) in {to_hex(patch.get_edgecolor()) for patch in panels[0].patches}


def test_weights_have_the_names_of_columns(drawn):
    (ax,) = axes_of(drawn, "weights")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["alpha", "beta", "gamma"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["alpha", "beta", "gamma"]
