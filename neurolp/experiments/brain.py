"""One brain simulation from its configuration to its file: data, brain, comparison, result."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolp import archive
from neurolp.baselines import gaussian, gaussian_mixture
from neurolp.brain.network import Network
from neurolp.data import DataSplit, load_data
from neurolp.estimators import BRAINS, Brain
from neurolp.experiments.connectivity import build_connectivity
from neurolp.experiments.sizes import check_brain
from neurolp.principle import bits_per_dim
from neurolp.provenance import data_digests
from neurolp.schema import Configuration
from neurolp.simulation import Progress
from neurolp.trajectory.recorder import Recorder
from neurolp.trajectory.writer import check_writable


@dataclass(frozen=True)
class Row:
    """One line of the closing table: nats per sample on test data."""

    model: str
    log_prob: float
    standardised: float
    bits_per_dim: float | None
    seconds: float


@dataclass(frozen=True)
class Result:
    """What a run produced."""

    path: Path
    brain: Brain
    data: DataSplit
    rows: list[Row]
    interrupted: bool


def run(
    configuration: Configuration,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    observe: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Run one simulation and write its trajectory to ``output``.

    Raises
    ------
    DataError, ConfigurationError, OutputError
        One line each. Whether ``output`` can be written is asked before the work starts.
    """
    path = check_writable(output, overwrite=overwrite)
    seed = secrets.randbits(32) if configuration.seed is None else configuration.seed
    resolved = configuration.model_copy(update={"seed": seed}).model_dump(mode="json")
    digests = data_digests(resolved)
    data = load_data(**configuration.data.model_dump())
    n_rows = len(data.train) + len(data.validation) + len(data.test)
    check_brain(configuration, n_rows, len(data.columns))

    settings = configuration.brain.model_dump(exclude={"model"})
    connectivity = build_connectivity(configuration.connectivity, len(data.columns))
    if connectivity is not None:
        settings["connectivity"] = connectivity
    brain = BRAINS[configuration.brain.model](**settings, random_state=seed)
    began = time.monotonic()
    try:
        brain.fit(
            data.train,
            X_validation=data.validation,
            X_test=data.test,
            recorder=Recorder(**configuration.record.model_dump()),
            observe=observe,
        )
    except KeyboardInterrupt:
        if not getattr(brain, "interrupted_", False):
            raise  # before the first slice: there is nothing to keep
    seconds = time.monotonic() - began

    log_scale = float(np.log(brain.scale_).sum())

    def row(model: str, log_prob: float, seconds: float) -> Row:
        bits = bits_per_dim(log_prob, data.steps)
        return Row(model, log_prob, log_prob + log_scale, bits, seconds)

    stored = brain.stored()
    unit = "slice" if isinstance(stored.network, Network) else "epoch"
    test = brain.score(data.test)
    bound = ", a lower bound" if stored.n_hidden else ""
    rows = [row(f"brain ({stored.n_slices} {unit}s){bound}", test, seconds)]
    interrupted = brain.interrupted_
    if configuration.compare and not interrupted:
        last = len(brain.recorder_.surprise["train"]) - 1
        observe(Progress(last, {}, stored.n_slices, seconds, "fitting what to compare with"))
        try:
            rows += _compare(data, seed, row)
        except KeyboardInterrupt:  # the brain is there, and must not be lost with the comparison
            interrupted = True
    result = {
        "test_log_prob": rows[0].log_prob,
        "test_log_prob_standardised": rows[0].standardised,
        "test_bits_per_dim": rows[0].bits_per_dim,
        "seconds": seconds,
        "model": np.array([r.model for r in rows], dtype="S"),
        "model_test_log_prob": np.array([r.log_prob for r in rows]),
        "image_shape": data.image_shape,
    }
    archive.save(
        stored,
        path,
        overwrite=overwrite,
        title=configuration.title or data.title,
        columns=data.columns,
        configuration=resolved,
        digests=digests,
        result=result,
    )
    return Result(path, brain, data, rows, interrupted)


def _compare(data: DataSplit, seed: int, row: Callable[[str, float, float], Row]) -> list[Row]:
    rows = []
    began = time.monotonic()
    plain = gaussian(data.train, data.test)
    if plain is not None:
        rows.append(row(plain.name, plain.test_log_prob, time.monotonic() - began))
    began = time.monotonic()
    mixture = gaussian_mixture(data.train, data.validation, data.test, seed % 2**32)
    rows.append(row(mixture.name, mixture.test_log_prob, time.monotonic() - began))
    return rows
