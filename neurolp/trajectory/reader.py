"""Read a trajectory file: lazily, as labelled arrays."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from neurolp.errors import FormatError
from neurolp.trajectory.format import FORMAT_NAME, FORMAT_VERSION

Array = npt.NDArray[Any]

_FEW = 2**16
_DAMAGE = (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError)


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
        description: str,
    ) -> None:
        self.name, self.dims, self.coords = name, dims, coords
        self.units, self.description = units, description
        self._data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return tuple(self._data.shape)

    @property
    def values(self) -> Array:
        """All values, read from the file."""
        with _damage_named(self.name, OSError):
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
        with _damage_named(self.name, OSError):
            data = np.asarray(self._data[keys])
        dims = tuple(
            d for d, k in zip(self.dims, keys, strict=True) if not isinstance(k, (int, np.integer))
        )
        part = self.coords.part if isinstance(self.coords, _Coordinates) else self._part
        coords = {d: part(d, k) for d, k in zip(self.dims, keys, strict=True) if d in dims}
        return LabelledArray(self.name, data, dims, coords, self.units, self.description)

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
        return f"<{self.name} ({sizes}) [{self.units}] {self.description}>"


class Trajectory(Mapping[str, LabelledArray]):
    """An open trajectory file: a mapping from variable names to labelled arrays.

    ``configuration``, ``provenance``, ``brain``, ``result`` and ``experiment`` are dictionaries of
    its attributes.
    Use it as a context manager, or call :meth:`close`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            with _damage_named(str(self.path)):
                self._read_attributes()
        except FormatError:
            self._file.close()
            raise

    def _read_attributes(self) -> None:
        attributes = self._file.attrs
        self.status: str = attributes.get("status", "")
        self.title: str = attributes.get("title", "")
        self.configuration: dict[str, Any] = json.loads(
            self._group("configuration").get("json", "{}")
        )
        self.provenance = self._group("provenance")
        self.brain = self._group("brain")
        self.result = self._group("result")
        self.experiment = self._group("experiment")
        scales = self._file.get("coordinates", {})
        self._coords = {
            name: _Scale(f"{self.path}: {name}", scale) for name, scale in scales.items()
        }

    def _group(self, name: str) -> dict[str, Any]:
        if name not in self._file:
            return {}
        plain = {}
        for key, value in self._file[name].attrs.items():
            plain[key] = value.item() if isinstance(value, np.generic) else value
        return plain

    def __getitem__(self, name: str) -> LabelledArray:
        if not self._has(name):
            raise KeyError(f"{self.path} has no variable {name!r}; it has {sorted(self._names())}")
        with _damage_named(f"{self.path}: {name}"):
            dataset = self._file[name]
            dims = tuple(d.label for d in dataset.dims)
            coords = _Coordinates({d: self._coords[d] for d in dims})
            about = dataset.attrs["units"], dataset.attrs["description"]
            return LabelledArray(name, dataset, dims, coords, *about)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        lines = [f"<Trajectory {self.path} {self.status!r}>"]
        lines += [f"  {self[name]!r}" for name in self]
        return "\n".join(lines)

    def _has(self, name: str) -> bool:
        # Without looking at all the others, which in a file of many costs milliseconds.
        with _damage_named(str(self.path)):
            return "/" not in name and self._file.get(name, getclass=True) is h5py.Dataset

    def _names(self) -> list[str]:
        with _damage_named(str(self.path)):
            return [name for name, item in self._file.items() if isinstance(item, h5py.Dataset)]

    def close(self) -> None:
        """Close the file; labelled arrays not yet read become unreadable."""
        self._file.close()

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
    """Open a trajectory file for reading.

    Raises
    ------
    FormatError
        If there is no such file, it is not a neurolp trajectory, is damaged, or has a format
        version that this release does not read.
    """
    return Trajectory(path)


@contextlib.contextmanager
def _damage_named(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn what h5py raises for damaged files (all ``_DAMAGE`` by default) into a named error."""
    caught = kinds or _DAMAGE
    try:
        yield
    except caught as error:
        if isinstance(error, FormatError):
            raise
        reason = " ".join(str(error).strip("'").split()) or type(error).__name__
        raise FormatError(f"{what}: damaged, {reason}") from error


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

    def part(self, key: Any) -> Array:
        if self._values is not None:
            return np.asarray(self._values[key])
        with _damage_named(self._name, OSError):
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


def _open(path: Path) -> Any:
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FormatError(f"{path}: not a readable HDF5 file, or truncated") from error
    with _damage_named(str(path)):
        name, version = file.attrs.get("format"), file.attrs.get("format_version")
    if name != FORMAT_NAME:
        file.close()
        raise FormatError(f"{path}: an HDF5 file, but not a {FORMAT_NAME}")
    if not isinstance(version, (int, np.integer)):
        file.close()
        raise FormatError(f"{path}: damaged, it has no format version")
    if version != FORMAT_VERSION:
        file.close()
        newer = "too new" if version > FORMAT_VERSION else "too old"
        raise FormatError(
            f"{path}: format version {version} is {newer}, this release reads {FORMAT_VERSION}"
        )
    return file
