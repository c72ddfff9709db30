"""Writes trees of plain objects as columns: arrays, and a description of them for JSON."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.errors import OutputError
from neurolp.storage.classes import PACKAGE, can_be_stored, class_path, state_of

STRUCTURE = "structure"
NUMBERS: dict[str, type] = {"bool": bool, "int": int, "float": float}
SPARSE = ("csr_array", "csr_matrix", "csc_array", "csc_matrix")
OF_SPARSE = ("data", "indices", "indptr", "shape")
# The names of exact types; a subclass is another type.
PLAIN: dict[type, str] = {
    type(None): "none", bool: "bool", int: "int", float: "float", str: "str", np.str_: "numpy_str",
    bytes: "bytes", datetime.date: "date", datetime.datetime: "datetime", tuple: "tuple",
    list: "list", dict: "dict",
}  # fmt: skip
_TO_JSON: dict[str, Callable[[Any], str]] = {
    "str": str,
    "numpy_str": str,
    "bytes": lambda value: value.decode("latin-1"),
    "date": lambda value: value.isoformat(),
    "datetime": lambda value: value.isoformat(),
    "dtype": lambda value: value.str,
    "scalar_type": lambda value: np.dtype(value).str,
}
_ALONE = {"none", *NUMBERS, *_TO_JSON}  # not worth being stored once
_FEW = 16  # numbers that stand in the description itself
_MUCH = 2**16  # bytes of an array that is worth being narrowed
_DEEPEST = 60  # levels of a tree: more are objects that refer to themselves
_NAME = re.compile(r"[^0-9A-Za-z_.]+")

Spec = dict[str, Any]


class Parts(Protocol):
    """A registry of users' parts, as :class:`neurolp.registry.Registry`."""

    argument: str
    asked: tuple[str, ...]

    def describe(self, part: Any) -> Any:
        """A part for a file, JSON."""

    def restore(self, described: Any) -> Any:
        """The inverse of ``describe``."""


class TreeWriter:
    """Encodes columns: values that stand at one place of a tree, or at that of many."""

    def __init__(self, registries: Iterable[Parts]) -> None:
        self.arrays: dict[str, Array] = {}
        self._registries = {registry.argument: registry for registry in registries}

    def encode(self, values: list[Any], path: str, depth: int) -> Spec:
        """Describe values, whose arrays get names that begin with ``path``."""
        if depth > _DEEPEST:
            raise OutputError(
                f"cannot save `{path[:60]}..`: it has more than {_DEEPEST} levels, "
                "or refers to itself"
            )
        distinct = {id(value): value for value in values}
        if len(distinct) < len(values) and not all(
            PLAIN.get(type(v)) in _ALONE for v in distinct.values()
        ):
            place = {key: k for k, key in enumerate(distinct)}
            of = self.encode(list(distinct.values()), path, depth + 1)
            spec = {"kind": "repeated", "of": of, "n": len(distinct)}
            if len(distinct) > 1:
                at = [place[id(value)] for value in values]
                spec["which"] = self._integers(at, path, "which")
            return spec
        kinds = [self._kind_of(value, path) for value in values]
        each = list(dict.fromkeys(kinds))
        if not each:
            return {"kind": "none"}
        if len(each) == 1:
            return self._encode_kind(each[0], values, path, depth)
        places = {kind: k for k, kind in enumerate(each)}
        which = [places[kind] for kind in kinds]
        parts = []
        for k, kind in enumerate(each):
            mine = [value for value, j in zip(values, which, strict=True) if j == k]
            parts.append(self._encode_kind(kind, mine, path, depth))
        return {"kind": "union", "which": self._integers(which, path, "which"), "of": parts}

    def _kind_of(self, value: Any, path: str) -> tuple[Any, ...]:
        """What values have in common that are encoded in one way: a name, and what it needs."""
        kind = type(value)
        found: tuple[Any, ...] | None = None
        if kind in PLAIN:
            found = (PLAIN[kind],)
        elif kind is np.ndarray and value.dtype.kind in "biufcMmUSO":
            is_transposed = value.flags.f_contiguous and not value.flags.c_contiguous
            found = "array", value.dtype.str, "F" if is_transposed else "C", value.ndim
        elif isinstance(value, np.generic) and value.dtype.kind in "biufcMm":
            found = "scalar", value.dtype.str
        elif isinstance(value, np.dtype):
            found = ("dtype",)
        elif isinstance(value, type):
            found = ("scalar_type",) if issubclass(value, np.generic) else None
        elif sparse.issparse(value) and kind.__name__ in SPARSE:
            found = "sparse", kind.__name__
        elif kind.__module__.partition(".")[0] == PACKAGE:
            found = ("object", class_path(kind)) if can_be_stored(kind) else None
        else:
            asked = ((r.argument, r.asked) for r in self._registries.values())
            fitting = [a for a, names in asked if all(hasattr(value, name) for name in names)]
            found = ("part", fitting[0]) if fitting else None
        if found is None:
            raise OutputError(
                f"cannot save `{path or 'it'}`: wanted numbers, texts, arrays, or objects of "
                f"{PACKAGE}, but it holds {kind.__module__}.{kind.__qualname__}"
            )
        return found

    def _encode_kind(self, kind: tuple[Any, ...], values: list[Any], path: str, depth: int) -> Spec:
        name, *about = kind
        if name in NUMBERS:
            spec = self._numbers(name, values, path)
        elif name in _TO_JSON:
            spec = {"values": [_TO_JSON[name](value) for value in values]}
        elif name == "part":
            describe = self._registries[about[0]].describe
            spec = {"argument": about[0], "values": [describe(value) for value in values]}
        elif name == "array":
            spec = self._array(about, values, path, depth)
        elif name == "none":
            spec = {}
        else:
            encode = {"tuple": self._sequences, "list": self._sequences,
                      "dict": self._dictionaries}  # fmt: skip
            spec = {"class": about[0]} if about and name != "scalar" else {}
            spec |= encode.get(name, self._states)(values, path, depth)
        return {"kind": name} | spec

    def _states(self, values: list[Any], path: str, depth: int) -> Spec:
        """Objects, sparse matrices and scalars, by what they consist of."""
        states = [_state_of(value) for value in values]
        return {"state": self.encode(states, path, depth + 1)}

    def _numbers(self, name: str, values: list[Any], path: str) -> Spec:
        integers = name == "int"
        if len(values) <= _FEW and (integers or np.all(np.isfinite(values))):
            return {"values": values}
        if integers and not all(-(2**63) <= value < 2**63 for value in values):
            return {"values": values}
        dtype = {"bool": np.bool_, "int": np.int64, "float": np.float64}[name]
        return {"array": self._add(path, np.array(values, dtype))}

    def _integers(self, values: list[int], path: str, what: str) -> Spec:
        return self._numbers("int", values, _joined(path, what))

    def _sequences(self, values: list[Any], path: str, depth: int) -> Spec:
        items = [item for value in values for item in value]
        return {
            "lengths": self._integers([len(value) for value in values], path, "lengths"),
            "items": self.encode(items, path, depth + 1),
        }

    def _dictionaries(self, values: list[Any], path: str, depth: int) -> Spec:
        keys = tuple(values[0])
        if all(isinstance(k, str) for k in keys) and all(tuple(v) == keys for v in values[1:]):
            columns = {k: [value[k] for value in values] for k in keys}
            fields = {k: self.encode(c, _joined(path, k), depth + 1) for k, c in columns.items()}
            return {"fields": fields}
        every = [key for value in values for key in value]
        items = [item for value in values for item in value.values()]
        return {
            "lengths": self._integers([len(value) for value in values], path, "lengths"),
            "keys": self.encode(every, _joined(path, "keys"), depth + 1),
            "items": self.encode(items, path, depth + 1),
        }

    def _array(self, about: Sequence[Any], values: list[Array], path: str, depth: int) -> Spec:
        dtype, order, _ = about
        spec: Spec = {"dtype": dtype}
        if order == "F":  # sums of products are rounded otherwise in another order
            spec["order"], values = "F", [value.T for value in values]
        shapes = [value.shape for value in values]
        same = len(set(shapes)) == 1
        if not same:
            flat = [n for shape in shapes for n in shape]
            spec["shapes"] = self._integers(flat, path, "shapes")
            spec["ndim"] = len(shapes[0])
        if np.dtype(dtype).kind in "USO":
            if same:
                spec["shape"] = shapes[0]
            elements = [element for value in values for element in value.ravel().tolist()]
            return spec | {"elements": self.encode(elements, path, depth + 1)}
        if np.dtype(dtype).kind in "Mm":  # a time is a number of its units
            values = [np.array(value, order="C").view(np.int64) for value in values]
        if len(values) == 1:
            return spec | {"array": self._add(path, np.array(values[0], order="C"))}
        joined = np.stack(values) if same else np.concatenate([v.ravel() for v in values])
        return spec | {"array": self._add(path, joined)}

    def _add(self, path: str, values: Array) -> str:
        plain = _NAME.sub("_", path)[:200].strip(".") or "value"
        values = _narrow(values) if values.nbytes > _MUCH else values
        name, k = plain, 1
        while name in self.arrays or name == STRUCTURE:
            name, k = f"{plain}_{k}", k + 1
        self.arrays[name] = values
        return name


def _narrow(values: Array) -> Array:
    """Numbers of double precision in single precision, where that is exact, as of many weights."""
    if values.dtype != np.float64:
        return values
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return single if np.array_equal(single, values) else values


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _state_of(value: Any) -> Any:
    if isinstance(value, np.generic):
        return np.asarray(value)
    if sparse.issparse(value):
        return {name: getattr(value, name) for name in OF_SPARSE}
    return state_of(value)
