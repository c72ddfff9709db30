"""Sections and keys of the simulation of a stream, with defaults and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from neurolp.config.sections import (
    DistanceSection,
    FilePath,
    FileSection,
    FullSection,
    ModularSection,
    RandomSection,
    RunConfiguration,
    Section,
    Seed,
    SmallWorldSection,
)
from neurolp.estimators.parameters import StreamParameters

Probability = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def _of_single_precision(value: float) -> float:
    if not 1e-30 <= value <= 1e30:
        raise ValueError("input should be from 1e-30 to 1e30")
    return value


Noise = Annotated[float, Field(gt=0), AfterValidator(_of_single_precision)]


class StreamSection(Section):
    """``[stream]``: where the rows come from."""

    n_steps: PositiveInt | None = None


class FileStreamSection(StreamSection):
    """``[stream]`` with ``file``: arguments of :func:`neurolp.data.streams.open_stream`."""

    source: Literal["file"]
    file: FilePath
    dataset: str | None = None
    columns: list[NonNegativeInt | str] | None = None
    symbols: dict[str, Annotated[int, Field(ge=2)]] | list[NonNegativeInt | str] | None = None
    vector: bool | str = False
    header: bool | None = None
    lower_case: bool = False
    dequantise: bool = True


class _GeneratedSection(StreamSection):
    """``[stream]`` with ``source``: arguments of :func:`neurolp.data.streams.generator`."""

    seed: Seed = 0


class _EndlessSection(_GeneratedSection):
    n_steps: PositiveInt


class MarkovSection(_EndlessSection):
    """``source = "markov3"``."""

    source: Literal["markov3"]
    table_seed: Seed = 0
    n_symbols: int = Field(default=8, ge=2)
    order: PositiveInt = 3
    concentration: PositiveFloat = 0.3


class OscillatorSection(_EndlessSection):
    """``source = "ar2"``."""

    source: Literal["ar2"]
    coefficients: list[float] = Field(default=[1.5, -0.75], min_length=2, max_length=2)
    noise: Noise = 1.0


class MackeyGlassSection(_EndlessSection):
    """``source = "mackey_glass"``."""

    source: Literal["mackey_glass"]
    delay: PositiveInt = 18
    noise: Noise = 0.02


class LorenzSection(_EndlessSection):
    """``source = "lorenz"``."""

    source: Literal["lorenz"]
    noise: Noise = 0.3
    vector: bool = False


class CausalitySection(_EndlessSection):
    """``source = "causality"``."""

    source: Literal["causality"]
    delay: PositiveInt = 3
    n_distractors: NonNegativeInt = 4
    probability: Probability = 0.1
    follows: Probability = 0.9
    otherwise: Probability = 0.01


class VideoSection(_EndlessSection):
    """``source = "video"``."""

    source: Literal["video"]
    shape: list[Annotated[int, Field(ge=8)]] = Field(default=[12, 12], min_length=2, max_length=2)
    noise: Noise = 0.05
    hold: PositiveInt = 50
    edges: Literal["wrap", "bounce"] = "wrap"


class TextSection(_GeneratedSection):
    """``source = "text"``: a book, once through."""

    source: Literal["text"]
    lower_case: bool = True


def _with_source(section: Any) -> Any:
    """A section with ``file`` has the source ``"file"``, and must have no other."""
    if not isinstance(section, dict):
        return section
    if ("file" in section) == ("source" in section) and section.get("source") != "file":
        raise ValueError("needs exactly one of 'source' and 'file'")
    return {"source": "file"} | section if "file" in section else section


AnySource = Annotated[
    MarkovSection
    | OscillatorSection
    | MackeyGlassSection
    | LorenzSection
    | CausalitySection
    | VideoSection
    | TextSection
    | FileStreamSection,
    Field(discriminator="source"),
    BeforeValidator(_with_source),
]

Times = list[NonNegativeInt]


class StreamRecordSection(Section):
    """``[record]``: what goes to the file."""

    every: PositiveInt | None = None
    per_step: bool = True
    last: NonNegativeInt = 200
    predictions_every: PositiveInt | None = None
    predictions_at: Times = Field(default_factory=list)
    activity_every: PositiveInt | None = None
    activity_at: Times = Field(default_factory=list)
    weights_every: PositiveInt | None = None
    weights_at: Times = Field(default_factory=lambda: [0])
    checkpoint_seconds: NonNegativeFloat | None = None
    dream: NonNegativeInt = 200
    brain: bool = True


class StreamBrainSection(StreamParameters, Section):
    """``[brain]``: parameters of :class:`neurolp.StreamBrain`."""


class NoConnectivitySection(Section):
    """``[connectivity]`` with ``kind = "none"``: no edges between hidden nodes."""

    kind: Literal["none"]


Connectivity = Annotated[
    NoConnectivitySection
    | FullSection
    | RandomSection
    | SmallWorldSection
    | DistanceSection
    | ModularSection
    | FileSection
    | None,
    Field(discriminator="kind"),
]


class StreamConfiguration(RunConfiguration):
    """One brain that learns from a stream, as in a file of ``simulations/`` with ``[stream]``."""

    experiment: Literal["stream"] = "stream"
    train_steps: NonNegativeInt | None = None
    stream: AnySource
    brain: StreamBrainSection = StreamBrainSection()
    connectivity: Connectivity = None
    record: StreamRecordSection = StreamRecordSection()
