"""Simulation configurations: TOML <-> validated settings."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from neurolp.brain.bounded_form import BARRIER_MIN
from neurolp.brain.network import DEFAULT_THRESHOLDS
from neurolp.data import DATA_NAMES
from neurolp.errors import ConfigurationError

# A seed is stored as a 64-bit integer; a NUL would end a string in the file.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSection(_Section):
    """``[data]``: what the brain perceives; see :func:`neurolp.data.load_data`."""

    name: Literal[DATA_NAMES] | None = None  # type: ignore[valid-type]  # names live in data.py
    file: Path | None = None
    dataset: str | None = None
    columns: list[NonNegativeInt | str] | None = None
    dequantise: bool = True
    split_seed: Seed = 0

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.name is None) == (self.file is None):
            raise ValueError("needs exactly one of 'name' and 'file'")
        return self


class DensitySection(_Section):
    """``[brain]`` with ``model = "density"``: parameters of :class:`neurolp.BrainDensity`."""

    model: Literal["density"] = "density"
    base: Literal["normal", "logistic"] = "normal"
    groups: Literal["halves", "each"] = "halves"
    connectivity: Path | None = Field(
        default=None, description="NPY (boolean) or SciPy sparse NPZ matrix; full when absent"
    )
    gain: bool = True
    receptors: bool = True
    energy: Literal["auto", "mixture", "base"] = "auto"
    rotation: bool | Literal["auto"] = "auto"
    synapse_thresholds: list[float] = list(DEFAULT_THRESHOLDS)
    synapse_slope: PositiveFloat = 2.0
    spline_range: PositiveFloat = 3.5
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


class _EpochSection(_Section):
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
    spline_range: PositiveFloat = 4.0
    spline_intervals: int = Field(default=16, ge=2, le=100)
    rate: float = Field(default=0.02, ge=0, le=1)
    energy_rate: float = Field(default=0.1, ge=0, le=1)
    energy_ridge: NonNegativeFloat = 1e-3
    max_epochs: NonNegativeInt = 100
    patience: PositiveInt = 10
    batch_size: PositiveInt = 100


class BoundedSection(_EpochSection):
    """``[brain]`` with ``model = "bounded"``: parameters of :class:`neurolp.BoundedBrain`."""

    model: Literal["bounded"]
    duration: PositiveFloat = 0.5
    n_steps: PositiveInt = 5
    shape_intervals: int = Field(default=10, ge=2, le=100)
    barrier: float = Field(default=0.05, ge=BARRIER_MIN)
    rate: float = Field(default=0.1, ge=0, le=1)
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
    groups: Literal["halves", "each"] = "halves"
    connectivity: Path | None = None
    gain: bool = True
    synapse_thresholds: list[float] = [0.0]
    synapse_slope: PositiveFloat = 2.0
    spline_range: PositiveFloat = 3.5
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


def _model_of(section: type[BaseModel]) -> Any:
    return get_args(section.model_fields["model"].annotation)[0]


_BRAIN_SECTIONS: tuple[type[_Section], ...] = (
    DensitySection,
    LinearSection,
    BoundedSection,
    OnlineSection,
)
_MODELS: tuple[str, ...] = tuple(_model_of(section) for section in _BRAIN_SECTIONS)


class RecordSection(_Section):
    """``[record]``: what goes to the file; see :class:`neurolp.Recorder`."""

    trajectories: NonNegativeInt | list[NonNegativeInt] = 100
    nodes: list[NonNegativeInt] | None = None
    every: PositiveInt = 5
    potential: bool = True
    activity: bool = True
    parameters: bool = True
    parameters_every: PositiveInt | None = None


class Configuration(_Section):
    """One simulation, as in a file of ``simulations/``."""

    title: Text = ""
    seed: Seed | None = None
    compare: bool = Field(
        default=True, description="whether to fit a Gaussian and a mixture beside the brain"
    )
    data: DataSection
    brain: BrainSection = DensitySection()
    record: RecordSection = RecordSection()


def read_configuration(path: str | os.PathLike[str], settings: Sequence[str] = ()) -> Configuration:
    """Read and validate a TOML file, after applying ``settings`` such as ``"brain.gain=false"``.

    Paths in the file are relative to the file.

    Raises
    ------
    ConfigurationError
        One line that names the file, the key, what was wanted and what came.
    """
    source = Path(path)
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{source}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{source}: not valid TOML: {error}") from error
    for setting in settings:
        _apply(raw, setting)
    try:
        configuration = Configuration.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {_first_fault(error)}") from error
    return _absolute(configuration, source.parent)


def _apply(raw: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(f"--set {setting}: wanted key=value, e.g. brain.max_slices=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    *sections, last = key.strip().split(".")
    where = raw
    for section in sections:
        where = where.setdefault(section, {})
        if not isinstance(where, dict):
            raise ConfigurationError(f"--set {setting}: '{section}' is not a section")
    where[last] = value


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = [str(part) for part in fault["loc"] if not _is_union_tag(str(part))]
    model = fault["loc"][1] if fault["loc"][:1] == ("brain",) and len(fault["loc"]) > 1 else None
    key = ".".join(where)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        section = key.rpartition(".")[0]
        keys = [k for k in _all_keys(model) if k.rpartition(".")[0] == section]
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.0)
        return f"unknown key '{key}', the nearest valid key is '{near[0]}'{more}"
    if fault["type"] == "union_tag_invalid":
        came = fault["input"]["model"]
        return f"key '{key}.model' must be one of {_MODELS}, but is {came!r}{more}"
    if fault["type"] == "missing":
        return f"key '{key}' is missing{more}"
    message = fault["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    came = "" if isinstance(fault["input"], dict) else f", but is {fault['input']!r}"
    return f"key '{key}': {message}{came}{more}"


def _is_union_tag(part: str) -> bool:
    """Pydantic puts the name of the union member it tried into the location."""
    return "[" in part or part in ("bool", "int", "str", "constrained-int", *_MODELS)


def _all_keys(model: Any = None) -> list[str]:
    """Every key of a configuration; those of ``[brain]`` for one model, or for all of them."""
    keys = []
    for name, info in Configuration.model_fields.items():
        sections = _BRAIN_SECTIONS if name == "brain" else (info.annotation,)
        for section in sections:
            if not (isinstance(section, type) and issubclass(section, BaseModel)):
                continue
            if model is None or name != "brain" or _model_of(section) == model:
                keys += [f"{name}.{key}" for key in section.model_fields]
        keys.append(name)
    return keys


def _absolute(configuration: Configuration, folder: Path) -> Configuration:
    data, brain = configuration.data, configuration.brain
    if data.file is not None:
        data = data.model_copy(update={"file": (folder / data.file).resolve()})
    if isinstance(brain, DensitySection) and brain.connectivity is not None:
        path = (folder / brain.connectivity).resolve()
        brain = brain.model_copy(update={"connectivity": path})
    return configuration.model_copy(update={"data": data, "brain": brain})
