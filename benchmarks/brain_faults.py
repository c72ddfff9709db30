"""Brain simulations that are killed, or asked to end: python benchmarks/brain_faults.py.

As benchmarks/faults.py, for brains that learn from tables: each is killed (-9) at random moments,
resumed, killed again, until it is finished; then asked to end (SIGINT, SIGTERM) at random moments.
Every finished file must be that of the undisturbed run, and nothing that was sealed may be lost.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from faults import Child, everything

import neurolp
from neurolp import exits
from neurolp.config import read_configuration
from neurolp.errors import FormatError
from neurolp.experiments.brain import run

SETTINGS = {
    "density": "max_slices = 30\npatience = 30",
    "online": 'model = "online"\nmax_epochs = 12\npatience = 12',
    "online, replay": 'model = "online"\nsignal = "replay"\nmax_epochs = 10\npatience = 10',
    "linear": 'model = "linear"\nmax_epochs = 20\npatience = 20',
    "bounded": 'model = "bounded"\nmax_epochs = 12\npatience = 12',
}
CONFIGURATION = """
seed = 3
compare = false
[data]
file = "table.npy"
[brain]
{}
[record]
checkpoint_seconds = 0.05
"""


def _listen() -> None:
    """Take SIGTERM as the command does."""
    signal.signal(signal.SIGTERM, exits.interrupt)


class BrainBench:
    """A folder with a configuration and the file of an undisturbed run."""

    def __init__(self, folder: Path, settings: str) -> None:
        folder.mkdir()
        self.folder, self.config, self.path = folder, folder / "a.toml", folder / "cut.h5"
        # Processes are forked here, which threads would not survive.
        threads = "" if '"linear"' in settings or '"bounded"' in settings else "\nn_threads = 1"
        self.config.write_text(CONFIGURATION.format(settings + threads))
        rng = np.random.default_rng(0)
        np.save(folder / "table.npy", rng.standard_normal((900, 8)) @ rng.standard_normal((8, 8)))
        run(read_configuration(self.config), folder / "compiled.h5")
        began = time.monotonic()
        run(read_configuration(self.config), folder / "whole.h5")
        self.seconds = time.monotonic() - began
        self.whole = everything(folder / "whole.h5")
        with neurolp.open_trajectory(folder / "whole.h5") as file:
            self.surprise = file["surprise"].values

    def go_on(self) -> Child:
        """Resume, or begin where there is nothing yet."""
        if Path(f"{self.path}.run", "segment-000000.h5").exists():
            return Child("resume", str(self.path), "-q", prepare=_listen)
        return Child("run", str(self.config), "-o", str(self.path), "-q", prepare=_listen)

    def sealed(self) -> int:
        """Times that a reader finds; all that are there must be those of the undisturbed run."""
        try:
            with neurolp.open_trajectory(self.path) as file:
                if "surprise" not in file:
                    return 0
                surprise = file["surprise"].values
        except FormatError as error:
            if "no such file" not in str(error):
                raise
            return 0
        n = surprise.shape[1]
        if not np.array_equal(surprise, self.surprise[:, :n]):
            raise AssertionError("what was sealed is wrong")
        return n

    def is_whole(self) -> bool:
        """Whether the finished file is that of the undisturbed run, and nothing else is left."""
        left = [p for p in self.folder.iterdir() if p.name.startswith("cut") or p.name[0] == "."]
        return left == [self.path] and everything(self.path) == self.whole

    def clear(self) -> None:
        """Leave nothing of the last run."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(f"{self.path}.run", ignore_errors=True)


def broken_off(bench: BrainBench, n: int, signals: tuple[int, ...]) -> Counter[str]:
    """Send so many signals at random moments; resume in between."""
    out: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    slowest = 0.0
    while out["signals"] < n:
        before = bench.sealed()
        child = bench.go_on()
        time.sleep(rng.uniform(0.02, bench.seconds * 0.5))
        signum = int(rng.choice(signals))
        sent = time.monotonic()
        os.kill(child.pid, signum)
        code, said = child.wait()
        took = time.monotonic() - sent
        if code == 0 or bench.path.exists():
            if Path(f"{bench.path}.run").exists():
                out["WRONG"] += Child("resume", str(bench.path), "-q").wait()[0] != 65
            out["bit-identical" if bench.is_whole() else "WRONG"] += 1
            bench.clear()
            continue
        out["signals"] += 1
        slowest = max(slowest, took)
        expected = -signum if signum == signal.SIGKILL else 128 + signum
        # Before the command has read its arguments it has nothing to say, and to click all is 130.
        good = code == expected or (code == 130 and not said)
        good &= bench.sealed() >= before and said.count("\n") == (1 if said else 0)
        out["nothing sealed was lost" if good else "WRONG"] += 1
        if not good:
            print(code, expected, before, bench.sealed(), said)
    code, _ = bench.go_on().wait()
    out["bit-identical" if code == 0 and bench.is_whole() else "WRONG"] += 1
    bench.clear()
    out[f"the slowest ended after {slowest:.2f} s"] += 1
    return out


def main() -> None:
    """Print a table; exit code 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="for each kind of brain")
    parser.add_argument("--signals", type=int, default=20, help="SIGINT or SIGTERM, for each kind")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for k, (name, settings) in enumerate(SETTINGS.items()):
            bench = BrainBench(Path(folder, str(k)), settings)
            for what, n, signals in (
                ("kill -9", options.kills, (signal.SIGKILL,)),
                ("asked to end", options.signals, (signal.SIGINT, signal.SIGTERM)),
            ):
                found = broken_off(bench, n, signals)
                print(f"{name}, {what}: {dict(found)}", flush=True)
                wrong += found["WRONG"]
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
