"""Quality and fit time beside well-known densities: python benchmarks/fit.py [data ...].

Mean test log-likelihood in nats, in standardised units (mean and standard deviation of the
training rows), and seconds to fit. Every setting of every model is chosen on validation data; the
brain has its defaults. Small tables: mean and standard error over splits 0-4. Compilation is done
before timing.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import KernelDensity

from neurolp import BrainDensity
from neurolp.baselines import gaussian, gaussian_mixture
from neurolp.data import DATA_NAMES, DataSplit, load_data
from neurolp.problems import PROBLEM_NAMES, problem_log_density

Fit = Callable[[DataSplit], float]


def brain(data: DataSplit) -> float:
    """Our defaults."""
    model = BrainDensity(random_state=0).fit(data.train, X_validation=data.validation)
    return model.score(data.test)


def gauss(data: DataSplit) -> float:
    """Maximum-likelihood Gaussian."""
    fitted = gaussian(data.train, data.test)
    return np.nan if fitted is None else fitted.test_log_prob


def mixture(data: DataSplit) -> float:
    """Gaussian mixture, chosen on validation."""
    return gaussian_mixture(data.train, data.validation, data.test, seed=0).test_log_prob


def kernel_density(data: DataSplit) -> float:
    """Gaussian kernels, bandwidth chosen on validation."""
    best: tuple[float, Any] = (-np.inf, None)
    for bandwidth in np.geomspace(0.03, 1.5, 15):
        model = KernelDensity(bandwidth=bandwidth).fit(data.train)
        score = model.score(data.validation)
        if score > best[0]:
            best = (score, model)
    return best[1].score(data.test) / len(data.test)


MODELS: dict[str, Fit] = {
    "brain": brain,
    "Gaussian": gauss,
    "Gaussian mixture": mixture,
    "kernel density": kernel_density,
}


def standardised(data: DataSplit) -> DataSplit:
    """Give every model the same standardised rows."""
    mean, std = data.train.mean(axis=0), data.train.std(axis=0)
    parts = ((x - mean) / std for x in (data.train, data.validation, data.test))
    return DataSplit(data.title, *parts, data.columns, data.steps / std, data.image_shape)


def truth(name: str, seed: int) -> float:
    """Mean true log-density of the test points, standardised: what no model can beat."""
    data = load_data(name, split_seed=seed)
    return problem_log_density(name, data.test).mean() + np.log(data.train.std(axis=0)).sum()


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", help=f"of {', '.join(DATA_NAMES)}; all by default")
    names = parser.parse_args().data or list(DATA_NAMES)
    if unknown := set(names) - set(DATA_NAMES):
        parser.error(f"unknown data: {', '.join(sorted(unknown))}")
    brain(standardised(load_data("wine")))  # compile

    table = Table(title="Mean test log-likelihood (nats, standardised; higher is better)")
    table.add_column("data")
    for model in MODELS:
        table.add_column(model, justify="right")
        table.add_column("s", justify="right")
    table.add_column("truth", justify="right")
    for name in names:
        splits = range(5) if name in ("wine", "breast_cancer") else range(1)
        cells = [f"{name} ({len(splits)} split{'s' if len(splits) > 1 else ''})"]
        for fit in MODELS.values():
            scores, seconds = [], []
            for seed in splits:
                data = standardised(load_data(name, split_seed=seed))
                began = time.perf_counter()
                scores.append(fit(data))
                seconds.append(time.perf_counter() - began)
            error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else None
            cells += [
                f"{np.mean(scores):.2f}" + (f" ± {error:.2f}" if error is not None else ""),
                f"{np.mean(seconds):.1f}",
            ]
        cells.append(f"{truth(name, 0):.2f}" if name in PROBLEM_NAMES else "")
        table.add_row(*cells)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
