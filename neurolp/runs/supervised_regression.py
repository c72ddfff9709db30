"""Regression in the experiment ``supervised``: the whole of p(y | x) against least squares."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.data.supervised import SupervisedSplit
from neurolp.estimators import ConditionalDensity
from neurolp.evaluation.metrics import calibration_test, pit_histogram
from neurolp.runs.kinds import SummaryTable
from neurolp.runs.least_squares import LeastSquares
from neurolp.storage.reader import Trajectory

Array = npt.NDArray[Any]

MODELS = ("conditional density", "least squares")
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
_BINS = 20
_SHOWN_ROWS = 300
_MAP_SIZE = 121


@dataclass(frozen=True)
class Regression:
    """What was measured on the test rows of one problem, for both models: first axis."""

    title: str
    log_prob: Array
    log_prob_error: Array
    rmse: Array
    coverage: Array
    width: Array
    pit_counts: Array
    calibration_p: Array
    seconds: Array
    true_log_prob: float
    target: Array
    quantiles: Array
    condition_map: ConditionMap | None


@dataclass(frozen=True)
class ConditionMap:
    """p(y | x) of both models, and of the truth where it is known, where there is one condition."""

    x: Array
    y: Array
    density: Array


def measure(data: SupervisedSplit, seed: int) -> Regression:
    """Fit both models and measure them on test rows."""
    X, y = data.X_test, data.y_test
    began = time.monotonic()
    density = ConditionalDensity(random_state=seed).fit(
        data.X_train, data.y_train, X_validation=data.X_validation, y_validation=data.y_validation
    )
    middle = time.monotonic()
    squares = LeastSquares().fit(
        data.X_train, data.y_train, data.X_validation, data.y_validation, seed=seed
    )
    seconds = np.array([middle - began, time.monotonic() - middle])
    models: tuple[Any, ...] = (density, squares)
    log_prob = np.stack([model.log_prob(X, y) for model in models])
    quantiles = np.stack([model.predict_quantile(X, LEVELS) for model in models])
    low, high = quantiles[:, :, 0], quantiles[:, :, -1]
    pit = [np.clip(model.pit(X, y), 0, 1) for model in models]
    tests = [calibration_test(p) for p in pit]
    truth = np.nan if data.log_density is None else float(data.log_density(X, y).mean())
    return Regression(
        title=data.title,
        log_prob=log_prob.mean(axis=1),
        log_prob_error=log_prob.std(axis=1, ddof=1) / np.sqrt(len(y)),
        rmse=np.array([np.sqrt(np.mean((y - model.predict(X)) ** 2)) for model in models]),
        coverage=np.mean((y >= low) & (y <= high), axis=1),
        width=np.mean(high - low, axis=1),
        pit_counts=np.stack([pit_histogram(p, _BINS).counts for p in pit]),
        calibration_p=np.array([test.chi_square_p for test in tests]),
        seconds=seconds,
        true_log_prob=truth,
        target=y[:_SHOWN_ROWS],
        quantiles=quantiles[:, :_SHOWN_ROWS],
        condition_map=_map(data, models) if X.shape[1] == 1 else None,
    )


def _map(data: SupervisedSplit, models: tuple[Any, ...]) -> ConditionMap:
    x = np.linspace(data.X_train.min(), data.X_train.max(), _MAP_SIZE)
    low, high = data.y_train.min(), data.y_train.max()
    pad = 0.1 * (high - low)
    y = np.linspace(low - pad, high + pad, _MAP_SIZE)
    pairs = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    logs = [model.log_prob(pairs[:, :1], pairs[:, 1]) for model in models]
    logs.append(
        np.full(len(pairs), np.nan)
        if data.log_density is None
        else data.log_density(pairs[:, :1], pairs[:, 1])
    )
    return ConditionMap(x, y, np.exp(logs).reshape(3, _MAP_SIZE, _MAP_SIZE))


def add(out: NamedArrays, found: list[Regression]) -> None:
    """Label what was measured; rows beyond those of a problem are NaN."""
    out.add_coordinate("regression", np.array([f.title for f in found]), "1", "problem")
    out.add_coordinate("regression_model", np.array(MODELS), "1", "model of p(y | x)")
    dims = ("regression", "regression_model")
    for name, units, what in (
        ("log_prob", "nat", "mean of log p(y | x) over test rows"),
        ("log_prob_error", "nat", "its standard error"),
        ("rmse", "target", "root mean squared error of the mean of p(y | x)"),
        ("coverage", "1", "share of test targets in the central 90 % interval"),
        ("width", "target", "mean width of that interval"),
        ("calibration_p", "1", "p-value of the chi-square test of the PIT against uniform"),
        ("seconds", "s", "time of fitting"),
    ):
        values = np.stack([getattr(f, name) for f in found])
        out.add(f"regression_{name}", dims, values, units, what)
    truth = [f.true_log_prob for f in found]
    what = "the same of the true density, where it is known"
    out.add("regression_true_log_prob", ("regression",), truth, "nat", what)
    out.add_coordinate("pit_bin", (np.arange(_BINS) + 0.5) / _BINS, "1", "middle of a bin")
    counts = np.stack([f.pit_counts for f in found])
    out.add("pit_counts", (*dims, "pit_bin"), counts, "1", "test rows by their F(y | x)")

    n = max(len(f.target) for f in found)
    target = np.full((len(found), n), np.nan)
    quantiles = np.full((len(found), len(MODELS), n, len(LEVELS)), np.nan)
    for k, f in enumerate(found):
        target[k, : len(f.target)] = f.target
        quantiles[k, :, : len(f.target)] = f.quantiles
    out.add_coordinate("regression_row", np.arange(n), "1", "test row, the first so many")
    out.add_coordinate("level", LEVELS, "1", "of a quantile")
    rows = ("regression", "regression_row")
    out.add("regression_target", rows, target, "target", "y of test rows")
    per_level = (*dims, "regression_row", "level")
    out.add("regression_quantile", per_level, quantiles, "target", "quantiles of p(y | x)")
    _add_maps(out, [(f.title, f.condition_map) for f in found if f.condition_map is not None])


def _add_maps(out: NamedArrays, found: list[tuple[str, ConditionMap]]) -> None:
    if not found:
        return
    maps = [m for _, m in found]
    names = np.array([title for title, _ in found])
    out.add_coordinate("map", names, "1", "problem with one condition")
    out.add_coordinate("map_model", np.array([*MODELS, "true"]), "1", "density")
    for axis in ("map_x", "map_y"):
        out.add_coordinate(axis, np.arange(_MAP_SIZE), "1", "position, from the low end")
    out.add("map_condition", ("map", "map_x"), np.stack([m.x for m in maps]), "x", "condition")
    out.add("map_target", ("map", "map_y"), np.stack([m.y for m in maps]), "target", "target")
    dims = ("map", "map_model", "map_y", "map_x")
    values = np.stack([m.density for m in maps])
    out.add("map_density", dims, values, "1/target", "p(y | x); NaN where not known")


def summary(file: Trajectory) -> list[SummaryTable]:
    """Log-densities, errors and intervals of both models."""
    if "regression_log_prob" not in file:
        return []
    score = file["regression_log_prob"]
    numbers = {
        name: file[f"regression_{name}"].values
        for name in ("log_prob_error", "rmse", "coverage", "width", "calibration_p")
    }
    rows = []
    for k, problem in enumerate(score.coords["regression"].values):
        for j, model in enumerate(score.coords["regression_model"].values):
            at = {name: values[k, j] for name, values in numbers.items()}
            rows.append(
                (
                    str(problem),
                    str(model),
                    f"{score.values[k, j]:.3f} +- {at['log_prob_error']:.3f}",
                    f"{at['rmse']:.4g}",
                    f"{at['coverage']:.1%}",
                    f"{at['width']:.4g}",
                    f"{at['calibration_p']:.1g}",
                )
            )
        truth = file["regression_true_log_prob"].values[k]
        if np.isfinite(truth):
            rows.append((str(problem), "the truth", f"{truth:.3f}", "", "", "", ""))
    title = "Regression, test rows: log p(y | x) in nats (higher is better), 90 % intervals"
    columns = ("problem", "model", "log p(y | x)", "rmse", "covered", "width", "PIT p")
    return [SummaryTable(title, columns, rows)]
