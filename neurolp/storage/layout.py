"""Write named arrays into an open HDF5 file: data sets, dimensions, attributes.

HDF5 itself protects what is written: metadata of its formats since 1.10 have checksums, values have
fletcher32. What it would put in its unprotected global heap (texts of any length) or in huge
objects (long attributes among many others) is written in another way.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np

from neurolp.arrays import Array, NamedArrays, Variable
from neurolp.storage.format import FORMAT_NAME, FORMAT_VERSION

LIBVER = ("v110", "v110")
# The checksum turns a flipped bit into a read error; it needs chunks, which need elements.
FILTERS = {"compression": "gzip", "compression_opts": 1, "fletcher32": True}
# For checkpoints, which the next one soon replaces: half the time.
UNCOMPRESSED = {"fletcher32": True}
# Names that the netCDF library gives to the number of a dimension, and to those of a variable.
DIMENSION_ID, DIMENSION_IDS = "_Netcdf4Dimid", "_Netcdf4Coordinates"
_NO_VALUES = "This is a netCDF dimension but not a netCDF variable. {:10d}"
# The lists are in the unprotected heap, in which a flipped bit lets HDF5 search without end.
_OF_SCALES = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")
_SAMPLE = 2**16  # bytes that are compressed to estimate the gain
_WORTH = 0.7  # of the size: to save less, as of random numbers, is not worth the time
_CHUNK_BYTES = 2**16
_MAX_CHUNK_BYTES = 2**20
_LONGEST = 60_000  # bytes of an attribute; HDF5 protects no more than 64 KiB
_MANY = 60_000  # attributes of a group that HDF5 keeps together


def lay_out(
    file: Any,
    arrays: NamedArrays,
    filters: Mapping[str, Any] = FILTERS,
    *,
    growing: Mapping[str, tuple[str, ...]] | None = None,
    scales: bool = True,
) -> None:
    """Write ``arrays`` into a file that holds nothing but data sets that grow.

    Parameters
    ----------
    growing : mapping
        Dimensions of the data sets that are there already.
    scales : bool
        Whether dimensions become HDF5 dimension scales, for programs other than this one.
    """
    variables = arrays.coordinates | arrays.variables
    for name, variable in variables.items():
        _dataset(file, name, variable, filters)
    dims = {name: variable.dims for name, variable in variables.items()} | dict(growing or {})
    numbers = {dim: k for k, dim in enumerate(dict.fromkeys(d for v in dims.values() for d in v))}
    _attributes(file, arrays.attributes, numbers)
    for name, of_one in dims.items():
        if of_one:
            ids = np.array([numbers[dim] for dim in of_one], np.int32)
            file[name].attrs[DIMENSION_IDS] = ids
    if scales:
        _attach_scales(file, dims, numbers)


def chunks_of(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    """Chunk of rows of this shape: many where they are small, parts of one where they are huge."""
    trailing = [max(n, 1) for n in shape]
    row = item * int(np.prod(trailing, dtype=np.int64))
    while row > _MAX_CHUNK_BYTES:
        widest = int(np.argmax(trailing))
        row = row // trailing[widest] * -(-trailing[widest] // 2)
        trailing[widest] = -(-trailing[widest] // 2)
    return (max(1, min(_CHUNK_BYTES // row, 8192)), *trailing)


def describe(dataset: Any, units: str, long_name: str) -> None:
    """Write the units and the long name of a data set."""
    _text(dataset, "units", units)
    _text(dataset, "long_name", long_name)


def _attach_scales(
    file: Any, dims: Mapping[str, tuple[str, ...]], numbers: Mapping[str, int]
) -> None:
    lengths: dict[str, int] = {}
    for name, of_one in dims.items():
        lengths |= zip(of_one, file[name].shape, strict=True)
    for dim, number in numbers.items():
        if dim in file:
            file[dim].make_scale(dim)
        else:  # a length and a name, without values
            file.create_dataset(dim, (lengths[dim],), ">f4").make_scale(
                _NO_VALUES.format(lengths[dim])
            )
        file[dim].attrs[DIMENSION_ID] = np.int32(number)
    for name, of_one in dims.items():
        for k, dim in enumerate(of_one):
            if dim != name:
                file[name].dims[k].attach_scale(file[dim])


def _attributes(file: Any, groups: dict[str, dict[str, Any]], dims: Iterable[str]) -> None:
    about = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, "dimensions": " ".join(dims)}
    for name, attributes in (groups | {"": groups.get("", {}) | about}).items():
        group = _group(file, name) if name else file
        for key, value in attributes.items():
            if isinstance(value, str):
                _text(group, key, value)
            elif isinstance(value, np.ndarray) and value.dtype.kind == "U":
                group.attrs[key] = _encoded(value)
            else:
                group.attrs[key] = value


def _group(file: Any, name: str) -> Any:
    if name in file:
        return file[name]
    settings = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    settings.set_attr_phase_change(_MANY, _MANY)
    return h5py.Group(h5py.h5g.create(file.id, name.encode(), gcpl=settings))


def _text(item: Any, name: str, text: str) -> None:
    """Write an attribute of fixed length; a long one in parts NAME, NAME.1, NAME.2 ..."""
    encoded = text.encode()
    for k in range(max(1, -(-len(encoded) // _LONGEST))):
        part = encoded[k * _LONGEST :][:_LONGEST]
        dtype = h5py.string_dtype("utf-8", max(1, len(part)))
        item.attrs.create(f"{name}.{k}" if k else name, part, dtype=dtype)


def read_attributes(item: Any) -> dict[str, Any]:
    """Attributes of a data set or a group as plain values, but for those of dimension scales."""
    out: dict[str, Any] = {}
    parts: dict[str, dict[int, bytes]] = {}
    for key in item.attrs:
        if key in _OF_SCALES:
            continue
        value = item.attrs[key]
        if isinstance(value, np.bytes_):
            name, _, number = key.rpartition(".")
            name, k = (name, int(number)) if name and number.isdigit() else (key, 0)
            parts.setdefault(name, {})[k] = bytes(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "S":
            out[key] = np.char.decode(value, "utf-8")
        else:
            out[key] = value.item() if isinstance(value, np.generic) else value
    return out | {name: b"".join(p[k] for k in sorted(p)).decode() for name, p in parts.items()}


def _dataset(file: Any, name: str, variable: Variable, filters: Mapping[str, Any]) -> None:
    values = variable.values
    is_text = values.dtype.kind == "U"
    if is_text:
        values = _encoded(values)
    options: dict[str, Any] = {}
    if not values.ndim:
        options["dcpl"] = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options["dcpl"].set_layout(h5py.h5d.COMPACT)
    elif values.size:
        rows, *rest = chunks_of(values.shape[1:], values.itemsize)
        chunks = (min(rows, len(values)), *rest)
        options = {**_worthwhile(values, filters), "chunks": chunks}
    dataset = file.create_dataset(name, data=values, **options)
    describe(dataset, variable.units, variable.long_name)
    if is_text:
        _text(dataset, "_Encoding", "utf-8")


def _encoded(texts: Array) -> Array:
    encoded = np.char.encode(texts, "utf-8")
    # netCDF takes texts of one byte for characters.
    dtype = h5py.string_dtype("utf-8", max(encoded.dtype.itemsize, 2))
    return np.asarray(encoded.astype(dtype))


def _worthwhile(values: Array, filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """``filters``, without compression where a sample of large ``values`` hardly shrinks."""
    if values.nbytes <= 4 * _SAMPLE:
        return filters
    n = _SAMPLE // values.itemsize
    sample = np.ascontiguousarray(values.reshape(-1)[(values.size - n) // 2 :][:n])
    if len(zlib.compress(sample.tobytes(), 1)) < _WORTH * sample.nbytes:
        return filters
    return {name: value for name, value in filters.items() if not name.startswith("compression")}
