"""Runs in processes of their own, watched from outside: for ``benchmarks/faults.py``."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import neurolp
from neurolp.cli import exit_codes as exits
from neurolp.cli.app import main
from neurolp.errors import FormatError
from neurolp.runs.execution import run_file
from neurolp.runs.kinds import read_configuration
from neurolp.storage import segments
from neurolp.storage.compare import differences

STREAM = """
seed = 3
[stream]
source = "causality"
n_steps = {n_steps}
[brain]
n_hidden = 24
n_lags = 4
n_contexts = 256
max_order = 2
[record]
checkpoint_seconds = {seconds}
every = 70
last = 30
dream = 20
weights_every = 500
"""
BRAIN = """
seed = 3
compare = false
[data]
file = "table.npy"
[brain]
{settings}
[record]
checkpoint_seconds = {seconds}
"""
BRAINS = {
    "density": "max_slices = 30\npatience = 30\nn_threads = 1",
    "online": 'model = "online"\nmax_epochs = 12\npatience = 12\nn_threads = 1',
    "replay": 'model = "online"\nsignal = "replay"\nmax_epochs = 10\npatience = 10\nn_threads = 1',
    "linear": 'model = "linear"\nmax_epochs = 20\npatience = 20',
    "bounded": 'model = "bounded"\nmax_epochs = 12\npatience = 12',
}  # one thread: processes are forked here, which threads would not survive
KINDS = ("stream", *BRAINS)

PATIENCE = 60.0  # seconds for a process that needs one or two
SECONDS: list[float] = []  # that each process took
STUCK: list[str] = []


class Child:
    """``neurolp ARGUMENTS`` in a forked process, after ``prepare`` was called there."""

    def __init__(self, *arguments: str, prepare: Callable[[], None] = lambda: None) -> None:
        self._told = os.fdopen(os.memfd_create("told"), "w+b")
        sys.stdout.flush()
        self._began, self._stuck = time.monotonic(), False
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                os.dup2(self._told.fileno(), 2)
                faulthandler.register(signal.SIGUSR1)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                signal.signal(signal.SIGTERM, exits.interrupt)  # as the command does
                prepare()
                sys.argv[1:] = arguments
                main()
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            finally:
                sys.stderr.flush()
                os._exit(code)

    def wait(self) -> tuple[int, str]:
        """Exit code, negative for a signal, and what it said on stderr.

        A process that does not end within ``PATIENCE`` seconds says where it is, and is counted.
        """
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            seconds = time.monotonic() - self._began
            if pid:
                break
            if seconds > PATIENCE and not self._stuck:
                self._stuck = True
                STUCK.append(f"process {self.pid} after {seconds:.0f} s")
                os.kill(self.pid, signal.SIGUSR1)  # faulthandler: where is it?
            time.sleep(0.002)
        code = os.waitstatus_to_exitcode(status)
        SECONDS.append(seconds)
        self._told.seek(0)
        said = self._told.read().decode()
        self._told.close()
        if self._stuck:
            print(f"STUCK for {seconds:.0f} s:\n{said}", flush=True)
        return code, said


class Bench:
    """A folder with a configuration and the file of a run to which nothing happened."""

    def __init__(self, folder: Path, kind: str, n_steps: int = 3000, seconds: float = 0.01) -> None:
        folder.mkdir()
        self.folder, self.config, self.path = folder, folder / "a.toml", folder / "cut.h5"
        if kind == "stream":
            text = STREAM.format(n_steps=n_steps, seconds=seconds)
        else:
            text = BRAIN.format(settings=BRAINS[kind], seconds=seconds)
        self.config.write_text(text)
        rng = np.random.default_rng(0)
        np.save(folder / "table.npy", rng.standard_normal((900, 8)) @ rng.standard_normal((8, 8)))
        run_here(self.config, folder / "compiled.h5")
        began = time.monotonic()
        run_here(self.config, folder / "whole.h5")
        self.seconds = time.monotonic() - began
        self._surprise = _surprise(folder / "whole.h5")

    @property
    def run_folder(self) -> Path:
        """Where a run that is not finished keeps what it has."""
        return segments.folder_of(self.path)

    def clear(self) -> None:
        """Leave nothing of the last run."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.run_folder, ignore_errors=True)

    def begin(self, prepare: Callable[[], None] = lambda: None) -> Child:
        """Start a run."""
        return Child("run", str(self.config), "-o", str(self.path), "-q", prepare=prepare)

    def go_on(self, prepare: Callable[[], None] = lambda: None) -> Child:
        """Resume, or begin where there is nothing yet."""
        if self.n_segments():
            return Child("resume", str(self.path), "-q", prepare=prepare)
        return self.begin(prepare)

    def n_segments(self) -> int:
        """How many there are, with the header."""
        return segments.n_segments(self.run_folder)

    def unreadable(self) -> str:
        """Empty if a reader finds nothing, or what the undisturbed run had until then."""
        try:
            found = _surprise(self.path)
        except FormatError as error:
            return "" if "no such file" in str(error) else f"WRONG: {error}"
        same = not len(found) or np.array_equal(found, self._surprise[: len(found)])
        return "" if same else "WRONG: what was committed is wrong"

    def is_whole(self) -> bool:
        """Whether the finished file is that of the undisturbed run, and nothing else is left."""
        left = [p for p in self.folder.iterdir() if p.name.startswith("cut") or p.name[0] == "."]
        return left == [self.path] and not differences(self.folder / "whole.h5", self.path)

    def continued(self) -> str:
        """Go on to the end; whether that is the file of the undisturbed run."""
        finished = self.path.exists()
        if finished:  # there is nothing to resume, but maybe a folder to be removed
            code, said = Child("resume", str(self.path), "-q").wait()
        else:
            code, said = self.go_on().wait()
        if code != (exits.DATA if finished else 0):
            return f"WRONG: not continued, {code} {said}"
        what = "finished" if finished else "continued"
        return f"{what}, bit-identical" if self.is_whole() else "WRONG: differs"


def run_here(
    config: Path,
    path: Path,
    settings: tuple[str, ...] = (),
    observe: Callable[[Any], None] = lambda progress: None,
) -> None:
    """Run a configuration in this process."""
    run_file(read_configuration(config, settings), path, observe=observe)


def _surprise(path: Path) -> np.ndarray:
    """Surprise by time; a run that has only begun has none."""
    with neurolp.open_trajectory(path) as file:
        if "surprise" not in file:
            return np.zeros(0)
        return file["surprise"].values
