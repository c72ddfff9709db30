"""One brain simulation from its configuration to its file: data, brain, comparison, result."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.config.load import validated
from neurolp.config.sections import DensityConfiguration
from neurolp.data.tables import DataSplit, load_data
from neurolp.errors import DivergedError, NeurolpError, RecordingError
from neurolp.estimators import Brain, brain_class
from neurolp.estimators.brain_files import header
from neurolp.evaluation.baselines import gaussian, gaussian_mixture
from neurolp.evaluation.metrics import bits_per_dim
from neurolp.runs.computation import check_data
from neurolp.runs.connectivity import build_connectivity
from neurolp.runs.density_memory import memory, memory_of_table
from neurolp.runs.kinds import Observer, RunKind, RunProgress, SummaryTable, called_later
from neurolp.runs.memory import check_memory
from neurolp.simulation.batch import Progress
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.epochs import EpochProcess
from neurolp.simulation.greedy import GreedyProcess
from neurolp.simulation.monitors import Recorder
from neurolp.simulation.signals import SignalStop
from neurolp.storage.provenance import data_digests
from neurolp.storage.reader import Trajectory
from neurolp.storage.store import RunStore


@dataclass(frozen=True)
class Row:
    """One row of the summary: nats per sample on test data."""

    model: str
    log_prob: float
    standardised: float
    bits_per_dim: float | None
    seconds: float


@dataclass(frozen=True)
class Result:
    """What a run produced.

    ``path`` is the file, or what it is to become: after an interruption by ``signal`` there is no
    file yet, and no ``rows``, and :func:`resume` continues from what was saved.
    """

    path: Path
    brain: Brain
    data: DataSplit
    rows: list[Row]
    signal: int | None = None
    time: int = 0

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the run early."""
        return self.signal is not None

    @property
    def reached(self) -> str:
        """How far learning came."""
        return f"{self.time} {self.brain.time_unit}s"


def run(
    configuration: DensityConfiguration,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    observe: Observer = lambda progress: None,
) -> Result:
    """Run one simulation and write its trajectory to ``output``.

    What is learned is saved as it goes on. After Ctrl-C, SIGTERM, a full disk or the end of the
    process :func:`resume` continues, and the file is the same in the end.

    Raises
    ------
    DataError, ConfigurationError, OutputError
        One line each. Whether ``output`` can be written is asked before the work starts.
    RecordingError
        If the disk is full or fails meanwhile.
    DivergedError
        If a number is no longer finite; the file, with the status ``"diverged"``, holds the last
        good state and the one after it.
    KeyboardInterrupt
        If there was nothing to be saved yet; nothing is left then.
    """
    store = RunStore.claim(output, overwrite=overwrite)
    try:
        seed = secrets.randbits(32) if configuration.seed is None else configuration.seed
        resolved = configuration.model_copy(update={"seed": seed})
        plain = resolved.model_dump(mode="json")
        digests = data_digests(plain)
        simulation = _Simulation(store, resolved, observe)
        title = configuration.title or simulation.data.title
        store.begin(header(seed, title, plain, digests))
        try:
            return simulation.go_on()
        except (KeyboardInterrupt, NeurolpError) as error:
            nothing = simulation.checkpointer.time is None and store.folder.exists()
            if nothing and not isinstance(error, RecordingError):
                store.discard()  # before the first slice: there is nothing to keep
            raise
    finally:
        store.close()


def resume(
    path: str | os.PathLike[str],
    settings: Sequence[str] = (),
    *,
    observe: Observer = lambda progress: None,
) -> Result:
    """Continue a run that was broken off from where it was last saved.

    ``settings`` are keys to override on which no result depends: ``"brain.n_threads=1"``.
    Raises as :func:`run`, and

    Raises
    ------
    FormatError
        If there is no unfinished run, or it is damaged.
    DataError
        If a data file is no longer what it was.
    """
    store = RunStore.reopen(path)
    try:
        with store.header() as file:
            raw = dict(file.configuration)
            configuration = validated(raw, str(path), lambda *_: DensityConfiguration, settings)
            check_data(file, configuration)
        return _Simulation(store, configuration, observe).go_on()
    finally:
        store.close()


class _Simulation:
    """A run, from its first slice or from where it was saved, to its file."""

    def __init__(
        self, store: RunStore, configuration: DensityConfiguration, observe: Observer
    ) -> None:
        self.store, self.configuration, self.observe = store, configuration, observe
        self.seed = configuration.seed or 0
        self.data = data = load_data(**configuration.data.model_dump())
        n_rows = len(data.train) + len(data.validation) + len(data.test)
        check_memory(memory_of_table(configuration, n_rows, len(data.columns)))
        settings = configuration.brain.model_dump(exclude={"model"})
        connectivity = build_connectivity(configuration.connectivity, len(data.columns))
        if connectivity is not None:
            settings["connectivity"] = connectivity
        self.brain = brain_class(configuration.brain.model)(**settings, random_state=self.seed)
        seconds = configuration.record.checkpoint_seconds
        self.stop = SignalStop()
        self.checkpointer = Checkpointer(store, self._describe, seconds)

    def go_on(self) -> Result:
        """Learn, compare, write the file.

        Raises
        ------
        KeyboardInterrupt
            If a signal came before anything was saved.
        """
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
            signum, time_ = _signal_of(interrupt, self.stop), self.checkpointer.time
            if time_ is None:
                raise KeyboardInterrupt(signum) from interrupt
            return Result(self.store.path, brain, data, [], signum, time_)
        except DivergedError as error:
            if not self.checkpointer.finish_diverged(error):
                raise
            raise DivergedError(
                f"{error}; the last good state and the one after it are in {self.store.path}"
            ) from error
        result = {
            "test_log_prob": rows[0].log_prob,
            "test_log_prob_standardised": rows[0].standardised,
            "test_bits_per_dim": rows[0].bits_per_dim,
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
        return Result(self.store.path, brain, data, rows)

    def _report(self, at: Progress) -> None:
        message = at.stage
        if not message:
            parts = [f"{name} {value:.3f}" for name, value in at.surprise.items()]
            message = f"surprise (nats): {', '.join(parts)}, best at {at.best_time}"
        brain = self.configuration.brain
        self.observe(RunProgress(at.time, brain.max_time, brain.time_unit, message, at.elapsed))

    def _describe(self, process: GreedyProcess | EpochProcess[Any]) -> NamedArrays:
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
        log_scale = float(np.log(brain.scale_).sum())

        def row(model: str, log_prob: float, seconds: float) -> Row:
            bits = bits_per_dim(log_prob, data.steps)
            return Row(model, log_prob, log_prob + log_scale, bits, seconds)

        time_ = brain.n_slices_ if brain.form is None else brain.n_epochs_
        unit = "slice" if brain.form is None else "epoch"
        bound = ", a lower bound" if brain.n_hidden else ""
        name = f"brain ({time_} {unit}s){bound}"
        rows = [row(name, brain.score(data.test), seconds)]
        if self.configuration.compare:
            what = "fitting what to compare with"
            self._report(Progress(time_, {}, time_, seconds, what))
            rows += _compare(data, self.seed, row)
        return rows


def _signal_of(interrupt: KeyboardInterrupt, stop: SignalStop) -> int:
    said = interrupt.args[0] if interrupt.args else None
    return stop.signal or (said if isinstance(said, int) else signal.SIGINT)


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
