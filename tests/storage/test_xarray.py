"""A trajectory as an xarray.Dataset: dimensions, coordinates, units, attributes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

from neurolp import open_trajectory
from neurolp.storage.xarray_backend import NeurolpBackend

DATA = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("kind", ["brain", "stream", "experiment"])
def test_everything_is_there(kind, tmp_path):
    with open_trajectory(DATA / f"{kind}-v2.h5") as file:
        data = file.to_xarray()
        assert set(data.data_vars) == {n for n in file if not n.startswith("state_")}
        for name, variable in data.data_vars.items():
            assert variable.attrs == {"units": file[name].units, "long_name": file[name].long_name}
            np.testing.assert_array_equal(variable.values, file[name].values)
            for dim, original in zip(variable.dims, file[name].dims, strict=True):
                np.testing.assert_array_equal(data[dim].values, file[name].coords[original])
                assert data[dim].attrs["units"] == file.coordinates[original].units
        assert data.attrs["title"] == f"golden {kind}"
        assert data.attrs["provenance.seed"] == 3
        assert {f"result.{k}" for k in file.result} <= set(data.attrs)
    # It is in memory: the file is closed.
    assert data.nbytes > 1000
    opened = xarray.open_dataset(DATA / f"{kind}-v2.h5", engine=NeurolpBackend)
    assert opened.identical(data)


def test_selection_by_label():
    with open_trajectory(DATA / "brain-v2.h5") as file:
        data = file.to_xarray(["surprise", "component_factor"])
        surprise = file["surprise"].sel(population="test").values
    np.testing.assert_array_equal(data.surprise.sel(population="test"), surprise)
    assert data.component_factor.dims == ("component", "node", "node_2")
    assert set(data.data_vars) == {"surprise", "component_factor"}


def test_the_backend_drops_variables_and_knows_its_files(tmp_path):
    path = DATA / "brain-v2.h5"
    backend = NeurolpBackend()
    assert backend.guess_can_open(path)
    assert not backend.guess_can_open(Path(__file__))
    assert not backend.guess_can_open(None)
    assert "weights" not in xarray.open_dataset(
        path, engine=NeurolpBackend, drop_variables="weights"
    )


def test_without_xarray_one_line_says_what_to_do():
    code = (
        "import sys; sys.modules['xarray'] = None\n"
        "import neurolp\n"
        f"file = neurolp.open_trajectory({str(DATA / 'brain-v2.h5')!r})\n"
        "try:\n    file.to_xarray()\nexcept ImportError as error:\n    print(error)\n"
        "print('xarray' in [n for n, m in sys.modules.items() if m])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=DATA.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "to_xarray() needs xarray: pip install 'neurolp[analysis]', or xarray itself",
        "False",
    ]
