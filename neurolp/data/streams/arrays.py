"""Reader of NPY and HDF5 files as streams, a slice at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurolp.arrays import Array
from neurolp.data.streams.columns import Cells, Layout, Symbols, check_values, lay_out
from neurolp.data.streams.source import CHUNK, Chunk, Stream
from neurolp.data.tables import chosen_array
from neurolp.errors import ConfigurationError, DataError, NeurolpError
from neurolp.stream.labels import Label
from neurolp.stream.sensors import ContinuousSensor, Sensor

_VALUES = 1 << 20  # read at once: 8 MB


def open_array(
    path: Path,
    *,
    columns: Sequence[str | int] | None = None,
    symbols: Symbols = (),
    vector: bool | str = False,
    sensors: Sensor | Sequence[Sensor] | None = None,
    counts: Sequence[str | int] = (),
    spikes: Sequence[str | int] = (),
    dataset: str | None = None,
) -> Stream:
    """Rows of an array (n,), (n, d), or frames (n, height, width); see ``open_stream``.

    Values are checked when they are read. Columns of symbols whose number is not given are read
    through once at the start.
    """
    with _opened(path, dataset) as array:
        shape = tuple(int(n) for n in array.shape)
        if array.dtype.kind not in "fiub":
            raise DataError(f"{path}: wanted numbers, but the array has dtype {array.dtype}")
    if len(shape) not in (1, 2, 3):
        raise DataError(
            f"{path}: wanted an array of shape (steps,), (steps, columns) or "
            f"(steps, height, width), but it has {shape}"
        )
    if 0 in shape:
        raise DataError(f"{path}: is empty, its array has shape {shape}")
    width = int(np.prod(shape[1:], dtype=np.int64))
    if len(shape) == 3:
        if columns is not None or symbols or sensors is not None:
            raise ConfigurationError(
                f"{path} holds frames, so that `columns`, `symbols` and `sensors` cannot be given"
            )
        name = vector if isinstance(vector, str) else "frame"
        positions = tuple(range(width))
        pixels = tuple(f"pixel {j // shape[2]}, {j % shape[2]}" for j in positions)
        layout = Layout(positions, pixels, (None,) * width, (ContinuousSensor(width, name),))
    else:
        names = tuple(f"column {j}" for j in range(width))
        layout = lay_out(str(path), names, columns, symbols, vector, sensors, counts, spikes)
    layout = layout.labelled(_labels(path, dataset, layout))

    def chunks(start: int) -> Iterator[Chunk]:
        for first, values in _slices(path, dataset, layout.positions, start):
            check_values(str(path), layout, values, "row", range(first, first + len(values)))
            yield values, None

    return Stream(
        name=str(path),
        sensors=layout.sensors,
        chunks=chunks,
        n_steps=shape[0],
        description=f"{'frames' if len(shape) == 3 else 'rows'} of {path}",
        frame_shape=(shape[1], shape[2]) if len(shape) == 3 else None,
    )


@contextmanager
def _opened(path: Path, dataset: str | None) -> Iterator[Any]:
    """The array of a file, on disk; errors while it is in use become ``DataError``."""
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise DataError(f"{path}: holds several arrays; wanted an .npy file of one")
            yield array
        else:
            with h5py.File(path, "r") as file:
                yield chosen_array(path, file, dataset)
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, NeurolpError):
            raise
        raise DataError(
            f"{path}: cannot be read, damaged or not a {path.suffix.lower()} file"
        ) from error


def _slices(
    path: Path, dataset: str | None, positions: tuple[int, ...], start: int
) -> Iterator[tuple[int, Array]]:
    """The first row of a slice, and its values (n, n_columns) as float64."""
    with _opened(path, dataset) as array:
        width = int(np.prod(array.shape[1:], dtype=np.int64))
        size = max(1, min(CHUNK, _VALUES // width))
        every = positions == tuple(range(width))
        for first in range(start, len(array), size):
            rows = np.asarray(array[first : first + size]).reshape(-1, width)
            chosen = rows if every else rows[:, positions]
            yield first, np.array(chosen, dtype=np.float64)


def _labels(path: Path, dataset: str | None, layout: Layout) -> dict[int, tuple[Label, ...]]:
    """The symbols that columns of unknown symbols hold."""
    cells = {c: Cells(str(path), layout.names[c], 0) for c, n in enumerate(layout.counts) if n == 0}
    if cells:
        for _, values in _slices(path, dataset, tuple(layout.positions[c] for c in cells), 0):
            for k, gathered in enumerate(cells.values()):
                different = np.unique(values[:, k])
                gathered.add(set(different[~np.isnan(different)].tolist()))
    return {c: labels for c, gathered in cells.items() if (labels := gathered.labels())}
