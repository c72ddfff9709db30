"""What each form claims and what it reaches: python benchmarks/forms.py [--audit].

Two tables. Where the source is known: test surprise minus that of the true density, the integral of
Phi (``neurolp.audit``), and the surprise once Phi is divided by it. On real tables (split 0,
standardised): mean test log-likelihood and seconds to fit. Every form has its defaults, the
bounded one with coupling as it is written.

``--audit`` measures instead a brain of 500 nodes that has learned 400 slices, fully connected and
with 20 edges a node (minutes).
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import multivariate_normal

from neurolp import BoundedBrain, BrainDensity, LinearBrain, audit
from neurolp.brain import wiring
from neurolp.data.problems_2d import problem_log_density
from neurolp.data.tables import load_data
from neurolp.evaluation.baselines import gaussian

FORMS: dict[str, Callable[[], Any]] = {
    "exact": lambda: BrainDensity(random_state=0),
    "linear, exact flow": lambda: LinearBrain(random_state=0),
    "linear, synchronous, 10 steps": lambda: LinearBrain(stepping="synchronous", random_state=0),
    "linear, synchronous, 2 steps": lambda: LinearBrain(
        stepping="synchronous", n_steps=2, random_state=0
    ),
    "bounded, synchronous, 5 steps": lambda: BoundedBrain(random_state=0),
}


def correlated(n: int, seed: int) -> np.ndarray:
    """Two normal columns with correlation 0.8."""
    return np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], n)


def sources() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """Training, validation and test rows, and the mean true surprise of the test rows."""
    laplace = load_data("mixed_sources")
    truth = -problem_log_density("mixed_sources", laplace.test).mean()
    parts = [correlated(n, seed) for seed, n in enumerate((10_000, 2_000, 10_000))]
    normal = -multivariate_normal(cov=[[1, 0.8], [0.8, 1]]).logpdf(parts[2]).mean()
    return {
        "mixed Laplace sources": (laplace.train, laplace.validation, laplace.test, float(truth)),
        "two normal columns, correlation 0.8": (parts[0], parts[1], parts[2], float(normal)),
    }


def known_sources() -> Table:
    """Surprise above the entropy, integral, and their sum."""
    table = Table("form", title="Test surprise minus that of the true density, nats")
    problems = sources()
    for name in problems:
        for what in (name, "integral of Phi", "normalised"):
            table.add_column(what, justify="right")
    for name, make in FORMS.items():
        cells = [name]
        for train, validation, test, truth in problems.values():
            model = make().fit(train, X_validation=validation)
            excess, integral = -model.score(test) - truth, audit(model).integral
            cells += [f"{excess:.3f}", f"{integral:.3f}", f"{excess + np.log(integral):.3f}"]
        table.add_row(*cells)
    return table


def real_tables() -> Table:
    """Mean test log-likelihood of split 0, standardised."""
    names = ("digits", "breast_cancer", "wine")
    table = Table("form", title="Mean test log-likelihood, split 0, standardised nats")
    for name in names:
        table.add_column(name, justify="right")
        table.add_column("s", justify="right")
    data = [load_data(name) for name in names]
    plain = [gaussian(d.train, d.test) for d in data]
    scales = [np.log(d.train.std(axis=0)).sum() for d in data]
    cells = [f"{p.test_log_prob + s:.1f}" if p else "-" for p, s in zip(plain, scales, strict=True)]
    table.add_row("Gaussian, full covariance", *(c for cell in cells for c in (cell, "")))
    for form in ("exact", "linear, exact flow", "bounded, synchronous, 5 steps"):
        row = [form]
        for d, scale in zip(data, scales, strict=True):
            began = time.perf_counter()
            model = FORMS[form]().fit(d.train, X_validation=d.validation)
            row += [f"{model.score(d.test) + scale:.1f}", f"{time.perf_counter() - began:.1f}"]
        table.add_row(*row)
    return table


def audits(console: Console, n_nodes: int, n_slices: int) -> None:
    """Learn, then audit."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((n_nodes, n_nodes)) / np.sqrt(n_nodes)
    X = rng.standard_t(4, (1_000, n_nodes)) @ mixing + rng.standard_t(4, (1_000, n_nodes))
    for edges in (None, wiring.random(n_nodes, in_degree=min(20, n_nodes - 1), seed=0)):
        brain = BrainDensity(
            connectivity=edges,
            head="base",
            marginal_transform=False,
            max_slices=n_slices,
            patience=n_slices,
            random_state=0,
        ).fit(X)
        brain.n_slices_ = n_slices  # past the best time too: what is audited is exactness
        console.print(audit(brain, n_points=3, n_dreams=16))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audit", action="store_true", help="500 nodes, 400 slices")
    parser.add_argument("--nodes", type=int, default=500, help="nodes of the audited brain")
    parser.add_argument("--slices", type=int, default=400, help="slices of the audited brain")
    arguments = parser.parse_args()
    console = Console(width=160)
    if arguments.audit:
        audits(console, arguments.nodes, arguments.slices)
    else:
        console.print(known_sources())
        console.print(real_tables())


if __name__ == "__main__":
    main()
