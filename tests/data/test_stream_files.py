"""Streams from files: what is read, in pieces, and what is said about files that cannot be."""

import struct
import tracemalloc

import h5py
import numpy as np
import pytest
from PIL import Image

from neurolp.data.streams import open_stream
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import CategoricalSensor, ContinuousSensor, check_rows

NAN = np.nan


def written(path, content):
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8", newline="")
    else:
        path.write_bytes(content)
    return path


def everything(stream, size=3):
    rows = np.concatenate(list(stream.blocks(size)))
    assert rows.shape == (stream.n_steps, stream.n_columns)
    np.testing.assert_array_equal(check_rows(rows, stream.sensors), rows)
    np.testing.assert_array_equal(stream.read(stream.n_steps), rows)
    for start in (1, stream.n_steps - 1):
        np.testing.assert_array_equal(stream.read(stream.n_steps, start), rows[start:])
    return rows


# --- tables ---------------------------------------------------------------------------------------

TABLE = "time,key,level,mood\n0.5,3,-1,good\n1.5,,2e1,bad\n2.5,1, nan,\n\n3.5,0,7,good\n"


def test_csv_numbers_are_sensors_of_their_own(tmp_path):
    file = written(tmp_path / "a.csv", TABLE)
    stream = open_stream(file, columns=["level", 0])
    assert stream.sensors == (ContinuousSensor(1, "level"), ContinuousSensor(1, "time"))
    np.testing.assert_array_equal(everything(stream), [[-1, 0.5], [20, 1.5], [NAN, 2.5], [7, 3.5]])
    assert stream.alphabets is None


def test_csv_symbols_and_a_vector(tmp_path):
    file = written(tmp_path / "a.csv", "\ufeff" + TABLE.replace("nan", "3").replace("\n", "\r\n"))
    stream = open_stream(file, symbols=["mood", "key"], vector="both")
    assert stream.sensors == (
        ContinuousSensor(2, "both"),
        CategoricalSensor(3, "key"),
        CategoricalSensor(2, "mood"),
    )
    assert stream.alphabets == {"key": ("0", "1", "3"), "mood": ("bad", "good")}
    np.testing.assert_array_equal(
        everything(stream), [[0.5, -1, 2, 1], [1.5, 20, NAN, 0], [2.5, 3, 1, NAN], [3.5, 7, 0, 1]]
    )


def test_csv_symbols_of_a_given_number(tmp_path):
    file = written(tmp_path / "a.csv", TABLE)
    stream = open_stream(file, columns=["key", "mood"], symbols={"key": 8, "mood": 3})
    assert [s.n_symbols for s in stream.sensors] == [8, 3]
    assert stream.alphabets == {"mood": ("bad", "good")}  # numbers stand for themselves
    assert stream.alphabet == ("bad", "good")
    np.testing.assert_array_equal(everything(stream), [[3, 1], [NAN, 0], [1, NAN], [0, 1]])


def test_csv_sensors_as_given(tmp_path):
    file = written(tmp_path / "a.csv", "1;2;0\n3;4;1\n\n;;1\n")
    sensors = (ContinuousSensor(2, "eye", 0.0, 2.0), CategoricalSensor(2, "touch"))
    stream = open_stream(file, sensors=sensors)
    assert stream.sensors == sensors
    np.testing.assert_array_equal(everything(stream), [[1, 2, 0], [3, 4, 1], [NAN, NAN, 1]])


@pytest.mark.parametrize(("text", "header"), [("1,x\n2,y\n", None), ("a,x\nb,y\n", False)])
def test_csv_without_a_header(tmp_path, text, header):
    stream = open_stream(written(tmp_path / "a.csv", text), symbols=[0, 1], header=header)
    assert [s.name for s in stream.sensors] == ["column 0", "column 1"]
    np.testing.assert_array_equal(everything(stream), [[0, 0], [1, 1]])


def test_csv_with_a_header_of_numbers(tmp_path):
    stream = open_stream(written(tmp_path / "a.tsv", "1\t2\n3\t4\n5\t6\n"), header=True)
    assert [s.name for s in stream.sensors] == ["1", "2"]
    np.testing.assert_array_equal(everything(stream), [[3, 4], [5, 6]])


def test_equal_numbers_are_the_same_symbol(tmp_path):
    stream = open_stream(written(tmp_path / "a.csv", "s\n10\n2\n2.0\n010\n0.5\n"), symbols=["s"])
    assert stream.alphabet == ("0.5", "2", "10")
    np.testing.assert_array_equal(everything(stream)[:, 0], [2, 1, 1, 2, 0])


def test_a_long_csv_is_read_in_pieces(tmp_path):
    x = np.random.default_rng(0).normal(size=(40_000, 3))
    file = tmp_path / "long.csv"
    np.savetxt(file, x, delimiter=",")
    tracemalloc.start()
    stream = open_stream(file)
    rows = list(stream.blocks(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(np.concatenate(rows), x)
    assert peak < x.nbytes + 12e6  # 8192 rows of text are 6 MB
    np.testing.assert_array_equal(stream.read(5, 20_000), x[20_000:20_005])


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        ("", {}, "is empty"),
        ("a,b\n", {}, "has no rows below its header"),
        ("a,b\n1,2\n3\n", {}, "line 3 has 1 fields, but the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", {}, "line 3 has 3 fields, but the first line has 2"),
        ("a,b\n1,2\n3,x\n", {}, "column 'b', line 3: wanted a number, but found 'x'"),
        (
            "a,b\n1,2\n\n3,inf\n",
            {},
            "column 'b', line 4: wanted a finite number or NaN, but found inf",
        ),
        (
            "a,b\n1,2\n3,\n",
            {"vector": True},
            "'b', line 3: wanted finite numbers, or NaN in all values at once, but found nan",
        ),
        ("a,b\n1,2\n", {"columns": ["c"]}, "no column 'c' among a, b"),
        ("a,b\n1,2\n", {"columns": [2]}, "no column 2 among a, b"),
        ("a,a\n1,2\n", {}, "two columns are named 'a'"),
        ("a,b\n1,2\n", {"symbols": ["c"]}, "no column 'c' among a, b"),
        ("a\n1\n1\n", {"symbols": ["a"]}, "column 'a' has only one symbol, '1'"),
        ("a,b\n,1\n,1\n", {"symbols": ["a"]}, "column 'a' has no symbols"),
        (
            "a\n1\n2\n",
            {"symbols": {"a": 2}},
            "'a', line 3: wanted a symbol 0 .. 1 or NaN, but found 2",
        ),
        (
            "a\n1\n.5\n",
            {"symbols": {"a": 2}},
            "'a', line 3: wanted a symbol 0 .. 1 or NaN, but found 0.5",
        ),
        ("a,b\nx,1\ny,1\nz,1\n", {"symbols": {"a": 2}}, "has 3 different symbols, but 2 were"),
        (b"a,b\n1,2\n\xff,3\n", {}, "not a text file in UTF-8"),
        (b"a,b\n" + 9000 * b"1,2\n" + b"\xe4,3\n", {}, "not a text file in UTF-8"),
    ],
)
def test_csv_files_that_cannot_be_used(tmp_path, content, options, text):
    file = written(tmp_path / "bad.csv", content)
    with pytest.raises(DataError) as caught:
        open_stream(file, **options)
    assert text in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dataset": "x"}, "argument `dataset` has no meaning for"),
        ({"lower_case": True}, "argument `lower_case` has no meaning for"),
        ({"columns": "ab"}, "argument `columns` must be a list"),
        ({"symbols": "a"}, "argument `symbols` must be a list of columns"),
        ({"symbols": {"a": 1}}, "must be an integer >= 2, but is 1"),
        ({"columns": ["b"], "symbols": ["a"]}, "must name columns that are used, but 'a' is not"),
        ({"symbols": ["a", "b"], "vector": True}, "needs columns of numbers"),
        ({"sensors": ContinuousSensor(3)}, "must have 2 columns in all"),
        ({"sensors": ContinuousSensor(2), "vector": True}, "must not be given together"),
    ],
)
def test_options_that_contradict_the_file(tmp_path, options, text):
    file = written(tmp_path / "a.csv", "a,b\n1,2\n3,4\n")
    with pytest.raises(ConfigurationError, match=text):
        open_stream(file, **options)


def test_files_that_are_not_there_or_of_no_kind(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_stream(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"unknown kind of file; wanted .csv, .tsv"):
        open_stream(written(tmp_path / "a.xlsx", "x"))


def test_a_file_that_changes_under_the_stream(tmp_path):
    file = written(tmp_path / "a.csv", "s,t\nx,1\ny,2\n")
    stream = open_stream(file, symbols=["s"])
    written(file, "s,t\nx,1\nz,2\n")
    with pytest.raises(DataError, match="has changed since it was opened"):
        stream.read(2)


# --- arrays ---------------------------------------------------------------------------------------


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
    assert stream.sensors == (ContinuousSensor(2, "v"),)
    np.testing.assert_array_equal(everything(stream, 9000), x[:, [2, 0]])


@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_arrays_of_one_column_of_symbols_and_of_frames(tmp_path, kind):
    line = np.array([5, 2, 2, 9, 5])
    file = array_file(tmp_path, kind, line)
    np.testing.assert_array_equal(everything(open_stream(file))[:, 0], line)
    stream = open_stream(file, symbols=[0])
    assert stream.alphabets == {"column 0": ("2", "5", "9")}
    np.testing.assert_array_equal(everything(stream)[:, 0], [1, 0, 0, 2, 1])
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
            "column 'column 1', row 1: wanted a finite number or NaN, but found inf",
        ),
        (
            np.array([[1, 2], [3, NAN]]),
            {"vector": True},
            "row 1: wanted finite numbers, or NaN in all values at once, but found nan",
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


# --- text -----------------------------------------------------------------------------------------


def read_as_text(stream):
    return "".join(stream.alphabet[int(k)] for k in everything(stream, 1000)[:, 0])


def test_text(tmp_path):
    file = written(tmp_path / "a.txt", "\ufeffÄrger über Öl,\r\nΣίσυφος\rund 𝄞!\n")
    stream = open_stream(file)
    assert read_as_text(stream) == "Ärger über Öl,\nΣίσυφος\nund 𝄞!\n"
    assert list(stream.alphabet) == sorted(set("Ärger über Öl,\nΣίσυφος\nund 𝄞!\n"))
    assert stream.sensors == (CategoricalSensor(len(stream.alphabet), "character"),)
    assert read_as_text(open_stream(file, lower_case=True)).startswith("ärger über öl,\nσίσυφος")
    turkish = written(tmp_path / "t.text", "İiIı")  # whose lower case is two characters
    assert read_as_text(open_stream(turkish, lower_case=True)) == "İiiı"


@pytest.mark.parametrize("shift", range(4))
def test_characters_cut_by_pieces(tmp_path, shift):
    text = shift * "x" + 30_000 * "𝄞\n" + 20_000 * "é\r\n"
    file = written(tmp_path / "a.txt", text)
    assert read_as_text(open_stream(file)) == text.replace("\r\n", "\n")


def test_a_long_text_is_read_in_pieces(tmp_path):
    file = written(tmp_path / "a.txt", 200_000 * "abcdefghi\n")
    tracemalloc.start()
    n = sum(len(b) for b in open_stream(file).blocks(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 2_000_000
    assert peak < 5e6


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"aaaa", "has only one different character, 'a'"),
        (b"abc\xffdef", "byte 3 is not UTF-8 text"),
        (65_535 * b"a" + b"\xc3\xa9" + b"b\xe9", "byte 65538 is not UTF-8 text"),
        (65_535 * b"a" + b"\xc3b", "byte 65535 is not UTF-8 text"),
        (b"abc\xc3", "byte 3 is not UTF-8 text"),
        ("abc".encode("utf-16"), "byte 0 is not UTF-8 text"),
    ],
)
def test_texts_that_cannot_be_used(tmp_path, content, text):
    file = written(tmp_path / "a.txt", content)
    with pytest.raises(DataError) as caught:
        open_stream(file)
    assert str(caught.value) == f"{file}: {text}"


# --- frames ---------------------------------------------------------------------------------------


def saved(folder, name, picture):
    Image.fromarray(np.asarray(picture, dtype=np.uint8)).save(folder / name)


def test_frames_in_natural_order(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 3, 4))
    for t, picture in enumerate(pictures):
        saved(tmp_path, f"frame{t}.png", picture)
    (tmp_path / "notes.txt").write_text("not a frame")
    stream = open_stream(tmp_path, dequantise=False)
    assert stream.frame_shape == (3, 4)
    assert stream.sensors == (ContinuousSensor(12, "frame"),)
    rows = everything(stream, 5)
    np.testing.assert_allclose(rows * 255, pictures.reshape(12, 12), atol=1e-3)
    noise = (everything(open_stream(tmp_path), 5) - rows) * 255
    assert 0 <= noise.min() < 0.05
    assert 0.95 < noise.max() < 1
    assert noise.std() == pytest.approx(1 / np.sqrt(12), rel=0.1)


def test_frames_of_all_kinds_of_colour(tmp_path):
    grey = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)
    colour = np.zeros((3, 4, 3), np.uint8)
    colour[..., 1] = grey
    Image.fromarray(grey).save(tmp_path / "0.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "1.png")
    Image.fromarray(grey).convert("LA").save(tmp_path / "2.png")
    Image.fromarray(grey).convert("RGBA").save(tmp_path / "3.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "4.png")
    Image.fromarray(colour).save(tmp_path / "5.png")
    rows = everything(open_stream(tmp_path, dequantise=False)) * 255
    np.testing.assert_allclose(rows[:5], np.tile(grey.ravel(), (5, 1)), atol=1e-3)
    np.testing.assert_allclose(rows[5], 0.587 * grey.ravel(), atol=1e-3)


def test_frames_that_cannot_be_used(tmp_path):
    with pytest.raises(DataError, match="no PNG pictures in this folder"):
        open_stream(tmp_path)
    for t in range(3):
        saved(tmp_path, f"{t}.png", np.random.default_rng(0).integers(0, 256, (40, 60)))
    with pytest.raises(ConfigurationError, match="argument `columns` has no meaning"):
        open_stream(tmp_path, columns=[0])
    whole = (tmp_path / "2.png").read_bytes()
    saved(tmp_path, "2.png", np.zeros((40, 61)))
    with pytest.raises(DataError, match=r"2\.png: is 61 x 40 pixels, but the first frame is 60"):
        open_stream(tmp_path)
    written(tmp_path / "2.png", b"GIF89a and so on, for long enough to look")
    with pytest.raises(DataError, match=r"2\.png: is not a PNG picture"):
        open_stream(tmp_path)
    written(tmp_path / "2.png", b"")
    with pytest.raises(DataError, match=r"2\.png: is not a PNG picture"):
        open_stream(tmp_path)
    for keep in (30, 200, len(whole) // 2):
        written(tmp_path / "2.png", whole[:keep])
        stream = open_stream(tmp_path)
        with pytest.raises(DataError, match=r"2\.png: cannot be read, damaged"):
            stream.read(3)
