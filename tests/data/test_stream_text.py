"""Streams from text files: what is read, in pieces, and errors."""

import tracemalloc

import pytest

from neurolp.data.streams import open_stream
from neurolp.errors import DataError
from neurolp.stream.sensors import CategoricalSensor
from tests.data.stream_files import everything, written


def read_as_text(stream):
    return "".join(stream.sensors[0].labels[int(k)] for k in everything(stream, 1000)[:, 0])


def test_text(tmp_path):
    file = written(tmp_path / "a.txt", "\ufeffÄrger über Öl,\r\nΣίσυφος\rund 𝄞!\n")
    stream = open_stream(file)
    assert read_as_text(stream) == "Ärger über Öl,\nΣίσυφος\nund 𝄞!\n"
    alphabet = sorted(set("Ärger über Öl,\nΣίσυφος\nund 𝄞!\n"))
    assert stream.sensors == (CategoricalSensor(alphabet, "character"),)
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
