"""Whether results depend on threads or on being broken off, and what recording costs a run.

    python benchmarks/sameness.py [threads] [halves] [cost]

For faults see ``benchmarks/faults.py``.
"""

from __future__ import annotations

import argparse
import os
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
from watched import run_here

import neurolp
from neurolp.storage.compare import CLOCK, digest
from neurolp.storage.store import RunStore

SIMULATIONS = Path(__file__).parent.parent / "simulations"


def _variants(folder: Path) -> dict[str, Path]:
    """Configurations of batch and stream, full and sparse, float32 too, large enough to share."""
    rng = np.random.default_rng(0)
    np.save(folder / "table.npy", rng.standard_normal((4000, 24)) @ rng.standard_normal((24, 24)))
    sparse = '[connectivity]\nkind = "random"\nprobability = 0.3\nseed = 1\n'
    batch = 'compare = false\n[data]\nfile = "table.npy"\n[brain]\n'
    stream = '[stream]\nsource = "lorenz"\nn_steps = 20_000\n[brain]\nn_hidden = 200\n'
    texts = {
        "batch, full": f"{batch}max_slices = 10\n",
        "batch, sparse": f"{batch}max_slices = 10\n{sparse}",
        "batch, full, float32": f'{batch}max_slices = 10\ndtype = "float32"\n',
        "online, full": f'{batch}model = "online"\nmax_epochs = 4\n',
        "online, sparse": f'{batch}model = "online"\nmax_epochs = 4\n{sparse}',
        "stream, full": f'{stream}[connectivity]\nkind = "full"\n',
        "stream, sparse": f"{stream}{sparse}",
        "stream, sparse, float32": f'{stream}dtype = "float32"\n{sparse}',
    }
    out = {}
    for k, (name, text) in enumerate(texts.items()):
        out[name] = folder / f"{k}.toml"
        out[name].write_text(f"seed = 5\n{text}")
    return out


def _hash(path: Path) -> str:
    """Of all that is in a file but the clock, and the number of threads that was asked for."""
    return digest(path, {*CLOCK, "configuration", "brain.parameters"})[:12]


def threads(folder: Path) -> Counter[str]:
    """Runs with 1, 2, 3 and 8 threads, in processes of their own: one hash each."""
    out: Counter[str] = Counter()
    for name, config in _variants(folder).items():
        hashes = set()
        for n in (1, 2, 3, 8):
            path = folder / f"{config.stem}-{n}.h5"
            command = [sys.executable, "-m", "neurolp", "run", str(config), "-q", "-o", str(path)]
            if "stream" not in name:
                command += ["--set", f"brain.n_threads={n}"]
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
            subprocess.run(command, check=True, env=os.environ | dict.fromkeys(names, str(n)))
            hashes.add(_hash(path))
        good = "one hash" if len(hashes) == 1 else "WRONG"
        out[f"{name}, 1, 2, 3, 8 threads: {good}, {', '.join(hashes)}"] += 1
    return out


def halves(folder: Path) -> Counter[str]:
    """N steps, saved, and N more in another process, against 2 N: one hash."""
    out: Counter[str] = Counter()
    for name, config in _variants(folder).items():
        whole, path = folder / f"{config.stem}.h5", folder / f"{config.stem}-half.h5"
        run_here(config, whole)
        with neurolp.open_trajectory(whole) as file:
            values = file["surprise"]
            n = values.shape[values.dims.index("step" if "stream" in name else "time")]

        def stop(progress: Any, half: int = n // 2) -> None:
            if progress.time >= half:
                os.kill(os.getpid(), signal.SIGTERM)

        pid = os.fork()
        if pid == 0:
            run_here(config, path, observe=stop)
            os._exit(0)
        os.waitpid(pid, 0)
        with neurolp.open_trajectory(path) as file:
            values = file["surprise"]
            first = values.shape[values.dims.index("step" if "stream" in name else "time")]
        subprocess.run([sys.executable, "-m", "neurolp", "resume", str(path), "-q"], check=True)
        good = "one hash" if _hash(path) == _hash(whole) else "WRONG"
        out[f"{name}, {first} and then {n - first} of {n}: {good}, {_hash(whole)}"] += 1
    return out


@contextmanager
def _timed(*methods: tuple[type, str]) -> Iterator[list[float]]:
    """Seconds that these methods take, in calls from outside of them."""
    spent: list[float] = []
    inside: list[str] = []

    def timed(real: Callable[..., Any]) -> Callable[..., Any]:
        def method(*arguments: Any, **named: Any) -> Any:
            if inside:
                return real(*arguments, **named)
            inside.append("")
            began = time.perf_counter()
            try:
                return real(*arguments, **named)
            finally:
                spent.append(time.perf_counter() - began)
                inside.clear()

        return method

    before = [(kind, name, getattr(kind, name)) for kind, name in methods]
    for kind, name, real in before:
        setattr(kind, name, timed(real))
    try:
        yield spent
    finally:
        for kind, name, real in before:
            setattr(kind, name, real)


def cost(folder: Path) -> Counter[str]:
    """Share of a run, at default settings, that recording and saving take; opening its file."""
    from neurolp.simulation import stream_monitors as of_streams
    from neurolp.simulation.checkpoint import Checkpointer
    from neurolp.simulation.monitors import FrameMonitor, ScoreMonitor

    methods = [
        (of_streams.StepMonitor, "observe"), (of_streams.WindowMonitor, "observe"),
        (of_streams.Predictions, "sample"), (of_streams.Activity, "sample"),
        (of_streams.Weights, "sample"), (ScoreMonitor, "sample"), (FrameMonitor, "sample"),
        (Checkpointer, "commit"),
        (RunStore, "begin"), (RunStore, "commit"), (RunStore, "finish"),
    ]  # fmt: skip
    out: Counter[str] = Counter()
    runs: list[tuple[str, tuple[str, ...]]] = [
        ("digits", ()), ("text", ()), ("lorenz", ()), ("lorenz", ("stream.n_steps=300_000",)),
    ]  # fmt: skip
    for name, setting in (
        ("digits", "brain.max_slices=1"),
        ("text", "stream.n_steps=300"),
        ("lorenz", "stream.n_steps=300"),
    ):  # compiles
        run_here(SIMULATIONS / f"{name}.toml", folder / f"first {name}.h5", (setting,))
    for name, settings in runs:
        path = folder / f"{name} {len(settings)}.h5"
        with _timed(*methods) as spent:
            began = time.monotonic()
            run_here(SIMULATIONS / f"{name}.toml", path, settings)
            seconds = time.monotonic() - began
        began = time.monotonic()
        neurolp.open_trajectory(path).close()
        opened = time.monotonic() - began
        out[
            f"{name} {' '.join(settings)}: {seconds:.1f} s, recording {sum(spent):.2f} s "
            f"({100 * sum(spent) / seconds:.1f} %); opening {path.stat().st_size / 1e6:.1f} MB "
            f"takes {1000 * opened:.0f} ms"
        ] += 1
    return out


def main() -> None:
    """Print what was found; exit code 1 if hashes differ."""
    tests = {"threads": threads, "halves": halves, "cost": cost}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", default=list(tests), help=", ".join(tests))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in parser.parse_args().what:
            place = Path(folder, name)
            place.mkdir()
            for line in tests[name](place):
                print(line, flush=True)
                wrong += "WRONG" in line
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
