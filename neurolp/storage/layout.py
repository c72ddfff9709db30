"""Write named arrays into an open HDF5 file: data sets, dimensions, attributes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays, Variable
from neurolp.storage.format import FORMAT_NAME, FORMAT_VERSION

Array = npt.NDArray[Any]

# The checksum turns a flipped bit into a read error; it needs chunks, which need elements.
FILTERS = {"compression": "gzip", "compression_opts": 1, "fletcher32": True}
# What is soon to be replaced by the next one: half the time.
UNCOMPRESSED = {"fletcher32": True}
_SAMPLE = 2**16  # bytes that are compressed to see what comes of it
_WORTH = 1 / 3  # of the size: to save less takes more time than it is worth, as of weights


def lay_out(file: Any, contents: NamedArrays, filters: Mapping[str, Any] = FILTERS) -> None:
    """Write ``contents`` into an empty file; its dimensions may also be scales there already."""
    lay_out_attributes(file, contents.attributes)
    for name, variable in contents.coordinates.items():
        _dataset(file, f"coordinates/{name}", variable, filters).make_scale(name)
    for name, variable in contents.variables.items():
        attach(file, _dataset(file, name, variable, filters), variable.dims)


def lay_out_attributes(file: Any, groups: dict[str, dict[str, Any]]) -> None:
    """Write what a file of ours says of itself, and groups of attributes ("" is the root)."""
    file.attrs["format"] = FORMAT_NAME
    file.attrs["format_version"] = FORMAT_VERSION
    for group, attributes in groups.items():
        where = file.require_group(group) if group else file
        for name, value in attributes.items():
            where.attrs[name] = value


def attach(file: Any, dataset: Any, dims: tuple[str, ...]) -> None:
    """Name the dimensions of a data set, with the scales that describe them."""
    for k, dim in enumerate(dims):
        dataset.dims[k].label = dim
        dataset.dims[k].attach_scale(file[f"coordinates/{dim}"])


def describe(dataset: Any, units: str, long_name: str) -> None:
    """Say what the values of a data set are."""
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name


def _dataset(file: Any, name: str, variable: Variable, filters: Mapping[str, Any]) -> Any:
    values = variable.values
    if values.dtype.kind == "U":
        encoded = np.char.encode(values, "utf-8")
        length = max(encoded.dtype.itemsize, 1)
        values = encoded.astype(h5py.string_dtype("utf-8", length))
    options = {**_worthwhile(values, filters), "chunks": True} if values.size else {}
    dataset = file.create_dataset(name, data=values, **options)
    describe(dataset, variable.units, variable.long_name)
    return dataset


def _worthwhile(values: Array, filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """``filters``, without compression where a sample of large ``values`` hardly shrinks."""
    if values.nbytes <= 4 * _SAMPLE:
        return filters
    n = _SAMPLE // values.itemsize
    sample = np.ascontiguousarray(values.reshape(-1)[(values.size - n) // 2 :][:n])
    if len(zlib.compress(sample.tobytes(), 1)) < _WORTH * sample.nbytes:
        return filters
    return {name: value for name, value in filters.items() if not name.startswith("compression")}
