"""What a simulation may be asked for: the sections and keys of a configuration, with defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from neurolp.brain.network import DEFAULT_THRESHOLDS
from neurolp.data.tables import DATA_NAMES
from neurolp.paper.bounded import BARRIER_MIN

# A seed is stored as a 64-bit integer; a NUL would end a string in the file.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]


def _usable(path: Path) -> Path:
    """Names that no file can have would be errors of the system in many places."""
    if "\0" in str(path):
        raise ValueError("a path cannot contain a NUL")
    if len(os.fsencode(path)) > 4000 or any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise ValueError("too long for a path")
    return path


FilePath = Annotated[Path, AfterValidator(_usable)]

Groups = Literal["halves", "each", "colours"] | list[list[NonNegativeInt]]


class Section(BaseModel):
    """Keys that belong together; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Sections in it that exist in several versions: the key that decides which, and the versions.
    versions: ClassVar[dict[str, tuple[str, tuple[type[Section], ...]]]] = {}


class RunConfiguration(Section):
    """The keys of every kind of run: which, under what title, from which seed."""

    experiment: str
    title: Text = ""
    seed: Seed | None = None


class DataSection(Section):
    """``[data]``: what the brain perceives; see :func:`neurolp.data.tables.load_data`."""

    name: Literal[DATA_NAMES] | None = None  # type: ignore[valid-type]  # names live in data.py
    file: FilePath | None = None
    dataset: str | None = None
    columns: list[NonNegativeInt | str] | None = None
    dequantise: bool = True
    split_seed: Seed = 0

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.name is None) == (self.file is None):
            raise ValueError("needs exactly one of 'name' and 'file'")
        return self


class DensitySection(Section):
    """``[brain]`` with ``model = "density"``: parameters of :class:`neurolp.BrainDensity`."""

    model: Literal["density"] = "density"
    base: Literal["normal", "logistic"] = "normal"
    groups: Groups = "halves"
    gain: bool = True
    interneurons: NonNegativeInt = 0
    receptors: bool = True
    energy: Literal["auto", "mixture", "base"] = "auto"
    rotation: bool | Literal["auto"] = "auto"
    synapse_thresholds: list[float] = list(DEFAULT_THRESHOLDS)
    synapse_slope: PositiveFloat = 2.0
    spline_range: float = Field(default=3.5, ge=1e-3, le=1e3)
    spline_intervals: int | None = Field(default=None, ge=2, le=100)
    max_slices: NonNegativeInt = 400
    patience: PositiveInt = 25
    coupling_rate: float = Field(default=0.03, ge=0, le=1)
    node_rate: float = Field(default=0.5, ge=0, le=1)
    coupling_ridge: NonNegativeFloat = 20.0
    node_ridge: NonNegativeFloat = 8.0
    fine_tune: PositiveInt | Literal["all"] | None = None
    dtype: Literal["float64", "float32"] = "float64"
    n_threads: PositiveInt | None = None

    @property
    def time_unit(self) -> str:
        """What the time of learning is counted in."""
        return "slice"

    @property
    def max_time(self) -> int:
        """When learning ends at the latest."""
        return self.max_slices


class _EpochSection(Section):
    max_epochs: NonNegativeInt

    @property
    def time_unit(self) -> str:
        """What the time of learning is counted in."""
        return "epoch"

    @property
    def max_time(self) -> int:
        """When learning ends at the latest."""
        return self.max_epochs


class LinearSection(_EpochSection):
    """``[brain]`` with ``model = "linear"``: parameters of :class:`neurolp.LinearBrain`."""

    model: Literal["linear"]
    stepping: Literal["exact", "synchronous"] = "exact"
    duration: PositiveFloat = 1.0
    n_steps: PositiveInt = 10
    spline_range: float = Field(default=4.0, ge=1e-3, le=1e3)
    spline_intervals: int = Field(default=16, ge=2, le=100)
    rate: float = Field(default=0.03, ge=0, le=1)
    energy_rate: float = Field(default=0.1, ge=0, le=1)
    energy_ridge: NonNegativeFloat = 1e-3
    max_epochs: NonNegativeInt = 30
    patience: PositiveInt = 10
    batch_size: PositiveInt = 100


class BoundedSection(_EpochSection):
    """``[brain]`` with ``model = "bounded"``: parameters of :class:`neurolp.BoundedBrain`."""

    model: Literal["bounded"]
    duration: PositiveFloat = 0.5
    n_steps: PositiveInt = 5
    shape_intervals: int = Field(default=10, ge=2, le=100)
    barrier: float = Field(default=0.05, ge=BARRIER_MIN)
    rate: float = Field(default=0.05, ge=0, le=1)
    max_epochs: NonNegativeInt = 60
    patience: PositiveInt = 10
    batch_size: PositiveInt = 100


class OnlineSection(_EpochSection):
    """``[brain]`` with ``model = "online"``: parameters of :class:`neurolp.OnlineBrain`."""

    model: Literal["online"]
    signal: Literal["final", "local", "replay"] = "final"
    horizon: PositiveInt | None = None
    n_slices: PositiveInt = 12
    period: PositiveInt = 4
    n_hidden: NonNegativeInt = 0
    base: Literal["normal", "logistic"] = "normal"
    groups: Groups = "halves"
    gain: bool = True
    synapse_thresholds: list[float] = [0.0]
    synapse_slope: PositiveFloat = 2.0
    spline_range: float = Field(default=3.5, ge=1e-3, le=1e3)
    spline_intervals: int = Field(default=14, ge=2, le=100)
    rate: float = Field(default=0.002, ge=0, le=1)
    node_rate: float = Field(default=0.02, ge=0, le=1)
    decay: float = Field(default=0.02, ge=0, le=1)
    average: float = Field(default=0.99, ge=0, le=1)
    batch_size: PositiveInt | None = None
    max_epochs: NonNegativeInt = 60
    patience: PositiveInt = 10
    dtype: Literal["float64", "float32"] = "float64"
    n_threads: PositiveInt | None = None


def _with_model(section: Any) -> Any:
    return {"model": "density"} | section if isinstance(section, dict) else section


BrainSection = Annotated[
    DensitySection | LinearSection | BoundedSection | OnlineSection,
    Field(discriminator="model"),
    BeforeValidator(_with_model),
]


class FullSection(Section):
    """``[connectivity]`` with ``kind = "full"``: everyone is connected to everyone."""

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
    """``kind = "file"``: NPY (boolean), SciPy sparse NPZ or an HDF5 edge table."""

    kind: Literal["file"]
    file: FilePath
    dataset: str | None = None


ConnectivitySection = Annotated[
    FullSection
    | RandomSection
    | SmallWorldSection
    | DistanceSection
    | ModularSection
    | FileSection,
    Field(discriminator="kind"),
]

# Sections that exist in several versions: the key that decides which, and the versions.
Versions = tuple[str, tuple[type[Section], ...]]
VERSIONS: dict[str, Versions] = {
    "brain": ("model", (DensitySection, LinearSection, BoundedSection, OnlineSection)),
    "connectivity": (
        "kind",
        (
            FullSection,
            RandomSection,
            SmallWorldSection,
            DistanceSection,
            ModularSection,
            FileSection,
        ),
    ),
}


def tag_of(section: type[BaseModel], key: str) -> str:
    """Return the value of ``key`` that stands for this version of a section."""
    return str(get_args(section.model_fields[key].annotation)[0])


class RecordSection(Section):
    """``[record]``: what goes to the file; see :class:`neurolp.Recorder`."""

    trajectories: NonNegativeInt | list[NonNegativeInt] = 100
    nodes: list[NonNegativeInt] | None = None
    every: PositiveInt = 5
    potential: bool = True
    activity: bool = True
    parameters: bool = True
    parameters_every: PositiveInt | None = None
    checkpoint_seconds: NonNegativeFloat | None = None


class DensityConfiguration(RunConfiguration):
    """``experiment = "density"``: a brain that learns the density of a table."""

    versions: ClassVar[dict[str, Versions]] = VERSIONS

    experiment: Literal["density"] = "density"
    compare: bool = Field(
        default=True, description="whether to fit a Gaussian and a mixture beside the brain"
    )
    data: DataSection
    brain: BrainSection = DensitySection()
    connectivity: ConnectivitySection = FullSection()
    record: RecordSection = RecordSection()

    @model_validator(mode="after")
    def _edges_in_use(self) -> Self:
        partial = not isinstance(self.connectivity, FullSection)
        if partial and not isinstance(self.brain, DensitySection | OnlineSection):
            raise ValueError(
                f"key 'connectivity': model '{self.brain.model}' needs full connectivity"
            )
        return self
