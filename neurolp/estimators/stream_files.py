"""Files of a brain for streams: its sensors, parameters and state as arrays, and back."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np

from neurolp.arrays import Array, ArraySource, NamedArrays
from neurolp.estimators.files import Stored, add_tree, header
from neurolp.simulation.stream_network import settings_of
from neurolp.storage.reader import Trajectory
from neurolp.stream import contents
from neurolp.stream.network import StreamDesign, StreamState
from neurolp.stream.nodes import HiddenNodes
from neurolp.stream.sensors import Sensor, sensors_from_json, sensors_to_json
from neurolp.stream.warmup import WarmUp


class StreamFiles(Stored):
    """Part of :class:`neurolp.StreamBrain`: what it stores, and its state."""

    sensors: tuple[Sensor, ...]
    n_steps_: int
    seed_: int
    _design: StreamDesign
    _state: StreamState
    _nodes: HiddenNodes
    _warmup: WarmUp

    @abstractmethod
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments of the constructor, by name."""

    @abstractmethod
    def _new_warmup(self) -> WarmUp:
        """Sensors that have seen nothing yet."""

    def to_arrays(self) -> NamedArrays:
        """Sensors, parameters, and in the group ``state`` all that the next step depends on."""
        about = {"model": "stream", "n_steps": self.n_steps_, "seed": self.seed_}
        about["sensors"] = sensors_to_json(self.sensors)
        about["parameters"] = json.dumps(self._design.parameters)
        out = NamedArrays(attributes={"brain": about})
        what = "state of the brain, see neurolp.kernels.stream_state"
        out.add_group("state", self._arrays(), what)
        contents.add_node_names(out, self._nodes.names)
        add_tree(out, type(self))
        return out

    def state(self) -> dict[str, Array]:
        """Everything that the next step depends on, by name, in arrays of its own."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Continue from the :meth:`state` of a brain with the same sensors and parameters."""
        n_lags = self._design.n_lags
        self._state = StreamState.from_arrays(arrays, n_lags)
        self._warmup = self._new_warmup()
        self._warmup.restore(arrays)
        self.n_steps_ = int(arrays["n_steps"][0])

    def _arrays(self) -> dict[str, Array]:
        n_steps = {"n_steps": np.array([self.n_steps_])}
        return self._state.to_arrays() | self._warmup.to_arrays() | n_steps

    def _contents(self) -> NamedArrays:
        out = header(self.seed_, "", {"brain": settings_of(self.get_params())})
        out.attributes[""]["status"] = "complete"
        out.update(self.to_arrays())
        return out

    @classmethod
    def _from_file(cls, file: Trajectory) -> Self:
        return cls.from_arrays(file)

    @classmethod
    def from_arrays(cls, source: ArraySource) -> Self:
        """The brain that :meth:`to_arrays` was called of."""
        about = source.attributes("brain")
        parameters: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(about["parameters"]).items()
        }
        # Hidden nodes and their edges are among the arrays, none need be drawn.
        sensors = sensors_from_json(about["sensors"])
        small = {"n_hidden": 0, "n_contexts": 0, "spectral_radius": None}
        make: Any = cls
        brain: Self = make(sensors, **parameters | small, random_state=int(about["seed"]))
        brain._design = replace(brain._design, **parameters)
        brain._nodes = HiddenNodes(brain._design.n_hidden, contents.node_names(source))
        brain.restore(source.read_group("state"))
        return brain
