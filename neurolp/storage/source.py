"""Sources of the arrays of a trajectory: one file, or the folder of an unfinished run."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurolp.arrays import Array
from neurolp.errors import FormatError
from neurolp.storage import segments
from neurolp.storage.checksum import check
from neurolp.storage.growing import Declared
from neurolp.storage.layout import DIMENSION_IDS, read_attributes
from neurolp.storage.lock import is_held

_DAMAGE = (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError)
_TRIES = 20  # to read the folder of a run, which may replace its checkpoint meanwhile


@dataclass(frozen=True)
class Stored:
    """A data set with its dimensions, units and long name; values are read when it is indexed.

    Texts are decoded. ``where`` names it in errors.
    """

    where: str
    data: Any
    dims: tuple[str, ...]
    units: str
    long_name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = self.data.dtype
        return np.dtype(f"U{dtype.itemsize}") if dtype.kind == "S" else dtype

    def __getitem__(self, key: Any) -> Array:
        with damage_named(self.where, OSError):
            values = np.asarray(self.data[key])
        if values.dtype.kind != "S":
            return values
        return np.char.decode(values, "utf-8").astype(self.dtype)


class FileSource:
    """One HDF5 file; ``whole`` verifies the checksum of the whole file first.

    Raises
    ------
    FormatError
        If it does not exist, is not a neurolp trajectory, or is damaged.
    """

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self.path = path
        if not path.is_file():
            what = "is a folder, not a trajectory file" if path.is_dir() else "no such file"
            raise FormatError(f"{path}: {what}")
        try:
            if whole:
                check(path)
            self.file = h5py.File(path, "r")
        except OSError as error:
            if isinstance(error, FormatError | FileNotFoundError):
                raise
            if not path.exists():  # a run replaced it since
                raise FileNotFoundError(path) from error
            raise FormatError(f"{path}: not a readable HDF5 file, or truncated") from error
        try:
            with damage_named(str(path)):
                segments.open_checked(path, self.file)
                self._dimensions = read_attributes(self.file)["dimensions"].split()
        except FormatError:
            self.file.close()
            raise

    def attributes(self, group: str) -> dict[str, Any]:
        """Attributes of a group, "" for the root, as plain values."""
        with damage_named(str(self.path)):
            if group and group not in self.file:
                return {}
            attributes = read_attributes(self.file[group] if group else self.file)
        if not group:
            del attributes["dimensions"]
        return attributes

    def names(self, group: str = "") -> list[str]:
        """Names of the variables in a group, without it; "" is the root."""
        with damage_named(str(self.path)):
            if group and group not in self.file:
                return []
            names = self._members(self.file[group] if group else self.file, h5py.Dataset)
        return names if group else [name for name in names if name not in self._dimensions]

    def coordinate_names(self) -> list[str]:
        """Dimensions that have values."""
        with damage_named(str(self.path)):
            return [name for name in self._dimensions if self._has_values(name)]

    def groups(self) -> list[str]:
        """Names of the groups."""
        with damage_named(str(self.path)):
            return self._members(self.file, h5py.Group)

    def has(self, name: str) -> bool:
        """Whether there is such a variable or coordinate."""
        # Without looking at all the others, which in a file of many costs milliseconds.
        with damage_named(str(self.path)):
            if name not in self.file or not isinstance(self.file[name], h5py.Dataset):
                return False
            return name not in self._dimensions or self._has_values(name)

    def variable(self, name: str) -> Stored:
        """A variable, ``GROUP/NAME`` where it is not in the root, or a coordinate."""
        where = f"{self.path}: {name}"
        with damage_named(where):
            dataset = self.file[name]
            about = read_attributes(dataset)
            dims = tuple(self._dimensions[k] for k in about.get(DIMENSION_IDS, ()))
            if len(dims) != dataset.ndim:
                raise ValueError(f"has {dataset.ndim} dimensions, but names of {len(dims)}")
            return Stored(where, dataset, dims, about["units"], about["long_name"])

    def growing(self) -> dict[str, tuple[Declared, int]]:
        """Declarations of the growing variables, and how many rows of each are in this file."""
        out = {}
        for name in [*self.names(), *self.coordinate_names()]:
            dataset = self.file[name]
            if dataset.maxshape and dataset.maxshape[0] is None:
                v = self.variable(name)
                declared = Declared(name, v.dims, v.shape[1:], v.dtype.str, v.units, v.long_name)
                out[name] = declared, len(dataset)
        return out

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @staticmethod
    def _members(group: Any, kind: type) -> list[str]:
        # Not by ``items()``, which skips what is damaged.
        return [name for name in group if isinstance(group[name], kind)]

    def _has_values(self, dim: str) -> bool:
        return dim in self.file and "units" in self.file[dim].attrs


class RunSource:
    """The folder of an unfinished run: everything up to the last commit, and the last checkpoint.

    ``whole`` verifies the checksums of its files first.

    Raises
    ------
    FormatError
        If there is none, or a part of it is damaged.
    """

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self.path, self.folder, self._whole = path, segments.folder_of(path), whole
        for tries_left in reversed(range(_TRIES)):
            self._static: list[FileSource] = []
            self._parts: dict[str, Joined] = {}
            self.declared: dict[str, Declared] = {}
            self._last: dict[str, dict[str, Any]] = {}
            self.n_segments, self.checkpoint = 0, 0  # the segment that has the last checkpoint
            try:
                self._look()
                return
            except OSError as error:
                self.close()
                if not isinstance(error, FileNotFoundError) or not tries_left:
                    raise
            except BaseException:
                self.close()
                raise

    @property
    def header(self) -> FileSource:
        """The segment with what does not grow."""
        return self._static[-1]

    def _look(self) -> None:
        self.n_segments = segments.n_segments(self.folder)
        if not self.n_segments:
            raise FormatError(f"{self.path}: no such file")
        run = None
        self._open_state()
        for n in range(self.n_segments):
            path = self.folder / segments.segment_name(n)
            segment = self._opened(path)
            if n == 0:
                self._static.append(segment)
                run = segment.attributes("")["run_id"]
            try:
                with damage_named(str(path)):
                    self._join(segment, n, run)
            finally:
                if n:
                    segment.close()

    def _open_state(self) -> None:
        """Open the last checkpoint first: a running run soon removes it."""
        for n in range(self.n_segments - 1, 0, -1):
            segment = self._opened(self.folder / segments.segment_name(n))
            committed = segment.attributes("").get("checkpoint")
            segment.close()
            if committed:
                self._static.append(self._opened(self.folder / segments.state_name(n)))
                self.checkpoint = n
                return

    def _join(self, segment: FileSource, n: int, run: Any) -> None:
        root = segment.attributes("")
        if root["run_id"] != run:
            raise FormatError(f"{segment.path}: belongs to another run")
        if n:
            self._last = {group: segment.attributes(group) for group in segment.groups()}
        for name, (declared, rows) in segment.growing().items():
            self.declared[name] = declared
            joined = self._parts.setdefault(name, Joined(declared))
            joined.add(segment.path, rows)

    def attributes(self, group: str) -> dict[str, Any]:
        """Attributes of a group: those of the header, and what was committed last."""
        out = self.header.attributes(group)
        for source in self._static[:-1]:
            if group:
                out |= source.attributes(group)
        if not group:
            lock = self.folder / segments.LOCK
            out["status"] = "running" if is_held(lock) else "unfinished"
        return out | self._last.get(group, {})

    def names(self, group: str = "") -> list[str]:
        """Names of the variables in a group."""
        return sorted({name for source in self._static for name in source.names(group)})

    def coordinate_names(self) -> list[str]:
        """Dimensions that have values."""
        return sorted({name for source in self._static for name in source.coordinate_names()})

    def groups(self) -> list[str]:
        """Names of the groups."""
        return sorted({name for source in self._static for name in source.groups()})

    def has(self, name: str) -> bool:
        """Whether there is such a variable or coordinate."""
        return name in self.declared or any(source.has(name) for source in self._static)

    def variable(self, name: str) -> Stored:
        """A variable or a coordinate."""
        if name in self.declared:
            about = self.declared[name]
            where = f"{self.path}: {name}"
            return Stored(where, self._parts[name], about.dims, about.units, about.long_name)
        return next(source for source in self._static if source.has(name)).variable(name)

    def close(self) -> None:
        """Close all files."""
        for source in self._static:
            source.close()

    def _opened(self, path: Path) -> FileSource:
        if not path.exists():
            raise FileNotFoundError(path)
        return FileSource(path, whole=self._whole)


@dataclass
class Joined:
    """The rows of a variable in all segments; a segment is opened when rows of it are read."""

    declared: Declared
    ends: list[int] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of each."""
        return (self.ends[-1] if self.ends else 0, *self.declared.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(self.declared.dtype)

    def add(self, path: Path, rows: int) -> None:
        """Add the rows of a segment."""
        self.ends.append(self.shape[0] + rows)
        self.paths.append(path)

    def __getitem__(self, key: Any) -> Array:
        first, *rest = (key or (slice(None),)) if isinstance(key, tuple) else (key,)
        at = np.arange(self.shape[0])[first]
        low, high = (int(at.min()), int(at.max()) + 1) if at.size else (0, 0)
        rows = self._rows(low, high)[at - low]
        return np.asarray(rows[(*[slice(None)] * np.ndim(at), *rest)])

    def _rows(self, start: int, stop: int) -> Array:
        parts = [np.empty((0, *self.declared.shape), np.dtype(self.declared.dtype))]
        k = bisect.bisect_right(self.ends, start)
        while start < stop:
            before = self.ends[k - 1] if k else 0
            end = min(stop, self.ends[k])
            if end > start:
                part = slice(start - before, end - before)
                parts.append(self._read(self.paths[k], part, self.ends[k] - before))
            start, k = max(start, end), k + 1
        return np.concatenate(parts)

    def _read(self, path: Path, part: slice, n_rows: int) -> Array:
        with damage_named(str(path), OSError):
            try:
                with h5py.File(path, "r") as file:
                    dataset = file[self.declared.name]
                    if len(dataset) == n_rows:
                        return np.asarray(dataset[part])
            except OSError:
                if path.exists():
                    raise
            raise FormatError(f"{path}: the run was finished or taken up again; open it anew")


@contextlib.contextmanager
def damage_named(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn what h5py raises for damaged files (all ``_DAMAGE`` by default) into a named error."""
    caught = kinds or _DAMAGE
    try:
        yield
    except caught as error:
        if isinstance(error, FormatError):
            raise
        reason = " ".join(str(error).strip("'").split()) or type(error).__name__
        raise FormatError(f"{what}: damaged, {reason}") from error
