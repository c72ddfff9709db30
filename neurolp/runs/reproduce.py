"""Reproduction: run the configuration in a file again and compare the results bit by bit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolp.config.sections import RunConfiguration
from neurolp.errors import FormatError, NeurolpError
from neurolp.progress import Observer
from neurolp.runs.computation import check_data
from neurolp.runs.execution import run_file
from neurolp.runs.kinds import configuration_of, is_runnable
from neurolp.storage.compare import CLOCK, Difference, compare
from neurolp.storage.provenance import PACKAGES, provenance
from neurolp.storage.reader import Trajectory, open_trajectory


@dataclass(frozen=True)
class Reproduction:
    """The result of :func:`reproduce`.

    ``n_compared`` counts data sets, coordinates and attributes; ``versions`` has the versions then
    and now of software that has changed.
    """

    path: Path
    n_compared: int
    differences: tuple[Difference, ...]
    versions: dict[str, tuple[str, str]]

    @property
    def identical(self) -> bool:
        """Whether no bit differs."""
        return not self.differences


def reproduce(
    path: str | os.PathLike[str],
    settings: Sequence[str] = (),
    *,
    observe: Observer = lambda progress: None,
) -> Reproduction:
    """Run the configuration embedded in a file again, in a temporary folder, and compare.

    Any file that a run has written can be reproduced. Everything is compared but times
    (:data:`neurolp.storage.compare.CLOCK`), provenance, and the changed ``settings``.

    Parameters
    ----------
    path : path
        A trajectory file.
    settings : sequence of str
        Keys to override, such as ``"data.file=/elsewhere/table.csv"`` where data have moved, or
        ``"brain.n_threads=1"``, on which no result depends.
    observe : callable
        Called with a :class:`neurolp.runs.RunProgress` now and then.

    Raises
    ------
    FormatError
        If the file cannot be read, or holds no complete result of a configuration.
    DataError
        If a data file has changed since, or is gone.
    """
    source = Path(path)
    with Trajectory(source, whole=True) as file:
        configuration = embedded_configuration(file, settings)
        check_data(file, configuration)
        with tempfile.TemporaryDirectory(prefix="neurolp-") as folder:
            again = Path(folder) / "again.h5"
            _run(configuration, again, file.status, observe)
            with open_trajectory(again) as rerun:
                ignored = {*CLOCK, "provenance"}
                if settings:  # the title may name the data
                    ignored |= {"configuration", "title", "estimator/structure"}
                found = list(compare(file, rerun, ignored))
        versions = _changed_versions(file)
    differences = tuple(difference for difference in found if difference.what)
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
    if not is_runnable(raw):
        what = "a fitted model"
        if file.experiment:
            what = "a recording from Python: the script that made it makes it again"
        raise FormatError(f"{file.path}: holds no configuration that could be run, only {what}")
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


def _changed_versions(file: Trajectory) -> dict[str, tuple[str, str]]:
    """Versions then and now of packages, and of Python, that are not the same."""
    then, now = file.provenance, provenance(0)
    keys = {"python": "python", **{name: f"version_{name}" for name in PACKAGES}}
    return {
        name: (str(then.get(key, "unknown")), str(now[key]))
        for name, key in keys.items()
        if then.get(key) != now[key]
    }
