"""Run again what a file says it holds, and compare: data set by data set, bit by bit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.config.sections import RunConfiguration
from neurolp.errors import FormatError, NeurolpError
from neurolp.runs.computation import check_data
from neurolp.runs.execution import run_file
from neurolp.runs.kinds import Observer, configuration_of
from neurolp.storage.provenance import PACKAGES, provenance
from neurolp.storage.reader import LabelledArray, Trajectory, open_trajectory

Array = npt.NDArray[Any]

# What tells of the clock, and not of the result: variables, and attributes of groups.
CLOCK_VARIABLES = ("seconds", "regression_seconds")
CLOCK_ATTRIBUTES = {
    "result": ("seconds", "model_seconds", "steps_per_second"),
    "experiment": ("seconds",),
}
# ``provenance`` says who ran it, and is compared for versions alone.
_GROUPS = ("configuration", "brain", "result", "experiment")

_PART_BYTES = 2**26


@dataclass(frozen=True)
class Difference:
    """One data set, coordinate or attribute that came out differently, and by how much."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


@dataclass(frozen=True)
class Reproduction:
    """What came of running a file again.

    ``n_compared`` counts data sets, coordinates and attributes; ``versions`` has, of software that
    is not what it was, the version then and now.
    """

    path: Path
    n_compared: int
    differences: tuple[Difference, ...]
    versions: dict[str, tuple[str, str]]

    @property
    def identical(self) -> bool:
        """Whether not a bit differs."""
        return not self.differences


def reproduce(
    path: str | os.PathLike[str],
    settings: Sequence[str] = (),
    *,
    observe: Observer = lambda progress: None,
) -> Reproduction:
    """Run the configuration embedded in a file again, in a temporary folder, and compare.

    Every kind of file will do that a configuration led to: of a brain, a stream, an experiment.
    What is compared has no exceptions but ``CLOCK_VARIABLES``, ``CLOCK_ATTRIBUTES``, and settings
    that were changed.

    Parameters
    ----------
    path : path
        A trajectory file.
    settings : sequence of str
        Keys to override, such as ``"data.file=/elsewhere/table.csv"`` where data have moved, or
        ``"brain.n_threads=1"``, on which no result depends.
    observe : callable
        Told of progress, as by a run of that kind.

    Raises
    ------
    FormatError
        If the file cannot be read, or holds no complete result of a configuration.
    DataError
        If a data file has changed since, or is gone.
    """
    source = Path(path)
    with open_trajectory(source) as file:
        configuration = embedded_configuration(file, settings)
        check_data(file, configuration)
        with tempfile.TemporaryDirectory(prefix="neurolp-") as folder:
            again = Path(folder) / "again.h5"
            _run(configuration, again, file.status, observe)
            with open_trajectory(again) as rerun:
                found = list(compare(file, rerun, tuple(s.partition("=")[0] for s in settings)))
        versions = _changed_versions(file)
    differences = tuple(Difference(name, what) for name, what in found if what)
    return Reproduction(source, len(found), differences, versions)


def embedded_configuration(file: Trajectory, settings: Sequence[str] = ()) -> RunConfiguration:
    """The configuration that led to a file, with ``settings`` applied.

    Raises
    ------
    FormatError
        If there is none: a brain that was saved by hand; or the run did not end by itself.
    ConfigurationError
        If this release does not know it, or a setting is wrong.
    """
    raw = file.configuration
    if "experiment" not in raw:
        raise FormatError(f"{file.path}: holds no configuration that could be run, only a brain")
    if file.status not in ("complete", "diverged"):
        raise FormatError(
            f"{file.path}: is {file.status}: only what ended by itself can be reproduced; "
            "`neurolp resume` continues it"
        )
    return configuration_of(raw, str(file.path), settings)


def _run(configuration: RunConfiguration, path: Path, status: str, observe: Observer) -> None:
    try:
        interrupted = run_file(configuration, path, observe=observe).signal is not None
    except NeurolpError:
        # What diverged is to diverge again; its file is there.
        if status != "diverged" or not path.exists():
            raise
        return
    if interrupted:
        raise KeyboardInterrupt


# --- comparison -----------------------------------------------------------------------------------


def compare(
    then: Trajectory, now: Trajectory, changed: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Name of everything compared, and how it differs; nothing where it does not.

    ``changed`` are keys of the configuration that are meant to differ.
    """
    yield "status", "" if then.status == now.status else f"{now.status!r}, was {then.status!r}"
    if not changed:  # the title may name the data
        yield "title", "" if then.title == now.title else f"{now.title!r}, was {then.title!r}"
    for group in _GROUPS:
        if group == "configuration" and changed:
            continue
        clock = CLOCK_ATTRIBUTES.get(group, ())
        old, new = _without(getattr(then, group), clock), _without(getattr(now, group), clock)
        for key in sorted({*old, *new}):
            if key == "parameters" and changed:
                continue
            if key not in old or key not in new:
                yield f"{group}.{key}", _presence(key in new)
                continue
            yield f"{group}.{key}", _attribute(old[key], new[key])
    for name in sorted({*then, *now} - {*CLOCK_VARIABLES}):
        if name not in then or name not in now:
            yield name, _presence(name in now)
            continue
        yield name, _variable(then[name], now[name])
    for name in sorted({*then.coordinates} & {*now.coordinates}):
        yield f"coordinates/{name}", _variable(then.coordinates[name], now.coordinates[name])


def _without(attributes: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key not in names}


def _presence(is_there: bool) -> str:
    return "was not there" if is_there else "is no longer there"


def _attribute(then: Any, now: Any) -> str:
    if then is None or isinstance(then, dict | list | str) or type(then) is not type(now):
        return "" if then == now else f"{now!r}, was {then!r}"
    old, new = np.asarray(then), np.asarray(now)
    return _headers(old, new) or _bits(old, new) or ""


def _variable(then: LabelledArray, now: LabelledArray) -> str:
    if then.dims != now.dims or then.units != now.units:
        return f"has dimensions {now.dims} [{now.units}], had {then.dims} [{then.units}]"
    if then.shape != now.shape or then.dtype != now.dtype:
        return f"has shape {now.shape} {now.dtype}, had {then.shape} {then.dtype}"
    if not then.shape:
        return _bits(then.values, now.values)
    # In parts: a stream can be longer than memory.
    row = then.dtype.itemsize * int(np.prod(then.shape[1:], dtype=np.int64))
    step = max(1, _PART_BYTES // max(row, 1))
    n, n_different, farthest = 0, 0, 0.0
    for k in range(0, then.shape[0], step):
        old, new = then[k : k + step].values, now[k : k + step].values
        different, distance = _distance(old, new)
        n, n_different, farthest = n + old.size, n_different + different, max(farthest, distance)
    return _said(n, n_different, farthest)


def _headers(old: Array, new: Array) -> str:
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"has shape {new.shape} {new.dtype}, had {old.shape} {old.dtype}"
    return ""


def _bits(old: Array, new: Array) -> str:
    return _said(old.size, *_distance(old, new))


def _distance(old: Array, new: Array) -> tuple[int, float]:
    """How many values differ in any bit, and the farthest of those that are numbers."""
    if old.tobytes() == new.tobytes():
        return 0, 0.0
    if old.dtype.kind not in "fiub":
        return int(np.count_nonzero(old != new)), np.nan
    width = (old.size, old.dtype.itemsize)
    raw = [np.ascontiguousarray(a).reshape(-1).view(np.uint8).reshape(width) for a in (old, new)]
    different = np.any(raw[0] != raw[1], axis=1)
    with np.errstate(all="ignore"):
        change = np.abs(old.astype(np.float64) - new.astype(np.float64)).reshape(-1)[different]
    known = change[np.isfinite(change)]
    return int(different.sum()), float(known.max(initial=0.0)) if known.size else np.inf


def _said(n: int, n_different: int, farthest: float) -> str:
    if not n_different:
        return ""
    by = "" if np.isnan(farthest) else f", by at most {farthest:.3g}"
    return f"{n_different} of {n} values differ{by}"


def _changed_versions(file: Trajectory) -> dict[str, tuple[str, str]]:
    """Versions then and now of packages, and of Python, that are not the same."""
    then, now = file.provenance, provenance(0)
    keys = {"python": "python", **{name: f"version_{name}" for name in PACKAGES}}
    return {
        name: (str(then.get(key, "unknown")), str(now[key]))
        for name, key in keys.items()
        if then.get(key) != now[key]
    }
