"""Lazy reading of a trajectory file, or of the folder of an unfinished run, as xarray objects."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurolp.arrays import Array
from neurolp.errors import FormatError
from neurolp.storage import segments
from neurolp.storage.checksum import check
from neurolp.storage.source import FileSource, RunSource, Stored, damage_named

if TYPE_CHECKING:
    import xarray


class Trajectory(Mapping[str, "xarray.DataArray"]):
    """An open trajectory file: a mapping from names of variables to lazy ``xarray.DataArray``.

    ``trajectory["surprise"].sel(split="test").values`` reads only that part. Coordinates are
    found by name too, and :attr:`dataset` has everything. :meth:`read` gives a plain array.
    ``configuration``, ``provenance``, ``brain``, ``result`` and ``experiment`` are dictionaries.
    Use it as a context manager, or call :meth:`close`.

    A finished file is also opened by ``xarray.open_dataset(path)``.
    """

    def __init__(self, path: str | os.PathLike[str], *, whole: bool = False) -> None:
        """Open ``path``; ``whole`` verifies the checksum of the whole file first."""
        self.path = Path(path)
        self._source = _source(self.path, whole)
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

    def __getitem__(self, name: str) -> xarray.DataArray:
        from neurolp.storage.labelled import data_array

        return data_array(name, self.stored(name), self._coordinate)

    def read(self, name: str) -> Array:
        """All values of a variable or a coordinate; ``GROUP/NAME`` where it is in a group."""
        return self.stored(name)[()]

    def read_group(self, group: str) -> dict[str, Array]:
        """All values of all variables in a group, such as ``"state"``; none if there is none."""
        return {name: self.read(f"{group}/{name}") for name in self._source.names(group)}

    def attributes(self, group: str) -> dict[str, Any]:
        """Attributes of any group, empty if there is none; "" is the root."""
        return self._source.attributes(group)

    @property
    def groups(self) -> list[str]:
        """Names of the groups, of attributes or of variables."""
        return self._source.groups()

    def all_names(self) -> list[str]:
        """Names of all variables and coordinates, those in groups as ``GROUP/NAME``."""
        source = self._source
        in_groups = [f"{group}/{name}" for group in self.groups for name in source.names(group)]
        return [*source.coordinate_names(), *source.names(), *in_groups]

    @property
    def dataset(self) -> xarray.Dataset:
        """All variables but those in groups, with their coordinates; read when asked for."""
        from neurolp.storage.labelled import dataset

        variables = {name: self.stored(name) for name in self}
        coordinates = {name: self.stored(name) for name in self._source.coordinate_names()}
        return dataset(variables, coordinates, {"title": self.title, "status": self.status})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._source.has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._source.names())

    def __len__(self) -> int:
        return len(self._source.names())

    def __repr__(self) -> str:
        lines = [f"<Trajectory {self.path} {self.status!r}>"]
        for name in self:
            v = self.stored(name)
            sizes = ", ".join(f"{d}: {n}" for d, n in zip(v.dims, v.shape, strict=True))
            lines.append(f"  {name} ({sizes}) [{v.units}] {v.long_name}")
        return "\n".join(lines)

    def close(self) -> None:
        """Close the file; values that were not read before cannot be read any more."""
        self._source.close()

    def __enter__(self) -> Trajectory:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def stored(self, name: str) -> Stored:
        """A variable or a coordinate, as it is stored."""
        if not self._source.has(name):
            raise KeyError(f"{self.path} has no variable {name!r}; it has {sorted(self)}")
        return self._source.variable(name)

    def _coordinate(self, dim: str) -> Stored | None:
        return self._source.variable(dim) if self._source.has(dim) else None


def open_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Open a trajectory file, or an unfinished run, for reading.

    Of a run that has not finished, everything up to its last commit is read; ``status`` is
    ``"running"``, or ``"unfinished"`` after it was interrupted or killed.

    Raises
    ------
    FormatError
        If there is no such file, it is not a neurolp trajectory, is damaged, or has a format
        version that this release does not read.
    """
    return Trajectory(path)


def verify(path: str | os.PathLike[str]) -> int:
    """Number of files whose checksum was verified: one, or those in the folder of a run.

    Raises
    ------
    FormatError
        If one is damaged, has no checksum, or is not of a readable trajectory.
    """
    with Trajectory(path, whole=True) as trajectory:
        folder = segments.folder_of(segments.file_of(trajectory.path))
        is_file = trajectory.status not in ("running", "unfinished")
    files = [Path(path)] if is_file else sorted(folder.glob("*.h5"))
    for file in files:
        if not check(file):
            raise FormatError(f"{file}: has no checksum; another program changed or cut it")
    return len(files)


def _source(path: Path, whole: bool) -> FileSource | RunSource:
    """The file, or the folder of an unfinished run; a run may finish while this looks."""
    file = segments.file_of(path)
    if path.is_file():
        return FileSource(path, whole=whole)
    if segments.folder_of(file).is_dir():
        try:
            return RunSource(file, whole=whole)
        except FileNotFoundError:
            if not file.is_file():
                raise FormatError(f"{file}: the run was discarded while it was read") from None
        except FormatError:
            if not file.is_file():
                raise
    return FileSource(file if file.is_file() else path, whole=whole)
