"""Named arrays: what is to be in a file, however it is stored.

``to_arrays`` of a model returns :class:`NamedArrays`, or plain arrays by name; ``from_arrays``
makes the model of them again, from any :class:`ArraySource`, such as an open file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def not_finite(values: Any) -> str | None:
    """The first number that is not finite, ``"NaN at [3, 4]"``, of an array or a sparse matrix.

    None if all are finite.
    """
    entries = values.tocoo() if hasattr(values, "tocoo") else None  # SciPy takes long to import
    data = values if entries is None else entries.data
    wrong = np.argwhere(~np.isfinite(data))
    if not len(wrong):
        return None
    first = tuple(wrong[0])
    at = first if entries is None else (entries.row[first], entries.col[first])
    return f"{'NaN' if np.isnan(data[first]) else 'infinity'} at [{', '.join(map(str, at))}]"


class ArraySource(Protocol):
    """Arrays and attributes that can be read."""

    def __contains__(self, name: object) -> bool:
        """Whether there is an array of this name."""

    def read(self, name: str) -> Array:
        """An array."""

    def read_group(self, group: str) -> dict[str, Array]:
        """All arrays of a group by name; none if there is none."""

    def attributes(self, group: str) -> dict[str, Any]:
        """Attributes of a group; none if there is none."""


@dataclass(frozen=True)
class Variable:
    """An array with a name for each dimension, its units, and a line that says what it is."""

    dims: tuple[str, ...]
    values: Array
    units: str
    long_name: str

    def __post_init__(self) -> None:
        if np.ndim(self.values) != len(self.dims):
            raise ValueError(f"variable has dims {self.dims} but shape {np.shape(self.values)}")
        if len({*self.dims}) < len(self.dims):
            raise ValueError(f"variable has dims {self.dims}, two of which have the same name")


@dataclass
class NamedArrays:
    """Variables by name, and attributes: everything that goes into one file.

    ``coordinates`` maps a dimension's name to its one-dimensional variable; ``attributes`` maps a
    group's name ("" for the root) to its scalar attributes.
    """

    variables: dict[str, Variable] = field(default_factory=dict)
    coordinates: dict[str, Variable] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        coordinates: Mapping[str, tuple[Any, str, str]],
        variables: Mapping[str, tuple[str, Any, str, str]],
    ) -> NamedArrays:
        """Arrays from two tables.

        A coordinate is ``name: (values, units, long_name)``, a variable
        ``name: ("first_dim second_dim", values, units, long_name)``.
        """
        out = cls()
        for name, coordinate in coordinates.items():
            out.add_coordinate(name, *coordinate)
        for name, (dims, *variable) in variables.items():
            out.add(name, tuple(dims.split()), *variable)
        return out

    def update(self, other: NamedArrays) -> None:
        """Add everything of ``other``, which replaces what has the same name."""
        self.variables |= other.variables
        self.coordinates |= other.coordinates
        for group, attributes in other.attributes.items():
            self.attributes[group] = self.attributes.get(group, {}) | attributes

    def add_coordinate(self, name: str, values: Any, units: str, long_name: str) -> None:
        """Describe the dimension ``name``."""
        self.coordinates[name] = Variable((name,), np.asarray(values), units, long_name)

    def add(
        self, name: str, dims: tuple[str, ...], values: Any, units: str, long_name: str
    ) -> None:
        """Add one variable."""
        self.variables[name] = Variable(dims, np.asarray(values), units, long_name)

    def add_all(
        self,
        arrays: Mapping[str, Array],
        variables: Mapping[str, tuple[str, str, str]],
        dimensions: Mapping[str, tuple[int, str, str]],
    ) -> None:
        """Add those arrays that are in a table, with counting coordinates.

        ``variables`` maps a name to ("first_dim second_dim", units, long_name), ``dimensions`` that
        of a dimension to (first value, units, long_name).
        """
        for name, (dims, units, long_name) in variables.items():
            if name not in arrays:
                continue
            self.add(name, tuple(dims.split()), arrays[name], units, long_name)
            for dim, length in zip(dims.split(), np.shape(arrays[name]), strict=True):
                if dim in dimensions:
                    first, *about = dimensions[dim]
                    self.add_coordinate(dim, first + np.arange(length), *about)

    def add_group(self, group: str, arrays: Mapping[str, Array], long_name: str) -> None:
        """Add arrays as ``GROUP/NAME``: for going on, not for looking at.

        Their dimensions have names, one for each length, but no coordinates.
        """
        for name, values in arrays.items():
            dims: list[str] = []
            for length in np.shape(values):
                dim = f"index_{length}"
                dims.append(dim if dim not in dims else f"{dim}_{len(dims)}")
            self.add(f"{group}/{name}", tuple(dims), values, "1", long_name)
