"""Hostile configurations at full count: python benchmarks/fuzz.py [--count 10000] [--commands 100].

Each goes through the code of `neurolp run` until its first slice, block of steps or part: it must
begin a run, or end in one line with exit code 65, 73 or 78. A sample of those refused goes through
the real command, which must say the same. Exit code 1 if anything else happened.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests import hostile  # noqa: E402  (found where it is looked for above)

_PATIENCE = 20  # seconds of the processor until a run must have begun


def main() -> None:
    """Count outcomes, print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--commands", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = hostile.folder_for(tempfile.mkdtemp())
    seen: dict[bytes, tuple[object, str]] = {}
    faults: list[str] = []
    began = time.monotonic()

    def one(number: int) -> None:
        generator = random.Random(number)
        try:
            text, given_settings = hostile.configuration(generator), hostile.settings_of(generator)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # from the schema
            faults.append(f"{type(error).__name__}: {error}\n    {number}")
            return
        if len(seen) >= options.count or (key := text + repr(given_settings).encode()) in seen:
            return
        try:
            code, line = hostile.outcome(folder, text, given_settings, patience=_PATIENCE)
            wrong = hostile.fault(code, line)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            code, line, wrong = "raised", "", f"{type(error).__name__}: {error}"
        seen[key] = code, line
        if wrong:
            faults.append(f"{wrong[:300]}\n    {number}: {text[:300]!r} {given_settings!r:.200}")

    # hypothesis repeats itself: as many rounds as it takes for so many different ones.
    rounds = 0
    while len(seen) < options.count:
        rounds += 1
        run = given(st.integers(0, 2**64 - 1))(one)
        run = settings(
            max_examples=1000, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(run)  # fmt: skip
        seed(options.seed * 1000 + rounds)(run)()
    counts = Counter(str(code) for code, _ in seen.values())
    print(
        f"{len(seen)} different configurations in {time.monotonic() - began:.0f} s: {dict(counts)}"
    )

    tried = 0
    for number in range(options.commands * 10):
        if tried == options.commands:
            break
        text = hostile.configuration(random.Random(number))
        code, line = hostile.outcome(folder, text)
        if code == "run":
            continue
        tried += 1
        (folder / "config.toml").write_bytes(text)
        command = [sys.executable, "-m", "neurolp", "run", folder / "config.toml"]
        done = subprocess.run(
            [*map(str, command), "-o", str(folder / "out.h5")],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if (done.returncode, done.stdout, done.stderr) != (code, "", line):
            faults.append(f"the command: {done.returncode} {done.stderr!r}, wanted {code} {line!r}")
    print(f"{tried} of them through the real command")
    for fault in faults:
        print(f"WRONG {fault}")
    print(f"{len(faults)} wrong")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
