"""Named arrays: what models are turned into for a file, and made of again; no file is known here.

``to_arrays`` of a class returns :class:`NamedArrays`; its ``from_arrays`` accepts any
:class:`ArraySource`, such as named arrays in memory or an open file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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


@dataclass
class NamedArrays:
    """Variables by name, and attributes: everything that goes into one file.

    ``coordinates`` maps a dimension's name to its one-dimensional variable; ``attributes`` maps a
    group's name ("" for the root) to its scalar attributes.
    """

    variables: dict[str, Variable] = field(default_factory=dict)
    coordinates: dict[str, Variable] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_coordinate(self, name: str, values: Any, units: str, long_name: str) -> None:
        """Describe the dimension ``name``."""
        self.coordinates[name] = Variable((name,), np.asarray(values), units, long_name)

    def add(
        self, name: str, dims: tuple[str, ...], values: Any, units: str, long_name: str
    ) -> None:
        """Add one variable."""
        self.variables[name] = Variable(dims, np.asarray(values), units, long_name)

    def add_state(self, name: str, values: Any, long_name: str) -> None:
        """Add an array that is for going on, not for looking at: one scale for each length."""
        array = np.asarray(values)
        dims = []
        for axis, length in enumerate(array.shape):
            twice = length in array.shape[:axis]
            dim = f"index_{length}_{axis}" if twice else f"index_{length}"
            self.add_coordinate(dim, np.arange(length), "1", "index")
            dims.append(dim)
        self.add(name, tuple(dims), array, "1", long_name)
