"""Stored variables as lazy xarray objects: values are read from the file when they are used.

Imported only where such an object is wanted: xarray takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray
from xarray.backends import BackendArray
from xarray.core import indexing

from neurolp.storage.source import Stored

_FEW = 2**16  # places along a dimension whose coordinates are read at once, to be searched


class _Lazy(BackendArray):
    def __init__(self, stored: Stored) -> None:
        self._stored, self.shape, self.dtype = stored, stored.shape, stored.dtype

    def __deepcopy__(self, memo: object) -> _Lazy:
        return self  # an open file has no copy; its values do not change

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return np.asarray(
            indexing.explicit_indexing_adapter(
                key, self.shape, support, lambda at: self._stored[at]
            )
        )


def data_array(
    name: str, stored: Stored, coordinate: Callable[[str], Stored | None]
) -> xarray.DataArray:
    """A variable with the coordinates of its dimensions."""
    known = {dim: found for dim in stored.dims if (found := coordinate(dim)) is not None}
    return xarray.DataArray(_variable(stored), coords=_coordinates(known), name=name)


def dataset(
    variables: Mapping[str, Stored], coordinates: Mapping[str, Stored], attributes: dict[str, Any]
) -> xarray.Dataset:
    """Variables with their coordinates."""
    data = {name: _variable(stored) for name, stored in variables.items()}
    return xarray.Dataset(data, _coordinates(coordinates), attributes)


def _variable(stored: Stored) -> xarray.Variable:
    about = {"units": stored.units, "long_name": stored.long_name}
    return xarray.Variable(stored.dims, indexing.LazilyIndexedArray(_Lazy(stored)), about)


def _coordinates(stored: Mapping[str, Stored]) -> xarray.Coordinates:
    """Coordinates; those with at most ``_FEW`` values are read at once, so that ``sel`` works."""
    few = {name: _variable(c) for name, c in stored.items() if c.shape[0] <= _FEW}
    many = {name: _variable(c) for name, c in stored.items() if name not in few}
    return xarray.Coordinates(few).assign(xarray.Coordinates(many, indexes={}))
