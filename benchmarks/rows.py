"""Time and memory against the number of rows: python benchmarks/rows.py.

Ten dependent, non-Gaussian columns. Seconds of a fit of 20 slices with its density heads for a
growing number of rows, then a fit with the defaults at the largest size, and the peak memory of the
process. How long the heads take depends on the seed: by up to a third either way.
"""

import argparse
import resource
import time

import numpy as np

from neurolp import BrainDensity


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


def main() -> None:
    """Print a line per size, then the whole fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    n_rows = parser.parse_args().rows
    X = table(n_rows)
    BrainDensity(random_state=0, max_slices=2).fit(X[:1000])  # compile
    previous = None
    for n in (n_rows // 8, n_rows // 4, n_rows // 2, n_rows):
        began = time.perf_counter()
        brain = BrainDensity(random_state=0, max_slices=20, patience=20).fit(X[:n])
        seconds = time.perf_counter() - began
        growth = "" if previous is None else f", x {seconds / previous:.2f} for twice the rows"
        n_slices = len(brain.network_.slices)
        print(f"{n:8d} rows: {seconds:6.2f} s, {n_slices} slices{growth}", flush=True)
        previous = seconds
    began = time.perf_counter()
    brain = BrainDensity(random_state=0).fit(X)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
    print(
        f"whole fit of {n_rows} rows: {seconds:.1f} s, {brain.n_slices_} of "
        f"{len(brain.network_.slices)} slices in use, peak memory {peak:.2f} GB"
    )


if __name__ == "__main__":
    main()
