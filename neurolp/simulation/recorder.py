"""What to keep of a simulation: which variables, which nodes, which trajectories, how often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.errors import ConfigurationError

Array = npt.NDArray[Any]


@dataclass
class Recorder:
    """Collects a simulation as it runs.

    The mean surprise of every population and the local loss of every node are kept for every slice.
    *Frames*, the potentials of chosen nodes and trajectories of the validation data, are
    kept at time 0, every ``every`` slices, and at the last slice. A brain that learns online is
    measured after every epoch instead, and its frames show the evolution it has learned.

    Parameters
    ----------
    trajectories : int or sequence of int
        Rows of the validation data to follow: the first so many, or these rows.
    nodes : sequence of int, optional
        Nodes whose potentials are kept; all by default.
    every : int
        Slices between frames.
    parameters_every : int, optional
        Epochs of online learning between copies of the parameters, weights as they change; none are
        kept by default.
    potential, activity : bool
        Whether potentials u, and activities a = F(u), go to the file.
    parameters : bool
        Whether weights and node maps of every slice go to the file. Without them the file can be
        analysed but holds no brain that could be loaded.
    """

    trajectories: int | Sequence[int] = 100
    nodes: Sequence[int] | None = None
    every: int = 5
    potential: bool = True
    activity: bool = False
    parameters: bool = True
    parameters_every: int | None = None

    surprise: dict[str, list[float]] = field(default_factory=dict, init=False, repr=False)
    local_loss: list[Array] = field(default_factory=list, init=False, repr=False)
    frame_times: list[int] = field(default_factory=list, init=False, repr=False)
    frames: list[Array] = field(default_factory=list, init=False, repr=False)
    parameter_times: list[int] = field(default_factory=list, init=False, repr=False)
    parameter_frames: list[dict[str, Array]] = field(default_factory=list, init=False, repr=False)
    time_unit: str = field(default="slice", init=False, repr=False)
    _last: tuple[int, Array] | None = field(default=None, init=False, repr=False)

    def start(
        self, surprise: dict[str, float], potential: Array, *, time_unit: str = "slice"
    ) -> None:
        """Begin a new record at time 0; surprises are to follow every ``time_unit``.

        Raises
        ------
        ConfigurationError
            If a chosen node or trajectory does not exist.
        """
        n_nodes, n_rows = potential.shape
        if isinstance(self.trajectories, int):
            rows = np.arange(min(self.trajectories, n_rows))
        else:
            rows = _checked("trajectories", self.trajectories, n_rows)
        nodes = np.arange(n_nodes) if self.nodes is None else _checked("nodes", self.nodes, n_nodes)
        if self.every < 1:
            raise ConfigurationError(f"recorder setting `every` must be >= 1, but is {self.every}")
        if self.parameters_every is not None and self.parameters_every < 1:
            raise ConfigurationError(
                f"recorder setting `parameters_every` must be >= 1, but is {self.parameters_every}"
            )
        self.chosen_trajectories, self.chosen_nodes = rows, nodes
        self.surprise = {name: [value] for name, value in surprise.items()}
        self.local_loss, self.frame_times, self.frames = [], [], []
        self.parameter_times, self.parameter_frames = [], []
        self.time_unit = time_unit
        self._last = None
        self._keep(0, potential)

    def record(
        self, time: int, surprise: dict[str, float], local_loss: Array, potential: Array
    ) -> None:
        """Add one completed slice."""
        for name, value in surprise.items():
            self.surprise[name].append(value)
        self.local_loss.append(local_loss)
        self.record_frame(time, self._chosen(potential))

    def record_epoch(self, surprise: dict[str, float]) -> None:
        """Add one completed epoch."""
        for name, value in surprise.items():
            self.surprise[name].append(value)

    def record_parameters(self, time: int, parameters: Callable[[], dict[str, Array]]) -> None:
        """Keep ``parameters()``, copies of arrays by name, if it is time to."""
        if self.parameters_every is not None and time % self.parameters_every == 0:
            self.parameter_times.append(time)
            self.parameter_frames.append(parameters())

    def record_frame(self, time: int, frame: Array) -> None:
        """Add potentials, (chosen nodes, chosen trajectories), at the end of a slice."""
        self._last = None
        if time % self.every == 0:
            self.frame_times.append(time)
            self.frames.append(frame)
        else:
            self._last = (time, frame)

    def finish(self) -> None:
        """Add the last slice as a frame if the schedule has not."""
        if self._last is not None:
            self.frame_times.append(self._last[0])
            self.frames.append(self._last[1])
            self._last = None

    def pack(self) -> dict[str, Array]:
        """Everything recorded so far, for :meth:`unpack`."""
        last = [] if self._last is None else [self._last]
        names = list(self.parameter_frames[0]) if self.parameter_frames else []
        history = {
            f"parameter_{name}": np.array([frame[name] for frame in self.parameter_frames])
            for name in names
        }
        return history | {
            "populations": np.array(list(self.surprise), dtype=np.str_),
            "surprise": np.array(list(self.surprise.values())),
            "local_loss": np.array(self.local_loss),
            "frame_times": np.array(self.frame_times + [t for t, _ in last], dtype=np.int64),
            "frames": np.array(self.frames + [frame for _, frame in last]),
            "n_last": np.array([len(last)]),
            "parameter_times": np.array(self.parameter_times, dtype=np.int64),
        }

    def unpack(self, packed: dict[str, Array], potential: Array) -> None:
        """Take up a record where :meth:`pack` left it; ``potential`` as for :meth:`start`."""
        names = [str(name) for name in packed["populations"]]
        self.start(dict.fromkeys(names, 0.0), potential, time_unit=self.time_unit)
        self.surprise = {
            name: [float(v) for v in values]
            for name, values in zip(names, packed["surprise"], strict=True)
        }
        self.local_loss = list(packed["local_loss"])
        self.frame_times = [int(t) for t in packed["frame_times"]]
        self.frames = list(packed["frames"])
        if packed["n_last"][0]:
            self._last = self.frame_times.pop(), self.frames.pop()
        self.parameter_times = [int(t) for t in packed["parameter_times"]]
        prefix = "parameter_"
        kept = {n.removeprefix(prefix): v for n, v in packed.items() if n.startswith(prefix)}
        kept.pop("times")
        self.parameter_frames = [
            {name: values[k] for name, values in kept.items()}
            for k in range(len(self.parameter_times))
        ]

    def _keep(self, time: int, potential: Array) -> None:
        self.frame_times.append(time)
        self.frames.append(self._chosen(potential))

    def _chosen(self, potential: Array) -> Array:
        if not (self.potential or self.activity):
            return np.empty((0, 0))
        return np.asarray(potential[np.ix_(self.chosen_nodes, self.chosen_trajectories)])


def _checked(what: str, chosen: Sequence[int], available: int) -> Array:
    index = np.asarray(chosen, dtype=np.intp)
    wrong = index[(index < 0) | (index >= available)]
    if wrong.size:
        raise ConfigurationError(
            f"recorder setting `{what}` must be below {available}, but contains {wrong[0]}"
        )
    return index
