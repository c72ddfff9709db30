"""``experiment = "univariate"``: densities of one variable from few and from many values.

The monotone network y(x), whose derivative is the density, against the truth: shapes with several
modes, with edges, skewed. The baseline is a kernel density whose bandwidth is chosen by leaving one
value out. A smaller sample is the beginning of a larger one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from neurolp.arrays import Array, NamedArrays
from neurolp.config.experiment_sections import UnivariateConfiguration
from neurolp.data.problems_1d import PROBLEMS, Problem
from neurolp.estimators import MonotoneDensity
from neurolp.evaluation.baselines import kernel_density
from neurolp.evaluation.metrics import total_probability
from neurolp.progress import Observer
from neurolp.runs.computation import experiment, watched
from neurolp.runs.kinds import SummaryTable
from neurolp.runs.memory import NUMBER, PROCESS, SEVERAL_MODELS, Memory
from neurolp.storage.reader import Trajectory

ESTIMATORS = ("MonotoneDensity", "kernel density")
_N_POINTS = 601


def compute(configuration: UnivariateConfiguration, observe: Observer) -> NamedArrays:
    """Learn every problem from samples of every size, once for each seed."""
    problems, sizes = configuration.problems, sorted(set(configuration.sizes))
    seeds = np.arange(configuration.n_seeds) + (configuration.seed or 0) % 2**32
    cells = (len(problems), len(sizes), len(seeds))
    kl, seconds = np.empty((*cells, 2)), np.empty((*cells, 2))
    total, ends = np.empty(cells), np.empty((*cells, 2))
    grid = np.stack([_grid(PROBLEMS[name]) for name in problems])
    density = np.empty((*cells[:2], 2, _N_POINTS))
    distribution = np.empty((*cells[:2], _N_POINTS))
    sample = np.empty((len(problems), sizes[-1]))
    steps = [(i, j) for i in range(len(problems)) for j in range(len(sizes))]

    def describe(step: tuple[int, int]) -> str:
        return f"{problems[step[0]]}, n = {sizes[step[1]]}"

    for i, j in watched(steps, observe, describe):
        problem = PROBLEMS[problems[i]]
        for s, seed in enumerate(seeds):
            values = problem.sample(sizes[-1], np.random.default_rng(seed))
            x = values[: sizes[j]]
            began = time.monotonic()
            monotone = MonotoneDensity(random_state=int(seed)).fit(x)
            middle = time.monotonic()
            kernels = kernel_density(x)
            seconds[i, j, s] = middle - began, time.monotonic() - middle
            logs: tuple[Callable[[Array], Array], ...] = (monotone.logpdf, kernels)
            kl[i, j, s] = [problem.kl(log) for log in logs]
            ends_of_units = monotone.mean_ + monotone.scale_ * monotone.network_.ends
            where = np.append(np.quantile(x, np.linspace(0, 1, 21)), ends_of_units)
            total[i, j, s] = total_probability(
                monotone.logpdf, monotone.support_, points=where
            ).value
            ends[i, j, s] = monotone.ends_
            if s == 0:
                sample[i] = values
                density[i, j] = [np.exp(log(grid[i])) for log in logs]
                distribution[i, j] = monotone.cdf(grid[i])

    truth = [np.exp(PROBLEMS[name].log_density(x)) for name, x in zip(problems, grid, strict=True)]
    return NamedArrays.of(
        coordinates={
            "problem": (problems, "1", "true density"),
            "size": (sizes, "1", "values learned from"),
            "seed": (seeds, "1", "seed of the sample"),
            "estimator": (ESTIMATORS, "1", "density estimator, defaults"),
            "point": (np.arange(_N_POINTS), "1", "position on the grid"),
            "end": (["low", "high"], "1", "end of the support"),
            "draw": (np.arange(sizes[-1]), "1", "value, in the order drawn"),
        },
        variables={
            "kl": ("problem size seed estimator", kl, "nat", "KL(truth || estimate) by quadrature"),
            "seconds": ("problem size seed estimator", seconds, "s", "time of fitting"),
            "total": ("problem size seed", total, "1", "integral of the MonotoneDensity"),
            "end_inferred": ("problem size seed end", ends, "x", "inferred end; infinite if none"),
            "grid": ("problem point", grid, "x", "where the densities below are evaluated"),
            "true_density": ("problem point", truth, "1/x", "density of the source"),
            "density": ("problem size estimator point", density, "1/x", "density, first seed"),
            "distribution": ("problem size point", distribution, "1", "y(x), first seed"),
            "sample": ("problem draw", sample, "x", "values of the first seed"),
        },
    )


def summary(file: Trajectory) -> list[SummaryTable]:
    """KL, mean and standard error over seeds."""
    kl = file["kl"]
    n_seeds = len(kl.coords["seed"].values)
    rows = []
    for i, problem in enumerate(kl.coords["problem"].values):
        for e, estimator in enumerate(kl.coords["estimator"].values):
            cells = []
            for j in range(len(kl.coords["size"].values)):
                values = kl.values[i, j, :, e]
                error = f" +- {values.std(ddof=1) / n_seeds**0.5:.4f}" if n_seeds > 1 else ""
                cells.append(f"{values.mean():.4f}{error}")
            rows.append((str(problem), str(estimator), *cells))
    title = f"KL(truth || estimate), nats, mean of {n_seeds} samples (lower is better)"
    sizes = (f"n = {size}" for size in kl.coords["size"].values)
    return [SummaryTable(title, ("problem", "estimator", *sizes), rows)]


def _grid(problem: Problem) -> Array:
    """From a little below to a little above where the problem has 99.8 % of its probability."""
    values = problem.sample(100_000, np.random.default_rng(0))
    low, high = np.quantile(values, [0.001, 0.999])
    pad = 0.12 * (high - low)
    return np.linspace(low - pad, high + pad, _N_POINTS)


def _memory(configuration: UnivariateConfiguration) -> Memory:
    n_problems, sizes = len(configuration.problems), configuration.sizes
    numbers = 8.0 * n_problems * len(sizes) * configuration.n_seeds
    numbers += (2.0 + n_problems) * max(sizes)
    return Memory("keys n_seeds and sizes", NUMBER * numbers, PROCESS + SEVERAL_MODELS)


_ABOUT = (
    "Densities of one variable whose truth is known were learned from samples of "
    "several sizes, beside kernel density estimates."
)

KIND = experiment("univariate", UnivariateConfiguration, compute, summary, _memory, _ABOUT)
