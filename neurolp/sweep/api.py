"""The class ``Sweep``: many runs of one configuration, from Python."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, final

import pandas as pd

from neurolp.config.load import read_toml
from neurolp.errors import ConfigurationError
from neurolp.progress import Observer
from neurolp.runs.kinds import run_kind
from neurolp.runs.memory import PROCESS, format_bytes, memory_limit
from neurolp.sweep.collecting import collect
from neurolp.sweep.design import Design, Job, design_of
from neurolp.sweep.effects import keys_without_effect
from neurolp.sweep.running import SweepOutcome, run_design, to_do
from neurolp.sweep.search import Rounds
from neurolp.sweep.state import PENDING, RUNNING, JobState, read_state


@final
class Sweep:
    """Many runs of one configuration with some keys changed, on Dask.

    Parameters
    ----------
    base : path or dict
        The configuration that jobs start from: a TOML file, or its keys.
    grid : dict of str to list
        For dotted keys such as ``"brain.n_hidden"`` the values to combine with all others.
    lists : dict of str to list
        Lists of equal length that go together.
    random : dict of str to dict
        For dotted keys ``{"low": .., "high": ..}``, also with ``"log": True`` or ``"integer":
        True``, or ``{"choice": [..]}``; ``n_draws`` joint draws of all of them.
    n_draws : int, optional
        Needed with ``random``.
    search : dict, optional
        ``{"minimise": "surprise"}``, or ``"maximise"``: draws depend on this result in earlier
        rounds (of 8 draws, or ``"round"``). Needs Optuna.
    replicates : int, optional
        Each of these again with so many seeds: ``seed``, ``seed`` + 1 ..
    seed : int
        Seed of the draws, and the first of the replicates.
    seeds : sequence of str
        The keys that get the seed of a replicate; ``["seed", "stream.seed"]`` also draws another
        stream for each.
    title : str
        Heading of the figures.

    Raises
    ------
    ConfigurationError
        One line, if any of the jobs has an unknown key or a value that cannot be used.

    Examples
    --------
    >>> from neurolp import Sweep
    >>> base = {"stream": {"source": "ar2", "n_steps": 1000}}
    >>> sweep = Sweep(base, grid={"brain.n_hidden": [10, 100]}, replicates=3)
    >>> len(sweep)
    6
    >>> print(sweep.jobs[0])
    brain.n_hidden = 10, seed = 0
    """

    def __init__(
        self,
        base: str | os.PathLike[str] | Mapping[str, Any],
        *,
        grid: Mapping[str, Sequence[Any]] | None = None,
        lists: Mapping[str, Sequence[Any]] | None = None,
        random: Mapping[str, Mapping[str, Any]] | None = None,
        n_draws: int | None = None,
        search: Mapping[str, Any] | None = None,
        replicates: int | None = None,
        seed: int = 0,
        seeds: Sequence[str] = ("seed",),
        title: str = "",
    ) -> None:
        raw = {
            "title": title,
            "base": dict(base) if isinstance(base, Mapping) else os.fspath(base),
            "sweep": {
                "grid": {key: list(values) for key, values in (grid or {}).items()},
                "lists": {key: list(values) for key, values in (lists or {}).items()},
                "random": {key: dict(draw) for key, draw in (random or {}).items()},
                "n_draws": n_draws,
                "search": None if search is None else dict(search),
                "replicates": replicates,
                "seed": seed,
                "seeds": list(seeds),
            },
        }
        self._made = partial(design_of, raw, "sweep", Path())
        self._design = self._made()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Sweep:
        """The sweep that a TOML file describes."""
        sweep = cls.__new__(cls)
        source = Path(path)
        sweep._made = partial(design_of, read_toml(source), str(path), source.parent)
        sweep._design = sweep._made()
        return sweep

    @property
    def design(self) -> Design:
        """The jobs and how they were made."""
        return self._design

    @property
    def jobs(self) -> list[Job]:
        """The jobs, each once; of a search those drawn so far."""
        return self._design.jobs

    def __len__(self) -> int:
        return len(self._design.jobs)

    def states(self, path: str | os.PathLike[str]) -> dict[str, JobState]:
        """The state of every job in the folder ``path``."""
        jobs = Path(path) / "jobs"
        return {job.identity: read_state(jobs / job.identity) for job in self.jobs}

    def run(
        self,
        path: str | os.PathLike[str],
        *,
        workers: int | None = None,
        scheduler: str | None = None,
        retry_failed: bool = False,
        observe: Observer = lambda progress: None,
    ) -> SweepOutcome:
        """Run all jobs that are not done in the folder ``path``; returns how they ended.

        A script needs ``if __name__ == "__main__":`` around this, and must be a file: the processes
        that run jobs import it. A notebook and an interactive session need neither.

        Parameters
        ----------
        path : path
            Folder of the sweep; an existing sweep is continued.
        workers : int, optional
            Processes on this machine; as many as there are processors, jobs and memory for.
        scheduler : str, optional
            Address of a Dask scheduler whose workers are used instead.
        retry_failed : bool
            Whether jobs that diverged, or failed because of the configuration or the data, are
            run again.
        observe : callable
            Called with a :class:`neurolp.runs.RunProgress` now and then.

        Raises
        ------
        ConfigurationError
            If a job cannot fit into the memory of a worker, or workers cannot import the script.
        OutputError
            If ``path`` cannot be written, another driver runs it, or the scheduler is gone.
        """
        run = partial(self._run, Path(path), workers, scheduler, retry_failed, observe)
        if self._design.rounds is None:
            outcome = run(self._design)
        else:
            outcome = run_search(self._design.rounds(), self._made, run)
        return replace(outcome, without_effect=tuple(keys_without_effect(collect(path))))

    def _run(
        self,
        path: Path,
        workers: int | None,
        scheduler: str | None,
        retry_failed: bool,
        observe: Observer,
        design: Design,
    ) -> SweepOutcome:
        from neurolp.sweep.workers import (
            check_importable,
            connected,
            local_workers,
            memory_of_workers,
            remote_workers,
        )

        self._design = design
        jobs = self._open_jobs(path, retry_failed)
        if scheduler is not None:
            with connected(scheduler) as client:
                share = memory_of_workers(client)
            if share is not None:
                self._check_memory(jobs, share, "of the scheduler")
            opened: Any = partial(remote_workers, scheduler)
        else:
            check_importable()
            opened = partial(local_workers, self._n_workers(jobs, workers))
        return run_design(design, path, opened, retry_failed=retry_failed, observe=observe)

    def plan(
        self, path: str | os.PathLike[str], workers: int | None = None, retry_failed: bool = False
    ) -> list[str]:
        """Lines that describe what :meth:`run` would do; errors are the same."""
        counts = Counter(state.state for state in self.states(path).values())
        lines = [f"{self._design.title}: {len(self)} jobs"]
        lines += [f"  {how}: {key}" for key, how in self._design.how.items()]
        if self._design.n_repeated:
            lines.append(f"  {self._design.n_repeated} more jobs would repeat one of these")
        lines.append(f"  in {path}: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
        jobs = self._open_jobs(path, retry_failed)
        if jobs:
            n, largest = self._n_workers(jobs, workers), max(jobs, key=memory_of)
            lines.append(f"  to run: {len(jobs)}, on {n} processes of this machine")
            size = format_bytes(memory_of(largest))
            lines.append(f"  memory of a job: up to {size} ({largest})")
        return lines

    def _n_workers(self, jobs: Sequence[Job], workers: int | None) -> int:
        """How many processes of this machine run ``jobs``, each with the memory for any of them."""
        from neurolp.sweep.workers import available_processors

        memory = memory_limit()
        n = min(workers or available_processors(), max(len(jobs), 1))
        if workers is None:
            n = max(1, min(n, int(memory / max((memory_of(job) for job in jobs), default=PROCESS))))
        self._check_memory(
            jobs, memory / n, f"of {n} on this machine" if n > 1 else "on this machine"
        )
        return n

    def _check_memory(self, jobs: Sequence[Job], share: float, whose: str) -> None:
        """Raise ConfigurationError if a job may need more than ``share`` bytes."""
        largest = max(jobs, key=memory_of, default=None)
        if largest is not None and memory_of(largest) > share:
            raise ConfigurationError(
                f"{self._design.source}: the job with {largest} may need "
                f"{format_bytes(memory_of(largest))} of memory, "
                f"but a worker {whose} has {format_bytes(share)}"
            )

    def collect(self, path: str | os.PathLike[str]) -> pd.DataFrame:
        """One table of settings and results, see :func:`neurolp.sweep.collecting.collect`."""
        return collect(path)

    def _open_jobs(self, path: str | os.PathLike[str], retry_failed: bool) -> list[Job]:
        open_ = set(to_do(self.states(path), retry_failed))
        return [job for job in self.jobs if job.identity in open_]


def run_search(
    rounds: Rounds,
    design: Callable[[list[dict[str, Any]]], Design],
    run: Callable[[Design], SweepOutcome],
) -> SweepOutcome:
    """Round after round: ``design`` makes jobs of draws, ``run`` runs those that are not done."""
    elapsed = 0.0
    while True:
        jobs = design(rounds.ask())
        outcome = run(jobs)
        elapsed += outcome.elapsed
        unfinished = any(s.state in (PENDING, RUNNING) for s in outcome.states.values())
        if outcome.stopped_by is not None or unfinished:
            return replace(outcome, elapsed=elapsed)
        rounds.tell([(job.settings, outcome.states[job.identity]) for job in jobs.jobs])
        if not rounds.left:
            return replace(outcome, elapsed=elapsed, best=rounds.best())


def memory_of(job: Job) -> float:
    """Bytes that a job may need at most."""
    memory = run_kind(job.configuration.experiment).memory
    return PROCESS if memory is None else memory(job.configuration).most
