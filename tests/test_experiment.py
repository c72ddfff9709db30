"""One simulation from configuration to file, in Python."""

import pytest

from neurolp import BrainDensity, OutputError, experiment
from neurolp.config import read_configuration


@pytest.fixture
def configuration(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('seed = 4\n[data]\nname = "wine"\n[brain]\nmax_slices = 4\n')
    return read_configuration(path)


def test_ctrl_c_during_the_comparison_keeps_the_brain(configuration, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "_compare", interrupted)
    result = experiment.run(configuration, tmp_path / "kept.h5")
    assert result.interrupted
    assert [row.model for row in result.rows] == ["brain (4 slices)"]
    assert BrainDensity.load(tmp_path / "kept.h5").n_slices_ == 4


def test_the_place_of_the_result_is_checked_before_the_work(configuration, tmp_path, monkeypatch):
    def too_late(*arguments, **settings):
        raise AssertionError("data were loaded first")

    monkeypatch.setattr(experiment, "load_data", too_late)
    with pytest.raises(OutputError, match="folder does not exist"):
        experiment.run(configuration, tmp_path / "nowhere" / "x.h5")
