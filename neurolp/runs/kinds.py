"""The registry of kinds of run, and what each kind declares.

A kind declares its configuration, how it is run and resumed, and what is shown of its file. The
command line, sweeps, ``resume`` and ``reproduce`` use this registry only. A package adds a kind by
an entry point of the group ``neurolp.run_kinds``, a script by :func:`register`.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurolp.config.load import apply_settings, read_toml, shown_value, validated
from neurolp.config.sections import RunConfiguration
from neurolp.errors import ConfigurationError, FormatError
from neurolp.storage.reader import Trajectory

if TYPE_CHECKING:
    import xarray

    from neurolp.plotting.captioned import CaptionedFigure, NewFigure
    from neurolp.progress import RunProgress
    from neurolp.runs.memory import Memory

ENTRY_POINTS = "neurolp.run_kinds"
_FEW = 64  # values of a variable that becomes columns of a sweep's table

# Modules with a ``KIND``, imported when it is asked for: some take seconds.
_BUILT_IN = {
    "density": "neurolp.runs.density",
    "stream": "neurolp.runs.stream",
    "principle": "neurolp.runs.principle",
    "univariate": "neurolp.runs.univariate",
    "supervised": "neurolp.runs.supervised",
    "general_purpose": "neurolp.runs.general_purpose",
    "reservoir": "neurolp.runs.reservoir",
}
# The section that stands for a kind where the key ``experiment`` is left out.
_SECTIONS = {"data": "density", "stream": "stream"}
_DEFAULT = "density"


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    ``path`` is the file, or what it is to become: after an interruption by ``signal`` there is no
    file yet, and ``reached`` is how far the run came, such as ``"12 slices"``.
    """

    path: Path
    reached: str = "the end"
    signal: int | None = None


@dataclass(frozen=True)
class SummaryTable:
    """A table for the terminal: a title, and cells under the names of columns."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def small_numbers(file: Trajectory) -> dict[str, Any]:
    """Every number of a variable with few values, and of the group ``result``, by name."""
    out: dict[str, Any] = {}
    for name, variable in file.items():
        if np.prod(variable.shape) <= _FEW and variable.dtype.kind in "fiub":
            out |= _cells(name, variable)
    return out | dict(file.result)


def _cells(name: str, variable: xarray.DataArray) -> dict[str, Any]:
    """One number for each place of a variable, named by its coordinates."""
    labels = [[str(v) for v in variable[dim].values] for dim in variable.dims]
    places = zip(product(*labels), variable.values.ravel().tolist(), strict=True)
    return {f"{name}[{','.join(place)}]" if place else name: value for place, value in places}


@dataclass(frozen=True)
class RunKind:
    """One kind of run.

    Attributes
    ----------
    name : str
        Value of the key ``experiment``.
    configuration : type of RunConfiguration
        Its keys and sections.
    run : callable
        ``run(configuration, output, overwrite=.., observe=..)`` writes a file and returns a
        :class:`RunResult`. Of a calculation that returns arrays,
        :func:`neurolp.runs.computation.computed` makes one; a simulation that is saved as it goes
        on is a :class:`neurolp.runs.computation.SavedRun`, which has this and ``resume``.
    resume : callable, optional
        ``resume(path, observe=..)`` continues a run that was interrupted.
    summary : callable
        The :class:`SummaryTable` s of an open file.
    draw : callable, optional
        ``draw(file, figure)`` draws an open file; ``figure(name, width, height, caption)`` is a new
        Figure of matplotlib, see :mod:`neurolp.plotting.captioned`.
    about : callable
        What an open file is the record of, for its report: statements by short headings, such as
        ``{"What was run": .., "On what": ..}``.
    progress : callable, optional
        How far an open unfinished run has come, a :class:`RunProgress`; needed to watch it.
    numbers : callable
        Numbers of an open file for the table of a sweep, by name, the most important one first.
    memory : callable, optional
        The :class:`neurolp.runs.memory.Memory` that a configuration needs.
    check : callable
        ``check(configuration)`` reads the data that a configuration names, and raises what ``run``
        would raise of them.
    """

    name: str
    configuration: type[RunConfiguration]
    run: Callable[..., RunResult]
    resume: Callable[..., RunResult] | None = None
    summary: Callable[[Trajectory], Sequence[SummaryTable]] = lambda file: ()
    draw: Callable[[Trajectory, NewFigure], None] | None = None
    about: Callable[[Trajectory], Mapping[str, str]] = lambda file: {}
    progress: Callable[[Trajectory], RunProgress] | None = None
    numbers: Callable[[Trajectory], Mapping[str, Any]] = small_numbers
    memory: Callable[[Any], Memory] | None = None
    check: Callable[[Any], object] = lambda configuration: None

    def figures(self, file: Trajectory) -> dict[str, CaptionedFigure]:
        """All figures that the contents of an open file allow, by name, with their captions."""
        from neurolp.plotting.captioned import drawn

        return {} if self.draw is None else drawn(file.title, partial(self.draw, file))

    def finite_numbers(self, file: Trajectory) -> dict[str, float | None]:
        """:attr:`numbers` as JSON knows them; None for what is not finite."""
        return {
            name: _plain(value)
            for name, value in self.numbers(file).items()
            if isinstance(value, int | float | np.number)
        }


def _plain(value: Any) -> float | None:
    if not math.isfinite(float(value)):
        return None
    return int(value) if isinstance(value, int | np.integer) else float(value)


def called_later(name: str) -> Callable[..., Any]:
    """The function ``"module:function"``, whose module is imported when it is called."""
    module, _, function = name.partition(":")

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), function)(*args, **kwargs)

    return call


# --- the registry ---------------------------------------------------------------------------------

_registered: dict[str, RunKind] = {}


def register(kind: RunKind) -> None:
    """Add a kind of run to this process, or replace the one of its name."""
    _registered[kind.name] = kind


@cache
def _installed() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def kind_names() -> tuple[str, ...]:
    """Names of all kinds of run."""
    return tuple(dict.fromkeys([*_BUILT_IN, *_installed(), *_registered]))


def run_kind(name: str) -> RunKind:
    """The kind of run of this name.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    if name in _registered:
        return _registered[name]
    if name in _BUILT_IN:
        kind: RunKind = importlib.import_module(_BUILT_IN[name]).KIND
    elif name in _installed():
        kind = _installed()[name].load()
    else:
        raise ConfigurationError(f"'experiment' must be one of {kind_names()}, but is {name!r}")
    return kind


def kind_of(file: Trajectory) -> RunKind:
    """The kind of run that an open file is of; a brain that was saved counts as a density.

    Raises
    ------
    FormatError
        If its kind is not known here.
    """
    name = str(file.experiment.get("name", _DEFAULT))
    if name not in kind_names():
        raise FormatError(f"{file.path}: is of a kind of run that is not installed, {name!r}")
    return run_kind(name)


# --- configurations -------------------------------------------------------------------------------


def read_configuration(
    path: str | os.PathLike[str], settings: Sequence[str] = ()
) -> RunConfiguration:
    """Read and validate a TOML file, after applying ``settings`` like ``"brain.log_scale=false"``.

    The key ``experiment`` names the kind of run. Without it, a section ``[stream]`` means
    ``"stream"``, anything else ``"density"``. Paths in the file are relative to the file.

    Raises
    ------
    ConfigurationError
        One line that names the file, the key, what was wanted and what was given.
    """
    source = Path(path)
    return configuration_of(read_toml(source), str(source), settings, source.parent)


def is_runnable(configuration: Mapping[str, Any]) -> bool:
    """Whether the configuration in a file is of a run: what was made in Python has none, or parts.

    Resolved configurations name their kind.
    """
    return "experiment" in configuration


def configuration_of(
    raw: dict[str, Any], source: str, settings: Sequence[str] = (), folder: Path = Path()
) -> RunConfiguration:
    """Validate the keys of a configuration; ``source`` names it in errors.

    Paths are relative to ``folder``; errors as of :func:`read_configuration`.
    """
    apply_settings(settings, raw, source)
    return validated(_model(raw, source), raw, source, folder)


def _model(raw: Mapping[str, Any], source: str) -> type[RunConfiguration]:
    if "sweep" in raw:
        raise ConfigurationError(f"{source}: describes a sweep, which `neurolp sweep` runs")
    if "experiment" in raw:
        name = raw["experiment"]
        if not isinstance(name, str) or name not in kind_names():
            raise ConfigurationError(
                f"{source}: key 'experiment' must be one of {kind_names()}, "
                f"but is {shown_value(name)}"
            )
    else:
        found = [section for section in _SECTIONS if section in raw]
        if len(found) > 1:
            raise ConfigurationError(
                f"{source}: key '{found[0]}' has no meaning beside '{found[1]}'"
            )
        name = _SECTIONS[found[0]] if found else _DEFAULT
    return run_kind(name).configuration
