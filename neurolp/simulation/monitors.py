"""Monitors: what is recorded of a process, and when. Each appends rows to a store as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from neurolp.arrays import Array, Variable
from neurolp.brain.base_density import BaseDensity
from neurolp.errors import ConfigurationError
from neurolp.simulation.memory_store import Store
from neurolp.simulation.schedule import Schedule

Arrays = dict[str, Array]


class Monitor:
    """Base of all monitors: records nothing. To write your own, override what you need.

    ``schedule`` has the times at which :meth:`sample` is called; whatever is observed between them
    is given to :meth:`observe`. What a monitor remembers from one call to the next is its
    :meth:`state`, so that an interrupted run can be continued; rows in the store are not.
    """

    schedule: Schedule = Schedule()
    last: int = -1  # time of the last sample

    def begin(self, process: Any, store: Store) -> None:
        """Declare variables in the store, at the beginning and when a run is continued."""

    def sample(self, process: Any) -> None:
        """Look at the process at a time that is due."""

    def sample_once(self, process: Any) -> None:
        """Sample, unless that was done at this time already."""
        if self.last != process.time:
            self.sample(process)
            self.last = process.time

    def observe(self, observation: Any) -> None:
        """Take note of what ``process.advance`` returned."""

    def finish(self, process: Any) -> None:
        """Look at the process for the last time, also if it was stopped early; may be repeated."""

    def state(self) -> Arrays:
        """What is remembered, by name."""
        return {}

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`."""


@final
class ScoreMonitor(Monitor):
    """Mean surprise of each split of the data, and local losses of the nodes, at every time.

    It asks the process for ``scores``; see ``simulation.batch.Scores``.
    """

    schedule = Schedule(every=1, times=(0,))

    def __init__(self, time_unit: str, *, bound: bool = False) -> None:
        self._unit = time_unit
        self._what = "bound on the mean of -log p(x)" if bound else "mean of -log Phi(x)"

    def begin(self, process: Any, store: Store) -> None:
        """Declare ``surprise`` (time, split) and, if there are any, ``local_loss`` (time, node)."""
        self._store, scores = store, process.scores
        unit = self._unit
        store.declare_coordinate("split", list(scores.surprise), "1", "which part of the data")
        store.declare_dimension("time", "i8", unit, f"{unit}s completed; 0 is before learning")
        shape = (len(scores.surprise),)
        what = f"{self._what} in the units of the data"
        store.declare("surprise", ("time", "split"), shape, "f8", "nat", what)
        if scores.local_loss is not None:
            what = (
                f"mean local loss of a node in the {unit} that ends at this time, training data; "
                "sums to the change of surprise"
            )
            shape = scores.local_loss.shape
            store.declare("local_loss", ("time", "node"), shape, "f8", "nat", what)

    def sample(self, process: Any) -> None:
        """Append the scores."""
        scores = process.scores
        self._store.append("time", [process.time])
        self._store.append("surprise", [list(scores.surprise.values())])
        if scores.local_loss is not None:
            self._store.append("local_loss", scores.local_loss[None])


class FrameMonitor(Monitor):
    """Potentials, and activities a = F(u), of chosen nodes and trajectories at chosen times.

    ``potential_of(process)`` returns (n_nodes, n_trajectories). The last time is always a frame.
    """

    def __init__(
        self, recorder: Recorder, base: BaseDensity, unit: str, potential_of: Callable[[Any], Array]
    ) -> None:
        self.schedule = Schedule(every=recorder.every, times=(0,))
        self._recorder, self._base, self._unit = recorder, base, unit
        self._potential_of = potential_of

    def begin(self, process: Any, store: Store) -> None:
        """Declare ``potential`` and ``activity`` (frame, recorded_node, trajectory).

        Raises
        ------
        ConfigurationError
            If a chosen node or trajectory does not exist.
        """
        self._store = store
        shape = self._potential_of(process).shape
        self.nodes, self.trajectories = self._recorder.chosen(*shape)
        dtype = self._potential_of(process).dtype.str
        store.declare_dimension("frame", "i8", self._unit, "time of the frame")
        store.declare_coordinate("recorded_node", self.nodes, "1", "node")
        what = "row of the validation data"
        store.declare_coordinate("trajectory", self.trajectories, "1", what)
        dims, shape = ("frame", "recorded_node", "trajectory"), (
            len(self.nodes), len(self.trajectories),
        )  # fmt: skip
        if self._recorder.potential:
            store.declare("potential", dims, shape, dtype, "1", "potential u of a node")
        if self._recorder.activity:
            store.declare("activity", dims, shape, dtype, "1", "activity a = F(u) of a node")

    def sample(self, process: Any) -> None:
        """Append a frame."""
        self.append(process.time, self._potential_of(process)[:, self.trajectories])

    def append(self, time: int, potential: Array) -> None:
        """Append potentials (n_nodes, chosen trajectories) at a time."""
        frame = np.asarray(potential[self.nodes])
        self._store.append("frame", [time])
        if self._recorder.potential:
            self._store.append("potential", frame[None])
        if self._recorder.activity:
            self._store.append("activity", self._base.activity(frame)[None])

    def finish(self, process: Any) -> None:
        """Append the last time as a frame, unless it is one."""
        self.sample_once(process)


@final
class ParameterMonitor(Monitor):
    """Copies of parameters as they are learned: ``NAME_history`` (parameter_frame, ...).

    ``parameters_of(process)`` returns variables by name, whose shapes do not change.
    """

    def __init__(
        self, every: int, unit: str, parameters_of: Callable[[Any], Mapping[str, Variable]]
    ) -> None:
        self.schedule = Schedule(every=every, times=(0,))
        self._unit, self._parameters_of = unit, parameters_of

    def begin(self, process: Any, store: Store) -> None:
        """Declare a variable for each parameter."""
        self._store = store
        store.declare_dimension("parameter_frame", "i8", self._unit, "time of the copy")
        for name, v in self._parameters_of(process).items():
            dims, what = ("parameter_frame", *v.dims), f"{v.long_name}, while learning"
            shape, dtype = v.values.shape, v.values.dtype.str
            store.declare(f"{name}_history", dims, shape, dtype, v.units, what)

    def sample(self, process: Any) -> None:
        """Append a copy."""
        self._store.append("parameter_frame", [process.time])
        for name, v in self._parameters_of(process).items():
            self._store.append(f"{name}_history", v.values[None])


@final
@dataclass(frozen=True)
class Recorder:
    """What to record of a brain that learns from a table; the section ``[record]`` says the same.

    The mean surprise of every split of the data and the local loss of every node are recorded at
    every time. *Frames*, the potentials of chosen nodes and trajectories of the validation data,
    are recorded at time 0, every ``every`` slices, and at the last slice. A brain that learns
    online is measured after every epoch instead, and its frames show the evolution it has learned.

    Parameters
    ----------
    trajectories : int or sequence of int
        Rows of the validation data to follow: the first so many, or these rows.
    nodes : sequence of int, optional
        Nodes whose potentials are recorded; all by default.
    every : int
        Slices between frames.
    potential, activity : bool
        Whether potentials u, and activities a = F(u), are recorded.
    parameters : bool
        Whether ``neurolp run`` writes weights and node maps of every slice. Without them the file
        can be analysed but holds no brain that could be loaded.
    parameters_every : int, optional
        Epochs of online learning between copies of the parameters; none by default.
    """

    trajectories: int | Sequence[int] = 100
    nodes: Sequence[int] | None = None
    every: int = 5
    potential: bool = True
    activity: bool = False
    parameters: bool = True
    parameters_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "parameters_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"recorder setting `{name}` must be >= 1, but is {value}")

    @property
    def frames(self) -> bool:
        """Whether frames are recorded at all: of some nodes and trajectories."""
        chosen = self.trajectories if isinstance(self.trajectories, int) else len(self.trajectories)
        some = chosen > 0 and (self.nodes is None or len(self.nodes) > 0)
        return some and (self.potential or self.activity)

    def chosen(self, n_nodes: int, n_trajectories: int) -> tuple[Array, Array]:
        """Indices of the chosen nodes and trajectories.

        Raises
        ------
        ConfigurationError
            If one does not exist.
        """
        if isinstance(self.trajectories, int):
            rows = np.arange(min(self.trajectories, n_trajectories))
        else:
            rows = _checked("trajectories", self.trajectories, n_trajectories)
        nodes = np.arange(n_nodes) if self.nodes is None else _checked("nodes", self.nodes, n_nodes)
        return nodes, rows


def _checked(what: str, chosen: Sequence[int], available: int) -> Array:
    index = np.asarray(chosen, dtype=np.intp)
    wrong = index[(index < 0) | (index >= available)]
    if wrong.size:
        raise ConfigurationError(
            f"recorder setting `{what}` must be below {available}, but contains {wrong[0]}"
        )
    return index
