"""Dask workers: processes of this machine, or those of a scheduler somewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import Client, Future, LocalCluster
from distributed.core import Status
from distributed.deploy.spec import SpecCluster
from distributed.scheduler import KilledWorker

from neurolp.errors import ConfigurationError, OutputError
from neurolp.runs.memory import memory_limit
from neurolp.sweep.job import run_job
from neurolp.sweep.state import JobState

# One thread each: jobs are what runs in parallel, and results do not depend on it.
THREADS = (
    "NEUROLP_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_PATIENCE = 60.0  # seconds for the first worker to appear on this machine
_ASK_EVERY = 0.5  # seconds between questions to the scheduler how many workers there are
_CONNECT = 10.0  # seconds for a scheduler to answer
_UNGUARDED = (
    'workers import the script that runs a sweep: it needs `if __name__ == "__main__":` around it'
)


def available_processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_importable() -> None:
    """Refuse to start processes of this machine where they could not import the main script.

    Each of them imports it first, as :mod:`multiprocessing` does with the method "spawn".

    Raises
    ------
    ConfigurationError
        If the script was read from standard input, or if this is a worker that imports it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError(_UNGUARDED)
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is not None and getattr(main, "__spec__", None) is None and not os.path.exists(file):
        raise ConfigurationError(
            f"workers import the script that runs a sweep, but this one is not a file ({file}): "
            'write it to a file, with `if __name__ == "__main__":` around the sweep'
        )


class DaskWorkers:
    """Jobs as tasks of a Dask client."""

    def __init__(
        self, client: Client, done: queue.SimpleQueue[str], cluster: LocalCluster | None
    ) -> None:
        self._client, self._done, self._cluster = client, done, cluster
        self._futures: dict[str, Future[Any]] = {}
        self._since = self._asked = time.monotonic()
        self._slots = 0
        self._seen = False

    def slots(self) -> int:
        """Threads of all workers, as they were a moment ago."""
        now = time.monotonic()
        if not self._slots or now > self._asked + _ASK_EVERY:  # each time is a call to it
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
            self._slots = sum(worker["nthreads"] for worker in workers.values())
            self._asked = now
        return self._slots

    def submit(self, key: str, folder: str, configuration: str) -> None:
        """Start a job; its key is put into the queue when it has ended."""
        future = self._client.submit(run_job, folder, configuration, key=key, pure=False)
        self._futures[key] = future
        future.add_done_callback(lambda ended: self._done.put(ended.key))

    def result(self, key: str) -> JobState | None:
        """What it returned; None if its worker was lost, or Dask could not run it."""
        future = self._futures.pop(key)
        if future.cancelled():
            return None
        error = future.exception()
        if error is None:
            returned: JobState = future.result()
            return returned
        if isinstance(error, KilledWorker):
            return None
        raise OutputError(f"a worker of the scheduler cannot run jobs: {error}")

    def check(self) -> None:
        """Raise if the scheduler is gone, or the workers of this machine do not start."""
        if self._client.status not in ("running", "connecting"):
            raise OutputError(
                "the scheduler is gone; the same command continues with what is not done"
            )
        self._seen = self._seen or self.slots() > 0
        if self._cluster is not None and not self._seen:
            nannies = list(self._cluster.workers.values())
            if nannies and all(nanny.status == Status.failed for nanny in nannies):
                raise ConfigurationError(f"no worker process could start: {_UNGUARDED}")
        waited = time.monotonic() - self._since
        if self._cluster is not None and not self._seen and waited > _PATIENCE:
            raise OutputError(f"no worker process started in {_PATIENCE:.0f} s")

    def abandon(self) -> None:
        """Cancel all jobs that have not ended."""
        self._client.cancel(list(self._futures.values()), force=True)


@contextlib.contextmanager
def local_workers(n: int, done: queue.SimpleQueue[str]) -> Iterator[DaskWorkers]:
    """``n`` processes of this machine, spawned; they die with this one, however it ends."""
    settings = {
        "distributed.worker.multiprocessing-method": "spawn",
        # The driver hears of a lost worker at once: it knows which of its jobs had begun.
        "distributed.scheduler.allowed-failures": 0,
        # Nothing can be spilled; a worker beyond its share of the memory is ended.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.98,
        # Jobs are long: sampling them costs more than it tells.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.limit": "1h",
        **{f"distributed.nanny.pre-spawn-environ.{name}": "1" for name in THREADS},
    }
    _track_resources()
    others = {process.pid for process in multiprocessing.active_children()}
    with dask.config.set(settings), _silence():
        cluster = LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # none would complain where another has one
            silence_logs=logging.CRITICAL,
            memory_limit=int(memory_limit() / n),
        )
        client = Client(cluster, set_as_default=False)
        try:
            cluster.sync(_block_interrupts)
            cluster.scale(n)
            yield DaskWorkers(client, done, cluster)
        finally:
            _kill(cluster, others)
            # Dask waits long for a worker that was killed while it started.
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                client.close(timeout=0.3)
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                cluster.close(timeout=0.5)
            SpecCluster._instances.discard(cluster)  # or it would be closed again when Python ends
            _kill(cluster, others)


@contextlib.contextmanager
def remote_workers(address: str, done: queue.SimpleQueue[str]) -> Iterator[DaskWorkers]:
    """The workers of a scheduler; they must see the same files and have neurolp installed."""
    with connected(address) as client:
        workers = DaskWorkers(client, done, None)
        try:
            yield workers
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                workers.abandon()


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at ``address``."""
    try:
        with dask.config.set({"distributed.comm.timeouts.connect": f"{_CONNECT}s"}):
            client = Client(address, set_as_default=False, timeout=_CONNECT)
    except (OSError, ValueError) as error:
        raise OutputError(f"{address}: no Dask scheduler answers there") from error
    try:
        yield client
    finally:
        client.close(timeout=1.0)


def memory_of_workers(client: Client) -> float | None:
    """Bytes that each thread of the smallest worker may use; None if not known."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    shares = [w["memory_limit"] / max(w["nthreads"], 1) for w in workers if w["memory_limit"]]
    return min(shares, default=None)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silence Dask about lost workers: the driver reports the states of their jobs."""
    loggers = [
        logging.getLogger(name)
        for name in logging.root.manager.loggerDict
        if name.split(".")[0] in ("distributed", "tornado", "asyncio")
    ]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _track_resources() -> None:
    """Start the resource tracker of multiprocessing, without warnings about killed workers.

    Starting it unblocks signals in its thread, which must not be the thread that starts workers.
    """
    name, before = "PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS")
    os.environ[name] = "ignore::UserWarning:multiprocessing.resource_tracker"
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


async def _block_interrupts() -> None:
    """Block Ctrl-C in the thread that starts workers; they inherit the block.

    A terminal sends Ctrl-C to all processes, but the driver alone decides when workers end.
    """
    if hasattr(signal, "pthread_sigmask"):  # Windows has none
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _kill(cluster: LocalCluster, others: set[int | None]) -> None:
    """Kill all workers: what they completed is on disk, the rest is run again.

    ``others`` are processes that existed before.
    """
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
    for process in multiprocessing.active_children():
        if process.name.startswith("Dask Worker") and process.pid not in others:
            process.kill()
