"""Compilation of kernels on first use: noticed while it happens, and timed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Compilation:
    """How many seconds kernels were compiled; 0 where all came from the cache on disk."""

    seconds: float = 0.0


@contextlib.contextmanager
def watched_compilation(begun: Callable[[], None]) -> Iterator[Compilation]:
    """Time compilation in this process within the context; ``begun()`` is called at the first.

    Numba tells of it (``numba.core.event``) only when it compiles, not when it reads its cache.
    """
    from numba.core import event

    found, depth, start = Compilation(), 0, 0.0

    class Listener(event.Listener):
        """Counts how deep compilations are nested: one kernel compiles those that it calls."""

        def on_start(self, _: Any) -> None:
            nonlocal depth, start
            if depth == 0:
                start = time.monotonic()
                if not found.seconds:
                    begun()
            depth += 1

        def on_end(self, _: Any) -> None:
            nonlocal depth
            depth -= 1
            if depth == 0:
                found.seconds += time.monotonic() - start

    with event.install_listener("numba:compile", Listener()):
        yield found
