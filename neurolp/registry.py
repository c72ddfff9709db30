"""Named parts of a model: built-ins, parts of other packages (entry points), parts in files."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from neurolp.errors import ConfigurationError, FormatError, OutputError


class Registry:
    """The parts that can be given as argument ``argument``: by name, or as an object.

    ``built_in`` maps names to functions without arguments that make the part. A package adds a name
    by an entry point of the group ``neurolp.<argument>``, in its pyproject.toml:

        [project.entry-points."neurolp.rule"]
        hebbian = "my_package:HebbianRule"

    An object is accepted if it has the attributes ``asked``, which are what the engine uses.
    """

    def __init__(
        self, argument: str, built_in: dict[str, Callable[[], Any]], asked: Iterable[str]
    ) -> None:
        self.argument, self.asked = argument, tuple(asked)
        self._built_in = built_in

    @property
    def _added(self) -> dict[str, Any]:
        found = entry_points(group=f"neurolp.{self.argument}")
        return {entry.name: entry for entry in found if entry.name not in self._built_in}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first."""
        return (*self._built_in, *sorted(self._added))

    def resolve(self, part: Any) -> Any:
        """The part that a name stands for, or the object itself after a look at its attributes.

        Raises
        ------
        ConfigurationError
            If the name is unknown, or the object lacks an attribute.
        """
        if isinstance(part, str) and part in self._built_in:
            return self._built_in[part]()
        if isinstance(part, str) and part in self._added:
            loaded = self._added[part].load()
            part = loaded() if isinstance(loaded, type) else loaded
        missing = [name for name in self.asked if not hasattr(part, name)]
        if isinstance(part, str | type) or missing:
            lacks = f", which has no {', '.join(missing)}" if not isinstance(part, str) else ""
            raise ConfigurationError(
                f"argument `{self.argument}` must be {' or '.join(map(repr, self.names))} or an "
                f"object with {', '.join(self.asked)}, but is {part!r}{lacks}"
            )
        return part

    def describe(self, part: Any) -> Any:
        """A part for a file: a name as it is, an object as its import path and its fields, JSON.

        Raises
        ------
        OutputError
            If the object cannot be made again from that.
        """
        if part is None or isinstance(part, str):
            return part
        kind = type(part)
        names = [f.name for f in dataclasses.fields(part)] if dataclasses.is_dataclass(part) else []
        fields = {name: _plain(getattr(part, name)) for name in names or vars(part)}
        described = {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
        try:
            self.restore(json.loads(json.dumps(described)))
        except (TypeError, ValueError, FormatError) as error:
            raise OutputError(
                f"cannot save argument `{self.argument}` = {kind.__name__}: wanted a class that "
                "can be imported and whose fields are numbers, texts, lists or arrays, "
                f"but {error}"
            ) from error
        return described

    def restore(self, described: Any) -> Any:
        """The inverse of :meth:`describe`.

        A file must not decide which code runs: besides the modules of entry points, those of own
        classes have to be imported before, and a class that lacks what is asked is not called.

        Raises
        ------
        FormatError
            If the class is not known, or is of another kind.
        """
        if not isinstance(described, dict) or "class" not in described:
            return described
        fields = {name: _restored(value) for name, value in described["fields"].items()}
        kind = self._class_of(described["class"], fields)
        has_initialiser = dataclasses.is_dataclass(kind)
        if has_initialiser:
            return kind(**fields)
        part = object.__new__(kind)
        part.__dict__.update(fields)
        return part

    def _class_of(self, path: str, fields: dict[str, Any]) -> Any:
        for entry in self._added.values():
            if entry.value == path:
                return entry.load()
        module, _, name = path.partition(":")
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, type):
            raise FormatError(
                f"the class '{name}' of argument `{self.argument}` is not known: "
                f"import {module} first"
            )
        if missing := [a for a in self.asked if a not in fields and not hasattr(found, a)]:
            raise FormatError(
                f"the class '{name}' is not for argument `{self.argument}`: "
                f"it has no {', '.join(missing)}"
            )
        return found


def _plain(value: Any) -> Any:
    """A field for JSON, which knows neither arrays nor tuples."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, list | tuple):
        members = [_plain(member) for member in value]
        return members if isinstance(value, list) else {"tuple": members}
    return value.item() if isinstance(value, np.generic) else value


def _restored(value: Any) -> Any:
    """The inverse of :func:`_plain`."""
    if isinstance(value, list):
        return [_restored(member) for member in value]
    if isinstance(value, dict) and value.keys() == {"tuple"}:
        return tuple(_restored(member) for member in value["tuple"])
    if isinstance(value, dict) and value.keys() == {"array", "dtype"}:
        return np.array(value["array"], dtype=value["dtype"])
    return value
