"""Variables whose first dimension grows: their declaration, and rows not yet written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.storage.layout import FILTERS, chunks_of, describe


@dataclass(frozen=True)
class Declared:
    """A variable along ``dims``, of which the first grows; ``shape`` is that of the others.

    The coordinate of a growing dimension has the name of the dimension.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    units: str
    long_name: str

    def create(self, file: Any, *, most: int | None = None) -> Any:
        """Create its empty data set in an open HDF5 file; at most ``most`` rows will follow."""
        dtype = np.dtype(self.dtype)
        rows, *rest = chunks_of(self.shape, dtype.itemsize)
        dataset = file.create_dataset(
            self.name,
            shape=(0, *self.shape),
            maxshape=(None, *self.shape),
            dtype=dtype,
            chunks=(rows if most is None else max(1, min(rows, most)), *rest),
            shuffle=dtype.kind in "iu",  # counts and times: all but one byte are alike
            **FILTERS,
        )
        describe(dataset, self.units, self.long_name)
        return dataset


@dataclass
class Waiting:
    """Rows not yet written, in the order in which they were appended."""

    rows: list[Array] = field(default_factory=list)
    n: int = 0

    def add(self, values: Array) -> None:
        """Add rows (n, ...)."""
        self.rows.append(values)
        self.n += len(values)

    def clear(self) -> None:
        """Forget them."""
        self.rows, self.n = [], 0

    def write(self, dataset: Any, *, whole_chunks: bool = False) -> None:
        """Append them to a data set; with ``whole_chunks`` those of an incomplete chunk stay."""
        n = self.n - self.n % dataset.chunks[0] if whole_chunks else self.n
        if not n:
            return
        rows, start = np.concatenate(self.rows), len(dataset)
        dataset.resize(start + n, axis=0)
        dataset[start:] = rows[:n]
        self.clear()
        if n < len(rows):
            self.add(rows[n:].copy())


def check_lengths(rows: Iterable[tuple[Declared, int]]) -> None:
    """Raise ValueError unless all variables along a growing dimension have as many rows."""
    lengths: dict[str, tuple[str, int]] = {}
    for declared, n in rows:
        first, wanted = lengths.setdefault(declared.dims[0], (declared.name, n))
        if n != wanted:
            raise ValueError(
                f"{declared.name} has {n} rows along {declared.dims[0]}, but {first} has {wanted}"
            )
