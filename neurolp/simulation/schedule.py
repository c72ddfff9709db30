"""When a monitor samples: every so many units of time, at chosen times, in one interval."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Self

from neurolp.errors import ConfigurationError


@dataclass(frozen=True)
class Schedule:
    """Times: every so many units (not 0), chosen ones (sorted), all of one interval."""

    every: int | None = None
    times: tuple[int, ...] = ()
    interval: tuple[int, int] = (0, 0)  # from the first to before the second

    @classmethod
    def of(
        cls, every: int | None = None, at: Iterable[int] = (), interval: tuple[int, int] = (0, 0)
    ) -> Self:
        """A schedule of arguments that were checked; ``at`` in any order.

        Raises
        ------
        ConfigurationError
            If ``every`` is not an integer of at least 1, or a time in ``at`` not one of at least 0.
        """
        if every is not None and not _is_whole(every, 1):
            raise ConfigurationError(f"argument `every` must be an integer >= 1, but is {every!r}")
        times = list(at)
        if wrong := [t for t in times if not _is_whole(t, 0)]:
            raise ConfigurationError(f"argument `at` must hold integers >= 0, but has {wrong[0]!r}")
        return cls(every, tuple(sorted({int(t) for t in times})), interval)

    def __contains__(self, t: int) -> bool:
        at = bisect.bisect_left(self.times, t)
        chosen = at < len(self.times) and self.times[at] == t
        regular = self.every is not None and t > 0 and t % self.every == 0
        return chosen or regular or self.interval[0] <= t < self.interval[1]

    def __bool__(self) -> bool:
        return bool(self.every or self.times or self.interval[0] < self.interval[1])

    def after(self, t: int) -> float:
        """The first time after ``t``; infinite if there is none.

        >>> schedule = Schedule(every=10, times=(12,), interval=(25, 27))
        >>> [schedule.after(t) for t in (0, 10, 20, 25, 26)]
        [10, 12, 25, 26, 30]
        """
        candidates: list[float] = [math.inf]
        if self.every is not None:
            candidates.append(t - t % self.every + self.every)
        at = bisect.bisect_right(self.times, t)
        if at < len(self.times):
            candidates.append(self.times[at])
        if t + 1 < self.interval[1]:
            candidates.append(max(t + 1, self.interval[0]))
        return min(candidates)


def _is_whole(value: object, low: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low
