"""A finished file is opened by xarray, lazily, without any code of ours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

from neurolp import open_trajectory
from neurolp.arrays import NamedArrays
from neurolp.storage.writer import write_trajectory

DATA = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("kind", ["brain", "stream", "experiment"])
@pytest.mark.parametrize("engine", ["h5netcdf", None])
def test_everything_is_there(kind, engine):
    path = DATA / f"{kind}-v3.h5"
    with xarray.open_dataset(path, engine=engine) as data, open_trajectory(path) as file:
        assert data.attrs["title"] == f"golden {kind}"
        assert data.attrs["status"] == "complete"
        assert set(data.data_vars) == set(file)
        assert len(data.coords) > 3
        for name in (*file, *data.coords):
            stored = file.stored(name)
            assert data[name].dims == stored.dims
            assert data[name].attrs == {"units": stored.units, "long_name": stored.long_name}
            np.testing.assert_array_equal(data[name].values, file.read(name))
            np.testing.assert_array_equal(file[name].values, file.read(name))
            assert set(data[name].coords) == set(file[name].coords)
        assert data.drop_attrs(deep=False).identical(file.dataset.drop_attrs(deep=False))


def test_groups_are_opened_too():
    path = DATA / "stream-v3.h5"
    about = xarray.open_dataset(path, group="provenance").attrs
    assert about["seed"] == 3
    assert isinstance(about["version_numpy"], str)
    with xarray.open_dataset(path, group="state") as state, open_trajectory(path) as file:
        found = file.read_group("state")
        assert set(state) == set(found)
        for name, values in found.items():
            np.testing.assert_array_equal(state[name].values, values)
    assert "/state" in xarray.open_datatree(path).groups


@pytest.fixture
def path(tmp_path):
    out = NamedArrays()
    out.attributes[""] = {"title": "größe", "flag": True, "long": "ä" * 100_000}
    out.attributes["configuration"] = {"json": '"' + "x" * 200_000 + '"'}
    out.add_coordinate("letter", np.array(["a", "β"]), "1", "texts of one character")
    out.add_coordinate("place", np.arange(1000), "m", "where")
    out.add("flag", ("letter",), [True, False], "1", "yes or no")
    out.add("big", ("letter", "place"), np.arange(2000.0).reshape(2, -1), "nat", "größe")
    out.add("bare", ("edge",), np.arange(7), "1", "along a dimension without values")
    out.add("scalar", (), 3.5, "nat", "a number")
    out.add("none", ("nothing",), np.empty(0), "nat", "no numbers")
    write_trajectory(tmp_path / "a.h5", out)
    return tmp_path / "a.h5"


def test_texts_booleans_scalars_and_dimensions_without_values(path):
    with xarray.open_dataset(path) as data, open_trajectory(path) as file:
        for name in ("flag", "big", "bare", "scalar", "none", "letter"):
            np.testing.assert_array_equal(data[name].values, file.read(name))
            assert file[name].identical(data[name])
        assert data.flag.dtype == np.bool_
        assert list(data.letter.values) == ["a", "β"]
        assert data.sel(letter="β").big[3] == 1003
        assert set(data.coords) == {"letter", "place"}
        assert dict(data.sizes) == {"letter": 2, "place": 1000, "edge": 7, "nothing": 0}
        assert (data.attrs["title"], bool(data.attrs["flag"])) == ("größe", True)
        assert file.attributes("")["long"] == "ä" * 100_000  # in parts, as HDF5 has it no longer
        assert file.configuration == "x" * 200_000


def test_only_what_is_asked_for_is_read(path, monkeypatch):
    from neurolp.storage.source import Stored

    asked = []
    read = Stored.__getitem__
    monkeypatch.setattr(
        Stored,
        "__getitem__",
        lambda stored, key: asked.append((stored.where, key)) or read(stored, key),
    )
    with open_trajectory(path) as file:
        data = file.dataset
        asked.clear()
        part = data["big"].sel(letter="β", place=slice(3, 5))
        assert not asked
        np.testing.assert_array_equal(part, [1003, 1004, 1005])
        assert [key for _, key in asked] == [(1, slice(3, 6, 1))]
        assert "big" in asked[0][0]


def test_a_file_is_opened_before_its_values_are_read(path):
    # A chunk that is damaged is noticed only by who reads it.
    import h5py

    with h5py.File(path) as file:
        offset = file["big"].id.get_chunk_info(0).byte_offset
    image = bytearray(path.read_bytes())
    image[offset + 9] ^= 1
    path.write_bytes(image)
    with xarray.open_dataset(path) as data:
        assert data.scalar == 3.5
        with pytest.raises(OSError, match="filter"):
            data.big.load()
    with open_trajectory(path) as file:
        assert file["scalar"] == 3.5
        with pytest.raises(OSError, match=f"{path}: big: damaged"):
            file["big"].load()


def test_xarray_is_imported_only_where_it_is_used():
    code = (
        "import sys, neurolp\n"
        f"file = neurolp.open_trajectory({str(DATA / 'brain-v3.h5')!r})\n"
        "repr(file), file.read('surprise'), neurolp.load(file.path)\n"
        "print('xarray' in sys.modules)\n"
        "file['surprise']\n"
        "print('xarray' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
