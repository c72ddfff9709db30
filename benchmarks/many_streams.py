"""What a step of one of many streams costs that are presented at once and share their weights.

    python benchmarks/many_streams.py [--n-hidden 256] [--rounds 5] [--streams 1 8 64]

Microseconds for each stream and step, learning at every step, float64. ``one after another`` are
brains of their own (``StreamBrain``), ``at once`` is a ``StreamBatch`` with shared weights. In
blocks, a call presents 50 steps; row by row, it presents one, as when all streams go on in the same
moment. The ratio is that of the throughputs. All take turns, and the least time counts, as machines
are noisy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from neurolp import ContinuousSensor, StreamBatch, StreamBrain

Array = np.ndarray[Any, Any]

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "experts=False": {"experts": False},
    'experts=False, connectivity="full"': {"experts": False, "connectivity": "full"},
    'experts=False, rule="nlms"': {"experts": False, "rule": "nlms"},
}
BLOCK, CALLS = 50, 5  # steps of a call in blocks; calls row by row


def rows_of(n_streams: int, n_steps: int) -> Array:
    """Oscillators of the same law, each with its own phase and noise."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (n_streams, 1))
    noise = 0.1 * rng.standard_normal((n_streams, n_steps))
    return np.sin(np.arange(n_steps) / 7 + phase) + noise


def contenders(brain: StreamBrain, n_streams: int) -> dict[str, tuple[Callable[[], None], int]]:
    """Calls, and how many steps of a stream each does; by name."""
    rows = rows_of(n_streams, BLOCK)
    brains = [brain.copy() for _ in range(n_streams)]
    batch = StreamBatch(brain, n_streams)

    def one_in_blocks() -> None:
        for alone, own in zip(brains, rows, strict=True):
            alone.run(own)

    def all_in_blocks() -> None:
        batch.run(rows)

    def one_by_rows() -> None:
        for t in range(CALLS):
            for alone, own in zip(brains, rows, strict=True):
                alone.run(own[t : t + 1])

    def all_by_rows() -> None:
        for t in range(CALLS):
            batch.run(rows[:, t : t + 1])

    return {
        "one in blocks": (one_in_blocks, BLOCK * n_streams),
        "all in blocks": (all_in_blocks, BLOCK * n_streams),
        "one by rows": (one_by_rows, CALLS * n_streams),
        "all by rows": (all_by_rows, CALLS * n_streams),
    }


def measure(calls: dict[str, tuple[Callable[[], None], int]], rounds: int) -> dict[str, float]:
    """Least microseconds a step of each; they take turns."""
    least = dict.fromkeys(calls, np.inf)
    for call, _ in calls.values():
        call()  # compiles
    for _ in range(rounds):
        for name, (call, n_steps) in calls.items():
            began = time.perf_counter()
            call()
            least[name] = min(least[name], (time.perf_counter() - began) / n_steps)
    return {name: 1e6 * seconds for name, seconds in least.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-hidden", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 64])
    arguments = parser.parse_args()
    print(f"Microseconds a stream and step, {arguments.n_hidden} hidden nodes, learning.\n")
    columns = "one after another | at once | ratio | row by row: one | at once | ratio"
    print(f"| settings | streams | {columns} |")
    print("|" + "---|" * 8)
    for name, settings in SETTINGS.items():
        brain = StreamBrain(
            ContinuousSensor(), n_hidden=arguments.n_hidden, random_state=0, **settings
        )
        brain.run(rows_of(1, 300)[0])
        for n_streams in arguments.streams:
            found = measure(contenders(brain, n_streams), arguments.rounds)
            cells = [f"`{name}`", str(n_streams)]
            for how in ("in blocks", "by rows"):
                one, together = found[f"one {how}"], found[f"all {how}"]
                cells += [f"{one:,.1f}", f"{together:,.1f}", f"{one / together:.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
