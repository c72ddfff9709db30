"""Do draws follow the density they are drawn from? python benchmarks/draws.py [--seeds 100].

A table of discrete columns of all kinds is fitted; for each seed 100,000 rows are drawn, and their
counts in all combinations of values compared with the exact probabilities (chi-square; rare
combinations together; categories that were not seen are never drawn). Two tables with a nominal
column are fitted, one with a continuous column, one with a continuous column with an atom; the
continuous values of each seed's draws are put through their distribution function, which
quadrature gives (Kolmogorov-Smirnov, in each category):
of the average and of each construction alone, of the slow triangular map of an atom for a tenth of
the seeds. The p-values must be uniform: printed are the least, the share below 0.05 and the p-value
of their own Kolmogorov-Smirnov test.
"""

import argparse
import itertools
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import stats

from neurolp import BrainDensity

Array = np.ndarray[Any, Any]
_BEYOND = 200  # counts that are not seen have a probability too
N_FIT, RARE = 1500, 20.0
ALONE: tuple[Any, ...] = ("auto", ["brain"], ["triangular"], ["cells"])


def discrete_table() -> pd.DataFrame:
    """Counts, an ordered category, labels, a flag: dependent on one another."""
    rng = np.random.default_rng(0)
    k = rng.binomial(5, 0.4, N_FIT)
    size = np.clip(k // 2 + rng.integers(0, 2, N_FIT), 0, 2)
    return pd.DataFrame(
        {
            "k": k,
            "size": pd.Categorical(np.array(list("SML"))[size], list("SML"), ordered=True),
            "colour": np.array(["red", "green", "blue"])[(k + rng.integers(0, 2, N_FIT)) % 3],
            "flag": rng.random(N_FIT) < 0.2 + 0.1 * k,
        }
    )


def continuous_table() -> pd.DataFrame:
    """Rain with an atom at 0, a skewed variable and the season."""
    rng = np.random.default_rng(0)
    season = rng.integers(0, 2, N_FIT)
    warm = rng.standard_normal(N_FIT) + 2 * season
    rain = np.where(rng.random(N_FIT) < 0.4, 0.0, np.exp(0.5 * warm + rng.standard_normal(N_FIT)))
    return pd.DataFrame({"rain": rain, "season": np.array(["dry", "wet"])[season]})


def smooth_table() -> pd.DataFrame:
    """A bimodal variable beside the season."""
    rng = np.random.default_rng(0)
    season = rng.integers(0, 2, N_FIT)
    x = np.where(rng.random(N_FIT) < 0.5, -1.0, 2.0 + season) + 0.4 * rng.standard_normal(N_FIT)
    return pd.DataFrame({"x": x, "season": np.array(["dry", "wet"])[season]})


def chi_square(model: BrainDensity, drawn: pd.DataFrame) -> float:
    """P-value of the counts of all combinations; of categories, which are drawn, those seen."""
    values = {name: list(v) for name, v in model.categories_.items()}
    values["k"] = list(range(-_BEYOND, _BEYOND))
    every = pd.DataFrame(list(itertools.product(*values.values())), columns=list(values))
    share = np.exp(model.score_samples(typed(every, drawn)))
    expected = share / share.sum() * len(drawn)
    counts = drawn.astype(str).value_counts()
    observed = np.array([counts.get(row, 0) for row in every.astype(str).itertuples(index=False)])
    rare = expected < RARE
    expected = np.append(expected[~rare], expected[rare].sum())
    observed = np.append(observed[~rare], len(drawn) - observed[~rare].sum())
    return float(stats.chisquare(observed, expected, sum_check=False).pvalue)


def typed(frame: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """The frame with the dtypes of another."""
    return frame.astype({name: like[name].dtype for name in frame})


def distribution(model: BrainDensity, column: str, season: str) -> tuple[np.ndarray, np.ndarray]:
    """A grid of values and P(value <= x | season), atoms left out, by Simpson's rule."""
    train = continuous_table() if column == "rain" else smooth_table()
    values = train[column][train[column] != 0] if column == "rain" else train[column]
    middle, spread = float(values.median()), float(values.std())
    grid = middle + spread * np.sinh(np.linspace(-14, 14, 200_001))
    rows = pd.DataFrame({column: grid, "season": season})
    density = np.where(grid == 0, 0.0, np.exp(model.score_samples(rows)))
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    up_to = np.append(0.0, np.cumsum(steps))
    return grid, up_to / up_to[-1]


def smirnov(drawn: pd.DataFrame, column: str, season: str, law: tuple[Array, Array]) -> float:
    """P-value of the continuous values of one season."""
    mine = drawn.loc[drawn["season"] == season, column].to_numpy()
    mine = mine[mine != 0] if column == "rain" else mine
    return float(stats.kstest(np.interp(mine, *law), "uniform").pvalue)


def main() -> None:
    """Print what the p-values of all seeds are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    discrete = BrainDensity(random_state=0).fit(discrete_table())
    for seed in range(options.seeds):
        drawn = discrete.sample(options.rows, random_state=seed)
        found.setdefault("chi-square, discrete columns", []).append(chi_square(discrete, drawn))
    for column, table in (("rain", continuous_table()), ("x", smooth_table())):
        for only in ALONE:
            if column == "rain" and only == ["brain"]:
                continue  # columns with atoms do not move
            model = BrainDensity(random_state=0, max_slices=40, constructions=only).fit(table)
            laws = {s: distribution(model, column, s) for s in ("dry", "wet")}
            slow = column == "rain" and only == ["triangular"]
            for seed in range(max(options.seeds // 10, 1) if slow else options.seeds):
                drawn = model.sample(options.rows, random_state=seed)
                for season, law in laws.items():
                    name = f"Kolmogorov-Smirnov, {column}, {only if only == 'auto' else only[0]}"
                    found.setdefault(name, []).append(smirnov(drawn, column, season, law))
    table = Table("test", "p-values", "least", "below 0.05", "are they uniform? p")
    for name, p in found.items():
        table.add_row(
            name, str(len(p)), f"{min(p):.2g}", f"{np.mean(np.array(p) < 0.05):.1%}",
            f"{stats.kstest(p, 'uniform').pvalue:.2g}",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
