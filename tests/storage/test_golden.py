"""Files of every released format version are read by every later release, to the last bit."""

import importlib.util
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurolp import FormatError, open_trajectory, run
from neurolp.storage.compare import CLOCK, compare
from neurolp.storage.format import FORMAT_VERSION, OLDEST_VERSION

DATA = Path(__file__).parent.parent / "golden"
VERSIONS = sorted(int(p.stem.rpartition("-v")[2]) for p in DATA.glob("golden-v*.json"))
KINDS = ("brain", "stream", "experiment")

_spec = importlib.util.spec_from_file_location("make_golden", DATA / "make_golden.py")
make_golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_golden)


def recorded(version):
    return json.loads((DATA / f"golden-v{version}.json").read_text())


def test_every_readable_version_has_golden_files():
    assert list(range(OLDEST_VERSION, FORMAT_VERSION + 1)) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_in_a_golden_file_is_read(version, kind):
    found = json.loads(json.dumps(make_golden.contents(DATA / f"{kind}-v{version}.h5")))
    assert found == recorded(version)[kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_brains_think_as_they_did(version):
    found = make_golden.numbers(*(DATA / f"{kind}-v{version}.h5" for kind in ("brain", "stream")))
    assert found == pytest.approx(recorded(version)["numbers"], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_golden_configurations_still_have_the_same_results(kind, tmp_path):
    # To rounding errors: other processors, and other libraries, round otherwise.
    path = DATA / f"{kind}-v{FORMAT_VERSION}.h5"
    with open_trajectory(path) as golden, run(golden.configuration, tmp_path / "a.h5") as again:
        assert again.configuration == golden.configuration  # in whatever order of its keys
        passed = {*CLOCK, "provenance", "configuration.json"}
        different = [d.name for d in compare(golden, again, passed) if d.what]
        for name in different:
            then, now = (_value(file, name) for file in (golden, again))
            if name == "estimator/structure":  # text, with fractions in it
                parts = [
                    re.split(r"(\d+\.\d+(?:e-?\d+)?)", bytes(text).decode()) for text in (now, then)
                ]
                assert parts[0][::2] == parts[1][::2]
                now, then = (np.array(text[1::2], dtype=float) for text in parts)
            np.testing.assert_allclose(now, then, rtol=1e-4, atol=1e-6, err_msg=name)


def _value(file, name):
    """A variable, or a number or array among the attributes of a group."""
    if name in file:
        return file.read(name)
    group, _, key = name.rpartition(".")
    return file.attributes(group)[key]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("version", "message"),
    [
        (OLDEST_VERSION - 1, "is too old, written by neurolp 9.8"),
        (FORMAT_VERSION + 1, "is too new, written by neurolp 9.8"),
    ],
)
def test_too_old_and_too_new_are_named(tmp_path, kind, version, message):
    path = tmp_path / "file.h5"
    path.write_bytes((DATA / f"{kind}-v{FORMAT_VERSION}.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = version
        file["provenance"].attrs["version_neurolp"] = "9.8"
    with pytest.raises(FormatError) as caught:
        open_trajectory(path)
    line = str(caught.value)
    assert f"format version {version} {message}; this release" in line
    assert line.startswith(str(path))
    assert "\n" not in line


@pytest.mark.parametrize("kind", KINDS)
def test_users_of_h5py_find_units_names_and_scales(kind):
    with h5py.File(DATA / f"{kind}-v{FORMAT_VERSION}.h5") as file:
        assert file.attrs["format"] == b"neurolp-trajectory"
        assert {"configuration", "provenance"} <= set(file)
        json.loads(file["configuration"].attrs["json"])
        variables = [item for item in file.values() if isinstance(item, h5py.Dataset)]
        for item in variables:
            if "units" not in item.attrs:  # a length without values
                assert item.is_scale
                continue
            assert item.attrs["long_name"]
            assert item.size == 0 or item.ndim == 0 or item.fletcher32
            if not item.is_scale:
                assert all(dim[0].is_scale for dim in item.dims)


def test_every_variable_and_attribute_is_documented():
    text = (Path(__file__).parent.parent.parent / "docs" / "format.md").read_text()
    for kind in ("brain", "stream"):
        with open_trajectory(DATA / f"{kind}-v{FORMAT_VERSION}.h5") as file:
            names = list(file)
            attributes = [*file.brain, *file.result, *file.experiment, *file.provenance]
            patterns = ("version_", "synapse_", "spline_")
            names += [a for a in attributes if not a.startswith(patterns)]
        assert [name for name in names if f"`{name}`" not in text] == []
