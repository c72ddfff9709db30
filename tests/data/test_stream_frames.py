"""Streams from folders of PNG images: what is read, and errors."""

import numpy as np
import pytest
from PIL import Image

from neurolp.data.streams import open_stream
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import ContinuousSensor
from tests.data.stream_files import everything, written


def saved(folder, name, image):
    Image.fromarray(np.asarray(image, dtype=np.uint8)).save(folder / name)


def test_frames_in_natural_order(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 4))
    for t, image in enumerate(images):
        saved(tmp_path, f"frame{t}.png", image)
    (tmp_path / "notes.txt").write_text("not a frame")
    stream = open_stream(tmp_path, dequantise=False)
    assert stream.frame_shape == (3, 4)
    assert stream.sensors == (ContinuousSensor(12, "frame"),)
    rows = everything(stream, 5)
    np.testing.assert_allclose(rows * 255, images.reshape(12, 12), atol=1e-3)
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
    with pytest.raises(DataError, match="no PNG images in this folder"):
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
    with pytest.raises(DataError, match=r"2\.png: is not a PNG image"):
        open_stream(tmp_path)
    written(tmp_path / "2.png", b"")
    with pytest.raises(DataError, match=r"2\.png: is not a PNG image"):
        open_stream(tmp_path)
    for keep in (30, 200, len(whole) // 2):
        written(tmp_path / "2.png", whole[:keep])
        stream = open_stream(tmp_path)
        with pytest.raises(DataError, match=r"2\.png: cannot be read, damaged"):
            stream.read(3)
