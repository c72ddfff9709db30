"""One job in a worker: run it, and write its result and its state.

A worker may be killed at any moment. What it leaves is a whole result, an unfinished run, or
nothing; the next worker uses the result, resumes the run, or starts from the beginning.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import time
import traceback
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from neurolp import errors
from neurolp.config.sections import RunConfiguration
from neurolp.runs.execution import resume_file, run_file
from neurolp.runs.kinds import configuration_of, kind_of
from neurolp.storage.lock import HeldError, Lock
from neurolp.storage.reader import open_trajectory
from neurolp.storage.segments import folder_of, n_segments
from neurolp.sweep.state import (
    DIVERGED,
    DONE,
    FAILED,
    INPUT_OUTPUT,
    LOCK_FILE,
    RESULT_FILE,
    RUNNING,
    JobState,
    read_state,
    write_state,
)

HELD = "held"  # no state on disk: another process runs the job


def run_job(folder: str, configuration: str) -> JobState:
    """Run one job, given as JSON, and return its state.

    It never raises: what went wrong is in the state. A job that is done is not run again.
    """
    where = Path(folder)
    try:
        where.mkdir(parents=True, exist_ok=True)
        with Lock(where / LOCK_FILE):
            return _run(where, configuration)
    except HeldError as error:
        return JobState(HELD, message=str(error))
    except OSError as error:  # not even the state could be written
        message = f"{where}: {error.strerror or error}"
        return JobState(FAILED, 1, INPUT_OUTPUT, message)


def _run(folder: Path, configuration: str) -> JobState:
    before = read_state(folder)
    if before.state == DONE:
        return before
    for partial in folder.glob(".neurolp-*.partial"):
        partial.unlink(missing_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    state = JobState(
        RUNNING, before.attempts + 1, host=socket.gethostname(), process=os.getpid(), began=now
    )
    write_state(folder, state)
    path, seconds = folder / RESULT_FILE, 0.0
    try:
        # A worker may have been killed between the result and the state "done".
        found = _finished(path)
        if found is None:
            began = time.monotonic()
            execute(configuration_of(json.loads(configuration), str(folder)), path)
            seconds = time.monotonic() - began
            found = _finished(path)
        if found is None:
            raise errors.FormatError(f"{path}: not complete")
        state = replace(state, state=DONE, result=found, seconds=seconds)
    except Exception as error:  # any failure of a job is its state
        state = _failed(state, error)
    write_state(folder, state)
    return state


def execute(configuration: RunConfiguration, path: Path) -> None:
    """Do what ``neurolp run`` does, or ``neurolp resume`` where there is an unfinished run."""
    with threadpool_limits(1):
        result = None
        # A damaged one is started again.
        with contextlib.suppress(errors.FormatError):
            if n_segments(folder_of(path)):
                result = resume_file(path)
        result = result or run_file(configuration, path, overwrite=True)
    if result.signal is not None:
        raise KeyboardInterrupt(result.signal)


def _finished(path: Path) -> dict[str, float | None] | None:
    """The numbers of a complete result, or None if there is no such result."""
    if not path.exists():
        return None
    try:
        with open_trajectory(path) as file:
            return kind_of(file).finite_numbers(file) if file.status == "complete" else None
    except errors.FormatError:
        return None


def _failed(state: JobState, error: Exception) -> JobState:
    """The state after ``error``; its reason is the configuration, the data, memory and so on."""
    message = " ".join(str(error).split()) or type(error).__name__
    if _is_passing(error):
        return replace(state, state=FAILED, reason=INPUT_OUTPUT, message=message)
    if isinstance(error, errors.ConfigurationError | errors.NetworkError):
        return replace(state, state=FAILED, reason="configuration", message=message)
    if isinstance(error, errors.DataError | errors.FormatError):
        return replace(state, state=FAILED, reason="data", message=message)
    if isinstance(error, errors.NeurolpError):
        return replace(state, state=DIVERGED, reason="divergence", message=message)
    reason = "memory" if isinstance(error, MemoryError) else "program"
    message = f"{type(error).__name__}: {message}"
    return replace(
        state, state=FAILED, reason=reason, message=message, traceback=traceback.format_exc()
    )


def _is_passing(error: BaseException) -> bool:
    """Whether the system refused to read or write, for another reason than that nothing is there.

    Our own errors say what is wrong with a file; why it could not be read is their cause.
    """
    if isinstance(error, errors.DataError | errors.FormatError):
        return error.__cause__ is not None and _is_passing(error.__cause__)
    if isinstance(error, errors.NeurolpError):
        return isinstance(error, OSError)  # results that could not be written
    lasting = FileNotFoundError | IsADirectoryError | NotADirectoryError | PermissionError
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, lasting)
