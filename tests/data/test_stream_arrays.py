"""Streams from NPY and HDF5 files: what is read, in pieces, and errors."""

import struct
import tracemalloc

import h5py
import numpy as np
import pytest

from neurolp.data.streams import open_stream
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import CategoricalSensor, ContinuousSensor
from tests.data.stream_files import NAN, everything


def array_file(folder, kind, array):
    file = folder / f"a.{kind}"
    if kind == "npy":
        np.save(file, array)
    else:
        with h5py.File(file, "w") as h5:
            h5["group/x"] = array
    return file


@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_arrays(tmp_path, kind):
    x = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    x[3] = NAN
    file = array_file(tmp_path, kind, x)
    stream = open_stream(file)
    assert stream.sensors == tuple(ContinuousSensor(1, f"column {j}") for j in range(3))
    np.testing.assert_array_equal(everything(stream, 1111), x)
    stream = open_stream(file, columns=[2, 0], vector="v")
    assert stream.sensors == (ContinuousSensor(["column 2", "column 0"], "v"),)
    np.testing.assert_array_equal(everything(stream, 9000), x[:, [2, 0]])


@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_arrays_of_one_column_of_symbols_and_of_frames(tmp_path, kind):
    line = np.array([5, 2, 2, 9, 5])
    file = array_file(tmp_path, kind, line)
    np.testing.assert_array_equal(everything(open_stream(file))[:, 0], line)
    stream = open_stream(file, symbols=[0])
    assert stream.sensors == (CategoricalSensor([2, 5, 9], "column 0"),)
    np.testing.assert_array_equal(everything(stream)[:, 0], line)
    stream = open_stream(file, symbols={0: 10})
    assert stream.sensors == (CategoricalSensor(10, "column 0"),)
    np.testing.assert_array_equal(everything(stream)[:, 0], line)
    frames = np.arange(60.0).reshape(5, 3, 4)
    stream = open_stream(array_file(tmp_path, kind, frames))
    assert stream.frame_shape == (3, 4)
    assert stream.sensors == (ContinuousSensor(12, "frame"),)
    np.testing.assert_array_equal(everything(stream), frames.reshape(5, 12))


def test_hdf5_needs_to_know_which_array(tmp_path):
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as h5:
        h5["x"], h5["y"] = np.arange(5.0), np.arange(6.0)
    with pytest.raises(DataError, match="`dataset` must name one of x, y"):
        open_stream(file)
    with pytest.raises(DataError, match="no array 'z' among x, y"):
        open_stream(file, dataset="z")
    assert open_stream(file, dataset="/y").n_steps == 6


def test_large_arrays_stay_on_disk(tmp_path):
    file = tmp_path / "a.npy"
    with file.open("wb") as stream:  # 400 MB of zeros that take no room
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f8", "fortran_order": False, "shape": (50_000_000, 1)}
        )
        stream.truncate(stream.tell() + 400_000_000)
    tracemalloc.start()
    stream = open_stream(file)
    assert not stream.read(10, 49_000_000).any()
    n = sum(len(b) for b in stream.head(2_000_000).blocks(10_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 2_000_000
    assert peak < 5e6


@pytest.mark.parametrize("kind", ["npy", "h5"])
@pytest.mark.parametrize(
    ("array", "options", "text"),
    [
        (np.zeros((0, 2)), {}, "is empty, its array has shape (0, 2)"),
        (np.zeros((4, 0)), {}, "is empty, its array has shape (4, 0)"),
        (np.zeros((2, 2, 2, 2)), {}, "wanted an array of shape (steps,)"),
        (np.array(3.0), {}, "wanted an array of shape (steps,)"),
        (np.zeros(5, complex), {}, "wanted numbers, but the array has dtype complex128"),
        (
            np.array([[1, 2], [3, np.inf]]),
            {},
            "column 'column 1', row 1: wanted a number of at most 1e100 or NaN, but found inf",
        ),
        (
            np.array([[1, 2], [3, NAN]]),
            {"vector": True},
            "row 1: wanted numbers of at most 1e100, or NaN in all values at once, but found nan",
        ),
        (
            np.array([1.0, 0.0, 4.0]),
            {"symbols": {0: 3}},
            "row 2: wanted a symbol 0 .. 2 or NaN, but fou",
        ),
        (np.ones(5), {"symbols": [0]}, "column 'column 0' has only one symbol, '1'"),
        (np.arange(200_000), {"symbols": [0]}, "has more than 100000 different symbols"),
        (np.zeros((5, 2)), {"columns": [2]}, "no column 2 among column 0, column 1"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, kind, array, options, text):
    file = array_file(tmp_path, kind, array)
    with pytest.raises(DataError) as caught:
        open_stream(file, **options).read(10)
    assert text in str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_frames_have_no_columns(tmp_path):
    file = array_file(tmp_path, "npy", np.zeros((4, 3, 3)))
    with pytest.raises(ConfigurationError, match="holds frames"):
        open_stream(file, columns=[0])


@pytest.mark.parametrize("kind", ["npy", "h5"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.999])
def test_truncated_arrays(tmp_path, kind, keep):
    file = array_file(tmp_path, kind, np.arange(10_000.0))
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DataError, match="cannot be read, damaged or not a"):
        open_stream(file).read(10_000)


def test_a_damaged_piece_of_an_hdf5_file(tmp_path):
    file = tmp_path / "a.h5"
    with h5py.File(file, "w") as h5:
        h5.create_dataset("x", data=np.arange(5000.0), chunks=(5000,), fletcher32=True)
    data = bytearray(file.read_bytes())
    data[data.index(struct.pack("<3d", 100.0, 101.0, 102.0))] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read, damaged"):
        open_stream(file).read(10)


def test_objects_are_not_unpickled(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.array([{}, None]), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read, damaged or not"):
        open_stream(file)
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    with pytest.raises(DataError, match="holds several arrays"):
        open_stream(tmp_path / "b.npy")
