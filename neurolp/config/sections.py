"""Sections and keys of the simulation of a table, with defaults and ranges."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import reduce
from inspect import signature
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    create_model,
    model_validator,
)

from neurolp.data.column_inference import KINDS
from neurolp.data.connectomes import GABAERGIC
from neurolp.data.tables import DATA_NAMES
from neurolp.estimators import BRAINS, brain_class
from neurolp.estimators.ranges import declared_parameters

# A seed is stored as a 64-bit integer; a NUL would end a string in the file.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]


def _absolute(path: Path, info: ValidationInfo) -> Path:
    """The path, relative to the folder in the context of the validation."""
    if "\0" in str(path):
        raise ValueError("a path cannot contain a NUL")
    if len(os.fsencode(path)) > 4000 or any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise ValueError("too long for a path")
    if info.context is None:
        return path
    path = info.context / path
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link to itself: opening it will fail with a clear error
        return path.absolute()


FilePath = Annotated[Path, AfterValidator(_absolute)]


class Section(BaseModel):
    """Keys that belong together; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def versions(cls) -> dict[str, tuple[str, tuple[type[Section], ...]]]:
        """Sections that exist in several versions: the key that decides which, and the versions."""
        return {
            name: (str(info.discriminator), sections_in(info.annotation))
            for name, info in cls.model_fields.items()
            if info.discriminator is not None
        }


def sections_in(annotation: Any) -> tuple[type[Section], ...]:
    """The sections that a key of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    # A member of a union may be an annotated union itself.
    return tuple(section for member in get_args(annotation) for section in sections_in(member))


class RunConfiguration(Section):
    """The keys of every kind of run: which, under what title, from which seed."""

    experiment: str
    title: Text = ""
    seed: Seed | None = None


class DataSection(Section):
    """``[data]``: what the brain perceives; see :func:`neurolp.data.table_split.load_table`.

    With ``dequantise`` it is :func:`neurolp.data.tables.load_data`.
    """

    name: Literal[DATA_NAMES] | None = None  # type: ignore[valid-type]  # names are values
    file: FilePath | None = None
    dataset: str | None = None
    columns: list[NonNegativeInt | str] | None = None
    kinds: dict[str, Literal[KINDS]] | None = None  # type: ignore[valid-type]  # names are values
    missing_values: list[str | FiniteFloat] = []
    dequantise: bool = False
    split_seed: Seed = 0

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.name is None) == (self.file is None):
            raise ValueError("needs exactly one of 'name' and 'file'")
        for key in ("kinds", "missing_values"):
            if self.dequantise and getattr(self, key):
                raise ValueError(f"key '{key}' has no meaning beside 'dequantise'")
        return self


class BrainSection(Section):
    """``[brain]``: the parameters of the estimator that ``model`` names."""

    model: str

    @property
    def time_unit(self) -> str:
        """What is counted while it learns, "slice" or "epoch"."""
        return brain_class(self.model).time_unit

    @property
    def max_time(self) -> int:
        """Largest number of slices or epochs."""
        return int(getattr(self, f"max_{self.time_unit}s"))

    @property
    def takes_edges(self) -> bool:
        """Whether the connectivity may be partial."""
        return "connectivity" in signature(brain_class(self.model)).parameters


# Parameters that are keys of the section [data], follow from the split, or are options of commands.
_ELSEWHERE = ("validation_fraction", "kinds", "verbose")


def section_of(estimator: type, base: type[Section] = Section, **further: Any) -> type[Any]:
    """The section with the parameters of an estimator that no other section holds, and further."""
    fields: dict[str, Any] = {
        name: (kind, list(default) if get_origin(kind) is Sequence else default)  # as files have it
        for name, (kind, default) in declared_parameters(estimator).items()
        if name not in _ELSEWHERE
    }
    return create_model(f"{estimator.__name__}Section", __base__=base, **fields | further)


BRAIN_SECTIONS = {
    name: section_of(brain_class(name), BrainSection, model=(Literal[name], name))
    for name in BRAINS
}


def _with_model(section: Any) -> Any:
    return {"model": "density"} | section if isinstance(section, dict) else section


if TYPE_CHECKING:
    AnyBrain = BrainSection
else:
    AnyBrain = Annotated[
        reduce(or_, BRAIN_SECTIONS.values()),
        Field(discriminator="model"),
        BeforeValidator(_with_model),
    ]


class FullSection(Section):
    """``[connectivity]`` with ``kind = "full"``: an edge between any two nodes."""

    kind: Literal["full"] = "full"


class _DrawnSection(Section):
    seed: Seed


class _CountedSection(_DrawnSection):
    probability: float | None = Field(default=None, ge=0, le=1)
    in_degree: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _one_count(self) -> Self:
        if (self.probability is None) == (self.in_degree is None):
            raise ValueError("needs exactly one of 'probability' and 'in_degree'")
        return self


class RandomSection(_CountedSection):
    """``kind = "random"``: parameters of :func:`neurolp.brain.wiring.random`."""

    kind: Literal["random"]


class SmallWorldSection(_DrawnSection):
    """``kind = "small_world"``: parameters of :func:`neurolp.brain.wiring.small_world`."""

    kind: Literal["small_world"]
    neighbours: NonNegativeInt
    rewiring: float = Field(ge=0, le=1)


class DistanceSection(_CountedSection):
    """``kind = "distance"``: :func:`neurolp.brain.wiring.distance_dependent`, nodes anywhere."""

    kind: Literal["distance"]
    dimensions: int = Field(ge=1, le=3)
    length_scale: PositiveFloat


class ModularSection(_DrawnSection):
    """``kind = "modular"``: parameters of :func:`neurolp.brain.wiring.modular`."""

    kind: Literal["modular"]
    n_modules: PositiveInt
    p_within: float = Field(ge=0, le=1)
    p_between: float = Field(ge=0, le=1)


class FileSection(Section):
    """``kind = "file"``: a matrix in NPY or SciPy sparse NPZ, or a table of edges."""

    kind: Literal["file"]
    file: FilePath
    dataset: str | None = None
    nodes: list[str | NonNegativeInt] | None = None
    source: str | None = None
    target: str | None = None
    weight: str | None = None


class CElegansSection(Section):
    """``kind = "c_elegans"``: arguments of :func:`neurolp.data.connectomes.c_elegans`."""

    kind: Literal["c_elegans"]
    chemical: bool = True
    gap_junctions: bool = True
    inhibitory: list[str] = list(GABAERGIC)


ConnectivitySection = Annotated[
    FullSection
    | RandomSection
    | SmallWorldSection
    | DistanceSection
    | ModularSection
    | FileSection
    | CElegansSection,
    Field(discriminator="kind"),
]


def tag_of(section: type[BaseModel], key: str) -> str:
    """Return the value of ``key`` that stands for this version of a section."""
    return str(get_args(section.model_fields[key].annotation)[0])


class RecordSection(Section):
    """``[record]``: what goes to the file; see :class:`neurolp.Recorder`."""

    trajectories: NonNegativeInt | list[NonNegativeInt] = 100
    nodes: list[NonNegativeInt] | None = None
    every: PositiveInt = 5
    potential: bool = True
    activity: bool = False
    parameters: bool = True
    parameters_every: PositiveInt | None = None
    checkpoint_seconds: NonNegativeFloat | None = None


class DensityConfiguration(RunConfiguration):
    """``experiment = "density"``: a brain that learns the density of a table."""

    experiment: Literal["density"] = "density"
    compare: bool = Field(
        default=True, description="whether to fit a Gaussian and a mixture beside the brain"
    )
    data: DataSection
    brain: AnyBrain = BRAIN_SECTIONS["density"]()
    connectivity: ConnectivitySection = FullSection()
    record: RecordSection = RecordSection()

    @model_validator(mode="after")
    def _edges_in_use(self) -> Self:
        if self.connectivity.kind != "full" and not self.brain.takes_edges:
            raise ValueError(
                f"key 'connectivity': model '{self.brain.model}' needs full connectivity"
            )
        return self
