"""Opening of a user's file as a stream, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neurolp.data.streams.arrays import open_array
from neurolp.data.streams.columns import Symbols
from neurolp.data.streams.frames import open_frames
from neurolp.data.streams.source import Stream
from neurolp.data.streams.tables import open_csv
from neurolp.data.streams.text import open_text
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import Sensor

_TABLE = ("columns", "symbols", "vector", "sensors", "counts", "spikes")
_KINDS: dict[str, tuple[Callable[..., Stream], tuple[str, ...]]] = {
    ".csv": (open_csv, (*_TABLE, "header")),
    ".tsv": (open_csv, (*_TABLE, "header")),
    ".npy": (open_array, _TABLE),
    ".h5": (open_array, (*_TABLE, "dataset")),
    ".hdf5": (open_array, (*_TABLE, "dataset")),
    ".txt": (open_text, ("lower_case",)),
    ".text": (open_text, ("lower_case",)),
}


def open_stream(
    path: str | Path,
    *,
    columns: Sequence[str | int] | None = None,
    symbols: Symbols = (),
    vector: bool | str = False,
    sensors: Sensor | Sequence[Sensor] | None = None,
    counts: Sequence[str | int] = (),
    spikes: Sequence[str | int] = (),
    header: bool | None = None,
    dataset: str | None = None,
    lower_case: bool = False,
    dequantise: bool = True,
) -> Stream:
    """The stream of a file, or of a folder of frames, read in pieces and never as a whole.

    ========================  ======================================================================
    ``.csv``, ``.tsv``        a row a step; empty cells, NaN, NA are missing, empty lines skipped
    ``.npy``, ``.h5, .hdf5``  (steps,), (steps, columns), or frames (steps, height, width)
    ``.txt``, ``.text``       characters as symbols; UTF-8
    a folder                  its PNG images as frames, in natural order, grey, 0 .. 1
    ========================  ======================================================================

    Parameters
    ----------
    path : path
        The file or folder.
    columns : sequence of str or int, optional
        Columns to use, by name (CSV with a header) or position; all by default. Each is a sensor.
    symbols : dict or sequence, optional
        Columns that hold symbols: ``["key"]`` finds the labels that occur, ``{"key": ["a", "b"]}``
        declares them, ``{"key": 8}`` their number. The sensors keep the labels.
    vector : bool or str
        Join all columns of numbers in one vector sensor, of this name.
    sensors : sequence of sensors, optional
        What the chosen columns are, in their order, instead of ``symbols``, ``vector``, ``counts``
        and ``spikes``.
    counts, spikes : sequence of str or int
        Columns that hold counts (:class:`neurolp.CountSensor`), and bins with a spike (1) or none
        (0; :class:`neurolp.SpikeSensor`).
    header : bool, optional
        Whether a CSV file has a header; a first line without any number is one by default.
    dataset : str, optional
        Which array of an HDF5 file; needed where there are several.
    lower_case : bool
        Whether characters become lower case.
    dequantise : bool
        Whether the pixels of PNG frames get noise of the width of one grey level.

    Raises
    ------
    DataError
        One line that names the file and the position. Tables and text are checked when they are
        opened, arrays and images when they are read.
    ConfigurationError
        If an argument has no meaning for this kind of file, or contradicts another.
    """
    path = Path(path)
    if isinstance(columns, str):
        raise ConfigurationError(f"argument `columns` must be a list, but is {columns!r}")
    columns = None if columns is None else list(columns)
    given: dict[str, tuple[Any, Any]] = {
        "columns": (columns, None),
        "symbols": (symbols, ()),
        "vector": (vector, False),
        "sensors": (sensors, None),
        "counts": (counts if isinstance(counts, str) else tuple(counts), ()),
        "spikes": (spikes if isinstance(spikes, str) else tuple(spikes), ()),
        "header": (header, None),
        "dataset": (dataset, None),
        "lower_case": (lower_case, False),
        "dequantise": (dequantise, True),
    }
    open_, known = _kind(path)
    arguments = {key: value for key, (value, default) in given.items() if value != default}
    for key in arguments:
        if key not in known:
            raise ConfigurationError(
                f"argument `{key}` has no meaning for {path}; "
                f"for this kind of stream there are {', '.join(known)}"
            )
    return open_(path, **arguments)


def _kind(path: Path) -> tuple[Callable[..., Stream], tuple[str, ...]]:
    if path.is_dir():
        return open_frames, ("dequantise",)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    if path.suffix.lower() not in _KINDS:
        raise DataError(
            f"{path}: unknown kind of file; wanted {', '.join(_KINDS)} or a folder of PNG frames"
        )
    return _KINDS[path.suffix.lower()]
