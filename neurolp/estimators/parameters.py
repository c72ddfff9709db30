"""Parameters of all estimators: names, defaults and ranges, each declared once.

An estimator checks its arguments with ``check_parameters(DensityParameters, self.get_params())``. A
section of a configuration inherits the declaration, ``class DensitySection(DensityParameters,
Section)``, so that the keys of a file have the same names, defaults and ranges. The types below
(``Count``, ``Share``, ...) can be used for further keys. What configurations place elsewhere
(``connectivity``, ``random_state``, ``validation_fraction``) is no field of these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from neurolp.brain.base_density import BASES
from neurolp.brain.heads.head import HEADS
from neurolp.brain.network import DEFAULT_THRESHOLDS
from neurolp.brain.parts import NODE_MAPS, RULES
from neurolp.errors import ConfigurationError
from neurolp.registry import Registry

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
Precision = Literal["float64", "float32"]


@dataclass(frozen=True)
class NameOf:
    """Validator of the name of a registered part; printed, the names there are."""

    registry: Registry

    def __call__(self, name: str) -> str:
        """Return the name, if it is registered."""
        if name not in self.registry.names:
            raise ValueError(f"must be {self}")
        return name

    def __str__(self) -> str:
        """Such as "'normal' or 'logistic'"."""
        *first, last = map(repr, self.registry.names)
        return " or ".join([*([", ".join(first)] if first else []), last])


Rule = Annotated[str, AfterValidator(NameOf(RULES))]
Map = Annotated[str, AfterValidator(NameOf(NODE_MAPS))]
Base = Annotated[str, AfterValidator(NameOf(BASES))]
Head = Annotated[str, AfterValidator(NameOf(HEADS))]
UpdateOrder = Literal["random_halves", "sequential", "coloring"] | list[list[Count]]


class Parameters(BaseModel):
    """Fields are parameters with their types, ranges and defaults."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class DensityParameters(Parameters):
    """Parameters of :class:`neurolp.BrainDensity`; parts as named in ``brain.parts``."""

    rule: Rule = "greedy"
    node_map: Map = "spline"
    base: Base = "normal"
    update_order: UpdateOrder = "random_halves"
    log_scale: StrictBool = True
    marginal_transform: StrictBool = True
    head: Head = "auto"
    rotation: StrictBool | Literal["auto"] = "auto"
    synapse_thresholds: list[Number] = list(DEFAULT_THRESHOLDS)
    synapse_slope: PositiveNumber = 2.0
    spline_range: SplineRange = 3.5
    spline_intervals: Intervals | None = None
    max_slices: Count = 400
    patience: Positive = 25
    shift_rate: Share = 0.03
    node_rate: Share = 0.5
    shift_ridge: NonNegative = 20.0
    node_ridge: NonNegative = 8.0
    fine_tune: Positive | Literal["all"] | None = None
    dtype: Precision = "float64"
    n_threads: Positive | None = None


class OnlineParameters(Parameters):
    """Parameters of :class:`neurolp.OnlineBrain`."""

    signal: Literal["final", "local", "replay"] = "final"
    horizon: Positive | None = None
    n_slices: Positive = 12
    period: Positive = 4
    n_hidden: Count = 0
    base: Base = "normal"
    update_order: UpdateOrder = "random_halves"
    log_scale: StrictBool = True
    synapse_thresholds: list[Number] = [0.0]
    synapse_slope: PositiveNumber = 2.0
    spline_range: SplineRange = 3.5
    spline_intervals: Intervals = 14
    rate: Share = 0.002
    node_rate: Share = 0.02
    decay: Share = 0.02
    average: Share = 0.99
    batch_size: Positive | None = None
    max_epochs: Count = 60
    patience: Positive = 10
    dtype: Precision = "float64"
    n_threads: Positive | None = None


class TriangularParameters(Parameters):
    """Parameters of :class:`neurolp.TriangularDensity`; ``order`` is checked with the columns."""

    max_layers: Count = 400
    patience: Positive = 25
    n_threads: Positive | None = None


class EnsembleParameters(Parameters):
    """Parameters of an ensemble of small networks."""

    hidden: list[Positive] = [64, 64]
    decays: Annotated[list[NonNegative], Field(min_length=1)] = [1.0]
    input_noise: Annotated[list[NonNegative], Field(min_length=1)] = [0.0, 0.4]
    n_members: Annotated[int, Field(ge=2, le=1000, strict=True)] = 5
    rate: Share = 3e-3
    batch_size: Positive | None = None
    max_epochs: Count = 500
    patience: Positive = 20


class ConditionalParameters(EnsembleParameters):
    """Parameters of :class:`neurolp.ConditionalDensity`."""

    n_components: Annotated[int, Field(ge=1, le=1000, strict=True)] = 6
    component: Literal["normal", "logistic"] = "normal"


class ClassifierParameters(EnsembleParameters):
    """Parameters of :class:`neurolp.ConditionalClassifier`."""

    route: Literal["softmax", "bayes"] = "softmax"
    hidden: list[Positive] = [128]
    decays: Annotated[list[NonNegative], Field(min_length=1)] = [0.1]
    input_noise: Annotated[list[NonNegative], Field(min_length=1)] = [0.0, 0.5]


class StreamParameters(Parameters):
    """Parameters of :class:`neurolp.StreamBrain`."""

    n_hidden: Count = 600
    n_lags: Count = 20
    fan_in: Positive = 5
    rule: Literal["rls", "diagonal_rls", "nlms"] = "rls"
    rate: Share = 0.3
    process_noise: Share = 0.0
    recurrent_rate: Share = 0.01
    homeostasis: Share = 0.0
    strength: Strength = 1.0
    recurrent_strength: Strength = 0.5
    time_constants: tuple[PositiveNumber, PositiveNumber] = (1.0, 1.0)
    max_order: Count = 6
    n_contexts: Count = 16384
    mixing_rate: Share = 0.1
    warmup: Annotated[int, Field(ge=2, strict=True)] = 100
    dtype: Precision = "float64"

    @model_validator(mode="after")
    def _times_increase(self) -> Self:
        shortest, longest = self.time_constants
        if not 1 <= shortest <= longest:
            raise ValueError(
                "argument `time_constants` must be two numbers, 1 <= shortest <= longest, "
                f"but is {self.time_constants}"
            )
        return self


# Parameters that configurations place elsewhere.
_FURTHER: dict[str, Any] = {"validation_fraction": Share}


def check_parameters(declared: type[Parameters], values: Mapping[str, Any]) -> None:
    """Check arguments of an estimator against their declaration; others are ignored.

    NumPy's numbers count as Python's, arrays as lists.

    Raises
    ------
    ConfigurationError
        For the first argument of the wrong kind or out of range: its name, what was wanted, what
        came.
    """
    plain = {name: _plain(values[name]) for name in declared.model_fields if name in values}
    try:
        declared.model_validate(plain)
    except ValidationError as error:
        fault = error.errors()[0]
        if not fault["loc"]:
            raise ConfigurationError(fault["msg"].removeprefix("Value error, ")) from None
        name = str(fault["loc"][0])
        info = declared.model_fields[name]
        raise ConfigurationError(
            f"argument `{name}` must be {wanted(info.annotation, info.metadata)}, "
            f"but is {values[name]!r}"
        ) from None
    for name in _FURTHER.keys() & values.keys():
        check_value(name, values[name], _FURTHER[name])


def check_value(name: str, value: Any, kind: Any) -> None:
    """Raise ``ConfigurationError`` unless ``value`` is of a type declared in this module."""
    try:
        _adapter(kind).validate_python(_plain(value))
    except ValidationError:
        raise ConfigurationError(
            f"argument `{name}` must be {wanted(kind)}, but is {value!r}"
        ) from None


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
        words = [repr(a) if origin is Literal else wanted(a) for a in arguments]
        return " or ".join([*([", ".join(words[:-1])] if words[:-1] else []), words[-1]])
    if origin in (list, tuple):
        members = wanted(arguments[0], plural=True)
        empty = ", not empty" if any(getattr(c, "min_length", 0) for c in constraints) else ""
        return (
            f"{len(arguments)} {members}" if origin is tuple else f"a sequence of {members}{empty}"
        )
    names = [c.func for c in constraints if isinstance(c, AfterValidator)]
    if names or annotation in (bool, NoneType):
        return str(*names) or ("True or False" if annotation is bool else "None")
    noun = _NOUNS[annotation]
    noun = f"{noun}s" if plural else f"{'an' if noun[0] == 'i' else 'a'} {noun}"
    bounds = {key: getattr(c, key) for c in constraints for key in _SIGNS if hasattr(c, key)}
    if bounds.keys() == {"ge", "le"}:
        return f"{noun} in [{bounds['ge']:g}, {bounds['le']:g}]"
    return " and ".join([f"{noun} {_SIGNS[key]} {bounds[key]:g}" for key in bounds]) or noun


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
