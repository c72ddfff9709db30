"""Hostile tables at full count: python benchmarks/hostile_tables.py [--count 10000] [--seed 0].

Each goes through `fit` of an estimator and what can be asked of it. It must be learned from, with
probabilities that are numbers, or be refused in one line; no warning, traceback or long wait.
`--only ROUND:NUMBER` tries one of them again and lets its error through. Exit code 1 if anything
else happened.
"""

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests import hostile_tables  # noqa: E402  (found where it is looked for above)

_ROUND = 6  # longer ones repeat themselves; the first of each is always the same
_SHOWN = 3  # of the faults from one place that begin with the same words


def drawn(number: int) -> list[hostile_tables.Case]:
    """The cases of a round, always the same."""
    out: list[hostile_tables.Case] = []

    def keep(case: hostile_tables.Case) -> None:
        out.append(case)

    run = given(hostile_tables.cases(most_rows=300, quick=False))(keep)
    run = settings(
        max_examples=_ROUND, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(run)  # fmt: skip
    seed(number)(run)()
    return out[1:]


def main() -> None:
    """Count outcomes, print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--only", help="ROUND:NUMBER as printed beside what is wrong")
    options = parser.parse_args()
    if options.only:
        number, k = map(int, options.only.split(":"))
        case = drawn(number)[k]
        print(case)
        print(hostile_tables.outcome(case))
        return
    counts: Counter[tuple[str, str]] = Counter()
    places: Counter[str] = Counter()
    slowest: list[tuple[float, str]] = []
    n_wrong, rounds, began = 0, options.seed * 1_000_000, time.monotonic()
    while counts.total() < options.count and time.monotonic() - began < 60 * options.minutes:
        for k, case in enumerate(drawn(rounds)):
            if counts.total() >= options.count:
                break
            start = time.process_time()
            try:
                what = hostile_tables.outcome(case)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                what, n_wrong = "wrong", n_wrong + 1
                frames = traceback.extract_tb(error.__traceback__)
                last = [f for f in frames if f.filename.startswith(str(ROOT))][-1]
                place = f"{last.filename}:{last.lineno} {error!s:.20}"
                places[place] += 1
                if places[place] <= _SHOWN:
                    print(f"WRONG {rounds}:{k} {type(error).__name__}: {error!s:.500} ({place})")
                    print(f"    {case}", flush=True)
            counts[case.model, what] += 1
            slowest = sorted(
                [*slowest, (time.process_time() - start, f"{rounds}:{k} {case.model}")]
            )[-5:]
        rounds += 1
    took = time.monotonic() - began
    total = Counter(what for _, what in counts.elements())
    print(f"{counts.total()} tables in {took:.0f} s: {dict(total)}")
    for name in hostile_tables.MODELS:
        mine = {what: n for (model, what), n in counts.items() if model == name}
        print(f"    {name}: {mine}")
    for place, n in places.most_common():
        print(f"    wrong {n} times: {place}")
    print("slowest:", ", ".join(f"{where} {seconds:.1f} s" for seconds, where in slowest))
    print(f"{n_wrong} wrong")
    sys.exit(1 if n_wrong else 0)


if __name__ == "__main__":
    main()
