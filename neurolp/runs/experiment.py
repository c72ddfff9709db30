"""What all experiments have in common: where the result goes, the seed, progress, provenance."""

from __future__ import annotations

import importlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from neurolp.arrays import NamedArrays
from neurolp.errors import DataError
from neurolp.runs.memory import check_experiment
from neurolp.storage.provenance import data_digests, data_files, provenance
from neurolp.storage.reader import Trajectory
from neurolp.storage.writer import check_writable, write_trajectory

if TYPE_CHECKING:
    from pydantic import BaseModel

    from neurolp.config.experiment_sections import ExperimentConfiguration

Item = TypeVar("Item")


@dataclass(frozen=True)
class Step:
    """What an observer is told before each step of an experiment: ``number`` of ``total``."""

    number: int
    total: int
    what: str


Observer = Callable[[Step], None]


@dataclass(frozen=True)
class ClosingTable:
    """A few lines for people: a title, and cells under the names of columns."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def run(
    configuration: ExperimentConfiguration,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    observe: Observer = lambda step: None,
) -> Path:
    """Run an experiment and write what it found to ``output``; the path of the file is returned.

    The file holds labelled arrays, the resolved configuration and provenance; read it with
    :func:`neurolp.open_trajectory`. After Ctrl-C nothing is written.

    Raises
    ------
    DataError, ConfigurationError, OutputError
        One line each. Whether ``output`` can be written is asked before the work starts.
    """
    path = check_writable(output, overwrite=overwrite)
    seed = secrets.randbits(32) if configuration.seed is None else configuration.seed
    resolved = configuration.model_copy(update={"seed": seed})
    check_experiment(configuration)
    plain = resolved.model_dump(mode="json")
    digests = data_digests(plain)
    began = time.monotonic()
    out: NamedArrays = _module(configuration.experiment).run(resolved, observe)
    out.attributes[""] = {"title": configuration.title, "status": "complete"}
    out.attributes["configuration"] = {"json": json.dumps(plain)}
    out.attributes["provenance"] = provenance(seed, digests)
    out.attributes["experiment"] = {
        "name": configuration.experiment,
        "seconds": time.monotonic() - began,
    }
    write_trajectory(path, out, overwrite=overwrite)
    return path


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


def closing_tables(file: Trajectory) -> list[ClosingTable]:
    """What an experiment found, from its file; none for the file of a brain."""
    name = file.experiment.get("name")
    return [] if name is None else list(_module(name).tables(file))


def watched(
    items: Sequence[Item], observe: Observer, describe: Callable[[Item], str] = str
) -> Iterator[Item]:
    """Go through the steps of an experiment, telling ``observe`` before each."""
    for k, item in enumerate(items):
        observe(Step(k + 1, len(items), describe(item)))
        yield item


def _module(name: str) -> Any:
    """Each experiment is imported when it is wanted: scikit-learn alone takes a second."""
    return importlib.import_module(f"neurolp.runs.{name}")
