"""What one can do to a brain for streams by hand: read and set, cut, clear, one row at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Self

from neurolp.arrays import Array
from neurolp.data.streams.rows import row_of
from neurolp.errors import ConfigurationError
from neurolp.estimators import ranges
from neurolp.stream import contents, editing
from neurolp.stream.network import NOT_PLAIN, StreamDesign, StreamState
from neurolp.stream.nodes import HiddenNodes
from neurolp.stream.run import StreamRun
from neurolp.stream.sensors import Sensor
from neurolp.stream.wiring import spectral_radius

# Parameters that can change while a brain lives: those that say how it learns.
CHANGEABLE = (
    "rate", "process_noise", "recurrent_rate", "train_connectivity", "train_input_weights",
    "homeostasis", "mixing_rate",
)  # fmt: skip


class StreamBench(ABC):
    """Part of :class:`neurolp.StreamBrain`: parameters, weights, lesions, single rows."""

    sensors: tuple[Sensor, ...]
    n_steps_: int
    seed_: int
    _design: StreamDesign
    _state: StreamState
    _nodes: HiddenNodes

    @abstractmethod
    def run(self, rows: Any, *, learn: bool = True) -> StreamRun:
        """Present rows one after another."""

    @abstractmethod
    def copy(self) -> Self:
        """Independent brain in the same state."""

    @abstractmethod
    def _unmoved(self) -> AbstractContextManager[None]:
        """Context in which rows may be presented without learning: the memory is restored."""

    # --- parameters -------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """The value of a parameter, as in :meth:`get_params`."""
        if not name.startswith("_") and name in (parameters := self.get_params()):
            return parameters[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments of the constructor, by name; ``deep`` changes nothing, as none has any."""
        del deep
        out = {name: getattr(self._design, name) for name in NOT_PLAIN}
        return out | self._design.parameters | {"random_state": self.seed_}

    def set_params(self, **parameters: Any) -> Self:
        """Change how the brain learns from now on, and return it.

        Raises
        ------
        ConfigurationError
            If there is no such parameter, its value is out of range, or it is fixed when a brain is
            made, as numbers of nodes are.
        """
        for name in parameters:
            if name not in self.get_params():
                raise ConfigurationError(
                    f"argument `{name}` is not known; there are {', '.join(self.get_params())}"
                )
            if name not in CHANGEABLE:
                raise ConfigurationError(
                    f"argument `{name}` is fixed when a brain is made; {', '.join(CHANGEABLE)} "
                    "can change later"
                )
        design = replace(self._design, **parameters)
        ranges.check_parameters(type(self), design.parameters)
        self._design = design
        return self

    def __repr__(self) -> str:
        """The call that makes such a brain, and how many steps it has seen."""
        defaults = type(self).__init__.__kwdefaults__ or {}
        said = [repr(list(self.sensors) if len(self.sensors) > 1 else self.sensors[0])]
        for name, value in self.get_params().items():
            if name in ("sensors", "random_state") or _same(value, defaults.get(name)):
                continue
            plain = isinstance(value, int | float | str | tuple)
            said.append(f"{name}={value!r}" if plain else f"{name}=<{type(value).__name__}>")
        return (
            f"StreamBrain({', '.join(said)}, random_state={self.seed_})  # {self.n_steps_:,} steps"
        )

    @property
    def node_names(self) -> tuple[str, ...] | tuple[int, ...]:
        """Names of the hidden nodes, those of ``connectivity``; their numbers if it has none."""
        return self._nodes.labels

    @property
    def lesioned(self) -> Array:
        """Numbers of the hidden nodes that :meth:`lesion` has taken away."""
        return contents.lesioned(self._state, self._design.n_hidden)

    # --- activity and weights ---------------------------------------------------------------------

    @property
    def activity(self) -> Array:
        """Present activity of the hidden nodes, (n_hidden,); what is assigned is their activity.

        That of lesioned nodes stays 0.
        """
        return self._state.memory.activity[: self._design.n_hidden].copy()

    @activity.setter
    def activity(self, values: Any) -> None:
        memory, n = self._state.memory, self._design.n_hidden
        given = editing.finite_numbers("argument `activity`", values, (n,)).copy()
        given[self.lesioned] = 0.0
        memory.activity[:n] = given
        start = len(memory.features) - len(memory.activity)
        memory.features[start : start + n] = memory.activity[:n]

    @property
    def weights(self) -> editing.Weights:
        """Copies of all weights, by name; what is assigned, the brain uses from now on.

        "readout" (n_outputs, n_features), in logits of symbols and in ``scale`` of values;
        "recurrent" (n_hidden, n_hidden), (target, source), dense or CSR, absent without edges;
        "afferent" CSR (n_hidden, n_features): from features to hidden nodes;
        "chain" CSR (n_outputs, n_outputs), absent with one sensor: from the outputs of the sensors
        before in the row.
        ``brain.weights["recurrent"] = W`` assigns; where there is no edge W must be zero. Weights
        of lesioned nodes stay 0.
        """
        return editing.Weights(self._state, self._design.n_hidden)

    @property
    def spectral_radius(self) -> float:
        """Largest absolute eigenvalue of the recurrent weights; 0 without."""
        recurrent = self.weights.get("recurrent")
        return 0.0 if recurrent is None else spectral_radius(recurrent)

    def lesion(self, *, nodes: Any = None, edges: Any = None) -> Self:
        """Take hidden nodes and recurrent edges away for ever, and return the brain.

        Parameters
        ----------
        nodes : array of int or of names, or mask (n_hidden,)
            Their activity is 0 from now on and all their weights are gone, whatever activity or
            weights are assigned later.
        edges : pairs (target, source) (k, 2) of numbers or names, or mask (n_hidden, n_hidden)
            They carry and learn nothing any more.

        Raises
        ------
        ConfigurationError
            If there are no such nodes, or none of the edges.
        """
        chosen = self._nodes.numbers(nodes), self._nodes.pairs(edges)
        if not any(map(len, chosen)):
            raise ConfigurationError("arguments `nodes` and `edges` must name what is to be taken")
        self._state = editing.without(self._state, *chosen)
        return self

    def reset(self) -> Self:
        """Clear the memory, as if nothing had come before, and return the brain.

        Hidden nodes and lagged input are zero, the last symbols unknown, and the experts find their
        running mean in the past. All that was learned stays.
        """
        self._state = editing.with_cleared_memory(self._state)
        return self

    # --- one row at a time ------------------------------------------------------------------------

    def observe(self, x: Any, *, learn: bool = True) -> float:
        """Present one row and return its surprise in nats, summed over the observed sensors.

        ``x`` is a number, the values of a row, or a mapping from names of sensors or columns to
        values or labels; what a mapping leaves out is missing.
        """
        return float(self.run(row_of(x, self.sensors), learn=learn).total[0])

    def learn_one(self, x: Any) -> None:
        """Present one row, and learn it, as in river; ``x`` as in :meth:`observe`."""
        self.observe(x)

    def score_one(self, x: Any) -> float:
        """Surprise that a row would have, in nats; nothing changes. ``x`` as in :meth:`observe`."""
        row = row_of(x, self.sensors)
        with self._unmoved():
            return float(self.run(row, learn=False).total[0])


def _same(value: Any, default: Any) -> bool:
    plain: Sequence[type] = (int, float, str, tuple, bool, type(None))
    return isinstance(value, tuple(plain)) and value == default
