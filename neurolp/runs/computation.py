"""Kinds of run that compute all arrays and write one file: seed, progress, provenance."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from neurolp.arrays import NamedArrays
from neurolp.config.sections import RunConfiguration
from neurolp.errors import DataError
from neurolp.runs.kinds import Observer, RunKind, RunProgress, SummaryTable, called_later, run_kind
from neurolp.runs.memory import Memory, check_memory
from neurolp.storage.provenance import data_digests, data_files, provenance
from neurolp.storage.reader import Trajectory
from neurolp.storage.writer import check_writable, write_trajectory

Item = TypeVar("Item")


@dataclass(frozen=True)
class Computed:
    """A file that was written whole."""

    path: Path
    signal: int | None = None
    reached: str = "the end"


def computed(compute: Callable[[Any, Observer], NamedArrays]) -> Callable[..., Computed]:
    """The ``run`` of a :class:`RunKind` from a function that returns the contents of its file.

    ``compute(configuration, observe)`` gets a configuration with a seed. The file holds what it
    returns, the configuration and provenance. After Ctrl-C nothing is written.
    """

    def run(
        configuration: Any,
        output: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        observe: Observer = lambda progress: None,
    ) -> Computed:
        path = check_writable(output, overwrite=overwrite)
        seed = secrets.randbits(32) if configuration.seed is None else configuration.seed
        resolved = configuration.model_copy(update={"seed": seed})
        memory = run_kind(configuration.experiment).memory
        if memory is not None:
            check_memory(memory(configuration))
        plain = resolved.model_dump(mode="json")
        digests = data_digests(plain)
        began = time.monotonic()
        out = compute(resolved, observe)
        out.attributes[""] = {"title": configuration.title, "status": "complete"}
        out.attributes["configuration"] = {"json": json.dumps(plain)}
        out.attributes["provenance"] = provenance(seed, digests)
        out.attributes["experiment"] = {
            "name": configuration.experiment,
            "seconds": time.monotonic() - began,
        }
        write_trajectory(path, out, overwrite=overwrite)
        return Computed(path)

    return run


def experiment(
    name: str,
    configuration: type[RunConfiguration],
    compute: Callable[[Any, Observer], NamedArrays],
    summary: Callable[[Trajectory], Sequence[SummaryTable]],
    memory: Callable[[Any], Memory],
) -> RunKind:
    """The kind of run of an experiment, whose figures ``neurolp.plotting.NAME`` draws."""
    draw = called_later(f"neurolp.plotting.{name}:draw")
    run = computed(compute)
    return RunKind(name, configuration, run, summary=summary, draw=draw, memory=memory)


def watched(
    items: Sequence[Item], observe: Observer, describe: Callable[[Item], str] = str
) -> Iterator[Item]:
    """Yield the steps of a computation, reporting each to ``observe`` before it begins."""
    began = time.monotonic()
    for k, item in enumerate(items):
        elapsed = time.monotonic() - began
        observe(RunProgress(k + 1, len(items), "step", describe(item), elapsed))
        yield item


def check_data(file: Trajectory, configuration: BaseModel) -> None:
    """Raise :class:`DataError` unless the data files are those that ``file`` was made of."""
    plain = configuration.model_dump(mode="json")
    then, now = json.loads(file.provenance.get("files_sha256", "{}")), data_digests(plain)
    for key, path in data_files(plain):
        if key not in now:
            raise DataError(f"{path}: no such file, but {file.path} was made of it ('{key}')")
        if key in then and then[key] != now[key]:
            raise DataError(
                f"{path}: has changed since {file.path} was made of it "
                f"('{key}', sha256 {then[key][:12]} then, {now[key][:12]} now)"
            )
