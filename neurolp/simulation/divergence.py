"""Search for the step of a process in which a number stopped being finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from neurolp.errors import DivergedError
from neurolp.simulation.stream import StreamProcess

Arrays = dict[str, npt.NDArray[Any]]

_PIECE = 256  # steps between looks at all numbers, which may take as long as some steps


@dataclass(frozen=True)
class Divergence:
    """The step that diverged: its row, what became of which number, the states around it."""

    step: int
    message: str
    row: npt.NDArray[Any]
    before: Arrays
    after: Arrays


def find_divergence(
    process: StreamProcess, stopped: Callable[[], bool] = lambda: False
) -> Divergence | None:
    """The first step that diverges, of a process whose state is finite.

    None if there is no such step, or if it was ``stopped``. The process is left somewhere.
    """
    while not process.finished and not stopped():
        before = process.state()
        if _fault_in(process, _PIECE):
            process.restore(before)
            return _first_of(process, before)
    return None


def _first_of(process: StreamProcess, before: Arrays) -> Divergence | None:
    for _ in range(_PIECE):
        step, row = process.time, process.next_row
        if row is None:
            return None
        row = row.copy()
        fault = _fault_in(process, 1)
        if fault:
            message = fault if " in step " in fault else f"{fault} in step {step}"
            return Divergence(step, message, row, before, process.state())
        before = process.state()
    return None


def _fault_in(process: StreamProcess, n: int) -> str:
    """What is not finite after ``n`` more steps, in words; "" if all is."""
    try:
        process.advance(n)
    except DivergedError as error:
        return str(error)
    return process.fault()
