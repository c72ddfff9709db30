"""From the segments of a run to one file, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurolp.arrays import NamedArrays, Variable
from neurolp.storage.disk import write_hdf5
from neurolp.storage.growing import Declared, Waiting, check_lengths
from neurolp.storage.layout import attach, lay_out
from neurolp.storage.segments import declared_in
from neurolp.storage.source import FileSource

_PIECE_BYTES = 2**23  # read at once


def merge(
    target: Path,
    segments: list[Path],
    declared: Mapping[str, Declared],
    waiting: Mapping[str, Waiting],
    contents: NamedArrays,
) -> None:
    """Write one synced file: the header (the first segment), all rows, and ``contents``.

    ``contents`` has the last word where the header says something else.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it then.
    """
    write_hdf5(
        target, lambda file, check: _write(file, check, segments, declared, waiting, contents)
    )


def contents_of(header: FileSource) -> NamedArrays:
    """What is in a header, but for what grows."""
    out = NamedArrays()
    scales = header.scales()
    for name, dataset in scales.items():
        if declared_in(dataset, name) is None:
            out.coordinates[name] = _variable(dataset, (name,))
    for name in header.names():
        stored = header.variable(name)
        if declared_in(stored.data, name) is None:
            out.variables[name] = _variable(stored.data, stored.dims)
    groups = [name for name, item in header.file.items() if isinstance(item, h5py.Group)]
    for group in ["", *groups]:
        if group != "coordinates":
            out.attributes[group] = header.attributes(group)
    return out


def _write(
    file: Any,
    check: Callable[[], None],
    segments: list[Path],
    declared: Mapping[str, Declared],
    waiting: Mapping[str, Waiting],
    contents: NamedArrays,
) -> None:
    source = FileSource(segments[0])
    try:
        out = contents_of(source)
    finally:
        source.close()
    del out.attributes[""]["overwrite"]
    out.coordinates |= contents.coordinates
    out.variables |= contents.variables
    for group, attributes in contents.attributes.items():
        out.attributes[group] = out.attributes.get(group, {}) | attributes

    datasets = {name: d.create(file) for name, d in declared.items()}
    buffers = {name: Waiting() for name in declared}
    for path in segments[1:]:
        with _closing(FileSource(path)) as segment:
            for name, (d, _) in segment.growing().items():
                for rows in _pieces(segment.file[d.where]):
                    buffers[name].add(rows)
                    if buffers[name].n >= datasets[name].chunks[0]:
                        buffers[name].write(datasets[name], whole_chunks=True)
        check()
    for name, dataset in datasets.items():
        for rows in waiting[name].rows if name in waiting else ():
            buffers[name].add(rows)
        buffers[name].write(dataset)
    check_lengths((d, len(datasets[name])) for name, d in declared.items())
    lay_out(file, out)
    for name, d in declared.items():
        if not d.is_coordinate:
            attach(file, datasets[name], d.dims)


def _pieces(dataset: Any) -> Iterator[Any]:
    row = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64))
    size = max(1, _PIECE_BYTES // max(row, 1))
    for start in range(0, len(dataset), size):
        yield dataset[start : start + size]


def _variable(dataset: Any, dims: tuple[str, ...]) -> Variable:
    values = np.asarray(dataset[()])
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    return Variable(dims, values, dataset.attrs["units"], dataset.attrs["long_name"])


@contextmanager
def _closing(source: FileSource) -> Iterator[FileSource]:
    try:
        yield source
    finally:
        source.close()
