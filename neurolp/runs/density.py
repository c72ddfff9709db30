"""One brain simulation from its configuration to its file: data, brain, comparison, result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.config.sections import DensityConfiguration
from neurolp.data.tables import DataSplit, load_data
from neurolp.errors import DivergedError
from neurolp.estimators import Brain, brain_class
from neurolp.evaluation.baselines import gaussian, gaussian_mixture
from neurolp.evaluation.metrics import bits_per_dim
from neurolp.runs.computation import SavedRun, check_data
from neurolp.runs.connectivity import build_connectivity
from neurolp.runs.density_memory import memory, memory_of_table
from neurolp.runs.kinds import Observer, RunKind, RunProgress, RunResult, SummaryTable, called_later
from neurolp.runs.memory import check_memory
from neurolp.simulation.batch import Progress
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.epochs import EpochProcess
from neurolp.simulation.greedy import GreedyProcess
from neurolp.simulation.monitors import Recorder
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore


class Row(NamedTuple):
    """One row of the summary: nats per sample on test data."""

    model: str
    log_prob: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Result(RunResult):
    """A run that came to its end: the brain, its data, and what it was compared with."""

    brain: Brain
    data: DataSplit
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
        self.data = data = load_data(**configuration.data.model_dump())
        n_rows = len(data.train) + len(data.validation) + len(data.test)
        check_memory(memory_of_table(configuration, n_rows, len(data.columns)))
        settings = configuration.brain.model_dump(exclude={"model"})
        connectivity = build_connectivity(configuration.connectivity, len(data.columns))
        if connectivity is not None:
            settings["connectivity"] = connectivity
        self.brain = brain_class(configuration.brain.model)(**settings, random_state=self.seed)
        self.unit = self.brain.time_unit
        seconds = configuration.record.checkpoint_seconds
        self.checkpointer = Checkpointer(store, self._as_if_ended, seconds)

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
        log_prob = rows[0].log_prob
        result = {
            "test_log_prob": log_prob,
            "test_log_prob_standardised": log_prob + float(np.log(brain.scale_).sum()),
            "test_bits_per_dim": bits_per_dim(log_prob, data.steps),
            "seconds": time.monotonic() - began,
            "model": np.array([r.model for r in rows], dtype=np.str_),
            "model_test_log_prob": np.array([r.log_prob for r in rows]),
            "model_seconds": np.array([r.seconds for r in rows]),
            "image_shape": data.image_shape,
        }
        out = NamedArrays()
        out.attributes[""] = {"status": "complete"}
        out.attributes["result"] = {k: v for k, v in result.items() if v is not None}
        parameters = self.configuration.record.parameters
        out.update(brain.to_arrays(data.columns, parameters=parameters))
        self.store.finish(out)
        return Result(self.store.path, brain=brain, data=data, rows=rows)

    def _report(self, at: Progress) -> None:
        message = at.stage
        if not message:
            parts = [f"{name} {value:.3f}" for name, value in at.surprise.items()]
            message = f"surprise (nats): {', '.join(parts)}, best at {at.best_time}"
        total = self.configuration.brain.max_time
        self.observe(RunProgress(at.time, total, self.unit, message, at.elapsed))

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
        unit = "slice" if brain.form is None else "epoch"
        bound = ", a lower bound" if brain.n_hidden else ""
        rows = [Row(f"brain ({time_} {unit}s){bound}", brain.score(data.test), seconds)]
        if self.configuration.compare:
            what = "fitting what to compare with"
            self._report(Progress(time_, {}, time_, seconds, what))
            rows += _compare(data, self.seed)
        return rows


def _compare(data: DataSplit, seed: int) -> list[Row]:
    rows = []
    began = time.monotonic()
    plain = gaussian(data.train, data.test)
    if plain is not None:
        rows.append(Row(plain.name, plain.test_log_prob, time.monotonic() - began))
    began = time.monotonic()
    mixture = gaussian_mixture(data.train, data.validation, data.test, seed % 2**32)
    rows.append(Row(mixture.name, mixture.test_log_prob, time.monotonic() - began))
    return rows


# --- what the registry knows of this kind ---------------------------------------------------------


def summary(file: Trajectory) -> list[SummaryTable]:
    """Test log-likelihood of the brain, and of the models it was compared with."""
    result = file.result
    if "model" not in result:
        return []
    log_prob: npt.NDArray[np.float64] = result["model_test_log_prob"]
    columns = ["nats", "standardised"]
    shift = result["test_log_prob_standardised"] - result["test_log_prob"]
    numbers = [log_prob, log_prob + shift]
    if "test_bits_per_dim" in result:
        # Bits per dimension fall by 1 / (D ln 2) for each nat.
        n_columns = len(file["mean"]) - file.brain.get("n_hidden", 0)
        per_nat = 1 / (n_columns * np.log(2))
        columns.append("bits/dim")
        numbers.append(result["test_bits_per_dim"] - (log_prob - log_prob[0]) * per_nat)
    formats = (".2f", ".2f", ".3f")
    rows = [
        (
            name,
            *(f"{values[k]:{how}}" for values, how in zip(numbers, formats, strict=False)),
            f"{result['model_seconds'][k]:.1f}",
        )
        for k, name in enumerate(result["model"])
    ]
    title = "Test log-likelihood per sample, nats (higher is better)"
    return [SummaryTable(title, ("model", *columns, "s"), rows)]


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


run, resume = _Simulation.run, _Simulation.resume

KIND = RunKind(
    name="density",
    configuration=DensityConfiguration,
    run=run,
    resume=resume,
    summary=summary,
    draw=called_later("neurolp.plotting.density:draw"),
    numbers=numbers,
    memory=memory,
)
