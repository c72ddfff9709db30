"""One brain simulation from its configuration to its file: data, brain, comparison, result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import Array, NamedArrays
from neurolp.config.sections import DensityConfiguration
from neurolp.data.table_split import TableSplit
from neurolp.data.tables import DataSplit
from neurolp.errors import ConfigurationError, DivergedError
from neurolp.estimators import Brain, brain_class
from neurolp.estimators.table_cells import moving_columns
from neurolp.evaluation.metrics import bits_per_dim
from neurolp.progress import Observer
from neurolp.runs.computation import SavedRun, check_data
from neurolp.runs.connectivity import build_connectivity
from neurolp.runs.density_memory import memory, memory_of_table
from neurolp.runs.density_table import (
    Row,
    all_continuous,
    compare,
    compare_codes,
    kinds_table,
    read_data,
    table_to_arrays,
)
from neurolp.runs.description import about_density, density_progress
from neurolp.runs.kinds import RunKind, RunResult, SummaryTable, called_later
from neurolp.runs.memory import check_memory
from neurolp.simulation.batch import Progress
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.epochs import EpochProcess
from neurolp.simulation.greedy import GreedyProcess
from neurolp.simulation.monitors import Recorder
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore

_CONSTRUCTIONS = {"brain": "brain", "triangular": "triangular map", "cells": "cells"}


@dataclass(frozen=True, kw_only=True)
class Result(RunResult):
    """A run that came to its end: the brain, its data, and what it was compared with."""

    brain: Brain
    data: DataSplit | TableSplit
    rows: list[Row]


class _Simulation(SavedRun):
    """A run, from its first slice or from where it was saved, to its file."""

    def __init__(
        self,
        store: RunStore,
        configuration: DensityConfiguration,
        observe: Observer,
        begun: Trajectory | None,
    ) -> None:
        super().__init__(store, configuration, observe, begun)
        if begun is not None:
            check_data(begun, configuration)
        self.data = data = read_data(configuration.data, configuration.brain.model)
        n_rows = len(data.train) + len(data.validation) + len(data.test)
        check_memory(memory_of_table(configuration, n_rows, len(data.columns)))
        settings = configuration.brain.model_dump(exclude={"model"})
        self.codes: dict[str, Array] | None = None
        if isinstance(data, TableSplit):
            settings["kinds"] = data.kinds or None
            self.codes = data.codes()
        connectivity = build_connectivity(configuration.connectivity, len(data.columns))
        if connectivity is not None:
            self._check_nodes()
            settings["connectivity"] = connectivity
        self.brain = brain_class(configuration.brain.model)(**settings, random_state=self.seed)
        self.unit = self.brain.time_unit
        seconds = configuration.record.checkpoint_seconds
        self.checkpointer = Checkpointer(store, self._as_if_ended, seconds)

    def _check_nodes(self) -> None:
        """Edges are between columns, each of which has to be a node."""
        if not isinstance(self.data, TableSplit) or self.codes is None:
            return
        moving = {*moving_columns(list(self.data.known), self.codes["train"])}
        for j, name in enumerate(self.data.columns):
            if j not in moving:
                raise ConfigurationError(
                    f"section 'connectivity' needs columns that are continuous, without atoms or "
                    f"missing values, but column '{name}' is not; key 'data.dequantise' = "
                    "true adds noise to numbers on a grid"
                )

    def describe(self, header: NamedArrays) -> None:
        """Add a title."""
        header.attributes[""]["title"] = self.configuration.title or self.data.title

    def go_on(self) -> RunResult:
        """Learn, compare, write the file."""
        began = time.monotonic()
        data, brain = self.data, self.brain
        record = self.configuration.record.model_dump(exclude={"checkpoint_seconds"})
        try:
            brain.fit(
                data.train,
                X_validation=data.validation,
                X_test=data.test,
                recorder=Recorder(**record),
                store=self.store,
                checkpointer=self.checkpointer,
                progress=self._report,
                stop=self.stop,
            )
            rows = self._rows(time.monotonic() - began)
        except KeyboardInterrupt as interrupt:
            self.checkpointer.flush()
            return self.interrupted(*interrupt.args)
        except DivergedError as error:
            if not self.checkpointer.finish_diverged(error):
                raise
            raise DivergedError(
                f"{error}; the last good state and the one after it are in {self.store.path}"
            ) from error
        out = NamedArrays()
        out.attributes[""] = {"status": "complete"}
        out.attributes["result"] = self._result(rows) | {"seconds": time.monotonic() - began}
        parameters = self.configuration.record.parameters
        out.update(brain.to_arrays(data.columns, parameters=parameters))
        if self.codes is not None and isinstance(data, TableSplit):
            out.update(table_to_arrays(data.columns, data.known, self.codes["test"]))
        self.store.finish(out)
        return Result(self.store.path, brain=brain, data=data, rows=rows)

    def _result(self, rows: list[Row]) -> dict[str, Any]:
        data, log_prob = self.data, rows[0].log_prob
        out = {
            "test_log_prob": log_prob,
            "model": np.array([r.model for r in rows], dtype=np.str_),
            "model_test_log_prob": np.array([r.log_prob for r in rows]),
            "model_seconds": np.array([r.seconds for r in rows]),
        }
        if not isinstance(data, TableSplit):
            shift = float(np.log(self.brain.scale_).sum())
            out["test_log_prob_standardised"] = log_prob + shift
            out["test_bits_per_dim"] = bits_per_dim(log_prob, data.steps)
        elif self.codes is not None:
            kinds = np.array([*data.known.kinds])
            if all_continuous(data.known, self.codes):
                scale = self.codes["train"].std(axis=0)[kinds == "continuous"]
                out["test_log_prob_standardised"] = log_prob + float(np.log(scale).sum())
            out["measure"] = _measure(kinds)
            out["impossible_test_rows"] = int(np.sum(~self._possible()))
            if not np.any(kinds == "continuous"):  # a mass: of noise of the width 1, a density
                out["test_bits_per_dim"] = bits_per_dim(log_prob, np.ones(len(kinds)))
        out["image_shape"] = data.image_shape
        return {k: v for k, v in out.items() if v is not None}

    def _possible(self) -> npt.NDArray[np.bool_]:
        """Which test rows have only values that, as training rows tell, their columns can have."""
        if self.codes is None or not isinstance(self.data, TableSplit):
            return np.ones(len(self.data.test), dtype=np.bool_)
        return np.asarray(self.data.known.supported(self.codes["test"]).all(axis=1))

    def _report(self, at: Progress) -> None:
        self.observe(at.shown(self.unit, self.configuration.brain.max_time))

    def _as_if_ended(self, process: GreedyProcess | EpochProcess[Any]) -> NamedArrays:
        """What the file would hold if learning ended now."""
        out = NamedArrays()
        out.attributes["provenance"] = {"seed": self.brain.seed_}
        model = process.network if isinstance(process, GreedyProcess) else process.model
        learned = model, process.stopping.best_time
        out.update(self.brain.to_arrays(self.data.columns, learned=learned))
        return out

    def _rows(self, seconds: float) -> list[Row]:
        """The brain on test data, and what it is to be compared with."""
        data, brain = self.data, self.brain
        time_ = brain.n_slices_ if brain.form is None else brain.n_epochs_
        name = f"brain ({time_} {'slice' if brain.form is None else 'epoch'}s)"
        if brain.form is None and not hasattr(brain, "network_"):
            name = "brain"  # no column moves
        weights: dict[str, float] = getattr(brain, "construction_weights_", None) or {}
        if {*weights} - {"brain"}:
            parts = (f"{weight:.0%} {_CONSTRUCTIONS[key]}" for key, weight in weights.items())
            name += f": {', '.join(parts)}"
        bound = ", a lower bound" if brain.n_hidden else ""
        possible = self._possible()
        if possible.all():
            log_prob = brain.score(data.test)
        elif possible.any():
            log_prob = float(np.mean(brain.score_samples(data.test)[possible]))
        else:
            log_prob = -np.inf
        rows = [Row(name + bound, log_prob, seconds)]
        if self.configuration.compare:
            what = "fitting what to compare with"
            self._report(Progress(time_, {}, time_, seconds, what))
            rows += self._compared(possible)
        return rows

    def _compared(self, possible: npt.NDArray[np.bool_]) -> list[Row]:
        data = self.data
        if not isinstance(data, TableSplit) or self.codes is None:
            return compare(data.train, data.validation, data.test, self.seed)
        if not possible.any():
            return []
        codes = self.codes | {"test": self.codes["test"][possible]}
        return compare_codes(data.known, codes, self.seed)


def _measure(kinds: npt.NDArray[np.str_]) -> str:
    """What the probability of a row is, by the kinds of the columns."""
    smooth = kinds == "continuous"
    if smooth.all():
        return "density"
    return "mass of discrete columns, density of continuous ones" if smooth.any() else "mass"


# --- what the registry knows of this kind ---------------------------------------------------------


def summary(file: Trajectory) -> list[SummaryTable]:
    """Test log-likelihood of the brain, and of the models it was compared with."""
    result = file.result
    if "model" not in result:
        return []
    log_prob: npt.NDArray[np.float64] = result["model_test_log_prob"]
    numbers = {"nats": (log_prob, ".2f")}
    if "test_log_prob_standardised" in result:
        shift = result["test_log_prob_standardised"] - result["test_log_prob"]
        numbers["standardised"] = (log_prob + shift, ".2f")
    if "test_bits_per_dim" in result:
        # Bits per dimension fall by 1 / (D ln 2) for each nat.
        node = "column_kind" if "column_kind" in file else "mean"
        n_columns = len(file[node]) - file.brain.get("n_hidden", 0)
        bits = result["test_bits_per_dim"] - (log_prob - log_prob[0]) / (n_columns * np.log(2))
        numbers["bits/dim"] = (bits, ".3f")
    seconds = result["model_seconds"]
    rows = [
        (name, *(f"{values[k]:{how}}" for values, how in numbers.values()), f"{seconds[k]:.1f}")
        for k, name in enumerate(result["model"])
    ]
    title = "Test log-likelihood per sample, nats (higher is better)"
    if result.get("measure", "density") != "density":
        title = f"Test log-likelihood per row, nats: {result['measure']} (higher is better)"
    if impossible := result.get("impossible_test_rows", 0):
        title += f"; without {impossible} rows with a value that training rows rule out"
    return [*kinds_table(file), SummaryTable(title, ("model", *numbers, "s"), rows)]


def numbers(file: Trajectory) -> dict[str, object]:
    """Mean log-probability of test data, and what else a sweep's table shows of a brain."""
    result = file.result
    names = ("test_log_prob", "test_log_prob_standardised", "test_bits_per_dim", "seconds")
    out: dict[str, object] = {name: result[name] for name in names if name in result}
    if "n_slices" in file.brain:
        out["n_slices"] = file.brain["n_slices"]
    if "surprise" in file:  # of the time that was chosen by it: the least
        out["validation_surprise"] = file["surprise"].sel(split="validation").values.min()
    models = zip(result.get("model", []), result.get("model_test_log_prob", []), strict=True)
    return out | {f"test_log_prob[{name}]": value for name, value in list(models)[1:]}


run, resume, check = _Simulation.run, _Simulation.resume, _Simulation.check

KIND = RunKind(
    name="density",
    configuration=DensityConfiguration,
    run=run,
    resume=resume,
    summary=summary,
    draw=called_later("neurolp.plotting.density:draw"),
    about=about_density,
    progress=density_progress,
    numbers=numbers,
    memory=memory,
    check=check,
)
