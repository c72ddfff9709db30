"""What is known of a sweep on disk: one folder, one state and one writer for each job.

    DIR/sweep.json                the design: title, what is varied, and the jobs in their order
    DIR/lock                      held by the driver while it runs
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

# Why a job failed. These may pass, and are tried again; others come from the configuration or
# the data, and would come again.
INPUT_OUTPUT, WORKER_LOST = "input/output", "worker lost"
PASSING = (INPUT_OUTPUT, WORKER_LOST)


@dataclass(frozen=True)
class JobState:
    """What is known of a job; ``result`` holds the numbers that :mod:`.results` takes out.

    ``seconds`` is what the run itself took, where it was done.
    """

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
    write_json(folder / STATE_FILE, asdict(state))


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
    """A folder with a sweep, and what its ``sweep.json`` says."""

    path: Path
    title: str
    how: dict[str, str]
    jobs: list[dict[str, Any]]  # identity, settings, replicate, seed

    def job(self, identity: str) -> Path:
        """The folder of a job."""
        return self.path / "jobs" / identity

    def states(self) -> dict[str, JobState]:
        """The state of every job, in the order of the design."""
        return {p["identity"]: read_state(self.job(p["identity"])) for p in self.jobs}


def write_folder(folder: SweepFolder) -> None:
    """Make the folder of a sweep, or let one that is there hold this design.

    Jobs of an earlier design stay on disk: they count again as soon as a design has them.

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
        write_json(path / SWEEP_FILE, about | {"how": folder.how, "jobs": folder.jobs})
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot write the sweep, {error.strerror}") from error


def is_sweep(path: Path) -> bool:
    """Whether ``path`` is the folder of a sweep."""
    return (path / SWEEP_FILE).is_file()


def read_folder(path: Path) -> SweepFolder:
    """The sweep in a folder.

    Raises
    ------
    DataError, FormatError
        If there is none, or it is damaged or of another version.
    """
    file = path / SWEEP_FILE
    if not is_sweep(path):
        raise DataError(f"{path}: no sweep in it (no {SWEEP_FILE})")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT_NAME:
            raise FormatError(f"{file}: not a {FORMAT_NAME}")
        if raw["version"] != FORMAT_VERSION:
            newer = "too new" if raw["version"] > FORMAT_VERSION else "too old"
            raise FormatError(
                f"{file}: version {raw['version']} is {newer}, this release reads {FORMAT_VERSION}"
            )
        return SweepFolder(path, raw["title"], raw["how"], raw["jobs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{file}: damaged, {error}") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a whole file or nothing; errors as of :func:`write_text`."""
    # Values of a user's own that JSON does not know, such as paths, are shown as they are.
    write_text(path, json.dumps(content, indent=1, default=str))


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing.

    Raises
    ------
    OSError
        If it cannot be written; an old one stands.
    """
    write_whole(path, text.encode("utf-8"))
