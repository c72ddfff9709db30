"""The files of a sweep: one folder, one state and one writer for each job.

    DIR/sweep.json              the design: title, what is varied, and the jobs in their order
    DIR/lock                    held by the driver while it runs
    DIR/jobs/HASH/state.json    running, done, failed or diverged; a job without one is pending
    DIR/jobs/HASH/result.h5     what `neurolp run` would have written
    DIR/jobs/HASH/lock          held by the worker while it runs the job

Every JSON file is written under a temporary name, synced and renamed: there is the old one or the
new one. Locks are those of the operating system, which end with the process that holds them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from neurolp.errors import DataError, FormatError, OutputError
from neurolp.storage.atomic import write_whole

SWEEP_FILE, STATE_FILE, RESULT_FILE, LOCK_FILE = "sweep.json", "state.json", "result.h5", "lock"
FORMAT_NAME, FORMAT_VERSION = "neurolp-sweep", 1

PENDING, RUNNING, DONE, FAILED, DIVERGED = "pending", "running", "done", "failed", "diverged"
STATES = (PENDING, RUNNING, DONE, FAILED, DIVERGED)

# Reasons of a failure that may pass, so that the job is tried again.
INPUT_OUTPUT, WORKER_LOST = "input/output", "worker lost"
PASSING = (INPUT_OUTPUT, WORKER_LOST)


@dataclass(frozen=True)
class JobState:
    """The state of a job; ``result`` has the numbers of its file, ``seconds`` its run time."""

    state: str = PENDING
    attempts: int = 0
    reason: str = ""
    message: str = ""
    seconds: float = 0.0
    host: str = ""
    process: int = 0
    began: str = ""
    result: dict[str, float | None] = field(default_factory=dict)
    traceback: str = ""


def write_state(folder: Path, state: JobState) -> None:
    """Replace the state of the job in ``folder``.

    Raises
    ------
    OSError
        If it cannot be written; the old one stands.
    """
    _write_json(folder / STATE_FILE, asdict(state))


def read_state(folder: Path) -> JobState:
    """The state of the job in ``folder``; pending, if there is none or it is damaged."""
    try:
        raw = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        known = {f.name for f in fields(JobState)}
        state = JobState(**{key: value for key, value in raw.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return JobState()
    return state if state.state in STATES else JobState()


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep, and the contents of its ``sweep.json``."""

    path: Path
    title: str
    how: dict[str, str]
    jobs: list[dict[str, Any]]  # identity, settings, replicate, seed

    def job(self, identity: str) -> Path:
        """The folder of a job."""
        return self.path / "jobs" / identity

    def states(self) -> dict[str, JobState]:
        """The state of every job, in the order of the design."""
        return {job["identity"]: read_state(self.job(job["identity"])) for job in self.jobs}


def write_folder(folder: SweepFolder) -> None:
    """Make the folder of a sweep, or replace the design in one that exists.

    Jobs of an earlier design stay on disk and are used again if a later design has them.

    Raises
    ------
    OutputError
        If it cannot be written, or is a folder that holds something else.
    """
    path = folder.path
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not (path / SWEEP_FILE).exists() and any(p.name != LOCK_FILE for p in path.iterdir()):
            raise OutputError(f"{path}: a folder that holds something else than a sweep")
        (path / "jobs").mkdir(exist_ok=True)
        about = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "title": folder.title}
        _write_json(path / SWEEP_FILE, about | {"how": folder.how, "jobs": folder.jobs})
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot write the sweep, {error.strerror}") from error


def read_folder(path: Path) -> SweepFolder:
    """The sweep in a folder.

    Raises
    ------
    DataError, FormatError
        If there is none, or it is damaged or of another version.
    """
    file = path / SWEEP_FILE
    if not file.is_file():
        raise DataError(f"{path}: no sweep in it (no {SWEEP_FILE})")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        name, version = raw["format"], raw["version"]
        if (name, version) == (FORMAT_NAME, FORMAT_VERSION):
            return SweepFolder(path, raw["title"], raw["how"], raw["jobs"])
        newer = "too new" if version > FORMAT_VERSION else "too old"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{file}: damaged, {error}") from error
    if name != FORMAT_NAME:
        raise FormatError(f"{file}: not a {FORMAT_NAME}")
    raise FormatError(f"{file}: version {version} is {newer}, this release reads {FORMAT_VERSION}")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    # Values that JSON does not know, such as paths, are written as text.
    write_whole(path, json.dumps(content, indent=1, default=str).encode())
