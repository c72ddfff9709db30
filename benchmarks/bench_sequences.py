"""Random sequences of operations on a brain: python benchmarks/bench_sequences.py [--count 2000].

Each is a new brain for streams (any sensors, rule, connectivity), to which a dozen things are done:
it sees rows, values repeat or are far away, nodes and edges are taken, weights assigned, currents
injected, its memory cleared, its rates changed; it dreams, is saved, loaded. Afterwards all numbers
are finite, predictions normalised, taken nodes silent, and what was loaded goes on as what was
saved. A fault is printed as the shortest sequence that shows it.
"""

import argparse
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.stream_sequences import BenchSequences


def main() -> None:
    """Count sequences until one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    began = time.monotonic()
    run_state_machine_as_test(
        BenchSequences,
        settings=settings(
            max_examples=options.count, stateful_step_count=12, deadline=None, database=None,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    print(f"{options.count} sequences in {time.monotonic() - began:.0f} s: no faults")


if __name__ == "__main__":
    main()
