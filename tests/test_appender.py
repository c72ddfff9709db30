"""A file that grows: what was appended is read back; whole or not at all, on a full disk too."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from neurolp import OutputError, open_trajectory
from neurolp.trajectory.appender import Appender
from neurolp.trajectory.format import Contents


def declared(path, **settings):
    file = Appender(path, **settings)
    file.declare_dimension("step", "i8", "step", "rows")
    file.declare("surprise", ("step", "sensor"), (2,), "f4", "nat", "surprise")
    file.declare_dimension("frame", "i8", "step", "rows")
    file.declare("huge", ("frame", "pixel"), (300_000,), "f8", "1", "rows larger than a chunk")
    return file


def rest():
    out = Contents()
    out.attributes[""] = {"title": "grown", "status": "complete"}
    out.add_coordinate("sensor", np.array(["a", "b"]), "1", "sensor")
    out.add_coordinate("pixel", np.arange(300_000), "1", "pixel")
    out.add("weight", ("sensor",), [1.0, 2.0], "1", "of each")
    return out


def test_what_was_appended_is_read_back(tmp_path):
    rng = np.random.default_rng(0)
    surprise, huge = rng.random((20_000, 2)).astype("f4"), rng.random((3, 300_000))
    file = declared(tmp_path / "a.h5")
    start = 0
    for n in [0, 1, 8191, 2, 8192, 20_000 - 16_386]:
        buffer = surprise[start : start + n].copy()
        file.append("surprise", buffer)
        buffer[:] = -1  # the caller may reuse it
        start += n
    file.append("step", np.arange(3))
    assert file.has("huge")
    assert not file.has("weight")
    with pytest.raises(ValueError, match="20000 rows along step, but"):
        file.finish(rest())
    assert os.listdir(tmp_path) == []

    file = declared(tmp_path / "a.h5")
    file.append("step", np.arange(3))
    file.append("surprise", surprise[:3])
    file.append("frame", [0, 1, 2])
    file.append("huge", huge)
    with pytest.raises(ValueError, match=r"huge has rows of \(300000,\)"):
        file.append("huge", np.zeros((1, 4)))
    file.finish(rest())
    file.abandon()  # does nothing any more
    with open_trajectory(tmp_path / "a.h5") as read:
        assert read.title == "grown"
        np.testing.assert_array_equal(read["surprise"].values, surprise[:3])
        np.testing.assert_array_equal(read["huge"].values, huge)
        assert read["surprise"].dims == ("step", "sensor")
        assert read["surprise"].units == "nat"
        np.testing.assert_array_equal(read["surprise"].sel(sensor="b").values, surprise[:3, 1])
    with h5py.File(tmp_path / "a.h5") as raw:
        assert raw["surprise"].fletcher32
        assert raw["surprise"].dims[0]["step"].shape == (3,)
        assert raw["huge"].chunks[0] == 1
        assert np.prod(raw["huge"].chunks) * 8 <= 2**20


def test_coordinates_of_long_dimensions_are_read_in_part(tmp_path):
    file = Appender(tmp_path / "a.h5")
    file.declare_dimension("step", "i8", "step", "rows")
    file.declare("surprise", ("step",), (), "f4", "nat", "surprise")
    for k in range(100):
        file.append("step", np.arange(k * 1000, (k + 1) * 1000))
        file.append("surprise", np.full(1000, k))
    file.finish(Contents())
    with open_trajectory(tmp_path / "a.h5") as read:
        part = read["surprise"][-3000::1000]
        np.testing.assert_array_equal(part.coords["step"], [97_000, 98_000, 99_000])
        np.testing.assert_array_equal(part.values, [97, 98, 99])
        assert len(read["surprise"].coords["step"]) == 100_000
        assert list(read["surprise"].coords) == ["step"]
        assert read["surprise"].sel(step=5000).values == 5
    assert (tmp_path / "a.h5").stat().st_size < 100_000  # steps compress well


def test_until_it_is_finished_there_is_no_file_and_then_there_is_no_litter(tmp_path):
    (tmp_path / "old.h5").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        declared(tmp_path / "old.h5")
    file = declared(tmp_path / "old.h5", overwrite=True)
    file.append("surprise", np.zeros((20_000, 2)))
    assert (tmp_path / "old.h5").read_bytes() == b"precious"
    file.abandon()
    assert os.listdir(tmp_path) == ["old.h5"]
    # One that appeared meanwhile is not overwritten.
    file = declared(tmp_path / "new.h5")
    (tmp_path / "new.h5").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        file.finish(rest())
    assert (tmp_path / "new.h5").read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["new.h5", "old.h5"]
    with pytest.raises(OutputError, match="its folder does not exist"):
        declared(tmp_path / "no" / "a.h5")


@pytest.mark.parametrize("room", [0, 1000, 100_000, 1_500_000])
def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path, room):
    # HDF5 itself crashes the process when it ends after a write that failed.
    program = f"""
import resource, sys
import numpy as np
sys.path.insert(0, {os.getcwd()!r})
from neurolp import OutputError
from tests.test_appender import declared, rest
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    file = declared({str(tmp_path / "a.h5")!r})
    for k in range(40):
        file.append("step", np.arange(10_000))
        file.append("surprise", np.random.default_rng(k).random((10_000, 2)))
    file.finish(rest())
except OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'a.h5'}: cannot write the result, File too large\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_failure_at_the_end_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, kind):
    (tmp_path / "old.h5").write_bytes(b"precious")
    file = declared(tmp_path / "old.h5", overwrite=True)

    def full(descriptor):
        raise kind(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError if kind is OSError else kind):
        file.finish(rest())
    assert (tmp_path / "old.h5").read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["old.h5"]
