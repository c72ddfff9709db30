"""Runs on a table from configuration to file, in Python."""

import signal
from pathlib import Path

import numpy as np
import pytest

from neurolp import BrainDensity, OutputError, open_trajectory
from neurolp.data.problems_2d import gaussian_field_entropy, problem_log_density
from neurolp.runs import density as experiment
from neurolp.runs.kinds import read_configuration


@pytest.fixture
def configuration(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('seed = 4\n[data]\nname = "wine"\ndequantise = true\n[brain]\nmax_slices = 4\n')
    return read_configuration(path)


def test_ctrl_c_during_the_comparison_keeps_the_brain(configuration, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "compare", interrupted)
    result = experiment.run(configuration, tmp_path / "kept.h5")
    assert (result.signal, result.reached) == (signal.SIGINT, "4 slices")
    with open_trajectory(tmp_path / "kept.h5") as file:
        assert "model" not in file.result  # what it is compared with comes when it goes on
    assert BrainDensity.load(tmp_path / "kept.h5").n_slices_ == 4


def test_the_place_of_the_result_is_checked_before_the_work(configuration, tmp_path, monkeypatch):
    def too_late(*arguments, **settings):
        raise AssertionError("data were loaded first")

    monkeypatch.setattr(experiment, "read_data", too_late)
    with pytest.raises(OutputError, match="folder does not exist"):
        experiment.run(configuration, tmp_path / "nowhere" / "x.h5")


FIELDS = sorted((Path(__file__).parent.parent.parent / "simulations").glob("field_*.toml"))


@pytest.mark.parametrize("path", FIELDS, ids=lambda p: p.stem)
def test_every_connectivity_and_order_learns_towards_the_entropy(path, tmp_path):
    """Surprise falls, and stays above that of the true density on the same rows.

    With the base as head it is the slices that learn; a mixture would find this field by itself.
    """
    settings = ["compare=false", "brain.max_slices=30", "brain.head=base"]
    configuration = read_configuration(path, settings)
    result = experiment.run(configuration, tmp_path / "field.h5")
    brain = result.brain
    truth = problem_log_density("gaussian_field", result.data.test)
    gap = truth - brain.score_samples(result.data.test)
    error = gap.std() / len(gap) ** 0.5
    assert abs(truth.mean() + gaussian_field_entropy()) < 5 * truth.std() / len(gap) ** 0.5
    with open_trajectory(tmp_path / "field.h5") as file:
        surprise = file["surprise"].sel(split="test").values
    assert surprise[0] + truth.mean() > 3.5  # where learning begins
    assert -3 * error < gap.mean() < 2.0
    # One seed gives the same brain again, and the file holds all of it.
    again = BrainDensity.load(tmp_path / "field.h5")
    rows = result.data.test[:200]
    np.testing.assert_allclose(again.score_samples(rows), brain.score_samples(rows), rtol=1e-12)
    positions = again.network_.connectivity.positions
    assert (positions is None) == (path.stem != "field_distance")
    again.save(tmp_path / "again.h5")
    assert BrainDensity.load(tmp_path / "again.h5").score(rows) == again.score(rows)


def test_the_fields_cover_every_kind_and_order():
    configurations = [read_configuration(path) for path in FIELDS]
    kinds = {c.connectivity.kind for c in configurations}
    assert kinds == {"full", "random", "small_world", "distance", "modular", "file"}
    orders = {
        c.brain.update_order if isinstance(c.brain.update_order, str) else "own"
        for c in configurations
    }
    assert orders == {"random_halves", "sequential", "coloring", "own"}
