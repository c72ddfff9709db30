"""Dynamics of the hidden nodes of a brain for streams: memory, chaos, answers to a pulse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from neurolp.arrays import Array
from neurolp.data.streams.rows import read_rows
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import Sensor

_RIDGE = 1e-9  # of the regressions of memory capacity, in mean squares of an activity
_WASHOUT = 0.1  # share of the steps that are not looked at
_SMALL = 1e-8  # distance of two activities


class Brain(Protocol):
    """What is asked of a brain: :class:`neurolp.StreamBrain`."""

    activity: Array
    sensors: tuple[Sensor, ...]

    @property
    def n_columns(self) -> int:
        """Number of columns of its rows."""

    def run(
        self, rows: Any, *, learn: bool = True, activity: bool = False, inject: Any = None
    ) -> Any:
        """Present rows."""

    def copy(self) -> Self:
        """Independent brain in the same state."""


@dataclass(frozen=True)
class MemoryCapacity:
    """What the activity tells of past input.

    ``by_delay`` (n_delays,) is the squared correlation of the input 1, 2, .. steps ago with its
    best linear reading from the activity, on steps that the reading was not fitted to; ``total`` is
    their sum, at most about the number of hidden nodes.
    """

    by_delay: Array

    @property
    def total(self) -> float:
        """Sum over all delays."""
        return float(self.by_delay.sum())


def least_steps(n_hidden: int, n_delays: int | None = None) -> int:
    """Steps that :func:`memory_capacity` needs: four a node beside the delays and the washout."""
    n_delays = 2 * n_hidden if n_delays is None else n_delays
    return int((n_delays + 4 * n_hidden) / (1 - _WASHOUT)) + 1


def memory_capacity(
    brain: Brain, n_delays: int | None = None, *, n_steps: int = 4000, random_state: Any = 0
) -> MemoryCapacity:
    """Linear short-term memory of independent input, uniform in (-1, 1), of one column.

    The brain is not changed: a copy sees the input and learns nothing. ``n_delays`` is by default
    twice the number of hidden nodes. Delay 1 is the last row.

    Source: H. Jaeger, "Short term memory in echo state networks", GMD report 152 (2001).

    Raises
    ------
    ConfigurationError
        If the brain has several columns or no hidden nodes, or there are too few steps.
    """
    n = len(brain.activity)
    if brain.n_columns != 1 or n == 0:
        raise ConfigurationError(
            "argument `brain` must have one column and hidden nodes, "
            f"but has {brain.n_columns} and {n}"
        )
    n_delays = 2 * n if n_delays is None else n_delays
    if n_delays < 1 or n_steps < least_steps(n, n_delays):
        raise ConfigurationError(
            f"argument `n_steps` must be at least {least_steps(n, n_delays)} "
            f"for {n_delays} delays of {n} nodes, but is {n_steps}"
        )
    first = n_delays + int(_WASHOUT * n_steps)
    x = np.random.default_rng(random_state).uniform(-1, 1, n_steps)
    h = brain.copy().run(x, learn=False, activity=True).activity[first:]
    delayed = np.column_stack([x[first - k : n_steps - k] for k in range(1, n_delays + 1)])
    half = len(h) // 2
    centre, aim = h[:half].mean(axis=0), delayed[:half].mean(axis=0)
    known = h - centre
    gram = known[:half].T @ known[:half]
    ridge = _RIDGE * max(np.trace(gram) / n, np.finfo(np.float64).tiny)
    weights = np.linalg.solve(gram + ridge * np.eye(n), known[:half].T @ (delayed[:half] - aim))
    read, true = known[half:] @ weights, delayed[half:]
    read, true = read - read.mean(axis=0), true - true.mean(axis=0)
    power = (read**2).sum(axis=0) * (true**2).sum(axis=0)
    shared = (read * true).sum(axis=0) ** 2
    return MemoryCapacity(np.where(power > 0, shared / np.where(power > 0, power, 1.0), 0.0))


def lyapunov_exponent(brain: Brain, rows: Any, *, random_state: Any = 0) -> float:
    """Largest Lyapunov exponent of the hidden nodes under an input, nats a step.

    Two copies see the same rows and learn nothing; their activities are 1e-8 apart at first and are
    brought back to that distance after each row: the mean of log(distance / 1e-8), without the
    first tenth. Positive values are chaos; below zero the input alone decides what the activity is.

    Source: G. Benettin et al., "Lyapunov characteristic exponents", Meccanica 15 (1980).

    Raises
    ------
    ConfigurationError
        If the brain has no hidden nodes.
    DataError
        If there are fewer than ten rows.
    """
    n = len(brain.activity)
    if n == 0:
        raise ConfigurationError("argument `brain` must have hidden nodes, but has none")
    given = read_rows(rows, brain.sensors)
    if len(given) < 10:
        raise DataError(f"argument `rows` must have at least 10 rows, but has {len(given)}")
    one, other = brain.copy(), brain.copy()
    direction = np.random.default_rng(random_state).standard_normal(n)
    apart = _SMALL * direction / np.linalg.norm(direction)
    growth = np.empty(len(given))
    for t in range(len(given)):
        other.activity = one.activity + apart
        apart = other.activity - one.activity  # as rounding leaves it
        before = float(np.linalg.norm(apart))
        one.run(given[t : t + 1], learn=False)
        other.run(given[t : t + 1], learn=False)
        apart = other.activity - one.activity
        distance = float(np.linalg.norm(apart))
        if distance == 0.0:
            return -np.inf
        growth[t] = np.log(distance / before)
        apart *= _SMALL / distance
    return float(growth[int(_WASHOUT * len(growth)) :].mean())


def pulse_response(brain: Brain, nodes: Any, rows: Any, *, current: float = 1.0) -> Array:
    """Change of the activity, (n_steps, n_hidden), after a pulse of current into some nodes.

    Two copies see the same rows and learn nothing; in one of them the pulse is added to the
    potentials of ``nodes`` after the first row. Row t is the difference after row t.

    Raises
    ------
    ConfigurationError
        If there are no such nodes.
    """
    given = read_rows(rows, brain.sensors)
    pulse = np.zeros(len(given))
    pulse[:1] = current
    out = []
    for inject in ({"nodes": nodes, "current": pulse}, None):
        copy = brain.copy()
        seen = copy.run(given, learn=False, activity=True, inject=inject).activity
        out.append(np.vstack([seen[1:], copy.activity]))
    return np.asarray(out[0] - out[1])
