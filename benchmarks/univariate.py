"""KL in one dimension beside other estimators: python benchmarks/univariate.py [problem ...].

KL(truth || estimate) in nats by quadrature, mean and standard error over seeds 0-2, and seconds to
fit, the choice of every setting included. n counts training and validation together; the peers
choose their settings by five-fold cross-validation and are then fitted to all rows. Ours has its
defaults. Compilation is done before timing.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import gaussian_kde
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.neighbors import KernelDensity

from neurolp import MonotoneDensity
from neurolp.data.problems_1d import PROBLEMS

Array = Any
Fit = Callable[[Array], Callable[[Array], Array]]  # rows (n,) -> log-density of points

# Not above: (n = 100, 1,000, 10,000).
TARGETS = {
    "trimodal": (0.030, 0.0080, 0.0013),
    "claw": (0.100, 0.020, 0.0050),
    "uniform": (0.060, 0.015, 0.0050),
    "gamma": (0.070, 0.020, 0.0070),
}
SIZES = (100, 1000, 10_000)
SEEDS = range(3)


def ours(x: Array) -> Callable[[Array], Array]:
    """Our defaults."""
    return MonotoneDensity(random_state=0).fit(x).logpdf


def chosen(x: Array, models: list[Any]) -> Callable[[Array], Array]:
    """Return the model of the greatest held-out log-likelihood, fitted to all rows."""
    rows, folds = x[:, None], list(KFold(5, shuffle=True, random_state=0).split(x))
    scores = [
        sum(model.fit(rows[a]).score_samples(rows[b]).sum() for a, b in folds) for model in models
    ]
    best = models[int(np.argmax(scores))].fit(rows)
    return lambda points: best.score_samples(points[:, None])


def mixture(x: Array) -> Callable[[Array], Array]:
    """Gaussian mixture of 1 to 16 components."""
    numbers = (1, 2, 3, 4, 5, 6, 8, 12, 16)
    return chosen(x, [GaussianMixture(k, n_init=2, random_state=0) for k in numbers])


def kernel_density(x: Array) -> Callable[[Array], Array]:
    """Gaussian kernels; the bandwidth is one of 15, from 0.01 to 1 standard deviations."""
    widths = x.std() * np.geomspace(0.01, 1.0, 15)
    return chosen(x, [KernelDensity(bandwidth=width, rtol=1e-6) for width in widths])


def scott(x: Array) -> Callable[[Array], Array]:
    """SciPy's Gaussian kernels with Scott's bandwidth, which is not chosen at all."""
    return gaussian_kde(x).logpdf


MODELS: dict[str, Fit] = {
    "MonotoneDensity": ours,
    "Gaussian mixture": mixture,
    "kernel density": kernel_density,
    "Scott's kernels": scott,
}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", help=f"of {', '.join(PROBLEMS)}; all by default")
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="rows")
    arguments = parser.parse_args()
    names = arguments.problems or list(PROBLEMS)
    if unknown := set(names) - set(PROBLEMS):
        parser.error(f"unknown problems: {', '.join(sorted(unknown))}")
    ours(np.random.default_rng(0).random(50))  # compile

    table = Table(title="KL(truth || estimate), nats, mean over seeds 0-2 (lower is better)")
    table.add_column("problem")
    table.add_column("n", justify="right")
    table.add_column("target", justify="right")
    for model in MODELS:
        table.add_column(model, justify="right")
        table.add_column("s", justify="right")
    for name in names:
        for n in arguments.sizes:
            known = name in TARGETS and n in SIZES
            cells = [name, str(n), f"{TARGETS[name][SIZES.index(n)]:.4f}" if known else ""]
            for fit in MODELS.values():
                values, seconds = [], []
                for seed in SEEDS:
                    x = PROBLEMS[name].sample(n, np.random.default_rng(seed))
                    began = time.perf_counter()
                    log_density = fit(x)
                    seconds.append(time.perf_counter() - began)
                    values.append(PROBLEMS[name].kl(log_density))
                error = np.std(values, ddof=1) / np.sqrt(len(values))
                cells += [f"{np.mean(values):.4f} ± {error:.4f}", f"{np.mean(seconds):.1f}"]
            table.add_row(*cells)
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
