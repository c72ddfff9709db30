"""When to look at a brain that learns from a stream, and what to keep of it."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Times to look: every so many steps (not at 0), chosen ones (sorted), all of one stretch."""

    every: int | None = None
    times: tuple[int, ...] = ()
    stretch: tuple[int, int] = (0, 0)  # from the first to before the second

    def __contains__(self, t: int) -> bool:
        at = bisect.bisect_left(self.times, t)
        chosen = at < len(self.times) and self.times[at] == t
        regular = self.every is not None and t > 0 and t % self.every == 0
        return chosen or regular or self.stretch[0] <= t < self.stretch[1]

    def __bool__(self) -> bool:
        return bool(self.every or self.times or self.stretch[0] < self.stretch[1])

    def after(self, t: int) -> float:
        """The first time after ``t``; infinite if there is none.

        >>> schedule = Schedule(every=10, times=(12,), stretch=(25, 27))
        >>> [schedule.after(t) for t in (0, 10, 20, 25, 26)]
        [10, 12, 25, 26, 30]
        """
        candidates: list[float] = [math.inf]
        if self.every is not None:
            candidates.append(t - t % self.every + self.every)
        at = bisect.bisect_right(self.times, t)
        if at < len(self.times):
            candidates.append(self.times[at])
        if t + 1 < self.stretch[1]:
            candidates.append(max(t + 1, self.stretch[0]))
        return min(candidates)


@dataclass(frozen=True)
class RecordPlan:
    """What to keep.

    ``every`` steps a mean; with ``per_step`` the surprise of each step; ``last_rows`` rows that
    came last; and when to look at predictions, activity and weights.
    """

    every: int
    per_step: bool = True
    last_rows: int = 0
    predictions: Schedule = Schedule()
    activity: Schedule = Schedule()
    weights: Schedule = Schedule()

    def after(self, t: int) -> float:
        """The first time after ``t`` at which anything is to be looked at."""
        return min(s.after(t) for s in (self.predictions, self.activity, self.weights))
