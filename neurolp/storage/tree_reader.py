"""Reads trees of plain objects from the columns that they were written as."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.errors import FormatError
from neurolp.storage.classes import can_be_stored, class_of, made
from neurolp.storage.tree_writer import NUMBERS, OF_SPARSE, SPARSE, Parts, Spec

_MOST = 10**8  # values of a column: a file that wants more is damaged
_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "numpy_str": np.str_,
    "bytes": lambda text: text.encode("latin-1"),
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "dtype": np.dtype,
    "scalar_type": lambda text: np.dtype(text).type,
}


class TreeReader:
    """Decodes columns that :class:`neurolp.storage.tree_writer.TreeWriter` encoded."""

    def __init__(self, arrays: Mapping[str, Array], registries: Iterable[Parts]) -> None:
        self._arrays = arrays
        self._registries = {registry.argument: registry for registry in registries}

    def decode(self, spec: Spec, n: int) -> list[Any]:
        """The ``n`` values of a column."""
        if n > _MOST:
            raise ValueError(f"it has more than {_MOST} values")
        name = spec["kind"]
        if name in NUMBERS:
            return self._numbers(spec, n)
        if name in _FROM_JSON:
            return [_FROM_JSON[name](text) for text in _sized(spec["values"], n)]
        read: dict[str, Callable[[Spec, int], list[Any]]] = {
            "none": lambda spec, n: [None] * n, "repeated": self._repeated, "union": self._union,
            "tuple": self._sequences, "list": self._sequences, "dict": self._dictionaries,
            "array": self._array, "scalar": self._scalars, "sparse": self._sparse,
            "object": self._objects, "part": self._parts_of_users,
        }  # fmt: skip
        return read[name](spec, n)

    def _numbers(self, spec: Spec, n: int) -> list[Any]:
        given = spec["values"] if "values" in spec else self._arrays[spec["array"]].tolist()
        kind = NUMBERS[spec.get("kind", "int")]
        return [kind(value) for value in _sized(given, n)]

    def _integers(self, spec: Spec, n: int) -> list[int]:
        values = self._numbers(spec, n)
        if any(value < 0 for value in values):
            raise ValueError("a size or a place is negative")
        return values

    def _repeated(self, spec: Spec, n: int) -> list[Any]:
        distinct = self.decode(spec["of"], spec["n"])
        which = self._integers(spec["which"], n) if "which" in spec else [0] * n
        return [distinct[k] for k in which]

    def _union(self, spec: Spec, n: int) -> list[Any]:
        which = self._integers(spec["which"], n)
        parts = [iter(self.decode(of, which.count(k))) for k, of in enumerate(spec["of"])]
        return [next(parts[k]) for k in which]

    def _sequences(self, spec: Spec, n: int) -> list[Any]:
        lengths = self._integers(spec["lengths"], n)
        items = self.decode(spec["items"], sum(lengths))
        parts = _parts(items, lengths)
        return parts if spec["kind"] == "list" else [tuple(part) for part in parts]

    def _dictionaries(self, spec: Spec, n: int) -> list[Any]:
        if "fields" in spec:
            columns = {name: self.decode(of, n) for name, of in spec["fields"].items()}
            return [{name: column[k] for name, column in columns.items()} for k in range(n)]
        lengths = self._integers(spec["lengths"], n)
        keys, items = (self.decode(spec[name], sum(lengths)) for name in ("keys", "items"))
        pairs = zip(_parts(keys, lengths), _parts(items, lengths), strict=True)
        return [dict(zip(*pair, strict=True)) for pair in pairs]

    def _array(self, spec: Spec, n: int) -> list[Any]:
        dtype = np.dtype(spec["dtype"])
        shapes = self._shapes(spec, n)
        values: Iterable[Array]
        if "elements" in spec:
            sizes = [int(np.prod(shape)) for shape in shapes]
            elements = self.decode(spec["elements"], sum(sizes))
            values = (_filled(part, dtype) for part in _parts(elements, sizes))
        else:
            data = self._arrays[spec["array"]]
            if "shapes" in spec:
                ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
                if len(data) != ends[-1]:
                    raise ValueError("an array has another size than its parts")
                values = np.split(data, ends[:-1])
            else:
                values = [data] if n == 1 else [*_sized(data, n)]
                shapes = [np.shape(value) for value in values]
        out = [
            np.array(_of_type(value, dtype), order="C").reshape(shape)
            for value, shape in zip(values, shapes, strict=True)
        ]
        return [value.T for value in out] if spec.get("order") == "F" else out

    def _shapes(self, spec: Spec, n: int) -> list[tuple[int, ...]]:
        if "shapes" not in spec:
            return [tuple(spec.get("shape", ()))] * n
        ndim = int(spec["ndim"])
        flat = self._integers(spec["shapes"], n * ndim)
        return [tuple(flat[k * ndim : (k + 1) * ndim]) for k in range(n)]

    def _scalars(self, spec: Spec, n: int) -> list[Any]:
        return [value[()] for value in self.decode(spec["state"], n)]

    def _sparse(self, spec: Spec, n: int) -> list[Any]:
        kind = getattr(sparse, SPARSE[SPARSE.index(spec["class"])])
        out = []
        for state in self.decode(spec["state"], n):
            data, indices, indptr, shape = (state[name] for name in OF_SPARSE)
            matrix = kind((data, indices, indptr), shape=shape)
            matrix.check_format(full_check=True)
            out.append(matrix)
        return out

    def _objects(self, spec: Spec, n: int) -> list[Any]:
        kind = class_of(spec["class"])
        if not can_be_stored(kind):
            raise FormatError(f"the class '{spec['class']}' is not to be made from a file")
        return [made(kind, state) for state in self.decode(spec["state"], n)]

    def _parts_of_users(self, spec: Spec, n: int) -> list[Any]:
        registry = self._registries[spec["argument"]]
        return [registry.restore(described) for described in _sized(spec["values"], n)]


def _sized(values: Any, n: int) -> Any:
    """``values``, of which there must be ``n``."""
    if len(values) != n:
        raise ValueError(f"wanted {n} values, but found {len(values)}")
    return values


def _parts(items: list[Any], lengths: list[int]) -> list[list[Any]]:
    """So many items each, one part after another."""
    out, start = [], 0
    for length in lengths:
        out.append(items[start : start + length])
        start += length
    return out


def _filled(elements: list[Any], dtype: np.dtype[Any]) -> Array:
    """Texts or objects as an array (n,)."""
    out = np.empty(len(elements), dtype=object)
    for k, element in enumerate(elements):
        out[k] = element
    return out.astype(dtype)


def _of_type(values: Array, dtype: np.dtype[Any]) -> Array:
    """Stored numbers as numbers, or times, of a type."""
    return np.asarray(values).view(dtype) if dtype.kind in "Mm" else np.asarray(values, dtype)
