"""How far a run, or a sweep, has come that another process is writing."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from neurolp.errors import FormatError
from neurolp.progress import RunProgress, format_duration
from neurolp.runs.kinds import kind_of
from neurolp.storage import segments
from neurolp.storage.lock import is_held
from neurolp.storage.reader import open_trajectory
from neurolp.sweep.state import DIVERGED, DONE, FAILED, LOCK_FILE, PENDING, RUNNING, read_folder

COMPLETE, GOING_ON, UNFINISHED = "complete", "running", "unfinished"
_TRIES, _PAUSE = 5, 0.2  # to read a run that is being finished; seconds between them


@dataclass(frozen=True)
class Watched:
    """A look at a run or a sweep: ``status`` as of a file, and how far it has come.

    ``speed`` is in units of time a second, ``seconds_left`` at most so many; None where they are
    not known yet. ``now`` is the progress of which they are.
    """

    status: str
    now: RunProgress
    speed: float | None = None
    seconds_left: float | None = None

    @property
    def message(self) -> str:
        """What there is to be said beside the time: surprise or jobs, speed, time left."""
        parts = [self.now.message] if self.now.message else []
        if self.speed is not None:
            parts.append(f"{_rounded(self.speed)} {self.now.unit}s a second")
        if self.seconds_left is not None:
            parts.append(f"at most {format_duration(self.seconds_left)} left")
        return "; ".join(parts)


class Watch:
    """Looks at one path again and again; see :meth:`look`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._began = time.monotonic()
        self._first: RunProgress | None = None

    def look(self) -> Watched:
        """How far it has come, as far as it was saved.

        The speed is that since the first look. Until a run is saved again it is that since the
        beginning of the run; of a sweep it is not known until another job is over.

        Raises
        ------
        FormatError, DataError
            If there is no file, run or sweep, it cannot be read, or it is of a kind that says
            nothing before its end.
        """
        is_sweep = self.path.is_dir() and self.path.suffix != segments.SUFFIX
        elapsed = time.monotonic() - self._began
        status, now = _of_sweep(self.path, elapsed) if is_sweep else self._of_run()
        since = self._first = self._first or now
        if now.time == since.time and not is_sweep:
            since = RunProgress(0, now.total, now.unit, "", 0.0)
        seconds = now.elapsed - since.elapsed
        known = status == GOING_ON and now.time > since.time and seconds > 0
        speed = (now.time - since.time) / seconds if known else None
        left = (now.total - now.time) / speed if speed and now.total > now.time else None
        return Watched(status, now, speed, left)

    def _of_run(self) -> tuple[str, RunProgress]:
        """As :func:`_of_run`; again, where the run was finished while it was read."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return _of_run(self.path)
            except FormatError:
                if not tries_left or not _exists(self.path):
                    raise
                time.sleep(_PAUSE)
        raise FormatError(f"{self.path}: no such file")  # there is at least one try


def _exists(path: Path) -> bool:
    file = segments.file_of(path)
    return file.is_file() or segments.folder_of(file).is_dir()


def _of_run(path: Path) -> tuple[str, RunProgress]:
    file_path = segments.file_of(path)
    folder = segments.folder_of(file_path)
    if not segments.n_segments(folder) and is_held(folder / segments.LOCK):
        return GOING_ON, RunProgress(0, 0, "", "is beginning", 0.0)
    with open_trajectory(path) as file:
        kind = kind_of(file)
        if kind.progress is not None and file.configuration:
            return file.status, kind.progress(file)
        if file.status in (GOING_ON, UNFINISHED):
            raise FormatError(f"{path}: a run of the kind {kind.name!r} cannot be watched")
        return file.status, RunProgress(1, 1, "run", "", 0.0)


def _of_sweep(path: Path, elapsed: float) -> tuple[str, RunProgress]:
    """Jobs that are over; ``elapsed`` is since the first look, as files do not say since when."""
    states = read_folder(path).states().values()
    counts = Counter(state.state for state in states)
    over = counts[DONE] + counts[FAILED] + counts[DIVERGED]
    said = ", ".join(f"{n} {state}" for state, n in counts.items())
    results = [state.result for state in states if state.state == DONE and state.result]
    if results:
        name = next(iter(results[0]))
        found = [value for result in results if (value := result.get(name)) is not None]
        said += f"; mean {name} {sum(found) / len(found):.6g}" if found else ""
    progress = RunProgress(over, len(states), "job", said, elapsed)
    return status_of_sweep(path, counts), progress


def status_of_sweep(path: Path, counts: Counter[str]) -> str:
    """In the words of a file: running, unfinished, or complete."""
    if is_held(path / LOCK_FILE):
        return GOING_ON
    return UNFINISHED if counts[PENDING] + counts[RUNNING] else COMPLETE


def _rounded(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
