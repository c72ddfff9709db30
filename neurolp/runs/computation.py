"""The two frames of kinds of run: all arrays are computed and written, or saved as it goes on."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

from neurolp.arrays import NamedArrays
from neurolp.config.sections import RunConfiguration
from neurolp.errors import DataError, NeurolpError, RecordingError
from neurolp.estimators.files import header
from neurolp.progress import Observer, RunProgress
from neurolp.runs.kinds import (
    RunKind,
    RunResult,
    SummaryTable,
    called_later,
    configuration_of,
    run_kind,
)
from neurolp.runs.memory import Memory, check_memory
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.signals import SignalStop
from neurolp.storage.provenance import data_digests, data_files
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore
from neurolp.storage.writer import check_writable, write_trajectory

Item = TypeVar("Item")


def _prepared(configuration: RunConfiguration) -> tuple[Any, NamedArrays]:
    """The configuration with a seed, and what a file says of it and of its origin."""
    seed = secrets.randbits(32) if configuration.seed is None else configuration.seed
    seeded = configuration.model_copy(update={"seed": seed})
    plain = seeded.model_dump(mode="json")
    return seeded, header(seed, configuration.title, plain, data_digests(plain))


def computed(compute: Callable[[Any, Observer], NamedArrays]) -> Callable[..., RunResult]:
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
    ) -> RunResult:
        path = check_writable(output, overwrite=overwrite)
        memory = run_kind(configuration.experiment).memory
        if memory is not None:
            check_memory(memory(configuration))
        seeded, known = _prepared(configuration)
        began = time.monotonic()
        out = compute(seeded, observe)
        out.attributes |= known.attributes
        out.attributes[""]["status"] = "complete"
        out.attributes["experiment"] = {
            "name": configuration.experiment,
            "seconds": time.monotonic() - began,
        }
        write_trajectory(path, out, overwrite=overwrite)
        return RunResult(path)

    return run


class SavedRun(ABC):
    """A run that is saved as it goes on, from its beginning or from where it was saved.

    A kind of run is a subclass with :meth:`describe` and :meth:`go_on`; ``begun`` is the header of
    a run that is resumed, whose data must be what they were.
    """

    unit: str  # of time
    limits: ClassVar[Callable[[], contextlib.AbstractContextManager[Any]]] = contextlib.nullcontext
    checkpointer: Checkpointer

    def __init__(
        self, store: RunStore, configuration: Any, observe: Observer, begun: Trajectory | None
    ) -> None:
        self.store, self.configuration, self.observe = store, configuration, observe
        self.seed: int = configuration.seed
        self.stop = SignalStop()

    def declare(self) -> None:  # noqa: B027  # most kinds have nothing more to check
        """Declare what is recorded, before anything is written; refuses what cannot be."""

    @abstractmethod
    def describe(self, header: NamedArrays) -> None:
        """Add to ``header`` what else is known before the first unit of time."""

    @abstractmethod
    def go_on(self) -> RunResult:
        """Simulate to the end and write the file; or return :meth:`interrupted`."""

    def interrupted(self, *said: object) -> RunResult:
        """What was saved until the signal, by default the one that an exception ``said``.

        Raises
        ------
        KeyboardInterrupt
            If nothing was.
        """
        signum = self.stop.signal or next((s for s in said if isinstance(s, int)), signal.SIGINT)
        if self.checkpointer.time is None:
            raise KeyboardInterrupt(signum)
        return RunResult(self.store.path, f"{self.checkpointer.time} {self.unit}s", signum)

    @classmethod
    def run(
        cls,
        configuration: RunConfiguration,
        output: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        observe: Observer = lambda progress: None,
    ) -> RunResult:
        """Do what ``configuration`` describes and write the file ``output``.

        What happens is saved as it goes on. After Ctrl-C, SIGTERM, a full disk or the end of the
        process :meth:`resume` continues, and the file is the same in the end.

        Raises
        ------
        DataError, ConfigurationError, OutputError
            One line each. Whether ``output`` can be written is asked before the work starts.
        RecordingError
            If the disk is full or fails meanwhile.
        DivergedError
            If a number is no longer finite; the file, with the status ``"diverged"``, holds what
            happened until then, the last good state and the one after it.
        KeyboardInterrupt
            If there was nothing to be saved yet; nothing is left then.
        """
        with contextlib.closing(RunStore.claim(output, overwrite=overwrite)) as store, cls.limits():
            seeded, known = _prepared(configuration)
            simulation = cls(store, seeded, observe, None)
            simulation.declare()
            simulation.describe(known)
            store.begin(known)
            try:
                return simulation.go_on()
            except (KeyboardInterrupt, NeurolpError) as error:
                nothing = simulation.checkpointer.time is None and store.folder.exists()
                if nothing and not isinstance(error, RecordingError):
                    store.discard()
                raise

    @classmethod
    def check(cls, configuration: RunConfiguration) -> None:
        """Read the data and build the model, as :meth:`run` does before it writes; errors are its.

        What is needed meanwhile is in a temporary folder.
        """
        with tempfile.TemporaryDirectory(prefix="neurolp-") as folder:
            store = RunStore.claim(os.path.join(folder, "check.h5"))
            with contextlib.closing(store), cls.limits():
                cls(store, _prepared(configuration)[0], lambda progress: None, None).declare()

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], *, observe: Observer = lambda progress: None
    ) -> RunResult:
        """Continue a run that was broken off from where it was last saved.

        Raises as :meth:`run`, and

        Raises
        ------
        FormatError
            If there is no unfinished run, or it is damaged.
        DataError
            If the data are no longer what they were.
        """
        with contextlib.closing(RunStore.reopen(path)) as store, cls.limits():
            with store.header() as begun:
                configuration = configuration_of(begun.configuration, str(path))
                simulation = cls(store, configuration, observe, begun)
            return simulation.go_on()


def experiment(
    name: str,
    configuration: type[RunConfiguration],
    compute: Callable[[Any, Observer], NamedArrays],
    summary: Callable[[Trajectory], Sequence[SummaryTable]],
    memory: Callable[[Any], Memory],
    about: str,
    check: Callable[[Any], object] = lambda configuration: None,
) -> RunKind:
    """The kind of run of an experiment, whose figures ``neurolp.plotting.NAME`` draws.

    ``about`` says in a sentence what is run.
    """
    return RunKind(
        name,
        configuration,
        computed(compute),
        summary=summary,
        draw=called_later(f"neurolp.plotting.{name}:draw"),
        about=lambda file: {"What was run": about},
        memory=memory,
        check=check,
    )


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
