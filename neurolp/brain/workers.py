"""Blocks of trajectories, and other tasks, on threads: results do not depend on their number.

The block boundaries depend on the shape of the problem alone, every block is computed by one thread
with single-threaded BLAS, and partial sums are added in the order of the blocks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.linalg  # noqa: F401  (its BLAS must be loaded before the controller looks for it)
from threadpoolctl import OpenBLASController, ThreadpoolController

from neurolp.arrays import Array

S = TypeVar("S")
T = TypeVar("T")
Block = tuple[int, int]  # first column, number of columns

# A block's feature matrix should stay in the last-level cache (measured on 2 cores sharing 32 MB:
# 64 columns cost 30 % in the matrix products, 4096 spill).
_BLOCK_ELEMENTS = 1 << 19
_MIN_WIDTH, _MAX_WIDTH = 64, 4096


class StopRequested(Exception):  # noqa: N818  (a signal between layers, not an error)
    """Work was abandoned between two blocks because the user asked to stop."""


class _SingleThreadedBlas:
    """Limits BLAS to one thread for as long as anyone, in any thread, is inside.

    The limit belongs to the process. The first to enter sets it, the last to leave restores what
    was before, so that overlapping uses do not undo one another.
    """

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._restore = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                _take_control()
                self._restore.enter_context(_controller().limit(limits=1, user_api="blas"))
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _take_control()  # the first to enter may have been another thread
                self._restore.close()


def _take_control() -> None:
    """Let this thread change the number of threads of OpenBLAS, whichever thread did so before.

    Since 3.8 threadpoolctl ignores all threads but the one that set a limit first.
    """
    release = getattr(OpenBLASController, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


_SINGLE_THREADED_BLAS = _SingleThreadedBlas()


def single_threaded_blas() -> AbstractContextManager[None]:
    """A context in which BLAS uses one thread, so that results do not depend on how many there are.

    It also keeps small products from waiting for one another on a busy machine. Contexts may
    overlap in several threads.
    """
    return _SINGLE_THREADED_BLAS


def available_threads() -> int:
    """Processors this process may use; ``NEUROLP_NUM_THREADS``, where it is set, if it is fewer."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    asked = os.environ.get("NEUROLP_NUM_THREADS", "")
    return min(count, max(int(asked), 1)) if asked.isdigit() else count


def column_blocks(n_columns: int, n_features: int) -> list[Block]:
    """Cut ``n_columns`` into equal blocks of whole columns; depends on the two numbers only.

    >>> column_blocks(5000, 10)
    [(0, 2500), (2500, 2500)]
    """
    width = min(max(_BLOCK_ELEMENTS // max(n_features, 1), _MIN_WIDTH), _MAX_WIDTH)
    n_blocks = max(-(-n_columns // width), 1)
    edges = [k * n_columns // n_blocks for k in range(n_blocks + 1)]
    return [(a, b - a) for a, b in pairwise(edges)]


def check_states(potential: Array, n_nodes: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """Return potentials (n_nodes, n_trajectories) as C-ordered numbers, or raise ValueError."""
    u = np.asarray(potential, dtype=dtype, order="C")
    if u.ndim != 2 or u.shape[0] != n_nodes:
        raise ValueError(
            f"argument `potential` must have shape ({n_nodes}, n_trajectories), "
            f"but has shape {u.shape}"
        )
    return u


class Workers:
    """A context in which :meth:`map` runs tasks on ``n_threads`` threads (None: all available)."""

    def __init__(
        self, n_threads: int | None = None, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.n_threads = available_threads() if n_threads is None else n_threads
        self.should_stop = should_stop
        self._pool: ThreadPoolExecutor | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Workers:
        self._stack.enter_context(single_threaded_blas())
        if self.n_threads > 1:
            self._pool = self._stack.enter_context(ThreadPoolExecutor(self.n_threads))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool = None
        self._stack.close()

    def map(self, function: Callable[[S], T], tasks: Sequence[S]) -> list[T]:
        """Return ``[function(task) for task in tasks]``, computed in any order.

        Raises
        ------
        StopRequested
            If ``should_stop()`` became true before the last task was started.
        """

        def guarded(task: S) -> T:
            if self.should_stop():
                raise StopRequested
            # What is not finite is looked for, and named, once for all tasks.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                return function(task)

        if self._pool is None or len(tasks) == 1:
            return [guarded(task) for task in tasks]
        return list(self._pool.map(guarded, tasks))
