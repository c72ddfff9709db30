"""Read a trajectory file: lazily, as labelled arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurolp.errors import FormatError
from neurolp.storage import segments
from neurolp.storage.source import FileSource, RunSource, Source, damage_named

if TYPE_CHECKING:
    import xarray

Array = npt.NDArray[Any]

_FEW = 2**16


class LabelledArray:
    """A variable of a trajectory: dimension names, coordinates, units; values read when asked for.

    Index it like an array (basic indexing) or by coordinate with :meth:`sel`; both read only that
    part and keep the labels. ``numpy.asarray(variable)`` or ``.values`` reads all of it.
    """

    def __init__(
        self,
        name: str,
        data: Any,
        dims: tuple[str, ...],
        coords: Mapping[str, Array],
        units: str,
        long_name: str,
    ) -> None:
        self.name, self.dims, self.coords = name, dims, coords
        self.units, self.long_name = units, long_name
        self._data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return tuple(self._data.shape)

    @property
    def dtype(self) -> Any:
        """Type of the values, as stored."""
        return self._data.dtype

    @property
    def values(self) -> Array:
        """All values, read from the file."""
        with damage_named(self.name, OSError):
            values = np.asarray(self._data[()])
        return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self.values, dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> LabelledArray:
        keys = key if isinstance(key, tuple) else (key,)
        at = next((i for i, k in enumerate(keys) if k is Ellipsis), None)
        if at is not None:
            missing = len(self.dims) - len(keys) + 1
            keys = keys[:at] + (slice(None),) * missing + keys[at + 1 :]
        if len(keys) > len(self.dims):
            raise IndexError(f"{self.name} has dimensions {self.dims}, but got {len(keys)} indices")
        keys = keys + (slice(None),) * (len(self.dims) - len(keys))
        # HDF5 itself knows no negative positions.
        keys = tuple(
            k + n if isinstance(k, (int, np.integer)) and k < 0 else k
            for k, n in zip(keys, self.shape, strict=False)
        )
        with damage_named(self.name, OSError):
            data = np.asarray(self._data[keys])
        dims = tuple(
            d for d, k in zip(self.dims, keys, strict=True) if not isinstance(k, (int, np.integer))
        )
        part = self.coords.part if isinstance(self.coords, _Coordinates) else self._part
        coords = {d: part(d, k) for d, k in zip(self.dims, keys, strict=True) if d in dims}
        return LabelledArray(self.name, data, dims, coords, self.units, self.long_name)

    def _part(self, dim: str, key: Any) -> Array:
        return np.asarray(self.coords[dim][key])

    def sel(self, **where: Any) -> LabelledArray:
        """Select by coordinate value, e.g. ``surprise.sel(population="test")``.

        Raises
        ------
        KeyError
            If the dimension or the value does not exist.
        """
        keys: list[Any] = [slice(None)] * len(self.dims)
        for dim, value in where.items():
            if dim not in self.dims:
                raise KeyError(f"{self.name} has dimensions {self.dims}, but not {dim!r}")
            found = np.flatnonzero(self.coords[dim] == value)
            if not found.size:
                raise KeyError(f"{self.name} has no {dim} = {value!r}")
            keys[self.dims.index(dim)] = int(found[0])
        return self[tuple(keys)]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{d}: {n}" for d, n in zip(self.dims, self.shape, strict=True))
        return f"<{self.name} ({sizes}) [{self.units}] {self.long_name}>"


class Trajectory(Mapping[str, LabelledArray]):
    """An open trajectory file: a mapping from variable names to labelled arrays.

    ``configuration``, ``provenance``, ``brain``, ``result`` and ``experiment`` are dictionaries of
    its attributes.
    Use it as a context manager, or call :meth:`close`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._source = _source(self.path)
        try:
            with damage_named(str(self.path)):
                self._read_attributes()
        except FormatError:
            self._source.close()
            raise

    def _read_attributes(self) -> None:
        root = self._source.attributes("")
        self.status: str = root.get("status", "")
        self.title: str = root.get("title", "")
        self.configuration: dict[str, Any] = json.loads(
            self._source.attributes("configuration").get("json", "{}")
        )
        self.provenance = self._source.attributes("provenance")
        self.brain = self._source.attributes("brain")
        self.result = self._source.attributes("result")
        self.experiment = self._source.attributes("experiment")
        self._coords = {
            name: _Scale(f"{self.path}: {name}", scale)
            for name, scale in self._source.scales().items()
        }

    @property
    def coordinates(self) -> dict[str, LabelledArray]:
        """Every dimension with what its places mean, in units."""
        return {name: scale.labelled(name) for name, scale in self._coords.items()}

    def __getitem__(self, name: str) -> LabelledArray:
        if not self._source.has(name):
            raise KeyError(f"{self.path} has no variable {name!r}; it has {sorted(self._names())}")
        with damage_named(f"{self.path}: {name}"):
            stored = self._source.variable(name)
            coords = _Coordinates({d: self._coords[d] for d in stored.dims})
            about = stored.units, stored.long_name
            return LabelledArray(name, stored.data, stored.dims, coords, *about)

    def attributes(self, group: str) -> dict[str, Any]:
        """Attributes of any group, empty if there is none; "" is the root."""
        with damage_named(str(self.path)):
            return self._source.attributes(group)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        lines = [f"<Trajectory {self.path} {self.status!r}>"]
        lines += [f"  {self[name]!r}" for name in self]
        return "\n".join(lines)

    def to_xarray(self, names: Iterable[str] | None = None) -> xarray.Dataset:
        """All that is in the file, or the chosen variables, as an ``xarray.Dataset`` in memory.

        Variables keep dimensions, coordinates, ``units`` and, as ``long_name``, descriptions;
        attributes are called ``group.name``. ``state_*``, a brain for streams, is left out unless
        it is named.

        Raises
        ------
        ImportError
            If xarray is not installed; it comes with the extra ``analysis``.
        """
        try:
            import xarray  # noqa: F401  (asked for first: the error is to name it alone)
        except ImportError as error:
            raise ImportError(
                "to_xarray() needs xarray: pip install 'neurolp[analysis]', or xarray itself"
            ) from error
        from neurolp.storage.xarray_backend import to_dataset

        return to_dataset(self, names)

    def _names(self) -> list[str]:
        return self._source.names()

    def close(self) -> None:
        """Close the file; labelled arrays not yet read become unreadable."""
        self._source.close()

    def __enter__(self) -> Trajectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Open a trajectory file for reading, or a run that is to become it.

    While a run goes on, and after it was killed, there is no such file yet. What is read then is
    everything up to the last time it was saved; ``status`` is ``"running"`` or ``"unfinished"``.

    Raises
    ------
    FormatError
        If there is no such file, it is not a neurolp trajectory, is damaged, or has a format
        version that this release does not read.
    """
    return Trajectory(path)


class _Scale:
    """Coordinates along one dimension; read when asked for where they are many, as of a stream."""

    def __init__(self, name: str, dataset: Any) -> None:
        self._name, self._dataset = name, dataset
        self._values: Array | None = None
        if dataset.size <= _FEW:
            self.values()

    def values(self) -> Array:
        if self._values is None:
            self._values = self.part(slice(None))
        return self._values

    def labelled(self, name: str) -> LabelledArray:
        with damage_named(self._name):
            about = self._dataset.attrs["units"], self._dataset.attrs["long_name"]
        return LabelledArray(name, self._dataset, (name,), _Coordinates({name: self}), *about)

    def part(self, key: Any) -> Array:
        if self._values is not None:
            return np.asarray(self._values[key])
        with damage_named(self._name, OSError):
            values = np.asarray(self._dataset[key])
        return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


class _Coordinates(Mapping[str, Array]):
    """Coordinates of a variable by dimension."""

    def __init__(self, scales: dict[str, _Scale]) -> None:
        self._scales = scales

    def __getitem__(self, dim: str) -> Array:
        return self._scales[dim].values()

    def __iter__(self) -> Iterator[str]:
        return iter(self._scales)

    def __len__(self) -> int:
        return len(self._scales)

    def part(self, dim: str, key: Any) -> Array:
        return self._scales[dim].part(key)


def _source(path: Path) -> Source:
    """The file, or what a run has of it; one that is finished while we look is a file then."""
    file = segments.file_of(path)
    if path.is_file():
        return FileSource(path)
    if segments.folder_of(file).is_dir():
        try:
            return RunSource(file)
        except FileNotFoundError:
            if not file.is_file():
                raise FormatError(f"{file}: the run was given up while it was read") from None
        except FormatError:
            if not file.is_file():
                raise
    return FileSource(file if file.is_file() else path)
