"""Types of the parameters of estimators, with their ranges; checks against them.

The signature of an estimator is the one declaration of its parameters: names, defaults, and types
of this module. Estimators check their arguments against it, and the sections of configurations are
made from it. Parameters of type ``Any`` are checked where they are used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError

from neurolp.brain.base_density import BASES
from neurolp.brain.heads.head import HEADS
from neurolp.brain.parts import NODE_MAPS, RULES
from neurolp.errors import ConfigurationError
from neurolp.registry import Registry

Flag = StrictBool
Count = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
NonNegative = Annotated[float, Field(ge=0, strict=True)]
PositiveNumber = Annotated[float, Field(gt=0, strict=True)]
Number = Annotated[float, Field(strict=True)]
Strength = Annotated[float, Field(ge=0, le=1e6, strict=True)]
Intervals = Annotated[int, Field(ge=2, le=100, strict=True)]
SplineRange = Annotated[float, Field(ge=1e-3, le=1e3, strict=True)]
Duration = Annotated[float, Field(ge=1e-6, le=1e6, strict=True)]
Steps = Annotated[int, Field(ge=1, le=10_000, strict=True)]
Components = Annotated[int, Field(ge=1, le=1000, strict=True)]
Strengths = Annotated[Sequence[NonNegative], Field(min_length=1)]
Contamination = Annotated[float, Field(gt=0, le=0.5, strict=True)]
Constructions = (
    Literal["auto"]
    | Annotated[Sequence[Literal["brain", "triangular", "cells"]], Field(min_length=1)]
)
Precision = Literal["float64", "float32"]
UpdateOrder = Literal["random_halves", "sequential", "coloring"] | Sequence[Sequence[Count]]


@dataclass(frozen=True)
class PartOf:
    """Validator of a registered part, by name or as an object; printed, the names there are."""

    registry: Registry

    def __call__(self, part: Any) -> Any:
        """Return the part, if its name is registered or it has what the registry asks for."""
        if not isinstance(part, str | int | float | list | dict):
            self.registry.resolve(part)
        elif part not in self.registry.names:
            raise ValueError(f"must be {self}")
        return part

    def __str__(self) -> str:
        """Such as "'normal' or 'logistic'"."""
        return _either(map(repr, self.registry.names))


@dataclass(frozen=True)
class Condition:
    """Validator of what a type does not say; printed, what is wanted."""

    words: str
    holds: Callable[[Any], bool]

    def __call__(self, value: Any) -> Any:
        """Return the value, if the condition holds."""
        if not self.holds(value):
            raise ValueError(f"must be {self}")
        return value

    def __str__(self) -> str:
        return self.words


Rule = Annotated[Any, AfterValidator(PartOf(RULES))]
Map = Annotated[Any, AfterValidator(PartOf(NODE_MAPS))]
Base = Annotated[Any, AfterValidator(PartOf(BASES))]
Head = Annotated[Any, AfterValidator(PartOf(HEADS))]
TimeConstants = Annotated[
    tuple[PositiveNumber, PositiveNumber],
    AfterValidator(
        Condition("two numbers, 1 <= shortest <= longest", lambda pair: 1 <= pair[0] <= pair[1])
    ),
]


Kinds = (
    Annotated[
        Any,
        AfterValidator(
            Condition("a mapping of columns to kinds", lambda kinds: isinstance(kinds, Mapping))
        ),
    ]
    | None
)


@cache
def declared_parameters(estimator: type) -> dict[str, tuple[Any, Any]]:
    """Type and default of every parameter of an estimator whose type says a range, by name."""
    where = estimator if is_dataclass(estimator) else estimator.__init__  # type: ignore[misc]  # the signature is what is read
    hints = get_type_hints(where, include_extras=True)
    parameters = inspect.signature(estimator).parameters.values()
    return {
        p.name: (hints[p.name], p.default)
        for p in parameters
        if hints[p.name] is not Any and p.default is not p.empty
    }


def check_parameters(estimator: type, values: Mapping[str, Any]) -> None:
    """Check arguments of an estimator against their declared types; others are ignored.

    Raises
    ------
    ConfigurationError
        As :func:`check_value`, for the first that is of the wrong kind or out of range.
    """
    for name, (kind, _) in declared_parameters(estimator).items():
        if name in values:
            check_value(name, values[name], kind)


def check_value(name: str, value: Any, kind: Any) -> None:
    """Check an argument; NumPy's numbers count as Python's, arrays as lists.

    Raises
    ------
    ConfigurationError
        Unless ``value`` is of a type declared in this module: what was wanted, what came.
    """
    try:
        _adapter(kind).validate_python(_plain(value))
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        if not message.startswith("argument"):
            message = f"argument `{name}` must be {wanted(kind)}, but is {value!r}"
        raise ConfigurationError(message) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))


def _plain(value: Any) -> Any:
    """The value with NumPy's numbers and arrays made Python's, at any depth."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


_NOUNS = {int: "integer", float: "number", str: "string"}


def wanted(annotation: Any, constraints: Any = (), *, plural: bool = False) -> str:
    """A type and its range in words: "an integer >= 1", "a number in [0, 1] or None"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        further = [c for info in arguments[1:] for c in getattr(info, "metadata", [info])]
        return wanted(arguments[0], [*constraints, *further], plural=plural)
    if origin in (Union, UnionType, Literal):
        return _either(repr(a) if origin is Literal else wanted(a) for a in arguments)
    named = [str(c.func) for c in constraints if isinstance(c, AfterValidator)]
    if named or annotation in (bool, NoneType):
        return named[0] if named else "True or False" if annotation is bool else "None"
    if origin in (Sequence, tuple):
        members = wanted(arguments[0], plural=True)
        empty = ", not empty" if any(getattr(c, "min_length", 0) for c in constraints) else ""
        return (
            f"{len(arguments)} {members}" if origin is tuple else f"a sequence of {members}{empty}"
        )
    noun = _NOUNS[annotation]
    noun = f"{noun}s" if plural else f"{'an' if noun[0] == 'i' else 'a'} {noun}"
    bounds = {key: getattr(c, key) for c in constraints for key in _SIGNS if hasattr(c, key)}
    if bounds.keys() == {"ge", "le"}:
        return f"{noun} in [{bounds['ge']:g}, {bounds['le']:g}]"
    return " and ".join([f"{noun} {_SIGNS[key]} {bounds[key]:g}" for key in bounds]) or noun


def _either(words: Iterable[str]) -> str:
    """Such as "a, b or c"."""
    *first, last = words
    return " or ".join([", ".join(first), last] if first else [last])


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
