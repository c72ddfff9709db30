"""``experiment = "reservoir"``: two textbook figures of recurrent networks with fixed weights.

Memory capacity against the spectral radius: how many past values of random input the hidden nodes
tell (H. Jaeger, "Short term memory in echo state networks", GMD report 152, 2001). Free runs: a
brain learns the Mackey-Glass equation, then its own predictions are its input (H. Jaeger and
H. Haas, "Harnessing nonlinearity", Science 304, 2004).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurolp.arrays import Array, NamedArrays
from neurolp.config.experiment_sections import (
    CapacitySection,
    FreeRunSection,
    ReservoirConfiguration,
)
from neurolp.estimators.stream import StreamBrain
from neurolp.evaluation.dynamics import memory_capacity
from neurolp.kernels.sources import mackey_glass_path
from neurolp.progress import Observer
from neurolp.runs.computation import experiment, watched
from neurolp.runs.kinds import SummaryTable
from neurolp.runs.memory import NUMBER, PROCESS, Memory
from neurolp.storage.reader import Trajectory
from neurolp.stream.sensors import ContinuousSensor

BRAINS = ("fixed reservoir", "brain without experts", "default brain")
HORIZON = 84  # steps ahead, at which free runs are compared since Jaeger and Haas
_SUBSTEPS, _BURN_IN, _BEGIN = 10, 1000, 1.2
_BETWEEN = 100  # steps from the start of a free run to that of the next


def mackey_glass(n_steps: int, delay: int) -> Array:
    """Values (n_steps,) of the Mackey-Glass equation, one a unit of time, without noise.

    Euler's method in steps of 0.1, from 1.2; the first 1,000 units are dropped.
    """
    past, rows = np.full(delay * _SUBSTEPS + 1, _BEGIN), np.empty(_BURN_IN + n_steps)
    mackey_glass_path(past, _SUBSTEPS, rows)
    return rows[_BURN_IN:]


def compute(configuration: ReservoirConfiguration, observe: Observer) -> NamedArrays:
    """Memory capacity at every radius and seed, and free runs of two brains."""
    seed = (configuration.seed or 0) % 2**32
    capacity, free = configuration.capacity, configuration.free_run
    radii = sorted(set(capacity.spectral_radius))
    seeds = np.arange(capacity.n_seeds) + seed
    by_delay = np.empty((len(radii), len(seeds), 2 * capacity.n_hidden))
    values = mackey_glass(free.n_train + _BETWEEN * free.n_runs + free.n_steps, free.delay)
    starts = [free.n_train + _BETWEEN * r for r in range(free.n_runs)]
    runs, surprise = np.empty((len(BRAINS), free.n_runs, free.n_steps)), np.empty(len(BRAINS))

    def of_radius(k: int) -> None:
        for s, chosen in enumerate(seeds):
            brain = _of_capacity(capacity, radii[k], int(chosen))
            found = memory_capacity(brain, n_steps=capacity.n_steps, random_state=int(chosen))
            by_delay[k, s] = found.by_delay

    def of_brain(k: int) -> None:
        brain = _of_free_run(free, BRAINS[k], seed)
        learned = brain.run(values[: free.n_train]).total
        surprise[k] = learned[-free.n_train // 5 :].mean()
        at = free.n_train
        for r, start in enumerate(starts):
            brain.run(values[at:start], learn=False)
            at = start
            runs[k, r] = brain.dream(free.n_steps, sampled=False)[:, 0]

    steps: list[tuple[str, Callable[[int], None], int]] = [
        *((f"memory capacity, spectral radius {r:g}", of_radius, k) for k, r in enumerate(radii)),
        *((f"free runs, {name}", of_brain, k) for k, name in enumerate(BRAINS)),
    ]
    for _, do, k in watched(steps, observe, lambda step: step[0]):
        do(k)
    truth = np.stack([values[start : start + free.n_steps] for start in starts])
    error = np.sqrt(((runs - truth) ** 2).mean(axis=1)) / values.std()
    mean = by_delay.sum(axis=2).mean(axis=1)
    result: dict[str, float] = {
        "greatest_capacity": float(mean.max()),
        "best_spectral_radius": radii[int(mean.argmax())],
    }
    if free.n_steps >= HORIZON:
        for name, curve in zip(BRAINS, error, strict=True):
            result[f"nrmse_{HORIZON}[{name}]"] = float(curve[HORIZON - 1])
    before = np.stack([values[start - _BETWEEN : start] for start in starts])
    out = NamedArrays.of(
        coordinates={
            "spectral_radius": (radii, "1", "spectral radius of the recurrent weights"),
            "seed": (seeds, "1", "seed of the weights and the input"),
            "delay": (np.arange(1, by_delay.shape[2] + 1), "step", "steps since the input"),
            "brain": (BRAINS, "1", "what learns"),
            "run": (np.arange(free.n_runs), "1", "free run"),
            "ahead": (np.arange(1, free.n_steps + 1), "step", "steps since the last true value"),
            "before": (np.arange(-_BETWEEN + 1, 1), "step", "steps before"),
        },
        variables={
            "capacity": ("spectral_radius seed", by_delay.sum(axis=2), "1", "memory capacity"),
            "capacity_by_delay": (
                "spectral_radius seed delay", by_delay, "1", "squared correlation, held out",
            ),
            "known": ("run before", before, "1", "true values before each free run"),
            "truth": ("run ahead", truth, "1", "true values"),
            "free_run": ("brain run ahead", runs, "1", "own predictions as input"),
            "nrmse": ("brain ahead", error, "1", "root mean squared error over all runs / std"),
            "surprise": ("brain", surprise, "nat", "mean, last fifth of what was learned"),
        },
    )  # fmt: skip
    out.attributes["result"] = result
    return out


def _of_capacity(section: CapacitySection, radius: float, seed: int) -> StreamBrain:
    """A reservoir without thresholds, whose nodes all get the last row."""
    n, rng = section.n_hidden, np.random.default_rng(seed)
    weights: Any = rng.uniform(-section.strength, section.strength, (n, 1))
    return StreamBrain(
        ContinuousSensor(location=0.0, scale=1.0), n_hidden=n, n_lags=1, input_weights=weights,
        spectral_radius=radius, recurrent_rate=0.0, experts=False, random_state=seed,
    )  # fmt: skip


def _of_free_run(section: FreeRunSection, name: str, seed: int) -> StreamBrain:
    """One of :data:`BRAINS`: of the first only the readout learns, and it has one lag."""
    settings: dict[str, Any] = {"experts": name == "default brain"}
    if name == "fixed reservoir":
        settings = {
            "n_lags": 1, "spectral_radius": section.spectral_radius, "strength": section.strength,
            "recurrent_rate": 0.0, "experts": False,
        }  # fmt: skip
    return StreamBrain(ContinuousSensor(), n_hidden=section.n_hidden, random_state=seed, **settings)


def summary(file: Trajectory) -> list[SummaryTable]:
    """Memory capacity, mean and standard deviation over seeds; errors of free runs."""
    capacity, error = file["capacity"], file["nrmse"]
    rows = [
        (f"{radius:g}", f"{found.mean():.1f} +- {found.std():.1f}")
        for radius, found in zip(
            capacity.coords["spectral_radius"].values, capacity.values, strict=True
        )
    ]
    ahead = error.coords["ahead"].values
    shown = [int(k) for k in (1, 10, HORIZON, 200) if k <= ahead[-1]]
    errors = [
        (str(name), *(f"{curve[k - 1]:.4f}" for k in shown))
        for name, curve in zip(error.coords["brain"].values, error.values, strict=True)
    ]
    n_nodes = len(file["capacity_by_delay"].coords["delay"]) // 2
    return [
        SummaryTable(
            f"Memory capacity of {n_nodes} nodes, mean and standard deviation over seeds",
            ("spectral radius", "capacity"), rows,
        ),
        SummaryTable(
            "Free runs, root mean squared error in standard deviations, by steps ahead",
            ("brain", *map(str, shown)), errors,
        ),
    ]  # fmt: skip


def _memory(configuration: ReservoirConfiguration) -> Memory:
    capacity, free = configuration.capacity, configuration.free_run
    n, m = capacity.n_hidden, free.n_hidden
    kept = 2.0 * len(capacity.spectral_radius) * capacity.n_seeds * n
    kept += 3.0 * free.n_runs * free.n_steps + _SUBSTEPS * free.delay
    least = NUMBER * (kept + 3.0 * n * capacity.n_steps + free.n_train + 2.0 * m * m)
    return Memory("keys of sections capacity and free_run", least, PROCESS + 8.0 * least)


_ABOUT = (
    "Recurrent networks with fixed random weights: how many past inputs they hold, and "
    "how long they continue the Mackey-Glass equation by themselves."
)

KIND = experiment("reservoir", ReservoirConfiguration, compute, summary, _memory, _ABOUT)
