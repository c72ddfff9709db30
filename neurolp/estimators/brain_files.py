"""What a fitted brain consists of, how it is written to a trajectory file, and read again."""

from __future__ import annotations

from inspect import signature
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array, NamedArrays, Variable
from neurolp.brain.heads.arrays import (
    heads_from_arrays,
    heads_to_arrays,
    marginal_transform_from_arrays,
)
from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.marginal import MarginalTransform
from neurolp.brain.network import Network, distinct_slices
from neurolp.brain.network_arrays import description_of, network_from_arrays, parameters_to_arrays
from neurolp.brain.parts import PARTS
from neurolp.estimators.files import add_tree, header, read_tree
from neurolp.estimators.validation import Density
from neurolp.simulation.memory_store import MemoryStore, Store, is_recorded
from neurolp.simulation.monitors import Recorder
from neurolp.storage.reader import Trajectory


class StoredBrain(Density):
    """What a fitted brain consists of.

    Either a network, used up to slice ``n_slices_``, or one of the paper's forms, learned for
    ``n_epochs_``. The last ``n_hidden`` nodes are no columns of the data.
    """

    model: ClassVar[str]  # name in files
    # What the variables of a trajectory hold, under names of their own.
    in_variables: ClassVar[frozenset[str]] = frozenset(
        {
            "connectivity", "feature_names_in_", "form_", "heads_", "interrupted_",
            "marginal_transform_", "mean_", "n_epochs_", "n_slices_", "network_", "record_",
            "scale_",
        }
    )  # fmt: skip
    form: ClassVar[Any] = None  # class of what evolves; None is a network
    time_unit: ClassVar[str] = "epoch"  # what is counted while it learns
    connectivity: Any
    n_hidden: int = 0
    network_: Network  # not there where no node moves
    n_slices_: int
    form_: Any  # what evolves, a :class:`neurolp.brain.form.Form`
    n_epochs_: int
    heads_: tuple[WeightedHead, ...] | None = None
    marginal_transform_: MarginalTransform | None = None
    mean_: Array
    scale_: Array
    seed_: int
    interrupted_: bool
    recorder_: Recorder
    record_: Store

    def to_tree(self) -> dict[str, Any]:
        """Parameters and fitted attributes by name; a record in a file of its own is left there."""
        tree = super().to_tree()
        if not isinstance(tree.get("record_"), MemoryStore):
            tree["record_"] = MemoryStore()
        return tree

    def _contents(self) -> NamedArrays:
        check_is_fitted(self)
        out = header(self.seed_, "", {"brain": self._described_parameters()})
        out.attributes[""]["status"] = "interrupted" if self.interrupted_ else "complete"
        out.update(self.to_arrays(parameters=self.recorder_.parameters))
        return out

    def to_arrays(
        self,
        columns: tuple[str, ...] | None = None,
        *,
        parameters: bool = True,
        learned: tuple[Any, int] | None = None,
    ) -> NamedArrays:
        """The brain as arrays, with its record if that is in memory.

        ``columns`` are names of the data's columns, by default those of ``fit``. Without
        ``parameters`` it cannot be read again. While it learns, ``learned`` is what evolves and for
        how many slices or epochs.
        """
        if learned is None:
            is_form = hasattr(self, "form_")
            network = getattr(self, "network_", None)
            learned = (self.form_, self.n_epochs_) if is_form else (network, self.n_slices_)
        network, time = learned
        form, about = NamedArrays(), {}
        if isinstance(network, Network):
            about = description_of(network)
        elif network is not None:
            form = network.to_arrays()
            about = form.attributes.pop("brain")
        out = NamedArrays()
        out.attributes["brain"] = about | {
            "model": self.model,
            "n_slices": time,
            "n_hidden": self.n_hidden,
            "time_unit": self.time_unit,
            "named_columns": hasattr(self, "feature_names_in_"),
        }
        if network is not None:
            self._nodes_to_arrays(out, columns)
        if parameters and isinstance(network, Network):
            count = np.arange(1, len(distinct_slices(network)[0]) + 1)
            out.add_coordinate("slice", count, "slice", "slice, counted from 1")
            parameters_to_arrays(out, network)
            heads_to_arrays(out, self.heads_, self.marginal_transform_)
        elif parameters:
            out.update(form)
        if parameters:
            tree = {k: v for k, v in self.to_tree().items() if k not in self.in_variables}
            add_tree(out, type(self), tree)
        if isinstance(self.record_, MemoryStore):
            self.record_.to_arrays(out)
        return out

    def _node_names(self, columns: tuple[str, ...] | None) -> list[str]:
        """Names of the nodes but hidden ones; ``columns`` are those of the data's columns."""
        if columns is None:
            columns = tuple(f"x{j}" for j in range(len(self.mean_)))
            columns = tuple(getattr(self, "feature_names_in_", columns))
        return [*columns]

    def _nodes_to_arrays(self, out: NamedArrays, columns: tuple[str, ...] | None) -> None:
        """Add names and scales of the nodes."""
        n_hidden = self.n_hidden
        names = [*self._node_names(columns), *(f"hidden {k}" for k in range(n_hidden))]
        mean = np.append(self.mean_, np.zeros(n_hidden))
        scale = np.append(self.scale_, np.ones(n_hidden))
        out.add_coordinate(
            "node", np.arange(len(names)), "1", "node, in the order of the columns of the data"
        )
        labels = np.array(names, dtype=np.str_)
        out.add("node_name", ("node",), labels, "1", "column of the data")
        out.add("mean", ("node",), mean, "data", "training mean, subtracted from the data")
        out.add("scale", ("node",), scale, "data", "training standard deviation")

    def _described_parameters(self) -> dict[str, Any]:
        """Parameters for those who look into a file; connectivity is among the arrays."""
        parameters: dict[str, Any] = self.get_params() | {"random_state": self.seed_}
        for name in ("connectivity", "verbose"):
            parameters.pop(name, None)
        for name in PARTS.keys() & parameters.keys():
            parameters[name] = PARTS[name].describe(parameters[name])
        return parameters

    @classmethod
    def _from_file(cls, file: Trajectory) -> Self:
        tree = read_tree(file)
        if "connectivity" in signature(cls).parameters:
            tree["connectivity"] = None
        brain, time = cls.from_tree(tree), int(file.brain["n_slices"])
        if "node" not in file.all_names():  # no column moves
            brain.n_slices_ = time
        elif cls.form is None:
            brain.network_, brain.n_slices_ = network_from_arrays(file), time
            edges = brain.network_.connectivity
            brain.connectivity = None if edges.kind == "full" else edges
            brain.heads_ = heads_from_arrays(file)
            brain.marginal_transform_ = marginal_transform_from_arrays(file)
        else:
            brain.form_, brain.n_epochs_ = cls.form.from_arrays(file), time
        n = 0
        if "node" in file.all_names():
            n = len(file.read("mean")) - int(file.brain["n_hidden"])
            brain.mean_, brain.scale_ = file.read("mean")[:n], file.read("scale")[:n]
        else:
            brain.mean_, brain.scale_ = np.empty(0), np.empty(0)
        if file.brain["named_columns"] and "feature_names_in_" in cls.in_variables:
            brain.feature_names_in_ = np.array(
                [*map(str, file.read("node_name")[:n])], dtype=object
            )
        brain.interrupted_ = file.status in ("interrupted", "unfinished", "running")
        brain.record_ = _record_of(file)
        return brain


def _record_of(file: Trajectory) -> MemoryStore:
    """The record in the file, which goes along when a loaded brain is saved again."""
    found = {name: file.stored(name) for name in file if is_recorded(file.stored(name).dims)}
    dims = {dim for v in found.values() for dim in v.dims} & set(file.all_names())
    found |= {dim: file.stored(dim) for dim in dims}
    return MemoryStore.from_arrays(
        {k: Variable(v.dims, file.read(k), v.units, v.long_name) for k, v in found.items()}
    )
