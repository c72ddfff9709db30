"""``experiment = "general_purpose"``: one estimator with default settings on many tables.

Every table is split 60 / 20 / 20 as for a simulation (see :func:`neurolp.data.tables.load_data`);
the estimator sees training and validation rows, and test rows are scored. It is compared with a
Gaussian and a Gaussian mixture, whose settings are chosen on the same validation rows.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurolp.arrays import Array, NamedArrays
from neurolp.config.experiment_sections import GENERAL_DATA, GeneralPurposeConfiguration
from neurolp.data.tables import DataSplit, load_data
from neurolp.errors import DataError
from neurolp.estimators import BrainDensity, TriangularDensity
from neurolp.evaluation.baselines import gaussian, gaussian_mixture
from neurolp.progress import Observer
from neurolp.runs.computation import experiment, watched
from neurolp.runs.kinds import SummaryTable
from neurolp.runs.memory import PROCESS, SEVERAL_MODELS, Memory
from neurolp.storage.reader import Trajectory

_ESTIMATORS: dict[str, type[Any]] = {"brain": BrainDensity, "triangular": TriangularDensity}
_MODELS = ("estimator", "Gaussian", "Gaussian mixture")
_MAP_SIZE = 120


def compute(configuration: GeneralPurposeConfiguration, observe: Observer) -> NamedArrays:
    """Fit all models to all tables, and map the density of those with two columns."""
    # All tables are read before the first fit: a fault in the last is reported at once.
    sources = _load_all(configuration)
    score = np.full((len(sources), len(_MODELS)), np.nan)
    seconds, shape = np.zeros_like(score), np.zeros((len(sources), 2), dtype=np.int64)
    maps: list[tuple[str, Array, Array]] = []
    for k, data in enumerate(watched(sources, observe, lambda data: data.title)):
        shape[k] = data.train.shape
        scale = np.log(data.train.std(axis=0)).sum()
        seed = (configuration.seed or 0) % 2**32
        began = time.monotonic()
        model = _ESTIMATORS[configuration.estimator](random_state=seed)
        try:
            model.fit(data.train, X_validation=data.validation)
        except DataError as error:
            raise DataError(f"{data.title}: {error}") from error
        found = [(float(model.score(data.test)), time.monotonic() - began)]
        began = time.monotonic()
        plain = gaussian(data.train, data.test)
        found.append((plain.test_log_prob if plain else np.nan, time.monotonic() - began))
        began = time.monotonic()
        mixture = gaussian_mixture(data.train, data.validation, data.test, seed)
        found.append((mixture.test_log_prob, time.monotonic() - began))
        for j, (log_prob, took) in enumerate(found):
            score[k, j], seconds[k, j] = log_prob + scale, took
        if data.train.shape[1] == 2:
            maps.append((data.title, *_map(model, data)))

    what = "mean log-density of test rows, columns divided by their training standard deviations"
    out = NamedArrays.of(
        coordinates={
            "data": ([data.title for data in sources], "1", "table"),
            "model": ((configuration.estimator, *_MODELS[1:]), "1", "density estimator, defaults"),
        },
        variables={
            "log_prob": ("data model", score, "nat", what),
            "seconds": ("data model", seconds, "s", "time of fitting, choosing and testing"),
            "n_rows": ("data", shape[:, 0], "1", "training rows"),
            "n_columns": ("data", shape[:, 1], "1", "columns"),
        },
    )
    if maps:
        out.update(_named_maps(maps))
    return out


def summary(file: Trajectory) -> list[SummaryTable]:
    """Log-likelihoods by table; the last column is the gain over the better of the others."""
    score = file["log_prob"]
    estimator, *others = map(str, score.coords["model"].values)
    rows = []
    for k, name in enumerate(score.coords["data"].values):
        mine, *peers = score.values[k]
        rows.append(
            (
                str(name),
                f"{file['n_rows'].values[k]} x {file['n_columns'].values[k]}",
                *("singular" if np.isnan(value) else f"{value:.2f}" for value in (mine, *peers)),
                f"{mine - np.nanmax(peers):+.2f}",
                f"{file['seconds'].values[k, 0]:.1f}",
            )
        )
    title = "Test log-likelihood per row, nats, standardised columns (higher is better)"
    columns = ("data", "training", estimator, *others, "gain", "s")
    return [SummaryTable(title, columns, rows)]


def _sources(configuration: GeneralPurposeConfiguration) -> list[str | Path]:
    if configuration.data is None:
        return list(configuration.files) or list(GENERAL_DATA)
    return [*configuration.data, *configuration.files]


def _load_all(configuration: GeneralPurposeConfiguration) -> list[DataSplit]:
    return [_load(name, configuration) for name in _sources(configuration)]


def _load(name: str | Path, configuration: GeneralPurposeConfiguration) -> DataSplit:
    file, named = (name, None) if isinstance(name, Path) else (None, name)
    data = load_data(named, file, split_seed=configuration.split_seed)
    most = configuration.max_rows
    return replace(
        data,
        title=named or Path(name).stem,
        train=data.train[:most],
        validation=data.validation[: max(most // 3, 1)],
    )


def _map(model: Any, data: DataSplit) -> tuple[Array, Array]:
    """Ends of both axes (2, 2), and the density on a grid over them, rows from below."""
    low, high = data.test.min(axis=0), data.test.max(axis=0)
    ends = np.stack([low - 0.1 * (high - low), high + 0.1 * (high - low)])
    axes = [np.linspace(ends[0, j], ends[1, j], _MAP_SIZE) for j in range(2)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return ends, np.exp(model.score_samples(points)).reshape(_MAP_SIZE, _MAP_SIZE)


def _named_maps(maps: list[tuple[str, Array, Array]]) -> NamedArrays:
    names, ends, density = zip(*maps, strict=True)
    return NamedArrays.of(
        coordinates={
            "map": (names, "1", "table with two columns"),
            "end": (["low", "high"], "1", "end of an axis"),
            "axis": (["x", "y"], "1", "column of the table"),
            "map_row": (np.arange(_MAP_SIZE), "1", "position, from the low end"),
            "map_column": (np.arange(_MAP_SIZE), "1", "position, from the low end"),
        },
        variables={
            "map_end": ("map end axis", ends, "data", "ends of the map"),
            "map_density": ("map map_row map_column", density, "1/data^2", "estimated density"),
        },
    )


def _memory(configuration: GeneralPurposeConfiguration) -> Memory:
    return Memory("keys data and files", most=PROCESS + SEVERAL_MODELS)


_ABOUT = (
    "One estimator with its default settings learned the density of several tables, "
    "beside a Gaussian and a Gaussian mixture."
)

KIND = experiment(
    "general_purpose", GeneralPurposeConfiguration, compute, summary, _memory, _ABOUT, _load_all
)
