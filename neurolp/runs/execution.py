"""Run, resume and summarise any kind of run."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurolp.config.examples import CONFIGURATION, find_example
from neurolp.config.sections import RunConfiguration
from neurolp.errors import FormatError, OutputError
from neurolp.progress import Observer
from neurolp.runs.kinds import (
    RunResult,
    SummaryTable,
    configuration_of,
    kind_of,
    read_configuration,
    run_kind,
)
from neurolp.storage.atomic import same_file
from neurolp.storage.provenance import data_files
from neurolp.storage.reader import Trajectory, open_trajectory
from neurolp.storage.store import RunStore

if TYPE_CHECKING:
    from neurolp.plotting.captioned import CaptionedFigure


def _ignore(progress: Any) -> None:
    """Observe nothing."""


def run(
    configuration: RunConfiguration | Mapping[str, Any] | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    settings: Sequence[str] = (),
    overwrite: bool = False,
    observe: Observer = _ignore,
) -> Trajectory:
    """Run what a configuration describes, and return its results, opened.

    Parameters
    ----------
    configuration : path, str, dict or configuration
        A TOML file, the name of an example (``neurolp examples`` lists them), the keys of a file,
        or what :func:`neurolp.runs.read_configuration` returned.
    output : path, optional
        The file to write. By default it is temporary: it exists as long as what is returned.
    settings : sequence of str
        Keys to override, such as ``"brain.max_slices=50"``.
    overwrite : bool
        Whether a file at ``output`` is replaced.
    observe : callable
        Called with a :class:`neurolp.runs.RunProgress` now and then.

    Raises
    ------
    ConfigurationError, DataError, OutputError
        One line each. ``output`` is checked before the work starts.
    RecordingError
        If the disk is full or fails meanwhile.
    NeurolpError
        If the run diverged; the file then holds the state before and after.
    KeyboardInterrupt
        If a signal interrupted it; :func:`resume` continues a run with an ``output``.

    Examples
    --------
    >>> import neurolp
    >>> stream = {"source": "ar2", "n_steps": 300}
    >>> with neurolp.run({"seed": 1, "stream": stream, "brain": {"n_hidden": 5}}) as results:
    ...     results.status
    'complete'
    """
    if isinstance(configuration, Mapping):
        resolved = configuration_of(copy.deepcopy(dict(configuration)), "configuration", settings)
    elif isinstance(configuration, RunConfiguration):
        plain = configuration.model_dump(mode="json")
        resolved = configuration_of(plain, "configuration", settings) if settings else configuration
    else:
        path = Path(configuration)
        named = not path.suffix and not path.is_file()
        example = find_example(str(path), CONFIGURATION) if named else None
        resolved = read_configuration(path if example is None else example.path, settings)
    if output is not None:
        return _opened(run_file(resolved, output, overwrite=overwrite, observe=observe))
    folder = tempfile.mkdtemp(prefix="neurolp-")
    try:
        results = _opened(run_file(resolved, Path(folder) / "results.h5", observe=observe))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(results, shutil.rmtree, folder, ignore_errors=True)
    return results


def run_file(
    configuration: RunConfiguration,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    observe: Observer = _ignore,
) -> RunResult:
    """Run what a configuration describes, as ``neurolp run`` does; errors as of :func:`run`."""
    for key, path in data_files(configuration.model_dump(mode="json")):
        if same_file(path, output):
            raise OutputError(f"{output}: cannot write the result, it is the data ('{key}')")
    kind = run_kind(configuration.experiment)
    return kind.run(configuration, output, overwrite=overwrite, observe=observe)


def resume(path: str | os.PathLike[str], *, observe: Observer = _ignore) -> Trajectory:
    """Continue an interrupted run from where it was last saved, and return its results, opened.

    Every data set of the file is the same, to the last bit, as without the interruption.

    Raises
    ------
    FormatError
        If there is no unfinished run of ``path``, or it is damaged.
    OutputError
        If another process is writing it.
    RecordingError
        If the disk is full or fails.
    KeyboardInterrupt
        If it was interrupted again.
    """
    return _opened(resume_file(path, observe=observe))


def resume_file(path: str | os.PathLike[str], *, observe: Observer = _ignore) -> RunResult:
    """Continue an interrupted run, as ``neurolp resume`` does; errors as of :func:`resume`."""
    store = RunStore.reopen(path)  # not the file: a run with --force may have one still
    try:
        with store.header() as header:
            if "experiment" not in header.configuration:
                raise FormatError(
                    f"{path}: was run from Python, not from a configuration; neurolp.load has its "
                    "brain as it was saved, to go on from there"
                )
            configuration = configuration_of(header.configuration, str(path))
    finally:
        store.close()
    kind = run_kind(configuration.experiment)
    if kind.resume is None:
        raise FormatError(f"{path}: is not a run that can be resumed")
    return kind.resume(path, observe=observe)


def _opened(result: RunResult) -> Trajectory:
    if result.signal is not None:
        raise KeyboardInterrupt(result.signal)
    return open_trajectory(result.path)


def summary(file: Trajectory) -> list[SummaryTable]:
    """The tables that ``neurolp run`` prints at its end, from an open file."""
    return list(kind_of(file).summary(file))


def figures(file: Trajectory) -> dict[str, CaptionedFigure]:
    """All figures that the contents of an open file allow, by name, with their captions."""
    return kind_of(file).figures(file)
