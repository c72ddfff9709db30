"""Stored variables as data that pynwb writes piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.data_utils import GenericDataChunkIterator

from neurolp.arrays import Array
from neurolp.storage.reader import Trajectory
from neurolp.storage.source import Stored

_CHUNK = 2**19  # bytes that are compressed together
_BUFFER = 32  # chunks that are read at once


class _Pieces(GenericDataChunkIterator):
    """Data that are read by their first index, from .. to before."""

    def __init__(
        self, read: Callable[[int, int], Array], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._read, self._shape, self._type = read, shape, dtype
        row = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        n = min(max(1, _CHUNK // max(row, 1)), shape[0])
        super().__init__(
            chunk_shape=(n, *shape[1:]), buffer_shape=(min(_BUFFER * n, shape[0]), *shape[1:])
        )

    def _get_data(self, selection: tuple[slice, ...]) -> Array:
        rows, *rest = selection
        return self._read(rows.start, rows.stop)[(slice(None), *rest)]

    def _get_maxshape(self) -> tuple[int, ...]:
        return self._shape

    def _get_dtype(self) -> np.dtype[Any]:
        return self._type


@dataclass(frozen=True)
class Rows:
    """Columns of a table of edges."""

    number: Any
    target: Any
    source: Any
    weight: Any


def stored_rows(stored: Stored) -> Any:
    """All values of a variable, compressed."""
    return _compressed(lambda start, stop: stored[start:stop], stored.shape, stored.dtype)


def edge_rows(file: Trajectory, name: str) -> Rows:
    """Number, target, source and weights (n_edges, n_times) of the edges of the weights ``name``.

    Dense ones have an edge for each entry.
    """
    stored = file.stored(name)
    n_times, *shape = stored.shape
    if f"{name}_target" in file:
        ends = file.stored(f"{name}_target"), file.stored(f"{name}_source")
        return _rows(
            shape[0],
            lambda start, stop: ends[0][start:stop],
            lambda start, stop: ends[1][start:stop],
            lambda start, stop: stored[:, start:stop].T,
            n_times,
            stored.dtype,
        )
    n_sources = shape[1]

    def weights(start: int, stop: int) -> Array:
        first, last = start // n_sources, -(-stop // n_sources)
        block = stored[:, first:last].reshape(n_times, -1)
        return np.asarray(block[:, start - first * n_sources : stop - first * n_sources].T)

    return _rows(
        shape[0] * n_sources,
        lambda start, stop: np.arange(start, stop) // n_sources,
        lambda start, stop: np.arange(start, stop) % n_sources,
        weights,
        n_times,
        stored.dtype,
    )


def _rows(
    n: int,
    target: Callable[[int, int], Array],
    source: Callable[[int, int], Array],
    weight: Callable[[int, int], Array],
    n_times: int,
    dtype: np.dtype[Any],
) -> Rows:
    whole = np.dtype(np.int64)
    return Rows(
        _compressed(np.arange, (n,), whole),
        _compressed(lambda start, stop: target(start, stop).astype(whole), (n,), whole),
        _compressed(lambda start, stop: source(start, stop).astype(whole), (n,), whole),
        _compressed(weight, (n, n_times), dtype),
    )


def _compressed(
    read: Callable[[int, int], Array], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    return H5DataIO(_Pieces(read, shape, dtype), compression="gzip")
