"""What becomes of runs that are killed, whose disk fails or fills, and of files that are damaged.

    python benchmarks/faults.py [--share 0.1] [--kinds stream density] [--tests kills calls]

Every run is a process of its own, forked from this one, which has compiled everything, so that
hundreds take minutes. Each is continued to its end and compared, data set by data set, with one
that nothing happened to. ``--share`` runs part of the full counts: 100 kills and 40 signals to each
kind of run, every call that can fail and every place between two of them, 50 sizes of a disk, 500
truncations and 2,000 flipped bits. Ends with a table; the exit code says whether all is well.
"""

from __future__ import annotations

import argparse
import errno
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
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from watched import KINDS, SECONDS, STUCK, Bench, Child

from neurolp.errors import FormatError
from neurolp.storage import segments
from neurolp.storage.compare import digest
from neurolp.storage.store import RunStore

CALLS = ("open", "write", "fsync", "replace", "unlink", "ftruncate")
SIMULATIONS = Path(__file__).parent.parent / "simulations"


def kills(bench: Bench, n: int) -> Counter[str]:
    """``kill -9`` at random moments; each run is then continued to its end, and compared.

    Every second one is killed a second time, while it is continued.
    """
    out: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    while out["kills"] < n:
        bench.clear()
        killed = False
        for _ in range(1 + out["kills"] % 2):
            with tempfile.TemporaryFile() as told:
                child = bench.go_on(partial(_tell_commits, told.fileno()))
                time.sleep(rng.uniform(0, bench.seconds))
                os.kill(child.pid, signal.SIGKILL)
                code, _ = child.wait()
                told_segments = int(os.pread(told.fileno(), 12, 0) or 0)
            if code == 0:
                break  # it was quicker, and was not killed
            killed = True
            out["kills"] += 1
            out[_where(bench)] += 1
            kept = bench.path.exists() or bench.n_segments() >= told_segments
            wrong = "" if kept else f"WRONG: {bench.n_segments()} segments of {told_segments}"
            out[wrong or bench.unreadable() or "nothing committed was lost"] += 1
            if bench.path.exists():
                break
        if killed:
            out[bench.continued()] += 1
    return out


def _where(bench: Bench) -> str:
    if bench.path.exists():
        return "killed: the file was there already"
    if (bench.run_folder / segments.FINISHED).exists():
        return "killed: while the file was written"
    if bench.n_segments() < 2:
        return "killed: before the first checkpoint"
    return "killed: between checkpoints"


def _tell_commits(handle: int) -> None:
    """Let a process tell how many segments there are, each time when it has committed one."""
    commit = RunStore.commit

    def telling(store: RunStore, *arguments: Any) -> None:
        commit(store, *arguments)
        os.pwrite(handle, f"{segments.n_segments(store.folder):12d}".encode(), 0)

    mock.patch.object(RunStore, "commit", telling).start()  # for as long as the child lives


def _tell(handle: int) -> None:
    """Let a process tell that it has begun."""
    os.pwrite(handle, b"1", 0)


def signals(bench: Bench, n: int) -> Counter[str]:
    """Ctrl-C or SIGTERM at random moments: exit 130 or 143 soon, and the run can be continued."""
    out: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    slowest = 0.0
    while out["signals"] < n:
        bench.clear()
        with tempfile.TemporaryFile() as begun:
            child = bench.begin(partial(_tell, begun.fileno()))
            while not os.pread(begun.fileno(), 1, 0):
                time.sleep(0.001)
        time.sleep(rng.uniform(0, bench.seconds))
        signum = int(rng.choice([signal.SIGINT, signal.SIGTERM]))
        began = time.monotonic()
        os.kill(child.pid, signum)
        code, said = child.wait()
        if code == 0:
            continue
        out["signals"] += 1
        slowest = max(slowest, time.monotonic() - began)
        good = code == 128 + signum and said.count("\n") == 1 and not bench.unreadable()
        if code == 130 and not said and not bench.n_segments():
            out["exit 130 while it still read its arguments"] += 1
        else:
            out[f"exit {code}" if good else f"WRONG: exit {code}, {said}"] += 1
        out[bench.continued()] += 1
    out[f"the slowest ended after {slowest:.2f} s"] += 1
    return out


def calls(bench: Bench, share: float) -> Counter[str]:
    """The n-th write, fsync, rename or open of a run fails, for every n."""

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    out: Counter[str] = Counter()
    for name, code, said in _at_every_call(bench, share, fail):
        if code == 0:  # a file that could not be removed does no harm to the result
            out[f"os.{name} failed, the run did not"] += 1
            bench.path.unlink()
            continue
        out[f"os.{name} failed"] += 1
        good = code == 74 or (code == 73 and bench.n_segments() < 2)
        good &= said.count("\n") == 1 and str(bench.path) in said and not bench.unreadable()
        out[bench.continued() if good else f"WRONG: exit {code}, {said}"] += 1
    return out


def failpoints(bench: Bench, share: float) -> Counter[str]:
    """``kill -9`` before the n-th write, fsync, rename or open of a run, for every n."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    out: Counter[str] = Counter()
    for name, code, said in _at_every_call(bench, share, die):
        out[f"killed before os.{name}"] += 1
        good = code == -signal.SIGKILL and not said and not bench.unreadable()
        out[bench.continued() if good else f"WRONG: exit {code}, {said}"] += 1
    return out


def _at_every_call(
    bench: Bench, share: float, happen: Callable[[], None]
) -> Iterator[tuple[str, int, str]]:
    """Let something happen at the n-th call of each function, until there are fewer than n."""
    for name in CALLS:
        n = 1
        while True:
            bench.clear()
            with tempfile.TemporaryFile() as reached:

                def prepare(name: str = name, n: int = n, reached: Any = reached) -> None:
                    real, count = getattr(os, name), [0]

                    def counting(*arguments: object, **named: object) -> object:
                        count[0] += 1
                        if count[0] == n:
                            os.pwrite(reached.fileno(), b"1", 0)
                            happen()
                        return real(*arguments, **named)

                    setattr(os, name, counting)

                code, said = bench.begin(prepare).wait()
                if not os.pread(reached.fileno(), 1, 0):
                    break
            yield name, code, said
            n += max(1, round(1 / share))


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
            arguments = ("run", str(bench.config), "-o", str(path), "-q")
            code, said = Child(*arguments, prepare=prepare).wait()
            out[f"sizes of {kind}"] += 1
            if code == 0:
                out["large enough"] += 1
                path.unlink()
                continue
            out[f"exit {code}"] += 1
            left = segments.folder_of(path)
            header = (left / segments.segment_name(0)).exists()
            good = code == 74 if header else code in (73, 74)
            good &= said.count("\n") == 1 and str(path) in said
            bench.clear()
            if header:  # more room: elsewhere
                shutil.copytree(left, bench.run_folder)
            out[bench.continued() if good else f"WRONG: exit {code}, {said}"] += 1
            shutil.rmtree(left, ignore_errors=True)
    return out


def damage(bench: Bench, n_cut: int, n_flipped: int) -> Counter[str]:
    """Truncated files and flipped bits, in finished files and in the parts of one that is not."""
    out: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    bench.clear()
    while not list(bench.run_folder.glob("state-*.h5")):  # killed too early, or finished: again
        bench.clear()
        child = bench.begin()
        time.sleep(rng.uniform(0.3, 0.9) * bench.seconds)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    places = [(bench.folder / "whole.h5", bench.folder / "whole.h5")]
    places += [(bench.path, part) for part in sorted(bench.run_folder.glob("*.h5"))]
    good = {path: digest(path) for path, _ in places}
    weight = np.array([0.5] + [0.5 / (len(places) - 1)] * (len(places) - 1))
    for kind in ["cut"] * n_cut + ["flipped"] * n_flipped:
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
                code = 0 if digest(path) == good[path] else 2
            except FormatError as error:
                code = 1 if str(part) in str(error) else 3
            except BaseException:
                code = 3
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        part.write_bytes(image)
        what = {0: "right data", 1: "a typed error"}.get(code, f"WRONG: {code}")
        out[f"{kind}: {what}"] += 1
    return out


def main() -> None:
    """Print a table; exit code 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    tests = ("kills", "failpoints", "signals", "calls", "disk", "damage")
    parser.add_argument("--tests", nargs="+", choices=tests, default=list(tests))
    options = parser.parse_args()
    share = options.share

    def of(n: int) -> int:
        return max(1, round(n * share))

    def some(bench: Bench, kind: str, name: str) -> Counter[str]:
        if name == "kills":
            return kills(bench, of(100))
        if name == "signals":
            return signals(bench, of(40))
        if name == "disk":
            return disk(bench, of(50))
        if name == "damage":
            return damage(bench, of(250), of(1000))
        return (failpoints if name == "failpoints" else calls)(bench, share)

    wrong = 0

    def report(what: str, began: float, found: Counter[str]) -> None:
        print(f"{what} ({time.monotonic() - began:.0f} s)")
        for line, n in found.items():
            print(f"  {n:6d}  {line}", flush=True)
        nonlocal wrong
        wrong += sum(n for line, n in found.items() if "WRONG" in line)

    with tempfile.TemporaryDirectory() as folder:
        for name in options.tests:
            for kind in options.kinds:
                if name not in ("kills", "signals") and kind not in ("stream", "density"):
                    continue  # there all brains are alike
                # Every call is made to fail once: a few commits have all of them.
                few = name in ("calls", "failpoints")
                bench = Bench(Path(folder, f"{name} {kind}"), kind, *((400, 0.2) if few else ()))
                began = time.monotonic()
                report(f"{name}, {kind}", began, some(bench, kind, name))
        print(
            f"{len(SECONDS)} processes, longest {max(SECONDS, default=0):.1f} s, {len(STUCK)} stuck"
        )
    sys.exit(1 if wrong or STUCK else 0)


if __name__ == "__main__":
    main()
