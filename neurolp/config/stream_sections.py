"""Sections and keys of the simulation of a stream, with defaults and ranges."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
)

from neurolp.config.sections import (
    ConnectivitySection,
    FilePath,
    RunConfiguration,
    Section,
    Seed,
    section_of,
)
from neurolp.data.streams.generating import FINITE, GENERATORS, MAKERS
from neurolp.estimators.stream import StreamBrain


class StreamSection(Section):
    """``[stream]``: where the rows come from."""

    n_steps: PositiveInt | None = None


Symbols = Annotated[int, Field(ge=2, strict=True)] | list[StrictStr | StrictInt | StrictFloat]


class FileStreamSection(StreamSection):
    """``[stream]`` with ``file``: arguments of :func:`neurolp.data.streams.open_stream`."""

    source: Literal["file"]
    file: FilePath
    dataset: str | None = None
    columns: list[NonNegativeInt | str] | None = None
    symbols: dict[str, Symbols] | list[NonNegativeInt | str] | None = None
    vector: bool | str = False
    counts: list[NonNegativeInt | str] = Field(default_factory=list)
    spikes: list[NonNegativeInt | str] = Field(default_factory=list)
    header: bool | None = None
    lower_case: bool = False
    dequantise: bool = True


def _generated(name: str) -> type[StreamSection]:
    """The section with ``source = "NAME"``: the settings of the generator, with their ranges."""
    parameters = inspect.signature(MAKERS[name], eval_str=True).parameters.values()
    fields: dict[str, Any] = {"seed": (Seed, 0), "source": (Literal[name], ...)}
    fields |= {p.name: (p.annotation, p.default) for p in parameters if p.name != "seed"}
    if name not in FINITE:
        fields["n_steps"] = (PositiveInt, ...)
    return create_model(f"{name}_section", __base__=StreamSection, **fields)


def _with_source(section: Any) -> Any:
    """A section with ``file`` has the source ``"file"``, and must have no other."""
    if not isinstance(section, dict):
        return section
    if ("file" in section) == ("source" in section) and section.get("source") != "file":
        raise ValueError("needs exactly one of 'source' and 'file'")
    return {"source": "file"} | section if "file" in section else section


if TYPE_CHECKING:
    AnySource = StreamSection
else:
    AnySource = Annotated[
        Union[(*map(_generated, GENERATORS), FileStreamSection)],
        Field(discriminator="source"),
        BeforeValidator(_with_source),
    ]

Times = list[NonNegativeInt]
Node = NonNegativeInt | str


def spread(n_steps: int) -> int:
    """Steps between two of about 200 times over a stream, where the configuration has no others."""
    return max(1, n_steps // 200)


class StreamRecordSection(Section):
    """``[record]``: what goes to the file."""

    every: PositiveInt | None = None
    per_step: bool = True
    last: NonNegativeInt = 200
    predictions_every: PositiveInt | None = None
    predictions_at: Times = Field(default_factory=list)
    activity_every: PositiveInt | None = None
    activity_at: Times = Field(default_factory=list)
    activity_nodes: list[Node] | None = None
    weights_every: PositiveInt | None = None
    weights_at: Times = Field(default_factory=lambda: [0])
    checkpoint_seconds: NonNegativeFloat | None = None
    dream: NonNegativeInt = 200
    brain: bool = True


_BRAIN = section_of(StreamBrain)
if TYPE_CHECKING:
    StreamBrainSection = Any
else:
    StreamBrainSection = _BRAIN


class NoConnectivitySection(Section):
    """``[connectivity]`` with ``kind = "none"``: no edges between hidden nodes."""

    kind: Literal["none"]


Connectivity = Annotated[
    NoConnectivitySection | ConnectivitySection | None, Field(discriminator="kind")
]


class NodesSection(Section):
    """``[nodes]``: which hidden nodes the input reaches, and which are taken away."""

    input: list[Node] | None = None
    lesion: list[Node] = Field(default_factory=list)


class StreamConfiguration(RunConfiguration):
    """One brain that learns from a stream, as in a file of ``simulations/`` with ``[stream]``."""

    experiment: Literal["stream"] = "stream"
    train_steps: NonNegativeInt | None = None
    stream: AnySource
    brain: StreamBrainSection = _BRAIN()
    connectivity: Connectivity = None
    nodes: NodesSection = NodesSection()
    record: StreamRecordSection = StreamRecordSection()
