"""The trajectory format: what a file of ours looks like, independent of how it is written or read.

An HDF5 file with the root attributes ``format`` and ``format_version``; one data set per variable,
each with named dimensions (HDF5 dimension scales), ``units`` and ``description``; and groups
that carry attributes only (``configuration``, ``provenance``, ``brain``, ``result``).
The layout is described in docs/format.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FORMAT_NAME = "neurolp-trajectory"
# A new version is needed where an older reader would misunderstand a file, not where something is
# added. Each needs golden files, see tests/data/make_golden.py.
FORMAT_VERSION = 1  # as written
OLDEST_VERSION = 1  # that is read


@dataclass(frozen=True)
class Variable:
    """An array with a name for each dimension, its units and one line of description."""

    dims: tuple[str, ...]
    values: Array
    units: str
    description: str

    def __post_init__(self) -> None:
        if np.ndim(self.values) != len(self.dims):
            raise ValueError(f"variable has dims {self.dims} but shape {np.shape(self.values)}")


@dataclass
class Contents:
    """Everything that goes into one file.

    ``coordinates`` maps a dimension's name to its one-dimensional variable; ``attributes`` maps a
    group's name ("" for the root) to its scalar attributes.
    """

    variables: dict[str, Variable] = field(default_factory=dict)
    coordinates: dict[str, Variable] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_coordinate(self, name: str, values: Any, units: str, description: str) -> None:
        """Describe the dimension ``name``."""
        self.coordinates[name] = Variable((name,), np.asarray(values), units, description)

    def add(
        self, name: str, dims: tuple[str, ...], values: Any, units: str, description: str
    ) -> None:
        """Add one variable."""
        self.variables[name] = Variable(dims, np.asarray(values), units, description)

    def add_state(self, name: str, values: Any, description: str) -> None:
        """Add an array that is for going on, not for looking at: one scale for each length."""
        array = np.asarray(values)
        dims = []
        for axis, length in enumerate(array.shape):
            twice = length in array.shape[:axis]
            dim = f"index_{length}_{axis}" if twice else f"index_{length}"
            self.add_coordinate(dim, np.arange(length), "1", "index")
            dims.append(dim)
        self.add(name, tuple(dims), array, "1", description)
