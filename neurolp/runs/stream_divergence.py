"""In which step did a number stop being one? Found by going through the last stretch again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from neurolp.data.streams.source import Stream
from neurolp.errors import DivergedError
from neurolp.estimators.stream import StreamBrain

Array = npt.NDArray[Any]

_PIECE = 256  # steps between looks at all numbers, which may take as long as some steps


@dataclass(frozen=True)
class Divergence:
    """``message`` says what became of which number in ``step``; the brains before and after it."""

    step: int
    message: str
    row: Array
    good: StreamBrain
    bad: StreamBrain


def find_divergence(
    brain: StreamBrain,
    stream: Stream,
    *,
    learn_until: int | None,
    stopped: Callable[[], bool] = lambda: False,
) -> Divergence | None:
    """Go on with ``brain``, all of whose numbers are finite, to the step in which one is not.

    None if there is no such step, or if it was ``stopped``.
    """
    t = brain.n_steps_
    for block in stream.blocks(_PIECE, t):
        before = brain.copy()
        if _present(brain, block, learn_until) is not None:
            for row in block:
                good = before.copy()
                fault = _present(before, row[None], learn_until)
                if fault is not None:
                    message = fault if " in step " in fault else f"{fault} in step {good.n_steps_}"
                    return Divergence(good.n_steps_, message, row.copy(), good, before)
        if stopped():
            return None
    return None


def _present(brain: StreamBrain, rows: Array, learn_until: int | None) -> str | None:
    """Present rows; what is not finite any more, if anything."""
    n = len(rows)
    if learn_until is not None:
        n = min(max(learn_until - brain.n_steps_, 0), n)
    try:
        for part, learn in ((rows[:n], True), (rows[n:], False)):
            if len(part):
                brain.run(part, learn=learn)
    except DivergedError as error:
        return str(error)
    return brain.fault()
