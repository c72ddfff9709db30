"""Parameters of the estimators of the paper's forms: names, defaults and ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from neurolp.estimators.parameters import (
    Count,
    Duration,
    Intervals,
    Parameters,
    Positive,
    Share,
    SplineRange,
    Strength,
)
from neurolp.paper.bounded import BARRIER_MIN


class LinearParameters(Parameters):
    """Parameters of :class:`neurolp.LinearBrain`."""

    stepping: Literal["exact", "synchronous"] = "exact"
    duration: Duration = 1.0
    n_steps: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 10
    spline_range: SplineRange = 4.0
    spline_intervals: Intervals = 16
    rate: Share = 0.03
    energy_rate: Share = 0.1
    energy_ridge: Strength = 1e-3
    max_epochs: Count = 30
    patience: Positive = 10
    batch_size: Positive = 100


class BoundedParameters(Parameters):
    """Parameters of :class:`neurolp.BoundedBrain`."""

    duration: Duration = 0.5
    n_steps: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 5
    shape_intervals: Intervals = 10
    barrier: Annotated[float, Field(ge=BARRIER_MIN, le=1e3, strict=True)] = 0.05
    rate: Share = 0.05
    max_epochs: Count = 60
    patience: Positive = 10
    batch_size: Positive = 100
