"""What becomes of runs that are killed, whose disk fails or fills, and of files that are damaged.

    python benchmarks/faults.py [--share 0.1] [kills] [calls] [disk] [damage] [cost]

Every run is a process of its own, forked from this one, which has compiled everything, so that 300
of them take minutes. Each is compared, data set by data set, with one that nothing happened to.
``--share`` runs part of the full counts: 300 kills, every call that can fail, 50 sizes of a disk,
500 truncations and 2,000 flipped bits. Ends with a table; the exit code says whether all is well.
"""

from __future__ import annotations

import argparse
import errno
import faulthandler
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import neurolp
from neurolp.cli import app
from neurolp.config import read_configuration
from neurolp.errors import FormatError
from neurolp.experiments.stream import run
from neurolp.trajectory.format import Contents
from neurolp.trajectory.store import RunStore

CONFIGURATION = """
seed = 3
[stream]
source = "causality"
n_steps = {}
[brain]
hidden = 24
delays = 4
cells = 256
orders = 2
[record]
checkpoint_seconds = {}
every = 70
last = 30
dream = 20
weights_every = 500
"""
PATIENCE = 60.0  # seconds for a process that needs one or two
SECONDS: list[float] = []  # that each process took
STUCK: list[str] = []
DIFFERENT = {"run_id", "created", "command", "steps_per_second", "seconds"}
GROUPS = ("", "configuration", "provenance", "brain", "result", "experiment")


def everything(path: Path) -> dict[str, bytes]:
    """All of a file but when and how fast it was made."""
    out = {}
    with neurolp.open_trajectory(path) as file:
        for name in file:
            out[name] = file[name].values.tobytes()
            for dim, values in file[name].coords.items():
                out[f"coordinates/{dim}"] = values.tobytes()
        for group in GROUPS:
            for key, value in file.attributes(group).items():
                if key not in DIFFERENT:
                    out[f"{group}@{key}"] = repr(value).encode()
    return out


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
                prepare()
                app(list(arguments), standalone_mode=True)
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
    """A folder with a configuration and the file of an undisturbed run."""

    def __init__(self, folder: Path, n_steps: int, checkpoint_seconds: float) -> None:
        folder.mkdir()
        self.folder = folder
        self.config = folder / "a.toml"
        self.config.write_text(CONFIGURATION.format(n_steps, checkpoint_seconds))
        run(read_configuration(self.config), folder / "compiled.h5")
        began = time.monotonic()
        run(read_configuration(self.config), folder / "whole.h5")
        self.seconds = time.monotonic() - began
        self.whole = everything(folder / "whole.h5")
        self.path = folder / "cut.h5"

    def clear(self) -> None:
        """Leave nothing of the last run."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(f"{self.path}.run", ignore_errors=True)

    def begin(self, **settings: Callable[[], None]) -> Child:
        """Start a run."""
        return Child("run", str(self.config), "-o", str(self.path), "-q", **settings)

    def go_on(self, **settings: Callable[[], None]) -> Child:
        """Resume, or begin where there is nothing yet."""
        header = Path(f"{self.path}.run", "segment-000000.h5")
        if header.exists():
            return Child("resume", str(self.path), "-q", **settings)
        return self.begin(**settings)

    def sealed(self) -> int:
        """Steps that a reader finds; all that are there must be those of the undisturbed run."""
        try:
            with neurolp.open_trajectory(self.path) as file:
                surprise = file["surprise"].values.tobytes()
                n_steps = len(file["surprise"])
        except FormatError as error:
            if "no such file" not in str(error):
                raise
            return 0
        if not self.whole["surprise"].startswith(surprise):
            raise AssertionError("what was sealed is wrong")
        return n_steps

    def is_whole(self) -> bool:
        """Whether the finished file is that of the undisturbed run, and nothing else is left."""
        left = [p for p in self.folder.iterdir() if p.name.startswith("cut") or p.name[0] == "."]
        return left == [self.path] and everything(self.path) == self.whole


def kills(bench: Bench, n: int) -> Counter[str]:
    """``kill -9`` at random moments; each run is then continued to its end, and compared.

    Every second one is killed a second time, while it is continued.
    """
    out: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    n_steps = len(bench.whole["coordinates/step"]) // 8
    while out["kills"] < n:
        bench.clear()
        twice = 1 + out["kills"] % 2
        for _ in range(twice):
            with tempfile.TemporaryFile() as told:
                os.pwrite(told.fileno(), f"{bench.sealed():12d}".encode(), 0)
                child = bench.go_on(prepare=lambda told=told: _tell_seals(told.fileno()))
                time.sleep(rng.uniform(0, bench.seconds))
                os.kill(child.pid, signal.SIGKILL)
                code, _ = child.wait()
                sealed = int(os.pread(told.fileno(), 12, 0))
            if code == 0:
                break  # it was quicker, and was not killed
            out["kills"] += 1
            out[_where(bench, sealed, n_steps)] += 1
            out["nothing sealed was lost" if bench.sealed() >= sealed else "WRONG: lost"] += 1
            if bench.path.exists():
                break
        if code == 0:
            continue
        again, _ = bench.go_on().wait()
        if bench.path.exists() and again in (0, 65):  # 65: there was nothing left to do
            out["runs continued"] += 1
            out["bit-identical" if bench.is_whole() else "WRONG: differs"] += 1
        else:
            out["WRONG: not continued"] += 1
    return out


def _where(bench: Bench, sealed: int, n_steps: int) -> str:
    if bench.path.exists():
        return "killed: the file was there already"
    if not Path(f"{bench.path}.run", "segment-000000.h5").exists():
        return "killed: before the header"
    if not sealed:
        return "killed: before the first checkpoint"
    return "killed: at the end" if sealed == n_steps else "killed: between checkpoints"


def _tell_seals(handle: int) -> None:
    """Let a process tell how many steps it has sealed, each time when it has."""
    seal = RunStore.seal

    def telling(store: RunStore, checkpoint: Contents | None, *more: Any) -> None:
        seal(store, checkpoint, *more)
        if checkpoint is not None:
            n_steps = checkpoint.attributes["result"]["n_steps"]
            os.pwrite(handle, f"{n_steps:12d}".encode(), 0)

    RunStore.seal = telling  # type: ignore[method-assign]


def calls(bench: Bench, share: float) -> Counter[str]:
    """The n-th write, fsync, rename or open of a run fails, for every n."""
    out: Counter[str] = Counter()
    step = max(1, round(1 / share))
    for function in ("open", "write", "fsync", "replace", "ftruncate"):
        n = 1
        while True:
            bench.clear()

            def prepare(function: str = function, n: int = n) -> None:
                real, count = getattr(os, function), [0]

                def failing(*arguments: object, **named: object) -> object:
                    count[0] += 1
                    if count[0] == n:
                        raise OSError(errno.EIO, os.strerror(errno.EIO))
                    return real(*arguments, **named)

                setattr(os, function, failing)

            code, said = bench.begin(prepare=prepare).wait()
            if code == 0:  # there were fewer calls, or the failure did no harm
                if not bench.is_whole():
                    out["WRONG"] += 1
                break
            out[f"os.{function} failed"] += 1
            sealed = bench.sealed()
            good = code == 74 or (code == 73 and not sealed)
            good &= said.count("\n") == 1 and str(bench.path) in said
            again, _ = bench.go_on().wait()
            out[
                "continued, bit-identical" if good and again == 0 and bench.is_whole() else "WRONG"
            ] += 1
            n += step
    return out


@contextmanager
def small_disk(bench: Bench, size: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """A place with ``size`` bytes: a small file system where one may be mounted, else a limit."""
    place = bench.folder / "disk"
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    if (
        shutil.which("mount")
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    ):
        try:
            yield "tmpfs", lambda: None
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    else:
        yield "RLIMIT_FSIZE", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def disk(bench: Bench, n: int) -> Counter[str]:
    """Disks of many sizes, from too small for the header to nearly large enough."""
    out: Counter[str] = Counter()
    largest = bench.path.with_name("whole.h5").stat().st_size
    sizes = np.linspace(4096, 3.2 * largest, n).astype(int) // 4096 * 4096
    for size in sizes:
        with small_disk(bench, int(size)) as (kind, prepare):
            path = bench.folder / "disk" / "cut.h5"
            code, said = Child(
                "run", str(bench.config), "-o", str(path), "-q", prepare=prepare
            ).wait()
            out[f"sizes of {kind}"] += 1
            if code == 0:
                out["large enough"] += 1
                continue
            out[f"exit {code}"] += 1
            one_line = said.count("\n") == 1 and str(path) in said
            header = Path(f"{path}.run", "segment-000000.h5").exists()
            good = one_line and (code == 74 if header else code in (73, 74))
            bench.clear()
            if header:  # more room: elsewhere
                shutil.copytree(f"{path}.run", f"{bench.path}.run")
            again, _ = bench.go_on().wait()
            out[
                "continued, bit-identical" if good and again == 0 and bench.is_whole() else "WRONG"
            ] += 1
            shutil.rmtree(f"{path}.run", ignore_errors=True)
    return out


def damage(bench: Bench, n_cut: int, n_flipped: int) -> Counter[str]:
    """Truncated files and flipped bits, in finished files and in the parts of one that is not."""
    out: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    bench.clear()
    run_folder = Path(f"{bench.path}.run")
    while not list(run_folder.glob("state-*.h5")):  # killed too early, or finished: once more
        bench.clear()
        child = bench.begin()
        time.sleep(rng.uniform(0.3, 0.9) * bench.seconds)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    places = [(bench.folder / "whole.h5", bench.folder / "whole.h5")]
    places += [(bench.path, part) for part in sorted(run_folder.glob("*.h5"))]
    good = {path: everything(path) for path, _ in places}
    weight = np.array([0.5] + [0.5 / (len(places) - 1)] * (len(places) - 1))
    jobs = ["cut"] * n_cut + ["flipped"] * n_flipped
    for kind in jobs:
        path, part = places[rng.choice(len(places), p=weight)]
        image = part.read_bytes()
        at = int(rng.integers(len(image)))
        damaged = bytearray(image)
        if kind == "cut":
            damaged = damaged[:at]
        else:
            damaged[at] ^= 1 << int(rng.integers(8))
        part.write_bytes(damaged)
        pid = os.fork()  # so that a crash of HDF5 is seen
        if pid == 0:
            try:
                code = 0 if everything(path) == good[path] else 2
            except FormatError as error:
                code = 1 if str(part) in str(error) else 3
            except BaseException:
                code = 3
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        part.write_bytes(image)
        what = {0: "right data", 1: "a typed error"}.get(code, "WRONG")
        out[f"{kind}: {what}"] += 1
    return out


def cost(bench: Bench) -> Counter[str]:
    """Seconds that saving takes of a run at default settings, and that opening a file takes."""
    from neurolp.stream_checkpoints import Checkpoints

    spent: list[float] = []
    save = Checkpoints.save

    def timed(self: Checkpoints, now: bool) -> None:
        began = time.monotonic()
        save(self, now)
        spent.append(time.monotonic() - began)

    Checkpoints.save = timed  # type: ignore[method-assign]
    simulations = Path(__file__).parent.parent / "simulations"
    out: Counter[str] = Counter()
    for name in ("oscillator", "text"):
        path = bench.folder / f"{name}.h5"
        spent.clear()
        began = time.monotonic()
        run(read_configuration(simulations / f"{name}.toml"), path)
        seconds = time.monotonic() - began
        began = time.monotonic()
        neurolp.open_trajectory(path).close()
        opened = time.monotonic() - began
        size = path.stat().st_size / 1e6
        share = 100 * sum(spent) / seconds
        out[
            f"{name}: {seconds:.1f} s, saving {sum(spent):.2f} s ({share:.1f} %), "
            f"opening {size:.1f} MB {1000 * opened:.0f} ms"
        ] += 1
    Checkpoints.save = save  # type: ignore[method-assign]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    parser.add_argument("what", nargs="*", default=["kills", "calls", "disk", "damage", "cost"])
    arguments = parser.parse_args()

    def of(n: int) -> int:
        return max(1, round(n * arguments.share))

    tests: dict[str, Callable[[Bench], Counter[str]]] = {
        "kills": lambda bench: kills(bench, of(300)),
        "calls": lambda bench: calls(bench, arguments.share),
        "disk": lambda bench: disk(bench, of(50)),
        "damage": lambda bench: damage(bench, of(500), of(2000)),
        "cost": cost,
    }
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.what:
            # Every call is made to fail once: a few seals have all of them.
            length = (400, 0.2) if name == "calls" else (3000, 0.01)
            bench = Bench(Path(folder, name), *length)
            began = time.monotonic()
            found = tests[name](bench)
            print(f"{name} ({time.monotonic() - began:.0f} s)")
            for what, n in found.items():
                print(f"  {n:6d}  {what}", flush=True)
            wrong += sum(k for what, k in found.items() if "WRONG" in what)
        print(
            f"{len(SECONDS)} processes, longest {max(SECONDS, default=0):.1f} s, {len(STUCK)} stuck"
        )
    sys.exit(1 if wrong or STUCK else 0)


if __name__ == "__main__":
    main()
