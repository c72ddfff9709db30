"""Compare two trajectory files: variables, coordinates and attributes, bit by bit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.storage.reader import Trajectory, open_trajectory
from neurolp.storage.source import Stored

# Names that say when a file was made, by which command and how fast: no part of the result.
CLOCK = (
    "run_id",
    "provenance.created",
    "provenance.command",
    "experiment.seconds",
    "result.seconds",
    "result.model_seconds",
    "result.steps_per_second",
    "seconds",
    "regression_seconds",
)

_PART_BYTES = 2**26


@dataclass(frozen=True)
class Difference:
    """A variable, coordinate or attribute, and how it differs; ``what`` is empty if it does not."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


def differences(
    then: str | os.PathLike[str], now: str | os.PathLike[str], ignored: Collection[str] = CLOCK
) -> list[Difference]:
    """Everything that differs between two files."""
    with open_trajectory(then) as old, open_trajectory(now) as new:
        return [difference for difference in compare(old, new, ignored) if difference.what]


def digest(path: str | os.PathLike[str], ignored: Collection[str] = CLOCK) -> str:
    """SHA-256 of everything in a file."""
    total = hashlib.sha256()
    with open_trajectory(path) as file:
        for name, item in sorted(_items(file, ignored).items()):
            if isinstance(item, Stored):
                values = item[()]
                total.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
                total.update(np.ascontiguousarray(values).data)
            else:
                total.update(f"{name} = {item!r}\n".encode())
    return total.hexdigest()


def compare(
    then: Trajectory, now: Trajectory, ignored: Collection[str] = CLOCK
) -> Iterator[Difference]:
    """Everything in two open files, with how it differs.

    ``ignored`` are names of variables, attributes (``GROUP.NAME``, or ``NAME`` of the root) and
    groups.
    """
    old, new = _items(then, ignored), _items(now, ignored)
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            what = "was not there" if name in new else "is no longer there"
        elif isinstance(old[name], Stored) and isinstance(new[name], Stored):
            what = _variable(old[name], new[name])
        else:
            what = _attribute(old[name], new[name])
        yield Difference(name, what)


def _items(file: Trajectory, ignored: Collection[str]) -> dict[str, Any]:
    """Values of the attributes, and variables as they are stored, by name."""
    out = {
        f"{group}.{key}" if group else key: value
        for group in {"", *file.groups} - {*ignored}
        for key, value in file.attributes(group).items()
    }
    out |= {name: file.stored(name) for name in file.all_names()}
    return {name: item for name, item in out.items() if name not in ignored}


def _attribute(then: Any, now: Any) -> str:
    if then is None or isinstance(then, dict | list | str) or type(then) is not type(now):
        return "" if then == now else f"{now!r}, was {then!r}"
    old, new = np.asarray(then), np.asarray(now)
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"has shape {new.shape} {new.dtype}, had {old.shape} {old.dtype}"
    return _format_difference(old.size, *_distance(old, new))


def _variable(then: Stored, now: Stored) -> str:
    if then.dims != now.dims or then.units != now.units:
        return f"has dimensions {now.dims} [{now.units}], had {then.dims} [{then.units}]"
    if then.shape != now.shape or then.dtype != now.dtype:
        return f"has shape {now.shape} {now.dtype}, had {then.shape} {then.dtype}"
    if not then.shape:
        return _format_difference(1, *_distance(then[()], now[()]))
    # In parts: a stream can be longer than memory.
    row = then.dtype.itemsize * int(np.prod(then.shape[1:], dtype=np.int64))
    step = max(1, _PART_BYTES // max(row, 1))
    parts = [slice(k, k + step) for k in range(0, then.shape[0], step)]
    found = [_distance(then[part], now[part]) for part in parts]
    n_different = sum(different for different, _ in found)
    size = int(np.prod(then.shape, dtype=np.int64))
    return _format_difference(size, n_different, max((far for _, far in found), default=0.0))


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


def _format_difference(n: int, n_different: int, farthest: float) -> str:
    if not n_different:
        return ""
    by = "" if np.isnan(farthest) else f", by at most {farthest:.3g}"
    return f"{n_different} of {n} values differ{by}"
