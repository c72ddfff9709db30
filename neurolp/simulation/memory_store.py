"""Where monitors write: the interface of a store, and the one in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, Self, final

import numpy as np
import numpy.typing as npt

from neurolp.arrays import Array, NamedArrays, Variable

# Growing dimensions of a record.
_RECORD_DIMENSIONS = ("time", "frame", "parameter_frame")


def is_recorded(dims: Sequence[str]) -> bool:
    """Whether a variable belongs to the record of a fit, rather than to the parameters."""
    return bool(dims) and dims[0] in _RECORD_DIMENSIONS


class Store(Protocol):
    """Where rows are appended: ``storage.store.RunStore`` or :class:`MemoryStore`."""

    def declare_dimension(self, name: str, dtype: str, units: str, long_name: str) -> None:
        """Declare a dimension that grows; its coordinate is appended to under the same name."""

    def declare_coordinate(
        self, name: str, values: npt.ArrayLike, units: str, long_name: str
    ) -> None:
        """Describe a dimension that does not grow."""

    def declare(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: str,
        units: str,
        long_name: str,
    ) -> None:
        """Declare a variable along ``dims``; the first grows, ``shape`` is that of the others."""

    def append(self, name: str, values: npt.ArrayLike) -> None:
        """Add rows (n, ...)."""


@final
class MemoryStore(Mapping[str, Array]):
    """A record in memory: a mapping from names of variables, and of dimensions, to their values.

    >>> store = MemoryStore()
    >>> store.declare_dimension("time", "i8", "slice", "slices completed")
    >>> store.append("time", [0, 1])
    >>> store["time"]
    array([0, 1])
    """

    def __init__(self) -> None:
        self._about: dict[str, Variable] = {}  # of growing variables, without rows
        self._rows: dict[str, list[Array]] = {}
        self._n_rows: dict[str, int] = {}
        self._fixed: dict[str, Variable] = {}

    def declare_dimension(self, name: str, dtype: str, units: str, long_name: str) -> None:
        """Declare a dimension that grows."""
        self.declare(name, (name,), (), dtype, units, long_name)

    def declare_coordinate(
        self, name: str, values: npt.ArrayLike, units: str, long_name: str
    ) -> None:
        """Describe a dimension that does not grow."""
        self._fixed[name] = Variable((name,), np.asarray(values), units, long_name)

    def declare(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: str,
        units: str,
        long_name: str,
    ) -> None:
        """Declare a variable along ``dims``, of which the first grows; once more has no effect.

        Raises
        ------
        ValueError
            If it was declared with other dimensions or another shape.
        """
        declared = Variable(dims, np.empty((0, *shape), dtype), units, long_name)
        known = self._about.setdefault(name, declared)
        if known.values.shape != declared.values.shape or known.dims != dims:
            raise ValueError(f"{name} was declared with {known.dims} and {known.values.shape[1:]}")
        self._rows.setdefault(name, [])
        self._n_rows.setdefault(name, 0)

    def append(self, name: str, values: npt.ArrayLike) -> None:
        """Add rows (n, ...) to a variable, or to the coordinate of a growing dimension."""
        empty = self._about[name].values
        rows = np.array(values, dtype=empty.dtype)  # a copy: callers reuse their buffers
        if rows.shape[1:] != empty.shape[1:]:
            raise ValueError(f"{name} has rows of {empty.shape[1:]}, but got {rows.shape[1:]}")
        self._rows[name].append(rows)
        self._n_rows[name] += len(rows)

    @property
    def growing(self) -> tuple[str, ...]:
        """Names of what is appended to: variables, and coordinates of growing dimensions."""
        return tuple(self._about)

    def n_rows(self, name: str) -> int:
        """Rows that were appended to a variable."""
        return self._n_rows[name]

    def __getitem__(self, name: str) -> Array:
        if name in self._fixed:
            return self._fixed[name].values
        about = self._about[name]
        joined = np.concatenate([about.values, *self._rows[name]])
        # What Ctrl-C left incomplete does not count.
        along = [k for k, other in self._about.items() if other.dims[0] == about.dims[0]]
        return joined[: min(self._n_rows[k] for k in along)]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._about, *self._fixed])

    def __len__(self) -> int:
        return len(self._about) + len(self._fixed)

    def __repr__(self) -> str:
        """The names, and the shapes of what is under them."""
        return f"<MemoryStore: {', '.join(f'{name} {self[name].shape}' for name in self)}>"

    @property
    def splits(self) -> list[str]:
        """Splits of the data whose surprise is recorded."""
        return [str(name) for name in self["split"]] if "split" in self else []

    @property
    def surprise(self) -> dict[str, Array]:
        """Mean surprise in nats by split of the data ("train", "validation", "test"), by time."""
        if "surprise" not in self:
            return {}
        return dict(zip(self.splits, self["surprise"].T, strict=True))

    def to_arrays(self, out: NamedArrays) -> None:
        """Add the record to the contents of a file."""
        out.coordinates |= self._fixed
        for name, about in self._about.items():
            target = out.coordinates if about.dims == (name,) else out.variables
            target[name] = Variable(about.dims, self[name], about.units, about.long_name)

    def to_tree(self) -> dict[str, Variable]:
        """All variables and coordinates by name, in the order of the names."""
        out = NamedArrays()
        self.to_arrays(out)
        return dict(sorted((out.coordinates | out.variables).items()))

    @classmethod
    def from_tree(cls, tree: dict[str, Variable]) -> Self:
        """The record that :meth:`to_tree` was called of."""
        return cls.from_arrays(tree)

    @classmethod
    def from_arrays(cls, variables: Mapping[str, Variable]) -> Self:
        """The record among the variables and coordinates of a file."""
        store = cls()
        chosen = {k: v for k, v in variables.items() if is_recorded(v.dims)}
        for name, v in chosen.items():
            store.declare(
                name, v.dims, v.values.shape[1:], v.values.dtype.str, v.units, v.long_name
            )
            store.append(name, v.values)
        for dim in {dim for v in chosen.values() for dim in v.dims[1:]} & set(variables):
            if variables[dim].dims == (dim,):
                store._fixed[dim] = variables[dim]
        return store
