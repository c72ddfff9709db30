"""Progress of long work: what is told of it, and by whom it is heard."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class RunProgress:
    """Progress of a run: ``time`` of ``total`` units are done, after ``elapsed`` seconds."""

    time: int
    total: int
    unit: str
    message: str
    elapsed: float


Observer = Callable[[RunProgress], None]


def format_duration(seconds: float) -> str:
    """A duration as text, such as ``3 min 07 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


_listening: ContextVar[tuple[Observer, float] | None] = ContextVar("progress", default=None)


@contextlib.contextmanager
def reported_to(observer: Observer) -> Iterator[None]:
    """Within the context, whatever :func:`report` is told goes to ``observer``.

    Work deep inside a fit so says how far it is, without an argument through every function.
    """
    token = _listening.set((observer, time.monotonic()))
    try:
        yield
    finally:
        _listening.reset(token)


def report(message: str, done: int = 0, total: int = 0, unit: str = "") -> None:
    """Say that ``done`` of ``total`` units of work are done; nothing where nobody listens."""
    heard = _listening.get()
    if heard is not None:
        observer, began = heard
        observer(RunProgress(done, total, unit, message, time.monotonic() - began))
