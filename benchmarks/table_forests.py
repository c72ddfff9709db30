"""Adversarial random forests as a peer of the benchmark of tables: exact log p of mixed rows.

`arfpy` grows the forest and estimates the parameters of its leaves (`forde`); it has no density.
Here

    p(row) = mean over trees of sum over leaves coverage prod_j p_j(x_j | leaf),

with truncated normals for numbers (on a grid: the masses of its cells) and smoothed frequencies for
symbols, each normalised within the bounds of the leaf. The pseudocount (`alpha` of arfpy) and the
smallest deviation are chosen on validation. Columns with atoms are two parts, see
`table_peers.Parts`.

Source: D. S. Watson, K. Blesch, J. Kapar and M. N. Wright, "Adversarial random forests for density
estimation and generative modeling", AISTATS (2023).
"""

import math
import warnings
from typing import Any

import numba
import numpy as np
import pandas as pd
from table_peers import Parts, finite_mean, log_mass

from neurolp.data.columns import Columns

Array = np.ndarray[Any, Any]
N_TREES = 20


@numba.njit(cache=True)
def log_density(
    x: Array, log_weight: Array, lower: Array, upper: Array, n_symbols: Array, offset: Array,
    log_theta: Array, step: Array, mean: Array, deviation: Array, log_total: Array,
) -> Array:  # fmt: skip
    """Log p of rows (n, m): log-sum over leaves of the factors of the parts that are there."""
    n, m = x.shape
    n_leaves = len(log_weight)
    out = np.empty(n)
    root2 = math.sqrt(2.0)
    for i in range(n):
        top, total = -np.inf, 0.0
        for leaf in range(n_leaves):
            inside = True
            for j in range(m):
                v = x[i, j]
                if not math.isnan(v) and not (lower[leaf, j] < v <= upper[leaf, j]):
                    inside = False
                    break
            if not inside:
                continue
            s = log_weight[leaf]
            for j in range(m):
                v = x[i, j]
                if math.isnan(v):
                    continue
                if n_symbols[j] > 0:
                    s += log_theta[leaf, offset[j] + int(v)]
                    continue
                d = deviation[leaf, j]
                z = (v - mean[leaf, j]) / d
                if step[j] > 0:
                    a, b = z - 0.5 * step[j] / d, z + 0.5 * step[j] / d
                    if a > 0:
                        a, b = -b, -a
                    mass = 0.5 * (math.erfc(-b / root2) - math.erfc(-a / root2))
                    s += math.log(max(mass, 1e-300)) - log_total[leaf, j]
                else:
                    s += -0.5 * z * z - math.log(d) - 0.9189385332046727 - log_total[leaf, j]
            if s > top:
                total = total * math.exp(top - s) + 1.0
                top = s
            else:
                total += math.exp(s - top)
        out[i] = top + math.log(total) if total > 0 else -np.inf
    return out


class Forest:
    """A forest of arfpy over the parts of a table."""

    def __init__(self, columns: Columns, train: Array, seed: int) -> None:
        vars(np).setdefault("in1d", np.isin)  # arfpy 0.1 calls what NumPy 2.4 has no more
        from arfpy.arf import arf

        self.parts = Parts(columns, train, 12)
        x, _ = self.parts.split(train)
        frame = pd.DataFrame(x, columns=[f"p{p}" for p in range(x.shape[1])])
        for p, part in enumerate(self.parts.parts):
            if part.n_symbols:
                codes = np.where(np.isnan(x[:, p]), -1, x[:, p]).astype(np.int64)
                frame[f"p{p}"] = pd.Categorical.from_codes(codes, categories=range(part.n_symbols))
        state = np.random.get_state()  # noqa: NPY002  # arfpy draws from the global generator
        np.random.seed(seed)  # noqa: NPY002
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                forest = arf(frame, num_trees=N_TREES, verbose=False, random_state=seed)
                forest.forde()
        finally:
            np.random.set_state(state)  # noqa: NPY002
        self._read(forest, x)

    def _read(self, forest: Any, x: Array) -> None:
        """Leaves of the tables of ``forde`` as arrays (n_leaves, n_parts)."""
        parts, names = self.parts.parts, [f"p{p}" for p in range(x.shape[1])]
        bounds = forest.bnds
        keys = bounds[["tree", "nodeid", "cvg"]].drop_duplicates(["tree", "nodeid"])
        index = pd.MultiIndex.from_frame(keys[["tree", "nodeid"]])
        coverage = keys["cvg"].to_numpy(np.float64)
        per_tree = keys.groupby("tree")["cvg"].transform("sum").to_numpy(np.float64)
        self.log_weight = np.log(coverage / per_tree / N_TREES)
        self.size = coverage * len(x)

        def wide(table: Any, what: str) -> Array:
            square = table.pivot(index=["tree", "nodeid"], columns="variable", values=what)
            return square.reindex(index=index, columns=names).to_numpy(np.float64, copy=True)

        self.lower, self.upper = wide(bounds, "min"), wide(bounds, "max")
        empty = np.full(self.lower.shape, np.nan)
        numeric = forest.params if len(forest.params) else None
        self.mean = empty.copy() if numeric is None else wide(numeric, "mean")
        self.deviation = empty.copy() if numeric is None else wide(numeric, "sd")
        self.spread = np.ones(len(parts))
        self.offset = np.cumsum([0, *(part.n_symbols for part in parts)])
        self.counts = np.zeros((len(index), self.offset[-1]))
        if len(table := forest.class_probs):
            leaf = index.get_indexer(pd.MultiIndex.from_frame(table[["tree", "nodeid"]]))
            part = table["variable"].str[1:].astype(int).to_numpy()
            symbol = table["value"].to_numpy(np.int64)
            seen = (symbol >= 0) & (leaf >= 0)
            where = leaf[seen], (self.offset[part] + symbol)[seen]
            self.counts[where] = table["prob"].to_numpy(np.float64)[seen] * self.size[leaf[seen]]
        self.allowed = np.ones(self.counts.shape, dtype=bool)
        self.steps = np.array([part.step for part in parts])
        self.n_symbols = np.array([part.n_symbols for part in parts])
        self.log_total = np.zeros(self.lower.shape)
        for p, part in enumerate(parts):
            known = x[~np.isnan(x[:, p]), p]
            self.spread[p] = known.std() or 1.0
            # A leaf of rows where the part is missing says nothing of its values.
            lower, upper = self.lower[:, p], self.upper[:, p]
            if part.n_symbols:
                void = (upper < 0) | (lower >= part.n_symbols - 1)
            else:
                void = np.isposinf(lower) | np.isneginf(upper)
            lower[void], upper[void] = -np.inf, np.inf
            if part.n_symbols:
                symbol = np.arange(part.n_symbols)
                columns = slice(self.offset[p], self.offset[p + 1])
                self.allowed[:, columns] = (symbol > lower[:, None]) & (symbol <= upper[:, None])
                continue
            missing = np.isnan(self.mean[:, p])
            middle = np.clip(known.mean(), np.maximum(lower, -1e300), np.minimum(upper, 1e300))
            self.mean[missing, p] = middle[missing]
            self.deviation[missing, p] = self.spread[p]
            self.deviation[np.isnan(self.deviation[:, p]), p] = 0.0

    def smooth(self, alpha: float, least: float) -> "Forest":
        """Pseudocounts for symbols, and the least deviation in those of the columns."""
        self.alpha, self.least = alpha, least
        counts = np.where(self.allowed, self.counts + alpha, 0.0)
        self.log_theta = np.full(counts.shape, -np.inf)
        for p, part in enumerate(self.parts.parts):
            columns = slice(self.offset[p], self.offset[p + 1])
            if part.n_symbols:
                block = counts[:, columns]
                with np.errstate(divide="ignore"):
                    self.log_theta[:, columns] = np.log(block / block.sum(axis=1, keepdims=True))
        self.deviations = np.ones(self.lower.shape)
        for p, part in enumerate(self.parts.parts):
            if part.n_symbols:
                continue
            floor = max(least * self.spread[p], 0.3 * part.step)
            d = self.deviations[:, p] = np.maximum(self.deviation[:, p], floor)
            a, b = self.lower[:, p], self.upper[:, p]
            if part.step:  # the cells whose values are within the bounds
                a, b = (part.origin + (np.floor((e - part.origin) / part.step + 1e-9) + 0.5)
                        * part.step for e in (a, b))  # fmt: skip
            mean = self.mean[:, p]
            self.log_total[:, p] = np.maximum(log_mass((a - mean) / d, (b - mean) / d), -690.0)
        return self

    @property
    def setting(self) -> str:
        """Leaves and smoothing."""
        return f"{len(self.size):,} leaves, alpha {self.alpha:g}, deviation {self.least:g}"

    def score(self, codes: Array) -> Array:
        """Log p of rows, nats; missing parts are left out, which is the marginal."""
        x, rest = self.parts.split(codes)
        mean = np.nan_to_num(self.mean)
        return rest + log_density(
            x, self.log_weight, self.lower, self.upper, self.n_symbols, self.offset,
            self.log_theta, self.steps, mean, self.deviations, self.log_total,
        )  # fmt: skip


def fit_forest(columns: Columns, train: Array, valid: Array, seed: int) -> Forest:
    """A forest with the defaults of arfpy, and smoothing chosen on validation."""
    forest = Forest(columns, train, seed)
    grid = [(alpha, least) for alpha in (0.02, 0.1, 0.5, 2.0) for least in (0.002, 0.01, 0.05, 0.2)]
    some = valid[:: max(len(valid) // 2000, 1)]
    scores = [finite_mean(forest.smooth(*setting).score(some)) for setting in grid]
    return forest.smooth(*grid[int(np.argmax(scores))])
