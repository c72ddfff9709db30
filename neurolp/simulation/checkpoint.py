"""What a simulation asks of whoever keeps it safe; where nobody does, :class:`Unkept`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, final

import numpy as np
import numpy.typing as npt

from neurolp.errors import DivergedError, NetworkError

Array = npt.NDArray[Any]
State = dict[str, Array]


@dataclass(frozen=True)
class Moment:
    """A simulation between two slices, or epochs.

    ``brain`` is what would be used now: all slices so far, or the best brain of all epochs;
    ``state`` everything else that the next slice depends on, and the record so far.
    """

    time: int
    best_time: int
    brain: Any
    state: State = field(repr=False)


class Keeper(Protocol):
    """Keeps a simulation, so that it can go on after its process ended."""

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""

    def restore(self) -> Moment | None:
        """The moment that was kept last, by another process; None to begin at the beginning."""

    def keep(self, moment: Callable[[], Moment], *, now: bool = False) -> None:
        """Keep this moment if it is time to, or must be ``now``."""

    def ended(self, moment: Moment) -> None:
        """Be told that all slices or epochs are learned: what follows can be done again."""

    def diverged(self, error: DivergedError, good: Moment, bad: State) -> None:
        """Keep the last good moment and the state in which a number is not finite."""


@final
class Unkept:
    """Nothing is kept."""

    keeps = False

    def restore(self) -> Moment | None:
        """Begin at the beginning."""
        return None

    def keep(self, moment: Callable[[], Moment], *, now: bool = False) -> None:
        """Do nothing."""

    def ended(self, moment: Moment) -> None:
        """Do nothing."""

    def diverged(self, error: DivergedError, good: Moment, bad: State) -> None:
        """Do nothing: the error says it all."""


def is_divergence(error: Exception) -> bool:
    """Whether an error means by itself that numbers are not finite, or too large to go on with.

    Other errors mean that only where the state is not finite; elsewhere they are bugs.
    """
    return isinstance(error, DivergedError | NetworkError | np.linalg.LinAlgError)


def first_fault(arrays: State) -> str:
    """Where the first number is that is not finite: ``"node 3, weights: nan"``; "" if all are.

    The first dimension of each array counts nodes.
    """
    for name, values in arrays.items():
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            return f"node {bad[0][0]}, {name}: {values[tuple(bad[0])]}"
    return ""


def prefixed(prefix: str, arrays: State) -> State:
    """The same arrays under longer names."""
    return {f"{prefix}{name}": values for name, values in arrays.items()}


def without_prefix(prefix: str, arrays: State) -> State:
    """Those arrays that have the prefix, under shorter names."""
    n = len(prefix)
    return {name[n:]: values for name, values in arrays.items() if name.startswith(prefix)}
