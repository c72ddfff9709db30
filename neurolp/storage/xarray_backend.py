"""Trajectories for xarray: all that a file says, as a ``Dataset``. Needs the extra ``analysis``.

Imported only where xarray is asked for; ``xarray.open_dataset(path, engine="neurolp")`` finds it
by its entry point.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import xarray
from xarray.backends import BackendEntrypoint

from neurolp.errors import FormatError
from neurolp.storage.reader import LabelledArray, Trajectory, open_trajectory

# Of a brain for streams: for going on, not for looking at.
_STATE = "state_"
_GROUPS = ("provenance", "brain", "result", "experiment")


def to_dataset(trajectory: Trajectory, names: Iterable[str] | None = None) -> xarray.Dataset:
    """Read ``names``, by default all variables but ``state_*``, into memory.

    Attributes of groups become ``group.name``, the configuration stays JSON. xarray wants the names
    of dimensions to differ within a variable: the second ``node`` of one becomes ``node_2``.
    """
    chosen = [n for n in trajectory if not n.startswith(_STATE)] if names is None else list(names)
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for name in chosen:
        variable = trajectory[name]
        dims = _distinct(variable.dims)
        for dim, original in zip(dims, variable.dims, strict=True):
            if dim not in coordinates:
                scale = trajectory.coordinates[original]
                coordinates[dim] = ((dim,), scale.values, _about(scale))
        variables[name] = (dims, variable.values, _about(variable))
    attributes: dict[str, Any] = {
        "title": trajectory.title,
        "status": trajectory.status,
        "configuration": json.dumps(trajectory.configuration),
    }
    for group in _GROUPS:
        attributes |= {f"{group}.{k}": v for k, v in getattr(trajectory, group).items()}
    return xarray.Dataset(variables, coordinates, attributes)


class NeurolpBackend(BackendEntrypoint):
    """``xarray.open_dataset(path, engine="neurolp")``."""

    long_name = "Trajectories of neurolp"
    open_dataset_parameters = ("filename_or_obj", "drop_variables")

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None
    ) -> xarray.Dataset:
        """Read a file into memory."""
        dropped = {drop_variables} if isinstance(drop_variables, str) else {*(drop_variables or ())}
        with open_trajectory(filename_or_obj) as file:
            names = [n for n in file if not n.startswith(_STATE) and n not in dropped]
            return to_dataset(file, names)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is a trajectory."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        try:
            with open_trajectory(filename_or_obj):
                return True
        except FormatError:
            return False


def _distinct(dims: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        dim if not (before := dims[:k].count(dim)) else f"{dim}_{before + 1}"
        for k, dim in enumerate(dims)
    )


def _about(variable: LabelledArray) -> dict[str, str]:
    return {"units": variable.units, "long_name": variable.long_name}
