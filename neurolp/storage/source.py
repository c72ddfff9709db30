"""Where the arrays of a trajectory come from: one file, or the folder of a run that goes on."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from neurolp.errors import FormatError
from neurolp.storage import segments
from neurolp.storage.checksum import check
from neurolp.storage.growing import Declared
from neurolp.storage.lock import is_held

Array = npt.NDArray[Any]

_DAMAGE = (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError)
_TRIES = 20  # to look at a run that goes on: what it replaces meanwhile is not there any more


@dataclass(frozen=True)
class Stored:
    """A data set, or what looks like one, and what is said of it."""

    data: Any
    dims: tuple[str, ...]
    units: str
    long_name: str


class Source(Protocol):
    """What a trajectory reads from."""

    def attributes(self, group: str) -> dict[str, Any]:
        """Attributes of a group, "" for the root, as plain values."""

    def names(self) -> list[str]:
        """Names of the variables."""

    def has(self, name: str) -> bool:
        """Whether there is such a variable."""

    def variable(self, name: str) -> Stored:
        """A variable."""

    def scales(self) -> dict[str, Any]:
        """Data sets of coordinates by dimension."""

    def close(self) -> None:
        """Close all files."""


class FileSource:
    """One HDF5 file.

    Raises
    ------
    FormatError
        If it is not there, is not one of ours, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise FormatError(f"{path}: no such file")
        try:
            check(path)
            self.file = h5py.File(path, "r")
        except OSError as error:
            if isinstance(error, FormatError | FileNotFoundError):
                raise
            if not path.exists():  # it was removed since: a run goes on
                raise FileNotFoundError(path) from error
            raise FormatError(f"{path}: not a readable HDF5 file, or truncated") from error
        try:
            with damage_named(str(path)):
                segments.open_checked(path, self.file)
        except FormatError:
            self.file.close()
            raise

    def attributes(self, group: str) -> dict[str, Any]:
        """Attributes of a group."""
        if group and group not in self.file:
            return {}
        attributes = self.file[group].attrs if group else self.file.attrs
        return {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in attributes.items()
        }

    def names(self) -> list[str]:
        """Names of the variables."""
        with damage_named(str(self.path)):
            return [name for name, item in self.file.items() if isinstance(item, h5py.Dataset)]

    def has(self, name: str) -> bool:
        """Whether there is such a variable."""
        # Without looking at all the others, which in a file of many costs milliseconds.
        with damage_named(str(self.path)):
            return "/" not in name and self.file.get(name, getclass=True) is h5py.Dataset

    def variable(self, name: str) -> Stored:
        """A variable."""
        dataset = self.file[name]
        dims = tuple(d.label for d in dataset.dims)
        return Stored(dataset, dims, dataset.attrs["units"], dataset.attrs["long_name"])

    def scales(self) -> dict[str, Any]:
        """Data sets of coordinates by dimension."""
        return dict(self.file.get("coordinates", {}).items())

    def growing(self) -> dict[str, tuple[Declared, int]]:
        """What was declared to grow, and how many rows of it are here."""
        out = {}
        datasets = [(name, self.file[name]) for name in self.names()]
        for name, dataset in [*datasets, *self.scales().items()]:
            declared = segments.declared_in(dataset, name)
            if declared is not None:
                out[name] = declared, len(dataset)
        return out

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class RunSource:
    """The folder of a run: everything up to the last commit, with the brain as it was then.

    Raises
    ------
    FormatError
        If there is none, or a part of it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, segments.folder_of(path)
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
            segment = _opened(path)
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
        """Open the last checkpoint before all else: a run that goes on soon removes it."""
        for n in range(self.n_segments - 1, 0, -1):
            segment = _opened(self.folder / segments.segment_name(n))
            committed = segment.attributes("").get("checkpoint")
            segment.close()
            if committed:
                self._static.append(_opened(self.folder / segments.state_name(n)))
                self.checkpoint = n
                return

    def _join(self, segment: FileSource, n: int, run: Any) -> None:
        root = segment.attributes("")
        if root["run_id"] != run:
            raise FormatError(f"{segment.path}: belongs to another run")
        if n:
            self._last = {g: segment.attributes(g) for g in segment.file if _is_group(segment, g)}
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

    def names(self) -> list[str]:
        """Names of the variables."""
        static = {name for source in self._static for name in source.names()}
        growing = {name for name, d in self.declared.items() if not d.is_coordinate}
        return sorted(static | growing)

    def has(self, name: str) -> bool:
        """Whether there is such a variable."""
        return name in self.names()

    def variable(self, name: str) -> Stored:
        """A variable."""
        if name in self._parts and name in self.declared:
            declared = self.declared[name]
            return Stored(self._parts[name], declared.dims, declared.units, declared.long_name)
        source = next(s for s in self._static if name in s.file)
        return source.variable(name)

    def scales(self) -> dict[str, Any]:
        """Data sets of coordinates by dimension."""
        out: dict[str, Any] = {}
        for source in self._static:
            out |= source.scales()
        return out | {n: self._parts[n] for n, d in self.declared.items() if d.is_coordinate}

    def close(self) -> None:
        """Close all files."""
        for source in self._static:
            source.close()


@dataclass
class Joined:
    """The rows of a variable in all segments, which are opened when they are asked for."""

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

    @property
    def attrs(self) -> dict[str, str]:
        """What a data set says of itself."""
        return {"units": self.declared.units, "long_name": self.declared.long_name}

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def add(self, path: Path, rows: int) -> None:
        """Add the rows of a segment."""
        self.ends.append(self.shape[0] + rows)
        self.paths.append(path)

    def __getitem__(self, key: Any) -> Array:
        first, *rest = (key or (slice(None),)) if isinstance(key, tuple) else (key,)
        n = self.shape[0]
        if isinstance(first, int | np.integer):
            if not -n <= first < n:
                raise IndexError(f"row {first} of {self.declared.name}, which has {n}")
            at = int(first) % n if n else 0
            return np.asarray(self._rows(at, at + 1)[(0, *rest)])
        if isinstance(first, slice):
            chosen = range(n)[first]
            if not chosen:
                return np.asarray(self._rows(0, 0)[(slice(0, 0), *rest)])
            low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
            step = slice(None, None, first.step)
            return np.asarray(self._rows(low, high)[(step, *rest)])
        return np.asarray(self._rows(0, n)[(first, *rest)])

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
        try:
            with h5py.File(path, "r") as file:
                dataset = file[self.declared.where]
                if len(dataset) == n_rows:
                    return np.asarray(dataset[part])
        except FileNotFoundError:
            pass
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


def _opened(path: Path) -> FileSource:
    if not path.exists():
        raise FileNotFoundError(path)
    return FileSource(path)


def _is_group(source: FileSource, name: str) -> bool:
    return isinstance(source.file[name], h5py.Group) and name != "coordinates"
