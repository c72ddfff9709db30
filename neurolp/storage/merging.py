"""Merging of the segments of a run into one file, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from neurolp.arrays import NamedArrays, Variable
from neurolp.storage.disk import write_hdf5
from neurolp.storage.growing import Declared, Waiting, check_lengths
from neurolp.storage.layout import lay_out
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

    ``contents`` replaces what the header has under the same name.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it then.
    """
    with closing(FileSource(segments[0])) as source:
        out = contents_of(source)
    del out.attributes[""]["overwrite"]
    out.update(contents)

    def fill(file: Any, check: Callable[[], None]) -> None:
        datasets = {name: d.create(file) for name, d in declared.items()}
        buffers = {name: Waiting() for name in declared}
        for path in segments[1:]:
            with closing(FileSource(path)) as segment:
                for name in segment.growing():
                    for rows in _pieces(segment.file[name]):
                        buffers[name].add(rows)
                        if buffers[name].n >= datasets[name].chunks[0]:
                            buffers[name].write(datasets[name], whole_chunks=True)
            check()
        for name, dataset in datasets.items():
            for rows in waiting[name].rows if name in waiting else ():
                buffers[name].add(rows)
            buffers[name].write(dataset)
        check_lengths((d, len(datasets[name])) for name, d in declared.items())
        lay_out(file, out, growing={name: d.dims for name, d in declared.items()})

    write_hdf5(target, fill)


def contents_of(header: FileSource) -> NamedArrays:
    """Everything in a header but the growing variables."""
    out = NamedArrays()
    growing = header.growing()
    for target, names in (
        (out.coordinates, header.coordinate_names()),
        (out.variables, header.names()),
    ):
        for name in names:
            if name not in growing:
                stored = header.variable(name)
                target[name] = Variable(stored.dims, stored[()], stored.units, stored.long_name)
    for group in ["", *header.groups()]:
        out.attributes[group] = header.attributes(group)
    return out


def _pieces(dataset: Any) -> Iterator[Any]:
    row = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64))
    size = max(1, _PIECE_BYTES // max(row, 1))
    for start in range(0, len(dataset), size):
        yield dataset[start : start + size]
