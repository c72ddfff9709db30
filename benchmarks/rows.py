"""Time and memory against the number of rows: python benchmarks/rows.py.

Ten dependent, non-Gaussian columns. Seconds of a fit of 20 slices with its density heads for a
growing number of rows, then a fit with the defaults at the largest size, and the peak memory of the
process. How long the heads take depends on the seed: by up to a third either way.

Then ``score_samples`` with that brain, for a growing number of rows, and where its time goes, in
nanoseconds of one processor for a row and a slice: all slices in one pass (fused), the same slices
group by group, and what the processor at its best needs for the arithmetic alone: the products of
the weights at the rate of a large matrix product, exponentials and divisions at that of NumPy's.
All are the least of several times taken in turns.

    python benchmarks/rows.py --only-scoring --brain FILE

scores with a saved brain, or saves the one it fits where FILE does not exist yet.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neurolp import BrainDensity
from neurolp.brain.evolution import Passage
from neurolp.brain.heads.head import joint_log_prob

_TURNS = 5
_PROBE = 8192  # rows of the times on one thread


def table(n_rows: int) -> np.ndarray:
    """Ten columns: skewed, multimodal, heteroscedastic, and dependent on one another."""
    z = np.random.default_rng(0).standard_normal((n_rows, 10))
    x = z.copy()
    x[:, 1] = np.tanh(2 * z[:, 0]) + 0.2 * z[:, 1]
    x[:, 2] = z[:, 0] ** 2 + 0.3 * z[:, 2]
    x[:, 3] = z[:, 0] * z[:, 1] + 0.3 * z[:, 3]
    x[:, 4] = np.exp(0.5 * z[:, 0]) * z[:, 4]
    x[:, 5] = np.sin(2 * z[:, 4]) + 0.2 * z[:, 5]
    x[:, 6] = np.exp(0.7 * z[:, 6])
    return x


def least(
    *functions: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Least seconds of each of the functions, called in turns."""
    seconds = np.empty((_TURNS, len(functions)))
    for turn in range(_TURNS):
        for k, function in enumerate(functions):
            began = clock()
            function()
            seconds[turn, k] = clock() - began
    return [float(s) for s in seconds.min(axis=0)]


def fits(X: np.ndarray) -> None:
    """Seconds of a fit of 20 slices for a growing number of rows."""
    previous = None
    for n in (len(X) // 8, len(X) // 4, len(X) // 2, len(X)):
        began = time.perf_counter()
        brain = BrainDensity(random_state=0, max_slices=20, patience=20).fit(X[:n])
        seconds = time.perf_counter() - began
        growth = "" if previous is None else f", x {seconds / previous:.2f} for twice the rows"
        n_slices = len(brain.network_.slices)
        print(f"{n:8d} rows: {seconds:6.2f} s, {n_slices} slices{growth}", flush=True)
        previous = seconds


def whole_fit(X: np.ndarray) -> BrainDensity:
    """A fit with the defaults."""
    began = time.perf_counter()
    brain = BrainDensity(random_state=0).fit(X)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
    print(
        f"whole fit of {len(X)} rows: {seconds:.1f} s, {brain.n_slices_} of "
        f"{len(brain.network_.slices)} slices in use, peak memory {peak:.2f} GB"
    )
    return brain


def scoring(brain: BrainDensity, X: np.ndarray) -> None:
    """``score_samples`` for a growing number of rows."""
    sizes = (len(X) // 8, len(X) // 4, len(X) // 2, len(X))
    seconds = least(*(lambda n=n: brain.score_samples(X[:n]) for n in sizes))
    for n, s in zip(sizes, seconds, strict=True):
        print(f"{n:8d} rows scored: {s:6.3f} s, {s / n * 1e6:.2f} us for each", flush=True)


def where_scoring_goes(brain: BrainDensity, X: np.ndarray) -> None:
    """Fused slices, the same group by group, the arithmetic alone; one thread."""
    brain.n_threads = 1
    network, heads = brain.network_, brain.heads_ or ()
    last = max((head.time for head in heads), default=brain.n_slices_)
    potential = brain._present(X[:_PROBE]).potential
    per = 1e9 / (_PROBE * max(last, 1))
    zeros = np.zeros(_PROBE)
    fused, plain = Passage.of(network), Passage(network, None)
    large = np.random.default_rng(0).standard_normal((512, 512))
    numbers = np.random.default_rng(1).standard_normal(1 << 14)
    scratch = np.empty_like(numbers)
    names = ("group by group", "fused", "slices and heads", "heads at the end")
    *times, product, exponential, division = least(
        lambda: plain.forward(potential, zeros.copy(), 0, last),
        lambda: fused.forward(potential, zeros.copy(), 0, last),
        lambda: joint_log_prob(network, heads, potential, 1),
        lambda: [head.log_prob(network, potential) for head in heads],
        lambda: large @ large,
        lambda: np.exp(numbers, out=scratch),
        lambda: np.divide(1.0, numbers, out=scratch),
        clock=time.process_time,
    )
    groups = [group for slice_ in network.slices[:last] for group in slice_.groups]
    scaled = [g.log_scale_weights for g in groups if g.log_scale_weights is not None]
    n_products = sum(w.size for w in [g.weights for g in groups] + scaled)
    n_sources = sum(len(group.sources) for group in groups)
    n_targets = sum(len(group.targets) for group in groups)
    peak = {
        "products": n_products * product / 512**3,
        "exponentials": (n_sources + n_targets * bool(scaled)) * exponential / len(numbers),
        "divisions": n_sources * division / len(numbers),
    }
    for name, seconds in zip(names, times, strict=True):
        print(f"{name:>20}: {seconds * per:7.1f} ns for a row and one of {last} slices")
    limit = sum(peak.values()) * 1e9 / max(last, 1)
    parts = ", ".join(f"{name} {s * 1e9 / max(last, 1):.1f}" for name, s in peak.items())
    print(f"{'arithmetic alone':>20}: {limit:7.1f} ns ({parts})")
    print(
        f"fused is {times[0] / times[1]:.1f} times as fast as group by group, "
        f"and takes {times[1] * per / limit:.2f} times as long as the arithmetic alone"
    )


def main() -> None:
    """Print a line per size, the whole fit, and the times of scoring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only-scoring", action="store_true")
    parser.add_argument("--brain", type=Path, help="file of a saved brain")
    arguments = parser.parse_args()
    X = table(arguments.rows)
    BrainDensity(random_state=0, max_slices=2).fit(X[:1000]).score_samples(X[:10])  # compile
    if not arguments.only_scoring:
        fits(X)
    if arguments.brain is not None and arguments.brain.exists():
        brain = BrainDensity.load(arguments.brain)
    else:
        brain = whole_fit(X)
        if arguments.brain is not None:
            brain.save(arguments.brain)
    scoring(brain, X)
    where_scoring_goes(brain, X)


if __name__ == "__main__":
    main()
