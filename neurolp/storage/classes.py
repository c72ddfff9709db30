"""Classes whose objects can be in files: their names, their contents, and how they are made again.

A file must not decide which code runs. A class is found only where it is defined, in this package,
and made by its own initialiser, or by its ``from_tree``.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from neurolp.errors import FormatError, OutputError

PACKAGE = __name__.partition(".")[0]


def class_path(kind: type) -> str:
    """The name of a class of this package in files.

    Raises
    ------
    OutputError
        If it is no class that :func:`class_of` finds.
    """
    path = f"{kind.__module__}:{kind.__qualname__}"
    try:
        class_of(path)
    except FormatError as error:
        raise OutputError(f"cannot save: {error}") from error
    return path


def class_of(path: str) -> type:
    """The class of this package that :func:`class_path` named.

    Raises
    ------
    FormatError
        If there is none. Nothing outside the package is imported, nothing is called.
    """
    module, _, name = str(path).partition(":")
    first, *rest = module.split(".")
    found: Any = None
    if first == PACKAGE and all(p.isidentifier() and p[0] != "_" for p in rest):
        try:
            found = vars(importlib.import_module(module)).get(name)
        except ImportError:
            found = None
    if not isinstance(found, type) or (found.__module__, found.__qualname__) != (module, name):
        raise FormatError(f"the class '{path}' is not one of {PACKAGE} in this release")
    return found


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _arguments(kind: Any) -> list[str]:
    """Fields that an initialiser takes; the others are made of them."""
    if _is_named_tuple(kind):
        return list(kind._fields)
    return [f.name for f in dataclasses.fields(kind) if f.init]


def can_be_stored(kind: type) -> bool:
    """Whether objects of a class can be in a file, if it belongs to this package."""
    return hasattr(kind, "from_tree") or dataclasses.is_dataclass(kind) or _is_named_tuple(kind)


def state_of(value: Any) -> dict[str, Any]:
    """What an object consists of, by name."""
    if hasattr(value, "to_tree"):
        state: dict[str, Any] = value.to_tree()
        return state
    if dataclasses.is_dataclass(value):
        return {name: getattr(value, name) for name in _arguments(type(value))}
    return dict(value._asdict())


def made(kind: Any, state: dict[str, Any]) -> Any:
    """The object of a class whose :func:`state_of` is ``state``.

    Raises
    ------
    FormatError
        If the class has other fields.
    """
    if hasattr(kind, "from_tree"):
        return kind.from_tree(state)
    if different := {*_arguments(kind)} ^ {*state}:
        raise FormatError(
            f"{kind.__name__} has other fields in this release: {', '.join(sorted(different))}"
        )
    return kind(**state)
