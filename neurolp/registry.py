"""Named parts of a model: built-ins, parts of other packages (entry points), parts in files."""

from __future__ import annotations

import dataclasses
import importlib
import json
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

    def is_built_in(self, part: Any) -> bool:
        """Whether it is the name of a built-in part."""
        return isinstance(part, str) and part in self._built_in

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
        path = f"{kind.__module__}:{kind.__qualname__}"
        fields = (
            {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
            if dataclasses.is_dataclass(part)
            else dict(vars(part))
        )
        try:
            fields = json.loads(json.dumps(fields, default=_plain))
            if "<locals>" in path:
                raise TypeError("its class is local to a function")
            if self.restore({"class": path, "fields": fields}) is None:
                raise TypeError("it cannot be made again")
        except (TypeError, ValueError, FormatError) as error:
            raise OutputError(
                f"cannot save argument `{self.argument}` = {kind.__name__}: wanted a class that "
                f"can be imported and whose fields are numbers, texts or lists, but {error}"
            ) from error
        return {"class": path, "fields": fields}

    def restore(self, described: Any) -> Any:
        """The inverse of :meth:`describe`; a class that lacks what is asked is not called.

        Raises
        ------
        FormatError
            If the class cannot be imported or is of another kind.
        """
        if not isinstance(described, dict) or "class" not in described:
            return described
        module, _, name = described["class"].partition(":")
        try:
            kind: Any = importlib.import_module(module)
            for part in name.split("."):
                kind = getattr(kind, part)
        except (ImportError, AttributeError) as error:
            raise FormatError(
                f"argument `{self.argument}` is {described['class']}, which cannot be imported here"
            ) from error
        methods = [a for a in self.asked if callable(getattr(kind, a, None))]
        if not isinstance(kind, type) or not methods:
            raise FormatError(f"{described['class']} is no class for argument `{self.argument}`")
        part = object.__new__(kind)
        for field, value in described["fields"].items():
            object.__setattr__(part, field, tuple(value) if isinstance(value, list) else value)
        return part


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays for JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"it has a field of type {type(value).__name__}")
