"""Examples that come with the package: each is described, timed, found, and whole when copied."""

import tomllib
from pathlib import Path

import pytest

from neurolp.config.examples import (
    copy_example,
    examples,
    examples_root,
    find_example,
    nearest_example,
)
from neurolp.errors import OutputError
from neurolp.runs.kinds import read_configuration
from neurolp.storage.provenance import data_files
from neurolp.sweep.design import read_sweep

ROOT = Path(__file__).parent.parent.parent
NAMES = sorted(examples())


def test_all_files_are_examples_and_measured_times_are_of_examples():
    root = examples_root()
    found = {example.path for example in examples().values()}
    assert found == {*root.glob("simulations/**/*.toml"), *root.glob("notebooks/*.ipynb")}
    lines = (root / "simulations" / "seconds.csv").read_text().splitlines()[1:]
    timed = {line.split(",")[0]: float(line.split(",")[1]) for line in lines}
    assert {name: e.seconds for name, e in examples().items() if e.seconds is not None} == timed
    assert min(timed.values()) > 0


def test_extras_are_those_of_the_package():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    needed = {e.extra for e in examples().values()} - {""}
    assert needed == {"connectome", "spikes"} <= set(extras)
    assert find_example("sweeps/connectome").extra == "connectome"  # as its base says


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_whole(name, tmp_path):
    example = examples()[name]
    assert example.title
    assert "\n" not in example.title
    copies = copy_example(example, tmp_path / "here")
    assert [path.read_bytes() for path in copies] == [
        source.read_bytes() for source, _ in example.files()
    ]
    assert all(path.is_relative_to(tmp_path / "here") for path in copies)
    if example.kind == "configuration":
        raw = read_configuration(copies[0]).model_dump(mode="json")
        assert {Path(file) for _, file in data_files(raw)} == set(copies[1:])
    elif example.kind == "sweep":
        assert len(read_sweep(copies[0]).jobs) == len(read_sweep(example.path).jobs)
    with pytest.raises(OutputError, match="exists already"):
        copy_example(example, tmp_path / "here")
    copies[0].write_text("changed")
    assert copy_example(example, tmp_path / "here", overwrite=True) == copies
    assert copies[0].read_bytes() == example.path.read_bytes()


def test_names_are_found_by_kind_and_near_ones_named():
    assert find_example("connectome").kind == "configuration"
    assert find_example("connectome", "sweep").name == "sweeps/connectome"
    assert find_example("recurrence").name == "sweeps/recurrence"
    assert find_example("digits", "sweep") is None
    assert find_example("nothing") is None
    assert nearest_example("digit") == "digits"
    assert nearest_example("lorentz", "configuration") == "lorenz"
    assert nearest_example("recurence", "sweep") == "sweeps/recurrence"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the example"):
        copy_example(examples()["digits"], tmp_path / "file")
